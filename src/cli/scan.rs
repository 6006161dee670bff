//! `acquit scan`: files go up, verdicts come back, one table.

pub mod report;
pub mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use self::report::{Disputed, FailOn, FileReport, Report, Rule};
use self::upload::{Sent, Source, Upload, Uploaded, Wish, follow};
use super::Context;
use super::client::{Client, ClientError};
use super::engines;
use super::exit::{Exit, UsageError};
use super::progress::Progress;
use super::text::{emit, emit_json, plain_name};
use super::walk::{Found, Walk};
use super::wire::Answers;
use crate::model::EngineId;

/// Files on their way at the same time, most of them waiting for engines.
const IN_FLIGHT: usize = 64;
/// Files found ahead of their turn.
const AHEAD: usize = 1024;

/// What the help says of exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  every engine answered for every file and none detected anything
  1  some engine detected something (with --disputed-is-clean: that is not disputed)
  2  the command line is wrong
  3  incomplete: an engine did not answer, a file was not scanned, or there was none";

/// What to scan and how.
#[derive(Clone, Debug, clap::Args)]
pub struct ScanArguments {
    /// Files and folders to scan
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Ask only this engine; may be repeated
    #[arg(long = "engine", value_name = "ID")]
    engines: Vec<EngineId>,
    /// Scan again what the server already knows
    #[arg(long)]
    fresh: bool,
    /// Least category that makes the exit code 1
    #[arg(long, value_enum, default_value_t, value_name = "CATEGORY")]
    fail_on: FailOn,
    /// Do not let detections in a publisher's own software here, who disputes them, make the exit
    /// code 1; they are shown all the same
    #[arg(long)]
    disputed_is_clean: bool,
    /// Seconds to wait for a file's verdicts
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    timeout: u64,
    /// Files uploaded at the same time
    #[arg(long, default_value_t = 4, value_name = "NUMBER",
          value_parser = clap::value_parser!(u8).range(1..=32))]
    uploads: u8,
    /// List every file, however many there are
    #[arg(long)]
    all: bool,
}

/// A scan under way.
struct Scan {
    client: Client,
    wish: Wish,
    asked: Vec<String>,
    timeout: Duration,
    uploads: Semaphore,
    progress: Progress,
    passed_by: AtomicU64,
    /// Set once the server has not answered for as long as patience lasts.
    gave_up: AtomicBool,
}

/// Scans and prints what was found.
///
/// # Errors
/// If the server cannot be asked at all.
pub async fn run(context: &Context, arguments: ScanArguments) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let engines = engines::list(&client).await?;
    let asked = asked(&engines, &arguments.engines)?;
    let ids: Vec<&str> = arguments.engines.iter().map(EngineId::as_str).collect();
    let scan = Scan {
        client,
        wish: Wish {
            engines: ids.join(","),
            fresh: arguments.fresh,
            item: None,
        },
        asked,
        timeout: Duration::from_secs(arguments.timeout),
        uploads: Semaphore::new(usize::from(arguments.uploads)),
        progress: Progress::new(),
        passed_by: AtomicU64::new(0),
        gave_up: AtomicBool::new(false),
    };
    let files = tokio::select! {
        files = scan.files(arguments.paths) => files,
        _ = tokio::signal::ctrl_c() => {
            scan.progress.clear();
            eprintln!("acquit: interrupted; the server goes on with what it has received");
            return Ok(Exit::Interrupted);
        }
    };
    scan.progress.clear();
    let passed_by = scan.passed_by.load(Ordering::Relaxed);
    let rule = Rule {
        fail_on: arguments.fail_on,
        disputed: match arguments.disputed_is_clean {
            true => Disputed::Clean,
            false => Disputed::Detected,
        },
    };
    let report = Report::new(files, passed_by, rule);
    if context.json {
        emit_json(&report)?;
    } else {
        emit(&report.text(context.paint, arguments.all))?;
    }
    Ok(report.exit(rule))
}

