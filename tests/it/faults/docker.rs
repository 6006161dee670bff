//! A Docker Engine that goes away and returns.
//!
//! The broker talks to it through a socket of the test's, which can be cut.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::daemon::Daemon;
use super::engine::{Evil, Style};
use crate::machine::docker;

/// A socket behind which the Docker Engine is, as long as the value lives.
struct Cable {
    path: PathBuf,
    _relay: JoinSet<()>,
}

impl Cable {
    fn plug(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
        let mut relay = JoinSet::new();
        relay.spawn(relay_all(listener));
        Self {
            path: path.to_owned(),
            _relay: relay,
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}

async fn relay_all(listener: UnixListener) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut docker = UnixStream::connect("/var/run/docker.sock").await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut docker).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_engine_that_goes_away_costs_time_and_nothing_else() {
    let mut evil = Evil::new();
    evil.add(Style::Loud, 4);
    evil.build().await;
    let mut daemon = Daemon::new(&evil, |config, dir| {
        config.docker.socket = dir.join("docker.sock");
        config.docker.timeout_seconds = 5;
    });
    let socket = daemon.config.docker.socket.clone();
    let cable = Cable::plug(&socket);
    daemon.start();
    daemon.becomes_ready(true).await;
    let mut ids = Vec::new();
    for number in 0..12 {
        let text = format!("evil: sleep 100\n{number}");
        ids.push(daemon.upload(text.as_bytes()).await.unwrap());
    }
    // In the middle of a scan, with the containers, as when Docker itself is killed.
    drop(cable);
    kill_all(&daemon);
    ids.push(daemon.upload(b"while Docker is away").await.unwrap());
    daemon.becomes_ready(false).await;
    let waiting = daemon.analysis(&ids[12]).await;
    assert_ne!(waiting["status"], "completed", "{}", daemon.log());
    let cable = Cable::plug(&socket);
    for id in &ids {
        assert_eq!(
            daemon.verdicts(id).await,
            ["undetected"],
            "{}",
            daemon.log()
        );
    }
    daemon.becomes_ready(true).await;
    daemon.check_nothing_left();
    // A daemon that starts without Docker, and finds containers of before when it returns.
    daemon.kill();
    drop(cable);
    daemon.start();
    daemon.becomes_ready(false).await;
    let id = daemon.upload(b"before Docker is there").await.unwrap();
    let _cable = Cable::plug(&socket);
    assert_eq!(
        daemon.verdicts(&id).await,
        ["undetected"],
        "{}",
        daemon.log()
    );
    let until = Instant::now() + Duration::from_secs(60);
    while daemon.containers.list().len() != 1 {
        assert!(Instant::now() < until, "{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn kill_all(daemon: &Daemon) {
    for container in daemon.containers.list() {
        docker(&["kill", &container]);
    }
}
