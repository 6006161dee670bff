//! The account of privileged reads: who sees what is anybody's is written down when he looks.
//!
//! One line for each place and hour: a page that is looked at again and again is one look.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use axum::extract::{MatchedPath, Request};
use axum::http::Method;

use super::Caller;
use crate::http::{App, now};
use crate::model::{LedgerEntry, LedgerKind, PublisherId};

/// How routes begin that show what is a publisher's.
const PRIVATE: &[&str] = &[
    "/monitor/",
    "/acquit/items/",
    "/acquit/collection",
    "/acquit/trash",
    "/acquit/incidents",
    "/acquit/disputes",
    "/acquit/file_requests",
];
/// Looks that are remembered; beyond that one may be written twice.
const LOOKS: usize = 10_000;
/// Longest part of a path that is written.
const PATH_CHARS: usize = 300;
/// Seconds in which looks at one place are one.
const SPAN_SECONDS: u64 = 3600;

/// Looks that the ledger has already, of the hour.
#[derive(Debug, Default)]
pub struct Looks(Mutex<(u64, HashSet<String>)>);

impl Looks {
    /// Remembers a look; tells whether it is new.
    fn is_new(&self, look: String, hour: u64) -> bool {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.0 != hour || looks.1.len() >= LOOKS {
            *looks = (hour, HashSet::new());
        }
        looks.1.insert(look)
    }
}

/// Returns the line to be written before somebody who sees all looks at what is a publisher's;
/// nothing if there is none to write.
pub fn line(app: &App, caller: &Caller, request: &Request) -> Option<LedgerEntry> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads || !caller.sees_all() || !is_private(request) {
        return None;
    }
    let uri = request.uri();
    let path: String = uri.path().chars().take(PATH_CHARS).collect();
    let owner = uri.query().and_then(owner);
    let (actor, present) = (caller.actor(), now());
    let of = owner.as_ref().map_or("", PublisherId::as_str);
    let look = format!("{actor} {of} {path}");
    if !app.looks.is_new(look, present.seconds() / SPAN_SECONDS) {
        return None;
    }
    let text = format!("{} reads {path}", caller.role().as_str());
    Some(LedgerEntry {
        publisher: owner,
        ..LedgerEntry::new(present, LedgerKind::Access, actor, text)
    })
}

fn is_private(request: &Request) -> bool {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("", MatchedPath::as_str);
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    PRIVATE.iter().any(|start| path.starts_with(start))
}

/// Returns whose collection a query names.
fn owner(query: &str) -> Option<PublisherId> {
    let named = query
        .split('&')
        .find_map(|part| part.strip_prefix("owner="));
    named?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_is_new_once_an_hour() {
        let looks = Looks::default();
        assert!(looks.is_new("a /x".to_owned(), 1));
        assert!(!looks.is_new("a /x".to_owned(), 1));
        assert!(looks.is_new("b /x".to_owned(), 1));
        assert!(looks.is_new("a /x".to_owned(), 2));
    }

    #[test]
    fn owner_is_read_from_a_query() {
        let acme = Some("acme".parse().unwrap());
        assert_eq!(owner("limit=3&owner=acme"), acme);
        assert_eq!(owner("limit=3&owners=acme"), None);
        assert_eq!(owner("owner=%20"), None);
    }
}
