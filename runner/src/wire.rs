//! What the daemon and `acquit-runner` say to each other.
//!
//! The daemon listens on a Unix socket whose directory every scan container
//! sees read-only at [`SOCKET_DIR`]; the runner dials it and keeps a few idle
//! connections there. So nothing of the host is writable from inside, and a
//! daemon that restarts finds its containers calling again by themselves.
//!
//! A frame is a big-endian `u32` length, that many bytes of JSON, and for a
//! [`Reply::Said`] or [`Reply::Exited`] bytes of stdout and then of stderr. One request is
//! under way on a connection at a time. After [`Request::Dial`] is answered with
//! [`Reply::Dialed`] the connection carries the dialed socket's bytes, unframed.

use serde::{Deserialize, Serialize};

/// Directory of the daemon's socket inside a container.
pub const SOCKET_DIR: &str = "/run/acquit";
/// Name of the daemon's socket in that directory.
pub const SOCKET_NAME: &str = "runner.sock";
/// Where the runner itself lies inside a container.
pub const RUNNER_PATH: &str = "/acquit-runner";
/// Where staged files are inside a container.
pub const SCAN_DIR: &str = "/scan";
/// Environment variable with the container's generation, echoed in [`Hello`].
pub const GENERATION_VARIABLE: &str = "ACQUIT_GENERATION";
/// Version of this protocol.
pub const PROTOCOL: u32 = 1;
/// Longest JSON part of a frame, in bytes.
pub const MAX_FRAME: u32 = 1 << 20;

/// The runner's first frame on every connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the runner.
    pub protocol: u32,
    /// Which container this is, as the daemon named it.
    pub generation: String,
}

/// What the daemon asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Run a command to its end or to its deadline.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
        /// Additional environment.
        env: Vec<(String, String)>,
        /// Deadline in milliseconds; then the whole process group is killed.
        timeout_ms: u64,
        /// Bytes kept of each of stdout and stderr; beyond it the command is killed.
        output_bytes: u64,
        /// Whether what it prints is also told while it runs, by [`Reply::Said`]. A runner that
        /// does not know this tells all at the end.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        live: bool,
    },
    /// Connect this connection to a Unix socket inside the container.
    Dial {
        /// Path of that socket.
        path: String,
    },
    /// Nothing but an answer.
    Ping,
}

/// What the runner answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The command printed something and still runs; these bytes of stdout and stderr follow the
    /// frame, and come again with [`Reply::Exited`].
    Said {
        /// Bytes of stdout behind the frame.
        stdout_bytes: u64,
        /// Bytes of stderr behind those.
        stderr_bytes: u64,
    },
    /// The command ended; stdout and stderr follow the frame.
    Exited(Exited),
    /// The connection is now the socket's.
    Dialed,
    /// To a ping.
    Pong {
        /// Memory the container uses, in bytes, if it shows that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory_bytes: Option<u64>,
    },
    /// The request could not be carried out; nothing was run.
    Refused {
        /// Why, in one sentence.
        reason: String,
    },
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Exit code, if the command ended by itself.
    pub code: Option<i32>,
    /// Signal, if one ended it.
    pub signal: Option<i32>,
    /// The runner killed it at the deadline.
    pub timed_out: bool,
    /// The runner killed it because it printed more than may be kept.
    pub flooded: bool,
    /// Processes the kernel killed for memory in this container meanwhile.
    pub oom_kills: u64,
    /// Wall time in microseconds.
    pub duration_us: u64,
    /// Largest resident size of the command and what it waited for, in kibibytes.
    pub peak_memory_kb: u64,
    /// Bytes of stdout behind the frame.
    pub stdout_bytes: u64,
    /// Bytes of stderr behind those.
    pub stderr_bytes: u64,
}
