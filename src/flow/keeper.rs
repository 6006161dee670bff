//! Keeps one engine fit to scan: image, proof, container, state.
//!
//! ```text
//! proving ──→ image-missing ──→ (built) ──→ proving
//!    │ ├────→ unproven: a probe got out of the sandbox; tried again later
//!    │ ▼
//!    └─→ ready / idle ──→ the container died, the image changed ──→ proving
//! ```

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::board::Board;
use super::gate::Gate;
use super::queue::Lanes;
use crate::engine::ask::Engine;
use crate::engine::budget::Budget;
use crate::engine::manifest::{Isolation, Residency};
use crate::engine::resident::ResidentError;
use crate::engine::sandbox::{ContainerState, Sandbox, SandboxError};
use crate::metrics::Metrics;
use crate::model::{EngineState, ProbeCheck};
use crate::store::{PROOFS, ProofRow, Store, StoreError};
use crate::system::now;

/// How often a healthy engine is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long an engine rests after a proof that failed.
const REST: Duration = Duration::from_secs(60);

/// Keeper of one engine.
#[derive(Debug)]
pub struct Keeper {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Docker.
    pub sandbox: Sandbox,
    /// The gate it opens and closes.
    pub gate: Gate,
    /// The board it writes on.
    pub board: Board,
    /// Whether there is work.
    pub lanes: Lanes,
    /// Where proofs are kept over a restart.
    pub store: Store,
    /// What the running engines may use.
    pub budget: Budget,
    /// Where containers are counted.
    pub metrics: Metrics,
    /// What a proof holds for, besides the image: this boot of this machine with this Docker.
    pub ground: String,
    /// How long an on-demand engine may be idle.
    pub idle: Duration,
}

/// Why an engine is not fit.
enum Unfit {
    /// Docker does not answer; nothing is known.
    Unknown(String),
    /// It must not scan, and why.
    Closed(EngineState, String),
}

impl Keeper {
    /// Keeps the engine until told to stop; `found` is its container from before this daemon.
    pub async fn run(&self, found: Option<ContainerState>, shutdown: &CancellationToken) {
        let mut found = found;
        while !shutdown.is_cancelled() {
            match self.prove().await {
                Ok(image) => {
                    self.welcome(found.take()).await;
                    self.watch(&image, shutdown).await;
                }
                Err(unfit) => self.rest(unfit, shutdown).await,
            }
        }
        // The container stays: the next daemon takes it over.
    }

