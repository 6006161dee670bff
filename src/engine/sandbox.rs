//! The small, fixed set of things that can be asked of Docker.
//!
//! Whatever parses HTTP holds only a [`Sandbox`], the client end of a socket to
//! `acquit docker-broker`. The broker, the only process with the Docker socket,
//! builds every container request itself from the engine's manifest
//! ([`policy`]), and refuses anything but these verbs.

pub mod broker;
pub mod build;
pub mod client;
pub mod data_dir;
pub mod docker;
pub mod frame;
pub mod host;
pub mod policy;
pub mod probe;
mod update;

pub use client::Sandbox;

use serde::{Deserialize, Serialize};

use crate::model::{EngineId, ProbeCheck, SignatureSetId};

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verb {
    /// What Docker Engine this is.
    Info,
    /// Create and start a scan container of an engine.
    Start(Start),
    /// Create and start an update container of an engine.
    StartUpdate(StartUpdate),
    /// Kill and remove a container of ours.
    Stop {
        /// Its id.
        container: String,
    },
    /// Tell how a container of ours fares.
    Inspect {
        /// Its id.
        container: String,
    },
    /// List the containers that carry our instance label.
    List,
    /// Tell which image an engine has.
    Image {
        /// Whose.
        engine: EngineId,
    },
    /// Build an engine's image from its context; its log lines come as progress.
    Build {
        /// Whose.
        engine: EngineId,
    },
    /// Run the probe in a throw-away container of the engine's own image and policy.
    Probe {
        /// Whose.
        engine: EngineId,
    },
}

/// Which container to start. Everything else comes from the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Whose.
    pub engine: EngineId,
    /// Name the runner will introduce itself with: 16 hexadecimal digits.
    pub generation: String,
    /// Signature set to mount, if the engine has one.
    pub signature_set: Option<SignatureSetId>,
    /// What it is shown.
    #[serde(default)]
    pub role: Role,
}

/// Which update container to start. Everything else comes from the manifest and the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartUpdate {
    /// Whose.
    pub engine: EngineId,
    /// Name the runner will introduce itself with: 16 hexadecimal digits.
    pub generation: String,
    /// Name of the candidate's directory: 16 hexadecimal digits.
    pub work: String,
}

/// What a container of an engine is for.
///
/// The first two get the same sandbox, and only who is shown what differs; the third sees nothing
/// that is private, and has a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// To scan what the engine's slots stage.
    #[default]
    Scan,
    /// To look at the canary's files only, with a signature set that is not proven.
    Canary,
    /// To bring a candidate up to date; it is started by a verb of its own.
    Update,
}

impl Role {
    /// Returns the role's name on the wire and in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Canary => "canary",
            Self::Update => "update",
        }
    }

    /// Returns what the names of its directories and containers have behind the engine's id.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Scan => "",
            Self::Canary => ".canary",
            Self::Update => ".update",
        }
    }
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Verb::Info`].
    Info(DockerInfo),
    /// To [`Verb::Start`] and [`Verb::StartUpdate`].
    Started {
        /// The new container's id.
        container: String,
        /// Content id of its image.
        image: String,
    },
    /// To [`Verb::Stop`]; also if it was gone already.
    Stopped,
    /// To [`Verb::Inspect`]: nothing if there is no such container of ours.
    Inspected(Option<ContainerState>),
    /// To [`Verb::List`].
    Listed(Vec<ContainerState>),
    /// To [`Verb::Image`]: nothing if the image is missing.
    Image(Option<ImageState>),
    /// One line of a build's log.
    Progress(String),
    /// To [`Verb::Build`].
    Built(ImageState),
    /// To [`Verb::Probe`].
    Probed(ProbeReport),
    /// To any verb that could not be carried out.
    Failed(SandboxError),
}

/// What Docker Engine answers, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerInfo {
    /// Version of the Docker Engine.
    pub version: String,
    /// API version that was negotiated.
    pub api_version: String,
    /// Components and their versions: containerd, runc, the kernel.
    pub components: Vec<(String, String)>,
    /// `1` or `2`.
    pub cgroup_version: String,
    /// Security options Docker reports.
    pub security_options: Vec<String>,
}

/// How a container of ours fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// Docker's id.
    pub container: String,
    /// Whose it is.
    pub engine: EngineId,
    /// The name it was started with.
    pub generation: String,
    /// What it is for.
    #[serde(default)]
    pub role: Role,
    /// Digest of the request it was made from, to tell whether it is still what we would make.
    pub spec: String,
    /// Content id of its image.
    pub image: String,
    /// Signature set mounted.
    pub signature_set: Option<SignatureSetId>,
    /// Whether its first process lives.
    pub running: bool,
    /// Whether the kernel killed its first process for memory.
    pub oom_killed: bool,
    /// Exit code, if it ended.
    pub exit_code: Option<i64>,
    /// Whether a new daemon may take it over: it scans, and `spec` is what the policy would make
    /// today.
    pub current: bool,
}

impl ContainerState {
    /// Says how a container ended, or nothing if it runs.
    pub fn death(state: Option<&Self>) -> Option<String> {
        match state {
            Some(state) if state.running => None,
            Some(state) if state.oom_killed => Some("the container ran out of memory".to_owned()),
            Some(state) => match state.exit_code {
                Some(code) => Some(format!("the container ended with exit code {code}")),
                None => Some("the container ended".to_owned()),
            },
            None => Some("the container is gone".to_owned()),
        }
    }
}

/// An engine's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageState {
    /// Content id (`sha256:…`).
    pub id: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// When it was made, seconds since 1970.
    pub created_seconds: i64,
}

/// What the probe container could and could not do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Each attempt: its name, whether it was stopped as it must be, what was seen.
    pub checks: Vec<ProbeCheck>,
}

/// Docker trouble. A misbehaving engine is an outcome, not an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum SandboxError {
    /// The image must be built first.
    #[error("engine {engine} has no image; build it with `acquit engines build {engine}`")]
    ImageMissing {
        /// Whose.
        engine: EngineId,
    },
    /// No such engine, or a request that the policy refuses.
    #[error("refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// Docker answered with an error.
    #[error("Docker cannot {action}: {reason}")]
    Docker {
        /// What was tried.
        action: String,
        /// Docker's own words.
        reason: String,
    },
    /// Docker or the broker does not answer.
    #[error("Docker does not answer: {reason}")]
    Unreachable {
        /// What was seen.
        reason: String,
    },
}
