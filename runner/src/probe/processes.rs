//! Whether the number of processes is limited.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pause};

use super::Check;

/// Forks until it is refused, at most twice as often as it should be.
pub fn check(limit: usize) -> Check {
    let mut children = Vec::new();
    let mut refused = None;
    while refused.is_none() && children.len() < limit * 2 {
        match start() {
            Ok(child) => children.push(child),
            Err(errno) => refused = Some(errno),
        }
    }
    for child in &children {
        let _ = kill(*child, Signal::SIGKILL);
        let _ = waitpid(*child, None);
    }
    let name = "processes.limit";
    let count = children.len();
    match refused {
        Some(errno @ Errno::EAGAIN) => {
            let held = count <= limit;
            Check::new(
                name,
                held,
                format!("refused after {count} processes: {errno}"),
            )
        }
        Some(errno) => Check::new(name, false, format!("stopped after {count} by {errno}")),
        None => Check::new(name, false, format!("started {count} processes unhindered")),
    }
}

fn start() -> Result<Pid, Errno> {
    // SAFETY: the probe has one thread, so the child may do what the parent might; and it
    // does nothing but wait to be killed.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => loop {
            pause();
        },
    }
}
