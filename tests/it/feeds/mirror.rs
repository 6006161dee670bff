//! A mirror for update containers: `tests/mirror.py` on this machine, with faults by request.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

/// A mirror with files of its own, on a port of its own; it ends with the value.
#[derive(Debug)]
pub struct Mirror {
    dir: TempDir,
    server: Child,
    port: u16,
}

impl Mirror {
    /// Starts a mirror without any file.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (root, state) = (dir.path().join("root"), dir.path().join("state"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&state).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mirror.py");
        let mut server = Command::new("/usr/bin/env")
            .args(["python3", script])
            .args([&root, &state])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let printed = server.stdout.take().unwrap();
        BufReader::new(printed).read_line(&mut port).unwrap();
        let port = port.trim().parse().unwrap();
        Self { dir, server, port }
    }

    /// Returns the URL of a path, as a container on Docker's bridge reaches it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", gateway(), self.port)
    }

    /// Serves these bytes at a path from now on.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let file = self.root(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let before = fs::metadata(&file).and_then(|old| old.modified());
        fs::write(&file, bytes).unwrap();
        if let Ok(before) = before {
            // Dates of HTTP have whole seconds: what is new must be so by its date too.
            let now = SystemTime::now().max(before) + Duration::from_secs(2);
            fs::File::options()
                .write(true)
                .open(file)
                .unwrap()
                .set_modified(now)
                .unwrap();
        }
    }

    /// Serves nothing at a path from now on.
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.root(path)).unwrap();
    }

    /// Spoils the answers for a path, `*` for all; the kinds are those of `tests/mirror.py`.
    pub fn fault(&self, path: &str, kind: &str) {
        let mut faults = self.faults();
        faults.insert(path.to_owned(), kind.to_owned());
        self.write(&faults);
    }

    /// Answers as it should from now on.
    pub fn heal(&self) {
        self.write(&BTreeMap::new());
    }

    /// Returns what it was asked since the last time: `path`, `status`, and the headers in `asked`.
    pub fn requests(&self) -> Vec<Value> {
        let path = self.state("requests");
        let text = fs::read_to_string(&path).unwrap_or_default();
        drop(fs::remove_file(path));
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn faults(&self) -> BTreeMap<String, String> {
        let text = fs::read(self.state("faults.json"));
        text.map_or_else(
            |_| BTreeMap::new(),
            |text| serde_json::from_slice(&text).unwrap(),
        )
    }

    fn write(&self, faults: &BTreeMap<String, String>) {
        // The server may read at any time.
        let part = self.state("faults.part");
        fs::write(&part, serde_json::to_vec(faults).unwrap()).unwrap();
        fs::rename(part, self.state("faults.json")).unwrap();
    }

    fn root(&self, path: &str) -> PathBuf {
        let below = path.trim_start_matches('/');
        self.dir.path().join("root").join(below)
    }

    fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join("state").join(name)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// Returns the address at which containers on Docker's bridge reach this machine.
fn gateway() -> String {
    let format = "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}}{{end}}";
    let inspect = ["network", "inspect", "bridge", "--format", format];
    let said = crate::support::run(Command::new("docker").args(inspect));
    let mut words = said.split_whitespace();
    let first = words.next().unwrap();
    // Older engines do not name the gateway: it is the first address.
    match first.split_once('/') {
        Some((subnet, _)) => format!("{}.1", subnet.rsplit_once('.').unwrap().0),
        None => first.to_owned(),
    }
}

/// Returns a directory of real, signed databases of ClamAV: `test-1.cvd` to `test-6.cvd` and
/// `test-2.cdiff` to `test-6.cdiff`, from the source package that Debian ships.
pub fn clamav_databases() -> PathBuf {
    static READY: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    READY.get_or_init(fetch_databases).clone()
}

fn fetch_databases() -> PathBuf {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/clamav-databases");
    if !kept.join("test-6.cvd").is_file() {
        let tools = kept.parent().unwrap();
        fs::create_dir_all(tools).unwrap();
        let work = tempfile::tempdir_in(tools).unwrap();
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/feeds/databases"
        );
        crate::support::run(Command::new(script).arg(work.path()));
        // Tests run at the same time: who is second finds it there.
        let moved = fs::rename(work.path().join("databases"), &kept);
        assert!(moved.is_ok() || kept.join("test-6.cvd").is_file());
    }
    kept
}
