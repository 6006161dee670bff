//! `acquit push`, `pull`, `ls`, `mv`, `cp`, `rm` and what is said of items: a collection as files.

mod address;
mod pull;
mod push;
mod state;

use reqwest::Method;
use serde_json::{Value, json};

use self::address::{Address, Collection, ItemObject};
use super::Context;
use super::exit::{Exit, UsageError};
use super::text::{emit, emit_json, size, table, visible, when};
use super::wire::Object;
use crate::model::ItemPath;

pub use pull::{PullArguments, pull};
pub use push::{PushArguments, push};
pub use state::{CardArguments, DetailsArguments, PolicyArguments, card, details, policy};

/// What to list.
#[derive(Debug, clap::Args)]
pub struct LsArguments {
    /// The folder or file; the whole collection if none is named
    #[arg(value_name = "[COLLECTION:]/PATH", default_value = "/")]
    place: Address,
    /// Also what is in the folders below
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Only files with this tag, e.g. detected, new-detections or an engine's id; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// name, size, modified or detections; with - before it the last first
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true)]
    order: Option<String>,
}

/// What to move or copy, and where.
#[derive(Debug, clap::Args)]
pub struct MoveArguments {
    /// The file or folder
    #[arg(value_name = "[COLLECTION:]/FROM")]
    from: Address,
    /// Its new path, or a folder it goes into
    #[arg(value_name = "[COLLECTION:]/TO")]
    to: Address,
}

/// What to delete.
#[derive(Debug, clap::Args)]
pub struct RmArguments {
    /// Files, and with -r folders
    #[arg(required = true, value_name = "[COLLECTION:]/PATH")]
    places: Vec<Address>,
    /// Delete folders with all in them
    #[arg(short, long)]
    recursive: bool,
}

/// What to do with the trash.
#[derive(Debug, clap::Subcommand)]
pub enum TrashCommand {
    /// List what was deleted, the last first
    List(TrashArguments),
    /// Bring back what was deleted in one act
    Restore {
        /// The act's number, as `trash list` shows it
        act: u64,
        #[command(flatten)]
        whose: TrashArguments,
    },
    /// Remove everything in the trash for good
    Empty(TrashArguments),
}

/// Whose trash.
#[derive(Debug, clap::Args)]
pub struct TrashArguments {
    /// A publisher's id, if it is not the trash of one's own collection
    #[arg(long, value_name = "ID")]
    collection: Option<crate::model::PublisherId>,
}

