//! Updates of signatures: what was tried, how it ended, what was printed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::engines::known;
use super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging, invalid_cursor};
use super::error::{ApiError, ErrorBody};
use super::{App, download};
use crate::model::{RawOutputId, Update};
use crate::store::{UPDATES, engine_prefix};

/// What is known of an update.
#[derive(Debug, Serialize, ToSchema)]
pub struct UpdateAttributes {
    /// Id of its engine.
    engine: String,
    /// Its number; those of an engine are in order.
    number: u64,
    /// `schedule`, `missed`, `retry`, `manual` or `import`.
    trigger: String,
    /// When it began.
    start_date: u64,
    /// When it ended; absent while it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<u64>,
    /// `download`, `canary`, `promotion` or `done`.
    phase: String,
    /// `unchanged`, `promoted`, `rejected`, `failed` or `interrupted`; nothing while it is under
    /// way.
    outcome: Option<String>,
    /// Why it ended so.
    reason: Option<String>,
    /// Exit code of the update command.
    exit_code: Option<i32>,
    /// Whether all that the update command printed is kept, which it is once it has ended.
    has_output: bool,
    /// The set it made.
    signature_set: Option<String>,
}

/// Lists the updates of an engine, newest first.
#[utoipa::path(
    get, path = "/api/v3/acquit/engines/{id}/updates", tag = "signatures",
    params(("id" = String, Path, description = "Engine id"), PageQuery),
    responses((status = 200, body = Collection<Object<UpdateAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<UpdateAttributes>>>, ApiError> {
    let engine = known(&app, &id)?;
    let prefix = engine_prefix(&engine);
    let before = paging.cursor.as_deref();
    if before.is_some_and(|before| !before.starts_with(&prefix)) {
        return Err(invalid_cursor());
    }
    let span = (prefix.as_slice(), before);
    let page = app.api.store.list_back(&UPDATES, span, paging.limit)?;
    let rows = page.rows.into_iter();
    let data = rows.map(|(_, row)| update_object(row, &base)).collect();
    let url = base.url(&format!("/acquit/engines/{engine}/updates"));
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

/// Shows an update.
#[utoipa::path(
    get, path = "/api/v3/acquit/engines/{id}/updates/{number}", tag = "signatures",
    params(
        ("id" = String, Path, description = "Engine id"),
        ("number" = u64, Path, description = "Number of the update"),
    ),
    responses((status = 200, body = Answer<Object<UpdateAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path((id, number)): Path<(String, String)>,
    base: Base,
) -> Result<Json<Answer<Object<UpdateAttributes>>>, ApiError> {
    let data = update_object(find(&app, &id, &number)?, &base);
    Ok(Json(Answer { data }))
}

/// Sends what the update command printed, as it printed it; of one that still runs the end of what
/// it has printed so far.
#[utoipa::path(
    get, path = "/api/v3/acquit/engines/{id}/updates/{number}/output", tag = "signatures",
    params(
        ("id" = String, Path, description = "Engine id"),
        ("number" = u64, Path, description = "Number of the update"),
    ),
    responses(
        (status = 200, content_type = "text/plain", description = "How the command ended, then its output; or lines of it while it runs"),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn output(
    State(app): State<Arc<App>>,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let update = find(&app, &id, &number)?;
    let name = format!("{}-update-{}.txt", update.engine, update.number);
    let none = || ApiError::not_found("there is no kept output of this update");
    let output = match update.output {
        Some(raw) => kept(&app, raw).await?,
        None => app.api.desk.log(&update.engine, update.number),
    };
    let output = output.ok_or_else(none)?;
    let mut response = (download::attachment(&name), output).into_response();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    Ok(response)
}

async fn kept(app: &App, raw: RawOutputId) -> Result<Option<Vec<u8>>, ApiError> {
    let store = app.api.store.clone();
    let read = tokio::task::spawn_blocking(move || store.raw_output(&raw)).await;
    Ok(read.map_err(|error| ApiError::internal(&error))??)
}

fn find(app: &App, id: &str, number: &str) -> Result<Update, ApiError> {
    let engine = known(app, id)?;
    let none = || ApiError::not_found(format!("{engine} has no update {number:?}"));
    let number: u64 = number.parse().map_err(|_| none())?;
    let update = app.api.store.get(&UPDATES, &(engine.clone(), number))?;
    update.ok_or_else(none)
}

/// Returns an update as an object.
pub fn update_object(update: Update, base: &Base) -> Object<UpdateAttributes> {
    let Update { engine, number, .. } = &update;
    let links = Links::to(base.url(&format!("/acquit/engines/{engine}/updates/{number}")));
    Object {
        kind: "signature_update",
        id: format!("{engine}-{number}"),
        links,
        attributes: UpdateAttributes {
            engine: engine.to_string(),
            number: *number,
            trigger: update.trigger.as_str(),
            start_date: update.started_at.seconds(),
            end_date: update.ended_at.map(|at| at.seconds()),
            phase: update.phase.as_str(),
            outcome: update.outcome.map(|outcome| outcome.as_str()),
            reason: update.reason,
            exit_code: update.exit_code,
            has_output: update.output.is_some(),
            signature_set: update.signature_set.map(|set| set.0),
        },
    }
}
