//! The connection to the Docker Engine: version agreed, every call with an end.
//!
//! ```text
//!            version agreed                 transport error
//! (none) ────────────────────▶ connected ───────────────────▶ down ─ 2 s ─▶ (none)
//! ```
//!
//! While down every call fails at once with what was last seen, so that a
//! Docker that hangs costs one timeout and not one for each caller.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::time::{Instant, timeout};

use super::{DockerInfo, SandboxError};

/// How long a failed connection is not tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// The Docker Engine, which may come and go.
#[derive(Debug)]
pub struct Engine {
    socket: PathBuf,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    None,
    Connected { docker: Docker, cpus: f64 },
    Down { since: Instant, reason: String },
}

/// A connected Docker Engine.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The client, with the version agreed.
    pub docker: Docker,
    /// Processors of the machine.
    pub cpus: f64,
}

impl Engine {
    /// Remembers where the Docker Engine is; connects when first asked.
    pub const fn new(socket: PathBuf, timeout: Duration) -> Self {
        Self {
            socket,
            timeout,
            state: Mutex::new(State::None),
        }
    }

    /// Returns the connection, made anew if need be.
    ///
    /// # Errors
    /// Fails if the Docker Engine does not answer.
    pub async fn connection(&self) -> Result<Connection, SandboxError> {
        if let Some(known) = self.known() {
            return known;
        }
        let connected = self.connect().await;
        let mut state = self.state();
        match &connected {
            Ok(Connection { docker, cpus }) => {
                let (docker, cpus) = (docker.clone(), *cpus);
                *state = State::Connected { docker, cpus };
            }
            Err(error) => {
                *state = State::Down {
                    since: Instant::now(),
                    reason: reason_of(error),
                };
            }
        }
        connected
    }

    /// Runs one call to Docker; `action` completes "Docker cannot …".
    ///
    /// # Errors
    /// Docker's own words, or that it does not answer.
    pub async fn call<T>(
        &self,
        action: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, SandboxError> {
        let result = match timeout(self.timeout, call).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => translate(action, &error),
            Err(_) => silent(action, self.timeout),
        };
        self.note(&result);
        Err(result)
    }

    /// Remembers that the connection is no good, if that is what the error says.
    fn note(&self, error: &SandboxError) {
        if let SandboxError::Unreachable { reason } = error {
            *self.state() = State::Down {
                since: Instant::now(),
                reason: reason.clone(),
            };
        }
    }

    /// Returns the longest a call may take.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks what the Docker Engine is.
    ///
    /// # Errors
    /// Fails if it does not answer.
    pub async fn describe(&self) -> Result<DockerInfo, SandboxError> {
        let docker = self.connection().await?.docker;
        let version = self.call("tell its version", docker.version()).await?;
        let system = self.call("describe itself", docker.info()).await?;
        let mut components: Vec<_> = version
            .components
            .unwrap_or_default()
            .into_iter()
            .map(|it| (it.name, it.version))
            .collect();
        components.extend(version.kernel_version.map(|it| ("kernel".to_owned(), it)));
        let agreed = docker.client_version();
        Ok(DockerInfo {
            version: version.version.unwrap_or_default(),
            api_version: format!("{}.{}", agreed.major_version, agreed.minor_version),
            components,
            cgroup_version: system
                .cgroup_version
                .map_or_else(String::new, |it| it.to_string()),
            security_options: system.security_options.unwrap_or_default(),
        })
    }

    async fn connect(&self) -> Result<Connection, SandboxError> {
        let path = self.socket.to_string_lossy();
        let seconds = self.timeout.as_secs();
        let docker = Docker::connect_with_unix(&path, seconds, API_DEFAULT_VERSION)
            .map_err(|error| translate("be connected to", &error))?;
        let agree = timeout(self.timeout, docker.negotiate_version()).await;
        let docker = agree
            .map_err(|_| silent("agree on a version", self.timeout))?
            .map_err(|error| translate("agree on a version", &error))?;
        let system = timeout(self.timeout, docker.info())
            .await
            .map_err(|_| silent("describe itself", self.timeout))?
            .map_err(|error| translate("describe itself", &error))?;
        let cpus = system.ncpu.and_then(|it| u32::try_from(it).ok());
        Ok(Connection {
            docker,
            cpus: f64::from(cpus.unwrap_or(1).max(1)),
        })
    }

    fn known(&self) -> Option<Result<Connection, SandboxError>> {
        let mut state = self.state();
        match &*state {
            State::None => None,
            State::Connected { docker, cpus } => {
                let (docker, cpus) = (docker.clone(), *cpus);
                Some(Ok(Connection { docker, cpus }))
            }
            State::Down { since, reason } if since.elapsed() < PAUSE => {
                let reason = reason.clone();
                Some(Err(SandboxError::Unreachable { reason }))
            }
            State::Down { .. } => {
                *state = State::None;
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns a client's error into ours: Docker's own words, or that it does not answer.
pub fn translate(action: &str, error: &Error) -> SandboxError {
    match error {
        Error::DockerResponseServerError { message, .. } => SandboxError::Docker {
            action: action.to_owned(),
            reason: message.trim().to_owned(),
        },
        Error::SocketNotFoundError(path) => SandboxError::Unreachable {
            reason: format!("there is no socket {path}"),
        },
        Error::RequestTimeoutError => SandboxError::Unreachable {
            reason: format!("it took too long to {action}"),
        },
        Error::IOError { .. }
        | Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. }
        | Error::HttpClientError { .. } => SandboxError::Unreachable {
            reason: format!("asked to {action}: {}", chain(error)),
        },
        other => SandboxError::Docker {
            action: action.to_owned(),
            reason: chain(other),
        },
    }
}

/// Returns the status code of an answer of Docker that is an error.
pub const fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

fn silent(action: &str, after: Duration) -> SandboxError {
    let seconds = after.as_secs();
    SandboxError::Unreachable {
        reason: format!("no answer within {seconds} s when asked to {action}"),
    }
}

fn reason_of(error: &SandboxError) -> String {
    match error {
        SandboxError::Unreachable { reason } => reason.clone(),
        other => other.to_string(),
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}
