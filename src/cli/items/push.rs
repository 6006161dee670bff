//! `acquit push`: files and whole folders go into a collection, what is there already does not.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde::Serialize;
use sha2::Digest;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::address::{Address, Collection, ItemObject};
use crate::cli::Context;
use crate::cli::client::ClientError;
use crate::cli::engines;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::progress::Progress;
use crate::cli::scan::report::{FileReport, Report, Rule};
use crate::cli::scan::upload::{Sent, Source, Upload, Wish, follow, open_file};
use crate::cli::scan::{asked, stream};
use crate::cli::text::{count, emit, emit_json, plain_name, visible, visible_name};
use crate::cli::walk::{Found, Walk};
use crate::cli::wire::{AnalysisAttributes, Answers};
use crate::model::{ItemPath, Sha256};

/// Files on their way at the same time, with --wait most of them waiting for engines.
const IN_FLIGHT: usize = 64;
/// Files found ahead of their turn.
const AHEAD: usize = 1024;

/// What to push, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct PushArguments {
    /// Files and folders, then where to put them: a folder's content goes below that place, as do
    /// files if there are several or it ends with a slash
    #[arg(required = true, num_args = 2.., value_name = "PATH… [COLLECTION:]/PATH")]
    paths: Vec<String>,
    /// Send also what is there already with the same content
    #[arg(long)]
    force: bool,
    /// Wait for the engines, print their verdicts and exit as `acquit scan` does
    #[arg(long)]
    wait: bool,
    /// Seconds to wait for a file's verdicts
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    timeout: u64,
    /// Files uploaded at the same time
    #[arg(long, default_value_t = 4, value_name = "NUMBER",
          value_parser = clap::value_parser!(u8).range(1..=32))]
    uploads: u8,
}

/// A push under way.
struct Push {
    collection: Collection,
    asked: Vec<String>,
    arguments: PushArguments,
    uploads: Semaphore,
    progress: Progress,
}

/// A file found, and where it goes.
struct Job {
    found: Found,
    to: Result<ItemPath, String>,
}

/// What became of a file.
#[derive(Debug, Serialize)]
struct Pushed {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<ItemPath>,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    answers: Option<Answers>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Uploaded,
    Skipped,
    Failed,
}

/// Pushes files and says what became of them.
///
/// # Errors
/// If the server cannot be asked at all, or nothing can be pushed there.
pub async fn push(context: &Context, mut arguments: PushArguments) -> anyhow::Result<Exit> {
    let place = arguments.paths.pop().unwrap_or_default();
    let place: Address = place.parse().map_err(UsageError)?;
    let client = context.client()?;
    let engines = engines::list(&client).await?;
    let push = Push {
        collection: Collection::open(client, place.publisher.as_ref()).await?,
        asked: asked(&engines, &[])?,
        uploads: Semaphore::new(usize::from(arguments.uploads)),
        progress: Progress::new(),
        arguments,
    };
    let pushed = tokio::select! {
        pushed = push.all(place.path) => pushed,
        _ = tokio::signal::ctrl_c() => {
            push.progress.clear();
            eprintln!("acquit: interrupted; what was received stays in the collection");
            return Ok(Exit::Interrupted);
        }
    };
    push.progress.clear();
    let (mut pushed, passed_by) = pushed;
    pushed.sort_by(|one, other| one.path.cmp(&other.path));
    report(context, pushed, (passed_by, push.arguments.wait))
}

fn report(
    context: &Context,
    pushed: Vec<Pushed>,
    (passed_by, wait): (u64, bool),
) -> anyhow::Result<Exit> {
    let number = |state| pushed.iter().filter(|one| one.state == state).count() as u64;
    let (uploaded, skipped) = (number(State::Uploaded), number(State::Skipped));
    let failed = number(State::Failed);
    let mut summary = format!(
        "{} uploaded, {skipped} there already",
        count(uploaded, "file")
    );
    if failed > 0 {
        summary.push_str(&format!(", {failed} failed"));
    }
    let document = serde_json::json!({ "files": pushed, "passed_by": passed_by });
    if wait {
        let files = pushed.into_iter().map(file_report).collect();
        let report = Report::new(files, passed_by, Rule::default());
        if context.json {
            let mut scan = serde_json::to_value(&report)?;
            scan["pushed"] = document["files"].clone();
            emit_json(&scan)?;
        } else {
            emit(&format!("{}{summary}\n", report.text(context.paint, false)))?;
        }
        return Ok(report.exit(Rule::default()));
    }
    if context.json {
        emit_json(&document)?;
    } else {
        for one in &pushed {
            if let Some(error) = &one.error {
                emit(&format!("{}: NOT PUSHED: {error}\n", visible(&one.path)))?;
            }
        }
        emit(&format!("{summary}\n"))?;
    }
    let nothing = uploaded + skipped == 0;
    Ok(if failed > 0 || nothing {
        Exit::Incomplete
    } else {
        Exit::Fine
    })
}

