//! How many processes the kernel killed for memory in this container.

use std::fs;

/// cgroup v2, then v1: each has a line `oom_kill N`.
const COUNTERS: [&str; 2] = [
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
];

/// Returns the count so far, if the container shows one.
pub fn oom_kills() -> Option<u64> {
    COUNTERS
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|text| parse(&text))
}

fn parse(text: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        assert_eq!(
            parse("low 0\noom 3\noom_kill 2\noom_group_kill 0\n"),
            Some(2)
        );
        assert_eq!(
            parse("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"),
            Some(7)
        );
        assert_eq!(parse("oom_kill_disable 0\n"), None);
    }
}
