//! The update container from inside, and the broker's door to it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use acquit::engine::sandbox::{Role, SandboxError, Start, StartUpdate};
use acquit::model::SignatureSetId;
use serde_json::Value;

use super::bench::Bench;
use crate::machine::{Machine, SET, docker};

const LOOK: &str = r#"
import json, os, socket
seen = {}
status = dict(l.split(":", 1) for l in open("/proc/self/status").read().splitlines())
for name in ["CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp", "Uid"]:
    seen[name] = status[name].split()[0]
def attempt(name, act):
    try:
        act()
        seen[name] = "done"
    except OSError as error:
        seen[name] = error.strerror
attempt("scan", lambda: os.listdir("/scan"))
attempt("signatures", lambda: os.listdir("/signatures"))
attempt("docker", lambda: os.stat("/var/run/docker.sock"))
attempt("root", lambda: open("/x", "w"))
attempt("usr", lambda: open("/usr/x", "w"))
attempt("source", lambda: open("/sources/0/x", "w"))
attempt("source-file", lambda: open("/sources/0/own.yar", "a"))
attempt("socket-dir", lambda: open("/run/acquit/x", "w"))
attempt("runner", lambda: open("/acquit-runner", "ab"))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("audit", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9))
attempt("route", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
attempt("inet", lambda: socket.socket(socket.AF_INET))
attempt("inet6", lambda: socket.socket(socket.AF_INET6))
attempt("lookup", lambda: socket.getaddrinfo("localhost", 80))
seen["sockets"] = os.listdir("/run/acquit")
seen["mounts"] = [l.split()[3:6] for l in open("/proc/self/mountinfo")]
print(json.dumps(seen))
"#;

fn inside(output: &[u8]) -> Value {
    let text = String::from_utf8(output.to_vec()).unwrap();
    let line = text.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{text}"))).unwrap()
}

#[tokio::test]
async fn update_sees_nothing_private_and_can_do_little() {
    let rules = tempfile::tempdir().unwrap();
    fs::write(rules.path().join("own.yar"), "").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode;
    fs::set_permissions(rules.path(), open(0o777)).unwrap();
    fs::set_permissions(rules.path().join("own.yar"), open(0o666)).unwrap();
    let more = format!("sources = [{{ directory = {:?} }}]", rules.path());
    let bench = Bench::new(LOOK, &more).await;
    let seen = inside(&bench.run().await.unwrap().output);
    let expected = [
        ("Uid", "65534"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("scan", "No such file or directory"),
        ("signatures", "No such file or directory"),
        ("docker", "No such file or directory"),
        ("root", "Read-only file system"),
        ("usr", "Read-only file system"),
        ("source", "Read-only file system"),
        ("source-file", "Read-only file system"),
        ("socket-dir", "Read-only file system"),
        ("runner", "Permission denied"),
        ("raw", "Operation not permitted"),
        ("packet", "Operation not permitted"),
        ("audit", "Operation not permitted"),
        ("route", "done"),
        ("inet", "done"),
        ("inet6", "done"),
        ("lookup", "done"),
    ];
    for (name, value) in expected {
        assert_eq!(seen[name], value, "{name}");
    }
    assert_eq!(seen["sockets"], serde_json::json!(["runner.sock"]));
    check_mounts(&bench, &seen["mounts"]);
}

/// Checks what of the data directory is mounted, and what of that can be written to.
fn check_mounts(bench: &Bench, mounts: &Value) {
    let data_dir = &bench.machine.config.storage.data_dir;
    let data_dir = data_dir.display().to_string();
    let mut ours = Vec::new();
    for mount in mounts.as_array().unwrap() {
        let part = |number: usize| mount[number].as_str().unwrap();
        if part(0).contains(&data_dir) {
            ours.push((part(1).to_owned(), part(2).starts_with("rw")));
        }
    }
    ours.sort();
    let expected = [
        ("/cache", true),
        ("/candidate", true),
        ("/run/acquit", false),
    ];
    assert_eq!(ours, expected.map(|(target, rw)| (target.to_owned(), rw)));
}

#[tokio::test]
async fn update_has_a_network_without_neighbors() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4];
        stream.read_exact(&mut request).unwrap();
        let answer = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nfresh";
        stream.write_all(answer.as_bytes()).unwrap();
        request
    });
    let script = format!(
        r#"
import socket, struct, urllib.request
routes = [l.split() for l in open("/proc/net/route")][1:]
gateway = next(r[2] for r in routes if r[1] == "00000000")
gateway = socket.inet_ntoa(struct.pack("<L", int(gateway, 16)))
answer = urllib.request.urlopen(f"http://{{gateway}}:{port}/").read()
open("/candidate/fresh", "wb").write(answer)
"#
    );
    let bench = Bench::new(&script, "timeout_seconds = 20").await;
    let fetched = bench.run().await.unwrap();
    let fresh = bench.set(&fetched.kept.id).join("fresh");
    assert_eq!(fs::read_to_string(fresh).unwrap(), "fresh");
    assert_eq!(&served.join().unwrap(), b"GET ");

    let name = bench.machine.config.updates.network.as_str();
    let found: Value = serde_json::from_str(&docker(&["network", "inspect", name])).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    let options = &found[0]["Options"];
    assert_eq!(options["com.docker.network.bridge.enable_icc"], "false");
    let instance = &found[0]["Labels"]["acquit.instance"];
    assert_eq!(instance, bench.machine.host.instance.as_str());
}

