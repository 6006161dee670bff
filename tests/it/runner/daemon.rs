//! Engines with a daemon of their own, and Acquit's own daemon coming and going.

use std::sync::Arc;
use std::time::{Duration, Instant};

use acquit::engine::runner::{DialError, RunnerPort};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::container::{Container, docker};

const SOCKET: &str = "/tmp/engine.sock";

async fn reversed(container: &Container, text: &[u8]) -> Vec<u8> {
    let mut stream = loop {
        match container.session().await.dial(SOCKET).await {
            Ok(stream) => break stream,
            Err(DialError::Refused { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    };
    stream.write_all(text).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn engine_s_own_socket_is_reached_through_the_runner() {
    let arguments = [
        "--connections",
        "2",
        "--daemon",
        "--",
        "/engine",
        "listen",
        SOCKET,
    ];
    let container = Container::start(&arguments);
    for _ in 0..20 {
        assert_eq!(reversed(&container, b"abc").await, b"cba");
    }
    let long = vec![b'x'; 3 << 20];
    assert_eq!(reversed(&container, &long).await, long);
    // The daemon survives commands beside it and what they leave behind.
    let finished = container.engine(&["escape-and-end"]).await;
    assert_eq!(finished.exited.code, Some(0));
    assert_eq!(reversed(&container, b"abc").await, b"cba");
}

#[tokio::test]
async fn container_dies_with_the_engine_s_daemon_and_says_why() {
    let container = Container::start(&["--daemon", "--", "/engine", "end-as-daemon"]);
    let code = crate::support::run(docker().args(["wait", &container.id]));
    assert_eq!(code, "3");
    let logs = docker().args(["logs", &container.id]).output().unwrap();
    let logs = String::from_utf8_lossy(&logs.stderr).into_owned();
    assert!(logs.contains("ended with code 3"), "{logs}");
    assert!(logs.contains("the signatures are broken"), "{logs}");
}

#[tokio::test]
async fn refusal_to_dial_repeats_the_daemon_s_last_words() {
    let arguments = ["--daemon", "--", "/engine", "listen", "/none/x"];
    let container = Container::start(&["--connections", "1"]);
    let refused = container.session().await.dial(SOCKET).await.unwrap_err();
    assert!(refused.to_string().contains("No such file"), "{refused}");
    drop(container);
    let container = Container::start(&arguments);
    let refused = container.session().await.dial(SOCKET).await.unwrap_err();
    assert!(refused.to_string().contains("listening"), "{refused}");
}

#[tokio::test]
async fn container_outlives_the_daemon_and_finds_it_again() {
    let mut container = Container::start(&["--connections", "2"]);
    container.engine(&["print", "0"]).await;
    container.tasks.shutdown().await;
    let path = container.directory.path().join("runner");
    container.port = Arc::new(RunnerPort::bind(&path).unwrap());
    let accepting = Arc::clone(&container.port);
    container
        .tasks
        .spawn(async move { accepting.serve().await });
    let began = Instant::now();
    assert_eq!(container.engine(&["print", "5"]).await.exited.code, Some(5));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn ping_tells_the_memory_of_the_container() {
    let container = Container::start(&["--connections", "1"]);
    let used = container.session().await.ping().await.unwrap();
    let used = used.expect("the container shows what it uses");
    assert!((64 << 10..64 << 20).contains(&used), "{used}");
}

#[tokio::test]
async fn container_ends_at_once_when_it_is_told_to() {
    let container = Container::start(&["--connections", "1"]);
    container.session().await.ping().await.unwrap();
    let began = Instant::now();
    crate::support::run(docker().args(["stop", "--time", "8", &container.id]));
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "143");
}
