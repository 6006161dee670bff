//! The requests as snapshots: whoever loosens the sandbox changes these files.

use std::path::PathBuf;

use serde_json::Value;

use super::update::{UpdatePlacement, update_container};
use super::*;

const COMMAND: &str = r#"
id = "yara"
name = "YARA"
vendor = "VirusTotal"
description = "Rules"
[run]
transport = "command"
command = ["yara", "/rules.yar", "{files}"]
slots = 2
env = { "ACQUIT_GENERATION" = "stolen", "LANG" = "C.UTF-8" }
"#;
const CLAMD: &str = r#"
id = "clamav"
name = "ClamAV"
vendor = "Cisco Talos"
description = "Malware"
[run]
transport = "clamd"
daemon = ["clamd", "--foreground"]
socket = "/tmp/clamd.sock"
[limits]
memory_mb = 2048
cpus = 1.5
tmp_mb = 512
[signatures]
seed = "signatures"
path = "/var/lib/clamav"
"#;
const UPDATE: &str = r#"
[update]
command = ["freshclam", "--datadir=/candidate"]
sources = [{ mirror = "https://mirror.example" }, { directory = "/srv/rules" }]
memory_mb = 1536
disk_mb = 2048
"#;
const PARSE: &str = "
[parse.exit]
complete = [0]
[parse.proof]
rule = \"per-file\"
[[parse.lines]]
pattern = '^(?<path>/\\S+): OK$'
means = \"undetected\"
";

fn manifest(text: &str) -> Manifest {
    toml::from_str(&format!("{text}{PARSE}")).unwrap()
}

fn placement() -> Placement {
    let set = SignatureSetId("0011223344556677".to_owned());
    let ground = Ground {
        instance: "00112233445566778899aabbccddeeff".to_owned(),
        generation: "0123456789abcdef".to_owned(),
        role: Role::Scan,
        image: "sha256:00".to_owned(),
        machine_cpus: 2.0,
        runner: PathBuf::from("/usr/local/lib/acquit/acquit-runner"),
        socket_dir: PathBuf::from("/var/lib/acquit/runners/x"),
    };
    Placement {
        ground,
        staging: PathBuf::from("/var/lib/acquit/staging/x"),
        signatures: Some((
            set,
            PathBuf::from("/var/lib/acquit/signatures/x/0011223344556677"),
        )),
    }
}

fn update_placement() -> UpdatePlacement {
    let mut ground = placement().ground;
    ground.role = Role::Update;
    ground.socket_dir = PathBuf::from("/var/lib/acquit/runners/x.update");
    UpdatePlacement {
        ground,
        network: "a1".repeat(32),
        candidate: PathBuf::from("/var/lib/acquit/updates/x/0011223344556677"),
        cache: PathBuf::from("/var/lib/acquit/cache/x"),
        sources: vec![(1, PathBuf::from("/srv/rules"))],
    }
}

fn update_manifest() -> Manifest {
    manifest(&format!("{CLAMD}{UPDATE}"))
}

/// Returns a request as it goes over the wire, the seccomp profile by its digest.
fn wire(request: &ContainerCreateBody) -> String {
    let mut value = serde_json::to_value(request).unwrap();
    let profile = &mut value["HostConfig"]["SecurityOpt"][1];
    let digest = Sha256::digest(profile.as_str().unwrap());
    *profile = Value::from(format!("seccomp={}", hex::encode(&digest[..8])));
    serde_json::to_string_pretty(&value).unwrap()
}

fn check(name: &str, request: &ContainerCreateBody) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../../tests/fixtures/sandbox");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, wire(request)));
}

#[test]
fn request_of_a_command_engine() {
    let request = scan_container(&manifest(COMMAND), &placement()).unwrap();
    check("command", &request);
}

#[test]
fn request_of_a_clamd_engine() {
    let request = scan_container(&manifest(CLAMD), &placement()).unwrap();
    check("clamd", &request);
}

#[test]
fn request_of_the_probe() {
    let request = probe_container(&manifest(CLAMD), &placement()).unwrap();
    check("probe", &request);
}

#[test]
fn request_of_an_update() {
    let request = update_container(&update_manifest(), &update_placement()).unwrap();
    check("update", &request);
}

#[test]
fn an_update_differs_from_a_scan_in_network_mounts_and_limits_only() {
    let value = |request: &ContainerCreateBody| serde_json::to_value(request).unwrap();
    let mut scan = value(&scan_container(&update_manifest(), &placement()).unwrap());
    let mut update = value(&update_container(&update_manifest(), &update_placement()).unwrap());
    for own in ["Cmd", "Labels", "NetworkDisabled"] {
        scan[own] = Value::Null;
        update[own] = Value::Null;
    }
    let limits = ["Memory", "MemorySwap", "Ulimits", "Tmpfs"];
    for own in limits
        .iter()
        .chain(&["Mounts", "NetworkMode", "SecurityOpt"])
    {
        scan["HostConfig"][own] = Value::Null;
        update["HostConfig"][own] = Value::Null;
    }
    assert_eq!(scan, update);
    let request = update_container(&update_manifest(), &update_placement()).unwrap();
    let host = request.host_config.unwrap();
    assert_eq!(host.security_opt.unwrap()[0], "no-new-privileges");
    for mount in host.mounts.unwrap() {
        let target = mount.target.unwrap();
        let writable = ["/candidate", "/cache"].contains(&target.as_str());
        assert_eq!(mount.read_only, Some(!writable), "{target}");
        let source = mount.source.unwrap();
        assert!(!source.contains("/staging/") && !source.contains("/signatures/"));
        assert!(!source.contains("/blobs"));
    }
}

