//! Notifications: who is told of what, and what became of each delivery.
//!
//! A publisher has its own subscriptions, a vendor its own, an administrator all. Neither a URL
//! nor a secret is ever answered again: only where it leads.

mod deliveries;
mod orders;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};

use super::access::{Area, Rule, rule};
use super::auth::Caller;
use super::engines::parse_body;
use super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use super::error::{ApiError, ErrorBody};
use super::{App, now};
use crate::flow::notify::{NoticeError, Outcome, subscriptions};
use crate::model::{Audience, Channel, EventKind, KeyRole, Subscription};
use crate::store::SUBSCRIPTIONS;
use orders::{EditBody, OrderBody};

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

/// How often a subscription can be tried.
const BETWEEN_TRIALS: Duration = Duration::from_secs(60);
/// Whoever can be told something.
const TOLD: &[KeyRole] = &[KeyRole::Admin, KeyRole::Publisher, KeyRole::Vendor];

const RULES: &[Rule] = &[
    rule("GET", "/acquit/subscriptions", TOLD),
    rule("POST", "/acquit/subscriptions", TOLD),
    rule("GET", "/acquit/subscriptions/{id}", TOLD),
    rule("PATCH", "/acquit/subscriptions/{id}", TOLD),
    rule("DELETE", "/acquit/subscriptions/{id}", TOLD),
    rule("POST", "/acquit/subscriptions/{id}/test", TOLD),
    rule("POST", "/acquit/subscriptions/{id}/rotate", TOLD),
    rule("GET", "/acquit/deliveries", TOLD),
    rule("GET", "/acquit/deliveries/{id}", TOLD),
    rule("POST", "/acquit/deliveries/{id}/replay", TOLD),
];

#[derive(OpenApi)]
#[openapi(paths(
    list,
    create,
    show,
    edit,
    remove,
    test,
    rotate,
    deliveries::list,
    deliveries::show,
    deliveries::replay
))]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/acquit/subscriptions", get(list).post(create))
        .route(
            "/acquit/subscriptions/{id}",
            get(show).patch(edit).delete(remove),
        )
        .route("/acquit/subscriptions/{id}/test", post(test))
        .route("/acquit/subscriptions/{id}/rotate", post(rotate))
        .route("/acquit/deliveries", get(deliveries::list))
        .route("/acquit/deliveries/{id}", get(deliveries::show))
        .route("/acquit/deliveries/{id}/replay", post(deliveries::replay))
}

/// When subscriptions were tried: whoever is told may be somebody who did not ask for it.
#[derive(Debug, Default)]
pub struct Trials(Mutex<HashMap<u64, Instant>>);

impl Trials {
    /// Notes a try; returns how many seconds to wait instead, if there was one just now.
    fn wait(&self, id: u64, at: Instant) -> Option<u64> {
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tried.retain(|_, before| at.saturating_duration_since(*before) < BETWEEN_TRIALS);
        if let Some(before) = tried.get(&id) {
            let waited = at.saturating_duration_since(*before);
            return Some(BETWEEN_TRIALS.saturating_sub(waited).as_secs().max(1));
        }
        tried.insert(id, at);
        None
    }
}

/// What is known of a subscription.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionAttributes {
    /// Whose events: `admin`, `publisher` or `vendor`.
    audience: &'static str,
    /// Id of the publisher or the vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    audience_id: Option<String>,
    /// `mail`, `webhook`, `slack`, `teams` or `command`.
    channel: &'static str,
    /// Where it leads, without what may be a secret.
    target: String,
    /// Which kinds of events; none means those that concern people.
    kinds: Vec<String>,
    /// `{"pace": "immediate"}` or `{"pace": "daily", "hour": 8}`.
    pace: Value,
    /// Hours in which nobody is disturbed, and their time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet: Option<Value>,
    creation_date: u64,
    /// Who made it.
    creator: String,
    /// Whether it is an address of the publisher's or the vendor's own.
    own_address: bool,
    /// Since when it is switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_date: Option<u64>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<String>,
    /// The secret that signs, only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestAttributes {
    /// `accepted`, `later`, `refused` or `gone`.
    result: &'static str,
    /// What the other side said.
    outcome: String,
}

