//! What VirusTotal's Monitor has no route for: moving, copying, release cards, policies, history.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::App;
use super::super::auth::Caller;
use super::super::envelope::{Answer, Base, Collection, Links, Object};
use super::super::error::{ApiError, ErrorBody};
use super::address::{find, split};
use super::item::{actor, attributes};
use super::object::{ItemAttributes, object, url};
use super::refusal;
use super::{archive, card};
use crate::flow::collection::Edit;
use crate::flow::policy::policy_at;
use crate::model::{Item, ItemId, ItemPath, SharePolicy};

/// What can be asked for of an item besides.
const PARTS: [&str; 6] = ["move", "copy", "card", "policy", "history", "archive"];

/// What vendors may have of an item.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyAttributes {
    /// `never`, `metadata-only`, `file-on-request` or `file`.
    #[schema(value_type = String)]
    policy: SharePolicy,
    /// Where that is said: the item, a folder above it, or `/`.
    said_at: String,
    /// What is said at the item itself, if anything.
    #[schema(value_type = Option<String>)]
    stated: Option<SharePolicy>,
}

/// A content an item had or has.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionAttributes {
    sha256: String,
    /// Bytes.
    size: u64,
    from_date: u64,
    /// Until when; absent for the present content.
    #[serde(skip_serializing_if = "Option::is_none")]
    until_date: Option<u64>,
    /// Who put it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    creator_id: Option<String>,
}

