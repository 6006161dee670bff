//! A store, its lanes and a rescanner, with two engines whose answers the test gives.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use acquit::engine::ask::Run;
use acquit::flow::analysis::{Answer, Recorder};
use acquit::flow::board::Board;
use acquit::flow::ingest::{Ingest, Submission};
use acquit::flow::queue::{BatchLimit, Lanes};
use acquit::metrics::Metrics;
use acquit::model::{
    Analysis, EngineId, EngineState, EngineVersions, Priority, Rescan, Reuse, Sha256,
    SignatureSetId, Verdict,
};
use acquit::nightly::rescan::{Parts, Rescanner, Rescans};
use acquit::store::{BLOBS, Store};
use acquit::system::now;
use sha2::Digest;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// One engine.
pub const A: &str = "yara";
/// The other one.
pub const B: &str = "yara-x";

pub struct Lab {
    pub store: Store,
    pub lanes: Lanes,
    pub board: Board,
    pub ingest: Ingest,
    pub metrics: Metrics,
    pub recorder: Recorder,
    clock: AtomicU64,
    shutdown: CancellationToken,
    tasks: RefCell<JoinSet<()>>,
    _dir: tempfile::TempDir,
}

impl Lab {
    /// Opens it with so many files, whose jobs wait.
    pub async fn open(files: u64) -> Self {
        let lab = Self::bare().await;
        for number in 0..files {
            lab.upload(number, None).await;
        }
        lab
    }

    /// Opens it without any file.
    pub async fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 22).unwrap();
        let lanes = Lanes::open(store.clone()).unwrap();
        let ours = [A, B].map(crate::support::shipped);
        let board = Board::new(ours.iter().map(|manifest| (manifest, EngineState::Ready)));
        let metrics = Metrics::new().unwrap();
        let (completed, _) = broadcast::channel(16);
        let recorder = Recorder {
            store: store.clone(),
            lanes: lanes.clone(),
            metrics: metrics.clone(),
            board: board.clone(),
            completed,
        };
        let lab = Self {
            ingest: Ingest::new(store.clone(), lanes.clone(), board.subscribe(), 0),
            store,
            lanes,
            board,
            metrics,
            recorder,
            clock: AtomicU64::new(0),
            tasks: RefCell::default(),
            shutdown: CancellationToken::new(),
            _dir: dir,
        };
        lab.promote(&[A, B], "first");
        lab
    }

    /// Starts a rescanner.
    pub fn start(&self) -> Rescans {
        let (rescanner, rescans) = Rescanner::new(Parts {
            store: self.store.clone(),
            ingest: self.ingest.clone(),
            lanes: self.lanes.clone(),
            engines: self.board.subscribe(),
            metrics: self.metrics.clone(),
        });
        let shutdown = self.shutdown.clone();
        let mut tasks = self.tasks.borrow_mut();
        tasks.spawn(async move { rescanner.run(&shutdown).await });
        rescans
    }

    /// Lets engines scan with another set.
    pub fn promote(&self, engines: &[&str], set: &str) {
        for engine in engines {
            self.board.ready(&engine.parse().unwrap(), &versions(set));
        }
    }

    /// Returns what an engine scans with.
    pub fn present(&self) -> std::collections::BTreeMap<EngineId, EngineVersions> {
        let table = self.board.subscribe();
        let table = table.borrow();
        let known = table.iter();
        known
            .map(|(id, status)| (id.clone(), status.versions.clone().unwrap()))
            .collect()
    }

    pub fn blob(number: u64) -> Sha256 {
        Sha256::new(sha2::Sha256::digest(bytes(number)).into())
    }

    pub fn has(&self, number: u64) -> bool {
        let row = self.store.get(&BLOBS, &Self::blob(number)).unwrap();
        row.is_some()
    }

    /// Takes a file in.
    pub async fn upload(&self, number: u64, engine: Option<&str>) -> Analysis {
        let mut incoming = self.ingest.receive(1 << 20).unwrap();
        incoming.write(bytes(number).into()).await.unwrap();
        let submission = Submission {
            name: None,
            engines: engine.map(|engine| [engine.parse().unwrap()].into()),
            priority: Priority::Interactive,
            reuse: Reuse::Known,
            now: now(),
        };
        self.ingest.accept(incoming, submission).await.unwrap().0
    }

    /// Answers everything that waits with the same verdict; returns how much that was.
    pub async fn scan(&self, verdict: &Verdict) -> usize {
        let mut count = 0;
        for (engine, versions) in self.present() {
            loop {
                let answers = self.lease(&engine, verdict);
                if answers.is_empty() {
                    break;
                }
                count += answers.len();
                let run = self.run(versions.clone(), Duration::ZERO);
                self.recorder.record(answers, &run).await.unwrap();
            }
        }
        count
    }

    /// Claims what waits in a lane, and what is to be said of it.
    pub fn lease(&self, engine: &EngineId, verdict: &Verdict) -> Vec<Answer> {
        let limit = BatchLimit {
            files: 1000,
            bytes: u64::MAX >> 1,
            lease: Duration::from_secs(600),
        };
        let leased = self.lanes.lease(engine, limit).unwrap().into_iter();
        let answer = |leased| Answer {
            leased,
            verdict: verdict.clone(),
            staged: None,
        };
        leased.map(answer).collect()
    }

    pub fn run(&self, versions: EngineVersions, duration: Duration) -> Run {
        let raw = self.clock.fetch_add(1, Ordering::Relaxed).to_string();
        Run {
            versions,
            duration,
            raw: raw.into_bytes(),
        }
    }

    /// Waits until the rescanner has nothing left to plan.
    pub async fn idle(&self) {
        // Longer than it takes to see the board and to plan a handful of files.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for _ in 0..400 {
            let rows = self.store.rescans(None, 100).unwrap().rows;
            if rows.iter().all(|row| row.planned) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("a rescan is not planned to its end");
    }

    /// Waits until a rescan is complete.
    pub async fn completed(&self, number: u64) -> Rescan {
        for _ in 0..1200 {
            let row = self.store.get(&acquit::store::RESCANS, &number).unwrap();
            if let Some(row) = row.filter(|row| row.completed_at.is_some()) {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("rescan {number} is not complete");
    }

    /// Returns the series of the engines' coverage.
    pub fn coverage(&self) -> String {
        let text = self.metrics.text().unwrap();
        let lines = text.lines();
        let ours = lines.filter(|line| line.starts_with("acquit_rescan_coverage_ratio"));
        ours.map(|line| format!("{line}\n")).collect()
    }
}

pub fn versions(set: &str) -> EngineVersions {
    EngineVersions {
        image: "sha256:0123".to_owned(),
        signature_set: Some(SignatureSetId(set.to_owned())),
        ..EngineVersions::default()
    }
}

fn bytes(number: u64) -> Vec<u8> {
    format!("file {number}").into_bytes()
}
