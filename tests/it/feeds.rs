//! The update commands of the free engines for real: each image, a mirror on
//! this machine, and everything a mirror can do wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clamav;
pub mod mirror;
mod rules;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use acquit::engine::manifest::Manifest;
use serde_json::Value;
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An engine's candidate and cache, and how an update of it went.
struct Feed {
    manifest: Manifest,
    dir: TempDir,
}

/// What an update command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    /// The last line of stderr.
    reason: String,
}

impl Feed {
    /// Starts from the seed, as the daemon lays it out: everybody may replace, nobody change.
    fn new(engine: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manifest = crate::support::shipped(engine);
        for name in ["candidate", "cache", "source"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            let open = fs::Permissions::from_mode(0o777);
            fs::set_permissions(dir.path().join(name), open).unwrap();
        }
        let context = manifest.build_context(&root().join("containers"));
        let seed = context.join(&manifest.signatures.as_ref().unwrap().seed);
        for entry in fs::read_dir(seed).unwrap() {
            let entry = entry.unwrap();
            let to = dir.path().join("candidate").join(entry.file_name());
            fs::copy(entry.path(), &to).unwrap();
            fs::set_permissions(to, fs::Permissions::from_mode(0o444)).unwrap();
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { manifest, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the manifest's update command once, as an update container does.
    fn update(&self, sources: &Value) -> Said {
        let update = self.manifest.update.as_ref().unwrap();
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--read-only", "--user=65534:65534"]);
        docker.args(["--cap-drop=ALL", "--security-opt=no-new-privileges"]);
        docker.arg("--tmpfs=/tmp:rw,noexec,nosuid,nodev,size=64m");
        docker.arg(format!("--memory={}m", update.memory_mb));
        docker.arg(self.volume("candidate", "/candidate"));
        docker.arg(self.volume("cache", "/cache"));
        docker.arg(self.volume("source", "/sources/0:ro"));
        docker.arg(format!("--env=ACQUIT_SOURCES={sources}"));
        docker.arg(self.manifest.image_tag()).args(&update.command);
        let output = docker.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            reason: stderr.lines().last().unwrap_or_default().to_owned(),
        }
    }

    fn volume(&self, name: &str, at: &str) -> String {
        format!("--volume={}:{at}", self.path(name).display())
    }

    /// Updates, which must succeed, and returns what was printed.
    #[track_caller]
    fn updates(&self, sources: &Value) -> String {
        let said = self.update(sources);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.stdout
    }

    /// Updates, which must fail for a reason that has these words.
    #[track_caller]
    fn fails(&self, sources: &Value, words: &str) {
        let said = self.update(sources);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.reason.contains(words), "{words:?} is not in {said:#?}");
    }

    /// Returns the candidate's files by name.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path("candidate")).unwrap();
        let entries = entries.map(|entry| entry.unwrap());
        let read = |entry: fs::DirEntry| {
            assert!(entry.file_type().unwrap().is_file(), "{entry:?}");
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        };
        entries.map(read).collect()
    }

    fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    /// Runs a command in a scan container with the candidate as its signatures, and returns what
    /// it printed.
    fn with_set(&self, command: &[String], scan: &Path) -> String {
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--read-only", "--network=none"]);
        docker.args(["--user=65534:65534", "--tmpfs=/tmp"]);
        docker.arg(self.volume("candidate", "/signatures:ro"));
        docker.arg(format!("--volume={}:/scan:ro", scan.display()));
        docker.arg(self.manifest.image_tag()).args(command);
        crate::support::run(&mut docker)
    }

    /// Returns what the manifest's pattern reads as the version of the signatures.
    fn version(&self) -> Option<String> {
        let version = self.manifest.version.as_ref().unwrap();
        let printed = self.with_set(&version.command, self.dir.path());
        let pattern = regex::RegexBuilder::new(&version.pattern);
        let pattern = { pattern }.multi_line(true).build().unwrap();
        let found = pattern.captures(&printed).unwrap();
        assert!(found.name("engine").is_some(), "{printed}");
        found
            .name("signatures")
            .map(|text| text.as_str().to_owned())
    }
}

/// A number that changes whenever a file is written anew.
fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}
