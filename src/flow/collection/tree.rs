//! The steps of acts on trees: what is done to each item, and in which order.
//!
//! Folders come before what is in them and go after it, so that at no moment an item lacks the
//! policy of a folder above it: first files go and folders are doubled, then the old folders are
//! swept away.

use super::act::{Act, Survey};
use super::hold::{self, Load};
use super::place::{at, item, make_above, vacant};
use super::{Actor, CollectionError, folders};
use crate::flow::policy::policy_at;
use crate::model::{Item, ItemFile, ItemId, ItemPath, PublisherId, SharePolicy, Trashed};
use crate::store::{
    Change, Depth, ITEMS, Read, RowKey, StoreError, TRASH, TreeAct, folder_prefix, party_prefix,
};

/// Items that are touched in one change.
pub const STEP: usize = 500;
/// Numbers an act has for what it puts into the trash.
pub const SPAN: u64 = 1 << 22;

/// Reads items below a folder, at any depth, after one of them.
pub fn below(
    read: &impl Read,
    publisher: &PublisherId,
    (folder, after): (&ItemPath, Option<&ItemPath>),
    limit: usize,
) -> Result<Vec<(ItemPath, Item)>, StoreError> {
    let prefix = folder_prefix(publisher, folder, Depth::Recursive);
    // A zero byte makes of a key the first one after it.
    let from = after.map(|path| {
        let key = (publisher.clone(), path.clone());
        [key.to_bytes(), vec![0]].concat()
    });
    let rows = read.rows(&ITEMS, (&prefix, from.as_deref()), limit)?;
    Ok(rows
        .into_iter()
        .map(|((_, path), item)| (path, item))
        .collect())
}

/// Reads what one act put into the trash.
pub fn trashed(
    read: &impl Read,
    publisher: &PublisherId,
    act: u64,
    limit: usize,
) -> Result<Vec<(u64, Trashed)>, StoreError> {
    let from = (publisher.clone(), act).to_bytes();
    let rows = read.rows(&TRASH, (&party_prefix(publisher), Some(&from)), limit)?;
    let rows = rows.into_iter().map(|((_, number), row)| (number, row));
    Ok(rows.take_while(|(_, row)| row.act == act).collect())
}

/// Does what comes before the first step, once it is known that the act is possible.
pub fn prepare(
    change: &mut Change<'_>,
    act: &mut Act,
    survey: &Survey,
) -> Result<(), CollectionError> {
    let actor = act.actor();
    match act.row.what.clone() {
        TreeAct::Move { from, to } => {
            survey.fits(&from, &to)?;
            let top = pinned(change, act, (&from, &to))?;
            make_above(change, &act.id(&to), &actor)?;
            folders::put(change, &(act.publisher.clone(), to), &top)?;
            act.row.count += 1;
        }
        TreeAct::Copy { from, to } => {
            survey.fits(&from, &to)?;
            let top = pinned(change, act, (&from, &to))?;
            let publisher = super::place::publisher(change, &act.publisher)?;
            hold::charge(change, &publisher, (survey.load, actor.now))?;
            make_above(change, &act.id(&to), &actor)?;
            copy_one(change, &act.id(&to), top, &actor)?;
            act.row.count += 1;
        }
        TreeAct::Delete { path } => {
            let top = act.expect(change, &path)?;
            trash_top(change, &act.id(&path), (act.number, top), &actor)?;
            act.row.count += 1;
        }
        TreeAct::Restore { path, .. } => {
            vacant(change, &act.id(&path))?;
            make_above(change, &act.id(&path), &actor)?;
        }
        TreeAct::Purge { .. } => {}
    }
    act.row.ready = true;
    Ok(())
}

/// Reads the folder an act is about, with the policy that it takes along.
fn pinned(
    change: &Change<'_>,
    act: &mut Act,
    way: (&ItemPath, &ItemPath),
) -> Result<Item, CollectionError> {
    let mut top = act.expect(change, way.0)?;
    act.row.pinned = pin(change, &act.publisher, way, &mut top)?;
    Ok(top)
}

