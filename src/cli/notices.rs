//! `acquit notifications …`: who is told of what, and what became of it.

use std::io::BufRead as _;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::client::{Client, segment};
use super::exit::{Exit, UsageError};
use super::text::{emit, emit_json, table, visible, when};
use super::wire::Object;

/// What to do with notifications.
#[derive(Debug, clap::Subcommand)]
pub enum NoticesCommand {
    /// List who is told of what
    List,
    /// Have somebody told
    Add(AddArguments),
    /// Tell somebody no more
    Remove {
        /// The subscription's number, as `notifications list` shows it
        id: String,
    },
    /// Tell somebody that it works, and show what the other side says
    Test {
        /// The subscription's number
        id: String,
    },
    /// Give a webhook another secret; the one before signs too until the next time
    Rotate {
        /// The subscription's number
        id: String,
    },
    /// Show what became of each delivery, newest first
    Deliveries(DeliveriesArguments),
    /// Make a delivery once more
    Replay {
        /// The delivery's number, as `notifications deliveries` shows it
        id: String,
    },
}

/// Who is to be told of what.
#[derive(Debug, clap::Args)]
pub struct AddArguments {
    /// By which way
    #[arg(value_enum)]
    channel: ChannelName,
    /// The address, the URL or the command's name; - reads it from standard input, where no other
    /// user of this machine sees it
    target: String,
    /// Only events of this kind, e.g. incident-opened; may be given more than once
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Together, once a day in this hour, 0 to 23
    #[arg(long, value_name = "HOUR")]
    daily: Option<u8>,
    /// Hours in which nobody is disturbed, e.g. 22-7
    #[arg(long, value_name = "FROM-UNTIL")]
    quiet: Option<String>,
    /// Time zone of these hours, e.g. Europe/Berlin; the server's if absent
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// What concerns this publisher
    #[arg(long, value_name = "PUBLISHER", conflicts_with = "vendor")]
    publisher: Option<String>,
    /// What this vendor may know of
    #[arg(long, value_name = "VENDOR")]
    vendor: Option<String>,
}

/// By which way somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ChannelName {
    /// Mail to an address.
    Mail,
    /// A webhook after the Standard Webhooks specification.
    Webhook,
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow of Teams.
    Teams,
    /// A program the operator names in the configuration.
    Command,
}

impl ChannelName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Command => "command",
        }
    }
}

/// Which deliveries are shown.
#[derive(Debug, clap::Args)]
pub struct DeliveriesArguments {
    /// Only those that stand so
    #[arg(long, value_parser = ["pending", "delivered", "failed"])]
    state: Option<String>,
    /// Only those to this subscription
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// Only those of this event
    #[arg(long, value_name = "NUMBER")]
    event: Option<String>,
    /// How many
    #[arg(long, value_name = "COUNT", default_value_t = 40)]
    limit: usize,
}

/// Carries out a command.
///
/// # Errors
/// If it cannot be.
pub async fn run(context: &Context, command: NoticesCommand) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    match command {
        NoticesCommand::List => list(context, &client).await,
        NoticesCommand::Add(arguments) => add(context, &client, arguments).await,
        NoticesCommand::Remove { id } => {
            let path = format!("acquit/subscriptions/{}", segment(&id));
            let answer = send(&client, Method::DELETE, &path).await;
            let answer = answer.with_context(|| format!("cannot remove subscription {id}"))?;
            say(
                context,
                &answer,
                &format!("subscription {} is removed\n", visible(&id)),
            )
        }
        NoticesCommand::Test { id } => test(context, &client, &id).await,
        NoticesCommand::Rotate { id } => {
            let path = format!("acquit/subscriptions/{}/rotate", segment(&id));
            let answer = send(&client, Method::POST, &path).await;
            let answer = answer.with_context(|| format!("cannot change the secret of {id}"))?;
            show_secret(context, &answer)
        }
        NoticesCommand::Deliveries(arguments) => deliveries(context, &client, &arguments).await,
        NoticesCommand::Replay { id } => {
            let path = format!("acquit/deliveries/{}/replay", segment(&id));
            let answer = send(&client, Method::POST, &path).await;
            let answer = answer.with_context(|| format!("cannot repeat delivery {id}"))?;
            say(
                context,
                &answer,
                &format!("delivery {} is due now\n", visible(&id)),
            )
        }
    }
}

async fn send(client: &Client, method: Method, path: &str) -> anyhow::Result<Value> {
    let request = client.request(method, &client.url(path));
    Ok(client.once(request).await?)
}

fn say(context: &Context, answer: &Value, text: &str) -> anyhow::Result<Exit> {
    if context.json {
        emit_json(answer)?;
    } else {
        emit(text)?;
    }
    Ok(Exit::Fine)
}

