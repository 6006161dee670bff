//! Rescans: how far they are, and a new one.

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use super::forms::{Typed, again};
use super::parties::{self, Engine};
use crate::Web;
use crate::backend::{Listing, Object, query};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go};
use crate::text;

/// How a rescan stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rescan {
    /// `planning`, `running` or `completed`.
    pub status: String,
    /// Why it was made.
    pub reason: String,
    /// The one engine it is for.
    pub engine: Option<String>,
    /// `known` or `never`.
    pub reuse: String,
    /// When it began.
    pub start_date: u64,
    /// When it was complete.
    pub end_date: Option<u64>,
    /// Files in the collections.
    pub files: u64,
    /// Pairs of file and engine.
    pub wanted: u64,
    /// Of these, those that are settled.
    pub done: u64,
    /// Pairs settled a second.
    pub rate: Option<f64>,
    /// When it will be complete.
    pub estimated_end_date: Option<u64>,
}

impl Rescan {
    /// Returns how much is done, in whole percent: 100 only once nothing is left.
    pub fn percent(&self) -> u64 {
        match (self.status.as_str(), self.wanted) {
            ("planning", _) => 0,
            (_, 0) => 100,
            (_, wanted) => (u128::from(self.done) * 100 / u128::from(wanted)).min(100) as u64,
        }
    }

    /// Returns the same as text.
    pub fn percent_text(&self) -> String {
        format!("{} %", self.percent())
    }

    /// Returns how long it took, or takes already.
    pub fn took(&self) -> String {
        let end = self.end_date.unwrap_or_else(text::now);
        text::span(&end.saturating_sub(self.start_date))
    }

    /// Returns how fast it is: scans a second, or a minute if it is slow.
    pub fn speed(&self) -> String {
        match self.rate {
            Some(rate) if rate >= 1.0 => format!("{rate:.1} a second"),
            Some(rate) if rate > 0.0 => format!("{:.1} a minute", rate * 60.0),
            _ => String::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    cursor: String,
}

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new().route("/admin/rescans", get(list).post(start))
}

#[derive(Template)]
#[template(path = "admin/rescans.html")]
struct Page {
    frame: Frame,
    rescans: Vec<Object<Rescan>>,
    engines: Vec<Object<Engine>>,
    next: String,
    first: String,
    typed: Typed,
    error: Option<Fault>,
}

async fn list(viewer: Viewer, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    show(&page(&viewer, &asked.cursor).await?)
}

async fn page(viewer: &Viewer, cursor: &str) -> Result<Page, Fault> {
    let path = format!(
        "/acquit/rescans{}",
        query([("limit", "20"), ("cursor", cursor)])
    );
    let (rescans, engines) = tokio::try_join!(
        viewer.api.get::<Listing<Object<Rescan>>>(&path),
        parties::engines(&viewer.api)
    )?;
    let next = rescans.cursor();
    let next = next.map(|cursor| format!("/admin/rescans{}", query([("cursor", cursor)])));
    Ok(Page {
        frame: Frame::new(viewer, "Rescans", "admin"),
        next: next.unwrap_or_default(),
        first: if cursor.is_empty() {
            ""
        } else {
            "/admin/rescans"
        }
        .to_owned(),
        rescans: rescans.data,
        engines,
        typed: Typed::default(),
        error: None,
    })
}

async fn start(posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let mut order = json!({});
    if let Some(engine) = posted.filled("engine") {
        order["engine"] = json!(engine);
    }
    if posted.ticked("again") {
        order["reuse"] = json!("never");
    }
    match viewer.api.post("/acquit/rescan", &order).await {
        Ok(_) => Ok(go(
            "/admin/rescans",
            "The rescan is ordered. It appears here once it is planned.",
        )),
        Err(fault) => {
            let page = page(viewer, "").await?;
            let page = Page {
                typed: Typed::posted(&posted, &["engine", "again"]),
                error: Some(fault.clone()),
                ..page
            };
            again(&fault, &page)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescan_is_through_only_once_nothing_is_left() {
        let of = |status: &str, done, wanted| Rescan {
            status: status.to_owned(),
            done,
            wanted,
            ..Rescan::default()
        };
        assert_eq!(of("planning", 0, 0).percent(), 0);
        assert_eq!(of("completed", 0, 0).percent(), 100);
        assert_eq!(of("running", 999, 1000).percent(), 99);
        assert_eq!(of("running", u64::MAX, u64::MAX).percent(), 100);
    }

    #[test]
    fn speed_is_told_in_a_unit_that_can_be_read() {
        let of = |rate| Rescan {
            rate,
            ..Rescan::default()
        };
        assert_eq!(of(Some(7.68)).speed(), "7.7 a second");
        assert_eq!(of(Some(0.05)).speed(), "3.0 a minute");
        assert_eq!(of(None).speed(), "");
    }
}
