//! One engine's signatures, looked after by one task: the owner of all their transitions.
//!
//! ```text
//!            clock, order
//!   waiting ─────────────→ download ─→ canary ─→ promotion ─→ waiting
//!                              └─────────┴── unchanged, rejected, failed
//! ```
//!
//! What an order changes is written before it is answered. An order that comes
//! while an update is under way is refused at once.

mod carry;
mod inbox;
mod service;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::config::Schedule;
use crate::engine::ask::Engine;
use crate::engine::updater::{Course, Updater};
use crate::flow::board::Board;
use crate::flow::gate::{Gate, Pass};
use crate::metrics::Metrics;
use crate::model::{EventKind, Progress, SignatureSet, SignatureStatus, Trigger, Update};
use crate::system::now;

use super::canary::Canary;
use super::clock::{self, Due};
use super::courses::Courses;
use super::desk::{Order, Refusal};
use super::sets::Sets;
use super::update::Updates;
pub use inbox::{Closing, Inbox};

/// How often the clock is looked at: it may be set, and a laptop may sleep.
const LOOK: Duration = Duration::from_secs(10);
/// How often is looked whether what is due may begin.
const GLANCE: Duration = Duration::from_secs(1);

/// Who looks after one engine's signatures.
#[derive(Debug)]
pub struct Worker {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Whether its sandbox holds.
    pub gate: Gate,
    /// What tries candidates.
    pub canary: Canary,
    /// What fetches them; nothing if nobody said from where.
    pub updater: Option<Updater>,
    /// Its sets.
    pub sets: Sets,
    /// When it is updated; nothing if only by hand.
    pub schedule: Option<Schedule>,
    /// By how much at most an update is put off.
    pub jitter: Duration,
    /// Where its state is shown.
    pub board: Board,
    /// Where is shown how its updates go.
    pub courses: Courses,
    /// Where the ends of updates are counted.
    pub metrics: Metrics,
    /// Whether what it does is about to be done.
    pub closing: Closing,
}

/// Where the answer to an order for an update goes.
type Answer = oneshot::Sender<Result<Update, Refusal>>;

/// Where a candidate comes from.
enum Material {
    /// From the update command.
    Download,
    /// From a bundle that was verified and unpacked.
    Bundle { work: PathBuf, key: String },
}

