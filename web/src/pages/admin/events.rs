//! Events: what happened, newest first.

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::kinds;
use super::parties::{self, Engine};
use crate::Web;
use crate::backend::{Listing, Object, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::Viewer;

/// What is known of an event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Seconds since 1970.
    pub date: u64,
    /// What kind.
    pub kind: String,
    /// The engine it is about.
    pub engine: Option<String>,
    /// What happened.
    pub text: String,
    /// Whose collection it is about.
    pub publisher: Option<String>,
    /// The file it is about.
    pub sha256: Option<String>,
    /// The incident it is about.
    pub incident: Option<u64>,
    /// Who did it.
    pub actor: Option<String>,
}

/// Which events are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    kind: String,
    engine: String,
    cursor: String,
}

impl Asked {
    /// Returns the API's filter.
    fn filter(&self) -> String {
        let words = [("kind", &self.kind), ("engine", &self.engine)];
        let words = words.into_iter().filter(|(_, value)| !value.is_empty());
        let words: Vec<_> = words
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        words.join(" ")
    }

    fn url(&self, cursor: &str) -> String {
        let (kind, engine) = (&*self.kind, &*self.engine);
        let query = query([("kind", kind), ("engine", engine), ("cursor", cursor)]);
        format!("/admin/events{query}")
    }
}

/// The route.
pub fn routes() -> Router<Web> {
    Router::new().route("/admin/events", get(list))
}

#[derive(Template)]
#[template(path = "admin/events.html")]
struct Page {
    frame: Frame,
    events: Vec<Object<Event>>,
    engines: Vec<Object<Engine>>,
    asked: Asked,
    next: String,
    first: String,
}

async fn list(viewer: Viewer, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let filter = asked.filter();
    let path = query([("filter", &*filter), ("cursor", &asked.cursor)]);
    let path = format!("/acquit/events{path}");
    let (events, engines) = tokio::try_join!(
        viewer.api.get::<Listing<Object<Event>>>(&path),
        parties::engines(&viewer.api)
    )?;
    let next = events.cursor().map(|cursor| asked.url(cursor));
    show(&Page {
        frame: Frame::new(&viewer, "Events", "admin"),
        next: next.unwrap_or_default(),
        first: if asked.cursor.is_empty() {
            String::new()
        } else {
            asked.url("")
        },
        events: events.data,
        engines,
        asked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_has_what_is_chosen() {
        let asked = |kind: &str, engine: &str| Asked {
            kind: kind.to_owned(),
            engine: engine.to_owned(),
            cursor: String::new(),
        };
        assert_eq!(asked("", "").filter(), "");
        assert_eq!(asked("update-failed", "").filter(), "kind:update-failed");
        assert_eq!(asked("a", "b").filter(), "kind:a engine:b");
        assert_eq!(asked("", "b").url("c"), "/admin/events?engine=b&cursor=c");
    }
}
