//! Deliveries: what became of each notification, and another try.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::kinds;
use super::notices::{channel_name, frame, home};
use crate::Web;
use crate::backend::{Listing, Object, part, query};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go, local};

/// What is known of a delivery.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Delivery {
    /// Kind of the event.
    pub kind: String,
    /// Number of the subscription.
    pub subscription: String,
    /// How it goes; absent if the subscription was removed.
    pub channel: Option<String>,
    /// Where it goes.
    pub target: Option<String>,
    /// `pending`, `delivered` or `failed`.
    pub state: String,
    /// Seconds since 1970.
    pub creation_date: u64,
    /// When it is tried next.
    pub next_attempt_date: Option<u64>,
    /// Every try, oldest first.
    pub attempts: Vec<Attempt>,
}

/// One try.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// When.
    pub date: u64,
    /// What came of it.
    pub outcome: String,
}

impl Delivery {
    /// Returns how it goes, in words.
    pub fn channel_name(&self) -> &str {
        self.channel.as_deref().map_or("", channel_name)
    }

    /// Returns the words for its kind of event.
    pub fn words(&self) -> &str {
        kinds::words(&self.kind)
    }
}

/// Which deliveries are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    state: String,
    subscription: String,
    cursor: String,
}

/// The routes, below where notifications are.
pub fn routes(home: &str) -> Router<Web> {
    Router::new()
        .route(&format!("{home}/deliveries"), get(list))
        .route(&format!("{home}/deliveries/{{id}}/replay"), post(replay))
}

#[derive(Template)]
#[template(path = "admin/deliveries.html")]
struct Page {
    frame: Frame,
    home: &'static str,
    deliveries: Vec<Object<Delivery>>,
    state: String,
    subscription: String,
    next: String,
    first: String,
}

async fn list(viewer: Viewer, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let Asked {
        state,
        subscription,
        cursor,
    } = asked;
    let of = |cursor: &str| {
        query([
            ("state", &*state),
            ("subscription", &*subscription),
            ("cursor", cursor),
        ])
    };
    let path = format!("/acquit/deliveries{}", of(&cursor));
    let listing: Listing<Object<Delivery>> = viewer.api.get(&path).await?;
    let here = format!("{}/deliveries", home(&viewer));
    let next = listing
        .cursor()
        .map(|cursor| format!("{here}{}", of(cursor)));
    let first = if cursor.is_empty() {
        String::new()
    } else {
        format!("{here}{}", of(""))
    };
    show(&Page {
        frame: frame(&viewer, "Deliveries"),
        home: home(&viewer),
        next: next.unwrap_or_default(),
        first,
        deliveries: listing.data,
        state,
        subscription,
    })
}

async fn replay(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let path = format!("/acquit/deliveries/{}/replay", part(&id));
    viewer.api.post(&path, &json!({})).await?;
    let here = home(viewer);
    let back = local(posted.get("next")).filter(|path| path.starts_with(here));
    Ok(go(
        back.unwrap_or(here),
        "It is delivered once more, at once.",
    ))
}
