//! Sends one file and waits for what the engines say about it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, Url};
use sha2::Digest;
use tokio::time::Instant;
use tokio_util::io::ReaderStream;

use crate::cli::client::{ANSWER, Client, ClientError, segment};
use crate::cli::text::visible_name;
use crate::cli::walk::{describe, kind};
use crate::cli::wire::{AnalysisAttributes, Descriptor, Envelope, Object};
use crate::model::{ItemId, Sha256};

/// Larger files go to an upload URL; servers take at least this much directly.
const DIRECT_BYTES: u64 = 30 << 20;
/// Bytes read from a file at a time.
const CHUNK: usize = 256 << 10;
/// How long an upload may stand still.
const STALL: Duration = Duration::from_secs(120);
/// What is said then.
const STOOD_STILL: &str = "an upload stood still for two minutes";
/// Seconds the server is asked to hold an answer back until there is one.
const WAIT_SECONDS: u64 = 30;

/// What to send.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// Bytes made here, under a name.
    Bytes(&'static str, Bytes),
}

/// How to have it analyzed.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Engine ids, comma separated; all if empty.
    pub engines: String,
    /// Whether known answers are to be ignored.
    pub fresh: bool,
    /// The item it becomes, if it goes into a collection.
    pub item: Option<ItemId>,
}

impl Wish {
    /// Returns the resource files go to, and the one that hands out URLs for large ones.
    fn resources(&self) -> (String, String) {
        match &self.item {
            None => ("files".to_owned(), "files/upload_url".to_owned()),
            Some(ItemId { publisher, .. }) => (
                format!("monitor/items?owner={publisher}"),
                format!("monitor/items/upload_url?owner={publisher}"),
            ),
        }
    }
}

/// Counts bytes as they leave, and back when they have to leave again.
pub type Sent = Arc<dyn Fn(i64) + Send + Sync>;

/// One file on its way.
pub struct Upload<'a> {
    /// Whom to ask.
    pub client: &'a Client,
    /// What to send.
    pub source: Source,
    /// How to have it analyzed.
    pub wish: &'a Wish,
    /// Who counts.
    pub sent: Sent,
}

impl std::fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Upload").field(&self.source).finish()
    }
}

/// What is known of a file once the server has it.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// Name of the analysis.
    pub analysis: String,
    /// Hash of the bytes that were sent.
    pub sha256: Sha256,
    /// How many were sent.
    pub size: u64,
}

/// An open file, its size now, and the name it is sent under.
struct Opened {
    body: Body,
    size: u64,
    name: String,
    digest: Arc<Mutex<sha2::Sha256>>,
    moved: Arc<AtomicU64>,
}