fn file_report(pushed: Pushed) -> FileReport {
    let Pushed {
        path,
        sha256,
        size,
        error,
        answers,
        ..
    } = pushed;
    let mut report = match (error, answers) {
        (Some(error), _) => FileReport::failed(path, size, error),
        (None, answers) => FileReport::answered(path, size, answers.unwrap_or_default()),
    };
    report.sha256 = sha256;
    report
}

impl Push {
    async fn all(&self, place: ItemPath) -> (Vec<Pushed>, u64) {
        let (sender, jobs) = mpsc::channel(AHEAD);
        let roots: Vec<PathBuf> = self.arguments.paths.iter().map(PathBuf::from).collect();
        let progress = self.progress.clone();
        // Ends early when the receiver is gone, after Ctrl-C.
        let walk = tokio::task::spawn_blocking(move || {
            walk(&roots, &place, |job| {
                if let Found::File { size, .. } = &job.found {
                    progress.found(*size);
                }
                sender.blocking_send(job).is_ok()
            });
        });
        let done: Vec<Option<Pushed>> = stream(jobs)
            .map(|job| self.one(job))
            .buffer_unordered(IN_FLIGHT)
            .collect()
            .await;
        // A walk that ended early has nobody left to tell.
        let _ = walk.await;
        let passed_by = done.iter().filter(|one| one.is_none()).count() as u64;
        (done.into_iter().flatten().collect(), passed_by)
    }

    async fn one(&self, Job { found, to }: Job) -> Option<Pushed> {
        let (path, size) = match found {
            Found::Passed => return None,
            Found::Unreadable { path, reason } => {
                return Some(failed(path.as_os_str(), 0, reason));
            }
            Found::File { path, size } => (path, size),
        };
        let done = match to {
            Ok(to) => self
                .file((&path, size), to)
                .await
                .map_err(|e| e.to_string()),
            Err(reason) => Err(reason),
        };
        self.progress.done();
        Some(done.unwrap_or_else(|reason| failed(path.as_os_str(), size, reason)))
    }

    async fn file(&self, (path, size): (&Path, u64), to: ItemPath) -> Result<Pushed, ClientError> {
        let permit = self.uploads.acquire().await;
        let known = match self.arguments.force {
            true => None,
            false => self.same(path, &to).await?,
        };
        let mut pushed = Pushed {
            path: plain_name(path.as_os_str()),
            item: Some(to.clone()),
            state: State::Skipped,
            sha256: None,
            size,
            error: None,
            answers: None,
        };
        let analysis = match known {
            Some(sha256) => {
                pushed.sha256 = Some(sha256);
                drop(permit);
                match self.arguments.wait {
                    true => self.newest(&to).await?,
                    false => None,
                }
            }
            None => {
                let uploaded = self.upload(path, &to).await?;
                drop(permit);
                pushed.state = State::Uploaded;
                pushed.sha256 = Some(uploaded.sha256);
                pushed.size = uploaded.size;
                Some(uploaded.analysis)
            }
        };
        if self.arguments.wait {
            pushed.answers = Some(self.answers(&to, analysis).await?);
        }
        Ok(pushed)
    }

    /// Returns the hash of a file that is in the collection already, with the same content.
    async fn same(&self, path: &Path, to: &ItemPath) -> Result<Option<Sha256>, ClientError> {
        let Some(item) = self.collection.get(to).await? else {
            return Ok(None);
        };
        let there = item
            .text("/sha256")
            .and_then(|text| text.parse::<Sha256>().ok());
        let path = path.to_owned();
        let here = tokio::task::spawn_blocking(move || hash(&path)).await;
        let here = here.map_err(|error| self.collection.client.garbled(&error.to_string()))??;
        Ok(there.filter(|there| *there == here))
    }

    async fn upload(
        &self,
        path: &Path,
        to: &ItemPath,
    ) -> Result<crate::cli::scan::upload::Uploaded, ClientError> {
        let bar = self.progress.bytes();
        let sent: Sent = Arc::new(move |moved: i64| match u64::try_from(moved) {
            Ok(more) => bar.inc(more),
            Err(_) => bar.dec(moved.unsigned_abs()),
        });
        let wish = Wish {
            item: Some(self.collection.id(to)),
            ..Wish::default()
        };
        let upload = Upload {
            client: &self.collection.client,
            source: Source::File(path.to_owned()),
            wish: &wish,
            sent,
        };
        let uploaded = upload.send().await?;
        let item = self.collection.get(to).await?;
        let kept = item.and_then(|item| item.text("/sha256"));
        if kept.is_some_and(|kept| kept != uploaded.sha256.to_string()) {
            let reason = "the item has other bytes than the file: was it replaced meanwhile?";
            return Err(self.collection.client.garbled(reason));
        }
        Ok(uploaded)
    }

