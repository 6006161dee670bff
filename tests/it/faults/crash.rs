//! The daemon killed at any moment, and engines' containers killed under it.

use std::time::Duration;

use super::daemon::Daemon;
use super::engine::{Evil, Style};
use crate::machine::docker;
use crate::support;

/// Lives of the daemon, all but the last ended by a kill.
const LIVES: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn killed_daemon_keeps_every_promise_and_takes_its_containers_over() {
    let mut evil = Evil::new();
    evil.add(Style::Loud, 8);
    evil.add(Style::Silent, 4);
    evil.build().await;
    let mut daemon = Daemon::new(&evil, |_, _| ());
    daemon.start();
    daemon.becomes_ready(true).await;
    let mut promised = Vec::new();
    for life in 0..LIVES {
        let uploading = upload_until_dead(&daemon, life);
        let moment = Duration::from_millis(100 + random() % 1200);
        let (uploaded, ()) = tokio::join!(uploading, kill_after(moment, daemon.pid()));
        promised.extend(uploaded);
        daemon.kill();
        daemon.start();
        daemon.becomes_ready(true).await;
    }
    assert!(promised.len() >= 20, "only {}", promised.len());
    for (id, expected) in &promised {
        assert_eq!(
            daemon.verdicts(id).await,
            [*expected; 2],
            "{}",
            daemon.log()
        );
    }
    daemon.check_nothing_left();
    let before = daemon.containers.list();
    assert_eq!(before.len(), 2, "{before:?}");
    daemon.kill();
    daemon.start();
    daemon.becomes_ready(true).await;
    assert_eq!(daemon.containers.list(), before, "{}", daemon.log());
}

/// Uploads files of all kinds until the daemon is gone; returns what was acknowledged.
async fn upload_until_dead(daemon: &Daemon, life: u64) -> Vec<(String, &'static str)> {
    let mut promised = Vec::new();
    for number in 0.. {
        let (mut bytes, expected) = match number % 4 {
            0 => (support::eicar(), "malicious"),
            1 => (b"evil: sleep 40\n".to_vec(), "undetected"),
            2 => (vec![b'a'; 3 << 20], "undetected"),
            _ => (b"good".to_vec(), "undetected"),
        };
        bytes.extend(format!("\n{life} {number}\n").bytes());
        match daemon.upload(&bytes).await {
            Ok(id) => promised.push((id, expected)),
            Err(None) => break,
            Err(Some(status)) => panic!("{status}: {}", daemon.log()),
        }
    }
    promised
}

async fn kill_after(moment: Duration, pid: u32) {
    tokio::time::sleep(moment).await;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

pub fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_ne_bytes(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn container_killed_in_the_middle_of_a_scan_costs_no_verdict() {
    let mut evil = Evil::new();
    evil.add(Style::Loud, 8);
    evil.build().await;
    let mut daemon = Daemon::new(&evil, |_, _| ());
    daemon.start();
    daemon.becomes_ready(true).await;
    for round in 0..2 {
        let mut ids = Vec::new();
        for number in 0..6 {
            let text = format!("evil: sleep 200\n{round} {number}");
            ids.push(daemon.upload(text.as_bytes()).await.unwrap());
        }
        let running = daemon.containers.list();
        for container in &running {
            docker(&["kill", container]);
        }
        for id in &ids {
            assert_eq!(
                daemon.verdicts(id).await,
                ["undetected"],
                "{}",
                daemon.log()
            );
        }
        assert_ne!(daemon.containers.list(), running);
    }
    daemon.check_nothing_left();
    assert_eq!(daemon.containers.list().len(), 1);
}
