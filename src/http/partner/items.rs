//! Items: where a blob is in the collections of publishers who consent, as its vendor sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::App;
use super::super::auth::Caller;
use super::super::envelope::{Base, Collection, Links, Object, PageQuery, Paging};
use super::super::error::{ApiError, ErrorBody};
use super::super::results::EngineAnswer;
use super::{asking, hashes, not_found, see};
use crate::flow::policy::{Sight, card_at, policy_at};
use crate::model::{FileFacts, FileHash, Item, ItemId, SharePolicy, Timestamp};
use crate::store::{FACTS, PUBLISHERS, RowKey, STANDINGS};

/// What a vendor is told of an item.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemAttributes {
    /// Where it is in its owner's collection.
    path: String,
    sha256: String,
    sha1: String,
    md5: String,
    /// Bytes.
    size: u64,
    creation_date: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_analysis_date: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_detection_date: Option<u64>,
    /// How many of the vendor's engines detect it.
    last_detections_count: usize,
    /// What the vendor's engines said last, by display name.
    last_analysis_results: BTreeMap<String, EngineAnswer>,
    /// What the owner tells vendors of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<String>,
    /// The owner's id: that of its group.
    owner_id: String,
    /// The owner's name.
    organization: String,
    /// What the owner states of it.
    #[schema(value_type = Object)]
    release_card: serde_json::Value,
    /// What the file says of itself, with its signer; absent until it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    file_facts: Option<FileFacts>,
    /// What vendors may have of it: `metadata-only`, `file-on-request` or `file`.
    #[schema(value_type = String)]
    share_policy: SharePolicy,
}

/// An item a vendor may know of.
pub struct Seen {
    /// Its name.
    pub id: ItemId,
    /// Its row.
    pub item: Item,
}

/// Lists where a hash is in the collections of publishers who consent.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/hashes/{sha256}/items", tag = "partner",
    params(("sha256" = String, Path, description = "SHA-256"), PageQuery),
    responses(
        (status = 200, body = Collection<Object<ItemAttributes>>),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<ItemAttributes>>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let (sha256, sight) = see(&app, &asking, &id).await?;
    let store = &app.api.store;
    let blob = store
        .blob(&FileHash::Sha256(sha256))?
        .ok_or_else(|| not_found(&id))?;
    let standing = store.get(&STANDINGS, &sha256)?.unwrap_or_default();
    let own = sight
        .engines
        .iter()
        .filter_map(|id| standing.detections.get(id));
    let since = own
        .map(|detection| detection.since)
        .min()
        .map(Timestamp::seconds);
    let url = base.url(&format!("/monitor_partner/hashes/{sha256}/items"));
    let (seen, next) = page(&sight, &paging)?;
    let mut data = Vec::new();
    for Seen { id, item } in seen {
        let (results, analyzed) = hashes::last_results(&app, &asking, &sha256)?;
        let owner = store.get(&PUBLISHERS, &id.publisher)?;
        let card = card_at(store, &id.publisher, &id.path)?;
        data.push(Object {
            kind: "monitor_item",
            links: Links::to(url.clone()),
            attributes: ItemAttributes {
                path: id.path.to_string(),
                sha256: sha256.to_string(),
                sha1: blob.digests.sha1.to_string(),
                md5: blob.digests.md5.to_string(),
                size: blob.size_bytes,
                creation_date: item.created_at.seconds(),
                last_analysis_date: analyzed,
                first_detection_date: since,
                last_detections_count: sight.engines.len(),
                last_analysis_results: results,
                details: item.details,
                owner_id: id.publisher.to_string(),
                organization: owner.map_or_else(String::new, |owner| owner.name),
                release_card: serde_json::to_value(&card)
                    .map_err(|error| ApiError::internal(&error))?,
                file_facts: store.get(&FACTS, &sha256)?,
                share_policy: policy_at(store, &id.publisher, &id.path)?.policy,
            },
            id: id.to_string(),
        });
    }
    Ok(Json(Collection::new(data, (url, &paging), next)))
}

/// Returns a page of the items a vendor may know of, by owner and path, and where the next starts.
///
/// # Errors
/// Never; the page is asked for like any other.
pub fn page(sight: &Sight, paging: &Paging) -> Result<(Vec<Seen>, Option<Vec<u8>>), ApiError> {
    let all = sight.consents.iter().flat_map(|consent| {
        let named = |(path, item): &(crate::model::ItemPath, Item)| Seen {
            id: ItemId {
                publisher: consent.publisher.clone(),
                path: path.clone(),
            },
            item: item.clone(),
        };
        consent.items.iter().map(named)
    });
    let key = |seen: &Seen| (seen.id.publisher.clone(), seen.id.path.clone()).to_bytes();
    let mut all: Vec<_> = all.map(|seen| (key(&seen), seen)).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all.retain(|(key, _)| paging.cursor.as_ref().is_none_or(|after| key > after));
    let more = all.len() > paging.limit;
    all.truncate(paging.limit);
    let next = all.last().map(|(key, _)| key.clone()).filter(|_| more);
    Ok((all.into_iter().map(|(_, seen)| seen).collect(), next))
}
