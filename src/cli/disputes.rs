//! `acquit disputes …`, `acquit vendors directory` and `acquit incidents dispute`: reports of
//! false positives.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::client::{Client, segment};
use super::exit::{Exit, UsageError};
use super::text::{emit, emit_json, table, visible, visible_lines, when};
use super::wire::{Envelope, Object};

/// No message that came back is larger.
const BOUNCE_BYTES: u64 = 2 << 20;
/// No text that would be taken is longer.
const WORDS_BYTES: u64 = 64 << 10;

/// What to do with disputes.
#[derive(Debug, clap::Subcommand)]
pub enum DisputesCommand {
    /// Show the last disputes
    List {
        /// Of this publisher
        #[arg(long, value_name = "ID")]
        publisher: Option<String>,
        /// How many
        #[arg(long, short = 'n', default_value_t = 40, value_name = "NUMBER")]
        limit: usize,
    },
    /// Show a dispute with its text
    Show {
        /// Its number
        id: u64,
    },
    /// Dispute an incident, or see what would leave
    Create(DisputeArguments),
    /// Show where false positives are reported, and how
    Vendors,
    /// Let a prepared dispute leave by mail
    Send {
        /// Its number
        id: u64,
    },
    /// Put a prepared dispute in other words
    Reword {
        /// Its number
        id: u64,
        #[command(flatten)]
        words: WordsArguments,
    },
    /// Write the archive that goes to the vendor's form
    Package {
        /// Its number
        id: u64,
        /// Where to
        #[arg(long, short, value_name = "FILE")]
        out: PathBuf,
    },
    /// Record a message that came back, read from standard input
    Bounce {
        /// The dispute's number, if the message does not tell; then its text is the reason
        id: Option<u64>,
    },
    /// Take a dispute back
    Withdraw {
        /// Its number
        id: u64,
    },
}

/// What is said instead of what Acquit says.
#[derive(Debug, clap::Args)]
pub struct WordsArguments {
    /// Its subject
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// File with its text, - for standard input; hashes, engine and detection follow in any case
    #[arg(long, value_name = "FILE")]
    words: Option<PathBuf>,
}

impl WordsArguments {
    /// Puts them into what is sent.
    fn add(self, attributes: &mut Value) -> anyhow::Result<()> {
        if let Some(subject) = self.subject {
            attributes["subject"] = subject.into();
        }
        if let Some(path) = self.words {
            attributes["words"] = read_words(&path)?.into();
        }
        Ok(())
    }
}

fn read_words(path: &std::path::Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin()
            .lock()
            .take(WORDS_BYTES)
            .read_to_string(&mut text),
        false => std::fs::File::open(path)
            .and_then(|file| file.take(WORDS_BYTES).read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// What a vendor is to be told of an incident.
#[derive(Debug, clap::Args)]
pub struct DisputeArguments {
    /// Number of the incident
    id: u64,
    /// Show exactly what would leave, and do nothing
    #[arg(long)]
    preview: bool,
    /// Give the file to the vendor; this is the consent where the policy asks for one
    #[arg(long, conflicts_with = "without_file")]
    with_file: bool,
    /// Send the text alone
    #[arg(long)]
    without_file: bool,
    /// Send it at once if the vendor takes mail
    #[arg(long, conflicts_with = "preview")]
    send: bool,
    /// Make it this engine's alone, though engines that share its signatures have one
    #[arg(long)]
    apart: bool,
    /// Entry of the directory of vendors, if the engine has several
    #[arg(long, value_name = "ID")]
    vendor: Option<String>,
    /// Record the number that the vendor gave
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["preview", "send", "with_file"])]
    ticket: Option<String>,
    #[command(flatten)]
    words: WordsArguments,
}

