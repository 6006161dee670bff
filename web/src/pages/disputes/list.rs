//! The list of disputes, the newest first.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::model::Dispute;
use crate::backend::{Listing, Object, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::owners::Owners;
use crate::session::Viewer;

#[derive(Template)]
#[template(path = "disputes/list.html")]
struct Page {
    frame: Frame,
    disputes: Vec<Object<Dispute>>,
    next: String,
    first: String,
    owners: Owners,
}

/// Which disputes are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    publisher: String,
    cursor: String,
}

impl Wanted {
    fn url(&self, cursor: &str) -> String {
        let publisher = self.publisher.trim();
        let query = query([("publisher", publisher), ("cursor", cursor)]);
        format!("/disputes{query}")
    }
}

/// Lists disputes.
pub async fn page(viewer: Viewer, Query(wanted): Query<Wanted>) -> Result<Response, Fault> {
    let place = format!("/acquit{}", wanted.url(&wanted.cursor));
    let (disputes, owners) = tokio::try_join!(
        viewer.api.get::<Listing<Object<Dispute>>>(&place),
        Owners::read(&viewer, Some(wanted.publisher.trim())),
    )?;
    let next = disputes.cursor().map(|cursor| wanted.url(cursor));
    let first = Some(wanted.url("")).filter(|_| !wanted.cursor.is_empty());
    show(&Page {
        frame: Frame::new(&viewer, "Disputes", "incidents"),
        next: next.unwrap_or_default(),
        first: first.unwrap_or_default(),
        disputes: disputes.data,
        owners,
    })
}