#[test]
fn an_update_that_could_leave_its_walls_is_refused() {
    for network in ["host", "none", "container:a1", "", "acquit-update", "A1"] {
        let mut placement = update_placement();
        placement.network = network.to_owned();
        let refused = update_container(&update_manifest(), &placement);
        assert!(refused.is_err(), "{network}");
    }
    assert!(update_container(&manifest(CLAMD), &update_placement()).is_err());
    let mut greedy = update_manifest();
    greedy.update.as_mut().unwrap().disk_mb = u64::MAX;
    assert!(update_container(&greedy, &update_placement()).is_err());
}

#[test]
fn a_canary_is_a_scan_container_with_directories_of_its_own() {
    let mut canary = placement();
    canary.ground.role = Role::Canary;
    let request = scan_container(&manifest(CLAMD), &canary).unwrap();
    let scan = scan_container(&manifest(CLAMD), &placement()).unwrap();
    assert_eq!(request.host_config, scan.host_config);
    assert_eq!(request.labels.unwrap()[LABEL_ROLE], "canary");
    let (manifest, scan) = (manifest(CLAMD), placement().ground);
    let names = [&canary.ground, &scan].map(|ground| container_name(&manifest, ground));
    assert_eq!(
        names,
        [
            "acquit-00112233-clamav.canary-0123456789abcdef",
            "acquit-00112233-clamav-0123456789abcdef",
        ]
    );
}

#[test]
fn the_spec_is_the_same_for_every_generation_and_for_nothing_else() {
    let manifest = manifest(CLAMD);
    let first = spec(&manifest, &placement()).unwrap();
    let mut other = placement();
    other.ground.generation = "fedcba9876543210".to_owned();
    assert_eq!(spec(&manifest, &other).unwrap(), first);
    let request = scan_container(&manifest, &placement()).unwrap();
    assert_eq!(request.labels.unwrap()[LABEL_SPEC], first);

    other.ground.image = "sha256:11".to_owned();
    assert_ne!(spec(&manifest, &other).unwrap(), first);
    let mut more = manifest.clone();
    more.limits.pids += 1;
    assert_ne!(spec(&more, &placement()).unwrap(), first);
}

#[test]
fn no_manifest_can_loosen_the_sandbox() {
    let plain = scan_container(&manifest(COMMAND), &placement()).unwrap();
    let env = plain.env.unwrap();
    let generation: Vec<_> = env.iter().filter(|it| it.starts_with("ACQUIT_")).collect();
    assert_eq!(generation, ["ACQUIT_GENERATION=0123456789abcdef"]);
    for path in [
        "/",
        "relative",
        "/proc/x",
        "/scan",
        "/scan/x",
        "/a/../proc",
        "/dev",
        "/run",
    ] {
        let mut manifest = manifest(CLAMD);
        manifest.signatures.as_mut().unwrap().path = PathBuf::from(path);
        assert!(scan_container(&manifest, &placement()).is_err(), "{path}");
    }
}

#[test]
fn limits_out_of_range_are_refused() {
    let check = |change: fn(&mut Limits)| {
        let mut manifest = manifest(COMMAND);
        change(&mut manifest.limits);
        let refused = scan_container(&manifest, &placement());
        assert!(refused.is_err(), "{:?}", manifest.limits);
    };
    check(|it| it.memory_mb = 0);
    check(|it| it.memory_mb = u64::MAX);
    check(|it| it.cpus = 0.0);
    check(|it| it.cpus = f64::NAN);
    check(|it| it.cpus = -1.0);
    check(|it| it.pids = 0);
    check(|it| it.tmp_mb = 0);
    check(|it| it.tmp_mb = it.memory_mb);
    check(|it| it.open_files = 0);
}

#[test]
fn a_small_machine_promises_what_it_has() {
    let mut small = placement();
    small.ground.machine_cpus = 1.0;
    let request = scan_container(&manifest(CLAMD), &small).unwrap();
    assert_eq!(request.host_config.unwrap().nano_cpus, Some(1_000_000_000));
}

#[test]
fn the_profile_lets_no_family_but_unix_be_opened() {
    let profile: Value = serde_json::from_str(SECCOMP).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let rules = profile["syscalls"].as_array().unwrap();
    let socket: Vec<_> = rules
        .iter()
        .filter(|rule| rule["names"].as_array().unwrap().contains(&"socket".into()))
        .collect();
    assert_eq!(socket.len(), 1);
    let argument = &socket[0]["args"][0];
    assert_eq!(
        (&argument["index"], &argument["value"]),
        (&0.into(), &1.into())
    );
    for name in [
        "io_uring_setup",
        "memfd_create",
        "ptrace",
        "mount",
        "bpf",
        "unshare",
        "setns",
    ] {
        assert!(!SECCOMP.contains(&format!("\"{name}\"")), "{name}");
    }
}
