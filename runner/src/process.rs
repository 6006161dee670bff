//! Processes as `/proc` shows them, to find those that slipped out of their group.

use std::fs;
use std::io::Read;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Environment variable that every process of a command inherits.
pub const MARK: &str = "ACQUIT_EXEC";

const MAX_ENVIRONMENT: u64 = 2 << 20;
const ROUNDS: usize = 50;

/// Kills, until none is left, all processes that `doomed` names.
///
/// A process may fork between look and kill, so one look is not enough; the
/// rounds are bounded because a fork bomb may be faster than `/proc`.
pub fn kill_all(doomed: impl Fn(&Process) -> bool) {
    for _ in 0..ROUNDS {
        let found: Vec<Process> = living().filter(|process| doomed(process)).collect();
        if found.is_empty() {
            return;
        }
        for process in found {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// One living process other than the runner.
#[derive(Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
}

impl Process {
    /// Returns which command's mark the process carries, if it can be read.
    pub fn mark(&self) -> Option<u64> {
        let file = fs::File::open(format!("/proc/{}/environ", self.pid)).ok()?;
        let mut environment = Vec::new();
        file.take(MAX_ENVIRONMENT)
            .read_to_end(&mut environment)
            .ok()?;
        let value = |entry: &[u8]| {
            let value = entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(value).ok()?.parse().ok()
        };
        environment.split(|byte| *byte == 0).find_map(value)
    }
}

fn living() -> impl Iterator<Item = Process> {
    let own = std::process::id();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(move |pid| *pid != own)
        .filter_map(|pid| parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
}

/// Reads a line of `/proc/<pid>/stat`; nothing for the dead.
fn parse(stat: &str) -> Option<Process> {
    let pid = stat.split_once(' ')?.0.parse().ok()?;
    // The name may hold spaces and parentheses: the fields begin behind the last one.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let lives = !matches!(state, "Z" | "X" | "x");
    lives.then_some(Process { pid, parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_parentheses_does_not_confuse() {
        let process = Process { pid: 7, parent: 1 };
        assert_eq!(parse("7 (a) S 9 (b) R 1 7 7 0"), Some(process));
    }

    #[test]
    fn dead_processes_are_not_listed() {
        assert_eq!(parse("7 (sh) Z 1 7 7 0"), None);
    }
}
