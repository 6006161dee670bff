//! What is said of items: details for vendors, release cards, what vendors may have.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::address::{Address, Collection, ItemObject};
use crate::cli::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::text::{emit, emit_json, table, visible, visible_lines};
use crate::cli::wire::{Envelope, Object};
use crate::model::ItemPath;

/// Whose details.
#[derive(Debug, clap::Args)]
pub struct DetailsArguments {
    /// The file
    #[arg(value_name = "[COLLECTION:]/PATH")]
    place: Address,
    /// What vendors are to be told; an empty text takes it back, none shows what is said
    text: Option<String>,
}

/// Whose card, and what is to be stated.
#[derive(Debug, clap::Args)]
pub struct CardArguments {
    /// The file or folder
    #[arg(value_name = "[COLLECTION:]/PATH")]
    place: Address,
    /// State a field, e.g. product=Editor; main_files are separated by commas; nothing after the
    /// equals sign takes it back; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
}

/// Whose policy, and which.
#[derive(Debug, clap::Args)]
pub struct PolicyArguments {
    /// The file or folder
    #[arg(value_name = "[COLLECTION:]/PATH")]
    place: Address,
    /// What vendors whose engine detects it may have; without it, what they may is shown
    #[arg(value_enum)]
    policy: Option<Wanted>,
}

/// What vendors may have.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Wanted {
    /// Nothing: to them it does not exist
    Never,
    /// Hashes, detection, release card, history
    MetadataOnly,
    /// The file too, once a request is granted
    FileOnRequest,
    /// The file too
    File,
    /// What the folder above says
    Inherit,
}

/// Shows or sets what vendors are told of a file.
///
/// # Errors
/// If the file is not there, or the server refuses.
pub async fn details(context: &Context, arguments: DetailsArguments) -> anyhow::Result<Exit> {
    let DetailsArguments { place, text } = arguments;
    let attributes = text.map(|text| match text.is_empty() {
        true => json!({ "details": null }),
        false => json!({ "details": text }),
    });
    let (_, item) = said(context, &place, ("monitor", ""), attributes).await?;
    let details = item.attributes.get("details").and_then(Value::as_str);
    if context.json {
        emit_json(&json!({ "path": item.attributes["path"], "details": details }))?;
    } else {
        emit(&format!(
            "{}\n",
            visible_lines(details.unwrap_or("(nothing is said)"))
        ))?;
    }
    Ok(Exit::Fine)
}

/// Shows or changes a release card.
///
/// # Errors
/// If the item is not there, or the server refuses.
pub async fn card(context: &Context, arguments: CardArguments) -> anyhow::Result<Exit> {
    let CardArguments { place, set } = arguments;
    let mut fields = Map::new();
    for one in &set {
        let (name, value) = one
            .split_once('=')
            .ok_or_else(|| UsageError(format!("{one:?} is no FIELD=VALUE")))?;
        let value = match (name, value) {
            (_, "") => Value::Null,
            ("main_files", names) => names.split(',').map(str::trim).collect(),
            (_, value) => value.into(),
        };
        fields.insert(name.to_owned(), value);
    }
    let attributes = (!fields.is_empty()).then_some(Value::Object(fields));
    let (path, card) = said(context, &place, ("acquit", "/card"), attributes).await?;
    if context.json {
        let mut document = card.document();
        document["path"] = json!(path);
        emit_json(&document)?;
        return Ok(Exit::Fine);
    }
    let effective = card.attributes.get("effective").and_then(Value::as_object);
    let rows = effective.into_iter().flatten().map(|(name, field)| {
        let value = match &field["value"] {
            Value::String(text) => visible(text),
            other => visible(&other.to_string()),
        };
        let source = match (field["source"].as_str(), field["at"].as_str()) {
            (Some("file"), _) => "from the file".to_owned(),
            (_, Some(at)) => format!("stated at {}", visible(at)),
            _ => "-".to_owned(),
        };
        vec![visible(name), value, source]
    });
    let rows: Vec<_> = rows.collect();
    emit(&table(context.paint, &["FIELD", "VALUE", "SOURCE"], &rows))?;
    Ok(Exit::Fine)
}

/// Shows or changes what vendors may have.
///
/// # Errors
/// If the item is not there, or the server refuses.
pub async fn policy(context: &Context, arguments: PolicyArguments) -> anyhow::Result<Exit> {
    let attributes = arguments.policy.map(|policy| match policy {
        Wanted::Never => json!({ "policy": "never" }),
        Wanted::MetadataOnly => json!({ "policy": "metadata-only" }),
        Wanted::FileOnRequest => json!({ "policy": "file-on-request" }),
        Wanted::File => json!({ "policy": "file" }),
        Wanted::Inherit => json!({ "policy": null }),
    });
    let place = &arguments.place;
    let (path, said) = said(context, place, ("acquit", "/policy"), attributes).await?;
    if context.json {
        let mut document = said.document();
        document["path"] = json!(path);
        emit_json(&document)?;
    } else {
        let (policy, at) = (said.cell("/policy"), said.cell("/said_at"));
        emit(&format!(
            "{}: {policy} (said at {at})\n",
            visible(path.as_str())
        ))?;
    }
    Ok(Exit::Fine)
}

/// Changes what is said, if anything is to be, and reads it.
async fn said(
    context: &Context,
    place: &Address,
    (part, end): (&str, &str),
    attributes: Option<Value>,
) -> anyhow::Result<(ItemPath, ItemObject)> {
    let collection = Collection::open(context.client()?, place.publisher.as_ref()).await?;
    let path = collection.find(&place.path).await?;
    let resource = format!("{}{end}", collection.resource(part, &path));
    if attributes.is_some() {
        collection
            .send((Method::PATCH, &resource), attributes)
            .await?;
    }
    let answer: Envelope<Object<Value>> = collection.client.get(&resource).await?;
    Ok((path, answer.data))
}