/// Carries out a command.
///
/// # Errors
/// If it cannot be.
pub async fn run(context: &Context, command: DisputesCommand) -> anyhow::Result<Exit> {
    let act = |id: u64, what: &str| format!("acquit/disputes/{id}/{what}");
    match command {
        DisputesCommand::List { publisher, limit } => list(context, publisher, limit).await,
        DisputesCommand::Show { id } => {
            let path = format!("acquit/disputes/{id}");
            let found: Envelope<Object<Value>> = context.quick_client()?.get(&path).await?;
            show(context, &found.data)
        }
        DisputesCommand::Create(arguments) => dispute(context, arguments).await,
        DisputesCommand::Vendors => directory(context).await,
        DisputesCommand::Send { id } => post(context, &act(id, "send"), None).await,
        DisputesCommand::Reword { id, words } => {
            let mut attributes = json!({});
            words.add(&mut attributes)?;
            let path = format!("acquit/disputes/{id}");
            order(context, (Method::PATCH, &path), Some(attributes)).await
        }
        DisputesCommand::Withdraw { id } => post(context, &act(id, "withdraw"), None).await,
        DisputesCommand::Package { id, out } => package(context, id, &out).await,
        DisputesCommand::Bounce { id } => bounce(context, id).await,
    }
}

async fn list(context: &Context, publisher: Option<String>, limit: usize) -> anyhow::Result<Exit> {
    let mut path = "acquit/disputes".to_owned();
    if let Some(publisher) = &publisher {
        path.push_str(&format!("?publisher={}", segment(publisher)));
    }
    let client = context.quick_client()?;
    let found: Vec<Object<Value>> = client.first(&path, limit.max(1)).await?;
    if context.json {
        let found: Vec<_> = found.iter().map(Object::document).collect();
        emit_json(&json!({ "disputes": found }))?;
        return Ok(Exit::Fine);
    }
    let row = |it: &Object<Value>| {
        vec![
            visible(&it.id),
            it.cell("/incident"),
            it.cell("/vendor"),
            it.cell("/state"),
            it.number("/state_date")
                .map_or_else(|| "-".to_owned(), when),
            it.cell("/ticket"),
            it.cell("/subject"),
        ]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let head = [
        "DISPUTE", "INCIDENT", "VENDOR", "STATE", "SINCE", "TICKET", "SUBJECT",
    ];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

/// Makes, previews or sends a dispute of an incident, or records its ticket.
///
/// # Errors
/// If the server refuses; it says what is missing.
pub async fn dispute(context: &Context, arguments: DisputeArguments) -> anyhow::Result<Exit> {
    if let Some(ticket) = &arguments.ticket {
        return record(context, arguments.id, ticket).await;
    }
    let file = match (arguments.with_file, arguments.without_file) {
        (true, _) => "with",
        (_, true) => "without",
        _ => "policy",
    };
    let mut order = json!({ "incident": arguments.id, "file": file, "send": arguments.send });
    if arguments.apart {
        order["apart"] = true.into();
    }
    if let Some(vendor) = arguments.vendor {
        order["vendor"] = vendor.into();
    }
    arguments.words.add(&mut order)?;
    let path = match arguments.preview {
        true => "acquit/disputes/preview",
        false => "acquit/disputes",
    };
    post(context, path, Some(order)).await
}

/// Records a ticket with the dispute of the incident that is not over.
async fn record(context: &Context, incident: u64, ticket: &str) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let found: Vec<Object<Value>> = client.list("acquit/disputes").await?;
    let live = |it: &&Object<Value>| {
        let state = it.text("/state").unwrap_or_default();
        it.number("/incident") == Some(incident) && ["prepared", "sent"].contains(&&*state)
    };
    let none = || {
        UsageError(format!(
            "incident {incident} has no dispute that was taken to a vendor; make one with \
             `acquit incidents dispute {incident}`"
        ))
    };
    let id = found.iter().find(live).map(|it| it.id.clone());
    let id = id.ok_or_else(none)?;
    let path = format!("acquit/disputes/{}/ticket", segment(&id));
    post(context, &path, Some(json!({ "ticket": ticket }))).await
}

async fn bounce(context: &Context, id: Option<u64>) -> anyhow::Result<Exit> {
    let mut message = Vec::new();
    let mut input = std::io::stdin().lock().take(BOUNCE_BYTES);
    input
        .read_to_end(&mut message)
        .context("cannot read the message")?;
    if let Some(id) = id {
        let reason = String::from_utf8_lossy(&message);
        let reason: String = reason.chars().take(1000).collect();
        let path = format!("acquit/disputes/{id}/bounce");
        return post(context, &path, Some(json!({ "reason": reason }))).await;
    }
    let client = context.quick_client()?;
    let request = client.request(Method::POST, &client.url("acquit/disputes/bounce"));
    let request = request
        .header("content-type", "message/rfc822")
        .body(message);
    let answer = client.once(request).await?;
    done(context, &client, answer)
}

async fn post(context: &Context, path: &str, attributes: Option<Value>) -> anyhow::Result<Exit> {
    order(context, (Method::POST, path), attributes).await
}

async fn order(
    context: &Context,
    (method, path): (Method, &str),
    attributes: Option<Value>,
) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let mut request = client.request(method, &client.url(path));
    if let Some(attributes) = attributes {
        let body = json!({ "data": { "type": "dispute", "attributes": attributes } });
        request = request.json(&body);
    }
    let answer = client.once(request).await?;
    done(context, &client, answer)
}

