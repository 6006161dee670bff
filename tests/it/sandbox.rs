//! The sandbox on a real Docker Engine: what a container gets, and what the probe proves.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::os::unix::fs::symlink;
use std::time::Duration;

use acquit::engine::sandbox::{SandboxError, policy};
use acquit_runner::wire::Hello;
use bollard::models::ContainerCreateBody;
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::machine::{Machine, docker};

#[tokio::test]
async fn container_is_what_the_policy_says_and_its_runner_calls() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox();
    let listener = machine.listen();
    let (container, image) = sandbox.start(machine.start(7)).await.unwrap();

    let (mut stream, _) = tokio::time::timeout(Duration::from_secs(10), listener.accept())
        .await
        .unwrap()
        .unwrap();
    let length = stream.read_u32().await.unwrap();
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await.unwrap();
    let hello: Hello = serde_json::from_slice(&body).unwrap();
    assert_eq!(hello.generation, "0000000000000007");

    let state = sandbox.inspect(&container).await.unwrap().unwrap();
    assert!(state.running && state.current && !state.oom_killed);
    assert_eq!((&state.engine, &state.image), (&machine.engine, &image));
    assert_eq!(sandbox.list().await.unwrap(), [state]);

    check_inspect(&machine, &container);
    sandbox.stop(&container).await.unwrap();
    sandbox.stop(&container).await.unwrap();
    assert_eq!(sandbox.list().await.unwrap(), []);
}

/// Looks with Docker's own eyes.
fn check_inspect(machine: &Machine, container: &str) {
    let found: Value = serde_json::from_str(&docker(&["inspect", container])).unwrap();
    let found = &found[0];
    let host = &found["HostConfig"];
    assert_eq!(host["NetworkMode"], "none");
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(host["CapAdd"], Value::Null);
    assert_eq!(host["Binds"], Value::Null);
    assert_eq!(host["Privileged"], false);
    assert_eq!(host["LogConfig"]["Type"], "none");
    assert_eq!(host["PidsLimit"], 64);
    assert_eq!(found["Config"]["User"], "65534:65534");
    let name = format!(
        "/acquit-{}-{}-",
        &machine.host.instance[..8],
        machine.engine
    );
    assert!(found["Name"].as_str().unwrap().starts_with(&name));
    let mounts = found["Mounts"].as_array().unwrap();
    assert_eq!(mounts.len(), 4);
    assert!(
        mounts.iter().all(|mount| mount["RW"] == false),
        "{mounts:?}"
    );
}

#[tokio::test]
async fn probe_holds_on_this_machine() {
    let machine = Machine::new().await;
    let report = machine.sandbox().probe(&machine.engine).await.unwrap();
    let broken: Vec<_> = report.checks.iter().filter(|it| !it.held).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(report.checks.len() > 30, "{:#?}", report.checks);
    // Held because it was tried: the directory can be written, what is in it not run.
    let tmp = report
        .checks
        .iter()
        .find(|it| it.name == "files.tmp_noexec");
    assert!(!tmp.unwrap().seen.contains("written"), "{tmp:?}");
    assert!(machine.containers().is_empty());
}

/// Loosens a request.
type Change = fn(&mut ContainerCreateBody);

#[tokio::test]
async fn loosened_policy_is_found_by_the_probe() {
    let machine = Machine::new().await;
    let plan = machine.host.plan(&machine.start(1)).await.unwrap();
    let strict = policy::probe_container(&plan.manifest, &plan.placement).unwrap();
    let loosen: &[(&str, Change)] = &[
        ("network.interfaces", |it| {
            it.network_disabled = None;
            host(it).network_mode = Some("bridge".to_owned());
        }),
        ("files.root", |it| host(it).readonly_rootfs = Some(false)),
        ("files.scan", |it| mount(it, 2).read_only = Some(false)),
        ("files.mounts", |it| mount(it, 2).read_only = Some(false)),
        ("files.signatures", |it| {
            mount(it, 3).read_only = Some(false)
        }),
        ("files.tmp_noexec", |it| {
            host(it).tmpfs = Some([("/tmp".to_owned(), "rw,exec,uid=65534".to_owned())].into())
        }),
        ("privileges.user", |it| it.user = Some("0:0".to_owned())),
        ("privileges.bounding_set", |it| host(it).cap_drop = None),
        ("privileges.no_new", |it| drop(security(it).remove(0))),
        ("seccomp.io_uring_setup", |it| drop(security(it).remove(1))),
        ("seccomp.mode", |it| {
            security(it)[1] = "seccomp=unconfined".to_owned()
        }),
        ("processes.limit", |it| host(it).pids_limit = None),
        ("memory.limit", |it| {
            host(it).memory = Some(1 << 30);
            host(it).memory_swap = Some(1 << 30);
        }),
    ];
    for (number, (check, change)) in loosen.iter().enumerate() {
        let mut request = strict.clone();
        change(&mut request);
        let name = format!(
            "{}-{number}",
            policy::container_name(&plan.manifest, &plan.placement.ground)
        );
        let report = machine.host.run_probe(&name, request).await.unwrap();
        let found = report.checks.iter().find(|it| it.name == *check);
        let found = found.unwrap_or_else(|| panic!("no {check} in {:?}", report.checks));
        assert!(!found.held, "{check} held: {}", found.seen);
    }
}

