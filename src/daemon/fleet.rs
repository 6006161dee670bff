//! Opens every engine and gives it its tasks: a port, a keeper, and its slots.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Notify, RwLock, broadcast};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::night::{self, Night};
use crate::config::Config;
use crate::engine::ask::Engine;
use crate::engine::budget::Budget;
use crate::engine::led::Led;
use crate::engine::manifest::{Catalog, Manifest};
use crate::engine::names::random_name;
use crate::engine::outside::{self, Outside};
use crate::engine::parser::Parser;
use crate::engine::resident::{self, Resident};
use crate::engine::respondent::Respondent;
use crate::engine::runner::RunnerPort;
use crate::engine::sandbox::{ContainerState, Role, Sandbox};
use crate::engine::staging;
use crate::flow::analysis::Recorder;
use crate::flow::board::Board;
use crate::flow::gate::Gate;
use crate::flow::keeper::Keeper;
use crate::flow::label::Labeler;
use crate::flow::leftovers::Leftovers;
use crate::flow::lookout::Lookout;
use crate::flow::queue::Lanes;
use crate::flow::scan::Scanner;
use crate::metrics::Metrics;
use crate::model::{AnalysisId, EngineId, EngineState, Verdict};
use crate::nightly::Desk;
use crate::store::{JOBS, Store};

/// What the engines are opened with.
#[derive(Debug)]
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The store.
    pub store: Store,
    /// The lanes.
    pub lanes: Lanes,
    /// The metrics.
    pub metrics: Metrics,
    /// Whom to tell of complete analyses.
    pub completed: broadcast::Sender<AnalysisId>,
    /// Docker.
    pub sandbox: Sandbox,
}

/// All engines, ready to run.
#[derive(Debug)]
pub struct Fleet {
    parts: Parts,
    board: Board,
    budget: Budget,
    led: Led,
    engines: BTreeMap<EngineId, Arc<Engine>>,
    outside: BTreeMap<EngineId, Lookout>,
    ports: BTreeMap<EngineId, Arc<RunnerPort>>,
    found: BTreeMap<EngineId, ContainerState>,
    gates: BTreeMap<EngineId, Gate>,
    night: Night,
    swept: bool,
    ground: String,
}

impl Fleet {
    /// Reads the manifests and makes every engine ready to be started.
    ///
    /// # Errors
    /// If the data directory cannot be used. A bad manifest is reported and left out.
    pub async fn open(parts: Parts) -> anyhow::Result<Self> {
        let manifests = manifests(&parts.config);
        let disabled = |manifest: &Manifest| {
            parts
                .config
                .engines
                .disabled
                .iter()
                .any(|id| id == manifest.id.as_str())
        };
        let state = |manifest: &&Manifest| match (disabled(manifest), &manifest.outside) {
            (true, _) => EngineState::Disabled,
            (false, None) => EngineState::Proving,
            (false, Some(_)) if manifest.needs_consent() => EngineState::NeedsConsent,
            (false, Some(_)) => EngineState::Starting,
        };
        let board = Board::new(
            manifests
                .iter()
                .map(|manifest| (manifest, state(&manifest))),
        );
        let mut fleet = Self {
            budget: Budget::new(memory_budget_mb(&parts.config)),
            ground: String::new(),
            led: Led::default(),
            parts,
            board,
            engines: BTreeMap::new(),
            outside: BTreeMap::new(),
            ports: BTreeMap::new(),
            found: BTreeMap::new(),
            gates: BTreeMap::new(),
            night: Night::default(),
            swept: false,
        };
        let sentinel = fleet.parts.config.storage.data_dir.join("sentinel");
        staging::write_sentinel(&sentinel).context("cannot write the sentinel file")?;
        for manifest in manifests {
            if state_of(&fleet.board, &manifest.id).takes_part() {
                let id = manifest.id.clone();
                let added = match manifest.outside {
                    Some(_) => fleet.add_outside(manifest, &sentinel),
                    None => fleet.add(manifest, &sentinel).await,
                };
                added.with_context(|| format!("engine {id}"))?;
            }
        }
        fleet.appoint().context("the keepers of signatures")?;
        fleet.bury_orphans().await?;
        fleet.sweep().await;
        Ok(fleet)
    }