/// Lists items.
///
/// # Errors
/// If there is nothing at the path, or the server does not answer.
pub async fn ls(context: &Context, arguments: LsArguments) -> anyhow::Result<Exit> {
    let LsArguments { place, .. } = &arguments;
    let collection = Collection::open(context.quick_client()?, place.publisher.as_ref()).await?;
    let mut filter = format!("path:{}", collection.find(&place.path).await?);
    if !arguments.tags.is_empty() {
        filter = format!("tag:{} {filter}", arguments.tags.join(" "));
    }
    let mut more = String::new();
    if arguments.recursive {
        more.push_str("&recursive=true");
    }
    if let Some(order) = &arguments.order {
        more.push_str(&format!("&order={}", super::client::segment(order)));
    }
    let items = collection.all(&collection.listing(&filter, &more)).await?;
    if context.json {
        let items: Vec<_> = items.iter().map(Object::document).collect();
        emit_json(&json!({ "collection": collection.publisher, "items": items }))?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<_> = items.iter().map(row).collect();
    let head = ["SIZE", "MODIFIED", "DETECTED", "ENGINES", "PATH"];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

fn row(item: &ItemObject) -> Vec<String> {
    let dash = || "-".to_owned();
    let engines = item
        .number("/coverage/answered")
        .zip(item.number("/coverage/enabled"));
    let detected = match (item.number("/size"), item.number("/last_detections_count")) {
        (None, _) => dash(),
        (Some(_), None) => "not scanned yet".to_owned(),
        (Some(_), Some(0)) => "none".to_owned(),
        (Some(_), Some(count)) => count.to_string(),
    };
    vec![
        item.number("/size").map_or_else(dash, size),
        item.number("/last_modification_date")
            .map_or_else(dash, when),
        detected,
        engines.map_or_else(dash, |(answered, enabled)| {
            format!("{answered} of {enabled}")
        }),
        item.cell("/path"),
    ]
}

/// Moves or copies an item.
///
/// # Errors
/// If it is not there, or cannot go where it is to.
pub async fn relocate(
    context: &Context,
    MoveArguments { from, to }: MoveArguments,
    act: &str,
) -> anyhow::Result<Exit> {
    if to.publisher.is_some() && to.publisher != from.publisher {
        let message = "an item stays in its collection; pull it and push it to another";
        return Err(UsageError(message.to_owned()).into());
    }
    let collection = Collection::open(context.client()?, from.publisher.as_ref()).await?;
    let from = collection.find(&from.path).await?;
    let to = target(&collection, &from, to.path).await?;
    let resource = format!("{}/{act}", collection.resource("acquit", &from));
    let attributes = json!({ "to": to.as_str() });
    let answer = collection
        .send((Method::POST, &resource), Some(attributes))
        .await?;
    let at = answer
        .pointer("/data/attributes/path")
        .and_then(Value::as_str);
    let at = at.unwrap_or(to.as_str());
    if context.json {
        emit_json(&json!({ "from": from, "to": at }))?;
    } else {
        emit(&format!(
            "{} is now at {}\n",
            visible(from.as_str()),
            visible(at)
        ))?;
    }
    Ok(Exit::Fine)
}

/// Returns the new path: in a folder that is there, or whose path ends with a slash, the old name.
async fn target(
    collection: &Collection,
    from: &ItemPath,
    to: ItemPath,
) -> anyhow::Result<ItemPath> {
    let folder = to.as_folder();
    let is_there = to.is_root() || collection.get(&folder).await?.is_some();
    if is_there || (to.is_folder() && !from.is_folder()) {
        return Ok(folder.join(from.tail())?);
    }
    Ok(if from.is_folder() { folder } else { to })
}

/// Moves items to the trash.
///
/// # Errors
/// If one is not there, or is a folder without leave.
pub async fn rm(context: &Context, arguments: RmArguments) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let mut deleted = Vec::new();
    for place in &arguments.places {
        let collection = Collection::open(client.clone(), place.publisher.as_ref()).await?;
        let path = collection.find(&place.path).await?;
        if path.is_folder() && !arguments.recursive {
            let message = format!("{path} is a folder: -r deletes it with all in it");
            return Err(UsageError(message).into());
        }
        let resource = collection.resource("monitor", &path);
        let answer = collection.send((Method::DELETE, &resource), None).await?;
        let act = answer
            .pointer("/meta/act")
            .and_then(Value::as_str)
            .unwrap_or("-");
        deleted.push(json!({ "path": path, "act": act }));
        if !context.json {
            let (path, act) = (visible(path.as_str()), visible(act));
            emit(&format!(
                "{path} is in the trash; `acquit trash restore {act}` brings it back\n"
            ))?;
        }
    }
    if context.json {
        emit_json(&json!({ "deleted": deleted }))?;
    }
    Ok(Exit::Fine)
}

/// Lists, restores or empties the trash.
///
/// # Errors
/// If the server refuses.
pub async fn trash(context: &Context, command: TrashCommand) -> anyhow::Result<Exit> {
    let (whose, act) = match command {
        TrashCommand::List(whose) => return trash_list(context, &whose).await,
        TrashCommand::Restore { act, whose } => (whose, Some(act)),
        TrashCommand::Empty(whose) => (whose, None),
    };
    let collection = Collection::open(context.client()?, whose.collection.as_ref()).await?;
    let owner = &collection.publisher;
    let (method, resource, done) = match act {
        Some(act) => (
            Method::POST,
            format!("acquit/trash/{act}/restore?owner={owner}"),
            "brought back",
        ),
        None => (
            Method::DELETE,
            format!("acquit/trash?owner={owner}"),
            "gone for good",
        ),
    };
    let answer = collection.send((method, &resource), None).await?;
    let items = answer
        .pointer("/data/attributes/items_count")
        .and_then(Value::as_u64);
    let items = items.unwrap_or(0);
    if context.json {
        emit_json(&json!({ "items": items }))?;
    } else {
        emit(&format!("{}: {done}\n", super::text::count(items, "item")))?;
    }
    Ok(Exit::Fine)
}

async fn trash_list(context: &Context, whose: &TrashArguments) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let collection = Collection::open(client, whose.collection.as_ref()).await?;
    let resource = format!("acquit/trash?owner={}", collection.publisher);
    let items = collection.all(&resource).await?;
    if context.json {
        let items: Vec<_> = items.iter().map(Object::document).collect();
        emit_json(&json!({ "trash": items }))?;
        return Ok(Exit::Fine);
    }
    let dash = || "-".to_owned();
    let row = |item: &ItemObject| {
        vec![
            item.cell("/act"),
            item.number("/deletion_date").map_or_else(dash, when),
            item.cell("/deleted_by"),
            item.number("/size").map_or_else(dash, size),
            item.cell("/path"),
        ]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    let head = ["ACT", "DELETED", "BY", "SIZE", "PATH"];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}
