//! `acquit ledger …`: what happened and what left, and whether the ledger is whole.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::client::segment;
use super::exit::{Exit, UsageError};
use super::text::{emit, emit_json, table, visible, visible_name, when};
use super::wire::{Envelope, Object};
use crate::model::LedgerChain;

/// No line of an export is longer.
const MAX_LINE_BYTES: u64 = 2 << 20;

/// What to do with the ledger.
#[derive(Debug, clap::Subcommand)]
pub enum LedgerCommand {
    /// Show its last lines
    List(ListArguments),
    /// Write all of it as JSON lines
    Export {
        /// Where to; standard output if not given
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check that no line was changed, removed or moved; exit 1 if one was
    Verify {
        /// An export to check, without a server
        #[arg(long, value_name = "EXPORT")]
        file: Option<PathBuf>,
    },
}

/// Which lines to show.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    /// Of this kind: event, egress, access or admin
    #[arg(long)]
    kind: Option<String>,
    /// Of this publisher
    #[arg(long, value_name = "ID")]
    publisher: Option<String>,
    /// About this file
    #[arg(long, value_name = "HASH")]
    sha256: Option<String>,
    /// Done by this key or user, by its id
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Not before this day or moment, e.g. 2026-11-24 or 2026-11-24T19:00:00Z
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Not after it
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 40, value_name = "NUMBER")]
    limit: usize,
}

/// Carries out a command.
///
/// # Errors
/// If it cannot be.
pub async fn run(context: &Context, command: LedgerCommand) -> anyhow::Result<Exit> {
    match command {
        LedgerCommand::List(arguments) => list(context, arguments).await,
        LedgerCommand::Export { out } => export(context, out.as_deref()).await,
        LedgerCommand::Verify { file: Some(file) } => verify_file(context, &file),
        LedgerCommand::Verify { file: None } => verify(context).await,
    }
}

async fn list(context: &Context, arguments: ListArguments) -> anyhow::Result<Exit> {
    let from = arguments.from.as_deref().map(moment).transpose()?;
    let to = arguments.to.as_deref().map(moment).transpose()?;
    let words = [
        ("kind", arguments.kind),
        ("publisher", arguments.publisher),
        ("sha256", arguments.sha256),
        ("actor", arguments.actor),
        ("from", from),
        ("to", to),
    ];
    let words = words.into_iter().filter_map(|(name, value)| {
        let value = value?;
        Some(format!("{name}={}", segment(&value)))
    });
    let query = words.collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    let path = format!("acquit/ledger{mark}{query}");
    let client = context.quick_client()?;
    let mut lines: Vec<Object<Value>> = client.first(&path, arguments.limit.max(1)).await?;
    lines.reverse();
    if context.json {
        let lines: Vec<_> = lines.iter().map(Object::document).collect();
        emit_json(&json!({ "ledger": lines }))?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<_> = lines.iter().map(row).collect();
    let head = ["LINE", "DATE", "KIND", "WHO", "TO", "BYTES", "WHAT"];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

fn row(line: &Object<Value>) -> Vec<String> {
    vec![
        visible(&line.id),
        line.number("/date").map_or_else(|| "-".to_owned(), when),
        line.cell("/kind"),
        line.cell("/actor"),
        line.cell("/to"),
        line.cell("/bytes"),
        line.cell("/text"),
    ]
}

/// Reads a day, which begins in this machine's time zone, or a moment; returns seconds.
fn moment(text: &str) -> Result<String, UsageError> {
    let moment = text.parse::<jiff::Timestamp>().ok();
    let day = || {
        let day: jiff::civil::Date = text.parse().ok()?;
        let zoned = day.to_zoned(jiff::tz::TimeZone::system()).ok()?;
        Some(zoned.timestamp())
    };
    let moment = moment.or_else(day);
    let wrong = || UsageError(format!("{text:?} is neither a day nor a moment"));
    moment
        .map(|at| at.as_second().to_string())
        .ok_or_else(wrong)
}

async fn export(context: &Context, out: Option<&Path>) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let request = client.request(Method::GET, &client.url("acquit/ledger/export"));
    let mut response = client.open(request).await?;
    let mut file = out.map(create).transpose()?;
    loop {
        let block = response.chunk().await;
        let Some(block) = block.map_err(|error| client.broken(&error))? else {
            break;
        };
        match &mut file {
            Some(file) => file.write_all(&block)?,
            None => emit(std::str::from_utf8(&block).context("the export is no text")?)?,
        }
    }
    if let Some(file) = file {
        file.sync_all()?;
    }
    Ok(Exit::Fine)
}

fn create(path: &Path) -> anyhow::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let shown = || format!("cannot write {}", visible_name(path.as_os_str()));
    options.open(path).with_context(shown)
}

async fn verify(context: &Context) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let found: Envelope<Object<Value>> = client.get("acquit/ledger/verify").await?;
    let found = found.data;
    let intact = found.attributes["intact"] == true;
    if context.json {
        emit_json(&found.document())?;
    } else if intact {
        say_intact(&found.cell("/line"), &found.cell("/hash"))?;
    } else {
        emit(&format!(
            "the ledger is broken: {}\n",
            found.cell("/problem")
        ))?;
    }
    Ok(if intact { Exit::Fine } else { Exit::Found })
}

fn say_intact(lines: &str, hash: &str) -> anyhow::Result<()> {
    emit(&format!(
        "the ledger is whole: {lines} lines, the last one {hash}\n"
    ))
}

/// Checks an export; what was cut off its end only shows against the number of lines and the hash
/// the server names.
fn verify_file(context: &Context, file: &Path) -> anyhow::Result<Exit> {
    let shown = visible_name(file.as_os_str());
    let opened = File::open(file).with_context(|| format!("cannot read {shown}"))?;
    let (mut reader, mut chain) = (BufReader::new(opened), LedgerChain::default());
    loop {
        let mut line = Vec::new();
        let read = std::io::Read::take(&mut reader, MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        chain.take(std::str::from_utf8(text).unwrap_or(""));
    }
    match chain.end() {
        Ok((line, hash)) if context.json => {
            emit_json(&json!({ "intact": true, "line": line, "hash": hash.to_string() }))?;
        }
        Ok((line, hash)) => say_intact(&line.to_string(), &hash.to_string())?,
        Err(fault) => {
            if context.json {
                let problem = fault.to_string();
                emit_json(&json!({ "intact": false, "line": fault.seq(), "problem": problem }))?;
            } else {
                emit(&format!("the ledger is broken: {fault}\n"))?;
            }
            return Ok(Exit::Found);
        }
    }
    Ok(Exit::Fine)
}
