//! Opens what looks after signatures: the first set of each engine, its canary, its worker.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::fleet::Parts;
use crate::config::Schedule;
use crate::engine::ask::Engine;
use crate::engine::budget::Budget;
use crate::engine::led::Led;
use crate::engine::manifest::Manifest;
use crate::engine::parser::Parser;
use crate::engine::resident::{self, Resident};
use crate::engine::runner::RunnerPort;
use crate::engine::sandbox::Role;
use crate::engine::updater::{self, Updater};
use crate::engine::{signatures, staging};
use crate::flow::board::Board;
use crate::flow::gate::Gate;
use crate::model::{EngineId, SetSource, SignatureSetId, SignatureStatus};
use crate::nightly::canary::Canary;
use crate::nightly::courses::Courses;
use crate::nightly::desk::{Desk, Order};
use crate::nightly::sets::Sets;
use crate::nightly::worker::{Closing, Worker};
use crate::system::now;

/// Orders that may wait for a worker; one at a time, because the next would be refused anyway.
const WAITING: usize = 1;

/// Everybody who looks after signatures.
#[derive(Debug, Default)]
pub struct Night {
    workers: Vec<(Worker, mpsc::Receiver<Order>)>,
    ports: Vec<Arc<RunnerPort>>,
    orders: BTreeMap<EngineId, Option<mpsc::Sender<Order>>>,
    courses: Courses,
}

/// What a worker shares with the engine it works for.
#[derive(Debug)]
pub struct Shared<'a> {
    /// The engine.
    pub engine: &'a Arc<Engine>,
    /// Whether its sandbox holds.
    pub gate: &'a Gate,
    /// Where its state is shown.
    pub board: &'a Board,
    /// What the running engines may use.
    pub budget: &'a Budget,
    /// Where containers are known to have an owner.
    pub led: &'a Led,
    /// Every engine there is.
    pub all: &'a [EngineId],
}

impl Night {
    /// Adds the worker of an engine; one without signatures of its own needs none.
    ///
    /// # Errors
    /// If the data directory cannot be used.
    pub fn add(&mut self, parts: &Parts, shared: &Shared<'_>) -> anyhow::Result<()> {
        let id = shared.engine.manifest.id.clone();
        if shared.engine.manifest.signatures.is_none() {
            self.orders.insert(id, None);
            return Ok(());
        }
        remove_unpacked(&parts.config.storage.updates_dir(&id));
        let (canary, port) = canary(parts, shared).context("its canary")?;
        self.ports.push(port);
        let updater = updater(parts, shared).context("its updater")?;
        let (orders, waiting) = mpsc::channel(WAITING);
        let updates = &parts.config.updates;
        let worker = Worker {
            engine: Arc::clone(shared.engine),
            gate: shared.gate.clone(),
            canary,
            updater,
            sets: sets(parts, &id),
            schedule: schedule(parts, &id),
            jitter: Duration::from_secs(60 * u64::from(updates.jitter_minutes)),
            board: shared.board.clone(),
            courses: self.courses.clone(),
            metrics: parts.metrics.clone(),
            closing: Closing::default(),
        };
        let status = SignatureStatus {
            updatable: worker.updater.is_some(),
            active: shared.engine.resident.signatures(),
            ..SignatureStatus::default()
        };
        shared
            .board
            .update(&id, |shown| shown.signatures = Some(status));
        self.workers.push((worker, waiting));
        self.orders.insert(id, Some(orders));
        Ok(())
    }

    /// Adds an engine that has no signatures here.
    pub fn add_without(&mut self, id: &EngineId) {
        self.orders.insert(id.clone(), None);
    }

    /// Returns the desk at which orders for the workers are given.
    pub fn desk(&self) -> Desk {
        Desk::new(self.orders.clone(), self.courses.clone())
    }

    /// Starts everybody.
    pub fn run(self, tasks: &mut JoinSet<&'static str>, shutdown: &CancellationToken) {
        for port in self.ports {
            let stop = shutdown.clone();
            tasks.spawn(async move {
                stop.run_until_cancelled(port.serve()).await;
                "port"
            });
        }
        for (worker, orders) in self.workers {
            let stop = shutdown.clone();
            tasks.spawn(async move {
                worker.run(orders, &stop).await;
                // Without orders there is nobody left to work for; only the end of the daemon ends it.
                stop.cancelled().await;
                "signatures"
            });
        }
    }
}

