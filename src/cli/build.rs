//! `acquit engines build` and the broker: what talks to Docker, as root, without the daemon.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};

use super::exit::{Exit, UsageError};
use super::progress::Building;
use super::text::{Color, count, emit, emit_json, size, visible, visible_lines};
use super::{Context, block_on};
use crate::config::Config;
use crate::engine::manifest::{Broken, Catalog, Manifest, Standing};
use crate::engine::sandbox::broker::{self, Door};
use crate::engine::sandbox::{ImageState, Sandbox, SandboxError};
use crate::model::EngineId;

/// Images built at the same time.
const PARALLEL: usize = 2;
/// Lines of a log that are kept to be shown with an error.
const TAIL: usize = 20;

/// Which images to build.
#[derive(Debug, clap::Args)]
pub struct BuildArguments {
    /// Engines to build
    #[arg(value_name = "ID", required_unless_present_any = ["all", "missing"])]
    ids: Vec<EngineId>,
    /// Build the image of every engine that takes part
    #[arg(long, conflicts_with_all = ["ids", "missing"])]
    all: bool,
    /// Build those that have no image yet
    #[arg(long, conflicts_with = "ids")]
    missing: bool,
    /// With --all or --missing: optional engines, too, whether they are enabled or not
    #[arg(long, conflicts_with = "ids")]
    optional: bool,
}

/// How the broker is reached.
#[derive(Debug, clap::Args)]
pub struct BrokerArguments {
    /// Serve the socket that is standard input
    #[arg(long)]
    stdin: bool,
}

/// How one build ended.
struct Built {
    engine: EngineId,
    took: Duration,
    outcome: Result<ImageState, SandboxError>,
    tail: Vec<String>,
}

/// Serves the broker's verbs until its client goes.
///
/// # Errors
/// If it cannot start.
pub fn broker(context: &Context, arguments: &BrokerArguments) -> anyhow::Result<Exit> {
    let config = Config::load(&context.config)?;
    let door = match arguments.stdin {
        true => Door::Stdin,
        false => Door::Path,
    };
    block_on(broker::run(config, door))?;
    Ok(Exit::Fine)
}

/// Builds images.
///
/// # Errors
/// If there is no Docker or no such engine.
pub fn run(context: &Context, arguments: BuildArguments) -> anyhow::Result<Exit> {
    if !crate::system::is_root() {
        let message = "building images needs root; run it with sudo".to_owned();
        return Err(UsageError(message).into());
    }
    let config = Config::load(&context.config)?;
    let catalog = Catalog::load(&config.engines.manifests);
    block_on(async {
        let sandbox = Sandbox::direct(config.clone())?;
        sandbox.info().await?;
        let engines = chosen((&sandbox, &config), &arguments, &catalog).await?;
        let built = build(&sandbox, engines).await;
        // An engine whose manifest cannot be read was asked for by `--all`, too.
        let broken = match arguments.ids.is_empty() {
            true => &catalog.broken[..],
            false => &[],
        };
        print(context, &built, broken)
    })
}

async fn chosen(
    (sandbox, config): (&Sandbox, &Config),
    arguments: &BuildArguments,
    catalog: &Catalog,
) -> anyhow::Result<Vec<EngineId>> {
    let chosen: Vec<_> = catalog.chosen(&config.engines).map(|it| &it.id).collect();
    let wanted = |manifest: &&Manifest| {
        let optional = arguments.optional && manifest.standing == Standing::Optional;
        // A server outside has no image.
        manifest.outside.is_none() && (optional || chosen.contains(&&manifest.id))
    };
    let wanted = catalog.engines.values().filter(wanted);
    let ids: Vec<EngineId> = wanted.map(|manifest| manifest.id.clone()).collect();
    if arguments.all {
        return Ok(ids);
    }
    if arguments.missing {
        let mut missing = Vec::new();
        for id in ids {
            if sandbox.image(&id).await?.is_none() {
                missing.push(id);
            }
        }
        return Ok(missing);
    }
    for id in &arguments.ids {
        let Some(manifest) = catalog.engines.get(id) else {
            return Err(UsageError(unknown(id, catalog)).into());
        };
        if let Some(missing) = missing(manifest, &config.engines.installers) {
            return Err(UsageError(missing).into());
        }
    }
    Ok(arguments.ids.clone())
}

