//! The probe finds the sandbox whole, and finds each hole that is made.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use acquit::model::ProbeCheck;
use tempfile::TempDir;

use super::container::{EMPTY, docker, empty_image, hardened, mount};
use crate::support;

/// Runs the probe in a container with these flags.
fn probe(flags: &[String]) -> BTreeMap<String, ProbeCheck> {
    empty_image();
    let directory = shared();
    let mut command = docker();
    command.args(["run", "--rm", "--entrypoint=/acquit-runner"]);
    command.args(flags);
    mount(&mut command, &support::runner(), "/acquit-runner");
    mount(&mut command, directory.path(), "/scan");
    mount(&mut command, directory.path(), "/run/acquit");
    command.args([EMPTY, "--probe", "--pids", "64", "--memory-mb", "64"]);
    let checks: Vec<ProbeCheck> = serde_json::from_str(&support::run(&mut command)).unwrap();
    let named = checks.into_iter().map(|check| (check.name.clone(), check));
    named.collect()
}

/// Makes a directory that containers may look into.
fn shared() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("below")).unwrap();
    let permissions = PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.path(), permissions).unwrap();
    directory
}

/// Replaces one flag, or adds one, and expects the check to notice.
#[track_caller]
fn check(flag: &str, replacement: &str, noticed: &str) {
    let mut flags = hardened();
    flags.retain(|other| flag.is_empty() || !other.starts_with(flag));
    flags.extend((!replacement.is_empty()).then(|| replacement.to_owned()));
    let checks = probe(&flags);
    assert!(
        !checks[noticed].held,
        "{flag} {replacement}: {:?}",
        checks[noticed]
    );
}

#[test]
fn sandbox_holds() {
    let checks = probe(&hardened());
    let broken: Vec<_> = checks.values().filter(|check| !check.held).collect();
    assert!(broken.is_empty(), "{broken:?}");
    assert!(checks.len() > 35, "{} checks", checks.len());
}

#[test]
fn network_is_noticed() {
    check("--network", "", "network.interfaces");
}

#[test]
fn writable_root_is_noticed() {
    check("--read-only", "", "files.root");
}

#[test]
fn writable_staging_is_noticed_wherever_it_is() {
    let directory = shared();
    let mount = |to: &str| format!("--volume={}:{to}", directory.path().display());
    check("", &mount("/scan/below"), "files.mounts");
    check("", &mount("/signatures"), "files.signatures");
}

#[test]
fn executable_temporary_space_is_noticed() {
    check(
        "--tmpfs",
        "--tmpfs=/tmp:rw,exec,size=16m",
        "files.tmp_noexec",
    );
}

#[test]
fn privileges_are_noticed() {
    check("--user", "--user=0:0", "privileges.user");
    check("--user", "--user=65534:0", "privileges.group");
    check("--cap-drop", "", "privileges.bounding_set");
    check("--security-opt=no-new", "", "privileges.no_new");
}

#[test]
fn weaker_system_call_filter_is_noticed() {
    let seccomp = "--security-opt=seccomp";
    check(seccomp, "--security-opt=seccomp=unconfined", "seccomp.mode");
    // Docker's own profile.
    check(seccomp, "", "network.vsock");
    check(seccomp, "", "seccomp.memfd_create");
}

#[test]
fn missing_limits_are_noticed() {
    check("--pids-limit", "", "processes.limit");
    check("--memory", "", "memory.limit");
}

#[test]
fn docker_s_socket_is_noticed() {
    let directory = shared();
    let path = directory.path().join("docker.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let volume = format!("--volume={}:/var/run/docker.sock", path.display());
    check("", &volume, "docker.socket");
}
