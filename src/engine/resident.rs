//! One engine's scan container: started, met, read for its versions, replaced.
//!
//! ```text
//!            acquire                    runner calls, versions read
//!   none ─────────────→ starting ─────────────────────────────────→ live
//!    ▲                      │ fails                                  │ retire: new work goes to the next
//!    │                      ▼                                        ▼
//!    └──────────────────── none ←───── last user gone, killed ──── retired
//! ```
//!
//! State that survives between files is bounded: a container is retired after
//! a set number of files, and at once after a timeout, a crash or an
//! out-of-memory event. Work already inside may end; nothing new goes in.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::budget::Budget;
use super::led::Led;
use super::manifest::{Isolation, Manifest, Transport};
use super::names::random_name;
use super::runner::{RunnerPort, Session};
use super::sandbox::{ContainerState, Role, Sandbox, SandboxError, Start};
use super::speech::Way;
use super::versions;
use crate::model::{EngineVersions, SignatureSetId};

/// How often a container that is coming up is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Why there is no container to scan with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResidentError {
    /// Docker refused or does not answer.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The container ended before it answered.
    #[error("the container ended before the engine answered: {reason}")]
    Died {
        /// What is known of its end.
        reason: String,
    },
    /// The engine was not ready in time.
    #[error("the engine did not answer within {seconds} s of its start: {reason}")]
    Silent {
        /// The manifest's `startup_seconds`.
        seconds: u64,
        /// The last thing that was seen.
        reason: String,
    },
}

/// A container that scans.
#[derive(Debug)]
pub struct Live {
    /// The name its runner introduced itself with.
    pub generation: String,
    /// Docker's id.
    pub container: String,
    /// What it scans with.
    pub versions: EngineVersions,
    files: AtomicU64,
    users: AtomicUsize,
    retired: AtomicBool,
    stopped: AtomicBool,
    _memory: OwnedSemaphorePermit,
}

/// Owner of one engine's container.
#[derive(Debug)]
pub struct Resident {
    manifest: Arc<Manifest>,
    sandbox: Sandbox,
    port: Arc<RunnerPort>,
    budget: Budget,
    led: Led,
    role: Role,
    signature_set: Mutex<Option<SignatureSetId>>,
    current: tokio::sync::Mutex<Option<Arc<Live>>>,
    ending: Mutex<JoinSet<()>>,
}

/// What an owner is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The engine.
    pub manifest: Arc<Manifest>,
    /// Docker.
    pub sandbox: Sandbox,
    /// Where its runners call.
    pub port: Arc<RunnerPort>,
    /// What the running engines may use.
    pub budget: Budget,
    /// Where its containers are known to have an owner.
    pub led: Led,
    /// What its containers are for.
    pub role: Role,
}

/// A container that could scan and does not yet; give it to [`Resident::take_over`] or
/// [`Resident::cool`].
#[derive(Debug)]
pub struct Warm {
    /// The container.
    pub live: Arc<Live>,
}

/// A container as it was made.
struct Named {
    container: String,
    generation: String,
    image: String,
    signature_set: Option<SignatureSetId>,
}

/// A right to use a live container; give it back with [`Resident::release`].
#[derive(Debug)]
pub struct Lease {
    /// The container.
    pub live: Arc<Live>,
}

