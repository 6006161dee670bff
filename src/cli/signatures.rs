//! `acquit signatures …`: what engines scan with, and how it is kept new.

mod bundle;
mod reference;
mod sets;
mod update;

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::client::segment;
use super::exit::{Exit, UsageError};
use super::text::{emit, emit_json, visible, visible_lines};
use super::wire::Envelope;
use super::wire::Object;
use crate::model::{EngineId, InvalidEngineId};

/// What to do with signatures.
#[derive(Debug, clap::Subcommand)]
pub enum SignaturesCommand {
    /// List what engines scan with, or all signature sets of one engine
    List {
        /// The engine
        engine: Option<EngineId>,
    },
    /// Update signatures now and wait for the end
    #[command(after_help = update::EXIT_CODES)]
    Update(update::UpdateArguments),
    /// Go back to the set before, and hold it until it is released
    Rollback {
        /// The engine
        engine: EngineId,
    },
    /// Put a set into service, whatever the canary said of it
    Promote {
        /// The engine
        engine: EngineId,
        /// The set, as `signatures list ENGINE` shows it
        set: String,
    },
    /// Keep the set in service until it is released
    Hold {
        /// The engine
        engine: EngineId,
    },
    /// Let updates go on
    Release {
        /// The engine
        engine: EngineId,
    },
    /// Show everything about a set, and why the canary refused it
    Show {
        /// The engine
        engine: EngineId,
        /// The set; the newest if not given
        set: Option<String>,
    },
    /// List the updates of an engine, or print what one of them printed
    Log {
        /// The engine
        engine: EngineId,
        /// Number of the update
        number: Option<u64>,
    },
    /// Write signatures to a signed bundle, for an appliance without a network
    Export {
        /// The engines, and last the bundle
        #[arg(required = true, value_name = "ENGINE>... <FILE")]
        names: Vec<String>,
        /// All engines that have signature sets; then there is only the bundle to name
        #[arg(long)]
        all: bool,
    },
    /// Take signatures from a bundle, through the same canary
    #[command(after_help = update::EXIT_CODES)]
    Import {
        /// The bundle
        file: PathBuf,
    },
    /// List the files on which every new set must be silent, or make a file one of them
    Reference(reference::ReferenceArguments),
    /// Show the key that this appliance's bundles are signed with
    Key,
}

/// Carries out a command.
///
/// # Errors
/// If it cannot be.
pub async fn run(context: &Context, command: SignaturesCommand) -> anyhow::Result<Exit> {
    use SignaturesCommand as Do;
    match command {
        Do::List { engine: None } => sets::engines(context).await,
        Do::List { engine: Some(id) } => sets::list(context, &id).await,
        Do::Update(arguments) => update::run(context, arguments).await,
        Do::Rollback { engine } => order(context, &engine, ("rollback", "is back at")).await,
        Do::Promote { engine, set } => promote(context, &engine, set).await,
        Do::Hold { engine } => order(context, &engine, ("hold", "is held at")).await,
        Do::Release { engine } => order(context, &engine, ("release", "is released from")).await,
        Do::Show { engine, set } => sets::show(context, &engine, set).await,
        Do::Log { engine, number } => log(context, &engine, number).await,
        Do::Export { names, all } => {
            let (engines, file) = exported(names, all)?;
            bundle::export(context, &engines, &file).await
        }
        Do::Import { file } => bundle::import(context, &file).await,
        Do::Reference(arguments) => reference::run(context, arguments).await,
        Do::Key => bundle::key(context).await,
    }
}

/// Splits what is to be exported from where to.
fn exported(mut names: Vec<String>, all: bool) -> Result<(Vec<EngineId>, PathBuf), UsageError> {
    let file = names.pop().unwrap_or_default();
    if names.is_empty() != all {
        let message = "name engines and last the file, or --all and the file";
        return Err(UsageError(message.to_owned()));
    }
    let engines = names.iter().map(|name| name.parse());
    let engines = engines.collect::<Result<_, _>>();
    let engines = engines.map_err(|error: InvalidEngineId| UsageError(error.to_string()))?;
    Ok((engines, file.into()))
}

/// Gives an order that is answered by the set in service.
async fn order(
    context: &Context,
    engine: &EngineId,
    (verb, done): (&str, &str),
) -> anyhow::Result<Exit> {
    ordered(context, engine, (verb, done), Value::Null).await
}

async fn promote(context: &Context, engine: &EngineId, set: String) -> anyhow::Result<Exit> {
    let body = json!({ "data": { "signature_set": set } });
    ordered(context, engine, ("promote", "scans with"), body).await
}

async fn ordered(
    context: &Context,
    engine: &EngineId,
    (verb, done): (&str, &str),
    body: Value,
) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let url = client.url(&format!("acquit/engines/{engine}/{verb}"));
    let request = client.request(Method::POST, &url);
    let request = match body {
        Value::Null => request,
        body => request.json(&body),
    };
    // A container with the set must warm up first, which may take long with a large one.
    let answer = client.answer(request).await?;
    if context.json {
        emit_json(&answer)?;
    } else {
        let set = answer.pointer("/data/id").and_then(Value::as_str);
        let set = visible(set.unwrap_or("its set"));
        emit(&format!("{engine} {done} {set}\n"))?;
    }
    Ok(Exit::Fine)
}

async fn log(context: &Context, engine: &EngineId, number: Option<u64>) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let Some(number) = number else {
        return sets::updates(context, engine).await;
    };
    let path = format!("acquit/engines/{engine}/updates/{number}");
    let update: Envelope<Object<Value>> = client.get(&path).await?;
    let url = client.url(&format!("{path}/output"));
    let response = client.open(client.request(Method::GET, &url)).await?;
    let output = response.bytes().await;
    let output = output.map_err(|error| client.broken(&error))?;
    let output = String::from_utf8_lossy(&output);
    if context.json {
        let mut document = update.data.document();
        document["output"] = output.into();
        emit_json(&document)?;
    } else {
        emit(&format!("{}\n", visible_lines(&output)))?;
    }
    Ok(Exit::Fine)
}

/// Returns the path of a set.
fn set_path(engine: &EngineId, set: &str) -> String {
    format!("acquit/engines/{engine}/signature_sets/{}", segment(set))
}