/// Has an item say of itself what holds for it now, if more is said where it goes: nobody consented
/// to that. Returns what it says then. What is in a folder goes by what the folder says.
pub fn pin(
    read: &impl Read,
    publisher: &PublisherId,
    (from, to): (&ItemPath, &ItemPath),
    item: &mut Item,
) -> Result<Option<SharePolicy>, StoreError> {
    if item.policy.is_some() {
        return Ok(None);
    }
    let now = policy_at(read, publisher, from)?.policy;
    let above = to.parent().unwrap_or_else(ItemPath::root);
    if policy_at(read, publisher, &above)?.policy <= now {
        return Ok(None);
    }
    item.policy = Some(now);
    Ok(item.policy)
}

/// Does one step; tells whether it was the last.
pub fn step(change: &mut Change<'_>, act: &mut Act) -> Result<bool, CollectionError> {
    match act.row.what.clone() {
        TreeAct::Move { from, to } => {
            let moving = |change: &mut Change<'_>, act: &mut Act, path: &ItemPath, item: Item| {
                let to = path.moved(&from, &to)?;
                move_one(change, &act.publisher, (path, &to), &item)?;
                Ok(())
            };
            Ok(each_below(change, act, &from, &moving)? && sweep(change, act, &from)?)
        }
        TreeAct::Copy { from, to } => {
            let copying = |change: &mut Change<'_>, act: &mut Act, path: &ItemPath, item: Item| {
                let to = act.id(&path.moved(&from, &to)?);
                copy_one(change, &to, item, &act.actor())?;
                Ok(())
            };
            each_below(change, act, &from, &copying)
        }
        TreeAct::Delete { path: top } => {
            let deleting = |change: &mut Change<'_>, act: &mut Act, path: &ItemPath, item: Item| {
                let number = act.number + act.row.count;
                let trashed = act.trashed(path, item);
                trash_one(change, &act.id(path), (number, &trashed))?;
                Ok(())
            };
            Ok(each_below(change, act, &top, &deleting)? && sweep(change, act, &top)?)
        }
        TreeAct::Restore { act: from, .. } => empty(change, act, from, &restore_one),
        TreeAct::Purge { act: from } => {
            let purging =
                |change: &mut Change<'_>, act: &Act, row| purge_one(change, &act.publisher, row);
            empty(change, act, from, &purging)
        }
    }
}

type OnItem<'f> =
    &'f dyn Fn(&mut Change<'_>, &mut Act, &ItemPath, Item) -> Result<(), CollectionError>;

/// Goes on through what is below a folder; tells whether all of it was seen.
fn each_below(
    change: &mut Change<'_>,
    act: &mut Act,
    folder: &ItemPath,
    on_item: OnItem<'_>,
) -> Result<bool, CollectionError> {
    let after = act.row.done.clone();
    let rows = below(change, &act.publisher, (folder, after.as_ref()), STEP)?;
    let is_last = rows.len() < STEP;
    for (path, item) in rows {
        on_item(change, act, &path, item)?;
        act.row.count += 1;
        act.row.done = Some(path);
    }
    Ok(is_last)
}

/// Removes folders that were doubled, once all files are gone; tells whether none is left.
fn sweep(change: &mut Change<'_>, act: &Act, folder: &ItemPath) -> Result<bool, CollectionError> {
    let rows = below(change, &act.publisher, (folder, None), STEP)?;
    let is_last = rows.len() < STEP;
    for (path, _) in rows {
        folders::remove(change, &(act.publisher.clone(), path));
    }
    if is_last {
        folders::remove(change, &(act.publisher.clone(), folder.clone()));
    }
    Ok(is_last)
}

