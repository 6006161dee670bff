//! Brings one engine's signatures up to date: a candidate from its sources.
//!
//! ```text
//! active set ── links ──→ updates/<engine>/<work> ── update container ──→ adopted as a set
//!                               │ failed, too late, too large                  or the same
//!                               ▼
//!                             gone
//! ```
//!
//! The daemon reads nothing of a candidate while a container may write there,
//! and whatever happens the container is stopped and its directory goes; what
//! the daemon may not remove, a later container removes.

mod container;
mod course;
mod disk;
mod judge;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use course::Course;

use super::led::Led;
use super::manifest::{self, Manifest};
use super::names::random_name;
use super::runner::RunnerPort;
use super::sandbox::{Sandbox, SandboxError};
use super::signatures::{self, AdoptError, Kept};
use crate::config::Config;
use crate::model::{LeftOut, SignatureSetId};

/// What an updater is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The engine; it has `[signatures]` and `[update]`.
    pub manifest: Arc<Manifest>,
    /// The configuration.
    pub config: Arc<Config>,
    /// Docker.
    pub sandbox: Sandbox,
    /// Where its containers are known to have an owner.
    pub led: Led,
}

/// What an update brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The candidate as a set; the active set itself if there was nothing new.
    pub kept: Kept,
    /// Exit code of the command: 0.
    pub exit_code: Option<i32>,
    /// What the command printed, with how it ended on the first line.
    pub output: Vec<u8>,
    /// Rules that are not in the set because they do not compile.
    pub left_out: Vec<LeftOut>,
}

/// Why an update brought nothing. The active set is as it was.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Docker refused or does not answer.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The container's runner never called.
    #[error("the update container did not answer: {reason}")]
    Silent {
        /// What was seen.
        reason: String,
    },
    /// The command failed, or did not come to its end.
    #[error("{reason}")]
    Failed {
        /// Its last words.
        reason: String,
        /// Its exit code, if it had one.
        exit_code: Option<i32>,
        /// What it printed.
        output: Vec<u8>,
    },
    /// The command did not end in time.
    #[error(
        "the update did not end within {seconds} s; if the mirror is only slow, raise \
         update.timeout_seconds in the manifest"
    )]
    TimedOut {
        /// The manifest's `update.timeout_seconds`.
        seconds: u64,
        /// What it printed.
        output: Vec<u8>,
    },
    /// The command left more new files than it may.
    #[error(
        "the update left more than {limit_mb} MB of new files; if the signatures have grown, raise \
         update.disk_mb in the manifest"
    )]
    DiskFull {
        /// The manifest's `update.disk_mb`.
        limit_mb: u64,
        /// What it printed.
        output: Vec<u8>,
    },
    /// The disk has not enough room.
    #[error("only {free_mb} MB are free on the disk and {reserve_mb} MB are kept in reserve")]
    Reserve {
        /// What is free.
        free_mb: u64,
        /// The configuration's `storage.reserve_mb`.
        reserve_mb: u64,
        /// What the command printed, if it ran.
        output: Vec<u8>,
    },
    /// What the command left is no signature set.
    #[error("the update left no signature set: {error}")]
    Adopt {
        /// What is wrong with it.
        error: AdoptError,
        /// What the command printed.
        output: Vec<u8>,
    },
    /// The file system failed, or the update was given up.
    #[error("the update cannot be made: {0}")]
    Io(#[from] io::Error),
}

impl UpdateError {
    /// Returns what the command printed, with how it ended on the first line; empty if it never ran.
    pub fn output(&self) -> &[u8] {
        match self {
            Self::Failed { output, .. }
            | Self::TimedOut { output, .. }
            | Self::DiskFull { output, .. }
            | Self::Reserve { output, .. }
            | Self::Adopt { output, .. } => output,
            Self::Sandbox(_) | Self::Silent { .. } | Self::Io(_) => &[],
        }
    }

    /// Returns the command's exit code, if it came to its end.
    pub const fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Failed { exit_code, .. } => *exit_code,
            Self::Adopt { .. } => Some(0),
            _ => None,
        }
    }
}

/// Makes the updates of one engine, one at a time.
#[derive(Debug)]
pub struct Updater {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    parts: Parts,
    update: manifest::Update,
    port: RunnerPort,
    /// Held by the update under way until nothing of it is left.
    turn: tokio::sync::Mutex<()>,
}

impl Updater {
    /// Listens where the runners of the engine's updates call. Blocks.
    ///
    /// # Errors
    /// If the engine has no `[update]`, or its directories cannot be made.
    pub fn open(parts: Parts) -> io::Result<Self> {
        let update = parts.manifest.update.clone();
        let update = update.ok_or(io::ErrorKind::InvalidInput)?;
        let (storage, engine) = (&parts.config.storage, &parts.manifest.id);
        signatures::sweep(&storage.sets_dir(engine))?;
        let port = RunnerPort::bind(&storage.update_runner_dir(engine))?;
        let shared = Shared {
            parts,
            update,
            port,
            turn: tokio::sync::Mutex::default(),
        };
        shared.make_dirs()?;
        Ok(Self {
            shared: Arc::new(shared),
            tasks: Mutex::default(),
        })
    }

