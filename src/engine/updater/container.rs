//! One update container: started, met, watched, ended.
//!
//! ```text
//! start ─ runner calls ─→ trash goes ─→ command runs ─→ files are opened ─→ (stopped by the job)
//!   │ never                               │ too late, too large, given up: killed
//!   ▼                                     ▼
//! silent                                failed
//! ```

use std::time::Duration;

use acquit_runner::wire::RUNNER_PATH;
use tokio::time::{Instant, sleep, timeout};

use super::disk::{TRASH, Taken};
use super::judge::{Ended, environment, judge};
use super::{Job, UpdateError, given_up};
use crate::engine::ask::transcript;
use crate::engine::runner::{Exec, Finished, Session, SessionLost};
use crate::engine::sandbox::policy::update::{CACHE_DIR, CANDIDATE_DIR};
use crate::engine::sandbox::{ContainerState, StartUpdate};

/// How often the disk, and a container that has not called, are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long a container may take to call.
const CALL: Duration = Duration::from_secs(60);
/// How long the runner may take to put files in order.
const TIDY: Duration = Duration::from_secs(120);
/// How long a command that was killed may take to be told of.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A container that was started.
struct Started {
    container: String,
    generation: String,
}

/// Why a command is not left to its end.
enum Halt {
    /// There is too much on the disk.
    DiskFull,
    /// There is too little room on the disk.
    Reserve { free_mb: u64 },
    /// Nobody waits for it any more.
    GivenUp,
}

impl Job {
    /// Runs the update command in a container, which the caller stops.
    pub async fn drive(&self, work: &str, generation: &str) -> Result<Ended, UpdateError> {
        let parts = &self.shared.parts;
        let start = StartUpdate {
            engine: parts.manifest.id.clone(),
            generation: generation.to_owned(),
            work: work.to_owned(),
        };
        let (container, _) = parts.sandbox.start_update(start).await?;
        let started = Started {
            container,
            generation: generation.to_owned(),
        };
        let session = tokio::select! {
            met = self.meet(&started) => met?,
            () = self.stop.cancelled() => return Err(given_up()),
        };
        if let Err(lost) = session.ping().await {
            let reason = lost.to_string();
            return Err(UpdateError::Silent { reason });
        }
        self.make_room(&started, work).await?;
        let ended = self.command(&started, work).await;
        // Whatever came of it, the daemon is to read and to remove it.
        self.tidy(&started, &["--open", CANDIDATE_DIR]).await;
        ended
    }

    /// Waits for the runner to call.
    async fn meet(&self, started: &Started) -> Result<Session, UpdateError> {
        let deadline = Instant::now() + CALL;
        while Instant::now() < deadline {
            let session = self.shared.port.session(&started.generation);
            if let Ok(session) = timeout(LOOK, session).await {
                return Ok(session);
            }
            if let Some(reason) = self.death(started).await? {
                return Err(UpdateError::Silent { reason });
            }
        }
        let seconds = CALL.as_secs();
        let reason = format!("its runner did not call within {seconds} s");
        Err(UpdateError::Silent { reason })
    }

    /// Removes what earlier updates left, and the whole cache if it leaves no room.
    async fn make_room(&self, started: &Started, work: &str) -> Result<(), UpdateError> {
        self.tidy(started, &["--discard", CACHE_DIR, TRASH]).await;
        let taken = self.measure_both(started, work).await?;
        if taken.is_over(self.shared.update.disk_mb) {
            self.tidy(started, &["--discard", CACHE_DIR]).await;
        }
        Ok(())
    }

    /// Runs the update command to its end, or to the end of its time or room.
    async fn command(&self, started: &Started, work: &str) -> Result<Ended, UpdateError> {
        let (parts, update) = (&self.shared.parts, &self.shared.update);
        let exec = Exec {
            command: update.command.clone(),
            env: environment(&parts.config, &parts.manifest, update),
            timeout: Duration::from_secs(update.timeout_seconds),
            output_bytes: parts.manifest.limits.output_kb << 10,
        };
        let session = self.meet(started).await?;
        let mut heard = |stdout: &[u8], stderr: &[u8]| self.course.heard(stdout, stderr);
        let mut finished = std::pin::pin!(session.exec_heard(exec, &mut heard));
        let halt = tokio::select! {
            finished = &mut finished => {
                let ended = self.conclude(started, finished).await;
                return self.was_it_the_disk(work, ended).await;
            }
            halt = self.watch(started, work) => halt?,
        };
        if matches!(halt, Halt::GivenUp) {
            return Err(given_up());
        }
        self.tidy(started, &["--end"]).await;
        let finished = timeout(LAST_WORDS, finished).await;
        let output = match finished {
            Ok(Ok(finished)) => transcript(&finished),
            Ok(Err(_)) | Err(_) => b"ended: stopped".to_vec(),
        };
        Err(self.halted(&halt, output))
    }