async fn list(context: &Context, client: &Client) -> anyhow::Result<Exit> {
    let rows: Vec<Object<Value>> = client.list("acquit/subscriptions").await?;
    if context.json {
        let rows: Vec<_> = rows.iter().map(Object::document).collect();
        emit_json(&json!({ "subscriptions": rows }))?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    let head = ["ID", "CHANNEL", "TARGET", "OF", "PACE", "STATE"];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

fn row(object: &Object<Value>) -> Vec<String> {
    let of = match object.text("/audience_id") {
        Some(id) => format!("{} {id}", object.cell("/audience")),
        None => object.cell("/audience"),
    };
    let pace = match object.number("/pace/hour") {
        Some(hour) => format!("daily at {hour}"),
        None => "at once".to_owned(),
    };
    let state = match object.text("/disabled_reason") {
        Some(reason) => format!("off: {reason}"),
        None => "on".to_owned(),
    };
    vec![
        visible(&object.id),
        object.cell("/channel"),
        object.cell("/target"),
        of,
        pace,
        state,
    ]
}

async fn add(context: &Context, client: &Client, arguments: AddArguments) -> anyhow::Result<Exit> {
    let order = order(arguments)?;
    let request = client.request(Method::POST, &client.url("acquit/subscriptions"));
    let answer = client.once(request.json(&order)).await?;
    show_secret(context, &answer)
}

/// Prints the number of a subscription, and its secret if the answer has one.
fn show_secret(context: &Context, answer: &Value) -> anyhow::Result<Exit> {
    let id = answer.pointer("/data/id").and_then(Value::as_str);
    let secret = answer.pointer("/data/attributes/secret");
    match secret.and_then(Value::as_str).filter(|_| !context.json) {
        Some(secret) => {
            eprintln!("This secret checks signatures and is shown only now:");
            emit(&format!(
                "{} {}\n",
                visible(id.unwrap_or("-")),
                visible(secret)
            ))?;
            Ok(Exit::Fine)
        }
        None => say(
            context,
            answer,
            &format!("{}\n", visible(id.unwrap_or("-"))),
        ),
    }
}

fn order(arguments: AddArguments) -> anyhow::Result<Value> {
    let target = match arguments.target.as_str() {
        "-" => {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            line.trim().to_owned()
        }
        target => target.to_owned(),
    };
    let mut order = json!({
        "channel": arguments.channel.as_str(), "target": target, "kinds": arguments.kinds,
    });
    if let Some(hour) = arguments.daily {
        order["pace"] = json!({ "pace": "daily", "hour": hour });
    }
    if arguments.quiet.is_some() || arguments.zone.is_some() {
        let (from, until) = hours(arguments.quiet.as_deref())?;
        order["quiet"] = json!({ "from": from, "until": until, "zone": arguments.zone });
    }
    let parties = [
        ("publisher", arguments.publisher),
        ("vendor", arguments.vendor),
    ];
    for (name, party) in parties {
        if let Some(party) = party {
            order[name] = party.into();
        }
    }
    Ok(order)
}

/// Reads `22-7`; no hours at all are those from 0 until 0.
fn hours(text: Option<&str>) -> anyhow::Result<(u8, u8)> {
    let Some(text) = text else {
        return Ok((0, 0));
    };
    let hours = text
        .split_once('-')
        .and_then(|(from, until)| Some((from.parse().ok()?, until.parse().ok()?)));
    let usage = || UsageError(format!("{text:?} are no hours; say e.g. --quiet 22-7"));
    Ok(hours.ok_or_else(usage)?)
}

async fn test(context: &Context, client: &Client, id: &str) -> anyhow::Result<Exit> {
    let path = format!("acquit/subscriptions/{}/test", segment(id));
    let answer = send(client, Method::POST, &path).await?;
    let text = |name: &str| {
        let value = answer.pointer(&format!("/data/attributes/{name}"));
        visible(value.and_then(Value::as_str).unwrap_or("-"))
    };
    let (result, outcome) = (text("result"), text("outcome"));
    say(context, &answer, &format!("{result}: {outcome}\n"))?;
    Ok(match result.as_str() {
        "accepted" => Exit::Fine,
        _ => Exit::Found,
    })
}

async fn deliveries(
    context: &Context,
    client: &Client,
    arguments: &DeliveriesArguments,
) -> anyhow::Result<Exit> {
    let words = [
        ("state", &arguments.state),
        ("subscription", &arguments.subscription),
        ("event", &arguments.event),
    ];
    let words = words
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", segment(value.as_deref()?))));
    let words: Vec<_> = words.collect();
    let mut path = "acquit/deliveries".to_owned();
    if !words.is_empty() {
        path.push_str(&format!("?{}", words.join("&")));
    }
    let rows: Vec<Object<Value>> = client.first(&path, arguments.limit.max(1)).await?;
    if context.json {
        let rows: Vec<_> = rows.iter().map(Object::document).collect();
        emit_json(&json!({ "deliveries": rows }))?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<Vec<String>> = rows.iter().map(delivery).collect();
    let head = [
        "ID",
        "WHEN",
        "KIND",
        "CHANNEL",
        "TARGET",
        "STATE",
        "TRIES",
        "LAST ANSWER",
    ];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

fn delivery(object: &Object<Value>) -> Vec<String> {
    let tries = object.attributes["attempts"].as_array();
    let last = tries.and_then(|tries| tries.last());
    let last = last.and_then(|last| last["outcome"].as_str());
    let made = object.number("/creation_date");
    vec![
        visible(&object.id),
        made.map_or_else(|| "-".to_owned(), when),
        object.cell("/kind"),
        object.cell("/channel"),
        object.cell("/target"),
        object.cell("/state"),
        tries.map_or(0, Vec::len).to_string(),
        visible(last.unwrap_or("-")),
    ]
}
