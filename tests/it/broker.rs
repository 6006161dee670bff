//! The broker against whoever might hold the daemon's end of its socket.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use acquit::config::Config;
use acquit::engine::sandbox::broker::{self, Door};
use acquit::engine::sandbox::frame::{self, Response};
use acquit::engine::sandbox::{Answer, Sandbox, SandboxError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::machine::{Machine, SET, docker};

/// Sends one frame as it is and returns the answer.
async fn send(stream: &mut UnixStream, body: &[u8]) -> Response {
    let length = u32::try_from(body.len()).unwrap();
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let answer = frame::read(stream, frame::MAX_ANSWER).await.unwrap();
    frame::parse(&answer.expect("an answer")).unwrap()
}

/// Returns the bodies that no daemon of ours would send; `E` is the engine, `F` a foreign container.
fn hostile_verbs() -> Vec<String> {
    let start = |engine: &str, generation: &str, set: &str, more: &str| {
        format!(
            r#"{{"verb":"start","engine":{engine},"generation":{generation},"signature_set":{set}{more}}}"#
        )
    };
    let good = r#""0000000000000001""#;
    let set = format!("\"{SET}\"");
    let mut verbs: Vec<String> = [
        r#""../E""#,
        r#""E/../E""#,
        r#""/etc""#,
        r#""""#,
        r#""E ""#,
        r#""E\u0000""#,
        r#""nobody""#,
        "null",
        "7",
        r#"["E"]"#,
        r#"{"E":1}"#,
        r#""-E""#,
    ]
    .iter()
    .map(|engine| start(engine, good, &set, ""))
    .collect();
    for generation in [
        r#""""#,
        r#""1""#,
        r#""../../../../etc""#,
        r#""000000000000000g""#,
        "1",
        "null",
        r#""00000000000000001""#,
        r#""0000000000 0001""#,
    ] {
        verbs.push(start(r#""E""#, generation, &set, ""));
    }
    for set in [
        r#""..""#,
        r#""../staging""#,
        r#""../../../../etc""#,
        r#""/etc""#,
        r#""linklink""#,
        r#""abcdef0123456789""#,
        r#""00000000""#,
        r#""""#,
        "null",
        r#""0123456789ABCDEF""#,
        r#""feedfeedfeedfeed""#,
    ] {
        verbs.push(start(r#""E""#, good, set, ""));
    }
    for more in [
        r#","Privileged":true"#,
        r#","HostConfig":{"Binds":["/:/host"]}"#,
        r#","mounts":[{"Source":"/","Target":"/host"}]"#,
        r#","hostconfig":{}"#,
        r#","Engine":"E""#,
        r#","engine":"E""#,
        r#","signature_set":null"#,
        r#","env":["LD_PRELOAD=/scan/x"]"#,
        r#","command":["/bin/sh"]"#,
        r#","image":"alpine""#,
        r#","verb":"start""#,
        r#","runtime":"runc""#,
        r#","CapAdd":["ALL"]"#,
        r#","SecurityOpt":["seccomp=unconfined"]"#,
        r#","PidMode":"host""#,
    ] {
        verbs.push(start(r#""E""#, good, &set, more));
    }
    for container in [
        r#""F""#,
        r#""/F""#,
        r#""F/json""#,
        r#""../images/prune""#,
        r#""""#,
        "null",
        "1",
        r#""acquit""#,
        r#""F?force=1""#,
        r#""F\n""#,
        r#""*""#,
    ] {
        verbs.push(format!(r#"{{"verb":"stop","container":{container}}}"#));
    }
    for verb in [
        r#"{"verb":"exec","container":"F","command":["sh"]}"#,
        r#"{"verb":"run"}"#,
        r#"{"verb":"create","HostConfig":{"Privileged":true}}"#,
        r#"{"verb":"info","all":true}"#,
        r#"{"verb":"list","filters":{}}"#,
        r#"{"verb":"build","engine":"E","context":"/etc"}"#,
        r#"{"verb":"build","engine":"../../etc"}"#,
        r#"{"verb":"image","engine":"E","tag":"x"}"#,
        r#"{"verb":"probe","engine":"E","command":["sh"]}"#,
        r#"{"VERB":"info"}"#,
        r#"{}"#,
        "[]",
        "null",
        r#""info""#,
        r#"{"verb":"inspect","container":"..%2f"}"#,
    ] {
        verbs.push(verb.to_owned());
    }
    verbs
}

#[tokio::test]
async fn hostile_requests_are_refused_and_change_nothing() {
    let machine = Machine::new().await;
    let sets = machine.config.storage.data_dir.join("signatures");
    let sets = sets.join(machine.engine.as_str());
    std::os::unix::fs::symlink("/etc", sets.join("feedfeedfeedfeed")).unwrap();
    std::os::unix::fs::symlink("/etc", sets.join("linklink")).unwrap();
    let other = Machine::new().await;
    let (foreign, _) = other.sandbox().start(other.start(1)).await.unwrap();

    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut broker = JoinSet::new();
    broker.spawn(broker::serve(Arc::clone(&machine.host), theirs));
    let verbs = hostile_verbs();
    assert!(verbs.len() >= 60);
    for (id, verb) in verbs.iter().enumerate() {
        let verb = verb
            .replace('E', machine.engine.as_str())
            .replace('F', &foreign);
        let body = format!(r#"{{"id":{id},"verb":{verb}}}"#);
        let Response { answer, .. } = send(&mut ours, body.as_bytes()).await;
        let refused = matches!(&answer, Answer::Failed(SandboxError::Refused { .. }));
        assert!(refused, "{body} got {answer:?}");
    }
    // The broker still serves, and nobody was harmed.
    let answer = send(&mut ours, br#"{"id":9,"verb":{"verb":"list"}}"#).await;
    assert_eq!((answer.id, answer.answer), (9, Answer::Listed(Vec::new())));
    let asked = format!(r#"{{"id":9,"verb":{{"verb":"inspect","container":"{foreign}"}}}}"#);
    let answer = send(&mut ours, asked.as_bytes()).await;
    assert_eq!(answer.answer, Answer::Inspected(None));
    assert!(machine.containers().is_empty());
    assert_eq!(
        docker(&["inspect", "--format", "{{.State.Running}}", &foreign]),
        "true\n"
    );
}

#[tokio::test]
async fn frame_that_is_too_long_closes_the_connection() {
    let machine = Machine::bare();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut broker = JoinSet::new();
    broker.spawn(broker::serve(Arc::clone(&machine.host), theirs));
    ours.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    let mut rest = Vec::new();
    ours.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
    broker.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn broker_ends_with_its_daemon_and_the_daemon_learns_of_its_broker() {
    let machine = Machine::bare();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut broker = JoinSet::new();
    broker.spawn(broker::serve(Arc::clone(&machine.host), theirs));
    let sandbox = Sandbox::connect(ours);
    assert!(
        sandbox
            .info()
            .await
            .unwrap()
            .version
            .starts_with(char::is_numeric)
    );
    drop(sandbox);
    broker.join_next().await.unwrap().unwrap();

    let (ours, theirs) = UnixStream::pair().unwrap();
    let sandbox = Sandbox::connect(ours);
    drop(theirs);
    let error = sandbox.info().await.unwrap_err();
    assert!(matches!(error, SandboxError::Unreachable { .. }), "{error}");
    sandbox.closed().await;
}

#[tokio::test]
async fn requests_are_answered_side_by_side() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox();
    let mut tasks = JoinSet::new();
    for generation in 0..6 {
        let (sandbox, start) = (sandbox.clone(), machine.start(generation));
        tasks.spawn(async move { sandbox.start(start).await });
    }
    while let Some(started) = tasks.join_next().await {
        started.unwrap().unwrap();
    }
    assert_eq!(sandbox.list().await.unwrap().len(), 6);
}

#[tokio::test]
async fn client_finds_a_broker_that_was_started_again() {
    let machine = Machine::bare();
    let sandbox = Sandbox::connect_path(&machine.config.docker.broker_socket);
    let error = sandbox.info().await.unwrap_err();
    assert!(matches!(error, SandboxError::Unreachable { .. }), "{error}");
    for _ in 0..2 {
        let mut broker = JoinSet::new();
        broker.spawn(broker::run(root(&machine), Door::Path));
        wait_for(&machine.config.docker.broker_socket).await;
        sandbox.info().await.unwrap();
        broker.shutdown().await;
        let error = sandbox.info().await.unwrap_err();
        assert!(matches!(error, SandboxError::Unreachable { .. }), "{error}");
    }
}

#[tokio::test]
async fn stranger_is_not_served() {
    let machine = Machine::bare();
    let mut broker = JoinSet::new();
    broker.spawn(broker::run(root(&machine), Door::Path));
    let socket = &machine.config.docker.broker_socket;
    wait_for(socket).await;
    let mode = std::fs::metadata(socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The socket's mode alone is not what keeps others out.
    open_to_all(socket);
    let script = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
try:
    s.sendall(b'\0\0\0\x1e{"id":1,"verb":{"verb":"info"}}')
    sys.exit(1 if s.recv(1) else 0)
except ConnectionError:
    sys.exit(0)
"#;
    let ask = |uid: u32| {
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(socket).uid(uid).gid(uid);
        tokio::task::spawn_blocking(move || command.status().unwrap().success())
    };
    assert!(ask(65534).await.unwrap(), "a stranger got an answer");
    assert!(!ask(0).await.unwrap(), "root got no answer");
}

/// As systemd runs it: a listening socket as standard input, two capabilities, the directories
/// somebody else's.
#[tokio::test]
async fn broker_under_systemd_needs_no_more_than_its_unit_gives() {
    let machine = Machine::new().await;
    let data_dir = &machine.config.storage.data_dir;
    std::os::unix::fs::chown(data_dir, Some(1), Some(1)).unwrap();
    std::fs::set_permissions(data_dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    let config = data_dir.with_file_name("acquit.toml");
    std::fs::write(&config, toml::to_string(&root(&machine)).unwrap()).unwrap();
    let socket = &machine.config.docker.broker_socket;
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let mut broker = tokio::process::Command::new("setpriv")
        .args([
            "--bounding-set",
            "-all,+dac_read_search,+sys_ptrace",
            "--no-new-privs",
        ])
        .arg(env!("CARGO_BIN_EXE_acquit"))
        .args(["docker-broker", "--stdin", "--config"])
        .arg(config)
        .stdin(std::os::fd::OwnedFd::from(listener))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let sandbox = Sandbox::connect_path(socket);
    let (container, _) = sandbox.start(machine.start(1)).await.unwrap();
    assert!(sandbox.inspect(&container).await.unwrap().unwrap().current);
    let report = sandbox.probe(&machine.engine).await.unwrap();
    assert!(report.checks.iter().all(|it| it.held));
    sandbox.stop(&container).await.unwrap();
    broker.kill().await.unwrap();
}

#[tokio::test]
async fn docker_that_goes_away_is_told_and_found_again() {
    let machine = Machine::bare();
    let mut config = machine.config.clone();
    let real = std::mem::replace(
        &mut config.docker.socket,
        machine.config.storage.data_dir.join("docker.sock"),
    );
    let sandbox = Sandbox::direct(config.clone()).unwrap();
    for _ in 0..2 {
        let mut relay = JoinSet::new();
        let listener = UnixListener::bind(&config.docker.socket).unwrap();
        relay.spawn(pass_on(listener, real.clone()));
        until_found(&sandbox).await;
        relay.shutdown().await;
        std::fs::remove_file(&config.docker.socket).unwrap();
        let error = sandbox.list().await.unwrap_err();
        assert!(matches!(error, SandboxError::Unreachable { .. }), "{error}");
    }
}

#[tokio::test]
async fn docker_that_does_not_answer_is_not_waited_for() {
    let machine = Machine::bare();
    let mut config = machine.config.clone();
    config.docker.socket = config.storage.data_dir.join("docker.sock");
    config.docker.timeout_seconds = 1;
    let _silent = UnixListener::bind(&config.docker.socket).unwrap();
    let sandbox = Sandbox::direct(config).unwrap();
    let error = sandbox.info().await.unwrap_err();
    assert!(matches!(error, SandboxError::Unreachable { .. }), "{error}");
}

/// Waits out the pause after which Docker is looked for again.
async fn until_found(sandbox: &Sandbox) {
    let found = async {
        while sandbox.info().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(10), found).await;
    found.expect("Docker is found again");
}

async fn pass_on(listener: UnixListener, real: std::path::PathBuf) {
    let mut streams = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let real = real.clone();
        streams.spawn(async move {
            let mut far = UnixStream::connect(real).await.unwrap();
            // Cut off in the middle at the end of the test.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

/// The machine's configuration with a user that is here for certain.
fn root(machine: &Machine) -> Config {
    let mut config = machine.config.clone();
    config.docker.user = "daemon".to_owned();
    config
}

async fn wait_for(socket: &Path) {
    let listens = async {
        while UnixStream::connect(socket).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let listens = tokio::time::timeout(Duration::from_secs(10), listens).await;
    listens.expect("the broker listens");
}

fn open_to_all(socket: &Path) {
    let all = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(socket, all(0o666)).unwrap();
    std::fs::set_permissions(socket.parent().unwrap(), all(0o755)).unwrap();
}
