//! Changes what is said of items, and does to single ones what can be done in one change.

use serde_json::json;

use super::act::{self, Act, unused_number};
use super::hold::{self, Load};
use super::place::{self, about, at, item, key, publisher, vacant, what};
use super::{Actor, CollectionError, Edit, folders, tree};
use crate::flow::events::{self, Draft};
use crate::flow::policy::policy_at;
use crate::model::{EventKind, Item, ItemId, ItemPath, ReleaseCard, SharePolicy};
use crate::store::{Change, PUBLISHERS, StoreError, TRASH, TreeAct};

/// Longest details, in bytes.
const DETAILS: usize = 16 << 10;
/// Longest field of a card, in bytes.
const FIELD: usize = 2 << 10;
/// Most names of main files.
const MAIN_FILES: usize = 100;

/// Changes what is said of an item, or of the whole collection.
pub fn edit(
    change: &mut Change<'_>,
    id: &ItemId,
    edit: Edit,
    actor: &Actor,
) -> Result<Item, CollectionError> {
    check(&edit)?;
    let before = policy_at(change, &id.publisher, &id.path)?.policy;
    let is_said = edit.policy.is_some();
    let edited = if id.path.is_root() {
        edit_root(change, id, edit)?
    } else {
        edit_item(change, id, edit)?
    };
    if is_said {
        tell_policy(change, (id, edited.policy), before, actor)?;
    }
    Ok(edited)
}

fn edit_root(change: &mut Change<'_>, id: &ItemId, edit: Edit) -> Result<Item, CollectionError> {
    let mut row = publisher(change, &id.publisher)?;
    if edit.details.is_some() {
        return Err(no_details(id));
    }
    if let Some(card) = edit.card {
        row.card = card;
    }
    if let Some(policy) = edit.policy {
        row.policy = policy.unwrap_or_default();
    }
    change.put(&PUBLISHERS, &id.publisher, &row)?;
    Ok(place::root(&row))
}

fn edit_item(change: &mut Change<'_>, id: &ItemId, edit: Edit) -> Result<Item, CollectionError> {
    let mut item = there(change, id)?;
    act::idle(change, id)?;
    if edit.details.is_some() && item.file.is_none() {
        return Err(no_details(id));
    }
    if let Some(details) = edit.details {
        item.details = details;
    }
    if let Some(card) = edit.card {
        let is_empty = card == ReleaseCard::default();
        item.card = (!is_empty).then(|| Box::new(card));
    }
    if let Some(policy) = edit.policy {
        item.policy = policy;
    }
    folders::put(change, &key(id), &item)?;
    Ok(item)
}

fn no_details(id: &ItemId) -> CollectionError {
    let (path, what) = (id.path.clone(), "a folder");
    CollectionError::WrongKind { path, what }
}

fn check(edit: &Edit) -> Result<(), CollectionError> {
    let invalid = |text: String| Err(CollectionError::Invalid(text));
    if let Some(Some(details)) = &edit.details
        && details.len() > DETAILS
    {
        return invalid(format!("details are longer than {DETAILS} bytes"));
    }
    let Some(card) = &edit.card else {
        return Ok(());
    };
    let names = card.main_files.iter().flatten();
    if names.clone().count() > MAIN_FILES {
        return invalid(format!("a card names at most {MAIN_FILES} main files"));
    }
    let fields = [
        &card.company,
        &card.contact,
        &card.product,
        &card.version,
        &card.release_date,
        &card.suite,
        &card.homepage,
        &card.download_url,
        &card.purpose,
    ];
    let mut texts = fields.into_iter().flatten().chain(names);
    if texts.any(|text| text.len() > FIELD) {
        return invalid(format!("a field of the card is longer than {FIELD} bytes"));
    }
    match &card.release_date {
        Some(date) if date.parse::<jiff::civil::Date>().is_err() => {
            invalid(format!("{date:?} is no day: write it as 2026-01-31"))
        }
        Some(_) | None => Ok(()),
    }
}

fn tell_policy(
    change: &mut Change<'_>,
    (id, said): (&ItemId, Option<SharePolicy>),
    before: SharePolicy,
    actor: &Actor,
) -> Result<(), CollectionError> {
    let after = policy_at(change, &id.publisher, &id.path)?.policy;
    let text = format!(
        "what vendors may have of {:?} of {} was changed",
        id.path, id.publisher
    );
    let mut draft = Draft::about(actor.now, EventKind::PolicyChanged, about(id, actor), text);
    draft.details = json!({"before": before, "after": after, "said": said});
    events::raise(change, draft)?;
    Ok(())
}

/// Reads an item that must be there.
fn there(change: &Change<'_>, id: &ItemId) -> Result<Item, CollectionError> {
    let path = id.path.clone();
    if path.is_root() {
        let text = "the collection itself can be neither moved, copied nor deleted";
        return Err(CollectionError::Invalid(text.to_owned()));
    }
    item(change, id)?.ok_or(CollectionError::NotFound { path })
}

/// Returns where something goes: a folder's path, said of a file, means into that folder.
fn target(from: &ItemPath, to: ItemPath) -> Result<ItemPath, CollectionError> {
    Ok(match (from.is_folder(), to.is_folder()) {
        (true, _) => to.as_folder().as_str().parse()?,
        (false, true) => to.join(from.name())?,
        (false, false) => to,
    })
}

