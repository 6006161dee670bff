//! Asks a product that works on its own: start, poll until it is done, fetch the outcome.
//!
//! All of it is one run, with one deadline. What the parser reads is what the
//! last command printed; a start or a look that fails ends the run with its last
//! words, work that does not end in time is a timeout.

use std::time::{Duration, Instant};

use regex::Regex;
use tokio::time::sleep;

use super::{Asked, Engine, Health, Run, all_said, transcript};
use crate::engine::manifest::PollSpec;
use crate::engine::parser::text::quote;
use crate::engine::resident::Lease;
use crate::engine::runner::{Exec, Finished};
use crate::engine::staging::Batch;
use crate::model::Verdict;

/// Longest id of a product's work.
const MAX_ID: usize = 200;

/// Why the outcome cannot be fetched.
enum Stuck {
    /// The container is lost.
    Lost,
    /// A command was cut short; how, is for the usual judge.
    Cut(Finished),
    /// It did not come to an outcome, in its own words.
    Failed(String, Finished),
    /// It is not done in time.
    Late,
}

/// Work that was started.
struct Work<'a> {
    lease: &'a Lease,
    batch: &'a Batch,
    poll: &'a PollSpec,
    ends: Instant,
    id: String,
}

impl Engine {
    /// Follows work that the manifest's command starts, to its end.
    pub(super) async fn ask_poll(&self, lease: &Lease, batch: &Batch, poll: &PollSpec) -> Asked {
        let started = Instant::now();
        let mut work = Work {
            lease,
            batch,
            poll,
            ends: started + self.deadline(batch.files.len() as u64),
            id: String::new(),
        };
        let fetched = self.follow(&mut work).await;
        let run = |raw| Run {
            versions: lease.live.versions.clone(),
            duration: started.elapsed(),
            raw,
        };
        let (verdict, raw, reason) = match fetched {
            Ok(finished) | Err(Stuck::Cut(finished)) => {
                let mut asked = self.read(lease, batch, &finished);
                asked.run.duration = started.elapsed();
                return asked;
            }
            Err(Stuck::Lost) => return self.lost(lease, batch.files.len()).await,
            Err(Stuck::Failed(reason, finished)) => {
                (Verdict::failure(&reason), transcript(&finished), reason)
            }
            Err(Stuck::Late) => {
                let reason = "did not come to an end in time".to_owned();
                (Verdict::Timeout, reason.clone().into_bytes(), reason)
            }
        };
        // Work that was started may still go on in there.
        Asked {
            answers: all_said(batch, &verdict),
            run: run(raw),
            health: Health::Suspect(reason),
        }
    }

    async fn follow(&self, work: &mut Work<'_>) -> Result<Finished, Stuck> {
        let start = self.step(work, &self.manifest.run.command).await?;
        if start.exited.code != Some(0) {
            let reason = format!("cannot be started: {}", last_words(&start));
            return Err(Stuck::Failed(reason, start));
        }
        if let Some(pattern) = &work.poll.id {
            let Some(id) = find_id(pattern, &start) else {
                let reason = format!("did not say which work it started: {}", last_words(&start));
                return Err(Stuck::Failed(reason, start));
            };
            work.id = id;
        }
        self.wait(work).await?;
        self.step(work, &work.poll.fetch).await
    }

    /// Looks again and again until the work is done.
    async fn wait(&self, work: &Work<'_>) -> Result<(), Stuck> {
        let pause = Duration::from_secs_f64(work.poll.interval_seconds);
        loop {
            let look = self.step(work, &work.poll.command).await?;
            let (said, failed) = (printed(&look), work.poll.failed.as_deref());
            let found = failed.and_then(|failed| line_with(failed, &said));
            if let Some(line) = found {
                return Err(Stuck::Failed(format!("failed: {}", quote(&line)), look));
            }
            if look.exited.code != Some(0) {
                let reason = format!("does not say how far it is: {}", last_words(&look));
                return Err(Stuck::Failed(reason, look));
            }
            if line_with(&work.poll.done, &said).is_some() {
                return Ok(());
            }
            if work.ends.saturating_duration_since(Instant::now()) <= pause {
                return Err(Stuck::Late);
            }
            sleep(pause).await;
        }
    }

    /// Runs one of the commands in what is left of the time.
    async fn step(&self, work: &Work<'_>, template: &[String]) -> Result<Finished, Stuck> {
        let left = work.ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Stuck::Late);
        }
        let command = self.command(template, work.batch).into_iter();
        let exec = Exec {
            command: command.map(|part| part.replace("{id}", &work.id)).collect(),
            env: self.manifest.run.env.clone().into_iter().collect(),
            timeout: left,
            output_bytes: self.manifest.limits.output_kb << 10,
        };
        let session = self.resident.session(&work.lease.live).await;
        let session = session.ok_or(Stuck::Lost)?;
        let finished = session.exec(exec).await.map_err(|_| Stuck::Lost)?;
        match self.cut_short(&finished.exited) {
            Some(_) => Err(Stuck::Cut(finished)),
            None => Ok(finished),
        }
    }
}

/// Finds the id of the work in what its start printed.
fn find_id(pattern: &str, start: &Finished) -> Option<String> {
    let said = printed(start);
    let pattern = multi_line(pattern)?;
    let id = pattern.captures(&said)?.name("id")?.as_str().to_owned();
    // It becomes a part of an argument, and never an option.
    let fits = (1..=MAX_ID).contains(&id.len()) && !id.starts_with('-');
    (fits && !id.chars().any(char::is_control)).then_some(id)
}

/// Returns the line in which a pattern matches.
fn line_with(pattern: &str, said: &str) -> Option<String> {
    let found = multi_line(pattern)?.find(said)?.start();
    let start = said[..found].rfind('\n').map_or(0, |end| end + 1);
    said[start..].lines().next().map(str::to_owned)
}

fn multi_line(pattern: &str) -> Option<Regex> {
    regex::RegexBuilder::new(pattern)
        .multi_line(true)
        .crlf(true)
        .build()
        .ok()
}

fn printed(finished: &Finished) -> String {
    let stdout = String::from_utf8_lossy(&finished.stdout);
    format!("{stdout}\n{}", String::from_utf8_lossy(&finished.stderr))
}

/// Quotes the last line that was printed, or the exit code.
fn last_words(finished: &Finished) -> String {
    let said = printed(finished);
    let mut lines = said.lines().rev();
    match lines.find(|line| !line.trim().is_empty()) {
        Some(line) => quote(line),
        None => format!(
            "exit code {}",
            finished
                .exited
                .code
                .map_or_else(String::new, |code| code.to_string())
        ),
    }
}
