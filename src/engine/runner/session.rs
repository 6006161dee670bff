//! One exchange with a runner.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use acquit_runner::wire::{Exited, Reply, Request};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::pool::{Connection, Pool};
use super::wire;

/// How much longer than its own deadline a runner may take to answer.
const EXEC_MARGIN: Duration = Duration::from_secs(5);
/// How long a runner may take for what it does at once.
const PROMPT: Duration = Duration::from_secs(5);

/// The use of one idle connection.
///
/// Dropping a session, or the future of one of its requests, closes the
/// connection; the runner then kills what it runs.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    pool: Arc<Pool>,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Additional environment.
    pub env: Vec<(String, String)>,
    /// Deadline of the whole command.
    pub timeout: Duration,
    /// Bytes kept of each of stdout and stderr; beyond it the command is killed.
    pub output_bytes: u64,
}

/// What takes the bytes of stdout and of stderr that a running command printed since the last time.
pub type Heard<'a> = dyn FnMut(&[u8], &[u8]) + Send + 'a;

/// A command that ended, and what it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exited: Exited,
    /// What it printed on stdout.
    pub stdout: Vec<u8>,
    /// What it printed on stderr.
    pub stderr: Vec<u8>,
}

/// Why there is no answer to a request. The connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum SessionLost {
    /// The container died or was killed.
    #[error("the runner closed its connection")]
    Closed(#[source] io::Error),
    /// It may hang; what it runs cannot be trusted to end.
    #[error("the runner did not answer within {waited:?}")]
    Silent {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The answer does not fit the question.
    #[error("the runner's answer makes no sense: {what}")]
    Senseless {
        /// What is wrong with it.
        what: &'static str,
    },
    /// Nothing was run; the connection is in order.
    #[error("the runner refused: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
}

/// Why a socket inside a container cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody listens there, yet or any more.
    #[error("the engine's socket does not answer: {reason}")]
    Refused {
        /// The runner's words.
        reason: String,
    },
    /// The runner itself is at fault.
    #[error(transparent)]
    Lost(SessionLost),
}

impl Session {
    /// Takes a connection out of its pool for one exchange.
    pub const fn new(connection: Connection, pool: Arc<Pool>) -> Self {
        Self { connection, pool }
    }

    /// Runs a command to its end or to its deadline.
    ///
    /// # Errors
    /// If no whole answer came; whether anything was run is then unknown.
    pub async fn exec(self, request: Exec) -> Result<Finished, SessionLost> {
        let wait = request.timeout + EXEC_MARGIN;
        within(wait, self.exec_unbounded(request, None)).await
    }

    /// As [`Self::exec`], and hears what the command prints while it runs.
    ///
    /// # Errors
    /// If no whole answer came; whether anything was run is then unknown.
    pub async fn exec_heard(
        self,
        request: Exec,
        heard: &mut Heard<'_>,
    ) -> Result<Finished, SessionLost> {
        let wait = request.timeout + EXEC_MARGIN;
        within(wait, self.exec_unbounded(request, Some(heard))).await
    }

    /// Connects to a Unix socket inside the container.
    ///
    /// # Errors
    /// If nobody listens there, or the runner is at fault.
    pub async fn dial(mut self, path: &str) -> Result<UnixStream, DialError> {
        let path = path.to_owned();
        let reply = within(PROMPT, self.ask(Request::Dial { path })).await;
        match reply.map_err(DialError::Lost)? {
            Reply::Dialed => Ok(self.connection.stream),
            Reply::Refused { reason } => {
                self.give_back();
                Err(DialError::Refused { reason })
            }
            Reply::Exited(_) | Reply::Pong { .. } | Reply::Said { .. } => {
                Err(DialError::Lost(senseless("not asked for")))
            }
        }
    }