    /// Returns the newest analysis of an item that was there already.
    async fn newest(&self, to: &ItemPath) -> Result<Option<String>, ClientError> {
        let resource = format!("{}/analyses", self.collection.resource("monitor", to));
        let newest: Vec<ItemObject> = self.collection.client.first(&resource, 1).await?;
        Ok(newest.first().map(|analysis| format!("f-{}", analysis.id)))
    }

    /// Waits for an analysis and returns what all engines say: a rescan asks only some.
    async fn answers(
        &self,
        to: &ItemPath,
        analysis: Option<String>,
    ) -> Result<Answers, ClientError> {
        let client = &self.collection.client;
        let end = Instant::now() + Duration::from_secs(self.arguments.timeout);
        let mut attributes = AnalysisAttributes {
            status: "queued".to_owned(),
            results: Default::default(),
            coverage: None,
            known_distributors: None,
        };
        if let Some(analysis) = analysis {
            attributes = follow(client, &analysis, end).await?.data.attributes;
        }
        if attributes.status == "completed"
            && let Some(item) = self.collection.get(to).await?
        {
            let results = item.attributes.get("last_analysis_results").cloned();
            let results = results.map(serde_json::from_value).transpose();
            let results = results.map_err(|error| client.garbled(&error.to_string()))?;
            attributes.results = results.unwrap_or(attributes.results);
            let coverage = item.attributes.get("coverage").cloned();
            let coverage = coverage.map(serde_json::from_value).transpose();
            attributes.coverage = coverage.map_err(|error| client.garbled(&error.to_string()))?;
        }
        Ok(Answers::read(&attributes, &self.asked))
    }
}

fn failed(path: &OsStr, size: u64, error: String) -> Pushed {
    Pushed {
        path: plain_name(path),
        item: None,
        state: State::Failed,
        sha256: None,
        size,
        error: Some(error),
        answers: None,
    }
}

fn hash(path: &Path) -> Result<Sha256, ClientError> {
    let (mut file, _) = open_file(path)?;
    let mut digest = sha2::Sha256::new();
    std::io::copy(&mut file, &mut digest).map_err(|error| ClientError::Unreadable {
        reason: format!("cannot read: {error}"),
    })?;
    Ok(Sha256::new(digest.finalize().into()))
}

/// Finds the files, each with its place; goes on while `take` says so.
fn walk(roots: &[PathBuf], place: &ItemPath, mut take: impl FnMut(Job) -> bool) {
    let into_folder = place.is_folder() || roots.len() > 1;
    for root in roots {
        for found in Walk::new(vec![root.clone()]) {
            let to = match &found {
                Found::File { path, .. } => target(root, path, (place, into_folder)),
                Found::Unreadable { .. } | Found::Passed => Ok(ItemPath::root()),
            };
            if !take(Job { found, to }) {
                return;
            }
        }
    }
}

/// Returns where a file goes: below its root, or under the name that was given.
fn target(
    root: &Path,
    path: &Path,
    (place, into_folder): (&ItemPath, bool),
) -> Result<ItemPath, String> {
    let inner = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<&OsStr> = match inner.as_os_str().is_empty() {
        false => inner.iter().collect(),
        true if into_folder => path.file_name().into_iter().collect(),
        true => return Ok(place.clone()),
    };
    let mut to = place.as_folder();
    let last = parts.len().saturating_sub(1);
    for (number, part) in parts.into_iter().enumerate() {
        let shown = visible_name(part);
        let name = part.to_str();
        let name = name.ok_or_else(|| format!("the name {shown} is no UTF-8"))?;
        let end = if number < last { "/" } else { "" };
        let joined = to.join(&format!("{name}{end}"));
        to = joined.map_err(|error| error.to_string())?;
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check((root, path): (&str, &str), (place, into): (&str, bool), expected: &str) {
        let place = place.parse().unwrap();
        let to = target(Path::new(root), Path::new(path), (&place, into)).unwrap();
        assert_eq!(to.as_str(), expected);
    }

    #[test]
    fn folders_go_below_the_place_and_files_into_it_or_become_it() {
        check(("dist", "dist/a/b.exe"), ("/x/", true), "/x/a/b.exe");
        check(("dist", "dist/b.exe"), ("/x", false), "/x/b.exe");
        check(("b.exe", "b.exe"), ("/x/", true), "/x/b.exe");
        check(("d/b.exe", "d/b.exe"), ("/x/new.exe", false), "/x/new.exe");
        check(("b.exe", "b.exe"), ("/", true), "/b.exe");
    }
}
