//! `acquit docker-broker`: the only process that holds the Docker socket.
//!
//! ```text
//! daemon ── socketpair (stdin) or /run/acquit/broker.sock ──▶ broker ──▶ Docker
//! ```
//!
//! Several requests are under way at once; an answer carries its request's
//! number. When the other side is gone, builds are given up and everything else
//! runs to its end, so that no container is left half made.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net as std_unix;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{Uid, User};
use tokio::io::AsyncRead;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::frame::{self, FrameError, MAX_REQUEST, Request, Response};
use super::host::Host;
use super::{Answer, SandboxError, Verb};
use crate::config::Config;

/// Requests that may be under way on a connection.
const MAX_UNDER_WAY: usize = 64;
/// Answers that may wait to be written.
const ANSWERS: usize = 256;

/// Where the broker is asked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Standard input is a socket: the daemon's end, or one systemd listens on.
    Stdin,
    /// The configured path.
    Path,
}

/// Runs the broker until nobody can ask any more.
///
/// # Errors
/// Fails if the door cannot be opened.
pub async fn run(config: Config, door: Door) -> anyhow::Result<()> {
    let socket = config.docker.broker_socket.clone();
    let user = config.docker.user.clone();
    let host = Arc::new(Host::open(config)?);
    match door {
        Door::Stdin => {
            let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
            let listens = getsockopt(&stdin, sockopt::AcceptConn)
                .context("the broker's standard input must be a socket")?;
            if listens {
                let listener = std_unix::UnixListener::from(stdin);
                listener.set_nonblocking(true)?;
                return listen(host, UnixListener::from_std(listener)?, &user).await;
            }
            let stream = std_unix::UnixStream::from(stdin);
            stream.set_nonblocking(true)?;
            serve(host, UnixStream::from_std(stream)?).await;
            info!("The daemon is gone, and the broker with it");
            Ok(())
        }
        Door::Path => {
            let listener = bind(&socket, &user)?;
            listen(host, listener, &user).await
        }
    }
}

/// Answers on one connection until it closes.
pub async fn serve(host: Arc<Host>, stream: UnixStream) {
    let (mut reader, mut writer) = stream.into_split();
    let (answers, mut queue) = mpsc::channel::<Response>(ANSWERS);
    let gone = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let closed = gone.clone();
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        while let Some(response) = queue.recv().await {
            if let Err(error) = frame::write(&mut writer, &response).await {
                warn!("Cannot answer: {error}");
                break;
            }
        }
        closed.cancel();
    });
    while let Some(body) = next(&mut reader).await {
        while tasks.try_join_next().is_some() {}
        match frame::parse_request(&body) {
            Ok(request) if tasks.len() < MAX_UNDER_WAY => {
                let asked = Asked {
                    host: Arc::clone(&host),
                    id: request.id,
                    answers: answers.clone(),
                    gone: gone.clone(),
                };
                tasks.spawn(asked.answer(request));
            }
            Ok(request) => refuse(&answers, request.id, "too many requests under way").await,
            Err(reason) => {
                warn!("Refused a request that is none: {reason}");
                refuse(&answers, id_of(&body), &reason).await;
            }
        }
    }
    gone.cancel();
    drop(answers);
    while tasks.join_next().await.is_some() {}
    while writing.join_next().await.is_some() {}
}

/// One request under way.
struct Asked {
    host: Arc<Host>,
    id: u64,
    answers: mpsc::Sender<Response>,
    gone: CancellationToken,
}

impl Asked {
    async fn answer(self, request: Request) {
        let answer = self.carry_out(request.verb).await;
        let answer = answer.unwrap_or_else(Answer::Failed);
        let id = self.id;
        // Nobody waits for it if the connection is gone.
        let _ = self.answers.send(Response { id, answer }).await;
    }

