//! Disputes: reports of false positives, and the directory of vendors they go to.

mod directory;
mod order;
mod view;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::access::{ADMIN, Area, READERS, Rule, WRITERS, rule};
use super::auth::Caller;
use super::download::attachment;
use super::envelope::{Answer, Base, Collection, Object, PageQuery, Paging, invalid_cursor};
use super::error::{ApiError, ErrorBody};
use super::{App, now};
use crate::flow::dispute::{DisputeError, Disputes, Doer, dispute_of};
use crate::model::{Dispute, KeyRole};
use crate::store::INCIDENTS;
use order::{OrderAttributes, SeenQuery};
use view::{DisputeAttributes, PreviewAttributes, object, preview_object};

/// Largest message that came back.
const BOUNCE_BYTES: usize = 2 << 20;

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[
    rule("GET", "/acquit/disputes", READERS),
    rule("POST", "/acquit/disputes", WRITERS),
    rule("POST", "/acquit/disputes/preview", WRITERS),
    rule("POST", "/acquit/disputes/bounce", ADMIN),
    rule("GET", "/acquit/disputes/{id}", READERS),
    rule("PATCH", "/acquit/disputes/{id}", WRITERS),
    rule("GET", "/acquit/disputes/{id}/package", WRITERS),
    rule("POST", "/acquit/disputes/{id}/send", WRITERS),
    rule("POST", "/acquit/disputes/{id}/ticket", WRITERS),
    rule("POST", "/acquit/disputes/{id}/bounce", WRITERS),
    rule("POST", "/acquit/disputes/{id}/withdraw", WRITERS),
    rule("GET", "/acquit/vendor_directory", READERS),
    rule("GET", "/acquit/vendor_directory/{id}", READERS),
];

#[derive(OpenApi)]
#[openapi(paths(
    list,
    show,
    create,
    preview,
    order::reword,
    send,
    ticket,
    bounce,
    bounce_mail,
    withdraw,
    package,
    directory::list,
    directory::show
))]
struct Document;

fn routes() -> Router<Arc<App>> {
    let large = DefaultBodyLimit::max(BOUNCE_BYTES);
    Router::new()
        .route("/acquit/disputes", get(list).post(create))
        .route("/acquit/disputes/preview", post(preview))
        .route("/acquit/disputes/bounce", post(bounce_mail).layer(large))
        .route("/acquit/disputes/{id}", get(show).patch(order::reword))
        .route("/acquit/disputes/{id}/package", get(package))
        .route("/acquit/disputes/{id}/send", post(send))
        .route("/acquit/disputes/{id}/ticket", post(ticket))
        .route("/acquit/disputes/{id}/bounce", post(bounce))
        .route("/acquit/disputes/{id}/withdraw", post(withdraw))
        .route("/acquit/vendor_directory", get(directory::list))
        .route("/acquit/vendor_directory/{id}", get(directory::show))
}

type DisputeAnswer = Json<Answer<Object<DisputeAttributes>>>;

/// What a body carries.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Ordered<A> {
    /// The object.
    data: Data<A>,
}

/// An object that is sent.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Data<A> {
    /// What is said of it.
    attributes: A,
}

/// A vendor's number for a dispute.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketAttributes {
    /// The number, or whatever the vendor calls it.
    ticket: String,
}

/// Why a dispute came back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BounceAttributes {
    /// The reason, in the other side's words.
    reason: String,
}

impl From<DisputeError> for ApiError {
    fn from(error: DisputeError) -> Self {
        let message = error.to_string();
        match error {
            DisputeError::NotFound(_) => Self::not_found(message),
            DisputeError::Never | DisputeError::NoFile { .. } => Self::forbidden(message),
            DisputeError::Missing { .. }
            | DisputeError::Words(_)
            | DisputeError::NoVendor { .. } => Self::invalid_argument(message),
            DisputeError::Conflict(_) | DisputeError::Package(_) => Self::conflict(message),
            DisputeError::Directory(_) | DisputeError::Ledger(_) => Self::internal(&message),
            DisputeError::Store(error) => error.into(),
        }
    }
}

fn disputes(app: &App) -> Disputes {
    let api = &app.api;
    Disputes::new(
        api.store.clone(),
        Arc::clone(&api.config),
        api.engines.clone(),
    )
}

fn doer(caller: &Caller) -> Doer {
    Doer {
        id: caller.actor(),
        now: now(),
    }
}

