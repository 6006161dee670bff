//! The way of a file through real engines in real containers, without HTTP.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acquit::config::Config;
use acquit::daemon::fleet::{Fleet, Parts};
use acquit::engine::sandbox::Sandbox;
use acquit::flow::ingest::{Ingest, Submission};
use acquit::flow::queue::Lanes;
use acquit::metrics::Metrics;
use acquit::model::{Analysis, EngineTable, Priority, Reuse, Verdict};
use acquit::nightly::Desk;
use acquit::store::{Incoming, Store};
use acquit::system::{self, now};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::machine::docker;
use crate::support;

/// An appliance without HTTP: the fleet as the daemon runs it, in this process.
pub struct Flow {
    pub store: Store,
    pub ingest: Ingest,
    pub sandbox: Sandbox,
    pub engines: watch::Receiver<EngineTable>,
    pub desk: Desk,
    pub config: Arc<Config>,
    pub lanes: Lanes,
    pub metrics: Metrics,
    tasks: JoinSet<&'static str>,
    shutdown: CancellationToken,
    containers: Containers,
    _dir: tempfile::TempDir,
}

/// The containers of one appliance; dropped, they are gone, also when a test fails.
pub struct Containers {
    pub instance: String,
}

impl Containers {
    /// Lists them by id, running or not.
    pub fn list(&self) -> Vec<String> {
        let label = format!("label=acquit.instance={}", self.instance);
        let listed = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]);
        listed.lines().map(str::to_owned).collect()
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        for container in self.list() {
            let mut remove = std::process::Command::new("docker");
            let _ = remove.args(["rm", "--force", &container]).output();
        }
    }
}

impl Flow {
    async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    /// Opens it with another configuration than the shipped engines'.
    pub async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut config = Config::default();
        config.storage.data_dir = dir.path().join("data");
        config.storage.reserve_mb = 1;
        config.engines.manifests = vec![root.join("engines")];
        config.engines.containers = root.join("containers");
        config.docker.runner = support::runner();
        config.updates.enabled = false;
        change(&mut config);
        std::fs::create_dir_all(&config.storage.data_dir).unwrap();
        let sandbox = Sandbox::direct(config.clone()).unwrap();
        let config = Arc::new(config);
        let store = Store::open(&config.storage.data_dir, 1 << 22).unwrap();
        let lanes = Lanes::open(store.clone()).unwrap();
        let (completed, _) = broadcast::channel(16);
        let metrics = Metrics::new().unwrap();
        let parts = Parts {
            config: Arc::clone(&config),
            store: store.clone(),
            lanes: lanes.clone(),
            metrics: metrics.clone(),
            completed,
            sandbox: sandbox.clone(),
        };
        let fleet = Fleet::open(parts).await.unwrap();
        let (engines, desk) = (fleet.board().subscribe(), fleet.desk());
        let ingest = Ingest::new(store.clone(), lanes.clone(), engines.clone(), 1);
        let (mut tasks, shutdown) = (JoinSet::new(), CancellationToken::new());
        fleet.run(&mut tasks, &shutdown);
        let instance = system::instance(&config.storage.data_dir).unwrap();
        Self {
            store,
            ingest,
            sandbox,
            engines,
            desk,
            config,
            lanes,
            metrics,
            tasks,
            shutdown,
            containers: Containers { instance },
            _dir: dir,
        }
    }

    /// Takes a file in, as an upload does.
    pub async fn submit(&self, bytes: &[u8], name: &str) -> Analysis {
        let mut incoming = self.ingest.receive(4 << 30).unwrap();
        incoming.write(bytes.to_vec().into()).await.unwrap();
        self.accept(incoming, name).await
    }

    /// Opens the analysis of a file that has come in.
    pub async fn accept(&self, incoming: Incoming, name: &str) -> Analysis {
        let submission = Submission {
            name: Some(name.to_owned()),
            engines: None::<BTreeSet<_>>,
            priority: Priority::Interactive,
            reuse: Reuse::Known,
            now: now(),
        };
        self.ingest.accept(incoming, submission).await.unwrap().0
    }

    /// Waits for the answer of every engine.
    pub async fn completed(&self, analysis: &Analysis) -> Vec<(String, Verdict)> {
        for _ in 0..3600 {
            let analysis = self.store.analysis(&analysis.id).unwrap().unwrap();
            if analysis.pending.is_empty() {
                let results = self.store.results(&analysis.id).unwrap();
                return results
                    .into_iter()
                    .map(|(id, r)| (id.to_string(), r.verdict))
                    .collect();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let engines = self.engines.borrow().clone();
        panic!("{analysis:?} did not complete: {engines:#?}");
    }

    /// Lists the containers there are, running or not.
    pub fn containers(&self) -> Vec<String> {
        self.containers.list()
    }

    /// Ends everything and removes the containers.
    pub async fn close(mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
        for state in self.sandbox.list().await.unwrap() {
            self.sandbox.stop(&state.container).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_engine_answers_for_every_file() {
    let flow = Flow::open().await;
    let eicar = flow.submit(&support::eicar(), "eicar.com").await;
    let clean = flow.submit(b"nothing to see here\n", "clean.txt").await;
    let empty = flow.submit(b"", "empty").await;
    for (file, analysis) in [("eicar", &eicar), ("clean", &clean), ("empty", &empty)] {
        let verdicts = flow.completed(analysis).await;
        println!("{file}: {verdicts:?}");
    }
    flow.close().await;
}
