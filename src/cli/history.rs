//! `acquit timeline` and `acquit events`: what changed, and what happened.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::Digest;

use super::Context;
use super::client::{Client, segment};
use super::exit::{Exit, UsageError};
use super::text::{emit, emit_json, emit_json_line, table, when};
use super::wire::Object;
use crate::model::{EngineId, FileHash, Sha256};

/// Events come into the list in nearly the order of their numbers: those of the last seconds are
/// looked at again. In microseconds.
const AGAIN: u64 = 10_000_000;
/// How often it is looked whether something happened.
const LOOK: Duration = Duration::from_secs(2);

/// Whose timeline to show.
#[derive(Debug, clap::Args)]
pub struct TimelineArguments {
    /// A file, or the SHA-256, SHA-1 or MD5 of one
    #[arg(value_name = "FILE|HASH")]
    file: String,
    /// Of this engine only
    #[arg(long, value_name = "ID")]
    engine: Option<EngineId>,
}

/// Which events to show.
#[derive(Debug, clap::Args)]
pub struct EventsArguments {
    /// Go on showing what happens
    #[arg(long, short)]
    follow: bool,
    /// Of this kind only, e.g. candidate-rejected; may be repeated
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// About this engine only
    #[arg(long, value_name = "ID")]
    engine: Option<EngineId>,
    /// How many of the last ones
    #[arg(long, short = 'n', default_value_t = 40, value_name = "NUMBER")]
    limit: usize,
}

