//! One item: what is known of it, its bytes, and what is related to it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::super::auth::Caller;
use super::super::download;
use super::super::egress::{self, Parting};
use super::super::envelope::{Answer, Base, Object, PageQuery, Paging};
use super::super::error::{ApiError, ErrorBody};
use super::super::{App, now, tickets};
use super::address::{check, check_bytes, find, split};
use super::object::{ItemAttributes, KIND, object};
use super::refusal;
use super::related::{self, Form};
use crate::flow::collection::{Actor, Edit};
use crate::model::{Item, ItemFile, ItemId};
use crate::store::TicketRow;

/// What can be asked for of an item.
const PARTS: [&str; 9] = [
    "config",
    "download",
    "download_url",
    "analyses",
    "owner",
    "comments",
    "relationships/analyses",
    "relationships/owner",
    "relationships/comments",
];

/// Shows an item, or what comes after its id: `download`, `download_url`, `analyses`, `owner`,
/// `comments`, or one of the last three after `relationships/`.
#[utoipa::path(
    get, path = "/api/v3/monitor/items/{id}", tag = "monitor",
    params(("id" = String, Path, description = "Item id, escaped or as it is"), PageQuery),
    responses((status = 200, body = Answer<Object<ItemAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(rest): Path<String>,
    (base, method, headers): (Base, Method, HeaderMap),
    paging: Result<Paging, ApiError>,
) -> Result<Response, ApiError> {
    let (id, part) = split(&rest, &PARTS)?;
    let item = find(&app, &caller, &id)?;
    let related = (&id, &item);
    // Only lists have pages; what is said of one of anything else means nothing.
    let is_list = part.is_some_and(|part| part.ends_with("analyses") || part.ends_with("comments"));
    let paging = match paging {
        Err(error) if is_list => return Err(error),
        paging => paging.unwrap_or_default(),
    };
    match part.unwrap_or("") {
        "" => {
            let data = object(&app, (&id, item), &base)?;
            Ok(Json(Answer { data }).into_response())
        }
        "download" => {
            let parting = parting(&caller, related)?;
            let mut sent = egress::send(&app, parting, (&method, &headers)).await?.0;
            download::name(&mut sent, id.path.name());
            Ok(sent)
        }
        "download_url" => download_url(&app, &caller, related, &base).await,
        "analyses" => related::analyses(&app, related, (&paging, Form::Whole), &base),
        "comments" => related::comments(&app, related, (&paging, Form::Whole), &base),
        "owner" => related::owner(&app, &id, Form::Whole, &base),
        "relationships/analyses" => related::analyses(&app, related, (&paging, Form::Name), &base),
        "relationships/comments" => related::comments(&app, related, (&paging, Form::Name), &base),
        "relationships/owner" => related::owner(&app, &id, Form::Name, &base),
        _ => Err(ApiError::not_found("there is nothing to read at this URL")),
    }
}

/// Returns the file of an item whose bytes may go to the caller.
fn release<'a>(caller: &Caller, (id, item): (&ItemId, &'a Item)) -> Result<&'a ItemFile, ApiError> {
    check_bytes(caller, id)?;
    let none = || ApiError::invalid_argument("a folder has no bytes to download");
    item.file.as_ref().ok_or_else(none)
}

/// Returns what the ledger says of a file that goes to the caller.
///
/// # Errors
/// If the caller may not have it, or it is a folder.
pub fn parting(caller: &Caller, (id, item): (&ItemId, &Item)) -> Result<Parting, ApiError> {
    let file = release(caller, (id, item))?;
    let own = caller.0.seat.publisher.as_ref() == Some(&id.publisher);
    let rule = match own {
        true => "a publisher may have its own collection",
        false => "administrators may read every collection",
    };
    Ok(Parting {
        what: format!("{} of publisher {}", id.path, id.publisher),
        publisher: Some(id.publisher.clone()),
        rule: rule.to_owned(),
        ..Parting::to_key(caller, file.sha256)
    })
}

