//! Bundles to and from files.

use std::path::Path;

use anyhow::Context as _;
use futures_util::StreamExt;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use super::update::{Asked, report};
use crate::cli::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::progress::Lines;
use crate::cli::text::{emit, emit_json, size, visible, visible_name};
use crate::cli::wire::{Envelope, Object};
use crate::model::EngineId;

/// Writes the active sets of engines into a file; an unfinished file never has its name.
///
/// # Errors
/// If the server refuses, the connection breaks, or the file cannot be written.
pub async fn export(context: &Context, engines: &[EngineId], file: &Path) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let names: Vec<_> = engines.iter().map(EngineId::as_str).collect();
    let url = format!("acquit/signatures/export?engines={}", names.join(","));
    let request = client.request(Method::GET, &client.url(&url));
    let response = client.open(request).await?;
    let failed = || format!("cannot write {}", file.display());
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    let partial = tempfile::NamedTempFile::new_in(dir.unwrap_or_else(|| Path::new(".")));
    let partial = partial.with_context(failed)?;
    let mut out = tokio::fs::File::from_std(partial.reopen().with_context(failed)?);
    let mut chunks = response.bytes_stream();
    let (mut bytes, mut line) = (0, Lines::new().start("export"));
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| client.broken(&error))?;
        out.write_all(&chunk).await.with_context(failed)?;
        bytes += chunk.len() as u64;
        line.show("writing", &format!(" {}", size(bytes)));
    }
    out.sync_all().await.with_context(failed)?;
    line.clear();
    partial.persist(file).with_context(failed)?;
    if context.json {
        emit_json(&json!({ "file": file, "size": bytes }))?;
    } else {
        let name = visible_name(file.as_os_str());
        emit(&format!("wrote {name}, {}\n", size(bytes)))?;
    }
    Ok(Exit::Fine)
}

/// Gives a bundle to the server and waits until its sets are proven.
///
/// # Errors
/// If the file cannot be read, or the server refuses.
pub async fn import(context: &Context, file: &Path) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let cannot = |error: std::io::Error| UsageError(format!("{}: {error}", file.display()));
    let opened = tokio::fs::File::open(file).await.map_err(cannot)?;
    let length = opened.metadata().await.map_err(cannot)?.len();
    let url = client.url("acquit/signatures/import");
    let request = client.request(Method::POST, &url);
    let request = request
        .header("content-type", "application/octet-stream")
        .header(CONTENT_LENGTH, length)
        .body(Body::wrap_stream(ReaderStream::with_capacity(
            opened,
            256 << 10,
        )));
    let answer = client.answer(request).await?;
    report(context, &client, (asked(&answer), true)).await
}

/// Reads what an import began.
fn asked(answer: &Value) -> Vec<Asked> {
    let list = |pointer: &str| {
        let list = answer.pointer(pointer).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let begun = list("/data").into_iter().filter_map(|update| {
        let update: Object<Value> = serde_json::from_value(update).ok()?;
        let engine = update.cell("/engine");
        let begun = Ok(update);
        Some(Asked { engine, begun })
    });
    let refused = list("/meta/refused").into_iter().map(|refused| {
        let text = |key: &str| visible(refused[key].as_str().unwrap_or("-"));
        Asked {
            engine: text("engine"),
            begun: Err(text("message")),
        }
    });
    begun.chain(refused).collect()
}

/// Shows the appliance's public key.
///
/// # Errors
/// If the server does not say.
pub async fn key(context: &Context) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let key: Envelope<Object<Value>> = client.get("acquit/signatures/key").await?;
    if context.json {
        emit_json(&json!({ "public_key": key.data.attributes["public_key"] }))?;
    } else {
        emit(&format!("{}\n", key.data.cell("/public_key")))?;
    }
    Ok(Exit::Fine)
}