/// Shows when engines changed their word on a file, oldest first.
///
/// # Errors
/// If the server does not know the file or does not answer.
pub async fn timeline(context: &Context, arguments: TimelineArguments) -> anyhow::Result<Exit> {
    let hash = hash(&arguments.file)?;
    let mut path = format!("files/{hash}/timeline");
    if let Some(engine) = &arguments.engine {
        path.push_str(&format!("?engine={engine}"));
    }
    let mut changes: Vec<Object<Value>> = context.quick_client()?.list(&path).await?;
    changes.reverse();
    if context.json {
        let changes: Vec<_> = changes.iter().map(Object::document).collect();
        emit_json(&json!({ "file": hash, "timeline": changes }))?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<_> = changes.iter().map(row).collect();
    let head = ["DATE", "ENGINE", "CHANGE", "SAYS", "WITH", "SAID", "WITH"];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

/// Reads a hash, or makes the one of a file.
///
/// # Errors
/// If the text is no hash and no file that can be read.
pub fn hash(text: &str) -> Result<String, UsageError> {
    let path = Path::new(text);
    if !path.exists() && text.parse::<FileHash>().is_ok() {
        return Ok(text.to_owned());
    }
    let mut digest = sha2::Sha256::new();
    let read = std::fs::File::open(path).and_then(|mut file| io::copy(&mut file, &mut digest));
    let failed = |error| UsageError(format!("{text:?} is no hash and cannot be read: {error}"));
    read.map_err(failed)?;
    Ok(Sha256::new(digest.finalize().into()).to_string())
}

fn row(change: &Object<Value>) -> Vec<String> {
    let says = |at: &str| {
        let name = change.text(&format!("{at}/result"));
        name.unwrap_or_else(|| change.cell(&format!("{at}/category")))
    };
    let with = |at: &str| {
        let known = ["signature_set", "signatures", "engine"];
        let known = known.map(|key| change.text(&format!("{at}/{key}")));
        let known = known.into_iter().flatten().next();
        known.unwrap_or_else(|| "-".to_owned())
    };
    vec![
        change.number("/date").map_or_else(|| "-".to_owned(), when),
        change.cell("/engine"),
        change.cell("/change"),
        says(""),
        with("/versions"),
        says("/before"),
        with("/versions_before"),
    ]
}

/// Shows what happened, oldest first, and goes on if it is to.
///
/// # Errors
/// If the server does not answer.
pub async fn events(context: &Context, arguments: EventsArguments) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let kinds = arguments.kinds.iter().map(|kind| format!("kind:{kind}"));
    let engine = arguments.engine.iter().map(|id| format!("engine:{id}"));
    let words: Vec<_> = kinds.chain(engine).collect();
    let mut path = "acquit/events".to_owned();
    if !words.is_empty() {
        path.push_str(&format!("?filter={}", segment(&words.join(" "))));
    }
    // Looked up first: what happens while the rest is read is printed once, not lost.
    let mut seen = Seen::default();
    if arguments.follow {
        let newest: Vec<Object<Value>> = client.first("acquit/events", 1).await?;
        seen.last = newest.iter().map(number).max().unwrap_or(0);
        let known = since(&client, seen.from()).await?;
        seen.note(&known);
    }
    let mut events: Vec<Object<Value>> = client.first(&path, arguments.limit.max(1)).await?;
    events.reverse();
    if context.json && !arguments.follow {
        let events: Vec<_> = events.iter().map(Object::document).collect();
        emit_json(&json!({ "events": events }))?;
        return Ok(Exit::Fine);
    }
    events.iter().try_for_each(|event| print(context, event))?;
    seen.note(&events);
    match arguments.follow {
        true => follow(context, &client, (&arguments, seen)).await,
        false => Ok(Exit::Fine),
    }
}

/// What was printed, or passed over, of late.
#[derive(Debug, Default)]
struct Seen {
    last: u64,
    recent: BTreeSet<u64>,
}

impl Seen {
    /// Returns the number of the first event that is looked at again.
    const fn from(&self) -> u64 {
        self.last.saturating_sub(AGAIN)
    }

    fn note(&mut self, events: &[Object<Value>]) {
        for event in events {
            self.is_new(event);
        }
    }

    /// Remembers an event; tells whether it was not seen before.
    fn is_new(&mut self, event: &Object<Value>) -> bool {
        let number = number(event);
        let is_new = number >= self.from() && self.recent.insert(number);
        self.last = self.last.max(number);
        self.recent = self.recent.split_off(&self.from());
        is_new
    }
}

/// Prints what happens from now on. The filter is applied here: a server would have to look
/// through all that ever happened for the few that fit.
async fn follow(
    context: &Context,
    client: &Client,
    (arguments, mut seen): (&EventsArguments, Seen),
) -> anyhow::Result<Exit> {
    let fits = |event: &Object<Value>| {
        let kind = event.text("/kind").unwrap_or_default();
        let engine = event.text("/engine");
        let wanted = arguments.engine.as_ref().map(ToString::to_string);
        (arguments.kinds.is_empty() || arguments.kinds.contains(&kind))
            && (wanted.is_none() || wanted == engine)
    };
    loop {
        tokio::time::sleep(LOOK).await;
        for event in since(client, seen.from()).await? {
            if seen.is_new(&event) && fits(&event) {
                print(context, &event)?;
            }
        }
    }
}

fn number(event: &Object<Value>) -> u64 {
    event.id.parse().unwrap_or(0)
}

/// Reads what happened from a number on, oldest first.
async fn since(client: &Client, from: u64) -> anyhow::Result<Vec<Object<Value>>> {
    let mut most = 40;
    loop {
        let mut events: Vec<Object<Value>> = client.first("acquit/events", most).await?;
        let read = events.len();
        events.retain(|event| number(event) >= from);
        // More happened than was read: there is a gap until it is read further back.
        if events.len() < read || read < most {
            events.reverse();
            return Ok(events);
        }
        most *= 4;
    }
}

/// Prints an event on a line of its own, so that whoever follows can read it at once.
fn print(context: &Context, event: &Object<Value>) -> anyhow::Result<()> {
    if context.json {
        return emit_json_line(&event.document());
    }
    let date = event.number("/date").map_or_else(|| "-".to_owned(), when);
    let kind = event.cell("/kind");
    let engine = event.text("/engine").unwrap_or_default();
    let text = event.cell("/text");
    emit(&format!("{date}  {kind:<22} {engine:<12} {text}\n"))
}
