//! The machine: disk, memory, clock, limits.

use std::path::Path;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;

use super::{Finding, Patient};
use crate::cli::text::size;
use crate::engine::manifest::Residency;

/// Descriptors the daemon may need with many clients and engines.
const OPEN_FILES: u64 = 4096;
/// A clock before this year was never set.
const SANE_YEARS: std::ops::Range<i16> = 2025..2100;

/// Looks at the machine.
pub fn look(patient: &Patient, findings: &mut Vec<Finding>) {
    findings.push(disk(patient));
    findings.push(memory(patient));
    findings.push(clock());
    findings.push(open_files());
    findings.push(app_armor());
}

fn disk(patient: &Patient) -> Finding {
    let check = "disk";
    let storage = &patient.config.storage;
    let path = &storage.data_dir;
    let state = match statvfs(path.as_path()) {
        Ok(state) => state,
        Err(error) => return Finding::skipped(check, format!("{}: {error}", path.display())),
    };
    let free = state
        .blocks_available()
        .saturating_mul(state.fragment_size());
    let reserve = storage.reserve_mb << 20;
    let seen = format!("{} free, {} kept in reserve", size(free), size(reserve));
    let mend = format!(
        "free space below {}, or lower storage.reserve_mb",
        path.display()
    );
    if state.files() > 0 && state.files_available() < 10_000 {
        let seen = format!("{} inodes free", state.files_available());
        return Finding::fail(check, seen, mend);
    }
    if free < reserve {
        Finding::fail(check, format!("{seen}: uploads are refused"), mend)
    } else if free < reserve * 2 {
        Finding::warn(check, seen, mend)
    } else {
        Finding::ok(check, seen)
    }
}

fn memory(patient: &Patient) -> Finding {
    let check = "memory";
    let Some((total, available)) = meminfo() else {
        return Finding::skipped(check, "/proc/meminfo cannot be read");
    };
    let engines = &patient.config.engines;
    let budget = match engines.memory_mb {
        0 => total / 4 * 3,
        budget => budget,
    };
    let enabled = patient.catalog.engines.values();
    let enabled = enabled.filter(|it| !engines.disabled.iter().any(|id| id == it.id.as_str()));
    let (mut always, mut largest) = (0, 0);
    for manifest in enabled {
        largest = largest.max(manifest.limits.memory_mb);
        if manifest.run.residency == Residency::Always {
            always += manifest.limits.memory_mb;
        }
    }
    let seen = format!(
        "{total} MB, {available} MB available; engines may use {budget} MB together, \
         resident ones may take {always} MB, the largest {largest} MB"
    );
    if largest > budget {
        let mend = "raise engines.memory_mb, or disable that engine";
        Finding::fail(check, seen, mend)
    } else if always > budget || budget > total {
        let mend = "set residency = \"on-demand\" for some engines, or mend engines.memory_mb";
        Finding::warn(check, seen, mend)
    } else {
        Finding::ok(check, seen)
    }
}

/// Returns total and available memory in mebibytes.
fn meminfo() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        let kb: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kb / 1024)
    };
    Some((value("MemTotal:")?, value("MemAvailable:")?))
}

fn clock() -> Finding {
    let check = "clock";
    let now = jiff::Timestamp::now();
    let year = now.to_zoned(jiff::tz::TimeZone::UTC).year();
    let seen = format!("{} UTC", now.strftime("%F %T"));
    let mend = "set it, e.g. timedatectl set-ntp true";
    if !SANE_YEARS.contains(&year) {
        return Finding::fail(check, seen, mend);
    }
    match synchronized() {
        Some(true) => Finding::ok(check, format!("{seen}, synchronized")),
        Some(false) => Finding::warn(check, format!("{seen}, not synchronized"), mend),
        None => Finding::ok(
            check,
            format!("{seen}; nothing says whether it is synchronized"),
        ),
    }
}

fn synchronized() -> Option<bool> {
    // Without systemd the command is there and fails.
    let output = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .output()
        .ok()?;
    match output.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

fn open_files() -> Finding {
    let check = "open files";
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return Finding::skipped(check, "the limit cannot be read");
    };
    if hard < OPEN_FILES {
        let mend = "raise the limit, e.g. LimitNOFILE=65536 in the unit";
        return Finding::warn(check, format!("at most {hard} here"), mend);
    }
    Finding::ok(check, format!("at most {hard} here"))
}

fn app_armor() -> Finding {
    let check = "AppArmor";
    let on = std::fs::read_to_string(Path::new("/sys/module/apparmor/parameters/enabled"));
    match on {
        Ok(text) if text.trim() == "Y" => Finding::ok(check, "enabled"),
        _ => {
            let mend = "boot a kernel with AppArmor for one more layer around the engines";
            Finding::warn(check, "not enabled on this machine", mend)
        }
    }
}