/// Checks that something may go from one place to another; returns both, and what it is.
fn passage(
    change: &Change<'_>,
    id: &ItemId,
    to: ItemPath,
) -> Result<(Item, ItemId), CollectionError> {
    let item = there(change, id)?;
    let to = target(&id.path, to)?;
    if to.is_below(&id.path) {
        let from = id.path.clone();
        return Err(CollectionError::IntoItself { from, to });
    }
    let to = at(id, to);
    act::idle_tree(change, id)?;
    act::idle_tree(change, &to)?;
    vacant(change, &to)?;
    place::missing_folders(change, &to)?;
    Ok((item, to))
}

/// Moves an item; an act is returned if that takes more than this change. Vendors may have no more
/// of it there than before.
pub fn relocate(
    change: &mut Change<'_>,
    id: &ItemId,
    to: ItemPath,
    actor: &Actor,
) -> Result<(ItemId, Option<Act>), CollectionError> {
    let (mut item, to) = passage(change, id, to)?;
    if item.file.is_none() {
        let (from, path) = (id.path.clone(), to.path.clone());
        let act = TreeAct::Move { from, to: path };
        let act = Act::begin(change, &id.publisher, act, actor)?;
        return Ok((to, Some(act)));
    }
    let way = (&id.path, &to.path);
    let pinned = tree::pin(change, &id.publisher, way, &mut item)?;
    place::make_above(change, &to, actor)?;
    tree::move_one(change, &id.publisher, way, &item)?;
    let details = json!({"from": id.path, "to": to.path, "items": 1, "policy": pinned});
    tell(change, (&to, &item), (EventKind::ItemMoved, details), actor)?;
    Ok((to, None))
}

/// Copies an item; an act is returned if that takes more than this change. Vendors may have no more
/// of the copy than of it.
pub fn copy(
    change: &mut Change<'_>,
    id: &ItemId,
    to: ItemPath,
    actor: &Actor,
) -> Result<(ItemId, Option<Act>), CollectionError> {
    let (mut item, to) = passage(change, id, to)?;
    let Some(file) = &item.file else {
        let (from, path) = (id.path.clone(), to.path.clone());
        let act = TreeAct::Copy { from, to: path };
        let act = Act::begin(change, &id.publisher, act, actor)?;
        return Ok((to, Some(act)));
    };
    let load = Load {
        files: 1,
        bytes: file.size_bytes,
    };
    let publisher = publisher(change, &id.publisher)?;
    hold::charge(change, &publisher, (load, actor.now))?;
    let pinned = tree::pin(change, &id.publisher, (&id.path, &to.path), &mut item)?;
    place::make_above(change, &to, actor)?;
    let copy = tree::copy_one(change, &to, item, actor)?;
    let details = json!({"copied_from": id.path, "to": to.path, "items": 1, "policy": pinned});
    tell(
        change,
        (&to, &copy),
        (EventKind::ItemUploaded, details),
        actor,
    )?;
    Ok((to, None))
}

/// Moves an item to the trash; an act is returned if that takes more than this change.
pub fn delete(
    change: &mut Change<'_>,
    id: &ItemId,
    actor: &Actor,
) -> Result<(u64, Option<Act>), CollectionError> {
    let item = there(change, id)?;
    act::idle_tree(change, id)?;
    if item.file.is_none() {
        let path = id.path.clone();
        let act = Act::begin(change, &id.publisher, TreeAct::Delete { path }, actor)?;
        return Ok((act.number, Some(act)));
    }
    let number = unused_number(change, &id.publisher, actor)?;
    let details = json!({"act": number, "items": 1});
    tell(
        change,
        (id, &item),
        (EventKind::ItemDeleted, details),
        actor,
    )?;
    tree::trash_top(change, id, (number, item), actor)?;
    Ok((number, None))
}

/// Brings back what was deleted in one act.
///
/// It comes back where it was or not at all: if anything is there now, that has to be moved away
/// first. What is in a deleted folder can only be in the way where the folder is.
pub fn restore(
    change: &mut Change<'_>,
    (id, act): (&ItemId, u64),
    actor: &Actor,
) -> Result<Act, CollectionError> {
    let there = change.get(&TRASH, &(id.publisher.clone(), act))?;
    let Some(top) = there.filter(|row| row.act == act) else {
        return Err(CollectionError::NotInTrash { act });
    };
    let (id, path) = (at(id, top.path.clone()), top.path);
    let acts = act::acts(change, &id.publisher)?;
    let is_purged = |row: &TreeAct| matches!(row, TreeAct::Purge { act: purged } if *purged == act);
    if acts.iter().any(|(_, row)| is_purged(&row.what)) {
        return Err(CollectionError::NotInTrash { act });
    }
    act::idle_tree(change, &id)?;
    vacant(change, &id)?;
    place::missing_folders(change, &id)?;
    Act::begin(change, &id.publisher, TreeAct::Restore { act, path }, actor)
}

fn tell(
    change: &mut Change<'_>,
    (id, item): (&ItemId, &Item),
    (kind, details): (EventKind, serde_json::Value),
    actor: &Actor,
) -> Result<(), StoreError> {
    let mut about = about(id, actor);
    about.sha256 = item.file.as_ref().map(|file| file.sha256);
    let verb = match kind {
        EventKind::ItemMoved => "moved here",
        EventKind::ItemUploaded => "copied here",
        _ => "deleted",
    };
    let (what, pinned) = (what(&id.path), details.get("policy"));
    let pinned = pinned.and_then(|policy| serde_json::from_value(policy.clone()).ok());
    let kept = pinned.map(act::as_before).unwrap_or_default();
    let text = format!(
        "{what}, {:?} of {}, was {verb}{kept}",
        id.path, id.publisher
    );
    let mut draft = Draft::about(actor.now, kind, about, text);
    draft.details = details;
    events::raise(change, draft).map(drop)
}