/// Shows `card`, `policy` or `history` of an item, as the end of the URL says, or sends a folder
/// and all in it as a ZIP file: `archive`.
#[utoipa::path(
    get, path = "/api/v3/acquit/items/{id}/{part}", tag = "monitor",
    params(
        ("id" = String, Path, description = "Item id, escaped or as it is"),
        ("part" = String, Path, description = "`card`, `policy`, `history` or `archive`"),
    ),
    responses((status = 200, body = Answer<Object<card::CardAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(rest): Path<String>,
    (base, method): (Base, Method),
) -> Result<Response, ApiError> {
    let (id, part) = split(&rest, &PARTS)?;
    let item = find(&app, &caller, &id)?;
    match part {
        Some("archive") => archive::send(&app, &caller, (id, &method)),
        Some("card") => card::show(&app, (&id, &item), &base),
        Some("policy") => policy(&app, (&id, &item), &base),
        Some("history") => history(&id, item, &base),
        _ => Err(ApiError::not_found("there is nothing to read at this URL")),
    }
}

/// Changes `card` or `policy` of an item, as the end of the URL says.
#[utoipa::path(
    patch, path = "/api/v3/acquit/items/{id}/{part}", tag = "monitor",
    params(
        ("id" = String, Path, description = "Item id, escaped or as it is"),
        ("part" = String, Path, description = "`card`: fields, null takes one back; `policy`: \
            `{\"policy\": …}`, null inherits again"),
    ),
    request_body(content = String, content_type = "application/json"),
    responses((status = 200, body = Answer<Object<card::CardAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn patch(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(rest): Path<String>,
    base: Base,
    body: Bytes,
) -> Result<Response, ApiError> {
    let (id, part) = split(&rest, &PARTS)?;
    let item = find(&app, &caller, &id)?;
    let given = attributes(&body, &id)?;
    let edit = match part {
        Some("card") => Edit {
            card: Some(card::merged(&item, &given)?),
            ..Edit::default()
        },
        Some("policy") => Edit {
            policy: Some(stated_policy(&given)?),
            ..Edit::default()
        },
        _ => {
            return Err(ApiError::not_found(
                "there is nothing to change at this URL",
            ));
        }
    };
    let edited = app.api.collections.edit(id.clone(), edit, actor(&caller));
    edited.await.map_err(|error| refusal::of(error, &id))?;
    let item = find(&app, &caller, &id)?;
    match part {
        Some("card") => card::show(&app, (&id, &item), &base),
        _ => policy(&app, (&id, &item), &base),
    }
}

/// An item that was moved or copied.
#[derive(Debug, Serialize, ToSchema)]
pub struct Relocated {
    data: Object<ItemAttributes>,
    meta: RelocatedMeta,
}

/// What became of what vendors may have of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RelocatedMeta {
    /// More is allowed there than was where it came from: it says this of itself now, as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    kept_policy: Option<SharePolicy>,
}

/// Moves or copies an item to `{"data": {"attributes": {"to": "/path"}}}`, a folder with all in it.
/// Vendors may have no more of it there than before: if the folders there allow more, it states
/// what held for it.
#[utoipa::path(
    post, path = "/api/v3/acquit/items/{id}/{part}", tag = "monitor",
    params(
        ("id" = String, Path, description = "Item id, escaped or as it is"),
        ("part" = String, Path, description = "`move` or `copy`"),
    ),
    request_body(content = String, content_type = "application/json"),
    responses(
        (status = 200, body = Relocated, description = "Where it is now"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Something is in the way"),
    )
)]
pub async fn post(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(rest): Path<String>,
    base: Base,
    body: Bytes,
) -> Result<Json<Relocated>, ApiError> {
    let (id, part) = split(&rest, &PARTS)?;
    let before = find(&app, &caller, &id)?;
    let to = target(&id.path, &attributes(&body, &id)?)?;
    let (collections, who) = (&app.api.collections, actor(&caller));
    let done = match part {
        Some("move") => collections.relocate(id.clone(), to.clone(), who).await,
        Some("copy") => collections.copy(id.clone(), to.clone(), who).await,
        _ => return Err(ApiError::not_found("there is nothing to do at this URL")),
    };
    let item = done.map_err(|error| refusal::of(error, &id))?;
    let kept_policy = item.policy.filter(|_| before.policy.is_none());
    let publisher = id.publisher;
    let id = ItemId {
        publisher,
        path: to,
    };
    Ok(Json(Relocated {
        data: object(&app, (&id, item), &base)?,
        meta: RelocatedMeta { kept_policy },
    }))
}

/// Returns where something is to go: a file that goes to a folder keeps its name.
fn target(from: &ItemPath, given: &Map<String, Value>) -> Result<ItemPath, ApiError> {
    let wrong = || ApiError::invalid_argument("the only attribute is to, a path");
    let to = match (given.len(), given.get("to").and_then(Value::as_str)) {
        (1, Some(to)) if !to.is_empty() => to.parse::<ItemPath>(),
        _ => return Err(wrong()),
    };
    let invalid = |error: crate::model::InvalidPath| ApiError::invalid_argument(error.to_string());
    let to = to.map_err(invalid)?;
    match (from.is_folder(), to.is_folder()) {
        (true, _) => Ok(to.as_folder()),
        (false, true) => to.join(from.name()).map_err(invalid),
        (false, false) => Ok(to),
    }
}

fn stated_policy(given: &Map<String, Value>) -> Result<Option<SharePolicy>, ApiError> {
    let wrong = "the only attribute is policy: never, metadata-only, file-on-request, file, or \
                 null to inherit";
    let policy = given.get("policy").filter(|_| given.len() == 1);
    let policy = policy.ok_or_else(|| ApiError::invalid_argument(wrong))?;
    serde_json::from_value(policy.clone()).map_err(|_| ApiError::invalid_argument(wrong))
}

fn policy(app: &App, (id, item): (&ItemId, &Item), base: &Base) -> Result<Response, ApiError> {
    let said = policy_at(&app.api.store, &id.publisher, &id.path)?;
    let data = Object {
        kind: "monitor_policy",
        id: id.to_string(),
        links: Links::to(format!("{}/policy", acquit_url(id, base))),
        attributes: PolicyAttributes {
            stated: item.policy,
            policy: said.policy,
            said_at: said.at.to_string(),
        },
    };
    Ok(Json(Answer { data }).into_response())
}

fn history(id: &ItemId, item: Item, base: &Base) -> Result<Response, ApiError> {
    let versions = item.file.into_iter().flat_map(|file| {
        let present = VersionAttributes {
            sha256: file.sha256.to_string(),
            size: file.size_bytes,
            from_date: item.modified_at.seconds(),
            until_date: None,
            creator_id: None,
        };
        let past = file
            .history
            .into_iter()
            .rev()
            .map(|past| VersionAttributes {
                sha256: past.sha256.to_string(),
                size: past.size_bytes,
                from_date: past.from.seconds(),
                until_date: Some(past.until.seconds()),
                creator_id: Some(past.creator),
            });
        std::iter::once(present).chain(past).collect::<Vec<_>>()
    });
    let this = format!("{}/history", acquit_url(id, base));
    let data = versions.enumerate().map(|(number, attributes)| Object {
        kind: "monitor_item_version",
        id: format!("{}-{}-{number}", attributes.sha256, attributes.from_date),
        links: Links::to(base.url(&format!("/files/{}", attributes.sha256))),
        attributes,
    });
    let data = data.collect::<Vec<_>>();
    Ok(Json(Collection::whole(data, this)).into_response())
}

/// Returns the URL of what is ours of an item.
pub fn acquit_url(id: &ItemId, base: &Base) -> String {
    url(id, base).replacen("/monitor/items/", "/acquit/items/", 1)
}

/// Fields by name.
pub type Fields<T> = BTreeMap<String, T>;
