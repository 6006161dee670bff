//! What the configuration sets, to be read only: it is changed in its file.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};

use super::App;
use super::access::{ADMIN, Area, rule};
use super::envelope::{Base, Collection, Links, Object};
use crate::config::{Setting, settings};

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: &[rule("GET", "/acquit/settings", ADMIN)],
    document: Document::openapi,
};

#[derive(OpenApi)]
#[openapi(paths(list))]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new().route("/acquit/settings", get(list))
}

/// One key of the configuration.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingAttributes {
    /// What it means.
    meaning: String,
    /// What its section is about.
    section: String,
    /// The value in force. What may be a secret in it is `set` instead.
    #[schema(value_type = Object)]
    value: Value,
    /// The value unless the file says otherwise; null if there is none.
    #[schema(value_type = Object)]
    standard: Value,
    /// Whether the value in force is another.
    changed: bool,
    /// Whether some of the value is not shown.
    hidden: bool,
}

/// Lists the keys of the configuration with the values in force, section by section.
#[utoipa::path(
    get, path = "/api/v3/acquit/settings", tag = "settings",
    responses((status = 200, body = Collection<Object<SettingAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    base: Base,
) -> Json<Collection<Object<SettingAttributes>>> {
    let url = base.url("/acquit/settings");
    let all = settings(&app.api.config).into_iter();
    let data = all.map(|setting| object(setting, &url)).collect();
    Json(Collection::whole(data, url))
}

fn object(setting: Setting, url: &str) -> Object<SettingAttributes> {
    Object {
        kind: "setting",
        id: setting.key,
        links: Links::to(url.to_owned()),
        attributes: SettingAttributes {
            meaning: setting.meaning,
            section: setting.section,
            value: setting.value,
            standard: setting.standard,
            changed: setting.changed,
            hidden: setting.hidden,
        },
    }
}
