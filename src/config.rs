//! One TOML file, one validated struct.
//!
//! `config/acquit.toml` spells out every default; a test holds the two together.
//! Secrets are never in it: the keys are in the store, as hashes.

mod collections;
mod schedule;
mod settings;
mod updates;
mod vendors;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

pub use collections::{Collections, Disputes, Login, Mail, MailSecurity, Notifications};
pub use schedule::Schedule;
pub use settings::{Setting, settings};
pub use updates::{EngineUpdates, Source, Updates};
pub use vendors::{ArchiveKind, Field, VendorChannel, VendorDirectory, VendorEntry};

/// Where the configuration lies unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/acquit/acquit.toml";

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The HTTP API.
    pub http: Http,
    /// Where things are kept.
    pub storage: Storage,
    /// Which engines there are and what they may use together.
    pub engines: Engines,
    /// How signatures are kept new.
    pub updates: Updates,
    /// What is kept of collections.
    pub collections: Collections,
    /// By which server mail leaves.
    pub mail: Mail,
    /// What the channels of notifications may do.
    pub notifications: Notifications,
    /// How vendors are told of false positives.
    pub disputes: Disputes,
    /// How people sign in.
    pub login: Login,
    /// Docker and the privileges around it.
    pub docker: Docker,
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Base of the absolute URLs handed out, e.g. `https://acquit.example.org`; from the request's
    /// `Host` header if empty.
    pub public_url: String,
    /// Host names answered besides IP addresses and `localhost`; guards against DNS rebinding.
    pub allowed_hosts: Vec<String>,
    /// Addresses of reverse proxies that say in `X-Forwarded-For` for whom they ask.
    pub trusted_proxies: Vec<IpAddr>,
    /// Largest file `POST /files` takes, in mebibytes; larger ones go to an upload URL.
    pub direct_upload_mb: u64,
    /// Largest file an upload URL takes, in mebibytes.
    pub upload_mb: u64,
    /// Requests a key may make a minute; 0 is no limit.
    pub requests_per_minute: u32,
    /// Connections open at the same time.
    pub connections: u32,
    /// Seconds within which a request's headers must have come.
    pub header_timeout_seconds: u64,
    /// Seconds of silence after which an upload is given up.
    pub body_timeout_seconds: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8440)),
            public_url: String::new(),
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            direct_upload_mb: 32,
            upload_mb: 20_480,
            requests_per_minute: 6000,
            connections: 1024,
            header_timeout_seconds: 10,
            body_timeout_seconds: 30,
        }
    }
}

/// Where things are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Directory of everything Acquit keeps; blobs, staging and signatures must share its file system.
    pub data_dir: PathBuf,
    /// Mebibytes that must stay free; below it uploads are refused with 507.
    pub reserve_mb: u64,
    /// Mebibytes of memory the database may use as a cache.
    pub cache_mb: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/acquit"),
            reserve_mb: 2048,
            cache_mb: 256,
        }
    }
}

/// Which engines there are and what they may use together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engines {
    /// Directories with manifests, `<id>.toml`; later ones win.
    pub manifests: Vec<PathBuf>,
    /// Directory with build contexts, `<id>/Dockerfile`.
    pub containers: PathBuf,
    /// Directory with what vendors' recipes need, `<id>/…`.
    pub installers: PathBuf,
    /// Optional engines and recipes that are to scan.
    pub enabled: Vec<String>,
    /// Engines that are not to scan.
    pub disabled: Vec<String>,
    /// Mebibytes of memory the running engines may be promised together; 0 is three quarters of the
    /// machine's.
    pub memory_mb: u64,
    /// Seconds without work after which an on-demand engine is stopped.
    pub idle_seconds: u64,
    /// Runs of a job that may fail before the failure is its verdict.
    pub attempts: u32,
    /// Files with the keys of servers outside, by engine.
    pub keys: BTreeMap<String, PathBuf>,
}

impl Default for Engines {
    fn default() -> Self {
        Self {
            manifests: vec![
                PathBuf::from("/usr/local/share/acquit/engines"),
                PathBuf::from("/etc/acquit/engines"),
            ],
            containers: PathBuf::from("/usr/local/share/acquit/containers"),
            installers: PathBuf::from("/etc/acquit/installers"),
            enabled: Vec::new(),
            disabled: Vec::new(),
            memory_mb: 0,
            idle_seconds: 300,
            attempts: 2,
            keys: BTreeMap::new(),
        }
    }
}