impl Worker {
    /// Works until told to stop.
    pub async fn run(self, orders: mpsc::Receiver<Order>, shutdown: &CancellationToken) {
        let mut inbox = Inbox::new(self.sets.engine.clone(), orders);
        let updates = self.updates();
        let recovered = async {
            updates.recover(now()).await?;
            self.sets.sweep().await
        };
        if let Err(error) = recovered.await {
            error!(engine.name = %self.engine.manifest.id, %error, "Cannot read updates of before");
        }
        let work = async {
            loop {
                let due = self.show(None).await;
                let due = due.filter(|due| due.at <= now());
                match due {
                    Some(due) if self.may_start() => self.update_when_due(due, &mut inbox).await,
                    Some(_) | None => tokio::select! {
                        Some(order) = inbox.next() => self.obey(order, &mut inbox).await,
                        () = self.rest() => {}
                    },
                }
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    fn updates(&self) -> Updates {
        Updates {
            sets: self.sets.clone(),
        }
    }

    async fn rest(&self) {
        let next = self.next_update().await.map(|due| due.at.since(now()));
        // What is due and not begun waits for the engine's proof.
        let pause = next.unwrap_or(LOOK).clamp(GLANCE, LOOK);
        sleep(pause).await;
    }

    /// Tells whether a candidate could be tried now.
    fn may_start(&self) -> bool {
        self.gate.is_open()
    }

    async fn next_update(&self) -> Option<Due> {
        let schedule = self.schedule.as_ref().filter(|_| self.updater.is_some())?;
        let held = self.sets.active().ok()?.is_some_and(|row| row.held);
        let clock = self.updates().clock(now()).await.ok()?;
        let due = clock::due(&self.sets.engine, (schedule, self.jitter), &clock, now());
        due.filter(|_| !held)
    }

    async fn update_when_due(&self, due: Due, inbox: &mut Inbox) {
        match self.updates().begin(due.trigger, now()).await {
            Ok(update) => {
                let work = self.carry_out(update, Material::Download);
                inbox.meanwhile(&self.closing, work).await;
            }
            Err(error) => {
                error!(engine.name = %self.sets.engine, %error, "Cannot begin an update");
                sleep(LOOK).await;
            }
        }
    }

    async fn obey(&self, order: Order, inbox: &mut Inbox) {
        match order {
            Order::Update(answer) => {
                let begun = self.begin(Trigger::Manual).await;
                self.answer_and_carry_out((begun, answer), Material::Download, inbox)
                    .await;
            }
            Order::Import { work, key, answer } => {
                let (begun, material) = (
                    self.begin(Trigger::Import).await,
                    Material::Bundle { work, key },
                );
                self.answer_and_carry_out((begun, answer), material, inbox)
                    .await;
            }
            Order::Rollback(answer) => {
                let done = inbox.meanwhile(&self.closing, self.roll_back()).await;
                let _ = answer.send(done);
            }
            Order::Promote(set, answer) => {
                let work = self.put_into_service(&set, EventKind::SignaturesPromoted);
                let done = inbox.meanwhile(&self.closing, work).await;
                let _ = answer.send(done);
            }
            Order::Hold(answer) => drop(answer.send(self.hold(true).await)),
            Order::Release(answer) => drop(answer.send(self.hold(false).await)),
        }
    }

    /// Tells who asked how an update begins, and then makes it.
    async fn answer_and_carry_out(
        &self,
        (begun, answer): (Result<Update, Refusal>, Answer),
        material: Material,
        inbox: &mut Inbox,
    ) {
        let update = begun.as_ref().ok().cloned();
        // Nobody may be waiting any more; that is no error.
        let _ = answer.send(begun);
        if let Some(update) = update {
            let work = self.carry_out(update, material);
            inbox.meanwhile(&self.closing, work).await;
        }
    }

    async fn begin(&self, trigger: Trigger) -> Result<Update, Refusal> {
        let engine = self.sets.engine.clone();
        if self.updater.is_none() && trigger != Trigger::Import {
            return Err(Refusal::Impossible(format!(
                "nobody said where signatures of {engine} come from; name sources in \
                 [updates.engines.{engine}] of acquit.toml"
            )));
        }
        if self.sets.active()?.is_some_and(|row| row.held) {
            return Err(Refusal::Held { engine });
        }
        if let Pass::Closed(reason) = self.gate.pass().await {
            return Err(Refusal::Impossible(reason));
        }
        Ok(self.updates().begin(trigger, now()).await?)
    }

    async fn hold(&self, held: bool) -> Result<SignatureSet, Refusal> {
        let engine = &self.sets.engine;
        let set = self.sets.hold(held, now()).await?;
        set.ok_or_else(|| Refusal::Impossible(format!("{engine} has no signatures in service")))
    }

    /// Writes the state on the board; returns when the next update is due.
    async fn show(&self, update: Option<&Update>) -> Option<Due> {
        let due = self.next_update().await;
        let row = self.sets.active().ok().flatten();
        let clock = self.updates().clock(now()).await.unwrap_or_default();
        // A set that came back is as old as it was.
        let came = row.as_ref().map(|row| match self.sets.get(&row.id) {
            Ok(Some(set)) => set.created_at,
            Ok(None) | Err(_) => row.created_at,
        });
        let status = SignatureStatus {
            active: row.as_ref().map(|row| row.id.clone()),
            active_since: came,
            previous: row.as_ref().and_then(|row| row.previous.clone()),
            held: row.as_ref().is_some_and(|row| row.held),
            updatable: self.updater.is_some(),
            updating: update.map(|update| Progress {
                number: update.number,
                phase: update.phase,
                started_at: update.started_at,
                new_bytes: 0,
                output_bytes: 0,
            }),
            last_update_at: clock.started_at,
            last_outcome: clock.outcome,
            last_success_at: clock.success_at,
            failures: clock.failures,
            next_update_at: due.map(|due| due.at),
        };
        let engine = &self.sets.engine;
        self.board
            .update(engine, |shown| shown.signatures = Some(status));
        due
    }

    fn show_progress(&self, course: &Course) {
        self.board.update(&self.sets.engine, |shown| {
            let signatures = shown.signatures.as_mut();
            if let Some(progress) = signatures.and_then(|shown| shown.updating.as_mut()) {
                progress.new_bytes = course.new_bytes();
                progress.output_bytes = course.said();
            }
        });
    }
}
