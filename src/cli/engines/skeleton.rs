//! `acquit engines new`: the two files with which an engine begins.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::super::Context;
use super::super::exit::{Exit, UsageError};
use super::super::text::{emit, emit_json};
use super::catalog;
use crate::model::EngineId;

const MANIFEST: &str = include_str!("skeleton/manifest.toml");
const DOCKERFILE: &str = include_str!("skeleton/Dockerfile");

/// What to write.
#[derive(Debug, clap::Args)]
pub struct NewArguments {
    /// Id of the engine: 1 to 40 of a-z, 0-9 and -
    id: EngineId,
    /// Directory for the manifest [default: the last of engines.manifests]
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// Directory for the build context [default: engines.containers]
    #[arg(long, value_name = "DIR")]
    containers: Option<PathBuf>,
}

/// Writes the skeleton; nothing that is there is overwritten.
///
/// # Errors
/// If one of the files is there already or cannot be written.
pub fn run(context: &Context, arguments: &NewArguments) -> anyhow::Result<Exit> {
    let engines = catalog::config(context)?.engines;
    let last = engines.manifests.last().cloned().unwrap_or_default();
    let manifests = arguments.manifests.clone().unwrap_or(last);
    let containers = arguments.containers.clone();
    let containers = containers.unwrap_or(engines.containers);
    let id = &arguments.id;
    let manifest = manifests.join(format!("{id}.toml"));
    let dockerfile = containers.join(id.as_str()).join("Dockerfile");
    for path in [&manifest, &dockerfile] {
        if path.exists() {
            let message = format!("{} is there already; nothing was written", path.display());
            return Err(UsageError(message).into());
        }
    }
    write(&manifest, &MANIFEST.replace("{id}", id.as_str()))?;
    write(&dockerfile, &DOCKERFILE.replace("{id}", id.as_str()))?;
    if context.json {
        emit_json(&json!({ "manifest": manifest, "dockerfile": dockerfile }))?;
    } else {
        emit(&next_steps(id, &manifest, &dockerfile))?;
    }
    Ok(Exit::Fine)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let dir = path.parent().unwrap_or(path);
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn next_steps(id: &EngineId, manifest: &Path, dockerfile: &Path) -> String {
    let (manifest, dockerfile) = (manifest.display(), dockerfile.display());
    format!(
        "{manifest}\n{dockerfile}\n\n\
         Fill them in, then:\n\
         \x20 acquit engines check {manifest}\n\
         \x20 sudo acquit engines build {id}\n\
         \x20 sudo acquit engines try {id} FILE…\n"
    )
}