/// Reads a dispute that the caller may look at.
fn visible(app: &App, caller: &Caller, id: &str) -> Result<Dispute, ApiError> {
    let none = || ApiError::not_found(format!("dispute {id:?} not found"));
    let number = id.parse().map_err(|_| none())?;
    match disputes(app).get(number) {
        Ok(dispute) if caller.may_see(&dispute.publisher) => Ok(dispute),
        Ok(_) | Err(DisputeError::NotFound(_)) => Err(none()),
        Err(error) => Err(error.into()),
    }
}

/// Reads the number of a dispute that the caller may change.
fn own(app: &App, caller: &Caller, id: &str) -> Result<u64, ApiError> {
    let dispute = visible(app, caller, id)?;
    match caller.may_change(&dispute.publisher) {
        true => Ok(dispute.id),
        false => Err(ApiError::forbidden(
            "this key may not change the collection",
        )),
    }
}

/// Refuses an order about an incident that is not the caller's, as one that is not there.
fn own_incident(app: &App, caller: &Caller, id: u64) -> Result<(), ApiError> {
    let incident = app.api.store.get(&INCIDENTS, &id)?;
    match incident {
        Some(incident) if caller.may_change(&incident.publisher) => Ok(()),
        _ => Err(ApiError::not_found(format!("incident {id} not found"))),
    }
}

/// Whose disputes are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnerQuery {
    /// Of this publisher.
    publisher: Option<String>,
}

/// Lists disputes, newest first.
#[utoipa::path(
    get, path = "/api/v3/acquit/disputes", tag = "disputes", params(OwnerQuery, PageQuery),
    responses((status = 200, body = Collection<Object<DisputeAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(OwnerQuery { publisher }): Query<OwnerQuery>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<DisputeAttributes>>>, ApiError> {
    let sees_all = caller.is_admin()
        || (caller.role() == KeyRole::Viewer && caller.0.seat.publisher.is_none());
    let named = publisher.as_deref().filter(|named| !named.is_empty());
    let whose = match named {
        None if sees_all => None,
        named => Some(caller.publisher(named)?),
    };
    if paging.cursor.as_ref().is_some_and(|key| key.len() != 8) {
        return Err(invalid_cursor());
    }
    let before = paging.cursor.clone();
    let (found, next) = disputes(&app).list(whose.as_ref(), before, paging.limit)?;
    let data = found.into_iter().map(|it| object(it, &base)).collect();
    let url = match named.and(whose) {
        Some(whose) => base.url(&format!("/acquit/disputes?publisher={whose}")),
        None => base.url("/acquit/disputes"),
    };
    Ok(Json(Collection::new(data, (url, &paging), next)))
}

/// Shows a dispute: its text, where it goes, where it stands.
#[utoipa::path(
    get, path = "/api/v3/acquit/disputes/{id}", tag = "disputes", params(("id" = u64, Path)),
    responses((status = 200, body = Answer<Object<DisputeAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<DisputeAnswer, ApiError> {
    let data = object(visible(&app, &caller, &id)?, &base);
    Ok(Json(Answer { data }))
}

/// Makes a dispute of an incident.
#[utoipa::path(
    post, path = "/api/v3/acquit/disputes", tag = "disputes",
    request_body = Ordered<OrderAttributes>,
    responses((status = 200, body = Answer<Object<DisputeAttributes>>), (status = 409, body = ErrorBody))
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
    Json(body): Json<Ordered<OrderAttributes>>,
) -> Result<DisputeAnswer, ApiError> {
    let order = body.data.attributes;
    own_incident(&app, &caller, order.incident)?;
    let order = order.order()?;
    let dispute = disputes(&app).create(&order, &doer(&caller)).await?;
    let data = object(dispute, &base);
    Ok(Json(Answer { data }))
}

/// Shows exactly what would leave, to whom and by which consent, and does nothing.
#[utoipa::path(
    post, path = "/api/v3/acquit/disputes/preview", tag = "disputes",
    request_body = Ordered<OrderAttributes>,
    responses((status = 200, body = Answer<Object<PreviewAttributes>>), (status = 403, body = ErrorBody))
)]
pub async fn preview(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
    Json(body): Json<Ordered<OrderAttributes>>,
) -> Result<Json<Answer<Object<PreviewAttributes>>>, ApiError> {
    let order = body.data.attributes;
    own_incident(&app, &caller, order.incident)?;
    let order = order.order()?;
    let draft = disputes(&app).preview(&order)?;
    let data = preview_object(draft, &base);
    Ok(Json(Answer { data }))
}

/// Lets a prepared dispute leave by mail.
#[utoipa::path(
    post, path = "/api/v3/acquit/disputes/{id}/send", tag = "disputes",
    params(("id" = u64, Path), SeenQuery),
    responses((status = 200, body = Answer<Object<DisputeAttributes>>), (status = 409, body = ErrorBody))
)]
pub async fn send(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(seen): Query<SeenQuery>,
    base: Base,
) -> Result<DisputeAnswer, ApiError> {
    let seen = (own(&app, &caller, &id)?, seen.revision);
    let dispute = disputes(&app).send(seen, doer(&caller)).await?;
    let data = object(dispute, &base);
    Ok(Json(Answer { data }))
}

