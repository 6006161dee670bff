//! Puts files and folders where they are to be.

use serde_json::json;

use super::hold::{self, Load};
use super::{Actor, CollectionError, act, folders};
use crate::flow::events::{self, Draft};
use crate::model::{
    About, EventKind, Item, ItemFile, ItemId, ItemPath, PastFile, Publisher, PublisherId, Sha256,
};
use crate::store::{BlobRow, Change, ITEMS, PUBLISHERS, Read, StoreError, USAGE};

/// Reads a publisher who must be there.
pub fn publisher(read: &impl Read, id: &PublisherId) -> Result<Publisher, CollectionError> {
    let row = read.row(&PUBLISHERS, id)?;
    row.ok_or_else(|| CollectionError::UnknownPublisher {
        publisher: id.clone(),
    })
}

/// Reads an item that may not be there.
pub fn item(read: &impl Read, id: &ItemId) -> Result<Option<Item>, StoreError> {
    read.row(&ITEMS, &key(id))
}

/// Returns the key of an item's row.
pub fn key(id: &ItemId) -> (PublisherId, ItemPath) {
    (id.publisher.clone(), id.path.clone())
}

/// Returns the id of another path of the same publisher.
pub fn at(id: &ItemId, path: ItemPath) -> ItemId {
    ItemId {
        publisher: id.publisher.clone(),
        path,
    }
}

/// Says what is at a path.
pub fn what(path: &ItemPath) -> &'static str {
    if path.is_folder() {
        "a folder"
    } else {
        "a file"
    }
}

/// Refuses a path at which there is something.
pub fn vacant(read: &impl Read, id: &ItemId) -> Result<(), CollectionError> {
    for path in [Some(id.path.clone()), id.path.twin()]
        .into_iter()
        .flatten()
    {
        if path.is_root() || item(read, &at(id, path.clone()))?.is_some() {
            let what = what(&path);
            return Err(CollectionError::Occupied { path, what });
        }
    }
    Ok(())
}

/// Returns the folders above a path that are not there yet, the lowest first.
///
/// A folder that is there has all folders above it.
pub fn missing_folders(read: &impl Read, id: &ItemId) -> Result<Vec<ItemPath>, CollectionError> {
    let (mut missing, mut above) = (Vec::new(), id.path.parent());
    while let Some(path) = above.filter(|path| !path.is_root()) {
        if item(read, &at(id, path.clone()))?.is_some() {
            break;
        }
        if let Some(file) = path.twin()
            && item(read, &at(id, file.clone()))?.is_some()
        {
            let what = "a file";
            return Err(CollectionError::Occupied { path: file, what });
        }
        above = path.parent();
        missing.push(path);
    }
    Ok(missing)
}

/// Makes the folders above a path that are not there yet.
pub fn make_above(
    change: &mut Change<'_>,
    id: &ItemId,
    actor: &Actor,
) -> Result<(), CollectionError> {
    for path in missing_folders(change, id)? {
        folders::put(change, &(id.publisher.clone(), path), &folder(actor))?;
    }
    Ok(())
}

fn folder(actor: &Actor) -> Item {
    Item {
        created_at: actor.now,
        modified_at: actor.now,
        creator: actor.id.clone(),
        file: None,
        details: None,
        card: None,
        policy: None,
    }
}

/// Makes a folder and those above it.
pub fn make_folder(
    change: &mut Change<'_>,
    id: &ItemId,
    actor: &Actor,
) -> Result<Item, CollectionError> {
    let publisher = publisher(change, &id.publisher)?;
    // A path that just fits without its slash would be too long with it.
    let path: ItemPath = id.path.as_folder().as_str().parse()?;
    if path.is_root() {
        return Ok(root(&publisher));
    }
    let id = at(id, path);
    act::idle(change, &id)?;
    if let Some(there) = item(change, &id)? {
        return Ok(there);
    }
    vacant(change, &id)?;
    make_above(change, &id, actor)?;
    let made = folder(actor);
    folders::put(change, &key(&id), &made)?;
    Ok(made)
}

/// Shows the collection itself as an item.
pub fn root(publisher: &Publisher) -> Item {
    Item {
        created_at: publisher.created_at,
        modified_at: publisher.created_at,
        creator: String::new(),
        file: None,
        details: None,
        card: Some(Box::new(publisher.card.clone())),
        policy: Some(publisher.policy),
    }
}

/// Tells whether a file could be put at a path.
///
/// Asked before the file is stored, so that what will be refused leaves no bytes, and again when
/// it is placed. Without its hash, a file as long as the one that is there may be that one.
pub fn may_place(
    read: &impl Read,
    id: &ItemId,
    content: (Option<Sha256>, u64),
    history: usize,
) -> Result<(), CollectionError> {
    let publisher = publisher(read, &id.publisher)?;
    if id.path.is_folder() {
        let (path, what) = (id.path.clone(), "a folder");
        return Err(CollectionError::WrongKind { path, what });
    }
    act::idle(read, id)?;
    let there = item(read, id)?;
    if there.is_none() {
        vacant(read, id)?;
        missing_folders(read, id)?;
    }
    let usage = read.row(&USAGE, &id.publisher)?.unwrap_or_default();
    let before = there.as_ref().map(Load::of).unwrap_or_default();
    let after = load_with(there.as_ref(), content, history);
    hold::fits(publisher.quota, usage, after.beyond(before))
}

