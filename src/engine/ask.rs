//! Asks an engine about a batch of files and reads its answer.
//!
//! How the command ended is judged here, before the parser sees a byte: a run
//! that was killed, ran out of memory or printed too much has no clean files.

mod clamd;
mod driver;
mod poll;
mod speech;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::manifest::{Isolation, Manifest, Transport};
use super::parser::{Output, Parser};
use super::resident::{Lease, Resident};
use super::runner::{Exec, Finished};
use super::staging::{Batch, Sentinel, Shown, Staging};
use super::talk::Heard;
use crate::model::{EngineVersions, Verdict};
use acquit_runner::wire::Exited;

/// One engine: its manifest made ready.
#[derive(Debug)]
pub struct Engine {
    /// What describes it.
    pub manifest: Arc<Manifest>,
    /// What reads its answers.
    pub parser: Parser,
    /// Who owns its container.
    pub resident: Resident,
    /// Where files are shown to it.
    pub staging: Staging,
}

/// One file's answer.
#[derive(Clone, Debug)]
pub struct Said {
    /// The verdict.
    pub verdict: Verdict,
    /// The name under which the engine saw the file.
    pub staged: Option<String>,
}

/// Everything an engine said about a batch.
#[derive(Debug)]
pub struct Asked {
    /// One answer per file, in order.
    pub answers: Vec<Said>,
    /// What they have in common.
    pub run: Run,
    /// Whether the container may go on.
    pub health: Health,
}

/// Whether a container may go on after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It may.
    Fine,
    /// What happened may have left something behind: it is replaced.
    Suspect(String),
}

/// What the answers of one run have in common.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the engine scanned with.
    pub versions: EngineVersions,
    /// Wall time of the run.
    pub duration: Duration,
    /// What the engine printed, with how it ended on the first line.
    pub raw: Vec<u8>,
}

impl Run {
    /// Returns the run of answers that needed no engine.
    pub fn none() -> Self {
        Self {
            versions: EngineVersions::default(),
            duration: Duration::ZERO,
            raw: Vec::new(),
        }
    }
}

impl Engine {
    /// Shows files to the engine and returns what it says of each, in order.
    pub async fn ask(&self, lease: &Lease, shown: Vec<Shown>) -> Asked {
        let count = shown.len();
        let blobs: Vec<PathBuf> = shown.iter().map(|shown| shown.blob.clone()).collect();
        let batch = match self.stage(shown).await {
            Ok(batch) => batch,
            Err(error) => {
                let reason = format!("cannot be shown to the engine: {error}");
                return self.failed(lease, count, (&reason, Health::Fine));
            }
        };
        match self.manifest.run.transport {
            Transport::Command => match &self.manifest.run.poll {
                Some(poll) => self.ask_poll(lease, &batch, poll).await,
                None => self.ask_command(lease, &batch).await,
            },
            Transport::Clamd => self.ask_clamd(lease, &batch).await,
            Transport::Driver => self.ask_driver(lease, &batch).await,
            Transport::Dialog | Transport::Icap | Transport::Http | Transport::Drwebd => {
                self.ask_speech(lease, (&batch, &blobs)).await
            }
        }
    }

    /// Returns how long a batch of so many files may take.
    pub fn deadline(&self, files: u64) -> Duration {
        let one = Duration::from_secs(self.manifest.limits.timeout_seconds);
        let more = u32::try_from(files.saturating_sub(1)).unwrap_or(u32::MAX);
        one + (one / 32).saturating_mul(more)
    }

    /// Returns how many files a batch may have.
    pub fn most_files(&self) -> u64 {
        // Whoever does not say which file is meant is asked about one at a time.
        // A server is asked about each file alone anyway.
        let single = self.parser.needs_single_file() && !self.manifest.run.transport.is_speech();
        match self.manifest.run.isolation {
            Isolation::Resident if !single => u64::from(self.manifest.run.batch_files.max(1)),
            Isolation::Resident | Isolation::Fresh => 1,
        }
    }

    async fn stage(&self, shown: Vec<Shown>) -> std::io::Result<Batch> {
        let staging = self.staging.clone();
        let sentinel = if self.parser.needs_sentinel() {
            Sentinel::Wanted
        } else {
            Sentinel::Needless
        };
        let staged = tokio::task::spawn_blocking(move || staging.stage(&shown, sentinel)).await;
        staged.map_err(std::io::Error::other)?
    }

    async fn ask_command(&self, lease: &Lease, batch: &Batch) -> Asked {
        let count = batch.files.len();
        let Some(session) = self.resident.session(&lease.live).await else {
            return self.lost(lease, count).await;
        };
        let exec = Exec {
            command: self.command(&self.manifest.run.command, batch),
            env: self.manifest.run.env.clone().into_iter().collect(),
            timeout: self.deadline(count as u64),
            output_bytes: self.manifest.limits.output_kb << 10,
        };
        match session.exec(exec).await {
            Ok(finished) => self.read(lease, batch, &finished),
            Err(_) => self.lost(lease, count).await,
        }
    }