impl Upload<'_> {
    /// Sends the file, again if the connection breaks.
    ///
    /// # Errors
    /// If it cannot be read, or the server does not take it.
    pub async fn send(&self) -> Result<Uploaded, ClientError> {
        self.client.retry(async || self.attempt().await).await
    }

    async fn attempt(&self) -> Result<Uploaded, ClientError> {
        let opened = self.open()?;
        if opened.size > DIRECT_BYTES {
            return self.large(opened).await;
        }
        let direct = self.client.url(&self.wish.resources().0);
        match self.post(direct, opened).await {
            // This server takes less than usual directly.
            Err(error) if error.status() == Some(413) => {
                let opened = self.open()?;
                self.large(opened).await
            }
            other => other,
        }
    }

    async fn large(&self, opened: Opened) -> Result<Uploaded, ClientError> {
        let resource = self.wish.resources().1;
        let handed_out: Envelope<String> = self.client.get(&resource).await?;
        let url: Url = self.client.here(&handed_out.data)?;
        self.post(url.into(), opened).await
    }

    async fn post(&self, url: String, opened: Opened) -> Result<Uploaded, ClientError> {
        let (size, digest) = (opened.size, opened.digest.clone());
        let moved = opened.moved.clone();
        let form = self.form(opened)?;
        let request = self.client.request(Method::POST, &url).multipart(form);
        let answer = tokio::select! {
            answer = self.client.answer(request) => answer,
            () = stalled(&moved) => Err(self.client.unreachable(STOOD_STILL)),
        };
        let answer = answer.inspect_err(|_| {
            (self.sent)(-signed(moved.load(Ordering::Relaxed)));
        })?;
        let answer: Envelope<Descriptor> = serde_json::from_value(answer)
            .map_err(|error| self.client.garbled(&error.to_string()))?;
        let digest = digest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok(Uploaded {
            // What goes into a collection is answered with the item it became.
            analysis: answer.meta.analysis.unwrap_or(answer.data.id),
            sha256: Sha256::new(digest.finalize().into()),
            size,
        })
    }

    fn form(&self, opened: Opened) -> Result<Form, ClientError> {
        let mut form = Form::new();
        if !self.wish.engines.is_empty() {
            form = form.text("engines", self.wish.engines.clone());
        }
        if self.wish.fresh {
            form = form.text("reuse", "never");
        }
        if let Some(item) = &self.wish.item {
            form = form.text("path", item.path.to_string());
        }
        let part = Part::stream_with_length(opened.body, opened.size)
            .file_name(opened.name)
            .mime_str("application/octet-stream")
            .map_err(|error| self.client.garbled(&error.to_string()))?;
        Ok(form.part("file", part))
    }

    fn open(&self) -> Result<Opened, ClientError> {
        let (digest, moved) = (Arc::<Mutex<sha2::Sha256>>::default(), Arc::default());
        let counted = {
            let (digest, moved, sent) = (digest.clone(), Arc::clone(&moved), self.sent.clone());
            move |chunk: &Bytes| {
                digest
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .update(chunk);
                AtomicU64::fetch_add(&moved, chunk.len() as u64, Ordering::Relaxed);
                sent(signed(chunk.len() as u64));
            }
        };
        let (body, size, name) = match &self.source {
            Source::File(path) => {
                let (file, size) = open_file(path)?;
                let file = tokio::fs::File::from_std(file);
                let limited = tokio::io::AsyncReadExt::take(file, size);
                let stream = ReaderStream::with_capacity(limited, CHUNK);
                let stream = stream.inspect(move |chunk| {
                    if let Ok(chunk) = chunk {
                        counted(chunk);
                    }
                });
                let name = path.file_name().unwrap_or(path.as_os_str());
                (Body::wrap_stream(stream), size, visible_name(name))
            }
            Source::Bytes(name, bytes) => {
                counted(bytes);
                let size = bytes.len() as u64;
                (Body::from(bytes.clone()), size, (*name).to_owned())
            }
        };
        Ok(Opened {
            body,
            size,
            name,
            digest,
            moved,
        })
    }
}

/// Opens a regular file; a pipe put in its place is not waited for.
///
/// # Errors
/// If it is none, or cannot be read.
pub fn open_file(path: &Path) -> Result<(File, u64), ClientError> {
    let unreadable = |reason: String| ClientError::Unreadable { reason };
    let cannot = |error: std::io::Error| unreadable(format!("cannot read: {}", describe(&error)));
    let mut file = File::options()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(unreadable(kind(metadata.file_type()).to_owned()));
    }
    // A file that cannot be read is found before anything is sent.
    let probe = file.read(&mut [0; 1]).map_err(cannot);
    probe.and_then(|_| std::io::Seek::rewind(&mut file).map_err(cannot))?;
    Ok((file, metadata.len()))
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Returns once nothing has moved for a while.
async fn stalled(moved: &AtomicU64) {
    let mut before = moved.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(STALL).await;
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

/// Waits until the analysis is complete or the time is over; returns its last state.
///
/// # Errors
/// If the server does not answer.
pub async fn follow(
    client: &Client,
    analysis: &str,
    end: Instant,
) -> Result<Envelope<Object<AnalysisAttributes>>, ClientError> {
    let mut pause = Duration::from_millis(100);
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        let wait = left.clamp(1, WAIT_SECONDS);
        let asked = Instant::now();
        let path = format!("analyses/{}?wait={wait}", segment(analysis));
        let answer: Envelope<Object<AnalysisAttributes>> = client.get(&path).await?;
        if answer.data.attributes.status == "completed" || Instant::now() >= end {
            return Ok(answer);
        }
        // A server that does not hold its answers back is asked more and more seldom.
        if asked.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

const _: () = assert!(WAIT_SECONDS < ANSWER.as_secs());
