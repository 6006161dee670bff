//! Waits for everything that can happen to a running command, in one thread.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use acquit_runner::wire::{Exited, Reply};

use crate::exec::{Finished, Order, micros};
use crate::frame;
use crate::reaper::{Exit, Reaper, Started};

/// How long a pipe is waited for after the command is dead.
const GRACE: Duration = Duration::from_millis(500);
/// How long a killed command is waited for; one stuck in the kernel never dies.
const DEATH: Duration = Duration::from_secs(2);
/// From one telling of what the command prints to the next.
const TELL: Duration = Duration::from_millis(250);
const CHUNK: usize = 16 << 10;

/// A running command and what is known of it so far.
#[derive(Debug)]
pub struct Watch {
    started: Started,
    began: Instant,
    deadline: Instant,
    stdout: Kept,
    stderr: Kept,
    /// When the daemon may be told of output again; nothing if it never is.
    tell_at: Option<Instant>,
    exit: Option<Exit>,
    duration: Duration,
    killed: Option<Reason>,
}

/// Why the runner killed the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Deadline,
    Flood,
    HangUp,
    /// Waiting itself failed; it must not look like an end of its own.
    Trouble,
}

impl Watch {
    /// Begins to watch.
    pub fn new(mut started: Started, began: Instant, order: &Order) -> Self {
        let stdout = started.child.stdout.take().map(OwnedFd::from);
        let stderr = started.child.stderr.take().map(OwnedFd::from);
        Self {
            began,
            deadline: began + order.timeout,
            stdout: Kept::new(stdout, order.output_bytes),
            stderr: Kept::new(stderr, order.output_bytes),
            tell_at: order.live.then_some(began),
            exit: None,
            duration: Duration::ZERO,
            killed: None,
            started,
        }
    }

    /// Returns what the command's descendants carry.
    pub const fn mark(&self) -> u64 {
        self.started.mark
    }

    /// Tells whether the daemon went away meanwhile.
    pub fn hung_up(&self) -> bool {
        self.killed == Some(Reason::HangUp)
    }