    async fn carry_out(&self, verb: Verb) -> Result<Answer, SandboxError> {
        let host = &self.host;
        Ok(match verb {
            Verb::Info => Answer::Info(host.info().await?),
            Verb::Start(start) => {
                let (container, image) = host.start(&start).await?;
                Answer::Started { container, image }
            }
            Verb::StartUpdate(start) => {
                let (container, image) = host.start_update(&start).await?;
                Answer::Started { container, image }
            }
            Verb::Stop { container } => {
                host.stop(&container).await?;
                Answer::Stopped
            }
            Verb::Inspect { container } => Answer::Inspected(host.inspect(&container).await?),
            Verb::List => Answer::Listed(host.list().await?),
            Verb::Image { engine } => Answer::Image(host.image(&engine).await?),
            Verb::Build { engine } => {
                let (lines, log) = mpsc::channel(ANSWERS);
                let build = host.build(&engine, &lines);
                tokio::select! {
                    built = build => Answer::Built(built?),
                    () = self.pass_on(log) => return Err(given_up()),
                    () = self.gone.cancelled() => return Err(given_up()),
                }
            }
            Verb::Probe { engine } => Answer::Probed(host.probe(&engine).await?),
        })
    }

    async fn pass_on(&self, mut log: mpsc::Receiver<String>) {
        while let Some(line) = log.recv().await {
            let answer = Answer::Progress(line);
            let id = self.id;
            if self.answers.send(Response { id, answer }).await.is_err() {
                return;
            }
        }
    }
}

async fn next(reader: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    match frame::read(reader, MAX_REQUEST).await {
        Ok(body) => body,
        Err(FrameError::Broken(error)) => {
            warn!(%error, "The daemon's connection broke");
            None
        }
        Err(error) => {
            warn!("Closing a connection: {error}");
            None
        }
    }
}

async fn listen(host: Arc<Host>, listener: UnixListener, user: &str) -> anyhow::Result<()> {
    let allowed = uid_of(user)?;
    let mut connections = JoinSet::new();
    // Without systemd this says nothing to nobody.
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    info!("The broker listens");
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if is_welcome(&stream, allowed) => {
                    connections.spawn(serve(Arc::clone(&host), stream));
                }
                Ok(_) => {}
                Err(error) => {
                    error!(%error, "Cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = crate::system::termination() => return Ok(()),
        }
    }
}

/// Tells whether root or the daemon's user is asking.
fn is_welcome(stream: &UnixStream, allowed: Uid) -> bool {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == allowed.as_raw() => true,
        Ok(peer) => {
            warn!("Refused a connection of user {}", peer.uid());
            false
        }
        Err(error) => {
            warn!(%error, "Refused a connection of nobody known");
            false
        }
    }
}

fn bind(path: &Path, user: &str) -> anyhow::Result<UnixListener> {
    let says = || format!("cannot listen on {}", path.display());
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(says);
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(says)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).with_context(says)?;
    std::os::unix::fs::chown(path, Some(uid_of(user)?.as_raw()), None).with_context(says)?;
    Ok(listener)
}

fn uid_of(user: &str) -> anyhow::Result<Uid> {
    let found = User::from_name(user).with_context(|| format!("cannot look up user {user}"))?;
    let found = found.with_context(|| format!("there is no user {user}"))?;
    Ok(found.uid)
}

async fn refuse(answers: &mpsc::Sender<Response>, id: u64, reason: &str) {
    let reason = reason.to_owned();
    let answer = Answer::Failed(SandboxError::Refused { reason });
    // Nobody waits for it if the connection is gone.
    let _ = answers.send(Response { id, answer }).await;
}

/// Finds the number of a request that is wrong elsewhere.
fn id_of(body: &[u8]) -> u64 {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    value
        .and_then(|value| value.get("id")?.as_u64())
        .unwrap_or_default()
}

fn given_up() -> SandboxError {
    SandboxError::Refused {
        reason: "the build was given up".to_owned(),
    }
}
