//! The way of a file through real engines in real containers, without HTTP.

use std::collections::BTreeMap;
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

/// How long the slowest of all engines may take on a machine that builds meanwhile.
const PATIENCE: Duration = Duration::from_secs(240);

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
    /// Opens a flow with the shipped manifests of some engines, changed by `change`.
    async fn open(engines: &[&str], change: impl Fn(&str) -> String, memory_mb: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let manifests = dir.path().join("engines");
        std::fs::create_dir(&manifests).unwrap();
        for engine in engines {
            let file = format!("{engine}.toml");
            let text = std::fs::read_to_string(root.join("engines").join(&file)).unwrap();
            std::fs::write(manifests.join(&file), change(&text)).unwrap();
        }
        let mut config = Config::default();
        config.storage.data_dir = dir.path().join("data");
        config.engines.manifests = vec![manifests];
        config.engines.containers = root.join("containers");
        config.engines.memory_mb = memory_mb;
        config.docker.runner = support::runner();
        std::fs::create_dir_all(&config.storage.data_dir).unwrap();
        Self::start(Arc::new(config), dir).await
    }

    async fn start(config: Arc<Config>, dir: tempfile::TempDir) -> Self {
        let sandbox = Sandbox::direct(Config::clone(&config)).unwrap();
        let store = Store::open(&config.storage.data_dir, 1 << 22).unwrap();
        let lanes = Lanes::open(store.clone()).unwrap();
        let (completed, _) = broadcast::channel(16);
        let parts = Parts {
            config,
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

    async fn submit(&self, bytes: &[u8], name: &str, reuse: Reuse) -> Analysis {
        let mut incoming = self.ingest.receive(1 << 30).unwrap();
        incoming.write(bytes.to_vec().into()).await.unwrap();
        let submission = Submission {
            name: Some(name.to_owned()),
            engines: None,
            priority: Priority::Interactive,
            reuse,
            now: now(),
        };
        self.ingest.accept(incoming, submission).await.unwrap().0
    }

    /// Waits for an analysis and returns each engine's category and name or reason.
    async fn verdicts(&self, analysis: &Analysis) -> BTreeMap<String, String> {
        let end = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < end {
            let analysis = self.store.analysis(&analysis.id).unwrap().unwrap();
            if analysis.pending.is_empty() {
                let results = self.store.results(&analysis.id).unwrap();
                let shown = |verdict: Verdict| match verdict.name() {
                    Some(name) => format!("{} {name}", verdict.category()),
                    None => verdict.category().to_owned(),
                };
                let pairs = results.into_iter();
                return pairs
                    .map(|(id, r)| (id.to_string(), shown(r.verdict)))
                    .collect();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
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

#[track_caller]
fn check(verdicts: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    let expected = expected
        .iter()
        .map(|(engine, verdict)| (engine.to_string(), verdict.to_string()));
    assert_eq!(*verdicts, expected.collect());
}

const ALL: &[&str] = &[
    "clamav",
    "guarddog",
    "kicomav",
    "oletools",
    "pdfid",
    "picklescan",
    "yara",
    "yara-x",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_engine_answers_for_every_file() {
    let flow = Flow::open(ALL, str::to_owned, 0).await;
    let eicar = flow
        .submit(&support::eicar(), "eicar.com", Reuse::Known)
        .await;
    let clean = flow
        .submit(b"nothing to see here\n", "clean.txt", Reuse::Known)
        .await;
    let macros = b"Sub AutoOpen()\nShell \"cmd.exe /c calc\"\nEnd Sub\n";
    let macros = flow.submit(macros, "macro.bas", Reuse::Known).await;
    check(
        &flow.verdicts(&eicar).await,
        &[
            ("clamav", "malicious Acquit.Eicar-Test-File"),
            ("guarddog", "type-unsupported"),
            ("kicomav", "malicious EICAR-Test-File (not a virus)"),
            ("oletools", "type-unsupported"),
            ("pdfid", "type-unsupported"),
            ("picklescan", "type-unsupported"),
            ("yara", "malicious Acquit_Eicar_Test_File"),
            ("yara-x", "malicious Acquit_Eicar_Test_File"),
        ],
    );
    let clean = flow.verdicts(&clean).await;
    for engine in ["clamav", "kicomav", "yara", "yara-x"] {
        assert_eq!(clean[engine], "undetected", "{clean:?}");
    }
    assert!(flow.verdicts(&macros).await["oletools"].starts_with("suspicious MacroRaptor"));
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn known_answer_is_taken_over_and_a_new_scan_is_made_on_demand() {
    let flow = Flow::open(&["yara"], str::to_owned, 0).await;
    let first = flow.submit(b"same bytes", "a", Reuse::Known).await;
    flow.verdicts(&first).await;
    let second = flow.submit(b"same bytes", "b", Reuse::Known).await;
    assert!(second.pending.is_empty(), "{second:?}");
    assert_ne!(first.id, second.id);
    let results = |analysis: &Analysis| flow.store.results(&analysis.id).unwrap();
    assert_eq!(results(&first), results(&second));
    let third = flow.submit(b"same bytes", "c", Reuse::Never).await;
    assert!(!third.pending.is_empty());
    flow.verdicts(&third).await;
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_isolation_gives_each_job_a_container_of_its_own() {
    let fresh = |text: &str| text.replace("[run]\n", "[run]\nisolation = \"fresh\"\n");
    let flow = Flow::open(&["yara"], fresh, 0).await;
    let mut generations = std::collections::BTreeSet::new();
    for number in 0..3 {
        let analysis = flow
            .submit(format!("file {number}").as_bytes(), "f", Reuse::Known)
            .await;
        while flow.store.results(&analysis.id).unwrap().is_empty() {
            generations.extend(
                flow.sandbox
                    .list()
                    .await
                    .unwrap()
                    .into_iter()
                    .map(|c| c.generation),
            );
        }
        check(&flow.verdicts(&analysis).await, &[("yara", "undetected")]);
    }
    assert!(generations.len() >= 3, "{generations:?}");
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_that_do_not_fit_together_take_turns() {
    let on_demand = |text: &str| {
        let text: String = text
            .lines()
            .filter(|l| !l.starts_with("residency"))
            .fold(String::new(), |text, line| text + line + "\n");
        text.replace("[run]\n", "[run]\nresidency = \"on-demand\"\n")
    };
    // Less than the two may use together, enough for the larger one.
    let flow = Flow::open(&["yara", "pdfid"], on_demand, 1100).await;
    for number in 0..2 {
        let text = format!("file {number}");
        let analysis = flow.submit(text.as_bytes(), "f", Reuse::Known).await;
        let expected = [("pdfid", "type-unsupported"), ("yara", "undetected")];
        check(&flow.verdicts(&analysis).await, &expected);
        assert!(flow.sandbox.list().await.unwrap().len() <= 2);
    }
    flow.close().await;
}
