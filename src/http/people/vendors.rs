//! Vendors: made, shown, changed, removed. An engine belongs to one of them at most.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parties::{self, STEP};
use super::{Emptied, admin_line, retire, taken};
use crate::flow::events::{Draft, raise};
use crate::http::auth::Caller;
use crate::http::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{App, now};
use crate::model::{About, EngineId, EventKind, Vendor, VendorId};
use crate::store::{Change, VENDORS};

/// What is known of a vendor.
#[derive(Debug, Serialize, ToSchema)]
pub struct VendorAttributes {
    name: String,
    creation_date: u64,
    /// Where its analysts are written to.
    emails: Vec<String>,
    /// Ids of its engines.
    engines: Vec<String>,
}

/// A vendor to be made, or what is changed of one; what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VendorOrder {
    /// Made of the name if absent; it never changes.
    id: Option<String>,
    name: Option<String>,
    emails: Option<Vec<String>>,
    /// Ids of its engines: it sees what these detect and nothing else.
    engines: Option<Vec<String>>,
}

type Shown = Json<Answer<Object<VendorAttributes>>>;

/// Lists the vendors.
#[utoipa::path(
    get, path = "/api/v3/acquit/vendors", tag = "people", params(PageQuery),
    responses((status = 200, body = Collection<Object<VendorAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<VendorAttributes>>>, ApiError> {
    let span = ([].as_slice(), paging.cursor.as_deref());
    let page = app.api.store.list(&VENDORS, span, paging.limit)?;
    let rows = page.rows.into_iter();
    let data = rows.map(|(_, row)| object(row, &base)).collect();
    let url = base.url("/acquit/vendors");
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

/// Makes a vendor.
#[utoipa::path(
    post, path = "/api/v3/acquit/vendors", tag = "people", request_body = VendorOrder,
    responses(
        (status = 200, body = Answer<Object<VendorAttributes>>),
        (status = 400, body = ErrorBody, description = "An engine is unknown"),
        (status = 409, body = ErrorBody, description = "The id is taken, or an engine is another's"),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Shown, ApiError> {
    let order: VendorOrder = parties::attributes(&body)?;
    let name = parties::name(order.name.as_deref().unwrap_or(""))?;
    let id = super::id_of::<VendorId>(order.id.as_deref(), &name)?;
    let _alone = app.keys.lock().await;
    taken(&app.api.store, id.as_str())?;
    let vendor = Vendor {
        engines: engines(&app, order.engines.unwrap_or_default(), &id)?,
        id,
        name,
        created_at: now(),
        emails: parties::emails(order.emails.unwrap_or_default())?,
    };
    let listed = listed(&vendor.engines);
    let text = format!("vendor {} is made; its engines are {listed}", vendor.id);
    admin_line(&app, &caller, (None, text)).await?;
    let row = vendor.clone();
    let write = move |change: &mut Change<'_>| change.put(&VENDORS, &row.id, &row);
    app.api.store.write(write).await?;
    let data = object(vendor, &base);
    Ok(Json(Answer { data }))
}

/// Shows a vendor.
#[utoipa::path(
    get, path = "/api/v3/acquit/vendors/{id}", tag = "people",
    params(("id" = String, Path, description = "Id of the vendor")),
    responses((status = 200, body = Answer<Object<VendorAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Shown, ApiError> {
    let data = object(find(&app, &id)?, &base);
    Ok(Json(Answer { data }))
}

fn find(app: &App, id: &str) -> Result<Vendor, ApiError> {
    let none = || ApiError::not_found(format!("vendor {id:?} not found"));
    let vendor = id.parse::<VendorId>().map_err(|_| none())?;
    app.api.store.get(&VENDORS, &vendor)?.ok_or_else(none)
}

/// Changes what is known of a vendor, or which engines are its own.
#[utoipa::path(
    patch, path = "/api/v3/acquit/vendors/{id}", tag = "people", request_body = VendorOrder,
    params(("id" = String, Path, description = "Id of the vendor")),
    responses((status = 200, body = Answer<Object<VendorAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn edit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Shown, ApiError> {
    let order: VendorOrder = parties::attributes(&body)?;
    if order.id.as_ref().is_some_and(|other| *other != id) {
        return Err(ApiError::invalid_argument("an id never changes"));
    }
    let _alone = app.keys.lock().await;
    let before = find(&app, &id)?;
    let mut after = before.clone();
    if let Some(name) = order.name {
        after.name = parties::name(&name)?;
    }
    if let Some(emails) = order.emails {
        after.emails = parties::emails(emails)?;
    }
    if let Some(ids) = order.engines {
        after.engines = engines(&app, ids, &after.id)?;
    }
    let changed = (before.engines != after.engines).then(|| {
        let (from, to) = (listed(&before.engines), listed(&after.engines));
        format!("vendor {id}'s engines were {from} and are {to}")
    });
    let text = changed.clone();
    let text = text.unwrap_or_else(|| format!("vendor {id} is changed"));
    admin_line(&app, &caller, (None, text)).await?;
    let (row, actor) = (after.clone(), caller.actor());
    let write = move |change: &mut Change<'_>| {
        change.put(&VENDORS, &row.id, &row)?;
        let Some(text) = changed else { return Ok(()) };
        let about = About {
            actor: Some(actor),
            ..About::default()
        };
        let draft = Draft::about(now(), EventKind::PolicyChanged, about, text);
        raise(change, draft).map(|_| ())
    };
    app.api.store.write(write).await?;
    let data = object(after, &base);
    Ok(Json(Answer { data }))
}

/// Removes a vendor; its keys are revoked, its users disabled.
#[utoipa::path(
    delete, path = "/api/v3/acquit/vendors/{id}", tag = "people",
    params(("id" = String, Path, description = "Id of the vendor")),
    responses((status = 200, body = Answer<Emptied>), (status = 404, body = ErrorBody))
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Answer<Emptied>>, ApiError> {
    let _alone = app.keys.lock().await;
    let vendor = find(&app, &id)?.id;
    let text = format!("vendor {vendor} is removed, its keys are revoked");
    admin_line(&app, &caller, (None, text)).await?;
    let write = move |change: &mut Change<'_>| {
        let of = |seat: &crate::model::Seat| seat.vendor.as_ref() == Some(&vendor);
        parties::unseat(change, now(), of)?;
        change.remove(&VENDORS, &vendor);
        retire(change, vendor.as_str())
    };
    app.api.store.write(write).await?;
    Ok(Json(Answer { data: Emptied {} }))
}

/// Checks that engines are there, and nobody else's.
fn engines(app: &App, ids: Vec<String>, vendor: &VendorId) -> Result<BTreeSet<EngineId>, ApiError> {
    let known: Vec<EngineId> = app.api.engines.borrow().keys().cloned().collect();
    let mut engines = BTreeSet::new();
    for id in ids {
        let engine = known.iter().find(|known| known.as_str() == id);
        let engine = engine.ok_or_else(|| {
            let known: Vec<_> = known.iter().map(ToString::to_string).collect();
            let known = known.join(", ");
            ApiError::invalid_argument(format!("there is no engine {id:?}; there are {known}"))
        })?;
        engines.insert(engine.clone());
    }
    if engines.is_empty() {
        let message = "a vendor needs at least one engine: it sees what its engines detect";
        return Err(ApiError::invalid_argument(message));
    }
    let mut from = None::<Vec<u8>>;
    loop {
        let page = app.api.store.list(&VENDORS, (&[], from.as_deref()), STEP)?;
        for (other, row) in page.rows {
            let shared = row.engines.intersection(&engines).next();
            if let Some(engine) = shared.filter(|_| other != *vendor) {
                let message =
                    format!("engine {engine} belongs to vendor {other}; take it away there first");
                return Err(ApiError::conflict(message));
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(engines);
        }
    }
}

fn listed(engines: &BTreeSet<EngineId>) -> String {
    let engines: Vec<_> = engines.iter().map(ToString::to_string).collect();
    engines.join(", ")
}

fn object(row: Vendor, base: &Base) -> Object<VendorAttributes> {
    let id = row.id.to_string();
    Object {
        kind: "vendor",
        links: Links::to(base.url(&format!("/acquit/vendors/{id}"))),
        id,
        attributes: VendorAttributes {
            name: row.name,
            creation_date: row.created_at.seconds(),
            emails: row.emails,
            engines: row.engines.into_iter().map(String::from).collect(),
        },
    }
}