    /// Makes an update, starting from the active set; tells `course` how it goes.
    ///
    /// If this future is dropped the container is stopped and its files go, by a task of the
    /// updater's own; the next update waits for that.
    ///
    /// # Errors
    /// [`UpdateError`]; then there is no new set.
    pub async fn run(
        &self,
        active: Option<&SignatureSetId>,
        course: &Course,
    ) -> Result<Fetched, UpdateError> {
        let stop = CancellationToken::new();
        let _given_up = stop.clone().drop_guard();
        let job = Job {
            shared: Arc::clone(&self.shared),
            active: active.cloned(),
            course: course.clone(),
            stop,
        };
        let (answer, answered) = oneshot::channel();
        {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move {
                // Nobody waits for it if the update was given up.
                let _ = answer.send(job.run().await);
            });
        }
        let ended = answered.await;
        ended.unwrap_or_else(|_| Err(given_up()))
    }

    /// Waits until nothing of an update that was given up is left.
    pub async fn settled(&self) {
        drop(self.shared.turn.lock().await);
    }
}

/// One update.
struct Job {
    shared: Arc<Shared>,
    active: Option<SignatureSetId>,
    course: Course,
    stop: CancellationToken,
}

impl Job {
    async fn run(self) -> Result<Fetched, UpdateError> {
        let _turn = self.shared.turn.lock().await;
        if self.stop.is_cancelled() {
            return Err(given_up());
        }
        self.clear().await?;
        self.check_reserve().await?;
        let work = random_name();
        let ended = match self.prepare(&work).await {
            Ok(()) => self.contain(&work).await?,
            Err(error) => Err(error.into()),
        };
        let fetched = match ended {
            Ok(ended) => self.take(&work, ended).await,
            Err(error) => Err(error),
        };
        if let Err(error) = self.discard(&work).await {
            // It is tried again before the next update.
            warn!(engine.name = %self.shared.parts.manifest.id, %error, "Cannot remove a candidate");
        }
        fetched
    }

    /// Runs the update command in a container that is gone when this returns.
    ///
    /// The outer error says that it may not be gone, so that nobody may touch what it writes to.
    async fn contain(&self, work: &str) -> Result<Result<judge::Ended, UpdateError>, UpdateError> {
        let parts = &self.shared.parts;
        let generation = random_name();
        parts.led.add(&generation);
        let ended = tokio::select! {
            ended = self.drive(work, &generation) => ended,
            () = self.shared.port.serve() => Err(given_up()),
        };
        self.shared.port.forget(&generation);
        // Even a request that failed may have made a container.
        let quiet = self.quiet().await;
        // One that cannot be stopped now is a leftover.
        parts.led.remove(&generation);
        match quiet {
            Ok(()) => Ok(ended),
            Err(error) => Err(ended.err().unwrap_or_else(|| error.into())),
        }
    }

    /// Takes what the command left, now that nobody writes there any more.
    async fn take(&self, work: &str, ended: judge::Ended) -> Result<Fetched, UpdateError> {
        if self.stop.is_cancelled() {
            return Err(given_up());
        }
        let output = ended.output;
        let taken = self.measure(work).await?;
        self.course.measured(taken.candidate);
        if taken.is_over(self.shared.update.disk_mb) {
            let limit_mb = self.shared.update.disk_mb;
            return Err(UpdateError::DiskFull { limit_mb, output });
        }
        let (work, parent, sets) = (self.work_dir(work), self.active_dir(), self.sets_dir());
        let adopted = spawn_blocking(move || signatures::adopt(&work, parent.as_deref(), &sets));
        match adopted.await.map_err(io::Error::other)? {
            Ok(kept) => Ok(Fetched {
                kept,
                exit_code: Some(0),
                output,
                left_out: ended.left_out,
            }),
            Err(error) => Err(UpdateError::Adopt { error, output }),
        }
    }

    async fn prepare(&self, work: &str) -> io::Result<()> {
        let (active, work) = (self.active_dir(), self.work_dir(work));
        let prepared = spawn_blocking(move || signatures::prepare(active.as_deref(), &work));
        prepared.await.map_err(io::Error::other)?
    }

    fn work_dir(&self, work: &str) -> PathBuf {
        let parts = &self.shared.parts;
        parts
            .config
            .storage
            .updates_dir(&parts.manifest.id)
            .join(work)
    }

    fn sets_dir(&self) -> PathBuf {
        let parts = &self.shared.parts;
        parts.config.storage.sets_dir(&parts.manifest.id)
    }

    fn active_dir(&self) -> Option<PathBuf> {
        let active = self.active.as_ref();
        active.map(|set| self.sets_dir().join(&set.0))
    }
}

impl Shared {
    fn cache_dir(&self) -> PathBuf {
        let cache = self.update.cache.as_deref();
        let cache = cache.unwrap_or(self.parts.manifest.id.as_str());
        self.parts.config.storage.cache_dir(cache)
    }
}

fn given_up() -> UpdateError {
    io::Error::new(io::ErrorKind::Interrupted, "it was given up").into()
}
