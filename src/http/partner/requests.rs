//! Requests for files: vendors ask, owners grant or refuse.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::auth::Caller;
use super::super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use super::super::error::{ApiError, ErrorBody};
use super::super::now;
use super::{asking, failed, see};
use crate::flow::vendor::VendorError;
use crate::flow::vendor::requests::{self, Answered, RequestKey};
use crate::model::{FileRequest, PublisherId, Sha256, VendorId};
use crate::store::Page;

/// A vendor's request for a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestAttributes {
    sha256: String,
    vendor_id: String,
    /// The owner that is asked; absent in the answer to the vendor, which may ask several.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_id: Option<String>,
    asked_date: u64,
    reason: String,
    /// `requested`, `available` or `refused`.
    file_access: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_date: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_by: Option<String>,
}

/// Why a file is needed; also as `{"data": {"attributes": {"reason": …}}}`.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only described: it is read by hand")]
pub struct Reason {
    reason: String,
}

/// Whose requests.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnerQuery {
    /// The publisher; that of the key if absent.
    owner: Option<String>,
}

/// Asks the owners of a file for it, where their policy is to be asked.
#[utoipa::path(
    post, path = "/api/v3/monitor_partner/files/{sha256}/request", tag = "partner",
    params(("sha256" = String, Path, description = "SHA-256")),
    request_body = Reason,
    responses(
        (status = 200, body = Answer<Object<RequestAttributes>>),
        (status = 403, body = ErrorBody, description = "Its owners do not give it out"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "It was asked for, or is to be had, already"),
    )
)]
pub async fn ask(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Object<RequestAttributes>>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let (sha256, _) = see(&app, &asking, &id).await?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("the body is no JSON: {error}")))?;
    let nested = body.pointer("/data/attributes/reason");
    let reason = body.get("reason").or(nested).and_then(Value::as_str);
    let reason = reason.unwrap_or_default().to_owned();
    let vendor = asking.analyst.vendor.clone();
    let asked = requests::ask(&app.api.store, asking.analyst, (sha256, reason)).await;
    let asked = asked.map_err(|error| failed(error, &id))?;
    let url = base.url(&format!("/monitor_partner/files/{sha256}/request"));
    let data = object(((sha256, None, vendor), asked), url);
    Ok(Json(Answer { data }))
}

/// Lists vendors' requests for files of a publisher.
#[utoipa::path(
    get, path = "/api/v3/acquit/file_requests", tag = "partner", params(OwnerQuery, PageQuery),
    responses((status = 200, body = Collection<Object<RequestAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<OwnerQuery>,
    Extension(caller): Extension<Caller>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<RequestAttributes>>>, ApiError> {
    let publisher = caller.publisher(query.owner.as_deref())?;
    let span = (paging.cursor.clone(), paging.limit);
    let (store, owner) = (app.api.store.clone(), publisher.clone());
    let list = move || requests::list(&store, &owner, span);
    let listed = tokio::task::spawn_blocking(list).await;
    let listed = listed.map_err(|error| ApiError::internal(&error))?;
    let Page { rows, next } = listed.map_err(|error| failed(error, ""))?;
    let url = base.url(&format!("/acquit/file_requests?owner={publisher}"));
    let object = |((sha256, owner, vendor), request)| {
        object(((sha256, Some(owner), vendor), request), url.clone())
    };
    let data = rows.into_iter().map(object).collect();
    Ok(Json(Collection::new(data, (url.clone(), &paging), next)))
}

/// Lets a vendor have a file it asked for.
#[utoipa::path(
    post, path = "/api/v3/acquit/file_requests/{sha256}/{vendor}/grant", tag = "partner",
    params(
        ("sha256" = String, Path, description = "SHA-256"),
        ("vendor" = String, Path, description = "Id of the vendor"),
        OwnerQuery,
    ),
    responses((status = 200, body = Answer<Object<RequestAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn grant(
    app: State<Arc<App>>,
    names: Path<(String, String)>,
    query: Query<OwnerQuery>,
    caller: Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Object<RequestAttributes>>>, ApiError> {
    let key = key(&names, (&query, &caller))?;
    answer(&app, (key, Answered::Granted), (&caller, &base)).await
}

/// Does not let a vendor have a file it asked for, or not any more.
#[utoipa::path(
    post, path = "/api/v3/acquit/file_requests/{sha256}/{vendor}/refuse", tag = "partner",
    params(
        ("sha256" = String, Path, description = "SHA-256"),
        ("vendor" = String, Path, description = "Id of the vendor"),
        OwnerQuery,
    ),
    responses((status = 200, body = Answer<Object<RequestAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn refuse(
    app: State<Arc<App>>,
    names: Path<(String, String)>,
    query: Query<OwnerQuery>,
    caller: Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Object<RequestAttributes>>>, ApiError> {
    let key = key(&names, (&query, &caller))?;
    answer(&app, (key, Answered::Refused), (&caller, &base)).await
}

fn key(
    (sha256, vendor): &(String, String),
    (query, caller): (&OwnerQuery, &Caller),
) -> Result<RequestKey, ApiError> {
    let publisher = caller.publisher(query.owner.as_deref())?;
    let sha256: Sha256 = sha256.parse().map_err(|_| none())?;
    let vendor: VendorId = vendor.parse().map_err(|_| none())?;
    Ok((sha256, publisher, vendor))
}

fn none() -> ApiError {
    ApiError::not_found("no vendor of that id has asked for that file")
}

async fn answer(
    app: &App,
    (key, answered): (RequestKey, Answered),
    (caller, base): (&Caller, &Base),
) -> Result<Json<Answer<Object<RequestAttributes>>>, ApiError> {
    let (sha256, publisher, vendor) = key.clone();
    let by = (caller.actor(), now());
    let request = requests::answer(&app.api.store, (key, answered), by).await;
    let request = request.map_err(|error| match error {
        VendorError::Hidden => none(),
        error => failed(error, ""),
    })?;
    let url = base.url(&format!("/acquit/file_requests?owner={publisher}"));
    let data = object(((sha256, Some(publisher), vendor), request), url);
    Ok(Json(Answer { data }))
}

type Named = (Sha256, Option<PublisherId>, VendorId);

fn object(
    ((sha256, owner, vendor), request): (Named, FileRequest),
    url: String,
) -> Object<RequestAttributes> {
    let file_access = requests::stands(&request).as_str();
    let (answered, by) = request.granted.or(request.refused).unzip();
    Object {
        kind: "file_request",
        id: format!("{sha256}-{vendor}"),
        links: Links::to(url),
        attributes: RequestAttributes {
            sha256: sha256.to_string(),
            vendor_id: vendor.to_string(),
            owner_id: owner.map(String::from),
            asked_date: request.asked_at.seconds(),
            reason: request.reason,
            file_access,
            answered_date: answered.map(crate::model::Timestamp::seconds),
            answered_by: by,
        },
    }
}