#[tokio::test]
async fn networks_that_are_none_are_refused_and_two_makers_agree_on_one() {
    let mut machine = Machine::bare();
    for name in ["host", "none", "default", "", "container:x"] {
        machine.config.updates.network = name.to_owned();
        let host = acquit::engine::sandbox::host::Host::open(machine.config.clone()).unwrap();
        let refused = host.network().await;
        assert!(
            matches!(refused, Err(SandboxError::Refused { .. })),
            "{name}"
        );
    }
    machine.config.updates.network = machine.engine.to_string();
    let open = || acquit::engine::sandbox::host::Host::open(machine.config.clone()).unwrap();
    let (one, two, three) = (open(), open(), open());
    let (one, two, three) = tokio::join!(one.network(), two.network(), three.network());
    let ids = [one.unwrap(), two.unwrap(), three.unwrap()];
    let last = open().network().await.unwrap();
    assert!(ids.iter().all(|id| *id == last), "{ids:?}");
}

#[tokio::test]
async fn broker_starts_no_update_but_that_of_the_policy() {
    let bench = Bench::new("pass", "").await;
    let storage = bench.machine.config.storage.clone();
    let once = bench.updater();
    let engine = &bench.machine.engine;
    let updates = storage.updates_dir(engine);
    fs::create_dir(updates.join("0123456789abcdef")).unwrap();
    std::os::unix::fs::symlink("/etc", updates.join("0000000000000000")).unwrap();
    let sandbox = bench.machine.sandbox();
    let works = [
        "",
        "..",
        "../..",
        "/etc",
        "0000000000000000",
        "0123456789ABCDEF",
        "1111111111111111",
        "../../signatures",
    ];
    for work in works {
        let refused = sandbox.start_update(bench.start(work)).await;
        let refused = refused.expect_err(work);
        assert!(matches!(refused, SandboxError::Refused { .. }), "{refused}");
    }
    let good = bench.start("0123456789abcdef");
    let bad = StartUpdate {
        generation: "../../../../etc".to_owned(),
        ..good.clone()
    };
    assert!(sandbox.start_update(bad).await.is_err());
    // Directories that show the data are refused, and links to them.
    let link = tempfile::tempdir().unwrap();
    let link = link.path().join("link");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(storage.data_dir.join("staging"), &link).unwrap();
    for source in [
        link.as_path(),
        &storage.data_dir,
        "/".as_ref(),
        "/no/such".as_ref(),
    ] {
        bench.command("pass", &format!("sources = [{{ directory = {source:?} }}]"));
        let refused = sandbox.start_update(good.clone()).await;
        assert!(
            matches!(refused, Err(SandboxError::Refused { .. })),
            "{source:?}"
        );
    }
    assert!(bench.machine.containers().is_empty());
    // An update as a scan would have a network; a scan as an update is none.
    let start = Start {
        role: Role::Update,
        ..bench.machine.start(1)
    };
    assert!(sandbox.start(start).await.is_err());

    bench.command("pass", "");
    let (container, _) = sandbox.start_update(good).await.unwrap();
    let state = sandbox.inspect(&container).await.unwrap().unwrap();
    assert_eq!((state.role, state.current), (Role::Update, false));
    sandbox.stop(&container).await.unwrap();
    drop(once);
}

#[tokio::test]
async fn canary_container_has_directories_of_its_own_and_nobody_takes_it_over() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox();
    let start = |role: Role| Start {
        role,
        signature_set: Some(SignatureSetId(SET.to_owned())),
        ..machine.start(1)
    };
    // Its directories are not there yet.
    assert!(sandbox.start(start(Role::Canary)).await.is_err());
    let storage = &machine.config.storage;
    fs::create_dir_all(storage.canary_staging_dir(&machine.engine)).unwrap();
    fs::create_dir_all(storage.canary_runner_dir(&machine.engine)).unwrap();
    let (scan, _) = sandbox.start(start(Role::Scan)).await.unwrap();
    let (canary, _) = sandbox.start(start(Role::Canary)).await.unwrap();
    let states = sandbox.list().await.unwrap();
    let role = |id: &str| {
        let state = states.iter().find(|state| state.container == id).unwrap();
        (state.role, state.current)
    };
    assert_eq!(role(&scan), (Role::Scan, true));
    assert_eq!(role(&canary), (Role::Canary, false));
    let format = "{{range .Mounts}}{{.Destination}}={{.Source}} {{end}}";
    let mounts = docker(&["inspect", "--format", format, &canary]);
    let staging = storage.canary_staging_dir(&machine.engine);
    let staging = format!("/scan={}", staging.display());
    assert!(mounts.contains(&staging), "{mounts}");
    assert!(mounts.contains(".canary "), "{mounts}");
    let network = docker(&[
        "inspect",
        "--format",
        "{{.HostConfig.NetworkMode}}",
        &canary,
    ]);
    assert_eq!(network.trim(), "none");
}
