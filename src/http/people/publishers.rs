//! Publishers: made, shown, changed, removed once their collection is empty.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::parties::{self, given};
use super::{Emptied, admin_line, retire, taken};
use crate::flow::events::{Draft, raise};
use crate::http::auth::Caller;
use crate::http::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{App, now};
use crate::model::{
    About, EventKind, Profile, Publisher, PublisherId, Quota, ReleaseCard, SharePolicy, Usage,
};
use crate::store::{Change, ITEMS, PUBLISHERS, StoreError, TRASH, USAGE, party_prefix};

/// What is known of a publisher.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublisherAttributes {
    name: String,
    creation_date: u64,
    /// Where its people are written to.
    emails: Vec<String>,
    /// `never`, `metadata-only`, `file-on-request` or `file`.
    policy: &'static str,
    /// Bytes it may keep; absent is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_bytes: Option<u64>,
    /// Files it may keep; absent is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_files: Option<u64>,
    /// Bytes it keeps.
    used_bytes: u64,
    /// Files it keeps.
    used_files: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    legal_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_iso: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    industry: Option<String>,
    /// What is stated of all its files.
    #[schema(value_type = Object)]
    card: ReleaseCard,
}

/// A publisher to be made, or what is changed of one; what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PublisherOrder {
    /// Made of the name if absent; it never changes.
    id: Option<String>,
    name: Option<String>,
    emails: Option<Vec<String>>,
    /// `never`, `metadata-only`, `file-on-request` or `file`.
    #[schema(value_type = Option<String>)]
    policy: Option<SharePolicy>,
    /// Bytes it may keep; null takes the limit away.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    quota_bytes: Option<Option<u64>>,
    /// Files it may keep; null takes the limit away.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    quota_files: Option<Option<u64>>,
    /// Its name in the register.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    legal_name: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    country: Option<Option<String>>,
    /// ISO 3166.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    country_iso: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    domain: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    industry: Option<Option<String>>,
    /// What is stated of all its files.
    #[schema(value_type = Option<Object>)]
    card: Option<ReleaseCard>,
}

type Shown = Json<Answer<Object<PublisherAttributes>>>;

impl PublisherOrder {
    /// Checks every value before any is taken.
    fn checked(mut self) -> Result<Self, ApiError> {
        self.name = self.name.as_deref().map(parties::name).transpose()?;
        self.emails = self.emails.map(parties::emails).transpose()?;
        let texts = [
            &mut self.legal_name,
            &mut self.country,
            &mut self.country_iso,
            &mut self.domain,
            &mut self.industry,
        ];
        for text in texts.into_iter().flatten().flatten() {
            *text = parties::name(text)?;
        }
        Ok(self)
    }

    fn change(self, publisher: &mut Publisher) {
        let Publisher {
            name,
            emails,
            policy,
            quota,
            profile,
            card,
            ..
        } = publisher;
        set(name, self.name);
        set(emails, self.emails);
        set(policy, self.policy);
        set(&mut quota.bytes, self.quota_bytes);
        set(&mut quota.files, self.quota_files);
        set(&mut profile.legal_name, self.legal_name);
        set(&mut profile.country, self.country);
        set(&mut profile.country_iso, self.country_iso);
        set(&mut profile.domain, self.domain);
        set(&mut profile.industry, self.industry);
        set(card, self.card);
    }
}

fn set<T>(value: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *value = new;
    }
}