fn done(context: &Context, client: &Client, answer: Value) -> anyhow::Result<Exit> {
    let found: Result<Envelope<Object<Value>>, _> = serde_json::from_value(answer);
    let found = found.map_err(|error| client.garbled(&error.to_string()))?;
    show(context, &found.data)
}

fn show(context: &Context, it: &Object<Value>) -> anyhow::Result<Exit> {
    if context.json {
        emit_json(&it.document())?;
        return Ok(Exit::Fine);
    }
    let mut text = match it.text("/state") {
        Some(state) => format!("dispute {}: {state}\n", visible(&it.id)),
        None => "nothing was done; this would leave:\n".to_owned(),
    };
    let names = [
        ("incident", "/incident"),
        ("vendor", "/vendor"),
        ("to", "/to"),
        ("by mail", "/by_mail"),
        ("with file", "/with_file"),
        ("archive", "/archive"),
        ("password", "/password"),
        ("rule", "/rule"),
        ("package", "/package"),
        ("ticket", "/ticket"),
        ("worded by", "/worded_by"),
        ("problem", "/problem"),
        ("remarks", "/remarks"),
        ("verified", "/last_verified"),
        ("subject", "/subject"),
    ];
    for (name, pointer) in names {
        if let Some(value) = it.text(pointer).filter(|value| !value.is_empty()) {
            text.push_str(&format!("{name:<10} {value}\n"));
        }
    }
    let missing = it.attributes["missing"].as_array();
    if let Some(missing) = missing.filter(|missing| !missing.is_empty()) {
        let fields: Vec<_> = missing
            .iter()
            .filter_map(Value::as_str)
            .map(visible)
            .collect();
        text.push_str(&format!("{:<10} {}\n", "missing", fields.join(", ")));
    }
    let body = it.attributes["text"].as_str().unwrap_or_default();
    text.push_str(&format!("\n{}\n", visible_lines(body)));
    emit(&text)?;
    Ok(Exit::Fine)
}

async fn package(context: &Context, id: u64, out: &std::path::Path) -> anyhow::Result<Exit> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let client = context.client()?;
    let path = format!("acquit/disputes/{id}/package");
    let request = client.request(Method::GET, &client.url(&path));
    let mut response = client.open(request).await?;
    let mut options = std::fs::File::options();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(out);
    let mut file = file.with_context(|| format!("cannot write {}", out.display()))?;
    while let Some(block) = response
        .chunk()
        .await
        .map_err(|error| client.broken(&error))?
    {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok(Exit::Fine)
}

/// Shows where false positives are reported.
///
/// # Errors
/// If the server does not answer.
pub async fn directory(context: &Context) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let found: Vec<Object<Value>> = client.list("acquit/vendor_directory").await?;
    if context.json {
        let found: Vec<_> = found.iter().map(Object::document).collect();
        emit_json(&json!({ "vendor_directory": found }))?;
        return Ok(Exit::Fine);
    }
    let row = |it: &Object<Value>| {
        let mail = it.attributes["mail"].as_array();
        let mail = mail.and_then(|mail| mail.first()?.as_str()).map(visible);
        vec![
            visible(&it.id),
            it.cell("/channel"),
            mail.unwrap_or_else(|| it.cell("/url")),
            it.cell("/archive"),
            it.cell("/max_mb"),
            it.cell("/bounce_count"),
            it.cell("/last_verified"),
        ]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let head = [
        "VENDOR", "CHANNEL", "WHERE", "ARCHIVE", "MB", "BOUNCES", "VERIFIED",
    ];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}
