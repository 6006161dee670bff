//! A disk that is full, and has room again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::daemon::Daemon;
use super::engine::{Evil, Style};
use crate::support::run;

const FULL: Option<StatusCode> = Some(StatusCode::INSUFFICIENT_STORAGE);

/// A file system of 96 MiB in a file.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn mount(dir: &Path) -> Self {
        let (image, path) = (dir.join("image"), dir.join("disk"));
        fs::create_dir(&path).unwrap();
        fs::File::create(&image).unwrap().set_len(96 << 20).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(&path));
        Self { path }
    }

    /// Takes room away; all there is, if no length is given.
    fn fill(&self, mebibytes: usize) -> PathBuf {
        let path = self.path.join(format!("filler-{mebibytes}"));
        let mut filler = fs::File::create(&path).unwrap();
        let chunk = vec![1; 1 << 16];
        for _ in 0..mebibytes * 16 {
            if filler.write_all(&chunk).is_err() {
                break;
            }
        }
        let _ = filler.sync_all();
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_refuses_loses_nothing_and_recovers() {
    let mut evil = Evil::new();
    evil.add(Style::Loud, 8);
    evil.build().await;
    let place = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place.path(), open).unwrap();
    let disk = Disk::mount(place.path());
    let mut daemon = Daemon::new(&evil, |config, _| {
        config.storage.data_dir = disk.path.join("data");
        config.storage.reserve_mb = 8;
        config.http.direct_upload_mb = 512;
    });
    daemon.start();
    daemon.becomes_ready(true).await;
    let large = vec![b'l'; 150 << 20];
    let refused = daemon.upload(&large).await.unwrap_err();
    // The refusal may be cut off by the reset of a connection that is still being written to.
    assert!(refused == FULL || refused.is_none(), "{refused:?}");
    daemon.check_nothing_left();
    let mut promised = Vec::new();
    let refused = loop {
        let bytes = [format!("{}", promised.len()).as_bytes(), &[b'x'; 5 << 20]].concat();
        match daemon.upload(&bytes).await {
            Ok(id) => promised.push(id),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, FULL, "{}", daemon.log());
    assert!((5..20).contains(&promised.len()), "{}", promised.len());
    daemon.becomes_ready(false).await;
    // An administrator's look at a file is written down first, which a full disk does not allow.
    let again = daemon.url(&format!(
        "/api/v3/files/{}/analyse",
        sha256_of(&promised[0], &daemon).await
    ));
    // What is kept in reserve goes too, while answers are still to be written.
    let filler = disk.fill(96);
    let again = daemon.client.post(again).send().await.unwrap().status();
    assert!(
        again == StatusCode::OK || Some(again) == FULL,
        "{again}: {}",
        daemon.log()
    );
    assert_eq!(daemon.upload(b"small").await, Err(FULL));
    assert!(daemon.is_alive());
    fs::remove_file(filler).unwrap();
    free_blobs(&daemon, &promised[3..]).await;
    let until = Instant::now() + Duration::from_secs(10);
    let id = loop {
        match daemon.upload(b"room again").await {
            Ok(id) => break id,
            Err(refused) => assert!(Instant::now() < until, "{refused:?}: {}", daemon.log()),
        }
    };
    assert_eq!(
        daemon.verdicts(&id).await,
        ["undetected"],
        "{}",
        daemon.log()
    );
    for id in &promised {
        assert_eq!(
            daemon.verdicts(id).await,
            ["undetected"],
            "{}",
            daemon.log()
        );
    }
    daemon.check_nothing_left();
}

/// Waits for analyses and takes their blobs away, as an operator's emergency.
async fn free_blobs(daemon: &Daemon, ids: &[String]) {
    for id in ids {
        assert_eq!(
            daemon.verdicts(id).await,
            ["undetected"],
            "{}",
            daemon.log()
        );
        let name = sha256_of(id, daemon).await;
        let blobs = daemon.config.storage.data_dir.join("blobs");
        fs::remove_file(blobs.join(&name[..2]).join(&name[2..4]).join(name)).unwrap();
    }
}

async fn sha256_of(id: &str, daemon: &Daemon) -> String {
    let get = daemon
        .client
        .get(daemon.url(&format!("/api/v3/analyses/{id}")));
    let (_, body) = crate::http::appliance::answer(get).await;
    body["meta"]["file_info"]["sha256"]
        .as_str()
        .unwrap()
        .to_owned()
}