/// Returns what an item would count for with another content, which makes history of its own.
fn load_with(there: Option<&Item>, (sha256, bytes): (Option<Sha256>, u64), history: usize) -> Load {
    let Some((item, file)) = there.and_then(|item| Some((item, item.file.as_ref()?))) else {
        return Load { files: 1, bytes };
    };
    if sha256.map_or(file.size_bytes == bytes, |sha256| file.sha256 == sha256) {
        return Load::of(item);
    }
    let past = file.history.iter().map(|past| past.size_bytes);
    let surplus = (file.history.len() + 1).saturating_sub(history);
    let kept = past.chain([file.size_bytes]).skip(surplus);
    Load {
        files: 1,
        bytes: bytes + kept.sum::<u64>(),
    }
}

/// Puts a blob at a path; `history` is how many contents before it are kept. Returns the item, and
/// whether another content was there.
pub fn place(
    change: &mut Change<'_>,
    (id, blob): (&ItemId, &BlobRow),
    actor: &Actor,
    history: usize,
) -> Result<(Item, bool), CollectionError> {
    let (sha256, bytes) = (blob.digests.sha256, blob.size_bytes);
    let publisher = publisher(change, &id.publisher)?;
    if id.path.is_folder() {
        let (path, what) = (id.path.clone(), "a folder");
        return Err(CollectionError::WrongKind { path, what });
    }
    act::idle(change, id)?;
    let before = item(change, id)?;
    let file = ItemFile {
        sha256,
        size_bytes: bytes,
        history: Vec::new(),
    };
    let held = before.as_ref().and_then(|item| item.file.as_ref());
    let held = held.map(|file| file.sha256);
    let item = match before.clone() {
        Some(item) if held == Some(sha256) => item,
        Some(item) => overwrite(change, (id, item), (file, history), actor)?,
        None => {
            vacant(change, id)?;
            make_above(change, id, actor)?;
            hold::point(change, id, sha256, actor.now)?;
            Item {
                file: Some(file),
                ..folder(actor)
            }
        }
    };
    settle(change, &publisher, (before.as_ref(), &item), actor)?;
    hold::count_upload(change, &id.publisher, bytes)?;
    folders::put(change, &key(id), &item)?;
    tell(change, (id, &item), before.is_some(), actor)?;
    let replaced = held.is_some_and(|held| held != sha256);
    Ok((item, replaced))
}

/// Counts the difference between what an item was and what it is.
fn settle(
    change: &mut Change<'_>,
    publisher: &Publisher,
    (before, after): (Option<&Item>, &Item),
    actor: &Actor,
) -> Result<(), CollectionError> {
    let before = before.map(Load::of).unwrap_or_default();
    let after = Load::of(after);
    if after.bytes < before.bytes {
        let (files, bytes) = (0, before.bytes - after.bytes);
        return Ok(hold::discharge(
            change,
            &publisher.id,
            Load { files, bytes },
        )?);
    }
    hold::charge(change, publisher, (after.beyond(before), actor.now))
}

/// Gives an item another content; the one it had becomes history.
fn overwrite(
    change: &mut Change<'_>,
    (id, mut item): (&ItemId, Item),
    (mut file, history): (ItemFile, usize),
    actor: &Actor,
) -> Result<Item, CollectionError> {
    hold::point(change, id, file.sha256, actor.now)?;
    if let Some(past) = item.file.take() {
        hold::unpoint(change, id, past.sha256, actor.now)?;
        hold::keep(change, &id.publisher, past.sha256)?;
        file.history = past.history;
        file.history.push(PastFile {
            sha256: past.sha256,
            size_bytes: past.size_bytes,
            from: item.modified_at,
            until: actor.now,
            creator: std::mem::take(&mut item.creator),
        });
        let surplus = file.history.len().saturating_sub(history);
        for fallen in file.history.drain(..surplus) {
            hold::unkeep(change, &id.publisher, fallen.sha256)?;
        }
    }
    Ok(Item {
        modified_at: actor.now,
        creator: actor.id.clone(),
        file: Some(file),
        ..item
    })
}

fn tell(
    change: &mut Change<'_>,
    (id, item): (&ItemId, &Item),
    replaced: bool,
    actor: &Actor,
) -> Result<(), StoreError> {
    let verb = if replaced { "replaced" } else { "uploaded" };
    let text = format!("{:?} of {} was {verb}", id.path, id.publisher);
    let file = item.file.as_ref();
    let about = About {
        sha256: file.map(|file| file.sha256),
        ..about(id, actor)
    };
    let mut draft = Draft::about(actor.now, EventKind::ItemUploaded, about, text);
    let size_bytes = file.map(|file| file.size_bytes);
    draft.details = json!({"size_bytes": size_bytes, "replaced": replaced});
    events::raise(change, draft).map(drop)
}

/// Says of an event that somebody did it to an item.
pub fn about(id: &ItemId, actor: &Actor) -> About {
    About {
        publisher: Some(id.publisher.clone()),
        path: Some(id.path.clone()),
        actor: Some(actor.id.clone()),
        ..About::default()
    }
}
