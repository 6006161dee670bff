//! Has files read, one at a time, each by a process that ends with it.

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::text::harmless;
use crate::model::{FileFacts, Sha256};
use crate::store::{Change, FACTS, Store, StoreError, UNREAD};

/// How often it is looked whether there is something to read.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long to leave be what the machine cannot do now.
const BREATHER: Duration = Duration::from_secs(30);
/// Longest a file may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest answer.
const ANSWER_BYTES: u64 = 256 << 10;

/// With this code the reading process ends when it cannot give up what it must not have.
pub const CANNOT_CONFINE: u8 = 75;

/// Notes that a blob is to be read, unless it was.
///
/// # Errors
/// If the store fails.
pub fn wanted(change: &mut Change<'_>, sha256: Sha256) -> Result<(), StoreError> {
    match change.get(&FACTS, &sha256)? {
        Some(_) => Ok(()),
        None => change.put(&UNREAD, &sha256, &()),
    }
}

/// Why a file could not be read for now; the file itself is not to blame.
#[derive(Debug, thiserror::Error)]
enum Unable {
    #[error("the process that reads files cannot be run: {0}")]
    Process(std::io::Error),
    #[error("the process that reads files cannot give up its privileges on this machine")]
    Confine,
    #[error("the file cannot be opened: {0}")]
    File(std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The stage that has files read.
#[derive(Clone, Debug)]
pub struct Reader {
    store: Store,
    program: PathBuf,
    roots: Vec<PathBuf>,
}

impl Reader {
    /// Makes the stage; `roots` are PEM files, or directories of them, with the certificates of
    /// authorities whose signers are trusted.
    pub fn new(store: Store, roots: Vec<PathBuf>) -> Self {
        Self {
            store,
            // Also the right one after an upgrade has replaced the file it was started from.
            program: PathBuf::from("/proc/self/exe"),
            roots,
        }
    }

    /// Has files read by this program instead of the one that runs.
    #[must_use]
    pub fn by(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// Reads what is to be read until told to stop.
    pub async fn run(self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let turn = async {
                match self.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => sleep(LOOK_AGAIN).await,
                    Err(error) => {
                        warn!(%error, "Files cannot be read for what they say of themselves");
                        sleep(BREATHER).await;
                    }
                }
            };
            shutdown.run_until_cancelled(turn).await;
        }
    }

    /// Reads one file, if one is to be read; returns which.
    ///
    /// # Errors
    /// If it cannot be read for now.
    pub async fn next(&self) -> anyhow::Result<Option<Sha256>> {
        let page = self.store.list(&UNREAD, (&[], None), 1)?;
        let Some((sha256, ())) = page.rows.into_iter().next() else {
            return Ok(None);
        };
        let facts = harmless(self.read(&sha256).await?);
        let write = move |change: &mut Change<'_>| {
            // Of a file that went meanwhile nothing is to be known.
            if change.get(&UNREAD, &sha256)?.is_some() {
                change.put(&FACTS, &sha256, &facts)?;
                change.remove(&UNREAD, &sha256);
            }
            Ok(())
        };
        self.store.write(write).await?;
        Ok(Some(sha256))
    }

    async fn read(&self, sha256: &Sha256) -> Result<FileFacts, Unable> {
        let file = match File::open(self.store.blobs().path(sha256)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(problem("the file was removed before it was read"));
            }
            file => file.map_err(Unable::File)?,
        };
        let mut child = self.start(file).map_err(Unable::Process)?;
        let Ok(ended) = timeout(PATIENCE, answer(&mut child)).await else {
            child.kill().await.map_err(Unable::Process)?;
            return Ok(problem("reading it took too long"));
        };
        let (status, answer) = ended.map_err(Unable::Process)?;
        match status.code() {
            Some(0) => Ok(understood(&answer)),
            Some(code) if code == i32::from(CANNOT_CONFINE) => Err(Unable::Confine),
            _ => Ok(problem(&format!(
                "the process that read it ended before it was done ({status})"
            ))),
        }
    }

    /// Starts a process that has the file, nothing of ours, and no way to reach us.
    fn start(&self, file: File) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg("read-facts");
        for root in &self.roots {
            command.arg("--roots").arg(root);
        }
        command
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(file))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

/// Takes what a process prints, no more than it may, and how it ended.
async fn answer(child: &mut Child) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // Past the limit the pipe is closed: whoever goes on printing dies of it.
        stdout.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    }
    Ok((child.wait().await?, answer))
}

fn understood(answer: &[u8]) -> FileFacts {
    serde_json::from_slice(answer)
        .unwrap_or_else(|_| problem("the process that read it gave an answer that is none"))
}

fn problem(words: &str) -> FileFacts {
    FileFacts {
        problem: Some(words.to_owned()),
        ..FileFacts::default()
    }
}