    /// A command that cannot write any more has many ways to say so.
    async fn was_it_the_disk(
        &self,
        work: &str,
        ended: Result<Ended, UpdateError>,
    ) -> Result<Ended, UpdateError> {
        let limit_mb = self.shared.update.disk_mb;
        match ended {
            Err(UpdateError::Failed { output, .. })
                if self.measure(work).await?.is_over(limit_mb) =>
            {
                Err(UpdateError::DiskFull { limit_mb, output })
            }
            ended => ended,
        }
    }

    fn halted(&self, halt: &Halt, output: Vec<u8>) -> UpdateError {
        match halt {
            Halt::DiskFull => UpdateError::DiskFull {
                limit_mb: self.shared.update.disk_mb,
                output,
            },
            Halt::Reserve { free_mb } => UpdateError::Reserve {
                free_mb: *free_mb,
                reserve_mb: self.shared.parts.config.storage.reserve_mb,
                output,
            },
            Halt::GivenUp => given_up(),
        }
    }

    async fn conclude(
        &self,
        started: &Started,
        finished: Result<Finished, SessionLost>,
    ) -> Result<Ended, UpdateError> {
        let reason = match finished {
            Ok(finished) => {
                return judge(&finished, &self.shared.parts.manifest, &self.shared.update);
            }
            Err(SessionLost::Refused { reason }) => reason,
            Err(lost) => self
                .death(started)
                .await?
                .unwrap_or_else(|| lost.to_string()),
        };
        Err(UpdateError::Failed {
            reason,
            exit_code: None,
            output: Vec::new(),
        })
    }

    /// Looks at the disk until there is a reason to end the update.
    async fn watch(&self, started: &Started, work: &str) -> Result<Halt, UpdateError> {
        let mut before = None;
        loop {
            let taken = self.measure_both(started, work).await?;
            let before = *before.get_or_insert(taken.cache);
            let cached = taken.cache.saturating_sub(before);
            self.course.measured(taken.candidate + cached);
            if taken.is_over(self.shared.update.disk_mb) {
                return Ok(Halt::DiskFull);
            }
            let free_mb = self.free_mb().await?;
            if free_mb < self.shared.parts.config.storage.reserve_mb {
                return Ok(Halt::Reserve { free_mb });
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.stop.cancelled() => return Ok(Halt::GivenUp),
            }
        }
    }

    /// Measures from outside and from inside: the command may keep directories to itself, and may
    /// keep the runner from looking.
    async fn measure_both(&self, started: &Started, work: &str) -> Result<Taken, UpdateError> {
        let outside = self.measure(work).await?;
        let inside = Taken {
            candidate: self.measure_inside(started, CANDIDATE_DIR).await,
            cache: self.measure_inside(started, CACHE_DIR).await,
        };
        Ok(Taken {
            candidate: outside.candidate.max(inside.candidate),
            cache: outside.cache.max(inside.cache),
        })
    }

    async fn measure_inside(&self, started: &Started, dir: &str) -> u64 {
        let measured = self.tidy(started, &["--measure", dir]).await;
        let said = measured.unwrap_or_default();
        let number = std::str::from_utf8(&said).ok();
        number
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Has the runner put something in order and returns what it printed; what it cannot do shows
    /// in what comes after.
    async fn tidy(&self, started: &Started, arguments: &[&str]) -> Option<Vec<u8>> {
        let command = std::iter::once(&RUNNER_PATH).chain(arguments);
        let exec = Exec {
            command: command.map(|argument| (*argument).to_owned()).collect(),
            env: Vec::new(),
            timeout: TIDY,
            output_bytes: 64 << 10,
        };
        let session = self.shared.port.session(&started.generation);
        let session = timeout(LAST_WORDS, session).await.ok()?;
        let tidied = tokio::select! {
            tidied = session.exec(exec) => tidied,
            () = self.stop.cancelled() => return None,
        };
        let failed = |error: &SessionLost| {
            tracing::debug!(%error, "An update container could not be put in order");
        };
        Some(tidied.inspect_err(failed).ok()?.stdout)
    }

    /// Says how a container ended, or nothing if it runs.
    async fn death(&self, started: &Started) -> Result<Option<String>, UpdateError> {
        let state = self
            .shared
            .parts
            .sandbox
            .inspect(&started.container)
            .await?;
        Ok(ContainerState::death(state.as_ref()))
    }
}
