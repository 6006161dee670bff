//! A data directory, a manifest, an image without anything in it, and a broker: all real.
//!
//! Needs root and a Docker Engine. Everything made carries a random name and goes with the value.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use acquit::config::Config;
use acquit::engine::sandbox::host::Host;
use acquit::engine::sandbox::{Sandbox, Start};
use acquit::model::{EngineId, SignatureSetId};

/// The signature set that every machine has.
pub const SET: &str = "0123456789abcdef";

/// One appliance's worth of directories, and its engine.
pub struct Machine {
    _temp: tempfile::TempDir,
    pub config: Config,
    pub engine: EngineId,
    pub host: Arc<Host>,
}

impl Machine {
    /// Makes everything but the image.
    pub fn bare() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut random = [0; 6];
        getrandom::fill(&mut random).unwrap();
        let id = format!("it-{}", hex::encode(random));
        let engine: EngineId = id.parse().unwrap();
        let mut config = Config::default();
        let top = temp.path();
        config.storage.data_dir = top.join("data");
        config.updates.network = id.clone();
        config.docker.runner = runner().to_owned();
        config.docker.broker_socket = top.join("broker.sock");
        config.engines.manifests = vec![top.join("engines")];
        config.engines.containers = top.join("containers");
        for dir in [
            "engines".to_owned(),
            format!("containers/{id}/empty"),
            format!("data/staging/{id}"),
            format!("data/runners/{id}"),
            format!("data/signatures/{id}/{SET}"),
        ] {
            std::fs::create_dir_all(top.join(dir)).unwrap();
        }
        std::fs::write(config.storage.staging_dir(&engine).join("file"), "staged").unwrap();
        let machine = Self {
            host: Arc::new(Host::open(config.clone()).unwrap()),
            _temp: temp,
            config,
            engine,
        };
        machine.write_manifest("");
        // A step that two images share goes with one of them while the other's build relies on it.
        let own = format!("FROM scratch\nLABEL own={id}\nCOPY empty /empty\n");
        machine.write_context(&own);
        machine
    }

    /// Makes everything, and builds the image.
    pub async fn new() -> Self {
        let machine = Self::bare();
        let sandbox = machine.sandbox();
        sandbox.build(&machine.engine, drop).await.unwrap();
        machine
    }

    /// Returns a client of a broker in this process.
    pub fn sandbox(&self) -> Sandbox {
        Sandbox::direct(self.config.clone()).unwrap()
    }

    /// Writes the engine's manifest, with more at its end.
    pub fn write_manifest(&self, more: &str) {
        let id = &self.engine;
        let text = format!(
            r#"
id = "{id}"
name = "Nothing"
vendor = "Nobody"
description = "Nothing"
[run]
transport = "command"
command = ["/acquit-runner", "--nothing", "{{files}}"]
[parse.exit]
complete = [0]
[parse.proof]
rule = "per-file"
[[parse.lines]]
pattern = '^(?<path>/\S+): OK$'
means = "undetected"
[signatures]
seed = "empty"
{more}
"#
        );
        let path = self.config.engines.manifests[0].join(format!("{id}.toml"));
        std::fs::write(path, text).unwrap();
    }

    /// Writes the engine's build context.
    pub fn write_context(&self, dockerfile: &str) {
        let context = self.config.engines.containers.join(self.engine.as_str());
        std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        std::fs::write(context.join("empty/.keep"), "").unwrap();
    }

    /// Returns a request for a container of the engine.
    pub fn start(&self, generation: u64) -> Start {
        Start {
            engine: self.engine.clone(),
            generation: format!("{generation:016x}"),
            signature_set: Some(SignatureSetId(SET.to_owned())),
            role: acquit::engine::sandbox::Role::Scan,
        }
    }

    /// Listens where the engine's runners call.
    pub fn listen(&self) -> tokio::net::UnixListener {
        let path = self.config.storage.runner_dir(&self.engine);
        let path = path.join("runner.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        listener
    }

    /// Lists Docker's containers with this machine's label.
    pub fn containers(&self) -> Vec<String> {
        let label = format!("label=acquit.instance={}", self.host.instance);
        let listed = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]);
        listed.lines().map(str::to_owned).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for container in self.containers() {
            docker(&["rm", "--force", &container]);
        }
        let tag = format!("acquit-engine-{}:local", self.engine);
        let _ = Command::new("docker").args(["rmi", &tag]).output();
        let network = self.config.updates.network.as_str();
        let remove = ["network", "rm", network];
        let _ = Command::new("docker").args(remove).output();
    }
}

/// Runs Docker's own client.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the static runner, built if need be.
fn runner() -> &'static Path {
    static RUNNER: OnceLock<PathBuf> = OnceLock::new();
    RUNNER.get_or_init(|| {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let arguments = "build --locked --package acquit-runner --profile runner --target";
        let built = Command::new(env!("CARGO"))
            .args(arguments.split(' '))
            .args([&target])
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .current_dir(top)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        top.join("target").join(target).join("runner/acquit-runner")
    })
}
