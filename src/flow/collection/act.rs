//! Acts on trees of items: what is under way, and what it keeps from being touched.

use super::CollectionError;
use crate::model::{ItemId, ItemPath, PublisherId};
use crate::store::{Read, StoreError, TREE_ACTS, TreeAct, TreeActRow, party_prefix};

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
