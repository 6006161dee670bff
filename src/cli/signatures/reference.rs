//! `acquit signatures reference`: files on which every new signature set must be silent.

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::exit::Exit;
use crate::cli::history::hash;
use crate::cli::text::{emit, emit_json, table, when};
use crate::cli::wire::Object;

/// Which files are references.
#[derive(Debug, clap::Args)]
pub struct ReferenceArguments {
    /// A file, or its hash; without one the references are listed
    file: Option<String>,
    /// It is to be none any more
    #[arg(long, requires = "file")]
    remove: bool,
}

/// Lists, makes or removes references.
///
/// # Errors
/// If the server does not know the file or does not answer.
pub async fn run(context: &Context, arguments: ReferenceArguments) -> anyhow::Result<Exit> {
    let Some(file) = &arguments.file else {
        return list(context).await;
    };
    let hash = hash(file)?;
    let client = context.quick_client()?;
    let (method, done) = match arguments.remove {
        false => (
            Method::PUT,
            "is a reference: the canary shows it to every new set",
        ),
        true => (Method::DELETE, "is no reference any more"),
    };
    let url = client.url(&format!("files/{hash}/reference"));
    client.open(client.request(method, &url)).await?;
    if context.json {
        emit_json(&json!({ "file": hash, "reference": !arguments.remove }))?;
    } else {
        emit(&format!("{hash} {done}\n"))?;
    }
    Ok(Exit::Fine)
}

async fn list(context: &Context) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let references: Vec<Object<Value>> = client.list("acquit/references").await?;
    if context.json {
        let references: Vec<_> = references.iter().map(Object::document).collect();
        emit_json(&json!({ "references": references }))?;
        return Ok(Exit::Fine);
    }
    let row = |reference: &Object<Value>| {
        let since = reference
            .number("/date")
            .map_or_else(|| "-".to_owned(), when);
        vec![reference.id.clone(), since]
    };
    let rows: Vec<_> = references.iter().map(row).collect();
    emit(&table(context.paint, &["FILE", "SINCE"], &rows))?;
    Ok(Exit::Fine)
}