    /// Waits until the command's leader is dead, and kills it if it must be.
    pub fn until_dead(&mut self, daemon: &UnixStream, reaper: &Reaper) {
        while self.exit.is_none() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && self.killed.is_some() {
                break;
            }
            if left.is_zero() {
                self.kill(Reason::Deadline, reaper);
                continue;
            }
            let stepped = self.step(left.min(self.untold()), Some(daemon));
            if let Err(reason) = stepped.and_then(|()| self.tell(daemon)) {
                self.kill(reason, reaper);
            }
        }
        self.duration = self.began.elapsed();
    }

    /// Returns how long output that the daemon was not told of may wait.
    fn untold(&self) -> Duration {
        // Of one that was killed the end tells all.
        let tell_at = self.tell_at.filter(|_| self.killed.is_none());
        match tell_at {
            Some(at) if self.stdout.is_untold() || self.stderr.is_untold() => {
                at.saturating_duration_since(Instant::now())
            }
            Some(_) | None => Duration::MAX,
        }
    }

    /// Tells the daemon what the command printed since the last time, if it is time to.
    fn tell(&mut self, mut daemon: &UnixStream) -> Result<(), Reason> {
        if !self.untold().is_zero() {
            return Ok(());
        }
        let tails = [self.stdout.untold(), self.stderr.untold()];
        let said = Reply::Said {
            stdout_bytes: tails[0].len() as u64,
            stderr_bytes: tails[1].len() as u64,
        };
        // Who does not read it in time has hung up as well.
        frame::write(&mut daemon, &said, tails).map_err(|_| Reason::HangUp)?;
        self.stdout.told = self.stdout.bytes.len();
        self.stderr.told = self.stderr.bytes.len();
        self.tell_at = Some(Instant::now() + TELL);
        Ok(())
    }

    /// Reads what is left in the pipes.
    pub fn drain(&mut self) {
        let until = Instant::now() + GRACE;
        while self.stdout.pipe.is_some() || self.stderr.pipe.is_some() {
            let left = until.saturating_duration_since(Instant::now());
            match self.step(left, None) {
                _ if left.is_zero() => return,
                Ok(()) => {}
                Err(reason) => {
                    self.killed.get_or_insert(reason);
                }
            }
        }
    }

    /// Sums up.
    pub fn finish(self, oom_kills: u64) -> Finished {
        let (stdout, stderr) = (self.stdout.bytes, self.stderr.bytes);
        let exited = Exited {
            code: self.exit.and_then(|exit| exit.code),
            signal: self.exit.and_then(|exit| exit.signal),
            timed_out: matches!(self.killed, Some(Reason::Deadline | Reason::Trouble)),
            flooded: self.killed == Some(Reason::Flood),
            oom_kills,
            duration_us: micros(self.duration),
            peak_memory_kb: self.exit.map_or(0, |exit| exit.peak_memory_kb),
            stdout_bytes: stdout.len() as u64,
            stderr_bytes: stderr.len() as u64,
        };
        Finished {
            exited,
            stdout,
            stderr,
        }
    }

    fn kill(&mut self, reason: Reason, reaper: &Reaper) {
        reaper.kill(&self.started);
        if self.killed.is_none() {
            self.killed = Some(reason);
            self.deadline = Instant::now() + DEATH;
        }
    }

    /// Waits once and takes what came; an error says why the command must die.
    fn step(&mut self, left: Duration, daemon: Option<&UnixStream>) -> Result<(), Reason> {
        // A hang-up that was seen would be seen again at once, and is not news.
        let daemon = daemon.filter(|_| self.killed.is_none());
        let mut fds = [
            interest(self.exit.is_none().then_some(&self.started.exit)),
            interest(self.stdout.pipe.as_ref()),
            interest(self.stderr.pipe.as_ref()),
            interest(daemon),
        ];
        fds[3].events = libc::POLLRDHUP;
        wait(&mut fds, left).map_err(|_| Reason::Trouble)?;
        let ready = fds.map(|fd| fd.revents != 0);
        if ready[0] {
            self.exit = Some(Exit::read(&mut self.started.exit));
        }
        if ready[1] {
            self.stdout.read()?;
        }
        if ready[2] {
            self.stderr.read()?;
        }
        if ready[3] {
            Err(Reason::HangUp)
        } else {
            Ok(())
        }
    }
}

/// What is kept of one of the command's outputs.
#[derive(Debug)]
struct Kept {
    /// Nothing once it is closed.
    pipe: Option<File>,
    bytes: Vec<u8>,
    /// How many of them the daemon was told of.
    told: usize,
    limit: usize,
}

impl Kept {
    fn new(pipe: Option<OwnedFd>, limit: usize) -> Self {
        Self {
            pipe: pipe.map(File::from),
            bytes: Vec::new(),
            told: 0,
            limit,
        }
    }

    fn is_untold(&self) -> bool {
        self.told < self.bytes.len()
    }

    fn untold(&self) -> &[u8] {
        &self.bytes[self.told..]
    }

    /// Takes what is there, at most one chunk.
    fn read(&mut self) -> Result<(), Reason> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        let mut chunk = [0; CHUNK];
        let length = match pipe.read(&mut chunk) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(_) => 0,
        };
        let kept = length.min(self.limit - self.bytes.len());
        self.bytes.extend_from_slice(&chunk[..kept]);
        if length == 0 || kept < length {
            self.pipe = None;
        }
        if kept < length {
            Err(Reason::Flood)
        } else {
            Ok(())
        }
    }
}

/// Asks for what can be read; a descriptor that is not there asks for nothing.
fn interest(of: Option<&impl AsRawFd>) -> libc::pollfd {
    libc::pollfd {
        fd: of.map_or(-1, AsRawFd::as_raw_fd),
        events: libc::POLLIN,
        revents: 0,
    }
}

fn wait(fds: &mut [libc::pollfd], left: Duration) -> io::Result<()> {
    let milliseconds = i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX);
    // SAFETY: the pointer and the count describe a live slice of `pollfd`.
    let result = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, milliseconds) };
    match io::Error::last_os_error() {
        error if result < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}
