//! The way of a file through real engines in real containers, without HTTP.

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
use acquit::store::Store;
use acquit::system::now;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support;

struct Flow {
    store: Store,
    ingest: Ingest,
    tasks: JoinSet<&'static str>,
    shutdown: CancellationToken,
    sandbox: Sandbox,
    engines: watch::Receiver<EngineTable>,
    _dir: tempfile::TempDir,
}

impl Flow {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut config = Config::default();
        config.storage.data_dir = dir.path().join("data");
        config.storage.reserve_mb = 1;
        config.engines.manifests = vec![root.join("engines")];
        config.engines.containers = root.join("containers");
        config.docker.runner = support::runner();
        std::fs::create_dir_all(&config.storage.data_dir).unwrap();
        let sandbox = Sandbox::direct(config.clone()).unwrap();
        let config = Arc::new(config);
        let store = Store::open(&config.storage.data_dir, 1 << 22).unwrap();
        let lanes = Lanes::open(store.clone()).unwrap();
        let (completed, _) = broadcast::channel(16);
        let parts = Parts {
            config: Arc::clone(&config),
            store: store.clone(),
            lanes: lanes.clone(),
            metrics: Metrics::new().unwrap(),
            completed,
            sandbox: sandbox.clone(),
        };
        let fleet = Fleet::open(parts).await.unwrap();
        let engines = fleet.board().subscribe();
        let ingest = Ingest::new(store.clone(), lanes, engines.clone(), 1);
        let (mut tasks, shutdown) = (JoinSet::new(), CancellationToken::new());
        fleet.run(&mut tasks, &shutdown);
        Self {
            store,
            ingest,
            tasks,
            shutdown,
            sandbox,
            engines,
            _dir: dir,
        }
    }

    async fn submit(&self, bytes: &[u8], name: &str) -> Analysis {
        let mut incoming = self.ingest.receive(1 << 30).unwrap();
        incoming.write(bytes.to_vec().into()).await.unwrap();
        let submission = Submission {
            name: Some(name.to_owned()),
            engines: None::<BTreeSet<_>>,
            priority: Priority::Interactive,
            reuse: Reuse::Known,
            now: now(),
        };
        self.ingest.accept(incoming, submission).await.unwrap().0
    }

    async fn completed(&self, analysis: &Analysis) -> Vec<(String, Verdict)> {
        for _ in 0..1200 {
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

    async fn close(mut self) {
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
