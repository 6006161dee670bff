//! The one place that starts and collects processes.
//!
//! As the container's first process the runner inherits every orphan, so one
//! thread collects all dead children. It first only looks (`WNOWAIT`), takes the
//! lock, and then collects: so a process id named under the lock is still the
//! process that was meant, and a child that dies while it is being registered is
//! not lost.

use std::collections::HashMap;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::process::{self, MARK};

/// Where a command can leave files; a full one would fail every file that comes after.
const SCRATCH: [&str; 2] = ["/tmp", "/dev/shm"];
/// Orphans of processes that were not ours may come without a wake-up.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Starts processes and tells their end.
#[derive(Debug)]
pub struct Reaper {
    children: Mutex<Children>,
    started: Condvar,
    marks: AtomicU64,
}

#[derive(Debug, Default)]
struct Children {
    /// Where to tell the end of each process that was started here.
    exits: HashMap<i32, PipeWriter>,
    /// Whether one of them is the engine's daemon, which may have orphans of its own.
    daemon: bool,
}

/// A process that was started here.
#[derive(Debug)]
pub struct Started {
    /// Its end of stdout and stderr, as the command wished.
    pub child: Child,
    /// Becomes readable with [`Exit`] when it was collected.
    pub exit: PipeReader,
    /// What all its descendants carry in their environment.
    pub mark: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Exit code, if it ended by itself.
    pub code: Option<i32>,
    /// Signal, if one ended it.
    pub signal: Option<i32>,
    /// Largest resident size of it and what it waited for.
    pub peak_memory_kb: u64,
}

impl Reaper {
    /// Starts the thread that collects.
    pub fn start() -> io::Result<Arc<Self>> {
        let reaper = Arc::new(Self {
            children: Mutex::default(),
            started: Condvar::new(),
            // Unlike those of any other runner on a machine where it is not alone.
            marks: AtomicU64::new(u64::from(std::process::id()) << 32),
        });
        let own = Arc::clone(&reaper);
        crate::serve::thread("reaper", move || own.collect())?;
        Ok(reaper)
    }

    /// Starts a command as leader of its own process group.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Started> {
        let mark = self.marks.fetch_add(1, Ordering::Relaxed);
        let (exit, tell) = io::pipe()?;
        command.process_group(0).env(MARK, mark.to_string());
        let mut children = self.lock();
        let child = command.spawn()?;
        children.exits.insert(pid_of(&child), tell);
        drop(children);
        // When memory runs out the kernel is to take it and its descendants before the runner,
        // which has to tell of it.
        let _ = fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000");
        self.started.notify_one();
        Ok(Started { child, exit, mark })
    }

    /// Starts the engine's daemon; from then on orphans are left alone.
    pub fn spawn_daemon(&self, command: &mut Command) -> io::Result<Started> {
        self.lock().daemon = true;
        self.spawn(command)
    }

    /// Kills the process group of a command, unless it was collected already.
    pub fn kill(&self, started: &Started) {
        let pid = pid_of(&started.child);
        let children = self.lock();
        if children.exits.contains_key(&pid) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// Kills what a command left behind outside its process group.
    pub fn sweep(&self, mark: u64) {
        let children = self.lock();
        let first = std::process::id() == 1;
        if first && children.exits.is_empty() && !children.daemon {
            // Everything else in the container is a leftover. The kernel does this in one step,
            // so that not even a fork bomb escapes; and the lock keeps new commands away.
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
            SCRATCH.iter().for_each(|dir| empty(Path::new(dir)));
            return;
        }
        let orphan = |process: &process::Process| {
            first && process.parent == 1 && !children.exits.contains_key(&process.pid)
        };
        process::kill_all(|process| match process.mark() {
            Some(other) => other == mark,
            None => !children.daemon && orphan(process),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(&self) {
        loop {
            match next_dead() {
                Some(pid) => self.collect_one(pid),
                None => self.wait_for_child(),
            }
        }
    }

    fn wait_for_child(&self) {
        let children = self.lock();
        if children.exits.is_empty() {
            let waited = self.started.wait_timeout(children, LOOK_AGAIN);
            drop(waited);
        }
    }

    fn collect_one(&self, pid: Pid) {
        let mut children = self.lock();
        if children.exits.contains_key(&pid.as_raw()) {
            // While the leader is not collected its id cannot name another group.
            let _ = killpg(pid, Signal::SIGKILL);
        }
        let Some(exit) = wait(pid) else { return };
        if let Some(mut tell) = children.exits.remove(&pid.as_raw()) {
            let _ = tell.write_all(&exit.to_bytes());
        }
    }
}

/// Removes what is in a directory, as far as that can be done.
fn empty(dir: &Path) {
    // A command may have taken away its own right to look into it.
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        // A link is removed, not followed.
        if fs::remove_file(&path).is_err() {
            empty(&path);
            let _ = fs::remove_dir(&path);
        }
    }
}

/// Waits for a dead child without collecting it; nothing if there is no child at all.
///
/// Not nix's `waitid`: it has no value for a death by a real-time signal.
fn next_dead() -> Option<Pid> {
    // SAFETY: a `siginfo_t` is plain numbers, for which zeroes are valid.
    let mut found: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: the pointer is to a live local of the type that waitid fills in.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &mut found, flags) };
    if result != 0 {
        return None;
    }
    // SAFETY: waitid succeeded, so the fields of a dead child are the ones that are set.
    Some(Pid::from_raw(unsafe { found.si_pid() }))
}

fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap_or(i32::MAX)
}

/// Collects one dead child; nothing if somebody else did.
fn wait(pid: Pid) -> Option<Exit> {
    let mut status = 0;
    // SAFETY: an `rusage` is plain numbers, for which zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals of the types that wait4 fills in.
    let collected = unsafe { libc::wait4(pid.as_raw(), &mut status, libc::WNOHANG, &mut usage) };
    (collected == pid.as_raw()).then(|| Exit {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        peak_memory_kb: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    })
}

impl Exit {
    const LEN: usize = 16;
    const NONE: i32 = i32::MIN;

    fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.code.unwrap_or(Self::NONE).to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.signal.unwrap_or(Self::NONE).to_ne_bytes());
        bytes[8..].copy_from_slice(&self.peak_memory_kb.to_ne_bytes());
        bytes
    }

    /// Reads what the reaper told.
    pub fn read(from: &mut PipeReader) -> Self {
        let mut bytes = [0; Self::LEN];
        if from.read_exact(&mut bytes).is_err() {
            // Neither a code nor a signal: nobody can take it for success.
            bytes = Self::default().to_bytes();
        }
        let number = |at: usize| i32::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]));
        let some = |at| Some(number(at)).filter(|n| *n != Self::NONE);
        Self {
            code: some(0),
            signal: some(4),
            peak_memory_kb: u64::from_ne_bytes(std::array::from_fn(|i| bytes[8 + i])),
        }
    }
}
