//! A real `acquit serve`, as a process that can be killed, and a client of it.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use acquit::config::Config;
use acquit::model::ApiKey;
use acquit::system;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::engine::Evil;
use crate::flow::Containers;
use crate::http::appliance::{answer, client, file};

/// The user the daemon becomes: `nobody`.
const NOBODY: u32 = 65534;
/// Bound of everything that must happen at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// An appliance whose daemon comes and goes.
pub struct Daemon {
    pub config: Config,
    pub containers: Containers,
    pub client: Client,
    path: PathBuf,
    child: Option<Child>,
    _dir: tempfile::TempDir,
}

impl Daemon {
    /// Writes the configuration and an admin key; nothing is started.
    pub fn new(evil: &Evil, change: impl FnOnce(&mut Config, &Path)) -> Self {
        Self::with(|config, dir| {
            evil.configure(config);
            change(config, dir);
        })
    }

    /// As [`Self::new`], with whatever engines the configuration names.
    pub fn with(change: impl FnOnce(&mut Config, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut config = Config::default();
        config.http.listen = free_address();
        config.storage.data_dir = dir.path().join("data");
        config.storage.reserve_mb = 1;
        config.docker.user = "nobody".to_owned();
        config.updates.enabled = false;
        change(&mut config, dir.path());
        let data_dir = &config.storage.data_dir;
        let key = key();
        std::fs::create_dir_all(data_dir.join("keys.d")).unwrap();
        let line = format!("{} {} test\n", key.id().0, key.digest());
        std::fs::write(data_dir.join("keys.d/test.sha256"), line).unwrap();
        chown(data_dir, Some(NOBODY), Some(NOBODY)).unwrap();
        let instance = system::instance(data_dir).unwrap();
        let path = dir.path().join("acquit.toml");
        std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        Self {
            containers: Containers { instance },
            client: client(&key.reveal()),
            path,
            child: None,
            config,
            _dir: dir,
        }
    }

    /// Returns the admin key.
    pub fn key() -> String {
        key().reveal()
    }

    /// Starts the daemon; it is not ready yet.
    pub fn start(&mut self) {
        let mut log = std::fs::OpenOptions::new();
        let log = log.create(true).append(true);
        let log = log.open(self.path.with_extension("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_acquit"));
        command.arg("serve").arg("--config").arg(&self.path);
        command.stdin(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Kills the daemon as nothing can prevent, and waits until its broker has ended too.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Tells whether the process lives.
    pub fn is_alive(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Returns the URL of a path of the API.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.config.http.listen)
    }

    /// Waits until it says that it would scan, or that it would not.
    pub async fn becomes_ready(&mut self, ready: bool) {
        let wanted = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let until = Instant::now() + PATIENCE;
        loop {
            let asked = self.client.get(self.url("/readyz")).send().await;
            if asked.is_ok_and(|answer| answer.status() == wanted) {
                return;
            }
            assert!(self.is_alive(), "the daemon ended: {}", self.log());
            assert!(Instant::now() < until, "not {wanted}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Uploads a file; the id of its analysis, if it was acknowledged.
    pub async fn upload(&self, bytes: &[u8]) -> Result<String, Option<StatusCode>> {
        let upload = self.client.post(self.url("/api/v3/files"));
        let upload = upload.multipart(file("name", bytes)).send().await;
        let response = upload.map_err(|_| None)?;
        let status = response.status();
        let body: Value = response.json().await.map_err(|_| None)?;
        match status {
            StatusCode::OK => Ok(body["data"]["id"].as_str().unwrap().to_owned()),
            status => {
                assert!(body["error"]["code"].is_string(), "{status}: {body}");
                Err(Some(status))
            }
        }
    }

    /// Waits for an analysis and returns the category each engine gave, in order.
    pub async fn verdicts(&self, id: &str) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let attributes = self.analysis(id).await;
            if attributes["status"] == "completed" {
                let results = attributes["results"].as_object().unwrap();
                let category = |r: &Value| r["category"].as_str().unwrap().to_owned();
                return results.values().map(category).collect();
            }
            assert!(Instant::now() < until, "{attributes}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns an analysis' attributes as they are now.
    pub async fn analysis(&self, id: &str) -> Value {
        let get = self.client.get(self.url(&format!("/api/v3/analyses/{id}")));
        let (status, mut body) = answer(get).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["data"]["attributes"].take()
    }

    /// Returns what the daemon has written, for the words of a failure.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path.with_extension("log")).unwrap_or_default()
    }

    /// Checks that no half file and no staged file is left.
    pub fn check_nothing_left(&self) {
        let data_dir = &self.config.storage.data_dir;
        let incoming = super::hostile::names_in(&data_dir.join("incoming"));
        assert_eq!(incoming, Vec::<String>::new());
        for engine in std::fs::read_dir(data_dir.join("staging")).unwrap() {
            let staged = super::hostile::names_in(&engine.unwrap().path());
            assert_eq!(staged, Vec::<String>::new());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

fn key() -> ApiKey {
    ApiKey::new([7; 32])
}

fn free_address() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
