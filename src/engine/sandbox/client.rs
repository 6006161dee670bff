//! The daemon's end: asks the broker, and waits for the answer with its number.
//!
//! A connection that broke fails everything under way with
//! [`SandboxError::Unreachable`]. By path it is made anew with the next
//! question; a socket pair cannot be, and [`Sandbox::closed`] tells.

use std::collections::HashMap;
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::frame::{self, MAX_ANSWER, Request, Response};
use super::host::Host;
use super::{
    Answer, ContainerState, DockerInfo, ImageState, ProbeReport, SandboxError, Start, StartUpdate,
    Verb, broker,
};
use crate::config::Config;
use crate::model::EngineId;

/// Longest wait for an answer; the broker ends every call to Docker long before.
const ANSWER_LIMIT: Duration = Duration::from_secs(600);
/// Requests that may wait to be written.
const REQUESTS: usize = 64;
/// Lines of a build's log that may wait to be shown; more are dropped.
const LINES: usize = 4096;

/// Asks the broker; cheap to clone, one connection for all clones.
#[derive(Clone, Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: Option<PathBuf>,
    next: AtomicU64,
    link: tokio::sync::Mutex<Option<Link>>,
    gone: CancellationToken,
    /// An in-process broker, if there is one; it goes with the last clone.
    _broker: JoinSet<()>,
}

/// One connection and the tasks that serve it.
#[derive(Debug)]
struct Link {
    requests: mpsc::Sender<Request>,
    waiting: Waiting,
    gone: CancellationToken,
    _tasks: JoinSet<()>,
}

type Waiting = Arc<Mutex<HashMap<u64, Waiter>>>;

#[derive(Debug)]
struct Waiter {
    answer: oneshot::Sender<Answer>,
    progress: Option<mpsc::Sender<String>>,
}

impl Sandbox {
    /// Speaks over a connection that is there and cannot be made again.
    pub fn connect(stream: UnixStream) -> Self {
        Self::over(stream, JoinSet::new())
    }