/// Lists the publishers the caller sees: all of them, or the one they speak for.
#[utoipa::path(
    get, path = "/api/v3/acquit/publishers", tag = "people", params(PageQuery),
    responses((status = 200, body = Collection<Object<PublisherAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<PublisherAttributes>>>, ApiError> {
    let url = base.url("/acquit/publishers");
    if !caller.sees_all() {
        let own = caller.0.seat.publisher.as_ref();
        let row = own.map(|id| app.api.store.get(&PUBLISHERS, id));
        let row = row.transpose()?.flatten();
        let own = row.map(|row| object(&app, row, &base)).transpose()?;
        return Ok(Json(Collection::whole(own.into_iter().collect(), url)));
    }
    let span = ([].as_slice(), paging.cursor.as_deref());
    let page = app.api.store.list(&PUBLISHERS, span, paging.limit)?;
    let rows = page.rows.into_iter();
    let data = rows.map(|(_, row)| object(&app, row, &base));
    let data = data.collect::<Result<_, _>>()?;
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

/// Makes a publisher.
#[utoipa::path(
    post, path = "/api/v3/acquit/publishers", tag = "people", request_body = PublisherOrder,
    responses(
        (status = 200, body = Answer<Object<PublisherAttributes>>),
        (status = 400, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The id is taken, or was once"),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Shown, ApiError> {
    let order: PublisherOrder = parties::attributes(&body)?;
    let order = order.checked()?;
    let name = parties::name(order.name.as_deref().unwrap_or(""))?;
    let id = super::id_of::<PublisherId>(order.id.as_deref(), &name)?;
    let mut publisher = Publisher {
        id,
        name,
        created_at: now(),
        emails: Vec::new(),
        policy: SharePolicy::default(),
        quota: Quota::default(),
        profile: Profile::default(),
        card: ReleaseCard::default(),
    };
    order.change(&mut publisher);
    let _alone = app.keys.lock().await;
    taken(&app.api.store, publisher.id.as_str())?;
    let text = format!(
        "publisher {} is made; its policy is {}",
        publisher.id,
        publisher.policy.as_str()
    );
    admin_line(&app, &caller, (Some(&publisher.id), text)).await?;
    let row = publisher.clone();
    let write = move |change: &mut Change<'_>| change.put(&PUBLISHERS, &row.id, &row);
    app.api.store.write(write).await?;
    let data = object(&app, publisher, &base)?;
    Ok(Json(Answer { data }))
}

/// Shows a publisher.
#[utoipa::path(
    get, path = "/api/v3/acquit/publishers/{id}", tag = "people",
    params(("id" = String, Path, description = "Id of the publisher")),
    responses((status = 200, body = Answer<Object<PublisherAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Shown, ApiError> {
    let publisher = find(&app, &caller, &id)?;
    let data = object(&app, publisher, &base)?;
    Ok(Json(Answer { data }))
}

fn none(id: &str) -> ApiError {
    ApiError::not_found(format!("publisher {id:?} not found"))
}

fn find(app: &App, caller: &Caller, id: &str) -> Result<Publisher, ApiError> {
    let publisher = id.parse::<PublisherId>().map_err(|_| none(id))?;
    if !caller.may_see(&publisher) {
        return Err(none(id));
    }
    let row = app.api.store.get(&PUBLISHERS, &publisher)?;
    row.ok_or_else(|| none(id))
}

/// Changes what is known of a publisher, what it may keep, or what vendors may have.
#[utoipa::path(
    patch, path = "/api/v3/acquit/publishers/{id}", tag = "people", request_body = PublisherOrder,
    params(("id" = String, Path, description = "Id of the publisher")),
    responses((status = 200, body = Answer<Object<PublisherAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn edit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Shown, ApiError> {
    let order: PublisherOrder = parties::attributes(&body)?;
    let order = order.checked()?;
    if order.id.as_ref().is_some_and(|other| *other != id) {
        return Err(ApiError::invalid_argument("an id never changes"));
    }
    let _alone = app.keys.lock().await;
    let publisher = find(&app, &caller, &id)?.id;
    let text = order.policy.map_or_else(
        || format!("publisher {id} is changed"),
        |policy| {
            format!(
                "what vendors may have of {id}'s files becomes {}",
                policy.as_str()
            )
        },
    );
    admin_line(&app, &caller, (Some(&publisher), text)).await?;
    let actor = caller.actor();
    let write = move |change: &mut Change<'_>| apply(change, (&publisher, order), actor);
    let after = app.api.store.write(write).await?.ok_or_else(|| none(&id))?;
    let data = object(&app, after, &base)?;
    Ok(Json(Answer { data }))
}

/// Changes the row as it is now: its owner may have changed what vendors may have of the
/// collection while the ledger was written.
fn apply(
    change: &mut Change<'_>,
    (id, order): (&PublisherId, PublisherOrder),
    actor: String,
) -> Result<Option<Publisher>, StoreError> {
    let Some(mut row) = change.get(&PUBLISHERS, id)? else {
        return Ok(None);
    };
    let before = row.policy;
    order.change(&mut row);
    change.put(&PUBLISHERS, id, &row)?;
    if before != row.policy {
        tell_policy(change, (&row, before), actor)?;
    }
    Ok(Some(row))
}

fn tell_policy(
    change: &mut Change<'_>,
    (row, before): (&Publisher, SharePolicy),
    actor: String,
) -> Result<(), StoreError> {
    let (id, after) = (&row.id, row.policy);
    let (from, to) = (before.as_str(), after.as_str());
    let text = format!("what vendors may have of {id}'s files was {from} and is {to}");
    let about = About {
        publisher: Some(id.clone()),
        actor: Some(actor),
        ..About::default()
    };
    let mut draft = Draft::about(now(), EventKind::PolicyChanged, about, text);
    draft.details = json!({"before": before, "after": after, "said": after});
    raise(change, draft).map(drop)
}

/// Removes a publisher whose collection is empty; its keys are revoked, its users disabled.
#[utoipa::path(
    delete, path = "/api/v3/acquit/publishers/{id}", tag = "people",
    params(("id" = String, Path, description = "Id of the publisher")),
    responses(
        (status = 200, body = Answer<Emptied>),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Its collection or its trash is not empty"),
    )
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Answer<Emptied>>, ApiError> {
    let _alone = app.keys.lock().await;
    let publisher = find(&app, &caller, &id)?.id;
    let text = format!("publisher {publisher} is removed if its collection is empty");
    admin_line(&app, &caller, (Some(&publisher), text)).await?;
    let write = move |change: &mut Change<'_>| {
        let prefix = party_prefix(&publisher);
        let items = change.list(&ITEMS, (&prefix, None), 2)?;
        let trash = change.list(&TRASH, (&prefix, None), 1)?;
        // What is said of the root is no file.
        if items.iter().any(|((_, path), _)| path.parent().is_some()) || !trash.is_empty() {
            return Ok(false);
        }
        for (root, _) in &items {
            change.remove(&ITEMS, root);
        }
        let of = |seat: &crate::model::Seat| seat.publisher.as_ref() == Some(&publisher);
        parties::unseat(change, now(), of)?;
        change.remove(&PUBLISHERS, &publisher);
        change.remove(&USAGE, &publisher);
        retire(change, publisher.as_str())?;
        Ok::<_, StoreError>(true)
    };
    if app.api.store.write(write).await? {
        Ok(Json(Answer { data: Emptied {} }))
    } else {
        let message = "its collection or its trash is not empty; delete the items and empty the \
                       trash first";
        Err(ApiError::conflict(message))
    }
}

fn object(
    app: &App,
    row: Publisher,
    base: &Base,
) -> Result<Object<PublisherAttributes>, StoreError> {
    let usage: Usage = app.api.store.get(&USAGE, &row.id)?.unwrap_or_default();
    let id = row.id.to_string();
    Ok(Object {
        kind: "publisher",
        links: Links::to(base.url(&format!("/acquit/publishers/{id}"))),
        id,
        attributes: PublisherAttributes {
            name: row.name,
            creation_date: row.created_at.seconds(),
            emails: row.emails,
            policy: row.policy.as_str(),
            quota_bytes: row.quota.bytes,
            quota_files: row.quota.files,
            used_bytes: usage.bytes,
            used_files: usage.files,
            legal_name: row.profile.legal_name,
            country: row.profile.country,
            country_iso: row.profile.country_iso,
            domain: row.profile.domain,
            industry: row.profile.industry,
            card: row.card,
        },
    })
}
