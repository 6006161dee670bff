//! A vendor's own detections, and nothing else: a list, each file with what is said of it, the
//! figures of each day and the tables to download.

mod acts;
mod bundles;
mod file;
mod list;
mod statistics;

use axum::Router;
use axum::routing::get;
use serde::Deserialize;

use crate::Web;
use crate::backend::{Answer, Object, part};
use crate::fault::Fault;
use crate::session::Viewer;

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/vendor", get(list::page))
        .route("/vendor/files/{sha256}", get(file::page).post(acts::act))
        .route("/vendor/statistics", get(statistics::page))
        .route("/vendor/bundles", get(bundles::page))
        .route("/vendor/bundles/download", get(bundles::fetch))
}

/// The vendor's group, as far as it names its engines.
#[derive(Debug, Deserialize)]
struct Group {
    organization: String,
    #[serde(default)]
    preferences: Preferences,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Preferences {
    monitor_partner: Engines,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Engines {
    engines: Vec<String>,
}

/// A vendor, to itself.
struct Own {
    /// What it is called.
    name: String,
    /// Ids of its engines.
    engines: Vec<String>,
}

/// Reads who the vendor is that looks; nobody else has pages here.
async fn own(viewer: &Viewer) -> Result<Own, Fault> {
    let Some(vendor) = viewer.vendor.as_deref().filter(|_| viewer.is_vendor()) else {
        let message = "these pages are for vendors: others find their detections under Incidents";
        let status = axum::http::StatusCode::FORBIDDEN;
        return Err(Fault::api(status, String::new(), message.to_owned()));
    };
    let found: Answer<Object<Group>> = viewer.api.get(&format!("/groups/{}", part(vendor))).await?;
    let group = found.data.attributes;
    Ok(Own {
        name: group.organization,
        engines: group.preferences.monitor_partner.engines,
    })
}