    /// Returns the board on which every engine's state is.
    pub const fn board(&self) -> &Board {
        &self.board
    }

    /// Returns the engines that take part in containers of their own.
    pub fn engines(&self) -> BTreeMap<EngineId, Arc<Engine>> {
        self.engines.clone()
    }

    /// Returns how to have a server outside looked at now.
    pub fn lookouts(&self) -> BTreeMap<EngineId, Arc<Notify>> {
        let lookouts = self.outside.iter();
        let wanted = |(id, lookout): (&EngineId, &Lookout)| (id.clone(), lookout.wanted.clone());
        lookouts.map(wanted).collect()
    }

    /// Returns the desk at which orders about signatures are given.
    pub fn desk(&self) -> Desk {
        self.night.desk()
    }

    /// Gives every engine somebody who looks after its signatures.
    fn appoint(&mut self) -> anyhow::Result<()> {
        let all: Vec<_> = self.engines.keys().cloned().collect();
        for (id, engine) in &self.engines {
            let shared = night::Shared {
                engine,
                gate: self.gates.entry(id.clone()).or_default(),
                board: &self.board,
                budget: &self.budget,
                led: &self.led,
                all: &all,
            };
            let added = self.night.add(&self.parts, &shared);
            added.with_context(|| format!("engine {id}"))?;
        }
        Ok(())
    }

    async fn add(&mut self, manifest: Manifest, sentinel: &Path) -> anyhow::Result<()> {
        let storage = &self.parts.config.storage;
        let manifest = Arc::new(manifest);
        let id = manifest.id.clone();
        let parser = Parser::new(&manifest.parse).context("its [parse] section")?;
        let port = RunnerPort::bind(&storage.runner_dir(&id)).context("its runner socket")?;
        let port = Arc::new(port);
        let staging = staging::Staging::open(&storage.staging_dir(&id), sentinel)
            .context("its staging directory")?;
        let resident = Resident::new(resident::Parts {
            manifest: Arc::clone(&manifest),
            sandbox: self.parts.sandbox.clone(),
            port: Arc::clone(&port),
            budget: self.budget.clone(),
            led: self.led.clone(),
            role: Role::Scan,
        });
        resident.use_signatures(night::set_in_service(&self.parts, &manifest).await?);
        let engine = Engine {
            manifest,
            parser,
            resident,
            staging,
        };
        self.engines.insert(id.clone(), Arc::new(engine));
        self.ports.insert(id, port);
        Ok(())
    }

    /// Adds an engine that is a server somewhere else: it has no container to be looked after.
    fn add_outside(&mut self, manifest: Manifest, sentinel: &Path) -> anyhow::Result<()> {
        let id = manifest.id.clone();
        let files = outside::Files {
            key: self.parts.config.engines.keys.get(id.as_str()).cloned(),
            sentinel: sentinel.to_owned(),
        };
        let outside = Outside::new(Arc::new(manifest), files).map_err(anyhow::Error::msg)?;
        self.night.add_without(&id);
        let lookout = Lookout {
            outside: Arc::new(outside),
            store: self.parts.store.clone(),
            gate: Gate::default(),
            board: self.board.clone(),
            wanted: Arc::default(),
        };
        self.outside.insert(id, lookout);
        Ok(())
    }