/// Notes the number the vendor gave: a person has brought the dispute to its form.
#[utoipa::path(
    post, path = "/api/v3/acquit/disputes/{id}/ticket", tag = "disputes",
    params(("id" = u64, Path)), request_body = Ordered<TicketAttributes>,
    responses((status = 200, body = Answer<Object<DisputeAttributes>>), (status = 409, body = ErrorBody))
)]
pub async fn ticket(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
    Json(body): Json<Ordered<TicketAttributes>>,
) -> Result<DisputeAnswer, ApiError> {
    let id = own(&app, &caller, &id)?;
    let ticket = body.data.attributes.ticket;
    let dispute = disputes(&app).ticket(id, &ticket, doer(&caller)).await?;
    let data = object(dispute, &base);
    Ok(Json(Answer { data }))
}

/// Notes that a dispute came back.
#[utoipa::path(
    post, path = "/api/v3/acquit/disputes/{id}/bounce", tag = "disputes",
    params(("id" = u64, Path)), request_body = Ordered<BounceAttributes>,
    responses((status = 200, body = Answer<Object<DisputeAttributes>>), (status = 409, body = ErrorBody))
)]
pub async fn bounce(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
    Json(body): Json<Ordered<BounceAttributes>>,
) -> Result<DisputeAnswer, ApiError> {
    let id = own(&app, &caller, &id)?;
    let reason = body.data.attributes.reason;
    let dispute = disputes(&app).bounce(id, &reason, doer(&caller)).await?;
    let data = object(dispute, &base);
    Ok(Json(Answer { data }))
}

/// Takes a message that came back, as it is, and finds the dispute it is about.
#[utoipa::path(
    post, path = "/api/v3/acquit/disputes/bounce", tag = "disputes",
    request_body(content = String, content_type = "message/rfc822"),
    responses((status = 200, body = Answer<Object<DisputeAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn bounce_mail(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
    message: Bytes,
) -> Result<DisputeAnswer, ApiError> {
    let none = || ApiError::not_found("no dispute is named in this message");
    let found = dispute_of(&String::from_utf8_lossy(&message));
    let (id, made, reason) = found.ok_or_else(none)?;
    let dispute = visible(&app, &caller, &id.to_string()).map_err(|_| none())?;
    // Another appliance's dispute may have the same number.
    if dispute.created_at != made {
        return Err(none());
    }
    let dispute = disputes(&app).bounce(id, &reason, doer(&caller)).await?;
    let data = object(dispute, &base);
    Ok(Json(Answer { data }))
}

/// Takes a dispute back.
#[utoipa::path(
    post, path = "/api/v3/acquit/disputes/{id}/withdraw", tag = "disputes",
    params(("id" = u64, Path)),
    responses((status = 200, body = Answer<Object<DisputeAttributes>>), (status = 409, body = ErrorBody))
)]
pub async fn withdraw(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<DisputeAnswer, ApiError> {
    let id = own(&app, &caller, &id)?;
    let dispute = disputes(&app).withdraw(id, doer(&caller)).await?;
    let data = object(dispute, &base);
    Ok(Json(Answer { data }))
}

/// Sends the archive that a person takes to the vendor's form.
#[utoipa::path(
    get, path = "/api/v3/acquit/disputes/{id}/package", tag = "disputes",
    params(("id" = u64, Path)),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "The archive"),
        (status = 409, body = ErrorBody),
    )
)]
pub async fn package(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = own(&app, &caller, &id)?;
    let package = disputes(&app).package(id, &doer(&caller)).await?;
    // Once open, the file needs no name any more.
    let file = tokio::fs::File::open(package.path()).await;
    let file = file.map_err(|error| ApiError::internal(&error))?;
    let length = (
        axum::http::header::CONTENT_LENGTH,
        package.size_bytes.to_string(),
    );
    let headers = attachment(&package.name);
    let body = Body::from_stream(ReaderStream::new(file));
    Ok(([length], headers, body).into_response())
}