    fn command(&self, template: &[String], batch: &Batch) -> Vec<String> {
        let staged = || batch.files.iter().chain(&batch.sentinel);
        let mut command = Vec::new();
        for argument in template {
            if argument == "{files}" {
                command.extend(staged().cloned());
            } else {
                let argument = argument.replace("{list}", &batch.inside_list);
                command.push(argument.replace("{dir}", &batch.inside_dir));
            }
        }
        command
    }

    fn read(&self, lease: &Lease, batch: &Batch, finished: &Finished) -> Asked {
        let raw = transcript(finished);
        let duration = Duration::from_micros(finished.exited.duration_us);
        let run = Run {
            versions: lease.live.versions.clone(),
            duration,
            raw,
        };
        if let Some((verdict, health)) = self.cut_short(&finished.exited) {
            return Asked {
                answers: all_said(batch, &verdict),
                run,
                health,
            };
        }
        let printed = (
            finished.exited.code,
            finished.stdout.as_slice(),
            finished.stderr.as_slice(),
        );
        let answers = self.parse(batch, printed);
        Asked {
            answers,
            run,
            health: Health::Fine,
        }
    }

    /// Reads what was printed by a run that came to its end.
    fn parse(
        &self,
        batch: &Batch,
        (exit_code, stdout, stderr): (Option<i32>, &[u8], &[u8]),
    ) -> Vec<Said> {
        let files: Vec<&str> = batch.files.iter().map(String::as_str).collect();
        let output = Output {
            exit_code,
            stdout,
            stderr,
        };
        let sentinel = batch.sentinel.as_deref();
        let parsed = self.parser.parse(output, &files, sentinel);
        let said = parsed.into_iter().zip(&batch.files);
        let said = said.map(|(parsed, staged)| Said {
            verdict: parsed.verdict,
            staged: Some(staged.clone()),
        });
        said.collect()
    }

    /// Judges a run that did not come to its own end; such a run has no clean files.
    fn cut_short(&self, exited: &Exited) -> Option<(Verdict, Health)> {
        let limits = &self.manifest.limits;
        let suspect = |reason: String| (Verdict::failure(&reason), Health::Suspect(reason));
        if exited.oom_kills > 0 {
            let limit = limits.memory_mb;
            return Some(suspect(format!(
                "ran out of memory (its limit is {limit} MB)"
            )));
        }
        if exited.timed_out {
            return Some((
                Verdict::Timeout,
                Health::Suspect("did not end in time".to_owned()),
            ));
        }
        if exited.flooded {
            let limit = limits.output_kb;
            return Some(suspect(format!("printed more than {limit} KB")));
        }
        match (exited.signal, exited.code) {
            (Some(signal), _) => Some(suspect(format!("was ended by signal {signal}"))),
            (None, None) => Some(suspect("ended in an unknown way".to_owned())),
            (None, Some(_)) => None,
        }
    }

    async fn lost(&self, lease: &Lease, count: usize) -> Asked {
        let reason = self.resident.autopsy(&lease.live).await;
        self.failed(lease, count, (&reason, Health::Suspect(reason.clone())))
    }

    fn failed(&self, lease: &Lease, count: usize, (reason, health): (&str, Health)) -> Asked {
        let said = Said {
            verdict: Verdict::failure(reason),
            staged: None,
        };
        let versions = lease.live.versions.clone();
        let run = Run {
            versions,
            duration: Duration::ZERO,
            raw: Vec::new(),
        };
        Asked {
            answers: vec![said; count],
            run,
            health,
        }
    }
}

/// Reads what a server said of the one file it was asked about.
pub(super) fn parse_alone(parser: &Parser, name: &str, heard: &Heard) -> Verdict {
    let output = Output {
        exit_code: Some(heard.code),
        stdout: &heard.text,
        stderr: &[],
    };
    let parsed = parser.parse(output, &[name], None).into_iter().next();
    parsed.map_or_else(
        || Verdict::failure("the answer was not read"),
        |parsed| parsed.verdict,
    )
}

/// Writes down an answer as it is kept.
pub(super) fn record(heard: &Heard) -> Vec<u8> {
    let mut raw = format!("exit: {}\n--- stdout\n", heard.code).into_bytes();
    raw.extend_from_slice(&heard.text);
    raw.extend_from_slice(b"\n--- stderr\n");
    raw
}

/// Gives every file of a batch the same verdict.
fn all_said(batch: &Batch, verdict: &Verdict) -> Vec<Said> {
    let said = |staged: &String| Said {
        verdict: verdict.clone(),
        staged: Some(staged.clone()),
    };
    batch.files.iter().map(said).collect()
}

/// Writes down a run as it is kept: how it ended, then what was printed.
pub(super) fn transcript(finished: &Finished) -> Vec<u8> {
    let exited = &finished.exited;
    let ended = match (exited.code, exited.signal) {
        (Some(code), _) => format!("exit: {code}"),
        (None, Some(signal)) => format!("signal: {signal}"),
        (None, None) => "ended: unknown".to_owned(),
    };
    let mut raw = format!("{ended}\n--- stdout\n").into_bytes();
    raw.extend_from_slice(&finished.stdout);
    raw.extend_from_slice(b"\n--- stderr\n");
    raw.extend_from_slice(&finished.stderr);
    raw
}