    async fn rest(&self, unfit: Unfit, shutdown: &CancellationToken) {
        let pause = match unfit {
            Unfit::Unknown(reason) => {
                self.trouble(EngineState::BackingOff, &reason);
                LOOK
            }
            Unfit::Closed(state, reason) => {
                self.trouble(state, &reason);
                self.gate.close(reason);
                if state == EngineState::Unproven {
                    REST
                } else {
                    LOOK
                }
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// Makes sure that the sandbox holds for the engine's image as it is now; returns the image.
    async fn prove(&self) -> Result<String, Unfit> {
        let id = &self.engine.manifest.id;
        let image = self.sandbox.image(id).await.map_err(from_docker)?;
        let Some(image) = image else {
            let missing = SandboxError::ImageMissing { engine: id.clone() };
            return Err(Unfit::Closed(
                EngineState::ImageMissing,
                missing.to_string(),
            ));
        };
        let checks = match self.known_proof(&image.id) {
            Some(checks) => checks,
            None => self.probe(&image.id).await?,
        };
        self.board.probed(id, &checks);
        let escaped: Vec<_> = checks.iter().filter(|check| !check.held).collect();
        if checks.is_empty() || !escaped.is_empty() {
            let what: Vec<_> = escaped
                .iter()
                .map(|c| format!("{} ({})", c.name, c.seen))
                .collect();
            let reason = format!(
                "its sandbox does not hold on this machine: {}",
                what.join(", ")
            );
            return Err(Unfit::Closed(EngineState::Unproven, reason));
        }
        self.gate.open();
        Ok(image.id)
    }

    /// Says for what a proof holds: the ground, and the manifest the request is made from.
    fn ground(&self) -> String {
        let manifest = serde_json::to_vec(&*self.engine.manifest).unwrap_or_default();
        let digest = hex::encode(Sha256::digest(manifest));
        format!("{} {digest}", self.ground)
    }

    fn known_proof(&self, image: &str) -> Option<Vec<ProbeCheck>> {
        let row = self
            .store
            .get(&PROOFS, &self.engine.manifest.id)
            .ok()
            .flatten()?;
        (row.ground == self.ground() && row.image == image).then_some(row.checks)
    }

    async fn probe(&self, image: &str) -> Result<Vec<ProbeCheck>, Unfit> {
        let id = self.engine.manifest.id.clone();
        self.board.state(&id, EngineState::Proving);
        let report = self.sandbox.probe(&id).await.map_err(from_docker)?;
        if report.checks.iter().all(|check| check.held) {
            let checks = report.checks.clone();
            let row = ProofRow {
                image: image.to_owned(),
                ground: self.ground(),
                checks,
            };
            let kept = self
                .store
                .write(move |change| change.put(&PROOFS, &id, &row))
                .await;
            self.log_unkept(kept);
        }
        Ok(report.checks)
    }

    fn log_unkept(&self, kept: Result<(), StoreError>) {
        if let Err(error) = kept {
            warn!(engine.name = %self.engine.manifest.id, %error, "Cannot keep a proof");
        }
    }

    /// Takes over the container found, or starts one if the engine is to be resident.
    async fn welcome(&self, found: Option<ContainerState>) {
        if let Some(state) = found {
            let container = state.container.clone();
            match self.engine.resident.adopt(state).await {
                Ok(versions) => return self.board.ready(&self.engine.manifest.id, &versions),
                Err(error) => {
                    warn!(engine.name = %self.engine.manifest.id, %error, "Cannot adopt");
                    // A container nobody leads is swept again at the next start.
                    let _ = self.sandbox.stop(&container).await;
                }
            }
        }
        self.start("start").await;
    }

    /// Starts a container so that the first job need not wait for it.
    ///
    /// On-demand engines too are started once, so that their versions are known.
    async fn start(&self, reason: &str) {
        let manifest = &self.engine.manifest;
        self.board.state(&manifest.id, EngineState::Starting);
        match self.engine.resident.acquire().await {
            Ok(lease) => {
                self.gate.started();
                let labels = [manifest.id.as_str(), reason];
                self.metrics.containers.with_label_values(&labels).inc();
                let versions = lease.live.versions.clone();
                info!(engine.name = %manifest.id, "Engine {} is ready", manifest.name);
                self.board.ready(&manifest.id, &versions);
                self.engine.resident.release(lease, 0).await;
                if manifest.run.isolation == Isolation::Fresh {
                    self.board.state(&manifest.id, EngineState::Idle);
                }
            }
            Err(error) => self.no_container(&error),
        }
    }

    fn no_container(&self, error: &ResidentError) {
        self.trouble(EngineState::BackingOff, &error.to_string());
    }

    /// Looks after a proven engine until its image is another or gone.
    async fn watch(&self, image: &str, shutdown: &CancellationToken) {
        let mut idle_since = std::time::Instant::now();
        loop {
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.budget.wanted() => self.make_room().await,
                () = shutdown.cancelled() => return,
            }
            match self.sandbox.image(&self.engine.manifest.id).await {
                Ok(now) if now.as_ref().map(|now| now.id.as_str()) == Some(image) => {}
                Ok(_) => return self.retire_image().await,
                Err(error) => {
                    self.trouble(EngineState::BackingOff, &error.to_string());
                    continue;
                }
            }
            if self.busy() {
                idle_since = std::time::Instant::now();
            }
            self.tend(idle_since).await;
        }
    }

    async fn tend(&self, idle_since: std::time::Instant) {
        let on_demand = self.engine.manifest.run.residency == Residency::OnDemand;
        match self.engine.resident.check().await {
            Ok(Some(death)) => {
                self.trouble(EngineState::Starting, &death);
                self.start("died").await;
            }
            Ok(None) if on_demand && idle_since.elapsed() > self.idle => self.make_room().await,
            Ok(None) if !self.engine.resident.is_up().await && !on_demand => {
                self.start("missing").await;
            }
            Ok(None) => self.settle_state().await,
            Err(error) => self.trouble(EngineState::BackingOff, &error.to_string()),
        }
    }

    /// Writes a healthy engine's state, after trouble that has passed.
    async fn settle_state(&self) {
        let id = &self.engine.manifest.id;
        if !self.engine.resident.is_up().await {
            return self.board.state(id, EngineState::Idle);
        }
        self.board.state(id, EngineState::Ready);
        // One whose connections are all in use is asked again next time.
        if let Some(bytes) = self.engine.resident.memory_bytes().await {
            self.board.memory(id, bytes >> 20);
        }
    }

    /// Stops the container if nobody needs it; its memory is wanted elsewhere.
    async fn make_room(&self) {
        if !self.busy() && self.engine.resident.stop_idle().await {
            self.board
                .state(&self.engine.manifest.id, EngineState::Idle);
        }
    }

    async fn retire_image(&self) {
        info!(engine.name = %self.engine.manifest.id, "The image has changed");
        self.engine.resident.retire_current().await;
    }

    fn busy(&self) -> bool {
        let depth = self.lanes.depth(&self.engine.manifest.id);
        depth.interactive + depth.nightly > 0
    }

    fn trouble(&self, state: EngineState, reason: &str) {
        let id = &self.engine.manifest.id;
        let known = self
            .board
            .subscribe()
            .borrow()
            .get(id)
            .is_some_and(|status| {
                status.state == state && status.last_error.as_deref() == Some(reason)
            });
        if !known {
            warn!(engine.name = %id, "Engine {}: {reason}", self.engine.manifest.name);
            self.board.trouble(id, state, (reason, now()));
        }
    }
}

fn from_docker(error: SandboxError) -> Unfit {
    match error {
        SandboxError::ImageMissing { .. } => {
            Unfit::Closed(EngineState::ImageMissing, error.to_string())
        }
        SandboxError::Refused { .. } => Unfit::Closed(EngineState::Unproven, error.to_string()),
        SandboxError::Docker { .. } | SandboxError::Unreachable { .. } => {
            Unfit::Unknown(error.to_string())
        }
    }
}