type Subscriptions = Collection<Object<SubscriptionAttributes>>;
type One = Answer<Object<SubscriptionAttributes>>;

/// Lists subscriptions.
#[utoipa::path(
    get, path = "/api/v3/acquit/subscriptions", tag = "notifications", params(PageQuery),
    responses((status = 200, body = Collection<Object<SubscriptionAttributes>>))
)]
async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    paging: Paging,
    base: Base,
) -> Result<Json<Subscriptions>, ApiError> {
    let most = subscriptions::most();
    let page = app.api.store.list(&SUBSCRIPTIONS, (&[], None), most)?;
    let rows = page.rows.into_iter();
    let rows = rows.filter(|(_, row)| may_have(&caller, &row.audience));
    let rows = rows.map(|(id, row)| (id.to_be_bytes().to_vec(), row));
    let (rows, next) = paging.cut(rows.collect());
    let data = rows.into_iter().map(|row| object(row, None, &base));
    let url = base.url("/acquit/subscriptions");
    Ok(Json(Collection::new(data.collect(), (url, &paging), next)))
}

/// Makes a subscription; the answer has a webhook's secret, this once.
#[utoipa::path(
    post, path = "/api/v3/acquit/subscriptions", tag = "notifications", request_body = OrderBody,
    responses((status = 200, body = Answer<Object<SubscriptionAttributes>>), (status = 400, body = ErrorBody))
)]
async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Json<One>, ApiError> {
    let order: OrderBody = parse_body(orders::inner(&body)?.as_bytes())?;
    let wanted = order.wanted(&caller)?;
    let made = subscriptions::create(&app.api.store, &app.api.config, wanted, now()).await;
    let row = made.map_err(refusal)?;
    let secret = match &row.channel {
        Channel::Webhook { secrets, .. } => secrets.first().cloned(),
        _ => None,
    };
    let data = object(row, secret, &base);
    Ok(Json(Answer { data }))
}

/// Shows a subscription.
#[utoipa::path(
    get, path = "/api/v3/acquit/subscriptions/{id}", tag = "notifications",
    params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = Answer<Object<SubscriptionAttributes>>), (status = 404, body = ErrorBody))
)]
async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<One>, ApiError> {
    let data = object(find(&app, &caller, &id)?, None, &base);
    Ok(Json(Answer { data }))
}

/// Changes when and of what a subscription is told, or switches it off or on.
#[utoipa::path(
    patch, path = "/api/v3/acquit/subscriptions/{id}", tag = "notifications",
    params(("id" = String, Path, description = "Its number")), request_body = EditBody,
    responses((status = 200, body = Answer<Object<SubscriptionAttributes>>), (status = 404, body = ErrorBody))
)]
async fn edit(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
    body: Bytes,
) -> Result<Json<One>, ApiError> {
    let row = find(&app, &caller, &id)?;
    let order: EditBody = parse_body(orders::inner(&body)?.as_bytes())?;
    let edit = order.edit(&caller, now())?;
    let row = subscriptions::edit(&app.api.store, row.id, edit).await;
    let data = object(row.map_err(refusal)?, None, &base);
    Ok(Json(Answer { data }))
}

/// Removes a subscription.
#[utoipa::path(
    delete, path = "/api/v3/acquit/subscriptions/{id}", tag = "notifications",
    params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = Answer<Object<SubscriptionAttributes>>), (status = 404, body = ErrorBody))
)]
async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<One>, ApiError> {
    let row = find(&app, &caller, &id)?;
    let removed = subscriptions::remove(&app.api.store, row.id).await;
    removed.map_err(refusal)?;
    let data = object(row, None, &base);
    Ok(Json(Answer { data }))
}