impl Resident {
    /// Makes the owner; nothing is started yet.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            manifest,
            sandbox,
            port,
            budget,
            led,
            role,
        } = parts;
        Self {
            manifest,
            sandbox,
            port,
            budget,
            led,
            role,
            signature_set: Mutex::default(),
            current: tokio::sync::Mutex::default(),
            ending: Mutex::default(),
        }
    }

    /// Takes a container of before under this owner, who is to adopt it.
    pub fn expect(&self, generation: &str) {
        self.led.add(generation);
    }

    /// Names the signature set that containers started from now on scan with.
    pub fn use_signatures(&self, set: Option<SignatureSetId>) {
        *self.set() = set;
    }

    /// Returns the signature set that containers started now scan with.
    pub fn signatures(&self) -> Option<SignatureSetId> {
        self.set().clone()
    }

    fn set(&self) -> MutexGuard<'_, Option<SignatureSetId>> {
        self.signature_set
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a container that was running before this daemon was.
    ///
    /// # Errors
    /// If its runner does not call or its versions cannot be read.
    pub async fn adopt(&self, state: ContainerState) -> Result<EngineVersions, ResidentError> {
        let mut current = self.current.lock().await;
        let memory = self.budget.take(self.manifest.limits.memory_mb).await;
        let generation = state.generation.clone();
        self.expect(&generation);
        let named = Named {
            container: state.container,
            generation: state.generation,
            image: state.image,
            signature_set: state.signature_set,
        };
        let met = self.meet(named, memory).await;
        let live = met.inspect_err(|_| {
            self.led.remove(&generation);
        })?;
        let versions = live.versions.clone();
        *current = Some(live);
        Ok(versions)
    }

    /// Returns a container to scan with, started if there is none.
    ///
    /// # Errors
    /// If none can be started.
    pub async fn acquire(&self) -> Result<Lease, ResidentError> {
        let mut current = self.current.lock().await;
        let usable = current
            .take()
            .filter(|live| !live.retired.load(Ordering::Acquire));
        let live = match usable {
            Some(live) => live,
            None => {
                let memory = self.budget.take(self.manifest.limits.memory_mb).await;
                self.start(self.signatures(), memory).await?
            }
        };
        live.users.fetch_add(1, Ordering::AcqRel);
        if self.manifest.run.isolation == Isolation::Resident {
            *current = Some(Arc::clone(&live));
        }
        Ok(Lease { live })
    }

    /// Gives a container back after some files; the last user of a retired one ends it.
    pub async fn release(&self, lease: Lease, files: u64) {
        let live = lease.live;
        let served = live.files.fetch_add(files, Ordering::AcqRel) + files;
        let fresh = self.manifest.run.isolation == Isolation::Fresh;
        if fresh || served >= self.manifest.run.recycle_files {
            live.retired.store(true, Ordering::SeqCst);
        }
        // In one order with `retire_live`, so that one of both sees what the other did.
        let last = live.users.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && live.retired.load(Ordering::SeqCst) {
            self.end(&live);
        }
    }

    /// Gives a container back and keeps new work out of it.
    pub async fn retire(&self, lease: Lease) {
        lease.live.retired.store(true, Ordering::Release);
        self.release(lease, 0).await;
    }

    /// Stops the container if nobody uses it; returns whether there was one.
    pub async fn stop_idle(&self) -> bool {
        let mut current = self.current.lock().await;
        let idle = current.take_if(|live| live.users.load(Ordering::Acquire) == 0);
        match idle {
            Some(live) => {
                self.end(&live);
                true
            }
            None => false,
        }
    }

    /// Starts a container with another signature set beside the one that scans.
    ///
    /// Nothing is returned if there is no memory for two: then the new one can only come after
    /// the old one.
    ///
    /// # Errors
    /// If it does not start; the old one goes on.
    pub async fn warm(&self, set: SignatureSetId) -> Result<Option<Warm>, ResidentError> {
        let Some(memory) = self
            .budget
            .take_second(self.manifest.limits.memory_mb)
            .await
        else {
            return Ok(None);
        };
        let live = self.start(Some(set), memory).await?;
        Ok(Some(Warm { live }))
    }

    /// Lets a warm container take over; the old one ends with the work it has.
    pub async fn take_over(&self, warm: Warm) {
        let mut current = self.current.lock().await;
        self.use_signatures(warm.live.versions.signature_set.clone());
        let keeps = self.manifest.run.isolation == Isolation::Resident;
        let old = std::mem::replace(&mut *current, keeps.then(|| Arc::clone(&warm.live)));
        drop(current);
        if let Some(old) = old {
            self.retire_live(&old);
        }
        if !keeps {
            self.retire_live(&warm.live);
        }
    }

    /// Ends a warm container that is not to take over.
    pub async fn cool(&self, warm: Warm) {
        self.retire_live(&warm.live);
    }

    fn retire_live(&self, live: &Arc<Live>) {
        live.retired.store(true, Ordering::SeqCst);
        if live.users.load(Ordering::SeqCst) == 0 {
            self.end(live);
        }
    }

    /// Keeps new work out of the container there is, if there is one.
    pub async fn retire_current(&self) {
        let live = self.current.lock().await.take();
        if let Some(live) = live {
            self.retire_live(&live);
        }
    }

    /// Tells whether there is a container to scan with.
    pub async fn is_up(&self) -> bool {
        let current = self.current.lock().await;
        current
            .as_ref()
            .is_some_and(|live| !live.retired.load(Ordering::Acquire))
    }

    /// Asks how much memory the container uses, in bytes; nothing of one that does not say.
    pub async fn memory_bytes(&self) -> Option<u64> {
        let live = self.current.lock().await.clone()?;
        let session = timeout(LOOK, self.port.session(&live.generation)).await;
        session.ok()?.ping().await.ok()?
    }

    /// Looks whether the container still lives; a dead one is forgotten.
    ///
    /// # Errors
    /// If Docker does not answer.
    pub async fn check(&self) -> Result<Option<String>, SandboxError> {
        let live = self.current.lock().await.clone();
        let Some(live) = live else { return Ok(None) };
        let state = self.sandbox.inspect(&live.container).await?;
        let Some(reason) = ContainerState::death(state.as_ref()) else {
            return Ok(None);
        };
        self.retire_live(&live);
        Ok(Some(reason))
    }

    /// Says how a container ended, for the reason of a failure.
    pub async fn autopsy(&self, live: &Live) -> String {
        match self.sandbox.inspect(&live.container).await {
            Ok(state) => ContainerState::death(state.as_ref())
                .unwrap_or_else(|| "the connection to the container was lost".to_owned()),
            Err(error) => error.to_string(),
        }
    }

    /// Returns the way to a socket in the container.
    pub fn way<'a>(&'a self, live: &'a Live, socket: &'a str) -> Way<'a> {
        Way::Inside {
            port: &self.port,
            generation: &live.generation,
            socket,
        }
    }

    /// Waits for a connection into the container.
    pub async fn session(&self, live: &Live) -> Option<Session> {
        timeout(Duration::from_secs(10), self.port.session(&live.generation))
            .await
            .ok()
    }

    async fn start(
        &self,
        signature_set: Option<SignatureSetId>,
        memory: OwnedSemaphorePermit,
    ) -> Result<Arc<Live>, ResidentError> {
        let generation = random_name();
        let engine = self.manifest.id.clone();
        let start = Start {
            engine,
            generation: generation.clone(),
            signature_set,
            role: self.role,
        };
        self.expect(&generation);
        let started = self.start_and_meet(start, memory).await;
        if started.is_err() {
            self.led.remove(&generation);
        }
        started
    }

    async fn start_and_meet(
        &self,
        start: Start,
        memory: OwnedSemaphorePermit,
    ) -> Result<Arc<Live>, ResidentError> {
        let (generation, signature_set) = (start.generation.clone(), start.signature_set.clone());
        let (container, image) = self.sandbox.start(start).await?;
        let named = Named {
            container: container.clone(),
            generation,
            image,
            signature_set,
        };
        match self.meet(named, memory).await {
            Ok(live) => Ok(live),
            Err(error) => {
                // What went wrong is told; what cannot be removed now is found as a leftover.
                let _ = self.sandbox.stop(&container).await;
                Err(error)
            }
        }
    }

    /// Waits for the runner to call and the engine to answer.
    async fn meet(
        &self,
        named: Named,
        memory: OwnedSemaphorePermit,
    ) -> Result<Arc<Live>, ResidentError> {
        let (container, generation) = (named.container, named.generation);
        let seconds = self.manifest.run.startup_seconds;
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut last = "its runner has not called".to_owned();
        let read = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ResidentError::Silent {
                    seconds,
                    reason: last,
                });
            }
            let session = timeout(LOOK.min(left), self.port.session(&generation)).await;
            match session {
                Ok(session) => match self.read_versions(session, &generation).await {
                    Ok(read) => break read,
                    Err(reason) => last = reason,
                },
                Err(_) => self.still_alive(&container).await?,
            }
            sleep(Duration::from_millis(20)).await;
        };
        Ok(Arc::new(Live {
            generation,
            container,
            versions: EngineVersions {
                image: named.image,
                signature_set: named.signature_set,
                ..read
            },
            files: AtomicU64::new(0),
            users: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            _memory: memory,
        }))
    }

    async fn read_versions(
        &self,
        session: Session,
        generation: &str,
    ) -> Result<EngineVersions, String> {
        match self.manifest.run.transport {
            Transport::Command => versions::of_command(&self.manifest, session).await,
            Transport::Clamd => versions::of_clamd(&self.manifest, session).await,
            Transport::Driver => {
                versions::ping_driver(&self.manifest, session).await?;
                let session = self.port.session(generation).await;
                versions::of_command(&self.manifest, session).await
            }
            Transport::Dialog | Transport::Icap | Transport::Http | Transport::Drwebd => {
                drop(session);
                versions::of_speech(&self.manifest, (&self.port, generation)).await
            }
        }
    }

    async fn still_alive(&self, container: &str) -> Result<(), ResidentError> {
        let state = self.sandbox.inspect(container).await?;
        ContainerState::death(state.as_ref())
            .map_or(Ok(()), |reason| Err(ResidentError::Died { reason }))
    }

    /// Has the container removed. Nobody waits for that: a scan's answer least of all.
    fn end(&self, live: &Arc<Live>) {
        if live.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        self.port.forget(&live.generation);
        let (sandbox, led, live) = (self.sandbox.clone(), self.led.clone(), Arc::clone(live));
        let engine = self.manifest.id.clone();
        let mut ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        while ending.try_join_next().is_some() {}
        // Its memory is given back when this is through, and not before.
        ending.spawn(async move {
            if let Err(error) = sandbox.stop(&live.container).await {
                tracing::warn!(engine.name = %engine, %error, "Cannot stop a container");
            }
            led.remove(&live.generation);
        });
    }
}
