//! The malicious engine as an operator would add it: a manifest and a build context.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use acquit::config::Config;
use acquit::engine::sandbox::Sandbox;
use acquit::model::EngineId;

use crate::support;

/// How an engine says that a file is clean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A line for every file.
    Loud,
    /// Not at all; a sentinel must prove that it looked.
    Silent,
}

/// Engines made of one program; their images go with the value.
pub struct Evil {
    pub ids: Vec<EngineId>,
    dir: tempfile::TempDir,
}

impl Evil {
    /// Writes what an operator would write.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let readable = || PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), readable()).unwrap();
        let evil = Self {
            ids: Vec::new(),
            dir,
        };
        let context = evil.path("containers/evil");
        std::fs::create_dir_all(context.join("signatures")).unwrap();
        std::fs::create_dir_all(evil.path("engines")).unwrap();
        std::fs::write(context.join("signatures/names"), "evil\n").unwrap();
        std::fs::copy(support::evil(), context.join("evil")).unwrap();
        std::fs::write(
            context.join("Dockerfile"),
            "FROM scratch\nCOPY evil /evil\n",
        )
        .unwrap();
        evil
    }

    /// Adds an engine and returns its id.
    pub fn add(&mut self, style: Style, batch_files: u32) -> EngineId {
        let mut random = [0; 4];
        getrandom::fill(&mut random).unwrap();
        let id = format!("evil-{}", hex::encode(random));
        let path = self.path("engines").join(format!("{id}.toml"));
        std::fs::write(path, manifest(&id, style, batch_files)).unwrap();
        self.ids.push(id.parse().unwrap());
        id.parse().unwrap()
    }

    /// Makes these the only engines.
    pub fn configure(&self, config: &mut Config) {
        config.engines.manifests = vec![self.path("engines")];
        config.engines.containers = self.path("containers");
        config.docker.runner = support::runner();
    }

    /// Builds the images, the product's way.
    pub async fn build(&self) {
        let mut config = Config::default();
        self.configure(&mut config);
        config.storage.data_dir = self.path("data");
        std::fs::create_dir_all(&config.storage.data_dir).unwrap();
        let sandbox = Sandbox::direct(config).unwrap();
        for id in &self.ids {
            sandbox.build(id, drop).await.unwrap();
        }
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        Path::new(self.dir.path()).join(below)
    }
}

impl Drop for Evil {
    fn drop(&mut self) {
        for id in &self.ids {
            let tag = format!("acquit-engine-{id}:local");
            let _ = Command::new("docker").args(["rmi", &tag]).output();
        }
    }
}

fn manifest(id: &str, style: Style, batch_files: u32) -> String {
    let (flag, proof) = match style {
        Style::Loud => ("--loud", LOUD),
        Style::Silent => ("--silent", "[parse.proof]\nrule = \"silence\"\n"),
    };
    format!(
        r#"
id = "{id}"
name = "Evil"
vendor = "Nobody"
description = "Does what the files it is given say"
[image]
context = "evil"
[run]
transport = "command"
command = ["/evil", "{flag}", "{{files}}"]
batch_files = {batch_files}
[limits]
memory_mb = 64
pids = 32
tmp_mb = 8
timeout_seconds = 2
output_kb = 1024
[signatures]
seed = "signatures"
[parse.exit]
complete = [0]
[[parse.lines]]
pattern = '^(?<path>/\S+): (?<name>.+) FOUND$'
means = "malicious"
{proof}"#
    )
}

/// What the engine that speaks of every file says besides.
const LOUD: &str = r#"
[[parse.lines]]
pattern = '^(?<path>/\S+): OK$'
means = "undetected"
[parse.proof]
rule = "per-file"
"#;
