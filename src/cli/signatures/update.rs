//! Updates from the beginning to the end, with progress.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::client::{Client, ClientError};
use crate::cli::exit::{Exit, UsageError};
use crate::cli::progress::{Line, Lines};
use crate::cli::text::{emit, emit_json, size, table, visible};
use crate::cli::wire::{Envelope, Object};
use crate::model::EngineId;

/// How often it is looked how far an update is.
const LOOK: Duration = Duration::from_millis(500);

/// What the help says of exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  every engine has the newest signatures, proven by the canary
  1  the server does not answer or refuses
  2  the command line is wrong
  3  an update did not begin, failed, or was rejected by the canary";

/// Whose signatures to update.
#[derive(Debug, clap::Args)]
pub struct UpdateArguments {
    /// The engines
    #[arg(value_name = "ENGINE", required_unless_present = "all")]
    engines: Vec<EngineId>,
    /// All engines that can be updated
    #[arg(long, conflicts_with = "engines")]
    all: bool,
    /// Wait for the end; it does so anyway
    #[arg(long, hide = true)]
    wait: bool,
    /// Only begin
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

/// An update that was asked for.
#[derive(Debug)]
pub struct Asked {
    /// Whose.
    pub engine: String,
    /// The update as it began, or why it did not.
    pub begun: Result<Object<Value>, String>,
}

/// Updates signatures.
///
/// # Errors
/// If the server does not answer.
pub async fn run(context: &Context, arguments: UpdateArguments) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let engines = match arguments.all {
        true => updatable(&client).await?,
        false => arguments.engines,
    };
    let mut asked = Vec::new();
    for engine in engines {
        asked.push(begin(&client, &engine).await?);
    }
    report(context, &client, (asked, !arguments.no_wait)).await
}

async fn updatable(client: &Client) -> anyhow::Result<Vec<EngineId>> {
    let engines: Vec<Object<Value>> = client.list("acquit/engines").await?;
    let able = |engine: &&Object<Value>| engine.attributes["signatures"]["updatable"] == true;
    let ids = engines.iter().filter(able).map(|engine| engine.id.parse());
    let ids: Vec<EngineId> = ids.collect::<Result<_, _>>()?;
    match ids.is_empty() {
        true => Err(UsageError("no engine can be updated".to_owned()).into()),
        false => Ok(ids),
    }
}

/// Asks for an update; a server that will not is an answer, one that is not there is none.
async fn begin(client: &Client, engine: &EngineId) -> Result<Asked, ClientError> {
    let url = client.url(&format!("acquit/engines/{engine}/update"));
    let begun = match client.once(client.request(Method::POST, &url)).await {
        Ok(answer) => Ok(object(client, answer)?),
        Err(ClientError::Refused {
            status: 409,
            message,
            ..
        }) => Err(message),
        Err(error) => return Err(error),
    };
    let engine = engine.to_string();
    Ok(Asked { engine, begun })
}

fn object(client: &Client, answer: Value) -> Result<Object<Value>, ClientError> {
    let answer: Result<Envelope<Object<Value>>, _> = serde_json::from_value(answer);
    let answer = answer.map_err(|error| client.garbled(&error.to_string()))?;
    Ok(answer.data)
}

/// Waits for updates, if it is to be waited, and prints how they ended.
///
/// # Errors
/// If the server does not say.
pub async fn report(
    context: &Context,
    client: &Client,
    (asked, wait): (Vec<Asked>, bool),
) -> anyhow::Result<Exit> {
    let lines = Lines::new();
    let ends = asked.into_iter().map(async |asked| {
        let engine = visible(&asked.engine);
        let end = match asked.begun {
            Ok(begun) if wait => follow(client, begun, lines.start(&engine)).await.map(Ok),
            other => Ok(other),
        };
        end.map(|end| (engine, end))
    });
    let ends: Vec<_> = join_all(ends).await.into_iter().collect::<Result<_, _>>()?;
    print(context, &ends)?;
    let fine = ends.iter().all(|(_, end)| is_fine(end, wait));
    Ok(if fine { Exit::Fine } else { Exit::Incomplete })
}

/// How an update ended, or why it did not begin.
type End = Result<Object<Value>, String>;

fn is_fine(end: &End, waited: bool) -> bool {
    end.as_ref().is_ok_and(|update| {
        let outcome = update.text("/outcome");
        !waited || matches!(outcome.as_deref(), Some("unchanged" | "promoted"))
    })
}

/// Looks until an update has an outcome.
async fn follow(
    client: &Client,
    begun: Object<Value>,
    mut line: Line,
) -> Result<Object<Value>, ClientError> {
    let (engine, number) = (begun.cell("/engine"), begun.cell("/number"));
    let path = format!("acquit/engines/{engine}/updates/{number}");
    let mut update = begun;
    while update.text("/outcome").is_none() {
        let engine: Envelope<Object<Value>> =
            client.get(&format!("acquit/engines/{engine}")).await?;
        let bytes = engine.data.number("/signatures/updating/new_bytes");
        let detail = bytes.filter(|bytes| *bytes > 0);
        let detail = detail.map(|bytes| format!(", {} new", size(bytes)));
        line.show(&update.cell("/phase"), &detail.unwrap_or_default());
        tokio::time::sleep(LOOK).await;
        let now: Envelope<Object<Value>> = client.get(&path).await?;
        update = now.data;
    }
    line.clear();
    Ok(update)
}

fn print(context: &Context, ends: &[(String, End)]) -> anyhow::Result<()> {
    if context.json {
        let document = |(engine, end): &(String, End)| match end {
            Ok(update) => update.document(),
            Err(why) => json!({ "engine": engine, "outcome": "refused", "reason": why }),
        };
        let updates: Vec<_> = ends.iter().map(document).collect();
        return emit_json(&json!({ "updates": updates }));
    }
    let row = |(engine, end): &(String, End)| match end {
        Ok(update) => vec![
            engine.clone(),
            update.cell("/number"),
            update
                .text("/outcome")
                .unwrap_or_else(|| "begun".to_owned()),
            update.cell("/signature_set"),
            update.text("/reason").unwrap_or_default(),
        ],
        Err(why) => vec![
            engine.clone(),
            "-".to_owned(),
            "NOT BEGUN".to_owned(),
            "-".to_owned(),
            why.clone(),
        ],
    };
    let rows: Vec<_> = ends.iter().map(row).collect();
    let head = ["ENGINE", "UPDATE", "OUTCOME", "SET", "REASON"];
    emit(&table(context.paint, &head, &rows))
}
