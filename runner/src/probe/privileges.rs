//! Whether the process is as powerless as it must be.

use std::fs;
use std::io;

use super::Check;

/// Calls that the seccomp profile must refuse, with arguments that do no harm if it does not.
const FORBIDDEN: [(&str, libc::c_long, [libc::c_long; 2]); 13] = [
    ("io_uring_setup", libc::SYS_io_uring_setup, [0, 0]),
    ("memfd_create", libc::SYS_memfd_create, [0, 0]),
    ("memfd_secret", libc::SYS_memfd_secret, [0, 0]),
    (
        "ptrace",
        libc::SYS_ptrace,
        [libc::PTRACE_ATTACH as _, i32::MAX as _],
    ),
    ("unshare", libc::SYS_unshare, [0, 0]),
    ("setns", libc::SYS_setns, [-1, 0]),
    ("mount", libc::SYS_mount, [0, 0]),
    ("bpf", libc::SYS_bpf, [-1, 0]),
    ("keyctl", libc::SYS_keyctl, [-1, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [0, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [-1, 0]),
    (
        "process_vm_readv",
        libc::SYS_process_vm_readv,
        [i32::MAX as _, 0],
    ),
    ("pidfd_open", libc::SYS_pidfd_open, [i32::MAX as _, 0]),
];

/// Makes all attempts.
pub fn checks() -> Vec<Check> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let zero = |value: &str| u64::from_str_radix(value, 16) == Ok(0);
    let mut checks = vec![
        field("privileges.user", &status, "Uid", |ids| {
            !ids.split_whitespace().any(|id| id == "0")
        }),
        field("privileges.group", &status, "Gid", |ids| {
            !ids.split_whitespace().any(|id| id == "0")
        }),
        field("privileges.other_groups", &status, "Groups", |ids| {
            !ids.split_whitespace().any(|id| id == "0")
        }),
        field("privileges.capabilities", &status, "CapEff", zero),
        field("privileges.bounding_set", &status, "CapBnd", zero),
        field("privileges.no_new", &status, "NoNewPrivs", |value| {
            value == "1"
        }),
        field("seccomp.mode", &status, "Seccomp", |value| value == "2"),
    ];
    checks.extend(FORBIDDEN.iter().map(forbidden));
    checks
}

fn field(name: &str, status: &str, key: &str, held: impl Fn(&str) -> bool) -> Check {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .map(str::trim);
    match value {
        Some(value) => Check::new(name, held(value), format!("{key}: {value}")),
        None => Check::new(name, false, format!("the kernel does not tell {key}")),
    }
}

fn forbidden((name, number, arguments): &(&str, libc::c_long, [libc::c_long; 2])) -> Check {
    let [first, second] = *arguments;
    // SAFETY: with these arguments (null or invalid pointers, descriptors and process ids) no
    // call of the table touches memory of this process; at most it makes a descriptor.
    let result = unsafe { libc::syscall(*number, first, second, 0, 0, 0) };
    let error = io::Error::last_os_error();
    let name = format!("seccomp.{name}");
    if result >= 0 {
        return Check::new(&name, false, "the call is allowed");
    }
    let held = matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS));
    Check::new(&name, held, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_field_has_not_held() {
        assert!(!field("x", "Uid:\t1\n", "Seccomp", |_| true).held);
        assert!(field("x", "Uid:\t1\n", "Uid", |value| value == "1").held);
    }
}
