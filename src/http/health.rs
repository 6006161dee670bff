//! Whether the daemon lives, whether it would scan, and its series.
//!
//! These routes need no key, so they show states and numbers only, never an
//! engine's words or a name.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::error::ApiError;
use crate::model::EngineTable;
use crate::store::META;

/// Whether a file given to the daemon now would be scanned.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether every check holds.
    ready: bool,
    /// Version of the daemon.
    version: &'static str,
    /// `engines`, `store` and `disk`.
    checks: BTreeMap<&'static str, Check>,
    /// State of each engine.
    engines: BTreeMap<String, &'static str>,
}

/// One thing that must hold.
#[derive(Debug, Serialize, ToSchema)]
pub struct Check {
    ok: bool,
    /// What was seen.
    seen: String,
}

/// Tells that the process answers.
#[utoipa::path(
    get, path = "/livez", tag = "health", security(()),
    responses((status = 200, description = "The process answers"))
)]
pub async fn livez() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "alive": true, "version": env!("CARGO_PKG_VERSION") }))
}

/// Tells whether scanning really works now.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub async fn readyz(State(app): State<Arc<App>>) -> Response {
    let readiness = readiness(&app);
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

fn readiness(app: &App) -> Readiness {
    let table = app.api.engines.borrow().clone();
    let checks: BTreeMap<_, _> = [
        ("engines", check_engines(&table)),
        ("store", check_store(app)),
        ("disk", check_disk(app)),
    ]
    .into();
    Readiness {
        ready: checks.values().all(|check| check.ok),
        version: env!("CARGO_PKG_VERSION"),
        checks,
        engines: table
            .values()
            .map(|status| (status.id.to_string(), status.state.as_str()))
            .collect(),
    }
}

fn check_engines(table: &EngineTable) -> Check {
    let able = table.values().filter(|s| s.can_scan()).count();
    let all = table.values().filter(|s| !s.labeler).count();
    Check {
        ok: able > 0,
        seen: format!("{able} of {all} engines can scan"),
    }
}

fn check_store(app: &App) -> Check {
    match app.api.store.get(&META, &"commit".to_owned()) {
        Ok(_) => Check {
            ok: true,
            seen: "it answers".to_owned(),
        },
        Err(error) => {
            tracing::error!(%error, "The store does not answer");
            Check {
                ok: false,
                seen: "it does not answer; the log says why".to_owned(),
            }
        }
    }
}

fn check_disk(app: &App) -> Check {
    let reserve_mb = app.api.config.storage.reserve_mb;
    match app.api.store.blobs().free_bytes() {
        Ok(free) => Check {
            ok: free >> 20 >= reserve_mb,
            seen: format!("{} MB free, {reserve_mb} MB in reserve", free >> 20),
        },
        Err(error) => Check {
            ok: false,
            seen: format!("the file system does not say what is free: {error}"),
        },
    }
}

/// Shows every series in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "health", security(()),
    responses((status = 200, content_type = "text/plain", description = "Every series"))
)]
pub async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    observe(&app);
    let text = app.api.metrics.text();
    let text = text.map_err(|error| ApiError::internal(&error))?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Sets the series that are read rather than counted.
fn observe(app: &App) {
    let metrics = &app.api.metrics;
    for status in app.api.engines.borrow().values() {
        let id = status.id.as_str();
        let set = |priority, jobs: u64| {
            let jobs = jobs.try_into().unwrap_or(i64::MAX);
            metrics.queue.with_label_values(&[id, priority]).set(jobs);
        };
        set("interactive", status.queued_interactive);
        set("nightly", status.queued_nightly);
        let up = i64::from(status.state.can_scan());
        metrics.engine_up.with_label_values(&[id]).set(up);
        let used = status.memory_used_mb.unwrap_or(0) << 20;
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        metrics.engine_memory.with_label_values(&[id]).set(used);
        metrics.signatures.observe(status);
    }
    if let Ok(free) = app.api.store.blobs().free_bytes() {
        metrics.free_bytes.set(free as f64);
    }
}
