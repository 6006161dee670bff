//! A real c-icap, which has a real clamd scan what it is shown.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::icap::MANIFEST;
use super::lab::{ask, outside, words};
use crate::support;

const IMAGE: &str = "acquit-test-c-icap:local";

/// The container it runs in; dropped, it is gone.
struct Server {
    id: String,
    address: String,
}

impl Server {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let context = root.join("tests/fixtures/c-icap");
        let build = ["build", "--quiet", "--tag", IMAGE];
        support::run(Command::new("docker").args(build).arg(context));
        let signatures = root.join("containers/clamav/signatures");
        let mount = format!(
            "--mount=type=bind,src={},dst=/signatures,readonly",
            signatures.display()
        );
        let run = [
            "run",
            "--detach",
            "--label",
            "acquit.test=c-icap",
            &mount,
            IMAGE,
        ];
        let id = support::run(Command::new("docker").args(run));
        let format = "{{.NetworkSettings.IPAddress}}";
        let inspect = ["inspect", "--format", format, &id];
        let ip = support::run(Command::new("docker").args(inspect));
        Self {
            id,
            address: format!("{ip}:1344"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut remove = Command::new("docker");
        remove.args(["rm", "--force", "--volumes", &self.id]);
        let _ = remove.stdout(Stdio::null()).status();
    }
}

#[tokio::test]
async fn real_c_icap_with_clamav_is_asked() {
    let server = Server::start();
    let text = MANIFEST.replace("timeout_seconds = 2", "timeout_seconds = 30");
    let outside = outside(&text, &server.address);
    let mut versions = outside.versions().await;
    for _ in 0..100 {
        if versions.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        versions = outside.versions().await;
    }
    let versions = versions.unwrap();
    let service = versions.engine.unwrap();
    assert!(
        service.contains("C-ICAP") && service.contains("Antivirus"),
        "{service}"
    );
    assert!(versions.signatures.unwrap().starts_with("CI0001-"));

    let found = "malicious Acquit.Eicar-Test-File.UNOFFICIAL";
    assert_eq!(words(&ask(&outside, &support::eicar()).await), found);
    for clean in [
        &b"nothing to see here\n"[..],
        b"",
        &[7; 1023],
        &[7; 1024],
        &[7; 1025],
        &[9; 3 << 20],
    ] {
        let said = words(&ask(&outside, clean).await);
        assert_eq!(said, "undetected", "{} bytes", clean.len());
    }
}
