//! `acquit incidents …`: detections of files in collections, and what is done about them.

mod report;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::client::{Client, segment};
use super::exit::{Exit, UsageError};
use super::text::{Paint, emit, emit_json, now, span, table};
use super::wire::{Envelope, Object};
use crate::model::{EngineId, PublisherId};

/// Entries of a thread that are shown.
const ENTRIES: usize = 200;

/// What to do with incidents.
#[derive(Debug, clap::Subcommand)]
pub enum IncidentsCommand {
    /// List incidents, newest first: those that are not over, if nothing else is said
    List(ListArguments),
    /// Show an incident: what, where, since when, what was said, what to do next
    Show {
        /// Its number
        number: u64,
    },
    /// Say who looks after an incident, and until when it should be over
    Assign {
        /// Its number
        number: u64,
        /// Who; nobody if empty
        owner: Option<String>,
        /// Until when: `2026-11-30`, or a point in time as `2026-11-30T12:00:00Z`
        #[arg(long, value_name = "DATE")]
        deadline: Option<String>,
    },
    /// Write a note that no vendor sees
    Note {
        /// Its number
        number: u64,
        /// The note
        text: String,
    },
    /// Say something to the vendor, which sees it beside its own words
    Reply {
        /// Its number
        number: u64,
        /// What to say
        text: String,
    },
    /// Say that somebody works on it
    Acknowledge {
        /// Its number
        number: u64,
    },
    /// Let it be
    Close {
        /// Its number
        number: u64,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Open it again after it was let be
    Reopen {
        /// Its number
        number: u64,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Report a false positive to the engine's vendor, or show what would be reported
    Dispute(super::disputes::DisputeArguments),
    /// Show how long fixes take, by engine and by vendor
    Statistics {
        /// Of this publisher's files only
        #[arg(long, value_name = "ID")]
        publisher: Option<PublisherId>,
    },
}

/// Which incidents to list.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    /// In this state: open, notified, acknowledged, resolved or kept; may be repeated
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,
    /// In any state
    #[arg(long, conflicts_with = "states")]
    all: bool,
    /// By this engine; may be repeated
    #[arg(long = "engine", value_name = "ID")]
    engines: Vec<EngineId>,
    /// Of this publisher
    #[arg(long, value_name = "ID")]
    publisher: Option<PublisherId>,
    /// Of the file at this path, or, if it ends with a slash, of all below it
    #[arg(long)]
    path: Option<String>,
    /// Looked after by him
    #[arg(long)]
    owner: Option<String>,
    /// Detected under a name with this in it; after "=" under this name
    #[arg(long, value_name = "NAME")]
    detection: Option<String>,
    /// Opened on this day or later; days are UTC's
    #[arg(long, value_name = "YYYY-MM-DD")]
    opened_from: Option<String>,
    /// Opened on this day or before
    #[arg(long, value_name = "YYYY-MM-DD")]
    opened_until: Option<String>,
    /// Over since this day or later
    #[arg(long, value_name = "YYYY-MM-DD")]
    closed_from: Option<String>,
    /// Over since this day or before
    #[arg(long, value_name = "YYYY-MM-DD")]
    closed_until: Option<String>,
    /// Past their deadline
    #[arg(long)]
    overdue: bool,
    /// The oldest first
    #[arg(long)]
    oldest: bool,
    /// One line for engines that share signatures
    #[arg(long)]
    families: bool,
    /// How many at most
    #[arg(long, short = 'n', default_value_t = 100, value_name = "NUMBER")]
    limit: usize,
}

/// Carries out a command.
///
/// # Errors
/// If it cannot be.
pub async fn run(context: &Context, command: IncidentsCommand) -> anyhow::Result<Exit> {
    match command {
        IncidentsCommand::Dispute(arguments) => super::disputes::dispute(context, arguments).await,
        IncidentsCommand::List(arguments) => list(context, arguments).await,
        IncidentsCommand::Show { number } => show(context, number).await,
        IncidentsCommand::Assign {
            number,
            owner,
            deadline,
        } => assign(context, number, (owner, deadline)).await,
        IncidentsCommand::Note { number, text } => {
            act(context, number, ("notes", json!({ "text": text }))).await
        }
        IncidentsCommand::Reply { number, text } => {
            act(context, number, ("replies", json!({ "text": text }))).await
        }
        IncidentsCommand::Acknowledge { number } => {
            act(context, number, ("acknowledge", json!({}))).await
        }
        IncidentsCommand::Close { number, reason } => {
            act(context, number, ("close", json!({ "reason": reason }))).await
        }
        IncidentsCommand::Reopen { number, reason } => {
            act(context, number, ("reopen", json!({ "reason": reason }))).await
        }
        IncidentsCommand::Statistics { publisher } => statistics(context, publisher).await,
    }
}

impl ListArguments {
    fn filter(&self) -> String {
        let live = ["open", "notified", "acknowledged"].map(str::to_owned);
        // What is not over has no day on which it was.
        let over = self.closed_from.is_some() || self.closed_until.is_some();
        let states = match (self.all || over, self.states.is_empty()) {
            (true, true) => [].as_slice(),
            (false, true) => live.as_slice(),
            (_, false) => self.states.as_slice(),
        };
        let quoted = [
            ("path", self.path.as_deref()),
            ("owner", self.owner.as_deref()),
            ("detection", self.detection.as_deref()),
            ("opened_from", self.opened_from.as_deref()),
            ("opened_until", self.opened_until.as_deref()),
            ("closed_from", self.closed_from.as_deref()),
            ("closed_until", self.closed_until.as_deref()),
        ];
        let mut words: Vec<_> = states.iter().map(|it| format!("state:{it}")).collect();
        words.extend(self.engines.iter().map(|it| format!("engine:{it}")));
        words.extend(self.publisher.iter().map(|it| format!("publisher:{it}")));
        for (key, value) in quoted {
            // Two quotes in a value mean one.
            let value = value.map(|value| value.replace('"', "\"\""));
            words.extend(value.map(|value| format!("{key}:\"{value}\"")));
        }
        words.extend(self.overdue.then(|| "overdue:true".to_owned()));
        words.join(" ")
    }
}

async fn list(context: &Context, arguments: ListArguments) -> anyhow::Result<Exit> {
    let filter = segment(&arguments.filter());
    let mut path = format!("acquit/incidents?filter={filter}");
    if arguments.families {
        path.push_str("&group=family");
    }
    if arguments.oldest {
        path.push_str("&order=opened");
    }
    let client = context.quick_client()?;
    let incidents: Vec<Object<Value>> = client.first(&path, arguments.limit.max(1)).await?;
    if context.json {
        let incidents: Vec<_> = incidents.iter().map(Object::document).collect();
        emit_json(&json!({ "incidents": incidents }))?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<_> = incidents.iter().map(row).collect();
    let head = [
        "NUMBER",
        "STATE",
        "AGE",
        "ENGINE",
        "DETECTION",
        "OPINIONS",
        "OWNER",
        "FILE",
    ];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

fn row(incident: &Object<Value>) -> Vec<String> {
    let late = incident.attributes["overdue"] == true;
    let state = incident.cell("/state");
    let age = incident.number("/reopened_date");
    let age = age.map_or_else(|| "-".to_owned(), |at| span(now().saturating_sub(at)));
    let file = incident.text("/paths/0");
    vec![
        incident.id.clone(),
        if late {
            format!("{state}, overdue")
        } else {
            state
        },
        age,
        incident.cell("/engine"),
        incident.cell("/detection"),
        incident.cell("/opinions"),
        incident.cell("/owner"),
        file.unwrap_or_else(|| incident.cell("/sha256")),
    ]
}

async fn show(context: &Context, number: u64) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let path = format!("acquit/incidents/{number}");
    let incident: Envelope<Object<Value>> = client.get(&path).await?;
    let mut thread: Vec<Object<Value>> = client.first(&format!("{path}/thread"), ENTRIES).await?;
    thread.reverse();
    if context.json {
        let mut document = incident.data.document();
        let thread: Vec<_> = thread.iter().map(Object::document).collect();
        document["thread"] = json!(thread);
        emit_json(&document)?;
        return Ok(Exit::Fine);
    }
    emit(&report::incident(context.paint, &incident.data, &thread))?;
    Ok(Exit::Fine)
}

async fn assign(
    context: &Context,
    number: u64,
    (owner, deadline): (Option<String>, Option<String>),
) -> anyhow::Result<Exit> {
    let mut attributes = json!({});
    if let Some(owner) = owner {
        attributes["owner"] = match owner.trim() {
            "" => Value::Null,
            owner => owner.into(),
        };
    }
    if let Some(deadline) = deadline {
        attributes["deadline_date"] = seconds(&deadline)?.into();
    }
    if attributes.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(UsageError("name somebody, or give --deadline".to_owned()).into());
    }
    let client = context.client()?;
    let url = client.url(&format!("acquit/incidents/{number}"));
    let body = json!({ "data": { "type": "incident", "attributes": attributes } });
    let request = client.request(Method::PATCH, &url).json(&body);
    told(context, &client, request).await
}

/// Reads a day, which ends in this machine's time zone, or a point in time.
fn seconds(text: &str) -> anyhow::Result<i64> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at.as_second());
    }
    let wrong = || UsageError(format!("{text:?} is no date as 2026-11-30"));
    let day: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
    let end = day.at(23, 59, 59, 0).to_zoned(jiff::tz::TimeZone::system());
    Ok(end
        .context("there is no such day here")?
        .timestamp()
        .as_second())
}