type OnTrashed = dyn Fn(&mut Change<'_>, &Act, (u64, Trashed)) -> Result<(), CollectionError>;

/// Goes on through what an act put into the trash; tells whether nothing of it is left.
fn empty(
    change: &mut Change<'_>,
    act: &mut Act,
    from: u64,
    on_trashed: &OnTrashed,
) -> Result<bool, CollectionError> {
    let rows = trashed(change, &act.publisher, from, STEP)?;
    let is_last = rows.len() < STEP;
    for row in rows {
        on_trashed(change, act, row)?;
        act.row.count += 1;
    }
    Ok(is_last)
}

/// Gives an item another path. A folder stays where it is, too, until what is in it is gone.
pub fn move_one(
    change: &mut Change<'_>,
    publisher: &PublisherId,
    (from, to): (&ItemPath, &ItemPath),
    item: &Item,
) -> Result<(), StoreError> {
    folders::put(change, &(publisher.clone(), to.clone()), item)?;
    let Some(file) = &item.file else {
        return Ok(());
    };
    folders::remove(change, &(publisher.clone(), from.clone()));
    hold::repoint(change, (publisher, file.sha256), from, to)
}

/// Makes a new item of another one: what is said of it goes along, what it was before does not.
pub fn copy_one(
    change: &mut Change<'_>,
    to: &ItemId,
    item: Item,
    actor: &Actor,
) -> Result<Item, StoreError> {
    let file = item.file.map(|file| ItemFile {
        history: Vec::new(),
        ..file
    });
    let copy = Item {
        created_at: actor.now,
        modified_at: actor.now,
        creator: actor.id.clone(),
        file,
        ..item
    };
    if let Some(file) = &copy.file {
        hold::point(change, to, file.sha256, actor.now)?;
    }
    folders::put(change, &(to.publisher.clone(), to.path.clone()), &copy)?;
    Ok(copy)
}

/// Puts what is deleted itself into the trash, with the policy that was inherited.
pub fn trash_top(
    change: &mut Change<'_>,
    id: &ItemId,
    (act, item): (u64, Item),
    actor: &Actor,
) -> Result<(), CollectionError> {
    let above = id.path.parent().unwrap_or_else(ItemPath::root);
    let inherited = policy_at(change, &id.publisher, &above)?.policy;
    let trashed = Trashed {
        path: id.path.clone(),
        item,
        deleted_at: actor.now,
        deleted_by: actor.id.clone(),
        act,
        inherited: Some(inherited),
    };
    Ok(trash_one(change, id, (act, &trashed))?)
}

fn trash_one(
    change: &mut Change<'_>,
    id: &ItemId,
    (number, trashed): (u64, &Trashed),
) -> Result<(), StoreError> {
    change.put(&TRASH, &(id.publisher.clone(), number), trashed)?;
    let Some(file) = &trashed.item.file else {
        return Ok(());
    };
    folders::remove(change, &(id.publisher.clone(), id.path.clone()));
    hold::keep(change, &id.publisher, file.sha256)?;
    hold::unpoint(change, id, file.sha256, trashed.deleted_at)
}

/// Brings an item back.
fn restore_one(
    change: &mut Change<'_>,
    act: &Act,
    (number, trashed): (u64, Trashed),
) -> Result<(), CollectionError> {
    let (publisher, mut item) = (&act.publisher, trashed.item);
    let id = ItemId {
        publisher: publisher.clone(),
        path: trashed.path,
    };
    if let (None, Some(then), Some(above)) = (item.policy, trashed.inherited, id.path.parent())
        && policy_at(change, publisher, &above)?.policy > then
    {
        item.policy = Some(then);
    }
    change.remove(&TRASH, &(publisher.clone(), number));
    folders::put(change, &(publisher.clone(), id.path.clone()), &item)?;
    if let Some(file) = &item.file {
        hold::point(change, &id, file.sha256, act.row.at)?;
        hold::unkeep(change, publisher, file.sha256)?;
    }
    Ok(())
}

/// Removes an item from the trash for good.
pub fn purge_one(
    change: &mut Change<'_>,
    publisher: &PublisherId,
    (number, trashed): (u64, Trashed),
) -> Result<(), CollectionError> {
    change.remove(&TRASH, &(publisher.clone(), number));
    hold::discharge(change, publisher, Load::of(&trashed.item))?;
    if let Some(file) = &trashed.item.file {
        hold::unkeep_all(change, publisher, file)?;
    }
    Ok(())
}

impl Act {
    fn id(&self, path: &ItemPath) -> ItemId {
        ItemId {
            publisher: self.publisher.clone(),
            path: path.clone(),
        }
    }

    fn expect(&self, change: &Change<'_>, path: &ItemPath) -> Result<Item, CollectionError> {
        let id = self.id(path);
        item(change, &at(&id, path.clone()))?.ok_or(CollectionError::NotFound { path: id.path })
    }

    fn trashed(&self, path: &ItemPath, item: Item) -> Trashed {
        Trashed {
            path: path.clone(),
            item,
            deleted_at: self.row.at,
            deleted_by: self.row.actor.clone(),
            act: self.number,
            inherited: None,
        }
    }
}
