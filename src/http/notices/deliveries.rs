//! What became of each delivery, newest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{may_have, refusal};
use crate::flow::notify::subscriptions;
use crate::http::auth::Caller;
use crate::http::envelope::{
    Answer, Base, Collection, Links, Object, PageQuery, Paging, invalid_cursor,
};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::newest::{Span, newest};
use crate::http::{App, now};
use crate::model::{Delivery, DeliveryState, Subscription};
use crate::store::{DELIVERIES, EVENTS, Page, RowKey, SUBSCRIPTIONS};

/// What is known of a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryAttributes {
    /// Number of the event.
    event: String,
    /// Its kind.
    kind: String,
    /// Number of the subscription.
    subscription: String,
    /// `mail`, `webhook`, `slack`, `teams` or `command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'static str>,
    /// Where it leads, without what may be a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// `pending`, `delivered` or `failed`.
    state: String,
    creation_date: u64,
    /// When it is tried next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_date: Option<u64>,
    /// Every try, oldest first.
    attempts: Vec<AttemptAttributes>,
}

/// One try.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptAttributes {
    date: u64,
    /// What came of it, in the other side's words.
    outcome: String,
}

/// Which deliveries are shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeliveryQuery {
    /// `pending`, `delivered` or `failed`.
    state: Option<String>,
    /// Number of a subscription.
    subscription: Option<String>,
    /// Number of an event.
    event: Option<String>,
}

#[derive(Debug, Default)]
struct Filter {
    state: Option<DeliveryState>,
    subscription: Option<u64>,
    event: Option<u64>,
}

impl Filter {
    fn parse(query: &DeliveryQuery) -> Result<Self, ApiError> {
        let number = |text: &Option<String>| -> Result<Option<u64>, ApiError> {
            let text = text.as_deref().filter(|text| !text.is_empty());
            let parsed = text.map(str::parse).transpose();
            parsed.map_err(|_| ApiError::invalid_argument("subscription and event are numbers"))
        };
        let state = query.state.as_deref().filter(|state| !state.is_empty());
        let state = state
            .map(|state| serde_json::from_value(state.into()))
            .transpose();
        let state = state.map_err(|_| {
            ApiError::invalid_argument("state is one of pending, delivered, failed")
        })?;
        Ok(Self {
            state,
            subscription: number(&query.subscription)?,
            event: number(&query.event)?,
        })
    }

    fn fits(&self, delivery: &Delivery) -> bool {
        self.state.is_none_or(|state| state == delivery.state)
            && self
                .subscription
                .is_none_or(|id| id == delivery.subscription)
    }

    /// Returns what the query says again, for the links of a page.
    fn words(query: &DeliveryQuery) -> String {
        let all = [
            ("state", &query.state),
            ("subscription", &query.subscription),
            ("event", &query.event),
        ];
        let words = all.into_iter().filter_map(|(name, value)| {
            let value = value.as_deref().filter(|value| !value.is_empty())?;
            Some(format!("{name}={value}"))
        });
        words.collect::<Vec<_>>().join("&")
    }
}