/// Says what the operator must bring before the image can be built.
fn missing(manifest: &Manifest, installers: &Path) -> Option<String> {
    let missing = manifest.missing(installers);
    let lines: Vec<String> = missing
        .iter()
        .map(|need| format!("  {:<28} {}", need.file, visible(&need.what)))
        .collect();
    let dir = installers.join(manifest.id.as_str());
    let (id, dir) = (&manifest.id, dir.display());
    (!lines.is_empty()).then(|| {
        format!(
            "{id} cannot be built yet; put into {dir}/:\n{}\nthen run this again",
            lines.join("\n")
        )
    })
}

fn unknown(id: &EngineId, catalog: &Catalog) -> String {
    let is_its = |broken: &&Broken| {
        broken
            .path
            .file_stem()
            .is_some_and(|stem| stem == id.as_str())
    };
    if let Some(broken) = catalog.broken.iter().find(is_its) {
        let path = broken.path.display();
        return format!("the manifest {path} cannot be used:\n{}", broken.problems);
    }
    let ids: Vec<&str> = catalog.engines.keys().map(EngineId::as_str).collect();
    format!("there is no engine {id}; there are: {}", ids.join(", "))
}

async fn build(sandbox: &Sandbox, engines: Vec<EngineId>) -> Vec<Built> {
    let shown = Building::new(engines.len() as u64);
    let builds = stream::iter(engines).map(|engine| one(sandbox, &shown, engine));
    let mut built: Vec<Built> = builds.buffer_unordered(PARALLEL).collect().await;
    built.sort_by(|a, b| a.engine.cmp(&b.engine));
    shown.clear();
    built
}

async fn one(sandbox: &Sandbox, shown: &Building, engine: EngineId) -> Built {
    let started = Instant::now();
    let bar = shown.start(engine.as_str());
    let tail = Mutex::new(VecDeque::new());
    let outcome = sandbox
        .build(&engine, |line| {
            let line = visible(&line);
            bar.line(&line);
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line);
        })
        .await;
    bar.end(outcome.is_ok());
    let tail = tail.into_inner().unwrap_or_else(PoisonError::into_inner);
    Built {
        engine,
        took: started.elapsed(),
        outcome,
        tail: tail.into(),
    }
}

fn print(context: &Context, built: &[Built], broken: &[Broken]) -> anyhow::Result<Exit> {
    if context.json {
        let broken: Vec<Value> = broken.iter().map(refused).collect();
        let images: Vec<Value> = built.iter().map(document).collect();
        emit_json(&json!({ "images": images, "broken_manifests": broken }))?;
    } else {
        let lines: Vec<String> = built.iter().map(|built| line(context, built)).collect();
        emit(&lines.concat())?;
        for broken in broken {
            let path = broken.path.display();
            let problems = visible_lines(&broken.problems.to_string());
            emit(&format!(
                "the manifest {path} cannot be used:\n{problems}\n"
            ))?;
        }
    }
    let failed = built.iter().filter(|built| built.outcome.is_err()).count();
    let failed = (failed + broken.len()) as u64;
    if failed == 0 && built.is_empty() && !context.json {
        emit("no image is missing\n")?;
    }
    if failed > 0 {
        eprintln!("acquit: {} could not be built", count(failed, "image"));
        return Ok(Exit::Found);
    }
    Ok(Exit::Fine)
}

fn line(context: &Context, built: &Built) -> String {
    let (engine, seconds) = (&built.engine, built.took.as_secs_f32());
    match &built.outcome {
        Ok(image) => {
            let size = size(image.size_bytes);
            let ok = context.paint.paint(Color::Green, "built");
            format!("{ok}   {engine}, {size}, in {seconds:.1} s\n")
        }
        Err(error) => {
            let failed = context.paint.paint(Color::Red, "failed");
            let error = visible_lines(&error.to_string());
            let said = error.clone();
            let unsaid = built.tail.iter().filter(|line| !said.contains(line.trim()));
            let tail: String = unsaid.map(|line| format!("    | {line}\n")).collect();
            let error = error.replace('\n', "\n    ");
            format!("{failed}  {engine}, after {seconds:.1} s\n{tail}    {error}\n")
        }
    }
}

fn document(built: &Built) -> Value {
    let seconds = built.took.as_secs_f32();
    match &built.outcome {
        Ok(image) => json!({ "engine": built.engine, "image": image.id, "seconds": seconds }),
        Err(error) => json!({
            "engine": built.engine,
            "error": error.to_string(),
            "log": built.tail,
            "seconds": seconds,
        }),
    }
}

fn refused(broken: &Broken) -> Value {
    json!({ "file": broken.path, "problem": broken.problems.to_string() })
}
