//! Acts on trees of items: how they begin and end, and what they keep from being touched.
//!
//! ```text
//! begun ──little in it──→ done, all in one change
//!   └──→ written down ──survey──→ ready ──step──→ … ──→ done
//!                          └── not possible: nothing was changed, the act is gone
//! ```

use serde_json::json;

use super::hold::Load;
use super::tree::{self, SPAN, STEP};
use super::{Actor, CollectionError};
use crate::flow::events::{self, Draft};
use crate::model::{About, EventKind, InvalidPath, ItemId, ItemPath, PublisherId, SharePolicy};
use crate::store::{Change, Read, StoreError, TREE_ACTS, TreeAct, TreeActRow, party_prefix};

/// Acts of one publisher that may be under way at a time.
const ACTS: usize = 64;

/// Refuses to touch an item that an act under way is about.
pub fn idle(read: &impl Read, id: &ItemId) -> Result<(), CollectionError> {
    let here = id.path.as_folder();
    for region in regions(read, &id.publisher)? {
        if here == region || here.is_below(&region) {
            let path = id.path.clone();
            return Err(CollectionError::Busy { path });
        }
    }
    Ok(())
}

/// Refuses to touch a tree of items that an act under way is about, wholly or in part.
pub fn idle_tree(read: &impl Read, id: &ItemId) -> Result<(), CollectionError> {
    idle(read, id)?;
    let here = id.path.as_folder();
    let regions = regions(read, &id.publisher)?;
    if regions.len() >= ACTS || regions.iter().any(|region| region.is_below(&here)) {
        let path = id.path.clone();
        return Err(CollectionError::Busy { path });
    }
    Ok(())
}

/// Returns the acts of a publisher that are under way.
pub fn acts(
    read: &impl Read,
    publisher: &PublisherId,
) -> Result<Vec<(u64, TreeActRow)>, StoreError> {
    let prefix = party_prefix(publisher);
    let rows = read.rows(&TREE_ACTS, (&prefix, None), 2 * ACTS)?;
    Ok(rows
        .into_iter()
        .map(|((_, number), row)| (number, row))
        .collect())
}

/// Returns the folders that acts under way are about; a file's stands for it.
fn regions(read: &impl Read, publisher: &PublisherId) -> Result<Vec<ItemPath>, StoreError> {
    let mut regions = Vec::new();
    for (_, row) in acts(read, publisher)? {
        match row.what {
            TreeAct::Move { from, to } | TreeAct::Copy { from, to } => {
                regions.extend([from.as_folder(), to.as_folder()]);
            }
            TreeAct::Delete { path } | TreeAct::Restore { path, .. } => {
                regions.push(path.as_folder());
            }
            TreeAct::Purge { .. } => {}
        }
    }
    Ok(regions)
}

/// An act, and how far it is.
#[derive(Clone, Debug)]
pub struct Act {
    /// In whose collection.
    pub publisher: PublisherId,
    /// Its number.
    pub number: u64,
    /// How far it is.
    pub row: TreeActRow,
    /// Whether it was written down, because one change is not enough for it.
    pub is_written: bool,
}

/// What was seen of a tree before it is moved or copied.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What its copy would count for.
    pub load: Load,
    /// The longest path in it.
    longest: Option<ItemPath>,
}

impl Survey {
    /// Looks at everything an act is about, if that matters for it.
    pub fn make(read: &impl Read, act: &Act) -> Result<Self, StoreError> {
        let mut survey = Self::default();
        let (TreeAct::Move { from, .. } | TreeAct::Copy { from, .. }) = &act.row.what else {
            return Ok(survey);
        };
        let mut after = None;
        loop {
            let rows = tree::below(read, &act.publisher, (from, after.as_ref()), STEP)?;
            let is_last = rows.len() < STEP;
            for (path, item) in rows {
                // A copy starts without a history.
                survey.load.files += u64::from(item.file.is_some());
                survey.load.bytes += item.file.as_ref().map_or(0, |file| file.size_bytes);
                let length = |path: &ItemPath| path.as_str().len();
                if survey.longest.as_ref().map_or(0, length) < length(&path) {
                    survey.longest = Some(path.clone());
                }
                after = Some(path);
            }
            if is_last {
                return Ok(survey);
            }
        }
    }

    /// Tells whether every path still is one when a folder becomes another.
    pub fn fits(&self, from: &ItemPath, to: &ItemPath) -> Result<(), InvalidPath> {
        let longest = self.longest.as_ref();
        longest.map_or(Ok(()), |path| path.moved(from, to).map(drop))
    }
}

impl Act {
    /// Begins an act. With little in it, it is done at once.
    ///
    /// # Errors
    /// If it is not possible.
    pub fn begin(
        change: &mut Change<'_>,
        publisher: &PublisherId,
        what: TreeAct,
        actor: &Actor,
    ) -> Result<Self, CollectionError> {
        let row = TreeActRow {
            actor: actor.id.clone(),
            at: actor.now,
            ready: false,
            done: None,
            count: 0,
            pinned: None,
            what,
        };
        let mut act = Self {
            publisher: publisher.clone(),
            number: unused_number(change, publisher, actor)?,
            row,
            is_written: false,
        };
        if act.is_small(change)? {
            let survey = Survey::make(change, &act)?;
            tree::prepare(change, &mut act, &survey)?;
            while !tree::step(change, &mut act)? {}
            act.tell(change)?;
            return Ok(act);
        }
        if matches!(
            act.row.what,
            TreeAct::Delete { .. } | TreeAct::Restore { .. } | TreeAct::Purge { .. }
        ) {
            tree::prepare(change, &mut act, &Survey::default())?;
        }
        act.is_written = true;
        act.save(change)?;
        Ok(act)
    }

