//! Whether the amount of memory is limited.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Check;
use crate::cgroup::oom_kills;

/// How much more than the limit is tried.
const EXCESS_MB: u64 = 32;
/// Taking a gibibyte takes seconds on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(15);
const PAGE: usize = 4096;

/// Has a child use more than the limit; it must be killed, and the kill must be counted.
pub fn checks(limit_mb: u64) -> Vec<Check> {
    if limit_mb == 0 {
        return Vec::new();
    }
    let counted_before = oom_kills();
    let ended = start(limit_mb + EXCESS_MB).and_then(wait);
    let name = "memory.limit";
    let limit = match ended {
        Ok(Some(status)) if status.signal() == Some(libc::SIGKILL) => {
            Check::new(name, true, format!("killed beyond {limit_mb} MiB"))
        }
        Ok(Some(status)) => Check::new(name, false, format!("not killed, but {status}")),
        Ok(None) => Check::new(name, false, "still running, killed by the probe"),
        Err(error) => Check::new(name, false, format!("cannot try: {error}")),
    };
    vec![limit, counted(counted_before)]
}

/// The runner tells the daemon of such kills by this counter, so it must be there and count.
fn counted(before: Option<u64>) -> Check {
    let name = "memory.oom_counter";
    match (before, oom_kills()) {
        (Some(before), Some(after)) => {
            let kills = after.saturating_sub(before);
            Check::new(name, kills > 0, format!("{kills} kills counted"))
        }
        _ => Check::new(name, false, "the control group shows no counter"),
    }
}

fn start(mebibytes: u64) -> io::Result<Child> {
    Command::new("/proc/self/exe")
        .args(["--touch-memory", &mebibytes.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
}

fn wait(mut child: Child) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Uses that much memory and ends; run as the probe's child.
pub fn touch(mebibytes: u64) -> ExitCode {
    // The child is to be the kernel's choice, not the probe.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let bytes = usize::try_from(mebibytes).unwrap_or(0) << 20;
    let mut memory: Vec<u8> = Vec::new();
    if memory.try_reserve_exact(bytes).is_err() {
        return ExitCode::FAILURE;
    }
    for _ in 0..bytes / PAGE {
        memory.extend_from_slice(&[1; PAGE]);
    }
    // Or the compiler would see that nobody wants it.
    std::hint::black_box(&memory);
    ExitCode::SUCCESS
}
