//! `acquit engines …`: what engines there are and how they fare.

mod attempt;
mod catalog;
mod parse;
mod skeleton;

use anyhow::Context as _;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, ClientError, segment};
use super::exit::Exit;
use super::text::{Color, Paint, count, emit, emit_json, table, visible};
use super::wire::{Envelope, Object};
use super::{Context, block_on, build, check, proof};
use crate::model::EngineId;

/// What to do with engines.
#[derive(Debug, clap::Subcommand)]
pub enum EnginesCommand {
    /// List engines and how they fare
    List,
    /// Show everything about one engine
    Show {
        /// The engine
        id: EngineId,
    },
    /// Build engines' images; needs root and Docker, not the daemon
    Build(build::BuildArguments),
    /// Show each engine a known-bad and a clean file and judge its answers
    Test {
        /// Engines to test; all if none is named
        #[arg(value_name = "ID")]
        ids: Vec<EngineId>,
    },
    /// Tell exactly what is wrong with manifests
    Check {
        /// Manifests, `<id>.toml`
        #[arg(required = true, value_name = "FILE")]
        files: Vec<std::path::PathBuf>,
    },
    /// List every engine there is a manifest of, whether it takes part or not
    Catalog,
    /// Write the manifest and the build context of a new engine
    New(skeleton::NewArguments),
    /// Run an engine over files and show its output, the rules that read it and its verdicts;
    /// needs root and Docker, not the daemon
    Try(attempt::TryArguments),
    /// Read recorded output as an engine's manifest says, and show by which rules
    #[command(after_help = parse::HELP)]
    Parse(parse::ParseArguments),
    /// Give an engine a new container
    Restart {
        /// The engine
        id: EngineId,
    },
}

/// An engine as the server lists it, as far as it is shown here.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Its id.
    pub id: String,
    /// Its display name, which its results are under.
    pub name: String,
    /// Where it stands.
    pub state: String,
    /// Everything the server says.
    pub attributes: Value,
}

impl Engine {
    /// Tells whether analyses ask it.
    pub fn is_enabled(&self) -> bool {
        self.state != "disabled"
    }

    /// Tells whether it names families and looks at no file.
    pub fn is_labeler(&self) -> bool {
        self.attributes["labeler"] == Value::Bool(true)
    }

    /// Tells whether it would scan now.
    pub fn can_scan(&self) -> bool {
        matches!(self.state.as_str(), "ready" | "idle")
    }

    /// Returns a text of it, made visible.
    pub fn text(&self, pointer: &str) -> Option<String> {
        match self.attributes.pointer(pointer)? {
            Value::Null => None,
            Value::String(text) => Some(visible(text)),
            other => Some(visible(&other.to_string())),
        }
    }
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    state: Option<String>,
}

impl From<Object<Value>> for Engine {
    fn from(object: Object<Value>) -> Self {
        let listed = Listed::deserialize(&object.attributes).unwrap_or(Listed {
            name: None,
            state: None,
        });
        Self {
            name: listed.name.unwrap_or_else(|| object.id.clone()),
            state: visible(&listed.state.unwrap_or_else(|| "unknown".to_owned())),
            id: visible(&object.id),
            attributes: object.attributes,
        }
    }
}

/// Returns all engines the server has.
///
/// # Errors
/// If it does not say.
pub async fn list(client: &Client) -> Result<Vec<Engine>, ClientError> {
    let objects: Vec<Object<Value>> = client.list("acquit/engines").await?;
    Ok(objects.into_iter().map(Engine::from).collect())
}

/// Carries out a command.
///
/// # Errors
/// If it cannot be.
pub fn run(context: &Context, command: EnginesCommand) -> anyhow::Result<Exit> {
    match command {
        EnginesCommand::List => block_on(print_list(context)),
        EnginesCommand::Show { id } => block_on(show(context, &id)),
        EnginesCommand::Build(arguments) => build::run(context, arguments),
        EnginesCommand::Test { ids } => block_on(proof::run(context, ids)),
        EnginesCommand::Check { files } => check::manifests(context, &files),
        EnginesCommand::Catalog => catalog::run(context),
        EnginesCommand::New(arguments) => skeleton::run(context, &arguments),
        EnginesCommand::Try(arguments) => attempt::run(context, &arguments),
        EnginesCommand::Parse(arguments) => parse::run(context, &arguments),
        EnginesCommand::Restart { id } => block_on(restart(context, &id)),
    }
}