/// Tells a subscription that it works, and answers what the other side says.
#[utoipa::path(
    post, path = "/api/v3/acquit/subscriptions/{id}/test", tag = "notifications",
    params(("id" = String, Path, description = "Its number")),
    responses(
        (status = 200, body = Answer<Object<TestAttributes>>),
        (status = 404, body = ErrorBody),
        (status = 429, body = ErrorBody, description = "It was tried just now"),
    )
)]
async fn test(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<TestAttributes>>>, ApiError> {
    let row = find(&app, &caller, &id)?;
    let seconds = app.trials.wait(row.id, Instant::now());
    if let Some(seconds) = seconds {
        let message = format!("a subscription is tried once a minute; try again in {seconds} s");
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, message);
        return Err(error.retry_after(seconds));
    }
    let (store, config) = (&app.api.store, &app.api.config);
    let outcome = subscriptions::try_out(store, config, &row, now()).await;
    let outcome: Outcome = outcome.map_err(refusal)?;
    let url = base.url(&format!("/acquit/subscriptions/{id}"));
    let data = Object {
        kind: "subscription_test",
        id,
        links: Links::to(url),
        attributes: TestAttributes {
            result: outcome.as_str(),
            outcome: outcome.text().to_owned(),
        },
    };
    Ok(Json(Answer { data }))
}

/// Gives a webhook another secret; the one before signs too until the next time.
#[utoipa::path(
    post, path = "/api/v3/acquit/subscriptions/{id}/rotate", tag = "notifications",
    params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = Answer<Object<SubscriptionAttributes>>), (status = 404, body = ErrorBody))
)]
async fn rotate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<One>, ApiError> {
    let row = find(&app, &caller, &id)?;
    let rotated = subscriptions::rotate(&app.api.store, row.id).await;
    let (row, secret) = rotated.map_err(refusal)?;
    let data = object(row, Some(secret), &base);
    Ok(Json(Answer { data }))
}

/// Tells whether a caller has to do with what an audience is told.
fn may_have(caller: &Caller, audience: &Audience) -> bool {
    let seat = &caller.0.seat;
    match (seat.role, audience) {
        (KeyRole::Admin, _) => true,
        (KeyRole::Publisher, Audience::Publisher(id)) => seat.publisher.as_ref() == Some(id),
        (KeyRole::Vendor, Audience::Vendor(id)) => seat.vendor.as_ref() == Some(id),
        (KeyRole::Publisher | KeyRole::Vendor | KeyRole::Viewer, _) => false,
    }
}

fn find(app: &App, caller: &Caller, id: &str) -> Result<Subscription, ApiError> {
    let none = || ApiError::not_found(format!("subscription {id:?} not found"));
    let number = id.parse::<u64>().map_err(|_| none())?;
    let row = app.api.store.get(&SUBSCRIPTIONS, &number)?;
    row.filter(|row| may_have(caller, &row.audience))
        .ok_or_else(none)
}

fn refusal(error: NoticeError) -> ApiError {
    let message = error.to_string();
    match error {
        NoticeError::Invalid(_) => ApiError::invalid_argument(message),
        NoticeError::TooMany | NoticeError::Unfit(_) => ApiError::conflict(message),
        NoticeError::Unknown => ApiError::not_found(message),
        NoticeError::Store(error) => error.into(),
    }
}

fn object(
    row: Subscription,
    secret: Option<String>,
    base: &Base,
) -> Object<SubscriptionAttributes> {
    let id = row.id.to_string();
    let (audience, audience_id) = match &row.audience {
        Audience::Admin => ("admin", None),
        Audience::Publisher(id) => ("publisher", Some(id.to_string())),
        Audience::Vendor(id) => ("vendor", Some(id.to_string())),
    };
    let quiet = row.quiet.as_ref().map(serde_json::to_value);
    Object {
        kind: "subscription",
        links: Links::to(base.url(&format!("/acquit/subscriptions/{id}"))),
        id,
        attributes: SubscriptionAttributes {
            audience,
            audience_id,
            channel: subscriptions::name(&row.channel),
            target: subscriptions::target(&row.channel),
            kinds: row
                .kinds
                .iter()
                .map(|kind: &EventKind| kind.as_str())
                .collect(),
            pace: serde_json::to_value(row.pace).unwrap_or_default(),
            quiet: quiet.and_then(Result::ok),
            creation_date: row.created_at.seconds(),
            creator: row.creator,
            own_address: subscriptions::is_implicit(row.id),
            disabled_date: row.disabled.as_ref().map(|(at, _)| at.seconds()),
            disabled_reason: row.disabled.map(|(_, reason)| reason),
            secret,
        },
    }
}
