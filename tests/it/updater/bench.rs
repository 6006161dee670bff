//! An engine with an active set, an image with Python, and an update command of a test's own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acquit::engine::led::Led;
use acquit::engine::manifest::Manifest;
use acquit::engine::sandbox::StartUpdate;
use acquit::engine::signatures::{self, Kept};
use acquit::engine::updater::{Course, Fetched, Parts, UpdateError, Updater};
use acquit::model::SignatureSetId;

use crate::machine::Machine;

pub struct Bench {
    pub machine: Machine,
    pub active: Kept,
    pub course: Course,
}

/// An updater that starts from the bench's active set.
pub struct Once<'a> {
    pub updater: Updater,
    bench: &'a Bench,
}

impl Once<'_> {
    pub async fn run_once(&self) -> Result<Fetched, UpdateError> {
        let active = Some(&self.bench.active.id);
        self.updater.run(active, &self.bench.course).await
    }
}

impl Bench {
    /// Makes an engine with two files of signatures, updated by a script in Python.
    pub async fn new(script: &str, more: &str) -> Self {
        let mut machine = Machine::bare();
        machine.config.storage.reserve_mb = 1;
        machine.write_context("FROM acquit-base:local\n");
        let sandbox = machine.sandbox();
        sandbox.build(&machine.engine, drop).await.unwrap();
        let seed = machine.config.storage.data_dir.join("seed");
        fs::create_dir_all(seed.join("sub")).unwrap();
        fs::write(seed.join("main.cvd"), vec![7; 4 << 20]).unwrap();
        fs::write(seed.join("sub/a.yar"), "rule a { condition: true }").unwrap();
        let sets = machine.config.storage.sets_dir(&machine.engine);
        let active = signatures::import(&seed, &sets).unwrap();
        let bench = Self {
            machine,
            active,
            course: Course::default(),
        };
        bench.command(script, more);
        bench
    }

    /// Writes the manifest with this update command.
    pub fn command(&self, script: &str, more: &str) {
        let script = serde_json::to_string(script).unwrap();
        let update = format!("[update]\ncommand = [\"python3\", \"-c\", {script}]\n{more}\n");
        self.machine.write_manifest(&update);
    }

    pub fn updater(&self) -> Once<'_> {
        let config = &self.machine.config;
        let manifest = format!("{}.toml", self.machine.engine);
        let manifest = Manifest::load(&config.engines.manifests[0].join(manifest)).unwrap();
        let parts = Parts {
            manifest: Arc::new(manifest),
            config: Arc::new(config.clone()),
            sandbox: self.machine.sandbox(),
            led: Led::default(),
        };
        Once {
            updater: Updater::open(parts).unwrap(),
            bench: self,
        }
    }

    pub async fn run(&self) -> Result<Fetched, UpdateError> {
        self.updater().run_once().await
    }

    pub async fn run_from(&self, active: Option<&SignatureSetId>) -> Result<Fetched, UpdateError> {
        self.updater().updater.run(active, &self.course).await
    }

    pub fn start(&self, work: &str) -> StartUpdate {
        StartUpdate {
            engine: self.machine.engine.clone(),
            generation: "0123456789abcdef".to_owned(),
            work: work.to_owned(),
        }
    }

    pub fn sets(&self) -> PathBuf {
        self.machine.config.storage.sets_dir(&self.machine.engine)
    }

    pub fn set(&self, id: &SignatureSetId) -> PathBuf {
        self.sets().join(&id.0)
    }

    pub fn cache(&self) -> PathBuf {
        let storage = &self.machine.config.storage;
        storage.cache_dir(self.machine.engine.as_str())
    }

    /// Bytes the data directory takes on disk, each file once.
    pub fn disk(&self) -> u64 {
        let mut seen = BTreeMap::new();
        blocks(&self.machine.config.storage.data_dir, &mut seen);
        seen.values().sum()
    }

    /// Checks that there is neither a container nor a candidate nor trash.
    pub fn check_nothing_left(&self) {
        assert_eq!(self.machine.containers(), Vec::<String>::new());
        let updates = self
            .machine
            .config
            .storage
            .updates_dir(&self.machine.engine);
        let left: Vec<_> = fs::read_dir(updates).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        for entry in fs::read_dir(self.cache()).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_string_lossy().starts_with(".trash-"), "{name:?}");
        }
    }

    /// Checks that the active set is what it was.
    pub fn check_active(&self) {
        let set = self.set(&self.active.id);
        assert!(signatures::verify(&set, &self.active.digest).unwrap());
    }
}

fn blocks(dir: &Path, seen: &mut BTreeMap<u64, u64>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        seen.insert(meta.ino(), meta.blocks() * 512);
        if meta.is_dir() {
            blocks(&entry.path(), seen);
        }
    }
}
