//! The daemon's end against runners that do what a hostile container could.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use acquit_runner::wire::{Exited, Hello, PROTOCOL, Reply, Request};
use serde::Serialize;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;

const GENERATION: &str = "0123456789abcdef";
const SOON: Duration = Duration::from_millis(200);

struct Port {
    port: Arc<RunnerPort>,
    directory: TempDir,
    tasks: JoinSet<()>,
}

fn port() -> Port {
    let directory = tempfile::tempdir().unwrap();
    let port = Arc::new(RunnerPort::bind(directory.path()).unwrap());
    let mut tasks = JoinSet::new();
    let accepting = Arc::clone(&port);
    tasks.spawn(async move { accepting.serve().await });
    Port {
        port,
        directory,
        tasks,
    }
}

impl Port {
    async fn dial(&self) -> UnixStream {
        let path = self.directory.path().join("runner.sock");
        UnixStream::connect(path).await.unwrap()
    }

    /// Dials as a runner that says it is of that generation.
    async fn greet(&self, protocol: u32, generation: &str) -> UnixStream {
        let mut stream = self.dial().await;
        let generation = generation.to_owned();
        let hello = Hello {
            protocol,
            generation,
        };
        wire::write(&mut stream, &hello).await.unwrap();
        stream
    }

    async fn session(&self) -> Session {
        self.port.session(GENERATION).await
    }

    async fn no_session(&self) {
        assert!(timeout(SOON, self.session()).await.is_err());
    }

