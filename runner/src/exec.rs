//! Runs one command to its end, whoever brings the end about.
//!
//! ```text
//! running ─ leader dies ──────────────────→ draining ─ pipes closed ─→ answer
//!    │                                         ↑  └─── GRACE over ───→ answer
//!    └─ deadline, flood, hang-up → kill group ─┘
//! ```
//!
//! One thread waits for everything at once: both pipes, the leader's end, the
//! deadline, and the daemon hanging up. A command is over when its leader is;
//! what it left running is killed, and cannot hold the answer back by keeping a
//! pipe open.

use std::io;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acquit_runner::wire::{Exited, GENERATION_VARIABLE};

use crate::cgroup::oom_kills;
use crate::reaper::Reaper;
use crate::watch::Watch;

/// Where programs are looked for if the container does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to run.
#[derive(Debug)]
pub struct Order {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Additional environment.
    pub env: Vec<(String, String)>,
    /// When the command is killed.
    pub timeout: Duration,
    /// Bytes kept of each of stdout and stderr.
    pub output_bytes: usize,
    /// Whether the daemon is told of the output while the command runs.
    pub live: bool,
}

/// How it ended, and what it printed.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub exited: Exited,
    /// What it printed on stdout.
    pub stdout: Vec<u8>,
    /// What it printed on stderr.
    pub stderr: Vec<u8>,
}

/// Runs a command; nothing if the daemon hung up meanwhile.
///
/// An error means that nothing was run.
pub fn run(order: &Order, daemon: &UnixStream, reaper: &Reaper) -> io::Result<Option<Finished>> {
    let began = Instant::now();
    let killed_before = oom_kills();
    let mut command = prepare(&order.command, &order.env);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let started = match reaper.spawn(&mut command) {
        Ok(started) => started,
        Err(error) => return not_started(&order.command, error, began).map(Some),
    };
    let mut watch = Watch::new(started, began, order);
    watch.until_dead(daemon, reaper);
    reaper.sweep(watch.mark());
    watch.drain();
    if watch.hung_up() {
        return Ok(None);
    }
    let killed = oom_kills().unwrap_or(0);
    let killed = killed.saturating_sub(killed_before.unwrap_or(0));
    Ok(Some(watch.finish(killed)))
}

/// Makes the command with the container's environment, without what is the runner's.
pub fn prepare(command: &[String], env: &[(String, String)]) -> Command {
    let program = command.first().map_or("", String::as_str);
    let mut made = Command::new(program);
    made.args(command.iter().skip(1));
    made.env_remove(GENERATION_VARIABLE);
    for (name, value) in [
        ("PATH", DEFAULT_PATH),
        ("HOME", "/tmp"),
        ("LANG", "C.UTF-8"),
    ] {
        if std::env::var_os(name).is_none() {
            made.env(name, value);
        }
    }
    made.envs(env.iter().map(|(name, value)| (name, value)));
    made
}

/// Answers as a shell would for a program that is missing or is none.
fn not_started(command: &[String], error: io::Error, began: Instant) -> io::Result<Finished> {
    let code = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => 127,
        Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::EPERM) => 126,
        _ => return Err(error),
    };
    let program = command.first().map_or("", String::as_str);
    let stderr = format!("cannot run {program}: {error}\n").into_bytes();
    Ok(Finished {
        exited: Exited {
            code: Some(code),
            signal: None,
            timed_out: false,
            flooded: false,
            oom_kills: 0,
            duration_us: micros(began.elapsed()),
            peak_memory_kb: 0,
            stdout_bytes: 0,
            stderr_bytes: stderr.len() as u64,
        },
        stdout: Vec::new(),
        stderr,
    })
}

/// Returns a duration in microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
