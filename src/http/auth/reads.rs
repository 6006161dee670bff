//! The account of privileged reads: who sees what is anybody's is written down when he looks.
//!
//! One line for each place and hour: a page that is looked at again and again is one look. Whose it
//! is comes from the row that is looked at, so that its owner finds the line.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use axum::extract::{MatchedPath, RawPathParams, Request};
use axum::http::Method;

use super::Caller;
use crate::http::{App, now};
use crate::model::{
    AnalysisId, FileHash, ItemId, LedgerEntry, LedgerKind, PublisherId, Sha256, Timestamp,
};
use crate::store::{DISPUTES, EVENTS, HOLDERS, INCIDENTS, Read as _, Store, StoreError};

/// How routes begin that show what is a publisher's, and how to learn whose.
const PRIVATE: &[(&str, Place)] = &[
    ("/monitor/items/{", Place::Item),
    ("/acquit/items/{", Place::Item),
    ("/acquit/items/export", Place::Query),
    ("/monitor/", Place::Query),
    ("/acquit/collection", Place::Query),
    ("/acquit/trash", Place::Query),
    ("/acquit/overview", Place::Query),
    ("/acquit/search", Place::Query),
    ("/acquit/incidents/{", Place::Incident),
    ("/acquit/incidents", Place::Query),
    ("/acquit/disputes/{", Place::Dispute),
    ("/acquit/disputes", Place::Query),
    ("/acquit/file_requests", Place::Query),
    ("/acquit/events", Place::Query),
    ("/acquit/stream", Place::Query),
    ("/acquit/deliveries/{", Place::Delivery),
    ("/acquit/deliveries", Place::Query),
    ("/acquit/publishers/{", Place::Publisher),
    ("/files/{", Place::File),
    ("/search", Place::Search),
    ("/analyses/{", Place::Analysis),
    ("/acquit/analyses/{", Place::Analysis),
];
/// Publishers that are named for one look: those that hold the same file.
const OWNERS: usize = 20;
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

/// What says whose it is that is looked at.
#[derive(Clone, Copy, Debug)]
enum Place {
    Item,
    Incident,
    Dispute,
    Delivery,
    Publisher,
    File,
    Analysis,
    Search,
    Query,
}

/// Returns the lines to be written before somebody who sees all looks at what is a publisher's:
/// one for each whose it is, none if there is nothing to write.
///
/// # Errors
/// If the store fails.
pub fn lines(
    app: &App,
    caller: &Caller,
    (request, params): (&Request, Option<&RawPathParams>),
) -> Result<Vec<LedgerEntry>, StoreError> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let place = place(request).filter(|_| reads && caller.sees_all());
    let Some(place) = place else {
        return Ok(Vec::new());
    };
    let id = params.and_then(|params| params.iter().next());
    let id = id.map_or("", |(_, value)| value);
    let query = request.uri().query().unwrap_or("");
    let owners = owners(&app.api.store, caller, (place, id, query))?;
    let path: String = request.uri().path().chars().take(PATH_CHARS).collect();
    let look = (caller, path.as_str(), now());
    Ok(owners
        .into_iter()
        .filter_map(|owner| line(app, look, owner))
        .collect())
}

fn line(
    app: &App,
    (caller, path, present): (&Caller, &str, Timestamp),
    owner: Option<PublisherId>,
) -> Option<LedgerEntry> {
    let actor = caller.actor();
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

fn place(request: &Request) -> Option<Place> {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("", MatchedPath::as_str);
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let found = PRIVATE.iter().find(|(start, _)| path.starts_with(start));
    found.map(|(_, place)| *place)
}

type Owners = Vec<Option<PublisherId>>;

/// Returns whose it is; a look at nobody's in particular is one too.
fn owners(
    store: &Store,
    caller: &Caller,
    (place, id, query): (Place, &str, &str),
) -> Result<Owners, StoreError> {
    let number = || id.split('-').next().unwrap_or("").parse::<u64>().ok();
    let one = match place {
        Place::Item => item(id).map(|id| id.publisher),
        Place::Publisher => id.parse().ok(),
        Place::Query => named(query),
        Place::Incident => row(number(), |id| store.get(&INCIDENTS, &id))?.map(|it| it.publisher),
        Place::Dispute => row(number(), |id| store.get(&DISPUTES, &id))?.map(|it| it.publisher),
        Place::Delivery => {
            let event = row(number(), |id| store.get(&EVENTS, &id))?;
            event.and_then(|event| event.about.publisher)
        }
        Place::File => return of_hash(store, caller, id),
        Place::Search => return of_hash(store, caller, parameter(query, "query").unwrap_or("")),
        Place::Analysis => {
            let id = id.parse::<AnalysisId>().ok();
            return match id {
                Some(id) => of_blob(store, caller, &id.sha256),
                None => Ok(vec![None]),
            };
        }
    };
    Ok(vec![one])
}

fn row<T>(
    number: Option<u64>,
    get: impl FnOnce(u64) -> Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    number.map_or(Ok(None), get)
}

fn of_hash(store: &Store, caller: &Caller, hash: &str) -> Result<Owners, StoreError> {
    let hash = hash.trim().parse::<FileHash>().ok();
    let blob = hash.map_or(Ok(None), |hash| store.blob(&hash))?;
    blob.map_or(Ok(Vec::new()), |blob| {
        of_blob(store, caller, &blob.digests.sha256)
    })
}

/// A file is its holders'. What the caller brought and nobody holds is nobody's but his.
fn of_blob(store: &Store, caller: &Caller, sha256: &Sha256) -> Result<Owners, StoreError> {
    let holders = store.rows(&HOLDERS, (sha256.as_bytes(), None), OWNERS)?;
    let holders: BTreeSet<_> = holders.into_iter().map(|((_, holder), _)| holder).collect();
    match holders.is_empty() {
        true if caller.owns_blob(store, sha256)? => Ok(Vec::new()),
        true => Ok(vec![None]),
        false => Ok(holders.into_iter().map(Some).collect()),
    }
}

/// Reads the id in front of whatever is asked of an item.
fn item(rest: &str) -> Option<ItemId> {
    let mut text = rest.trim_end_matches('/');
    loop {
        if let Ok(id) = text.parse() {
            return Some(id);
        }
        text = text.rsplit_once('/')?.0;
    }
}

/// Returns whose collection a query names.
fn named(query: &str) -> Option<PublisherId> {
    let named = parameter(query, "owner").or_else(|| parameter(query, "publisher"));
    named?.parse().ok()
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|part| part.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
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
        assert_eq!(named("limit=3&owner=acme"), acme);
        assert_eq!(named("limit=3&publisher=acme"), acme);
        assert_eq!(named("limit=3&owners=acme"), None);
        assert_eq!(named("owner=%20"), None);
    }

    #[test]
    fn owner_is_read_from_an_item_with_whatever_is_asked_of_it() {
        let id = ItemId {
            publisher: "acme".parse().unwrap(),
            path: "/a/b.exe".parse().unwrap(),
        };
        for end in ["", "/", "/download", "/relationships/owner"] {
            assert_eq!(item(&format!("{id}{end}")), Some(id.clone()), "{end}");
        }
        assert_eq!(item("nonsense/download"), None);
    }
}
