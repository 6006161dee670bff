//! What several integration tests need.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use acquit::engine::manifest::Manifest;

/// Returns the path of the static runner, built if needed.
pub fn runner() -> PathBuf {
    static_directory().join("acquit-runner")
}

/// Returns the path of the static program that plays a hostile engine.
pub fn misbehave() -> PathBuf {
    static_directory().join("examples/misbehave")
}

/// Returns the path of the static program that does what the files it is given say.
pub fn evil() -> PathBuf {
    static_directory().join("examples/evil")
}

/// Returns the manifest of an engine that is shipped; reading all of them takes a second.
#[track_caller]
pub fn shipped(id: &str) -> Manifest {
    let engines = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines");
    Manifest::load(&engines.join(format!("{id}.toml"))).expect("the manifest is right")
}

/// Runs a command that must succeed and returns what it printed.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program is installed");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}: {stderr}");
    String::from_utf8_lossy(&stdout).trim().to_owned()
}

/// Builds the runner package as it is shipped: without any library of the image.
fn static_directory() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let build = ["build", "--locked", "--quiet", "--package", "acquit-runner"];
        run(Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(build)
            .args(["--profile", "runner", "--target", &target])
            .args(["--bins", "--examples"])
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"));
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
        let directory = directory.expect("the target directory");
        directory.join(target).join("runner")
    })
}

/// Returns the EICAR test file, put together here so that no copy lies in the repository.
pub fn eicar() -> Vec<u8> {
    let parts = [
        r"X5O!P%@AP[4\PZX54(P^)7CC)7}$",
        "EICAR-STANDARD-",
        "ANTIVIRUS-TEST-FILE!$H+H*",
    ];
    parts.concat().into_bytes()
}

/// Returns the Python that has what `tests/requirements.txt` lists, set up if needed.
pub fn python() -> &'static Path {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    READY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let environment = source.join("target/tools/venv");
        let python = environment.join("bin/python3");
        // Every test is a process of its own: one of them sets it up, the others wait.
        std::fs::create_dir_all(source.join("target/tools")).expect("a directory can be made");
        let lock = std::fs::File::create(source.join("target/tools/venv.lock"));
        let lock = nix::fcntl::Flock::lock(
            lock.expect("the lock can be made"),
            nix::fcntl::FlockArg::LockExclusive,
        );
        let _lock = lock.expect("the lock can be had");
        let knows = Command::new(&python)
            .args(["-c", "import vt, aiosmtpd, standardwebhooks, cryptography, playwright, axe_playwright_python"])
            .output();
        if !knows.is_ok_and(|output| output.status.success()) {
            // The system's Python, so that the environment outlives any other one.
            let make = ["-m", "venv", "--clear"];
            run(Command::new("/usr/bin/python3").args(make).arg(environment));
            run(Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--requirement"])
                .arg(source.join("tests/requirements.txt")));
        }
        python
    })
}
