//! Groups: publishers and vendors as VirusTotal shows them.
//!
//! A vendor sees of a publisher only who it is, and only while it may know of one of its files.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::parties::STEP;
use crate::flow::policy;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::envelope::{Answer, Base, Links, Object};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::users::{Privilege, Used, monitor_quotas};
use crate::model::{KeyRole, Publisher, PublisherId, Sha256, Vendor};
use crate::store::{PUBLISHERS, Read, Store, StoreError, TAGGED, VENDORS, tag_prefix};

/// What is known of a group.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct GroupAttributes {
    organization: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_legal_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_iso: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    industry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact_emails: Option<Vec<String>>,
    /// `monitor_partner.engines`: the engines of a vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    preferences: Option<BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    privileges: Option<BTreeMap<&'static str, Privilege>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quotas: Option<BTreeMap<&'static str, Used>>,
}

/// Shows a group: a publisher or a vendor.
#[utoipa::path(
    get, path = "/api/v3/groups/{id}", tag = "people",
    params(("id" = String, Path, description = "Id of the publisher or the vendor")),
    responses((status = 200, body = Answer<Object<GroupAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Object<GroupAttributes>>>, ApiError> {
    let attributes = publisher(&app, &caller, &id)?;
    let attributes = match attributes {
        Some(attributes) => Some(attributes),
        None => vendor(&app, &caller, &id)?,
    };
    let none = || ApiError::not_found(format!("group {id:?} not found"));
    let attributes = attributes.ok_or_else(none)?;
    let links = Links::to(base.url(&format!("/groups/{id}")));
    let data = Object {
        kind: "group",
        id,
        links,
        attributes,
    };
    Ok(Json(Answer { data }))
}

fn publisher(app: &App, caller: &Caller, id: &str) -> Result<Option<GroupAttributes>, ApiError> {
    let store = &app.api.store;
    let Ok(id) = id.parse::<PublisherId>() else {
        return Ok(None);
    };
    let Some(row) = store.get(&PUBLISHERS, &id)? else {
        return Ok(None);
    };
    if caller.role() == KeyRole::Vendor {
        let Some(vendor) = store.get(&VENDORS, caller.vendor()?)? else {
            return Ok(None);
        };
        return Ok(knows(store, &vendor, &id)?.then(|| profile(row)));
    }
    if !caller.may_see(&id) {
        return Ok(None);
    }
    let emails = row.emails.clone();
    let quotas = monitor_quotas(store, &row.id)?;
    Ok(Some(GroupAttributes {
        contact_emails: Some(emails),
        privileges: Some([("monitor", Privilege::granted(true))].into()),
        quotas: Some(quotas.into()),
        ..profile(row)
    }))
}

/// What everybody may know who may know of the publisher at all.
fn profile(row: Publisher) -> GroupAttributes {
    GroupAttributes {
        organization: row.name,
        organization_legal_name: row.profile.legal_name,
        country: row.profile.country,
        country_iso: row.profile.country_iso,
        domain_name: row.profile.domain,
        industry: row.profile.industry,
        ..GroupAttributes::default()
    }
}

/// Tells whether a vendor may know of one of a publisher's files now.
fn knows(store: &Store, vendor: &Vendor, publisher: &PublisherId) -> Result<bool, StoreError> {
    for engine in &vendor.engines {
        let prefix = tag_prefix(publisher, engine.as_str());
        let mut from = None::<Vec<u8>>;
        loop {
            let page = store.list(&TAGGED, (&prefix, from.as_deref()), STEP)?;
            for ((_, _, sha256), ()) in page.rows {
                if shares(store, (vendor, publisher), &sha256)? {
                    return Ok(true);
                }
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
    }
    Ok(false)
}

fn shares(
    read: &impl Read,
    (vendor, publisher): (&Vendor, &PublisherId),
    sha256: &Sha256,
) -> Result<bool, StoreError> {
    let sight = policy::sight(read, vendor, sha256)?;
    let mut consents = sight.into_iter().flat_map(|sight| sight.consents);
    Ok(consents.any(|consent| consent.publisher == *publisher))
}

fn vendor(app: &App, caller: &Caller, id: &str) -> Result<Option<GroupAttributes>, ApiError> {
    let own = caller.0.seat.vendor.as_ref();
    if !caller.sees_all() && own.is_none_or(|own| own.as_str() != id) {
        return Ok(None);
    }
    let Ok(id) = id.parse() else { return Ok(None) };
    let Some(row) = app.api.store.get(&VENDORS, &id)? else {
        return Ok(None);
    };
    let engines = row.engines.into_iter().map(String::from).collect();
    Ok(Some(GroupAttributes {
        organization: row.name,
        contact_emails: Some(row.emails),
        preferences: Some([("monitor_partner", [("engines", engines)].into())].into()),
        privileges: Some([("monitor-partner", Privilege::granted(true))].into()),
        ..GroupAttributes::default()
    }))
}
