//! One container with the runner, mounted as the sandbox mounts it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Once};
use std::time::Duration;

use acquit::engine::runner::{Exec, Finished, RunnerPort, Session};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support;

/// An image without a single file.
pub const EMPTY: &str = "acquit-test-empty:local";
const CLAMAV: &str = "acquit-engine-clamav:local";
const ENGINE: &str = "/engine";
const GENERATION: &str = "0123456789abcdef";

/// A container, the daemon's end of its wire, and the directories between them.
#[derive(Debug)]
pub struct Container {
    pub id: String,
    pub port: Arc<RunnerPort>,
    pub directory: TempDir,
    pub tasks: JoinSet<()>,
}

impl Container {
    /// Starts one that holds nothing else, with these arguments of the runner.
    pub fn start(arguments: &[&str]) -> Self {
        empty_image();
        Self::start_from(EMPTY, |_| {}, arguments)
    }

    fn start_from(image: &str, adapt: impl FnOnce(&mut Command), arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = Arc::new(RunnerPort::bind(&directory.path().join("runner")).unwrap());
        let mut tasks = JoinSet::new();
        let accepting = Arc::clone(&port);
        tasks.spawn(async move { accepting.serve().await });
        let mut command = docker_run(directory.path());
        adapt(&mut command);
        let id = support::run(command.arg(image).args(arguments));
        Self {
            id,
            port,
            directory,
            tasks,
        }
    }

    /// Takes one of the runner's connections.
    pub async fn session(&self) -> Session {
        let session = timeout(Duration::from_secs(10), self.port.session(GENERATION)).await;
        session.expect("the runner dials")
    }

    /// Runs the misbehaving engine with ample limits.
    pub async fn engine(&self, arguments: &[&str]) -> Finished {
        let request = engine(arguments);
        self.session().await.exec(request).await.unwrap()
    }

    /// Waits until that many processes live in the container, the one that looks included.
    pub async fn settles_at(&self, expected: &str) {
        let mut seen = String::new();
        for _ in 0..50 {
            let finished = self.engine(&["processes"]).await;
            seen = String::from_utf8(finished.stdout)
                .unwrap()
                .trim()
                .to_owned();
            if seen == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("living and dead processes: {seen}, expected {expected}");
    }

    /// Asks Docker.
    pub fn inspect(&self, format: &str) -> String {
        support::run(docker().args(["inspect", "--format", format, &self.id]))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker()
            .args(["rm", "--force", "--volumes", &self.id])
            .stdout(Stdio::null())
            .status();
    }
}

/// Starts clamd with the signatures that are shipped.
pub fn clamav() -> Container {
    let known = docker()
        .args(["image", "inspect", CLAMAV])
        .output()
        .unwrap();
    assert!(
        known.status.success(),
        "build it first: acquit engines build clamav"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let signatures = root.join("containers/clamav/signatures");
    let adapt = |command: &mut Command| {
        mount(command, &signatures, "/signatures");
        command.args(["--memory=1g", "--memory-swap=1g"]);
    };
    let clamd = ["clamd", "--config-file=/etc/clamav/clamd.conf"];
    let arguments = ["--connections", "4", "--daemon", "--", clamd[0], clamd[1]];
    Container::start_from(CLAMAV, adapt, &arguments)
}

/// Makes a request that runs the misbehaving engine with ample limits.
pub fn engine(arguments: &[&str]) -> Exec {
    let command = std::iter::once(&ENGINE).chain(arguments);
    Exec {
        command: command.map(|argument| (*argument).to_owned()).collect(),
        env: Vec::new(),
        timeout: Duration::from_secs(20),
        output_bytes: 1 << 20,
    }
}

pub fn docker() -> Command {
    Command::new("docker")
}

/// What the sandbox does, as flags of the command line.
pub fn hardened() -> Vec<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let profile = format!("--security-opt=seccomp={root}/src/engine/sandbox/seccomp.json");
    let flags = [
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--user=65534:65534",
        "--pids-limit=64",
        "--memory=64m",
        "--memory-swap=64m",
        "--tmpfs=/tmp:rw,noexec,nosuid,nodev,size=16m,mode=1777",
        &profile,
    ];
    flags.map(str::to_owned).to_vec()
}

fn docker_run(directory: &Path) -> Command {
    let staging = directory.join("staging");
    std::fs::create_dir(&staging).unwrap();
    std::fs::set_permissions(&staging, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = docker();
    command
        .args(["run", "--detach", "--label", "acquit.test=runner"])
        .args(hardened())
        .args(["--log-driver=json-file", "--entrypoint=/acquit-runner"])
        .args(["--env", &format!("ACQUIT_GENERATION={GENERATION}")]);
    mount(&mut command, &support::runner(), "/acquit-runner");
    mount(&mut command, &support::misbehave(), ENGINE);
    mount(&mut command, &directory.join("runner"), "/run/acquit");
    mount(&mut command, &staging, "/scan");
    command
}

/// Mounts a file or directory read-only.
pub fn mount(command: &mut Command, from: &Path, to: &str) {
    let from = from.display();
    command.arg(format!("--mount=type=bind,src={from},dst={to},readonly"));
}

/// Makes that image, if it is not there.
pub fn empty_image() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let known = docker().args(["image", "inspect", EMPTY]).output().unwrap();
        if known.status.success() {
            return;
        }
        // An archive's end is two blocks of zeroes.
        let archive = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(archive.path(), [0; 1024]).unwrap();
        support::run(docker().arg("import").arg(archive.path()).arg(EMPTY));
    });
}