    /// Speaks over the stream that `spawn_broker` returned.
    ///
    /// # Errors
    /// Fails outside a runtime.
    pub fn adopt(stream: std_unix::UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::connect(UnixStream::from_std(stream)?))
    }

    /// Connects to the broker's own socket, now or when first asked, and again when it breaks.
    pub fn connect_path(path: &Path) -> Self {
        let shared = Shared {
            path: Some(path.to_owned()),
            next: AtomicU64::new(1),
            link: tokio::sync::Mutex::new(None),
            gone: CancellationToken::new(),
            _broker: JoinSet::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Runs a broker inside this process, for root's command line.
    ///
    /// # Errors
    /// Fails without a data directory.
    pub fn direct(config: Config) -> anyhow::Result<Self> {
        let host = Arc::new(Host::open(config)?);
        let (ours, theirs) = UnixStream::pair().context("cannot make a socket pair")?;
        let mut broker = JoinSet::new();
        broker.spawn(broker::serve(host, theirs));
        Ok(Self::over(ours, broker))
    }

    /// Asks what Docker Engine this is.
    ///
    /// # Errors
    /// Fails if Docker or the broker does not answer.
    pub async fn info(&self) -> Result<DockerInfo, SandboxError> {
        match self.ask(Verb::Info, None).await? {
            Answer::Info(info) => Ok(info),
            other => Err(unexpected(&other)),
        }
    }

    /// Starts a scan container; returns its id and its image's content id.
    ///
    /// # Errors
    /// Fails if the image is missing, the policy refuses or Docker fails.
    pub async fn start(&self, start: Start) -> Result<(String, String), SandboxError> {
        match self.ask(Verb::Start(start), None).await? {
            Answer::Started { container, image } => Ok((container, image)),
            other => Err(unexpected(&other)),
        }
    }

    /// Starts an update container; returns its id and its image's content id.
    ///
    /// # Errors
    /// Fails if the image is missing, the policy refuses or Docker fails.
    pub async fn start_update(&self, start: StartUpdate) -> Result<(String, String), SandboxError> {
        match self.ask(Verb::StartUpdate(start), None).await? {
            Answer::Started { container, image } => Ok((container, image)),
            other => Err(unexpected(&other)),
        }
    }

    /// Kills and removes a container of ours; one that is gone is no error.
    ///
    /// # Errors
    /// Fails if it is not ours or Docker fails.
    pub async fn stop(&self, container: &str) -> Result<(), SandboxError> {
        let container = container.to_owned();
        match self.ask(Verb::Stop { container }, None).await? {
            Answer::Stopped => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks how a container of ours fares; nothing if there is none.
    ///
    /// # Errors
    /// Fails if Docker or the broker does.
    pub async fn inspect(&self, container: &str) -> Result<Option<ContainerState>, SandboxError> {
        let container = container.to_owned();
        match self.ask(Verb::Inspect { container }, None).await? {
            Answer::Inspected(state) => Ok(state),
            other => Err(unexpected(&other)),
        }
    }

    /// Lists all containers of this appliance, running or not.
    ///
    /// # Errors
    /// Fails if Docker or the broker does.
    pub async fn list(&self) -> Result<Vec<ContainerState>, SandboxError> {
        match self.ask(Verb::List, None).await? {
            Answer::Listed(states) => Ok(states),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks which image an engine has; nothing if it must be built first.
    ///
    /// # Errors
    /// Fails if there is no such engine, or Docker or the broker does not answer.
    pub async fn image(&self, engine: &EngineId) -> Result<Option<ImageState>, SandboxError> {
        let engine = engine.clone();
        match self.ask(Verb::Image { engine }, None).await? {
            Answer::Image(image) => Ok(image),
            other => Err(unexpected(&other)),
        }
    }

    /// Builds an engine's image; gives each line of its log to `progress`.
    ///
    /// # Errors
    /// Fails with the last lines of the log.
    pub async fn build(
        &self,
        engine: &EngineId,
        mut progress: impl FnMut(String),
    ) -> Result<ImageState, SandboxError> {
        let engine = engine.clone();
        let (lines, mut log) = mpsc::channel(LINES);
        let mut answer = std::pin::pin!(self.ask(Verb::Build { engine }, Some(lines)));
        let answer = loop {
            tokio::select! {
                biased;
                Some(line) = log.recv() => progress(line),
                answer = &mut answer => break answer?,
            }
        };
        match answer {
            Answer::Built(image) => Ok(image),
            other => Err(unexpected(&other)),
        }
    }

    /// Runs the probe in the engine's own image and policy.
    ///
    /// # Errors
    /// Fails if no probe could be run; what it found is in the report.
    pub async fn probe(&self, engine: &EngineId) -> Result<ProbeReport, SandboxError> {
        let engine = engine.clone();
        match self.ask(Verb::Probe { engine }, None).await? {
            Answer::Probed(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until the broker is gone for good; never, if it can be connected to again.
    pub async fn closed(&self) {
        match self.shared.path {
            Some(_) => std::future::pending().await,
            None => self.shared.gone.cancelled().await,
        }
    }

    fn over(stream: UnixStream, broker: JoinSet<()>) -> Self {
        let gone = CancellationToken::new();
        let link = Link::new(stream, gone.clone());
        let shared = Shared {
            path: None,
            next: AtomicU64::new(1),
            link: tokio::sync::Mutex::new(Some(link)),
            gone,
            _broker: broker,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    async fn ask(
        &self,
        verb: Verb,
        progress: Option<mpsc::Sender<String>>,
    ) -> Result<Answer, SandboxError> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let limit = match &verb {
            Verb::Build { .. } => Duration::from_secs(6 * 3600),
            _ => ANSWER_LIMIT,
        };
        let (answer, receiver) = oneshot::channel();
        let waiter = Waiter { answer, progress };
        self.send(Request { id, verb }, waiter).await?;
        match tokio::time::timeout(limit, receiver).await {
            Ok(Ok(Answer::Failed(error))) => Err(error),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(unreachable("the broker is gone")),
            Err(_) => Err(unreachable("the broker does not answer")),
        }
    }

    async fn send(&self, request: Request, waiter: Waiter) -> Result<(), SandboxError> {
        let (requests, waiting, gone) = self.link().await?;
        let id = request.id;
        lock(&waiting).insert(id, waiter);
        let sent = requests.send(request).await;
        if sent.is_err() || gone.is_cancelled() {
            // It may have broken before the waiter was put down.
            lock(&waiting).remove(&id);
            return Err(unreachable("the broker is gone"));
        }
        Ok(())
    }

    /// Returns the connection, made anew if it broke and can be.
    async fn link(
        &self,
    ) -> Result<(mpsc::Sender<Request>, Waiting, CancellationToken), SandboxError> {
        let mut slot = self.shared.link.lock().await;
        if let Some(path) = &self.shared.path
            && slot.as_ref().is_none_or(|link| link.gone.is_cancelled())
        {
            let stream = UnixStream::connect(path).await.map_err(|error| {
                let path = path.display();
                unreachable(&format!("the broker's socket {path}: {error}"))
            })?;
            *slot = Some(Link::new(stream, CancellationToken::new()));
        }
        match &*slot {
            Some(link) if !link.gone.is_cancelled() => Ok((
                link.requests.clone(),
                Arc::clone(&link.waiting),
                link.gone.clone(),
            )),
            _ => Err(unreachable("the broker is gone")),
        }
    }
}

impl Link {
    fn new(stream: UnixStream, gone: CancellationToken) -> Self {
        let (reader, mut writer) = stream.into_split();
        let (requests, mut queue) = mpsc::channel::<Request>(REQUESTS);
        let waiting = Waiting::default();
        let mut tasks = JoinSet::new();
        let closed = gone.clone();
        tasks.spawn(async move {
            while let Some(request) = queue.recv().await {
                if frame::write(&mut writer, &request).await.is_err() {
                    break;
                }
            }
            closed.cancel();
        });
        tasks.spawn(hand_out(reader, Arc::clone(&waiting), gone.clone()));
        Self {
            requests,
            waiting,
            gone,
            _tasks: tasks,
        }
    }
}

/// Gives each answer to who waits for it; at the end everybody learns that it is over.
async fn hand_out(mut reader: OwnedReadHalf, waiting: Waiting, gone: CancellationToken) {
    loop {
        let body = tokio::select! {
            body = frame::read(&mut reader, MAX_ANSWER) => body,
            () = gone.cancelled() => break,
        };
        let Ok(Some(body)) = body else { break };
        let Ok(Response { id, answer }) = frame::parse(&body) else {
            break;
        };
        match answer {
            Answer::Progress(line) => {
                if let Some(waiter) = lock(&waiting).get(&id)
                    && let Some(progress) = &waiter.progress
                {
                    // A slow reader misses lines rather than hold up all answers.
                    let _ = progress.try_send(line);
                }
            }
            answer => {
                if let Some(waiter) = lock(&waiting).remove(&id) {
                    // Whoever asked may have stopped waiting.
                    let _ = waiter.answer.send(answer);
                }
            }
        }
    }
    gone.cancel();
    lock(&waiting).clear();
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, Waiter>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unreachable(reason: &str) -> SandboxError {
    SandboxError::Unreachable {
        reason: reason.to_owned(),
    }
}

fn unexpected(answer: &Answer) -> SandboxError {
    unreachable(&format!("the broker answered something else: {answer:?}"))
}
