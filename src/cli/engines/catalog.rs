//! `acquit engines catalog`: every engine there is a manifest of, without a daemon.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::Context;
use super::super::exit::{Exit, UsageError};
use super::super::text::{count, emit, emit_json, table, visible};
use crate::config::Config;
use crate::engine::manifest::{Catalog, Manifest, Standing};

/// Lists the catalog.
///
/// # Errors
/// If the configuration is wrong.
pub fn run(context: &Context) -> anyhow::Result<Exit> {
    let config = config(context)?;
    let catalog = Catalog::load(&config.engines.manifests);
    let chosen: Vec<_> = catalog.chosen(&config.engines).map(|it| &it.id).collect();
    let takes_part = |manifest: &Manifest| chosen.contains(&&manifest.id);
    let engines = catalog.engines.values();
    if context.json {
        let list: Vec<Value> = engines
            .map(|manifest| document(manifest, takes_part(manifest)))
            .collect();
        emit_json(&json!({ "engines": list }))?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<Vec<String>> = engines
        .map(|manifest| row(manifest, takes_part(manifest)))
        .collect();
    let head = ["ENGINE", "NAME", "VENDOR", "STANDING", "TAKES PART"];
    let total = count(rows.len() as u64, "engine");
    let line = format!("\n{total}, {} take part\n", chosen.len());
    emit(&(table(context.paint, &head, &rows) + &line))?;
    Ok(Exit::Fine)
}

fn row(manifest: &Manifest, takes_part: bool) -> Vec<String> {
    vec![
        manifest.id.to_string(),
        visible(&manifest.name),
        visible(&manifest.vendor),
        word(manifest.standing).to_owned(),
        if takes_part { "yes" } else { "" }.to_owned(),
    ]
}

fn document(manifest: &Manifest, takes_part: bool) -> Value {
    json!({
        "id": manifest.id,
        "name": manifest.name,
        "vendor": manifest.vendor,
        "description": manifest.description,
        "standing": word(manifest.standing),
        "takes_part": takes_part,
    })
}

/// Returns the word for a standing.
pub const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Installed => "installed",
        Standing::Optional => "optional",
        Standing::Recipe => "recipe",
        Standing::Discontinued => "discontinued",
    }
}

/// Finds an engine by its id, or by the path of its manifest.
///
/// # Errors
/// If there is none, or its manifest is wrong.
pub fn find(context: &Context, engine: &str) -> anyhow::Result<Manifest> {
    if engine.ends_with(".toml") {
        return load(Path::new(engine));
    }
    let config = config(context)?;
    let file = format!("{engine}.toml");
    let dirs = config.engines.manifests.iter().rev();
    let mut paths = dirs.map(|dir| dir.join(&file));
    match paths.find(|path| path.is_file()) {
        Some(path) => load(&path),
        None => Err(UsageError(unknown(engine, &config)).into()),
    }
}

/// The daemon's configuration; where there is none, a checkout's own directories.
///
/// # Errors
/// If it is wrong.
pub fn config(context: &Context) -> anyhow::Result<Config> {
    if context.config.exists() {
        return Config::load(&context.config);
    }
    let mut config = Config::default();
    let checkout = PathBuf::from("engines");
    if checkout.join("README.md").is_file() {
        config.engines.manifests = vec![checkout];
        config.engines.containers = PathBuf::from("containers");
    }
    Ok(config)
}

fn load(path: &Path) -> anyhow::Result<Manifest> {
    Manifest::load(path).map_err(|problems| {
        let message = format!(
            "the manifest {} cannot be used:\n{problems}",
            path.display()
        );
        UsageError(message).into()
    })
}

fn unknown(engine: &str, config: &Config) -> String {
    let dirs = config.engines.manifests.iter();
    let dirs: Vec<String> = dirs.map(|dir| dir.display().to_string()).collect();
    format!(
        "there is no engine {engine:?} in {}; see `acquit engines catalog`, or name a manifest",
        dirs.join(", ")
    )
}