/// Lists deliveries, newest events first.
///
/// With a filter a page may be short, even empty, and yet not the last: there is more as long as
/// there is a cursor.
#[utoipa::path(
    get, path = "/api/v3/acquit/deliveries", tag = "notifications",
    params(DeliveryQuery, PageQuery),
    responses((status = 200, body = Collection<Object<DeliveryAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<DeliveryQuery>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<DeliveryAttributes>>>, ApiError> {
    let filter = Filter::parse(&query)?;
    if paging.cursor.as_ref().is_some_and(|key| key.len() != 16) {
        return Err(invalid_cursor());
    }
    let page = find(&app, caller, (filter, &paging)).await?;
    let mut data = Vec::with_capacity(page.rows.len());
    for (_, delivery) in page.rows {
        let row = app.api.store.get(&SUBSCRIPTIONS, &delivery.subscription)?;
        data.push(object(&app, (delivery, row), &base)?);
    }
    let mut url = base.url("/acquit/deliveries");
    let words = Filter::words(&query);
    if !words.is_empty() {
        url.push_str(&format!("?{words}"));
    }
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

async fn find(
    app: &App,
    caller: Caller,
    (filter, paging): (Filter, &Paging),
) -> Result<Page<((u64, u64), Delivery)>, ApiError> {
    let prefix = filter.event.map(|event| event.to_bytes());
    let span = Span::new(prefix.unwrap_or_default(), paging);
    let store = app.api.store.clone();
    // There are few subscriptions and many deliveries.
    let mut seen = BTreeMap::new();
    let fits = move |delivery: &Delivery| {
        if !filter.fits(delivery) {
            return Ok(false);
        }
        let id = delivery.subscription;
        if let Some(seen) = seen.get(&id) {
            return Ok(*seen);
        }
        let row = store.get(&SUBSCRIPTIONS, &id)?;
        let may = may_see(&caller, row.as_ref());
        seen.insert(id, may);
        Ok(may)
    };
    newest(&app.api.store, &DELIVERIES, span, fits).await
}

/// Deliveries of a subscription that was removed are nobody's but the administrators'.
fn may_see(caller: &Caller, row: Option<&Subscription>) -> bool {
    row.map_or_else(|| caller.is_admin(), |row| may_have(caller, &row.audience))
}

/// Shows a delivery with its tries.
#[utoipa::path(
    get, path = "/api/v3/acquit/deliveries/{id}", tag = "notifications",
    params(("id" = String, Path, description = "Numbers of event and subscription, `12-34`")),
    responses((status = 200, body = Answer<Object<DeliveryAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<DeliveryAttributes>>>, ApiError> {
    let found = one(&app, &caller, &id)?;
    let data = object(&app, found, &base)?;
    Ok(Json(Answer { data }))
}

/// Makes a delivery once more, at once.
#[utoipa::path(
    post, path = "/api/v3/acquit/deliveries/{id}/replay", tag = "notifications",
    params(("id" = String, Path, description = "Numbers of event and subscription, `12-34`")),
    responses((status = 200, body = Answer<Object<DeliveryAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn replay(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<DeliveryAttributes>>>, ApiError> {
    let (delivery, row) = one(&app, &caller, &id)?;
    let key = (delivery.event, delivery.subscription);
    let again = subscriptions::replay(&app.api.store, key, now()).await;
    let data = object(&app, (again.map_err(refusal)?, row), &base)?;
    Ok(Json(Answer { data }))
}

fn one(app: &App, caller: &Caller, id: &str) -> Result<(Delivery, Option<Subscription>), ApiError> {
    let none = || ApiError::not_found(format!("delivery {id:?} not found"));
    let key = id
        .split_once('-')
        .and_then(|(event, subscription)| Some((event.parse().ok()?, subscription.parse().ok()?)));
    let key: (u64, u64) = key.ok_or_else(none)?;
    let delivery = app.api.store.get(&DELIVERIES, &key)?.ok_or_else(none)?;
    let row = app.api.store.get(&SUBSCRIPTIONS, &key.1)?;
    if !may_see(caller, row.as_ref()) {
        return Err(none());
    }
    Ok((delivery, row))
}

fn object(
    app: &App,
    (delivery, row): (Delivery, Option<Subscription>),
    base: &Base,
) -> Result<Object<DeliveryAttributes>, ApiError> {
    let id = format!("{}-{}", delivery.event, delivery.subscription);
    let event = app.api.store.get(&EVENTS, &delivery.event)?;
    let state = serde_json::to_value(delivery.state).unwrap_or_default();
    let attempts = delivery.attempts.into_iter();
    let attempts = attempts.map(|attempt| AttemptAttributes {
        date: attempt.at.seconds(),
        outcome: attempt.outcome,
    });
    let channel = row.as_ref().map(|row| &row.channel);
    Ok(Object {
        kind: "delivery",
        links: Links::to(base.url(&format!("/acquit/deliveries/{id}"))),
        id,
        attributes: DeliveryAttributes {
            event: delivery.event.to_string(),
            kind: event.map(|event| event.kind.as_str()).unwrap_or_default(),
            subscription: delivery.subscription.to_string(),
            channel: channel.map(subscriptions::name),
            target: channel.map(subscriptions::target),
            state: state.as_str().unwrap_or_default().to_owned(),
            creation_date: delivery.created_at.seconds(),
            next_attempt_date: delivery.due_at.map(|at| at.seconds()),
            attempts: attempts.collect(),
        },
    })
}