async fn download_url(
    app: &App,
    caller: &Caller,
    (id, item): (&ItemId, &Item),
    base: &Base,
) -> Result<Response, ApiError> {
    // What leaves is written down when the URL is used.
    let file = release(caller, (id, item))?;
    let ticket = TicketRow::Download {
        sha256: file.sha256,
        expires_at: now().after(tickets::LIFETIME),
        key: Some(caller.0.id.clone()),
    };
    let secret = tickets::issue(app, ticket).await?;
    let data = base.url(&format!("/acquit/downloads/{secret}"));
    Ok(Json(Answer { data }).into_response())
}

/// Moves an item to the trash, a folder with all in it.
#[utoipa::path(
    delete, path = "/api/v3/monitor/items/{id}", tag = "monitor",
    params(("id" = String, Path, description = "Item id, escaped or as it is")),
    responses(
        (status = 200, description = "It is in the trash; `meta.act` names the act"),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(rest): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (id, _) = split(&rest, &[])?;
    check(&caller, &id)?;
    let deleted = app.api.collections.delete(id.clone(), actor(&caller)).await;
    let act = deleted.map_err(|error| refusal::of(error, &id))?;
    Ok(Json(
        json!({ "data": {}, "meta": { "act": act.to_string() } }),
    ))
}

/// Sets what vendors are told of a file: `{"data": {"attributes": {"details": "…"}}}`; null takes
/// it back. `/config` after the id is the same.
#[utoipa::path(
    patch, path = "/api/v3/monitor/items/{id}", tag = "monitor",
    params(("id" = String, Path, description = "Item id, escaped or as it is")),
    request_body(content = String, content_type = "application/json"),
    responses((status = 200, body = Answer<Object<ItemAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn patch(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(rest): Path<String>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Object<ItemAttributes>>>, ApiError> {
    let (id, part) = split(&rest, &PARTS)?;
    if !matches!(part, None | Some("config")) {
        return Err(ApiError::not_found(
            "there is nothing to change at this URL",
        ));
    }
    let item = find(&app, &caller, &id)?;
    let details = details(&attributes(&body, &id)?)?;
    let item = match details {
        None => item,
        Some(details) => {
            let edit = Edit {
                details: Some(details),
                ..Edit::default()
            };
            let edited = app.api.collections.edit(id.clone(), edit, actor(&caller));
            edited.await.map_err(|error| refusal::of(error, &id))?
        }
    };
    let data = object(&app, (&id, item), &base)?;
    Ok(Json(Answer { data }))
}

/// Reads the attributes of the object in a body, which must be the item of the URL.
///
/// # Errors
/// If there are none, or they are another's.
pub fn attributes(body: &[u8], id: &ItemId) -> Result<Map<String, Value>, ApiError> {
    let malformed = |why: &str| {
        let form = r#"expected {"data": {"attributes": {…}}}"#;
        ApiError::bad_request(format!("{why}; {form}"))
    };
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| malformed(&format!("the body is no JSON: {error}")))?;
    let data = body.get("data").and_then(Value::as_object);
    let data = data.ok_or_else(|| malformed("the body has no data"))?;
    if let Some(kind) = data.get("type")
        && !matches!(kind.as_str(), Some(KIND | "monitoritem"))
    {
        let message = "data.type is not \"monitor_item\"";
        return Err(ApiError::invalid_argument(message));
    }
    if let Some(named) = data.get("id") {
        let named = named.as_str().and_then(|named| named.parse().ok());
        if named.as_ref() != Some(id) {
            return Err(ApiError::invalid_argument(
                "data.id is not the id in the URL",
            ));
        }
    }
    let attributes = data.get("attributes").and_then(Value::as_object);
    attributes
        .cloned()
        .ok_or_else(|| malformed("data has no attributes"))
}

fn details(attributes: &Map<String, Value>) -> Result<Option<Option<String>>, ApiError> {
    if let Some(other) = attributes.keys().find(|key| *key != "details") {
        let message = format!("attribute {other:?} cannot be changed; only details can");
        return Err(ApiError::invalid_argument(message));
    }
    match attributes.get("details") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(text.clone()))),
        Some(_) => Err(ApiError::invalid_argument(
            "details is neither text nor null",
        )),
    }
}

/// Returns who asks, and when.
pub fn actor(caller: &Caller) -> Actor {
    Actor {
        id: caller.actor(),
        now: now(),
    }
}