    /// Answers jobs of engines that are no longer there, so that their analyses end.
    async fn bury_orphans(&self) -> anyhow::Result<()> {
        let mut from: Option<Vec<u8>> = None;
        loop {
            let page = self.parts.store.list(&JOBS, (&[], from.as_deref()), 500)?;
            let gone = page
                .rows
                .into_iter()
                .filter(|(key, _)| !self.takes_part(&key.engine));
            for (key, job) in gone {
                let leased = crate::flow::queue::Leased { key, job };
                let verdict = Verdict::failure("the engine was removed or disabled");
                let answer = crate::flow::analysis::Answer {
                    leased,
                    verdict,
                    staged: None,
                };
                let run = crate::engine::ask::Run::none();
                self.recorder().record(vec![answer], &run).await?;
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn takes_part(&self, id: &EngineId) -> bool {
        self.engines.contains_key(id) || self.outside.contains_key(id)
    }

    fn recorder(&self) -> Recorder {
        Recorder {
            store: self.parts.store.clone(),
            lanes: self.parts.lanes.clone(),
            metrics: self.parts.metrics.clone(),
            board: self.board.clone(),
            completed: self.parts.completed.clone(),
        }
    }

    /// Finds containers of ours: those still good are taken over, the others removed.
    async fn sweep(&mut self) {
        let sandbox = self.parts.sandbox.clone();
        self.ground = ground(&sandbox, &self.parts.config).await;
        let listed = match sandbox.list().await {
            Ok(listed) => listed,
            Err(error) => return warn!(%error, "Cannot look for containers of before"),
        };
        self.swept = true;
        for state in listed {
            let owner = self.engines.get(&state.engine);
            let owner = owner.filter(|_| state.running && state.current);
            let owner = owner.filter(|_| !self.found.contains_key(&state.engine));
            let owner = owner.filter(|owner| owner.resident.signatures() == state.signature_set);
            if let Some(owner) = owner {
                info!(container.id = state.container, "Taking over a container");
                owner.resident.expect(&state.generation);
                self.found.insert(state.engine.clone(), state);
            } else if let Err(error) = sandbox.stop(&state.container).await {
                warn!(container.id = state.container, %error, "Cannot remove a container");
            }
        }
    }

    /// Starts the tasks of every engine.
    pub fn run(mut self, tasks: &mut JoinSet<&'static str>, shutdown: &CancellationToken) {
        let leftovers = Leftovers {
            sandbox: self.parts.sandbox.clone(),
            led: self.led.clone(),
            board: self.board.clone(),
            swept: self.swept,
        };
        let stop = shutdown.clone();
        tasks.spawn(async move {
            stop.run_until_cancelled(leftovers.run()).await;
            "leftovers"
        });
        std::mem::take(&mut self.night).run(tasks, shutdown);
        for (id, engine) in std::mem::take(&mut self.engines) {
            let gate = self.gates.remove(&id).unwrap_or_default();
            if let Some(port) = self.ports.remove(&id) {
                let shutdown = shutdown.clone();
                tasks.spawn(async move {
                    shutdown.run_until_cancelled(port.serve()).await;
                    "port"
                });
            }
            let keeper = self.keeper(&engine, &gate);
            let (found, stop) = (self.found.remove(&id), shutdown.clone());
            tasks.spawn(async move {
                keeper.run(found, &stop).await;
                "keeper"
            });
            if engine.manifest.labeler {
                self.spawn_labeler(tasks, shutdown, (&engine, &gate));
                continue;
            }
            self.start_slots(Respondent::Contained(engine), &gate, (tasks, shutdown));
        }
        for lookout in std::mem::take(&mut self.outside).into_values() {
            let respondent = Respondent::Outside(Arc::clone(&lookout.outside));
            self.start_slots(respondent, &lookout.gate, (tasks, shutdown));
            let stop = shutdown.clone();
            tasks.spawn(async move {
                lookout.run(&stop).await;
                "lookout"
            });
        }
        let (board, lanes) = (self.board.clone(), self.parts.lanes.clone());
        let (sandbox, metrics) = (self.parts.sandbox.clone(), self.parts.metrics.clone());
        let stop = shutdown.clone();
        tasks.spawn(async move {
            stop.run_until_cancelled(count(&board, &lanes, (&sandbox, &metrics)))
                .await;
            "board"
        });
    }

    /// A labeler has no lane: it is asked about names, not about files.
    fn spawn_labeler(
        &self,
        tasks: &mut JoinSet<&'static str>,
        shutdown: &CancellationToken,
        (engine, gate): (&Arc<Engine>, &Gate),
    ) {
        let labeler = Labeler {
            engine: Arc::clone(engine),
            store: self.parts.store.clone(),
            board: self.board.clone(),
            gate: gate.clone(),
            dir: self.parts.config.storage.data_dir.join("labels"),
        };
        let (completed, stop) = (self.parts.completed.subscribe(), shutdown.clone());
        tasks.spawn(async move {
            labeler.run(completed, &stop).await;
            "labeler"
        });
    }

    /// Starts the tasks that scan with an engine.
    fn start_slots(
        &self,
        respondent: Respondent,
        gate: &Gate,
        (tasks, shutdown): (&mut JoinSet<&'static str>, &CancellationToken),
    ) {
        let slots = respondent.manifest().run.slots;
        let scanner = Arc::new(self.scanner(respondent, gate));
        for slot in 0..slots {
            let (scanner, stop) = (Arc::clone(&scanner), shutdown.clone());
            tasks.spawn(async move {
                scanner.run(slot, &stop).await;
                "slot"
            });
        }
    }

    fn keeper(&self, engine: &Arc<Engine>, gate: &Gate) -> Keeper {
        Keeper {
            engine: Arc::clone(engine),
            sandbox: self.parts.sandbox.clone(),
            gate: gate.clone(),
            board: self.board.clone(),
            lanes: self.parts.lanes.clone(),
            store: self.parts.store.clone(),
            budget: self.budget.clone(),
            metrics: self.parts.metrics.clone(),
            ground: self.ground.clone(),
            idle: Duration::from_secs(self.parts.config.engines.idle_seconds),
        }
    }

    fn scanner(&self, respondent: Respondent, gate: &Gate) -> Scanner {
        Scanner {
            respondent,
            lanes: self.parts.lanes.clone(),
            blobs: self.parts.store.blobs().clone(),
            recorder: self.recorder(),
            board: self.board.clone(),
            gate: gate.clone(),
            attempts: self.parts.config.engines.attempts,
            floor: RwLock::default(),
        }
    }
}

fn manifests(config: &Config) -> Vec<Manifest> {
    let catalog = Catalog::load(&config.engines.manifests).narrow(&config.engines);
    for broken in &catalog.broken {
        warn!("Left out {}: {}", broken.path.display(), broken.problems);
    }
    catalog.engines.into_values().collect()
}

fn state_of(board: &Board, id: &EngineId) -> EngineState {
    board
        .subscribe()
        .borrow()
        .get(id)
        .map_or(EngineState::Disabled, |status| status.state)
}

/// Writes the queues' depths on the board, and whether Docker answers.
async fn count(board: &Board, lanes: &Lanes, (sandbox, metrics): (&Sandbox, &Metrics)) {
    let ids: Vec<_> = board.subscribe().borrow().keys().cloned().collect();
    let mut ticks = 0_u32;
    loop {
        for id in &ids {
            let depth = lanes.depth(id);
            let throughput = board.throughput(id);
            board.update(id, |status| {
                status.throughput = throughput;
                status.queued_interactive = depth.interactive;
                status.queued_nightly = depth.nightly;
                status.running = depth.leased;
            });
        }
        if ticks.is_multiple_of(20) {
            metrics
                .docker_up
                .set(i64::from(sandbox.info().await.is_ok()));
        }
        ticks = ticks.wrapping_add(1);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Says on what a proof was made: another boot, Docker or program needs a new one.
async fn ground(sandbox: &Sandbox, config: &Config) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let docker = match sandbox.info().await {
        Ok(info) => format!("{} {:?}", info.version, info.components),
        // Nothing that is proven now may count at another start like this one.
        Err(_) => random_name(),
    };
    let program = std::env::current_exe().unwrap_or_default();
    let programs = [stamp(&program), stamp(&config.docker.runner)].join(" ");
    format!("{programs} {} {docker}", boot.trim())
}

/// Tells one build of a program from another, as far as its file shows.
fn stamp(program: &Path) -> String {
    let Ok(file) = std::fs::metadata(program) else {
        return random_name();
    };
    format!("{}:{}.{}", file.len(), file.mtime(), file.mtime_nsec())
}

/// Returns the mebibytes running engines may be promised: as configured, or three quarters.
fn memory_budget_mb(config: &Config) -> u64 {
    if config.engines.memory_mb > 0 {
        return config.engines.memory_mb;
    }
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.map_or(2048, |kilobytes| kilobytes / 1024 * 3 / 4)
}
