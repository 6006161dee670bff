//! One engine in a place of its own, without a daemon, to try its manifest.
//!
//! The sandbox, the staging and the reading of answers are those of every scan;
//! only the directory they work in is temporary, and nothing is recorded.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tempfile::TempDir;

use super::ask::{Asked, Engine};
use super::budget::Budget;
use super::led::Led;
use super::manifest::Manifest;
use super::parser::Parser;
use super::resident::{self, Resident};
use super::runner::RunnerPort;
use super::sandbox::{Role, Sandbox};
use super::signatures;
use super::staging::{self, Shown, Staging};
use crate::config::Config;

/// One engine that nobody else asks.
#[derive(Debug)]
pub struct Trial {
    engine: Engine,
    port: Arc<RunnerPort>,
    dir: TempDir,
}

impl Trial {
    /// Makes the place; no container is started yet.
    ///
    /// # Errors
    /// If there is no Docker, no image of the engine, or no room.
    pub async fn open(mut config: Config, manifest: Manifest) -> anyhow::Result<Self> {
        // Containers mount what is in here; a path of its own keeps it from any daemon's.
        let dir = tempfile::Builder::new().prefix("acquit-try-").tempdir()?;
        config.storage.data_dir = dir.path().to_owned();
        let storage = config.storage.clone();
        let sandbox = Sandbox::direct(config.clone())?;
        let id = manifest.id.clone();
        let image = sandbox.image(&id).await?;
        image.with_context(|| format!("{id} has no image; run `acquit engines build {id}`"))?;
        let sentinel = dir.path().join("sentinel");
        staging::write_sentinel(&sentinel)?;
        let port = Arc::new(RunnerPort::bind(&storage.runner_dir(&id))?);
        let manifest = Arc::new(manifest);
        let resident = Resident::new(resident::Parts {
            manifest: Arc::clone(&manifest),
            sandbox,
            port: Arc::clone(&port),
            budget: Budget::new(manifest.limits.memory_mb),
            led: Led::default(),
            role: Role::Scan,
        });
        plant(&config, &manifest, &resident)?;
        let engine = Engine {
            parser: Parser::new(&manifest.parse)?,
            staging: Staging::open(&storage.staging_dir(&id), &sentinel)?,
            manifest,
            resident,
        };
        Ok(Self { engine, port, dir })
    }

    /// Shows files to the engine in one batch, and ends its container.
    ///
    /// # Errors
    /// If the files cannot be read or the container does not come up.
    pub async fn ask(&self, files: &[std::path::PathBuf]) -> anyhow::Result<Asked> {
        let shown = files.iter().enumerate();
        let shown = shown
            .map(|(number, path)| self.show(number, path))
            .collect::<anyhow::Result<Vec<Shown>>>()?;
        let asked = async {
            let lease = self.engine.resident.acquire().await?;
            let asked = self.engine.ask(&lease, shown).await;
            self.engine.resident.retire(lease).await;
            anyhow::Ok(asked)
        };
        let asked = tokio::select! {
            asked = asked => asked,
            () = self.port.serve() => anyhow::bail!("nobody listens to the container"),
        };
        self.engine.resident.retire_current().await;
        asked
    }

    /// Returns how many files one batch may have.
    pub fn most_files(&self) -> u64 {
        self.engine.most_files()
    }

    /// Copies a file to where it can be staged, as a blob would be kept.
    fn show(&self, number: usize, path: &Path) -> anyhow::Result<Shown> {
        let blob = self.dir.path().join(format!("file-{number}"));
        copy(path, &blob).with_context(|| format!("cannot read {}", path.display()))?;
        let extension = path.extension().and_then(|it| it.to_str());
        let allowed = &self.engine.manifest.run.extensions;
        let extension = extension.map(str::to_ascii_lowercase);
        Ok(Shown {
            blob,
            extension: extension.filter(|it| allowed.contains(it)),
        })
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::copy(from, to)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o444))
}

/// Gives the engine the first signature set of its build context.
fn plant(config: &Config, manifest: &Manifest, resident: &Resident) -> anyhow::Result<()> {
    let Some(spec) = &manifest.signatures else {
        return Ok(());
    };
    let seed = manifest.build_context(&config.engines.containers);
    let seed = seed.join(&spec.seed);
    let sets = config.storage.sets_dir(&manifest.id);
    let kept = signatures::import(&seed, &sets)
        .with_context(|| format!("cannot read the signatures in {}", seed.display()))?;
    resident.use_signatures(Some(kept.id));
    Ok(())
}