/// Returns the display names of the engines that are to answer.
///
/// # Errors
/// If one that is wanted is not enabled.
pub fn asked(engines: &[engines::Engine], wanted: &[EngineId]) -> anyhow::Result<Vec<String>> {
    let enabled: Vec<_> = engines
        .iter()
        .filter(|engine| engine.is_enabled() && !engine.is_labeler())
        .collect();
    for id in wanted {
        if !enabled.iter().any(|engine| engine.id == id.as_str()) {
            let ids: Vec<&str> = enabled.iter().map(|engine| engine.id.as_str()).collect();
            let ids = ids.join(", ");
            let message = format!("there is no enabled engine {id}; there are: {ids}");
            return Err(UsageError(message).into());
        }
    }
    let is_asked = |id: &str| wanted.is_empty() || wanted.iter().any(|w| w.as_str() == id);
    let asked = enabled.iter().filter(|engine| is_asked(&engine.id));
    Ok(asked.map(|engine| engine.name.clone()).collect())
}

impl Scan {
    async fn files(&self, paths: Vec<PathBuf>) -> Vec<FileReport> {
        let (sender, found) = mpsc::channel(AHEAD);
        let progress = self.progress.clone();
        let send = move |found| {
            if let Found::File { size, .. } = &found {
                progress.found(*size);
            }
            sender.blocking_send(found)
        };
        // Ends early when the receiver is gone, after Ctrl-C.
        let walk = tokio::task::spawn_blocking(move || Walk::new(paths).try_for_each(send));
        let reports = stream(found)
            .map(|found| self.one(found))
            .buffer_unordered(IN_FLIGHT)
            .filter_map(async |report| report)
            .collect()
            .await;
        // A walk that ended early has nobody left to tell.
        let _ = walk.await;
        reports
    }

    async fn one(&self, found: Found) -> Option<FileReport> {
        match found {
            Found::Passed => {
                self.passed_by.fetch_add(1, Ordering::Relaxed);
                None
            }
            Found::Unreadable { path, reason } => {
                let path = plain_name(path.as_os_str());
                Some(FileReport::failed(path, 0, reason))
            }
            Found::File { path, size } => {
                let report = self.file(path, size).await;
                self.progress.done();
                Some(report)
            }
        }
    }

    async fn file(&self, path: PathBuf, size: u64) -> FileReport {
        let shown = plain_name(path.as_os_str());
        match self.verdicts(path).await {
            Ok((uploaded, answers)) => {
                let mut report = FileReport::answered(shown, uploaded.size, answers);
                let resource = format!("files/{}", uploaded.sha256);
                report.permalink = Some(self.client.url(&resource));
                report.sha256 = Some(uploaded.sha256);
                report
            }
            Err(error) => {
                if matches!(error, ClientError::Unreachable { .. }) {
                    self.gave_up.store(true, Ordering::Relaxed);
                }
                FileReport::failed(shown, size, error.to_string())
            }
        }
    }

    async fn verdicts(&self, path: PathBuf) -> Result<(Uploaded, Answers), ClientError> {
        let uploaded = self.upload(path).await?;
        let end = Instant::now() + self.timeout;
        let answer = follow(&self.client, &uploaded.analysis, end).await?;
        if let Some(info) = &answer.meta.file_info
            && info.sha256 != uploaded.sha256
        {
            let reason = "the server received other bytes than the file has";
            return Err(self.client.garbled(reason));
        }
        let answers = Answers::read(&answer.data.attributes, &self.asked);
        Ok((uploaded, answers))
    }

    async fn upload(&self, path: PathBuf) -> Result<Uploaded, ClientError> {
        let permit = self.uploads.acquire().await;
        if self.gave_up.load(Ordering::Relaxed) {
            return Err(ClientError::Unreachable {
                server: self.client.server().to_owned(),
                reason: "given up after other files".to_owned(),
            });
        }
        let bar = self.progress.bytes();
        let sent: Sent = Arc::new(move |moved: i64| match u64::try_from(moved) {
            Ok(more) => bar.inc(more),
            Err(_) => bar.dec(moved.unsigned_abs()),
        });
        let upload = Upload {
            client: &self.client,
            source: Source::File(path),
            wish: &self.wish,
            sent,
        };
        let uploaded = upload.send().await;
        drop(permit);
        uploaded
    }
}

/// A channel's receiver as a stream.
pub fn stream<T>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    unfold(receiver, async |mut receiver| {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
}
