//! The pages, in a real browser: every page as everybody, and the whole story by pages only.
//!
//! What looks at them is `tests/web`, in Python: Chromium, driven by Playwright, with axe-core.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{python, runner};

/// Bound of the making of a world; it takes two minutes on two processors.
const PATIENCE: Duration = Duration::from_secs(900);

/// A script of `tests/web`, with the program and the runner that were built with this test.
fn script(name: &str) -> Command {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/web")
        .join(name);
    let mut command = Command::new(python());
    command.arg(script);
    command.env("ACQUIT_PROGRAM", env!("CARGO_BIN_EXE_acquit"));
    command.env("ACQUIT_RUNNER", runner());
    command
}

/// Runs a script, which must end well.
#[track_caller]
fn ends_well(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}\n{failed}",
        output.status
    );
}

/// Returns a port that nobody listens at.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A world that goes with the value.
struct World {
    child: Child,
    dir: tempfile::TempDir,
}

impl World {
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = script("world.py")
            .arg("--keep")
            .arg("--dir")
            .arg(dir.path().join("world"))
            .arg("--out")
            .arg(dir.path().join("world.json"))
            .args(["--port", &free_port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut world = Self { child, dir };
        world.wait();
        world
    }

    fn facts(&self) -> PathBuf {
        self.dir.path().join("world.json")
    }

    fn wait(&mut self) {
        let until = Instant::now() + PATIENCE;
        while !self.facts().is_file() {
            let ended = self.child.try_wait().unwrap();
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(ended.is_none(), "{ended:?}: {log}");
            assert!(Instant::now() < until, "no world yet: {log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It takes its containers with it, which a kill would leave.
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        let signal = nix::sys::signal::Signal::SIGTERM;
        if nix::sys::signal::kill(pid, signal).is_ok() {
            drop(self.child.wait());
        }
    }
}

#[test]
fn every_page_is_right_for_everybody_and_does_what_is_pressed() {
    let world = World::make();
    ends_well(script("pages.py").arg(world.facts()));
    // Last: the world is another one afterwards.
    ends_well(script("acts.py").arg(world.facts()));
}

#[test]
fn story_is_told_by_pages_only() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let stage = dir.path().join("stage");
    let port = free_port().to_string();
    ends_well(
        script("story.py")
            .arg("--dir")
            .arg(stage)
            .args(["--port", &port]),
    );
}
