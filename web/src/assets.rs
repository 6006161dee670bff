//! Style, scripts and pictures, in the binary. Their URLs name their content, so that a browser
//! keeps them for good and never has old ones.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::Web;

/// A file that pages load.
struct Asset {
    name: &'static str,
    kind: &'static str,
    body: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($name:literal, $kind:expr) => {
        Asset {
            name: $name,
            kind: $kind,
            body: include_str!(concat!("../assets/", $name)),
        }
    };
}

const ASSETS: &[Asset] = &[
    asset!("app.css", "text/css; charset=utf-8"),
    asset!("icons.svg", "image/svg+xml"),
    asset!("logo.svg", "image/svg+xml"),
    asset!("acts.js", SCRIPT),
    asset!("analyses.js", SCRIPT),
    asset!("app.js", SCRIPT),
    asset!("choice.js", SCRIPT),
    asset!("collection.js", SCRIPT),
    asset!("dock.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("drive.js", SCRIPT),
    asset!("engines.js", SCRIPT),
    asset!("items.js", SCRIPT),
    asset!("live.js", SCRIPT),
    asset!("queue.js", SCRIPT),
    asset!("scan.js", SCRIPT),
    asset!("send.js", SCRIPT),
    asset!("upload.js", SCRIPT),
];

/// Digest of all of them: scripts name each other by their place.
static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for asset in ASSETS {
        digest.update(asset.name);
        digest.update(asset.body);
    }
    hex::encode(&digest.finalize()[..8])
});

/// Returns the URL of an asset.
pub fn url(name: &str) -> String {
    format!("/assets/{}/{name}", *DIGEST)
}

/// The routes of the assets; they are nobody's in particular.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/assets/{digest}/{name}", get(send))
        .route(
            "/favicon.ico",
            get(|| async { send(Path((DIGEST.clone(), "logo.svg".to_owned()))).await }),
        )
}

async fn send(Path((digest, name)): Path<(String, String)>) -> Response {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let Some(asset) = asset else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // A page of an older version may still ask by its digest.
    let keep = if digest == *DIGEST {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, keep),
    ];
    (headers, asset.body).into_response()
}