/// Makes the engine a candidate is tried with: the same, in containers that see canaries only.
fn canary(parts: &Parts, shared: &Shared<'_>) -> anyhow::Result<(Canary, Arc<RunnerPort>)> {
    let storage = &parts.config.storage;
    let manifest = Arc::clone(&shared.engine.manifest);
    let (id, role) = (manifest.id.clone(), Role::Canary);
    let port = Arc::new(RunnerPort::bind(&storage.canary_runner_dir(&id))?);
    let sentinel = storage.data_dir.join("sentinel");
    let staging = staging::Staging::open(&storage.canary_staging_dir(&id), &sentinel)?;
    let resident = Resident::new(resident::Parts {
        manifest: Arc::clone(&manifest),
        sandbox: parts.sandbox.clone(),
        port: Arc::clone(&port),
        budget: shared.budget.clone(),
        led: shared.led.clone(),
        role,
    });
    let engine = Engine {
        parser: Parser::new(&manifest.parse)?,
        manifest,
        resident,
        staging,
    };
    let canary = Canary {
        engine: Arc::new(engine),
        config: Arc::clone(&parts.config),
        store: parts.store.clone(),
        engines: shared.all.to_vec(),
    };
    Ok((canary, port))
}

/// Makes what fetches an engine's signatures; nothing if nobody said from where.
fn updater(parts: &Parts, shared: &Shared<'_>) -> anyhow::Result<Option<Updater>> {
    let manifest = &shared.engine.manifest;
    let Some(update) = &manifest.update else {
        return Ok(None);
    };
    let updates = &parts.config.updates;
    if updates.sources_of(&manifest.id, &update.sources).is_empty() {
        return Ok(None);
    }
    let updater = Updater::open(updater::Parts {
        manifest: Arc::clone(manifest),
        config: Arc::clone(&parts.config),
        sandbox: parts.sandbox.clone(),
        led: shared.led.clone(),
    })?;
    Ok(Some(updater))
}

/// Removes bundles that were unpacked when the daemon was killed.
fn remove_unpacked(updates: &Path) {
    let entries = std::fs::read_dir(updates).into_iter().flatten().flatten();
    let unpacked = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("import-")
    });
    for entry in unpacked {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            warn!(%error, "Cannot remove {}", entry.path().display());
        }
    }
}

/// Reads an engine's schedule; a bad one is told of, and then it is updated by hand only.
fn schedule(parts: &Parts, id: &EngineId) -> Option<Schedule> {
    let (schedule, timezone) = parts.config.updates.schedule_of(id)?;
    let parsed = Schedule::parse(schedule, timezone);
    parsed
        .inspect_err(|what| warn!(engine.name = %id, "No update by the clock: {what}"))
        .ok()
}

fn sets(parts: &Parts, id: &EngineId) -> Sets {
    Sets {
        engine: id.clone(),
        store: parts.store.clone(),
        storage: parts.config.storage.clone(),
    }
}

/// Returns the set an engine scans with: the one in service, or the one its build context carries
/// as long as there was no other.
///
/// # Errors
/// If neither is there, or the store fails.
pub async fn set_in_service(
    parts: &Parts,
    manifest: &Manifest,
) -> anyhow::Result<Option<SignatureSetId>> {
    let Some(spec) = &manifest.signatures else {
        return Ok(None);
    };
    let sets = sets(parts, &manifest.id);
    let active = sets.active()?;
    if let Some(row) = active.filter(|row| row.source != SetSource::Seed.as_str()) {
        if sets.dir(&row.id).is_dir() {
            return Ok(Some(row.id));
        }
        warn!(engine.name = %manifest.id, "Signature set {} is gone; back to the first one", row.id);
    }
    let context = manifest.build_context(&parts.config.engines.containers);
    let seed = context.join(&spec.seed);
    let kept = signatures::import(&seed, &sets.root())
        .with_context(|| format!("cannot read the signatures in {}", seed.display()))?;
    let id = kept.id.clone();
    parts
        .store
        .write(move |change| sets.plant(change, kept, now()))
        .await?;
    Ok(Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacked_bundles_of_a_killed_daemon_go_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["import-00ff/a", "0123456789abcdef/b"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        remove_unpacked(dir.path());
        assert!(!dir.path().join("import-00ff").exists());
        assert!(dir.path().join("0123456789abcdef/b").exists());
        remove_unpacked(&dir.path().join("missing"));
    }
}
