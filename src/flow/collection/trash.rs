//! Empties the trash: whole acts, and of large ones a part at a time.

use std::collections::BTreeSet;

use serde_json::json;

use super::act::{Act, acts};
use super::tree::{SPAN, STEP, purge_one};
use super::{Actor, CollectionError};
use crate::flow::events::{self, Draft};
use crate::model::{About, EventKind, PublisherId, Timestamp, Trashed};
use crate::store::{Change, Read, RowKey, StoreError, TRASH, TreeAct, party_prefix};

/// What was removed in one change, and how it goes on.
#[derive(Debug)]
pub struct Emptied {
    /// Items that were removed.
    pub count: u64,
    /// An act that is too large for one change, and goes on.
    pub going: Option<Act>,
    /// From where to look on; nothing at the end.
    pub next: Option<u64>,
}

/// Removes acts before a time, beginning with one, as many as fit into one change.
pub fn empty(
    change: &mut Change<'_>,
    (publisher, before): (&PublisherId, Timestamp),
    from: u64,
    actor: &Actor,
) -> Result<Emptied, CollectionError> {
    let prefix = party_prefix(publisher);
    let start = (publisher.clone(), from).to_bytes();
    let rows = change.list(&TRASH, (&prefix, Some(&start)), STEP + 1)?;
    let is_end = rows.len() <= STEP;
    let last = rows.last().map(|(_, row): &(_, Trashed)| row.act);
    // Of the last act there may be more than was read.
    let cut = last.filter(|_| !is_end);
    let is_one = rows.iter().all(|(_, row)| Some(row.act) == cut);
    let held = under_way(change, publisher)?;
    let mut emptied = Emptied {
        count: 0,
        going: None,
        next: cut,
    };
    for ((_, number), row) in rows {
        let is_due = row.deleted_at < before && !held.contains(&row.act);
        if is_due && Some(row.act) != cut {
            purge_one(change, publisher, (number, row))?;
            emptied.count += 1;
        } else if let (true, true, None) = (is_due, is_one, &emptied.going) {
            let what = TreeAct::Purge { act: row.act };
            emptied.going = Some(Act::begin(change, publisher, what, actor)?);
        }
    }
    if is_one {
        emptied.next = cut.map(|act| act + SPAN);
    }
    if emptied.count > 0 {
        tell(change, publisher, (emptied.count, before), actor)?;
    }
    Ok(emptied)
}

/// Returns the acts of which something is still being put into the trash, or taken out of it.
fn under_way(read: &impl Read, publisher: &PublisherId) -> Result<BTreeSet<u64>, StoreError> {
    let acts = acts(read, publisher)?.into_iter();
    let of = |(number, row): (u64, crate::store::TreeActRow)| match row.what {
        TreeAct::Delete { .. } => Some(number),
        TreeAct::Restore { act, .. } | TreeAct::Purge { act } => Some(act),
        TreeAct::Move { .. } | TreeAct::Copy { .. } => None,
    };
    Ok(acts.filter_map(of).collect())
}

fn tell(
    change: &mut Change<'_>,
    publisher: &PublisherId,
    (count, before): (u64, Timestamp),
    actor: &Actor,
) -> Result<(), StoreError> {
    let about = About {
        publisher: Some(publisher.clone()),
        actor: Some(actor.id.clone()),
        ..About::default()
    };
    let text = format!("{count} items in the trash of {publisher} were removed for good");
    let mut draft = Draft::about(actor.now, EventKind::TrashEmptied, about, text);
    draft.details = json!({"items": count, "before": before});
    events::raise(change, draft).map(drop)
}
