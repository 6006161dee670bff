//! A Docker Engine that goes away and returns.

use std::time::{Duration, Instant};

use super::cable::Cable;
use super::daemon::Daemon;
use super::engine::{Evil, Style};
use crate::machine::docker;

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
