//! Has every engine look again at the files it has not seen with what it scans with now.
//!
//! ```text
//! request ──→ survey ──→ nothing to do
//!                │
//!                ▼         a group of analyses and the cursor, in one change
//!             planning ──────────────────────────────────────────────────────→ planned
//!                │ ▲  └─ the lanes are full enough: wait                          │
//!     the daemon ends │ and starts: on from the cursor       all jobs are settled ▼
//!                └─┘                                                          completed
//! ```
//!
//! The rows are the truth, so that start-up, and an error, are only another
//! turn: rescans that were not planned to their end go on, and what an engine
//! scans with, once it is known or another, asks for a rescan by itself.
//! Requests may therefore be lost with the daemon.

pub mod planner;
pub mod progress;
pub mod request;
pub mod survey;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::flow::analysis;
use crate::flow::ingest::Ingest;
use crate::flow::queue::Lanes;
use crate::metrics::Metrics;
use crate::model::{EngineId, EngineState, EngineTable, Rescan, RescanShare, Reuse};
use crate::store::{Pair, Store, StoreError};
use crate::system::now;

use planner::Planner;
use progress::Progress;
pub use request::{Request, Rescans};
use survey::{Present, Survey};

/// How often is looked without anybody asking.
const TICK: Duration = Duration::from_millis(500);
/// How often is looked whether there is room in the lanes.
const GLANCE: Duration = Duration::from_millis(100);
/// How long after an error is tried again.
const REST: Duration = Duration::from_secs(5);
/// How long engines that come up are waited for, so that all take part in one rescan.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nightly jobs in a lane that are enough: opening more would only make rows.
const FULL: u64 = 2048;
/// How often the collection is surveyed only to show how far it is covered.
const SURVEY: Duration = Duration::from_secs(15 * 60);

/// What rescans are made with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The store.
    pub store: Store,
    /// Where analyses are opened.
    pub ingest: Ingest,
    /// Where their jobs wait.
    pub lanes: Lanes,
    /// The board of engines.
    pub engines: watch::Receiver<EngineTable>,
    /// Where is shown how far they are.
    pub metrics: Metrics,
}

/// The one who plans rescans.
#[derive(Debug)]
pub struct Rescanner {
    parts: Parts,
    rescans: Rescans,
    known: BTreeMap<EngineId, Pair>,
    started: Instant,
    surveyed: Option<Instant>,
}

impl Rescanner {
    /// Makes it, and the way to ask it.
    pub fn new(parts: Parts) -> (Self, Rescans) {
        let rescans = Rescans::default();
        let rescanner = Self {
            parts,
            rescans: rescans.clone(),
            known: BTreeMap::new(),
            started: Instant::now(),
            surveyed: None,
        };
        (rescanner, rescans)
    }

