//! What the kernel counts for this container: its memory, and what it killed for it.

use std::fs;

/// cgroup v2, then v1: each has a line `oom_kill N`.
const COUNTERS: [&str; 2] = [
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
];

/// How much is in use, and what is told of it; cgroup v2, then v1.
const USED: [(&str, &str, &str); 2] = [
    (
        "/sys/fs/cgroup/memory.current",
        "/sys/fs/cgroup/memory.stat",
        "inactive_file",
    ),
    (
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
];

/// Returns the bytes in use, as `docker stats` counts them: without what the kernel keeps of files
/// nobody reads any more, and gives up first.
pub fn used_bytes() -> Option<u64> {
    USED.iter().find_map(|(used, stat, unread)| {
        let used = fs::read_to_string(used).ok()?.trim().parse::<u64>().ok()?;
        let stat = fs::read_to_string(stat).unwrap_or_default();
        Some(used.saturating_sub(value(&stat, unread).unwrap_or(0)))
    })
}

/// Returns the count of kills so far, if the container shows one.
pub fn oom_kills() -> Option<u64> {
    COUNTERS
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|text| value(&text, "oom_kill"))
}

/// Reads the line of a name.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let kills = |text| value(text, "oom_kill");
        assert_eq!(
            kills("low 0\noom 3\noom_kill 2\noom_group_kill 0\n"),
            Some(2)
        );
        assert_eq!(
            kills("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"),
            Some(7)
        );
        assert_eq!(kills("oom_kill_disable 0\n"), None);
    }
}
