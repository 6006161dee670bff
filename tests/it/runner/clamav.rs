//! The real clamd, reached through the runner, with the signatures that are shipped.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use acquit::engine::clamd::{self, ClamdSession};
use acquit::engine::runner::DialError;
use tokio::net::UnixStream;

use super::container::{Container, clamav};
use super::measure::median;
use crate::support;

const SOCKET: &str = "/tmp/clamd.sock";
const WAIT: Duration = Duration::from_secs(20);
const ROUNDS: usize = 200;

async fn dial(container: &Container) -> UnixStream {
    let began = Instant::now();
    loop {
        match container.session().await.dial(SOCKET).await {
            Ok(stream) => return stream,
            Err(DialError::Refused { .. }) if began.elapsed() < WAIT => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn stage(container: &Container, name: &str, bytes: &[u8]) -> String {
    let path = container.directory.path().join("staging").join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
    format!("/scan/{name}")
}

#[tokio::test]
async fn clamd_answers_for_the_very_file_asked() {
    let container = clamav();
    clamd::ping(dial(&container).await, WAIT).await.unwrap();
    let version = clamd::version(dial(&container).await, WAIT).await.unwrap();
    assert!(
        version.engine.starts_with(|c: char| c.is_ascii_digit()),
        "{version:?}"
    );
    let files = [
        (stage(&container, "0a", b"nothing to see\n"), "undetected"),
        (stage(&container, "0b", &support::eicar()), "malicious"),
        (stage(&container, "0c", b""), "undetected"),
        ("/scan/missing".to_owned(), "failure"),
    ];
    let mut session = ClamdSession::open(dial(&container).await).await.unwrap();
    for (path, category) in &files {
        let alone = clamd::scan(dial(&container).await, path, WAIT)
            .await
            .unwrap();
        assert_eq!(alone.verdict.category(), *category, "{path}");
        assert_eq!(session.scan(path, WAIT).await.unwrap(), alone);
    }
}

#[tokio::test]
async fn session_is_quicker_than_a_connection_for_each_file() {
    let container = clamav();
    let path = stage(&container, "0a", b"nothing to see\n");
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    let mut session = ClamdSession::open(dial(&container).await).await.unwrap();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        clamd::scan(dial(&container).await, &path, WAIT)
            .await
            .unwrap();
        alone.push(began.elapsed());
        let began = Instant::now();
        session.scan(&path, WAIT).await.unwrap();
        together.push(began.elapsed());
    }
    println!(
        "p50: clamd alone {:?}, in a session {:?}",
        median(alone),
        median(together)
    );
}