/// Docker and the privileges around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Docker {
    /// Docker Engine's socket; only the broker opens it.
    pub socket: PathBuf,
    /// The broker's socket, when it is a unit of its own.
    pub broker_socket: PathBuf,
    /// User the daemon becomes when started as root.
    pub user: String,
    /// The static `acquit-runner` that is mounted into every scan container.
    pub runner: PathBuf,
    /// Base image engine images are built on.
    pub base_image: String,
    /// Seconds any request to Docker may take; builds have no limit.
    pub timeout_seconds: u64,
    /// Arguments of every build, e.g. `https_proxy` or `PIP_INDEX_URL`.
    pub build_args: BTreeMap<String, String>,
}

impl Default for Docker {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/var/run/docker.sock"),
            broker_socket: PathBuf::from("/run/acquit/broker.sock"),
            user: "acquit".to_owned(),
            runner: PathBuf::from("/usr/local/lib/acquit/acquit-runner"),
            base_image: "acquit-base:local".to_owned(),
            timeout_seconds: 30,
            build_args: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// Says which file, which key and what would be right.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in the configuration {}", path.display()))
    }

    /// Parses and checks a configuration's text.
    ///
    /// # Errors
    /// Says which key is wrong and what would be right.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        let http = &self.http;
        anyhow::ensure!(
            http.direct_upload_mb > 0,
            "http.direct_upload_mb must be at least 1"
        );
        anyhow::ensure!(
            http.upload_mb >= http.direct_upload_mb,
            "http.upload_mb must be at least http.direct_upload_mb ({})",
            http.direct_upload_mb
        );
        anyhow::ensure!(http.connections > 0, "http.connections must be at least 1");
        anyhow::ensure!(
            self.engines.attempts > 0,
            "engines.attempts must be at least 1"
        );
        let data_dir = &self.storage.data_dir;
        anyhow::ensure!(
            data_dir.is_absolute(),
            "storage.data_dir must be an absolute path"
        );
        self.login.check(&http.public_url)?;
        self.updates.check(data_dir)
    }
}

impl Storage {
    /// Directory the engine's staged files are in; its container sees it at `/scan`.
    pub fn staging_dir(&self, engine: &crate::model::EngineId) -> PathBuf {
        self.data_dir.join("staging").join(engine.as_str())
    }

    /// Directory of the socket the engine's runners dial; its container sees it at `/run/acquit`.
    pub fn runner_dir(&self, engine: &crate::model::EngineId) -> PathBuf {
        self.data_dir.join("runners").join(engine.as_str())
    }

    /// Directory of the files the canary shows; its container sees it at `/scan`.
    pub fn canary_staging_dir(&self, engine: &crate::model::EngineId) -> PathBuf {
        self.data_dir
            .join("staging")
            .join(format!("{engine}.canary"))
    }

    /// Directory of the socket the canary's runners dial.
    pub fn canary_runner_dir(&self, engine: &crate::model::EngineId) -> PathBuf {
        self.data_dir
            .join("runners")
            .join(format!("{engine}.canary"))
    }

    /// Directory of the socket the runners of the engine's updates dial.
    pub fn update_runner_dir(&self, engine: &crate::model::EngineId) -> PathBuf {
        self.data_dir
            .join("runners")
            .join(format!("{engine}.update"))
    }

    /// Directory of the candidates that the engine's updates work on, one directory each.
    pub fn updates_dir(&self, engine: &crate::model::EngineId) -> PathBuf {
        self.data_dir.join("updates").join(engine.as_str())
    }

    /// Directory of a download cache; update containers see it at `/cache`.
    pub fn cache_dir(&self, cache: &str) -> PathBuf {
        self.data_dir.join("cache").join(cache)
    }

    /// Directory of all signature sets of the engine.
    pub fn sets_dir(&self, engine: &crate::model::EngineId) -> PathBuf {
        self.data_dir.join("signatures").join(engine.as_str())
    }

    /// Directory of one signature set; its container sees it at the manifest's `signatures.path`.
    pub fn signatures_dir(
        &self,
        engine: &crate::model::EngineId,
        set: &crate::model::SignatureSetId,
    ) -> PathBuf {
        self.sets_dir(engine).join(&set.0)
    }
}

impl Docker {
    /// How long any request to Docker may take.
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}
