//! Tables of what the vendor's engines detected on a day, to download.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Value;

use super::statistics::{Day, days};
use super::{Own, own};
use crate::backend::{Object, part, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::Viewer;
use crate::text::{moment, now};

#[derive(Template)]
#[template(path = "vendor/bundles.html")]
struct Page {
    frame: Frame,
    own: Own,
    days: Vec<Object<Day>>,
    today: String,
    next: String,
    first: String,
    wanted: Wanted,
    /// Why a table could not be had.
    refused: Option<String>,
}

/// Which table is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    engine: String,
    day: String,
    cursor: String,
}

/// Lists tables.
pub async fn page(viewer: Viewer, Query(wanted): Query<Wanted>) -> Result<Response, Fault> {
    shown(viewer, wanted, None).await
}

/// Sends a table; one that is not there is told on the page and not saved as a file.
pub async fn fetch(viewer: Viewer, Query(wanted): Query<Wanted>) -> Result<Response, Fault> {
    let Some(day) = day(&wanted.day) else {
        let message = "the day is missing: write it as 2026-12-31".to_owned();
        return shown(viewer, wanted, Some(message)).await;
    };
    let place = format!(
        "/monitor_partner/detections_bundle/{}/{day}",
        part(&wanted.engine)
    );
    let there: Result<Value, Fault> = viewer.api.get(&format!("{place}/download_url")).await;
    match there {
        Ok(_) => Ok(Redirect::to(&format!("/ui/api{place}/download")).into_response()),
        Err(fault) if fault.sign_in => Err(fault),
        Err(fault) => {
            let response = shown(viewer, wanted, Some(fault.message)).await?;
            Ok((fault.status, response).into_response())
        }
    }
}

async fn shown(viewer: Viewer, wanted: Wanted, refused: Option<String>) -> Result<Response, Fault> {
    let own = own(&viewer).await?;
    let days = days(&viewer, ("", &wanted.cursor)).await?;
    let url = |cursor: &str| format!("/vendor/bundles{}", query([("cursor", cursor)]));
    let next = days.cursor().map(url).unwrap_or_default();
    let first = Some(url("")).filter(|_| !wanted.cursor.is_empty());
    show(&Page {
        frame: Frame::new(&viewer, "Bundles", "bundles"),
        own,
        days: days.data,
        today: moment(&now()).iso.chars().take(10).collect(),
        next,
        first: first.unwrap_or_default(),
        wanted,
        refused,
    })
}

/// Reads a day.
fn day(text: &str) -> Option<Date> {
    text.trim().parse().ok()
}

impl Page {
    /// Returns where the table of an engine and a day is asked for.
    fn url(&self, engine: &str, day: &str) -> String {
        let query = query([("engine", engine), ("day", day)]);
        format!("/vendor/bundles/download{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_is_one_of_the_calendar() {
        assert_eq!(day(" 2026-11-26 ").unwrap().to_string(), "2026-11-26");
        for bad in ["", "2026-02-30", "../x", "2026-11-26/download"] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }
}