    /// Has a runner that answers every request with these bytes, then keeps silent.
    async fn answering(&mut self, answer: Vec<u8>) {
        let mut runner = self.greet(PROTOCOL, GENERATION).await;
        self.tasks.spawn(async move {
            while wire::read::<Request>(&mut runner).await.is_ok() {
                if runner.write_all(&answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn frame(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write(&mut bytes, message).await.unwrap();
    bytes
}

fn exited(stdout_bytes: u64) -> Reply {
    Reply::Exited(Exited {
        code: Some(0),
        signal: None,
        timed_out: false,
        flooded: false,
        oom_kills: 0,
        duration_us: 1,
        peak_memory_kb: 1,
        stdout_bytes,
        stderr_bytes: 0,
    })
}

fn request() -> Exec {
    Exec {
        command: vec!["engine".to_owned()],
        env: Vec::new(),
        timeout: Duration::from_millis(100),
        output_bytes: 10,
    }
}

async fn closed(mut stream: UnixStream) {
    let mut rest = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn answer_comes_with_its_output_and_the_connection_is_used_again() {
    let mut port = port();
    let mut answer = frame(&exited(5)).await;
    answer.extend_from_slice(b"clean");
    port.answering(answer).await;
    for _ in 0..3 {
        let finished = port.session().await.exec(request()).await.unwrap();
        assert_eq!(finished.stdout, b"clean");
        assert_eq!(finished.exited.code, Some(0));
    }
}

/// Returns the frame by which a runner tells of output, with the output.
async fn said(stdout: &[u8], stderr: &[u8]) -> Vec<u8> {
    let head = Reply::Said {
        stdout_bytes: stdout.len() as u64,
        stderr_bytes: stderr.len() as u64,
    };
    [&*frame(&head).await, stdout, stderr].concat()
}

#[tokio::test]
async fn output_is_heard_while_the_command_runs() {
    let mut port = port();
    let mut answer = said(b"cl", b"").await;
    answer.extend(said(b"ean", b"oops").await);
    answer.extend(frame(&exited(5)).await);
    answer.extend_from_slice(b"clean");
    port.answering(answer).await;
    for _ in 0..2 {
        let mut parts = Vec::new();
        let mut heard = |stdout: &[u8], stderr: &[u8]| parts.push([stdout, stderr].concat());
        let session = port.session().await;
        let finished = session.exec_heard(request(), &mut heard).await.unwrap();
        assert_eq!(finished.stdout, b"clean");
        assert_eq!(parts, [&b"cl"[..], b"eanoops"]);
    }
}

#[tokio::test]
async fn output_that_nobody_asked_for_or_without_end_is_refused() {
    let much = said(b"0123456789", b"").await;
    let cases = [
        (false, said(b"x", b"").await),
        (true, said(b"", b"").await),
        (true, said(b"01234567890", b"").await),
        (true, [&*much, &said(b"x", b"").await].concat()),
    ];
    for (listens, answer) in cases {
        let mut port = port();
        port.answering(answer).await;
        let session = port.session().await;
        let lost = match listens {
            true => session.exec_heard(request(), &mut |_, _| ()).await,
            false => session.exec(request()).await,
        };
        let senseless = matches!(lost, Err(SessionLost::Senseless { .. }));
        assert!(senseless, "{lost:?}");
        port.no_session().await;
    }
}

#[tokio::test]
async fn more_output_than_asked_for_is_refused() {
    let mut port = port();
    port.answering(frame(&exited(11)).await).await;
    let lost = port.session().await.exec(request()).await;
    assert!(
        matches!(lost, Err(SessionLost::Senseless { .. })),
        "{lost:?}"
    );
    port.no_session().await;
}

#[tokio::test]
async fn answer_of_another_kind_or_garbage_is_refused() {
    let long = b"\xff\xff\xff\xff".to_vec();
    let garbage = b"\0\0\0\x04nope".to_vec();
    let cut = b"\0\0\0\x02{\"".to_vec();
    for answer in [
        frame(&Reply::Pong { memory_bytes: None }).await,
        frame(&Reply::Dialed).await,
        long,
        garbage,
        cut,
    ] {
        let mut port = port();
        port.answering(answer).await;
        let lost = port.session().await.exec(request()).await;
        assert!(
            matches!(lost, Err(SessionLost::Senseless { .. })),
            "{lost:?}"
        );
        port.no_session().await;
    }
}

#[tokio::test]
async fn output_that_ends_too_early_is_no_answer() {
    let port = port();
    let mut runner = port.greet(PROTOCOL, GENERATION).await;
    let session = port.session().await;
    let answer = async {
        let _: Request = wire::read(&mut runner).await.unwrap();
        runner.write_all(&frame(&exited(5)).await).await.unwrap();
        runner.write_all(b"cle").await.unwrap();
        drop(runner);
    };
    let (lost, ()) = tokio::join!(session.exec(request()), answer);
    assert!(matches!(lost, Err(SessionLost::Closed(_))), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn runner_that_never_answers_is_given_up_on() {
    let port = port();
    let runner = port.greet(PROTOCOL, GENERATION).await;
    let lost = port.session().await.exec(request()).await;
    assert!(matches!(lost, Err(SessionLost::Silent { .. })), "{lost:?}");
    closed(runner).await;
}

#[tokio::test]
async fn request_given_up_closes_its_connection() {
    let port = port();
    let runner = port.greet(PROTOCOL, GENERATION).await;
    let running = port.session().await.exec(request());
    assert!(timeout(Duration::from_millis(20), running).await.is_err());
    closed(runner).await;
    port.no_session().await;
}

#[tokio::test]
async fn refused_request_leaves_the_connection_in_order() {
    let mut port = port();
    let reason = "there is no such socket".to_owned();
    port.answering(frame(&Reply::Refused { reason }).await)
        .await;
    let refused = port.session().await.exec(request()).await;
    assert!(matches!(refused, Err(SessionLost::Refused { .. })));
    let refused = port.session().await.dial("/tmp/x").await;
    assert!(matches!(refused, Err(DialError::Refused { .. })));
}

#[tokio::test]
async fn dialed_connection_loses_no_byte_that_follows() {
    let mut port = port();
    let mut answer = frame(&Reply::Dialed).await;
    answer.extend_from_slice(b"banner");
    port.answering(answer).await;
    let mut stream = port.session().await.dial("/tmp/x").await.unwrap();
    let mut banner = [0; 6];
    stream.read_exact(&mut banner).await.unwrap();
    assert_eq!(&banner, b"banner");
}

#[tokio::test]
async fn gone_and_talkative_runners_are_not_handed_out() {
    let port = port();
    drop(port.greet(PROTOCOL, GENERATION).await);
    let mut talkative = port.greet(PROTOCOL, GENERATION).await;
    talkative.write_all(b"x").await.unwrap();
    port.no_session().await;
    let _runner = port.greet(PROTOCOL, GENERATION).await;
    port.session().await;
}

#[tokio::test]
async fn other_protocols_and_garbage_are_turned_away() {
    let port = port();
    closed(port.greet(PROTOCOL + 1, GENERATION).await).await;
    closed(port.greet(PROTOCOL, &"x".repeat(65)).await).await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0\0\x02[]", b"\0\0\0\0"] {
        let mut stream = port.dial().await;
        stream.write_all(garbage).await.unwrap();
        closed(stream).await;
    }
}

#[tokio::test]
async fn late_hello_is_not_waited_for() {
    let port = port();
    let mut silent = port.dial().await;
    let mut byte = [0];
    let wait = Duration::from_secs(4);
    let read = timeout(wait, silent.read(&mut byte)).await.unwrap();
    assert_eq!(read.unwrap(), 0);
}

#[tokio::test]
async fn forgotten_generation_is_closed_now_and_later() {
    let port = port();
    let idle = port.greet(PROTOCOL, GENERATION).await;
    let in_use = port.greet(PROTOCOL, GENERATION).await;
    drop(port.session().await);
    let _other = port.greet(PROTOCOL, "other").await;
    port.port.forget(GENERATION);
    closed(idle).await;
    closed(in_use).await;
    closed(port.greet(PROTOCOL, GENERATION).await).await;
    port.no_session().await;
    port.port.session("other").await;
}

#[tokio::test]
async fn connections_are_bounded_and_their_places_come_back() {
    let port = port();
    let mut crowd = Vec::new();
    for _ in 0..64 {
        crowd.push(port.greet(PROTOCOL, "crowd").await);
    }
    tokio::time::sleep(SOON).await;
    closed(port.greet(PROTOCOL, GENERATION).await).await;
    crowd.clear();
    let _runner = port.greet(PROTOCOL, GENERATION).await;
    port.session().await;
}

#[tokio::test]
async fn directory_is_kept_and_only_a_stale_socket_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine");
    drop(RunnerPort::bind(&path).unwrap());
    let inode = std::fs::metadata(&path).unwrap().ino();
    let _port = RunnerPort::bind(&path).unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.ino(), inode);
    assert_eq!(metadata.permissions().mode() & 0o777, 0o755);
    let socket = path.join("runner.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "something").unwrap();
    assert!(RunnerPort::bind(&path).is_err());
}
