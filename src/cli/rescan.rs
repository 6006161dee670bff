//! `acquit rescan`: every file again, and how far that is.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Context;
use super::client::Client;
use super::exit::Exit;
use super::progress::rescan_bar;
use super::text::{count, emit, emit_json, now, span};
use super::wire::{Envelope, Object};
use crate::model::EngineId;

/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_secs(1);
/// How long the server may take to begin.
const BEGIN: Duration = Duration::from_secs(60);
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(10);

/// What to look at again.
#[derive(Debug, clap::Args)]
pub struct RescanArguments {
    /// The one engine to ask; all if not given
    engine: Option<EngineId>,
    /// Scan again what the engines have seen with what they scan with now
    #[arg(long)]
    fresh: bool,
    /// Wait for the end and show how far it is
    #[arg(long)]
    watch: bool,
}

/// Orders a rescan.
///
/// # Errors
/// If the server does not answer or refuses.
pub async fn run(context: &Context, arguments: RescanArguments) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let before = newest(&client).await?.map_or(0, |rescan| number(&rescan));
    let reuse = if arguments.fresh { "never" } else { "known" };
    let body = json!({ "engine": arguments.engine, "reuse": reuse });
    let request = client.request(Method::POST, &client.url("acquit/rescan"));
    let ordered = client.once(request.json(&body)).await?;
    if !arguments.watch {
        match context.json {
            true => emit_json(&ordered)?,
            false => emit("the rescan is ordered; `acquit rescan --watch` waits for one\n")?,
        }
        return Ok(Exit::Fine);
    }
    let rescan = watch(&client, before).await?;
    if context.json {
        emit_json(&rescan.document())?;
    } else {
        emit(&format!("{}\n", told(&rescan)))?;
    }
    Ok(Exit::Fine)
}

async fn newest(client: &Client) -> anyhow::Result<Option<Object<Value>>> {
    let newest: Vec<Object<Value>> = client.first("acquit/rescans", 1).await?;
    Ok(newest.into_iter().next())
}

fn number(rescan: &Object<Value>) -> u64 {
    rescan.id.parse().unwrap_or(0)
}

/// Looks until the rescan after `before` is complete.
async fn watch(client: &Client, before: u64) -> anyhow::Result<Object<Value>> {
    let bar = rescan_bar();
    let mut found = None::<u64>;
    let (mut line_at, begin_until) = (Instant::now(), Instant::now() + BEGIN);
    loop {
        let rescan = match found {
            Some(number) => {
                let path = format!("acquit/rescans/{number}");
                let rescan: Envelope<Object<Value>> = client.get(&path).await?;
                Some(rescan.data)
            }
            None => newest(client).await?.filter(|it| number(it) > before),
        };
        if let Some(rescan) = rescan {
            found = Some(number(&rescan));
            bar.set_length(rescan.number("/wanted").unwrap_or(0));
            bar.set_position(rescan.number("/done").unwrap_or(0));
            bar.set_message(pace(&rescan));
            if bar.is_hidden() && Instant::now() >= line_at {
                eprintln!("{}", told(&rescan));
                line_at = Instant::now() + LINE;
            }
            if rescan.number("/end_date").is_some() {
                bar.finish_and_clear();
                return Ok(rescan);
            }
        }
        if found.is_none() && Instant::now() >= begin_until {
            bar.finish_and_clear();
            let seconds = BEGIN.as_secs();
            anyhow::bail!(
                "the rescan is ordered, but has not begun in {seconds} s; the daemon's log says more"
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Tells the rate and the rest, if they are known.
fn pace(rescan: &Object<Value>) -> String {
    let rate = rescan.attributes["rate"].as_f64();
    let rate = rate.map(|rate| format!(", {rate:.1} a second"));
    let end = rescan.number("/estimated_end_date");
    let end = end.map(|end| format!(", {} left", span(end.saturating_sub(now()))));
    rate.unwrap_or_default() + &end.unwrap_or_default()
}

fn told(rescan: &Object<Value>) -> String {
    let part = |key: &str| rescan.number(key).unwrap_or(0);
    let (wanted, done) = (part("/wanted"), part("/done"));
    let files = count(part("/files"), "file");
    let status = rescan.cell("/status");
    format!(
        "{status}: {done} of {wanted} answers on {files}{}",
        pace(rescan)
    )
}