fn host(request: &mut ContainerCreateBody) -> &mut bollard::models::HostConfig {
    request.host_config.as_mut().unwrap()
}

fn mount(request: &mut ContainerCreateBody, number: usize) -> &mut bollard::models::Mount {
    &mut host(request).mounts.as_mut().unwrap()[number]
}

fn security(request: &mut ContainerCreateBody) -> &mut Vec<String> {
    host(request).security_opt.as_mut().unwrap()
}

#[tokio::test]
async fn probe_without_a_report_has_failed() {
    let machine = Machine::new().await;
    let plan = machine.host.plan(&machine.start(1)).await.unwrap();
    let mut request = policy::probe_container(&plan.manifest, &plan.placement).unwrap();
    request.cmd = Some(vec!["--nothing".to_owned()]);
    let name = policy::container_name(&plan.manifest, &plan.placement.ground);
    let report = machine.host.run_probe(&name, request).await.unwrap();
    assert_eq!(report.checks[0].name, "probe");
    assert!(!report.checks[0].held);
}

#[tokio::test]
async fn changed_manifest_makes_a_container_outdated() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox();
    let (container, _) = sandbox.start(machine.start(1)).await.unwrap();
    machine.write_manifest("[limits]\nmemory_mb = 256\n");
    let state = sandbox.inspect(&container).await.unwrap().unwrap();
    assert!(!state.current);
    let (newer, _) = sandbox.start(machine.start(2)).await.unwrap();
    let state = sandbox.inspect(&newer).await.unwrap().unwrap();
    assert!(state.current);
}

#[tokio::test]
async fn leftover_with_the_same_name_is_replaced() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox();
    let (first, _) = sandbox.start(machine.start(1)).await.unwrap();
    let (second, _) = sandbox.start(machine.start(1)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(machine.containers(), [second]);
}

#[tokio::test]
async fn directory_exchanged_behind_our_back_is_noticed() {
    let machine = Machine::new().await;
    let plan = machine.host.plan(&machine.start(1)).await.unwrap();
    let request = policy::scan_container(&plan.manifest, &plan.placement).unwrap();
    let staging = machine.config.storage.staging_dir(&machine.engine);
    std::fs::rename(&staging, staging.with_extension("away")).unwrap();
    symlink("/etc", &staging).unwrap();
    let name = policy::container_name(&plan.manifest, &plan.placement.ground);
    let container = machine.host.create(&name, request).await.unwrap();
    let error = machine
        .host
        .begin(&container, &plan.sources)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("exchanged"), "{error}");
}

#[tokio::test]
async fn image_with_volumes_is_refused() {
    let machine = Machine::bare();
    machine.write_context("FROM scratch\nCOPY empty /empty\nVOLUME /var/lib/x\n");
    let sandbox = machine.sandbox();
    sandbox.build(&machine.engine, drop).await.unwrap();
    let error = sandbox.start(machine.start(1)).await.unwrap_err();
    assert!(error.to_string().contains("/var/lib/x"), "{error}");
}

#[tokio::test]
async fn engine_without_an_image_says_how_to_get_one() {
    let machine = Machine::bare();
    let sandbox = machine.sandbox();
    assert_eq!(sandbox.image(&machine.engine).await.unwrap(), None);
    let error = sandbox.start(machine.start(1)).await.unwrap_err();
    assert!(
        matches!(error, SandboxError::ImageMissing { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn build_tells_its_progress_and_its_last_words() {
    let machine = Machine::bare();
    let sandbox = machine.sandbox();
    let mut lines = Vec::new();
    let built = sandbox
        .build(&machine.engine, |line| lines.push(line))
        .await
        .unwrap();
    assert!(
        lines.iter().any(|line| line.contains("COPY empty")),
        "{lines:?}"
    );
    assert_eq!(sandbox.image(&machine.engine).await.unwrap(), Some(built));

    machine.write_context("FROM scratch\nCOPY absent /\n");
    let error = sandbox.build(&machine.engine, drop).await.unwrap_err();
    assert!(error.to_string().contains("COPY absent"), "{error}");
    machine.write_context("FROM scratch\nFLY away\n");
    let error = sandbox.build(&machine.engine, drop).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("fly"), "{error}");
}
