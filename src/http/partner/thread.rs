//! What a vendor and the publishers say to each other about a detection.
//!
//! Of a thread the vendor sees its own words and what was said to it, of publishers who let it
//! know of the file. Who in particular wrote, notes, and what Acquit did stay with the publisher.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::App;
use super::super::auth::Caller;
use super::super::envelope::{Base, Collection, Links, Object};
use super::super::error::{ApiError, ErrorBody};
use super::{asking, display_name, see};
use crate::model::{EngineId, Entry, EntryKind, PublisherId, Sha256};
use crate::store::{INCIDENT_OF, PUBLISHERS, RowKey, StoreError, THREADS};

/// Entries of one incident that are looked through, back from the last.
const ENTRIES: usize = 1000;

/// What was said.
#[derive(Debug, Serialize, ToSchema)]
pub struct WordAttributes {
    date: u64,
    /// `vendor` or `publisher`.
    from: &'static str,
    /// The publisher that says it, or to which it was said.
    organization: String,
    /// Display name of the engine.
    engine: String,
    text: String,
}

/// An incident of the vendor's, and its place in the store.
struct Place<'a> {
    sha256: &'a Sha256,
    engine: &'a EngineId,
    publisher: &'a PublisherId,
}

/// Lists what the vendor and publishers said about a hash, newest first.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/hashes/{sha256}/thread", tag = "partner",
    params(("sha256" = String, Path, description = "SHA-256")),
    responses(
        (status = 200, body = Collection<Object<WordAttributes>>),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Collection<Object<WordAttributes>>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let (sha256, sight) = see(&app, &asking, &id).await?;
    let mut data = Vec::new();
    for consent in &sight.consents {
        for engine in &sight.engines {
            let place = Place {
                sha256: &sha256,
                engine,
                publisher: &consent.publisher,
            };
            data.extend(words(&app, &place, &base)?);
        }
    }
    data.sort_by_key(|word| std::cmp::Reverse(word.attributes.date));
    let url = base.url(&format!("/monitor_partner/hashes/{sha256}/thread"));
    Ok(Json(Collection::whole(data, url)))
}

fn words(
    app: &App,
    place: &Place<'_>,
    base: &Base,
) -> Result<Vec<Object<WordAttributes>>, StoreError> {
    let store = &app.api.store;
    let key = (*place.sha256, place.engine.clone(), place.publisher.clone());
    let Some(incident) = store.get(&INCIDENT_OF, &key)? else {
        return Ok(Vec::new());
    };
    let owner = store.get(&PUBLISHERS, place.publisher)?;
    let owner = owner.map_or_else(String::new, |owner| owner.name);
    let prefix = incident.to_bytes();
    let page = store.list_back(&THREADS, (&prefix, None), ENTRIES)?;
    let words = page.rows.into_iter().filter_map(|((_, number), entry)| {
        let attributes = word(entry, (&owner, display_name(app, place.engine)))?;
        let list = format!("/monitor_partner/hashes/{}/thread", place.sha256);
        Some(Object {
            kind: "monitor_word",
            id: format!("{incident}-{number}"),
            // A word is only ever shown in its thread.
            links: Links::to(base.url(&list)),
            attributes,
        })
    });
    Ok(words.collect())
}

/// Returns an entry as the vendor sees it; nothing if it does not.
fn word(entry: Entry, (owner, engine): (&str, String)) -> Option<WordAttributes> {
    let from = match entry.kind {
        EntryKind::Vendor => "vendor",
        EntryKind::Reply => "publisher",
        EntryKind::State | EntryKind::Note | EntryKind::Dispute => return None,
    };
    Some(WordAttributes {
        date: entry.at.seconds(),
        from,
        organization: owner.to_owned(),
        engine,
        text: entry.text,
    })
}