async fn act(context: &Context, number: u64, (act, body): (&str, Value)) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let url = client.url(&format!("acquit/incidents/{number}/{act}"));
    let request = client.request(Method::POST, &url).json(&body);
    told(context, &client, request).await
}

/// Sends what must not be done twice, and says how the incident stands then.
async fn told(
    context: &Context,
    client: &Client,
    request: reqwest::RequestBuilder,
) -> anyhow::Result<Exit> {
    let answer = client.once(request).await?;
    let incident: Object<Value> = serde_json::from_value(answer["data"].clone())?;
    if context.json {
        emit_json(&incident.document())?;
    } else {
        let state = incident.cell("/state");
        emit(&format!("incident {} is {state}\n", incident.id))?;
    }
    Ok(Exit::Fine)
}

async fn statistics(context: &Context, publisher: Option<PublisherId>) -> anyhow::Result<Exit> {
    let mut path = "acquit/incidents/statistics".to_owned();
    if let Some(publisher) = publisher {
        path.push_str(&format!("?publisher={publisher}"));
    }
    let figures: Envelope<Object<Value>> = context.quick_client()?.get(&path).await?;
    if context.json {
        emit_json(&figures.data.attributes)?;
        return Ok(Exit::Fine);
    }
    for (title, key) in [("ENGINE", "engines"), ("VENDOR", "vendors")] {
        emit(&figures_table(
            context.paint,
            title,
            &figures.data.attributes[key],
        ))?;
    }
    if figures.data.attributes["truncated"] == true {
        emit("Only the newest incidents are in these figures.\n")?;
    }
    Ok(Exit::Fine)
}

fn figures_table(paint: Paint, title: &str, figures: &Value) -> String {
    let head = [
        title,
        "INCIDENTS",
        "FIXED",
        "HALF WITHIN",
        "9 OF 10 WITHIN",
        "OPEN",
        "OLDEST",
        "PER UPDATE",
    ];
    let figures = figures.as_object().into_iter().flatten();
    let rows: Vec<_> = figures
        .map(|(name, one)| {
            let count = |key: &str| one[key].as_u64().unwrap_or(0).to_string();
            let time = |key: &str| one[key].as_u64().map_or_else(|| "-".to_owned(), span);
            let rate = one["detections_per_update"].as_f64();
            vec![
                super::text::visible(name),
                count("incidents"),
                count("fixed"),
                time("median_seconds_to_fix"),
                time("p90_seconds_to_fix"),
                count("open"),
                time("oldest_open_seconds"),
                rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.2}")),
            ]
        })
        .collect();
    table(paint, &head, &rows)
}