    /// Plans rescans until told to stop.
    pub async fn run(mut self, shutdown: &CancellationToken) {
        let work = async {
            loop {
                let Err(error) = self.work().await;
                error!(%error, "Rescans are held up");
                sleep(REST).await;
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    async fn work(&mut self) -> Result<std::convert::Infallible, StoreError> {
        let mut progress = Progress::load(&self.parts.store, &self.parts.metrics)?;
        loop {
            self.look(&mut progress).await?;
            let unplanned = progress.rows.iter().position(|row| !row.planned);
            if !self.is_settled() {
                sleep(TICK).await;
            } else if let Some(place) = unplanned {
                self.plan(&mut progress, place).await?;
            } else if let Some(request) = self.rescans.take() {
                self.begin(&mut progress, request).await?;
            } else {
                self.show_coverage().await?;
                let _ = tokio::time::timeout(TICK, self.rescans.arrived()).await;
            }
        }
    }

    /// Sees what became of jobs, and whether an engine scans with something else.
    async fn look(&mut self, progress: &mut Progress) -> Result<(), StoreError> {
        let Parts {
            store,
            lanes,
            metrics,
            ..
        } = &self.parts;
        if progress.refresh((store, lanes, metrics), now()).await? {
            self.surveyed = None;
        }
        for (engine, versions) in self.present() {
            let pair = Pair::of(&versions);
            let before = self.known.insert(engine.clone(), pair);
            if before != Some(pair) {
                let news = match before {
                    Some(_) => "has another image or other signatures",
                    None => "is ready",
                };
                let reason = format!("{engine} {news}");
                self.rescans.request(reason, Some(engine), Reuse::Known);
            }
        }
        Ok(())
    }

    /// Returns the engines that take part, with what they scan with, as far as that is known.
    fn present(&self) -> Present {
        let enabled = analysis::enabled(&self.parts.engines.borrow());
        let known = enabled.into_iter();
        known
            .filter_map(|(id, versions)| Some((id, versions?)))
            .collect()
    }

    /// Tells whether every engine has come up that soon will.
    fn is_settled(&self) -> bool {
        let coming = |state| matches!(state, EngineState::Proving | EngineState::Starting);
        let table = self.parts.engines.borrow();
        let mut engines = table.values();
        self.started.elapsed() > PATIENCE
            || !engines.any(|status| status.versions.is_none() && coming(status.state))
    }

    /// Counts what is wanted and, if that is anything, writes the rescan down.
    async fn begin(&mut self, progress: &mut Progress, request: Request) -> Result<(), StoreError> {
        let mut present = self.present();
        if let Some(engine) = &request.engine {
            present.retain(|id, _| id == engine);
        }
        let survey = self.survey(present, request.reuse).await?;
        let wanted: u64 = survey.engines.values().map(|share| share.wanted).sum();
        info!(
            wanted,
            "Surveyed {} files because {}", survey.files, request.reason
        );
        if wanted == 0 && !request.ordered {
            return Ok(());
        }
        let row = row(progress.next_number(), request, &survey);
        let Parts { store, metrics, .. } = &self.parts;
        progress.begin((store, metrics), row).await
    }

    /// Opens a rescan's analyses, as fast as they are done.
    async fn plan(&mut self, progress: &mut Progress, place: usize) -> Result<(), StoreError> {
        let (number, wanted) = {
            let row = &progress.rows[place];
            (row.number, row.engines.clone())
        };
        let Parts { store, ingest, .. } = self.parts.clone();
        let mut planner = Planner::new(store, ingest, &progress.rows[place]);
        loop {
            let mut present = self.present();
            present.retain(|id, _| wanted.contains_key(id));
            self.wait_for_room(progress, &present).await?;
            let Some(row) = progress.rows.iter_mut().find(|row| row.number == number) else {
                return Ok(());
            };
            *row = planner.step(row, &present, now()).await?;
            if row.planned {
                return Ok(());
            }
        }
    }

    async fn wait_for_room(
        &mut self,
        progress: &mut Progress,
        present: &Present,
    ) -> Result<(), StoreError> {
        while self.is_full(present) {
            sleep(GLANCE).await;
            self.look(progress).await?;
        }
        Ok(())
    }

    /// Tells whether an engine has enough to do. Who does not scan holds nobody up, unless nobody
    /// does.
    fn is_full(&self, present: &Present) -> bool {
        let table = self.parts.engines.borrow();
        let scans = |id: &&EngineId| table.get(*id).is_some_and(|s| s.state.can_scan());
        let scanning: Vec<_> = present.keys().filter(scans).collect();
        let is_full = |id: &EngineId| self.parts.lanes.depth(id).nightly > FULL;
        if scanning.is_empty() {
            present.keys().any(is_full)
        } else {
            scanning.into_iter().any(is_full)
        }
    }

    /// Shows, now and then, how far the collection is covered.
    async fn show_coverage(&mut self) -> Result<(), StoreError> {
        if self.surveyed.is_none_or(|at| at.elapsed() > SURVEY) {
            self.survey(self.present(), Reuse::Known).await?;
        }
        Ok(())
    }

    async fn survey(&mut self, present: Present, reuse: Reuse) -> Result<Survey, StoreError> {
        let store = self.parts.store.clone();
        let survey = off_thread(move || survey::survey(&store, &present, (reuse, now()))).await?;
        progress::show_survey(&survey, &self.parts.metrics);
        self.surveyed = Some(Instant::now());
        Ok(survey)
    }
}

fn row(number: u64, request: Request, survey: &Survey) -> Rescan {
    let now = now();
    let share = |wanted| RescanShare {
        wanted,
        ..RescanShare::default()
    };
    let engines = survey.engines.iter();
    let engines: BTreeMap<_, _> = engines
        .map(|(id, found)| (id.clone(), share(found.wanted)))
        .collect();
    let nothing = engines.values().all(|share| share.wanted == 0);
    Rescan {
        number,
        reason: request.reason,
        engine: request.engine,
        reuse: request.reuse,
        started_at: now,
        completed_at: nothing.then_some(now),
        files: survey.files,
        analyses: 0,
        engines,
        cursor: None,
        planned: nothing,
    }
}

/// Reads much where it holds nobody up.
async fn off_thread<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|error| {
        Err(StoreError::Failed {
            reason: error.to_string(),
        })
    })
}
