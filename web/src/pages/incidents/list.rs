//! The list of incidents, the newest first or the oldest.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::filter::Wanted;
use super::model::Incident;
use crate::backend::{Listing, Object};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::owners::Owners;
use crate::session::Viewer;
use crate::text::now;

#[derive(Template)]
#[template(path = "incidents/list.html")]
struct Page {
    frame: Frame,
    wanted: Wanted,
    incidents: Vec<Object<Incident>>,
    engines: Vec<Object<Engine>>,
    next: String,
    first: String,
    now: u64,
    owners: Owners,
    /// Name of who looks, by which "mine" is meant.
    me: String,
    /// Why nothing could be looked for.
    refused: Option<String>,
}

/// An engine, for the choice.
#[derive(Clone, Debug, Deserialize)]
struct Engine {
    name: String,
}

/// Lists incidents.
pub async fn page(viewer: Viewer, Query(wanted): Query<Wanted>) -> Result<Response, Fault> {
    let place = |cursor: &str| Ok(format!("/acquit/incidents{}", wanted.asked(cursor)));
    let (incidents, engines, owners) = tokio::join!(
        viewer.api.look::<Object<Incident>>(&wanted.cursor, place),
        viewer.api.get::<Listing<Object<Engine>>>("/acquit/engines"),
        Owners::read(&viewer, Some(wanted.publisher.trim())),
    );
    let (incidents, refused) = match incidents {
        Ok(incidents) => (incidents, None),
        // What was typed stays, beside what is wrong with it.
        Err(fault) if fault.status == StatusCode::BAD_REQUEST => {
            (Listing::default(), Some(fault.message))
        }
        Err(fault) => return Err(fault),
    };
    let next = incidents.cursor().map(|cursor| wanted.from(cursor));
    let first = Some(wanted.from("")).filter(|_| !wanted.cursor.is_empty());
    show(&Page {
        frame: Frame::new(&viewer, "Incidents", "incidents"),
        next: next.unwrap_or_default(),
        first: first.unwrap_or_default(),
        incidents: incidents.data,
        engines: engines?.data,
        now: now(),
        owners: owners?,
        me: viewer.name,
        wanted,
        refused,
    })
}

impl Page {
    /// Says how many are shown.
    fn shown(&self) -> String {
        match (self.incidents.len(), self.next.is_empty()) {
            (1, true) => "1 incident".to_owned(),
            (count, true) => format!("{count} incidents"),
            (count, false) => format!("{count} incidents on this page"),
        }
    }
}