async fn print_list(context: &Context) -> anyhow::Result<Exit> {
    let engines = list(&context.quick_client()?).await?;
    if context.json {
        let objects: Vec<Value> = engines.iter().map(document).collect();
        emit_json(&serde_json::json!({ "engines": objects }))?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<Vec<String>> = engines.iter().map(row).collect();
    let head = [
        "ENGINE",
        "NAME",
        "STATE",
        "VERSION",
        "SIGNATURES",
        "QUEUED",
        "ERROR",
    ];
    let scanners = || engines.iter().filter(|engine| !engine.is_labeler());
    let ready = scanners().filter(|engine| engine.can_scan()).count();
    let enabled = scanners().filter(|engine| engine.is_enabled()).count();
    let line = format!(
        "\n{ready} of {} can scan\n",
        count(enabled as u64, "enabled engine")
    );
    emit(&(table(context.paint, &head, &rows) + &line))?;
    Ok(Exit::Fine)
}

/// Returns an engine as one JSON object.
fn document(engine: &Engine) -> Value {
    let mut object = engine.attributes.clone();
    if let Some(object) = object.as_object_mut() {
        object.insert("id".to_owned(), engine.id.clone().into());
    }
    object
}

fn row(engine: &Engine) -> Vec<String> {
    let text = |pointer: &str| engine.text(pointer).unwrap_or_else(|| "-".to_owned());
    let number = |pointer: &str| engine.attributes.pointer(pointer).and_then(Value::as_u64);
    let queued = ["/queued_interactive", "/queued_nightly"].map(number);
    let queued: u64 = queued.into_iter().flatten().sum();
    // The engine's own word for its signatures, else the name of the set it was given.
    let known = ["signatures_date", "signatures", "signature_set"];
    let known = known.map(|key| engine.text(&format!("/versions/{key}")));
    let signatures = known.into_iter().flatten().next();
    let error = match engine.can_scan() || !engine.is_enabled() {
        true => String::new(),
        false => engine.text("/last_error").unwrap_or_default(),
    };
    vec![
        engine.id.clone(),
        visible(&engine.name),
        engine.state.clone(),
        text("/versions/engine"),
        signatures.unwrap_or_else(|| "-".to_owned()),
        queued.to_string(),
        error,
    ]
}

async fn show(context: &Context, id: &EngineId) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let path = format!("acquit/engines/{id}");
    let object: Envelope<Object<Value>> = client.get(&path).await?;
    let engine = Engine::from(object.data);
    if context.json {
        emit_json(&document(&engine))?;
    } else {
        emit(&shown(context.paint, &engine))?;
    }
    Ok(Exit::Fine)
}

fn shown(paint: Paint, engine: &Engine) -> String {
    let mut text = String::new();
    let mut add = |key: &str, value: &str| {
        let key = paint.paint(Color::Bold, &format!("{key:<20}"));
        text.push_str(&format!("{key} {value}\n"));
    };
    add("id", &engine.id);
    for (key, value) in engine.attributes.as_object().into_iter().flatten() {
        let key = visible(key).replace('_', " ");
        match value {
            Value::Null => {}
            Value::String(value) => add(&key, &visible(value)),
            Value::Object(inner) => {
                for (name, value) in inner {
                    let value = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    add(&format!("{key}: {}", visible(name)), &visible(&value));
                }
            }
            Value::Array(items) => {
                for item in items {
                    add(&key, &visible(&proved(item)));
                }
            }
            other => add(&key, &other.to_string()),
        }
    }
    text
}

/// Shows one attempt of the probe, or whatever else is in a list.
fn proved(item: &Value) -> String {
    match (
        item["name"].as_str(),
        item["held"].as_bool(),
        item["seen"].as_str(),
    ) {
        (Some(name), Some(true), Some(seen)) => format!("held    {name}: {seen}"),
        (Some(name), Some(false), Some(seen)) => format!("BROKEN  {name}: {seen}"),
        _ => item.to_string(),
    }
}

async fn restart(context: &Context, id: &EngineId) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let url = client.url(&format!("acquit/engines/{}/restart", segment(id.as_str())));
    let answer = client.once(client.request(Method::POST, &url)).await;
    let answer = answer.with_context(|| format!("cannot restart {id}"))?;
    if context.json {
        emit_json(&answer)?;
    } else {
        emit(&format!("{id} gets a new container\n"))?;
    }
    Ok(Exit::Fine)
}