    /// Makes an act ready, with what was seen of its tree.
    ///
    /// # Errors
    /// If it is not possible after all.
    pub fn approve(
        change: &mut Change<'_>,
        key: &(PublisherId, u64),
        survey: &Survey,
    ) -> Result<(), CollectionError> {
        let Some(mut act) = Self::load(change, key)?.filter(|act| !act.row.ready) else {
            return Ok(());
        };
        tree::prepare(change, &mut act, survey)?;
        Ok(act.save(change)?)
    }

    /// Does the next step; returns the act as it is then, and nothing if somebody else ended it.
    ///
    /// # Errors
    /// If the store fails.
    pub fn advance(
        change: &mut Change<'_>,
        key: &(PublisherId, u64),
    ) -> Result<Option<(Self, bool)>, CollectionError> {
        let Some(mut act) = Self::load(change, key)? else {
            return Ok(None);
        };
        if !act.row.ready {
            return Ok(Some((act, false)));
        }
        let is_done = tree::step(change, &mut act)?;
        if is_done {
            change.remove(&TREE_ACTS, key);
            act.tell(change)?;
        } else {
            act.save(change)?;
        }
        Ok(Some((act, is_done)))
    }

    /// Reads an act; nothing if it is done.
    pub fn load(read: &impl Read, key: &(PublisherId, u64)) -> Result<Option<Self>, StoreError> {
        let row = read.row(&TREE_ACTS, key)?;
        Ok(row.map(|row| Self {
            publisher: key.0.clone(),
            number: key.1,
            row,
            is_written: true,
        }))
    }

    /// Returns who acts.
    pub fn actor(&self) -> Actor {
        Actor {
            id: self.row.actor.clone(),
            now: self.row.at,
        }
    }

    fn save(&self, change: &mut Change<'_>) -> Result<(), StoreError> {
        let key = (self.publisher.clone(), self.number);
        change.put(&TREE_ACTS, &key, &self.row)
    }

    fn is_small(&self, read: &impl Read) -> Result<bool, StoreError> {
        let rows = match &self.row.what {
            TreeAct::Move { from: path, .. }
            | TreeAct::Copy { from: path, .. }
            | TreeAct::Delete { path } => {
                tree::below(read, &self.publisher, (path, None), STEP)?.len()
            }
            TreeAct::Restore { act, .. } | TreeAct::Purge { act } => {
                tree::trashed(read, &self.publisher, *act, STEP)?.len()
            }
        };
        Ok(rows < STEP)
    }

    /// Raises the event of an act that is done.
    fn tell(&self, change: &mut Change<'_>) -> Result<(), StoreError> {
        let (items, pinned) = (self.row.count, self.row.pinned);
        let (kind, path, verb, details) = match &self.row.what {
            TreeAct::Move { from, to } => {
                let details = json!({"from": from, "to": to, "items": items, "policy": pinned});
                (EventKind::ItemMoved, Some(to), "moved here", details)
            }
            TreeAct::Copy { from, to } => {
                let details =
                    json!({"copied_from": from, "to": to, "items": items, "policy": pinned});
                (EventKind::ItemUploaded, Some(to), "copied here", details)
            }
            TreeAct::Delete { path } => {
                let details = json!({"act": self.number, "items": items});
                (EventKind::ItemDeleted, Some(path), "deleted", details)
            }
            TreeAct::Restore { path, act } => {
                let details = json!({"act": act, "items": items});
                (EventKind::ItemRestored, Some(path), "restored", details)
            }
            TreeAct::Purge { act } => {
                let details = json!({"act": act, "items": items});
                (EventKind::TrashEmptied, None, "removed for good", details)
            }
        };
        let about = About {
            publisher: Some(self.publisher.clone()),
            path: path.cloned(),
            actor: Some(self.row.actor.clone()),
            ..About::default()
        };
        let what = path.map_or_else(|| "trash".to_owned(), |path| format!("{path:?}"));
        let kept = pinned.map(as_before).unwrap_or_default();
        let text = format!(
            "{what} of {} was {verb}, {items} items{kept}",
            self.publisher
        );
        let draft = Draft {
            details,
            ..Draft::about(self.row.at, kind, about, text)
        };
        events::raise(change, draft).map(drop)
    }
}

/// Says that what was moved or copied took its policy along.
pub fn as_before(policy: SharePolicy) -> String {
    format!(
        "; vendors may have no more of it than before: {}",
        policy.as_str()
    )
}

/// Returns a number for an act, with room behind it for what it puts into the trash.
///
/// It is of the second in which the act began and stays below 2^53, which every reader of JSON
/// can tell from its neighbors.
pub fn unused_number(
    change: &Change<'_>,
    publisher: &PublisherId,
    actor: &Actor,
) -> Result<u64, StoreError> {
    let mut number = actor.now.seconds() * SPAN;
    while !is_unused(change, publisher, number)? {
        number += SPAN;
    }
    Ok(number)
}

fn is_unused(
    change: &Change<'_>,
    publisher: &PublisherId,
    number: u64,
) -> Result<bool, StoreError> {
    let key = (publisher.clone(), number);
    if change.get(&TREE_ACTS, &key)?.is_some() {
        return Ok(false);
    }
    let from = crate::store::RowKey::to_bytes(&key);
    let prefix = party_prefix(publisher);
    let next = change.list(&crate::store::TRASH, (&prefix, Some(&from)), 1)?;
    Ok(next
        .first()
        .is_none_or(|((_, next), _)| *next >= number + SPAN))
}