    /// Asks whether the runner lives, and returns how much memory its container uses, in bytes, if
    /// it can tell.
    ///
    /// # Errors
    /// If it did not say so.
    pub async fn ping(mut self) -> Result<Option<u64>, SessionLost> {
        match within(PROMPT, self.ask(Request::Ping)).await? {
            Reply::Pong { memory_bytes } => {
                self.give_back();
                Ok(memory_bytes)
            }
            Reply::Exited(_) | Reply::Dialed | Reply::Said { .. } | Reply::Refused { .. } => {
                Err(senseless("not asked for"))
            }
        }
    }

    async fn exec_unbounded(
        mut self,
        request: Exec,
        heard: Option<&mut Heard<'_>>,
    ) -> Result<Finished, SessionLost> {
        let limit = request.output_bytes;
        let request = Request::Exec {
            command: request.command,
            env: request.env,
            timeout_ms: u64::try_from(request.timeout.as_millis()).unwrap_or(u64::MAX),
            output_bytes: limit,
            live: heard.is_some(),
        };
        let first = self.ask(request).await?;
        let exited = match self.hear(first, (limit, heard)).await? {
            Reply::Exited(exited) => exited,
            Reply::Refused { reason } => {
                self.give_back();
                return Err(SessionLost::Refused { reason });
            }
            Reply::Dialed | Reply::Pong { .. } | Reply::Said { .. } => {
                return Err(senseless("not asked for"));
            }
        };
        if exited.stdout_bytes > limit || exited.stderr_bytes > limit {
            return Err(senseless("more output than may be kept"));
        }
        let (stdout, stderr) = self.tails(exited.stdout_bytes, exited.stderr_bytes).await?;
        self.give_back();
        Ok(Finished {
            exited,
            stdout,
            stderr,
        })
    }

    /// Passes on what a command says while it runs, until another reply comes, which it returns.
    async fn hear(
        &mut self,
        first: Reply,
        (limit, mut heard): (u64, Option<&mut Heard<'_>>),
    ) -> Result<Reply, SessionLost> {
        let (mut reply, mut told) = (first, [0_u64; 2]);
        while let (
            Reply::Said {
                stdout_bytes,
                stderr_bytes,
            },
            Some(heard),
        ) = (&reply, heard.as_deref_mut())
        {
            let said = [*stdout_bytes, *stderr_bytes];
            told = [0, 1].map(|n| told[n].saturating_add(said[n]));
            if said == [0, 0] || told.iter().any(|told| *told > limit) {
                return Err(senseless("more output than may be kept"));
            }
            let (stdout, stderr) = self.tails(said[0], said[1]).await?;
            heard(&stdout, &stderr);
            reply = self.reply().await?;
        }
        Ok(reply)
    }

    /// Reads the bytes of stdout and of stderr that follow a frame.
    async fn tails(&mut self, stdout: u64, stderr: u64) -> Result<(Vec<u8>, Vec<u8>), SessionLost> {
        let stream = &mut self.connection.stream;
        let stdout = wire::read_bytes(stream, stdout).await;
        let stdout = stdout.map_err(SessionLost::Closed)?;
        let stderr = wire::read_bytes(stream, stderr).await;
        Ok((stdout, stderr.map_err(SessionLost::Closed)?))
    }

    async fn ask(&mut self, request: Request) -> Result<Reply, SessionLost> {
        let stream = &mut self.connection.stream;
        let sent = wire::write(stream, &request).await;
        sent.map_err(SessionLost::Closed)?;
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Reply, SessionLost> {
        let reply = wire::read(&mut self.connection.stream).await;
        reply.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => senseless("garbage"),
            _ => SessionLost::Closed(error),
        })
    }

    fn give_back(self) {
        self.pool.put(self.connection);
    }
}

const fn senseless(what: &'static str) -> SessionLost {
    SessionLost::Senseless { what }
}

async fn within<T>(
    wait: Duration,
    answer: impl Future<Output = Result<T, SessionLost>>,
) -> Result<T, SessionLost> {
    match timeout(wait, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(SessionLost::Silent { waited: wait }),
    }
}
