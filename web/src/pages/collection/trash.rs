//! What was deleted from a collection, act by act, and its way back.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::place::{Asked, Place};
use crate::backend::{Listing, Object, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::Viewer;

/// Most items of an act that are shown one by one.
const SHOWN: usize = 6;

/// An item in the trash.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Trashed {
    path: String,
    size: Option<u64>,
    deletion_date: u64,
    deleted_by: String,
    act: String,
}

/// What was deleted in one act, and comes back in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Act {
    /// Its number.
    pub number: String,
    /// What was deleted: the folder, if it was one with all in it.
    pub path: String,
    /// Whether that is a folder.
    pub is_folder: bool,
    /// When.
    pub at: u64,
    /// By which user or key.
    pub by: String,
    /// Bytes of what is listed of it.
    pub bytes: u64,
    /// What went with it, the first few.
    pub others: Vec<String>,
    /// How many more are listed.
    pub more: u64,
}

#[derive(Template)]
#[template(path = "collection/trash.html")]
struct Page {
    frame: Frame,
    place: Place,
    acts: Vec<Act>,
    next: String,
    first: String,
}

/// Shows the trash of a collection.
///
/// # Errors
/// What the API says.
pub async fn page(viewer: Viewer, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let Some(owner) = viewer.owner(Some(&asked.owner)).map(str::to_owned) else {
        return Ok(Redirect::to("/collection").into_response());
    };
    let url = |cursor: &str| query([("owner", &*owner), ("cursor", cursor)]);
    let pairs = [
        ("owner", &*owner),
        ("cursor", &*asked.cursor),
        ("limit", "40"),
    ];
    let listing: Listing<Object<Trashed>> = viewer
        .api
        .get(&format!("/acquit/trash{}", query(pairs)))
        .await?;
    let next = listing
        .cursor()
        .map(|cursor| format!("/collection/trash{}", url(cursor)));
    let is_first = asked.cursor.is_empty();
    let items = listing.data.into_iter().map(|it| it.attributes);
    show(&Page {
        frame: Frame::new(&viewer, "Trash", "collection"),
        acts: acts(items),
        next: next.unwrap_or_default(),
        first: if is_first {
            String::new()
        } else {
            format!("/collection/trash{}", url(""))
        },
        place: Place::new(&owner, &Asked::default()),
    })
}

/// Puts together what was deleted in one act: such items follow each other.
fn acts(items: impl Iterator<Item = Trashed>) -> Vec<Act> {
    let mut acts: Vec<Act> = Vec::new();
    for item in items {
        let bytes = item.size.unwrap_or(0);
        match acts.last_mut().filter(|act| act.number == item.act) {
            Some(act) => add(act, item.path, bytes),
            None => acts.push(Act {
                number: item.act,
                is_folder: item.path.ends_with('/'),
                path: item.path,
                at: item.deletion_date,
                by: item.deleted_by,
                bytes,
                ..Act::default()
            }),
        }
    }
    acts
}

fn add(act: &mut Act, path: String, bytes: u64) {
    act.bytes += bytes;
    // The folder that was deleted is above all that went with it.
    let other = if act.path.starts_with(&path) && path.ends_with('/') {
        act.is_folder = true;
        std::mem::replace(&mut act.path, path)
    } else {
        path
    };
    if act.others.len() < SHOWN {
        act.others.push(other);
    } else {
        act.more += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trashed(act: &str, path: &str) -> Trashed {
        Trashed {
            path: path.to_owned(),
            size: Some(10).filter(|_| !path.ends_with('/')),
            act: act.to_owned(),
            ..Trashed::default()
        }
    }

    #[test]
    fn folder_stands_for_what_was_in_it() {
        let items = [
            trashed("2", "/x.txt"),
            trashed("1", "/old/b"),
            trashed("1", "/old/a"),
            trashed("1", "/old/"),
        ];
        let acts = acts(items.into_iter());
        let shown: Vec<_> = acts.iter().map(|it| (&*it.path, it.bytes)).collect();
        assert_eq!(shown, [("/x.txt", 10), ("/old/", 20)]);
        assert_eq!(acts[1].others, ["/old/a", "/old/b"]);
    }

    #[test]
    fn long_acts_are_cut_short() {
        let items = (0..10).map(|n| trashed("1", &format!("/f{n}")));
        let acts = acts(items);
        assert_eq!((acts[0].others.len(), acts[0].more), (SHOWN, 3));
    }
}
