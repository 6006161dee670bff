//! What people do with incidents.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::Value;

use super::find;
use super::view::{IncidentAttributes, View};
use crate::flow::incident::desk::{self, Done, Hand, Wish};
use crate::flow::policy;
use crate::http::auth::Caller;
use crate::http::engines::parse_body;
use crate::http::envelope::{Answer, Base, Object};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{App, now, partner};
use crate::model::{LedgerEntry, LedgerKind, Timestamp};
use crate::store::Change;

/// Longest note or reason, in characters.
const TEXT_CHARS: usize = 10_000;
/// Longest name of an owner, in characters.
const OWNER_CHARS: usize = 200;
/// The last second a deadline can be in: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

type Shown = Result<Json<Answer<Object<IncidentAttributes>>>, ApiError>;

/// Which incident, by whom, and the answer's links.
struct Desk {
    app: Arc<App>,
    caller: Caller,
    id: String,
    base: Base,
}

impl Desk {
    async fn act(self, wishes: Vec<Wish>) -> Shown {
        let incident = find(&self.app, &self.caller, &self.id)?;
        if !self.caller.may_change(&incident.publisher) {
            return Err(ApiError::forbidden("this key may look, not change"));
        }
        let hand = Hand {
            author: self.caller.actor(),
            at: now(),
        };
        let all = move |change: &mut Change<'_>| {
            let mut last = Done::Missing;
            for wish in wishes {
                last = desk::act(change, incident.id, wish, &hand)?;
                if !matches!(last, Done::Yes(_)) {
                    break;
                }
            }
            Ok(last)
        };
        match self.app.api.store.write(all).await? {
            Done::Yes(incident) => {
                let data = View::new(&self.app, &self.base).object(*incident)?;
                Ok(Json(Answer { data }))
            }
            Done::Missing => {
                let id = &self.id;
                Err(ApiError::not_found(format!("incident {id:?} not found")))
            }
            Done::Refused(why) => Err(ApiError::conflict(why)),
        }
    }
}

impl Desk {
    /// Writes into the ledger what the vendor is about to be told, if it may know of the file.
    async fn note_reply(&self, text: &str) -> Result<(), ApiError> {
        let incident = find(&self.app, &self.caller, &self.id)?;
        if !self.caller.may_change(&incident.publisher) {
            return Err(ApiError::forbidden("this key may look, not change"));
        }
        let store = &self.app.api.store;
        let consent = policy::consent(store, &incident.sha256, &incident.publisher)?;
        let consent = consent.ok_or_else(|| ApiError::forbidden(desk::NO_VENDOR))?;
        let what = format!("incident {}: a reply for the vendor to see", incident.id);
        let line = LedgerEntry {
            publisher: Some(incident.publisher),
            sha256: Some(incident.sha256),
            bytes: u64::try_from(text.len()).ok(),
            to: Some(format!("vendors of engine {}", incident.engine)),
            rule: Some(partner::rule(&consent)),
            ..LedgerEntry::new(now(), LedgerKind::Egress, self.caller.actor(), what)
        };
        let written = store.ledger().append(line).await;
        written.map_err(|error| ApiError::internal(&error))
    }
}

/// Returns the attributes of a body, in VirusTotal's envelope or without.
fn attributes(body: &Bytes) -> Result<Value, ApiError> {
    let body: Value = parse_body(body)?;
    let inner = body.pointer("/data/attributes");
    Ok(inner.cloned().unwrap_or(body))
}

/// Reads a text that must be there.
fn text(body: &Bytes, key: &str) -> Result<String, ApiError> {
    let attributes = attributes(body)?;
    let text = attributes[key].as_str().unwrap_or_default().trim();
    if text.is_empty() || text.chars().count() > TEXT_CHARS {
        let message = format!("{key} is missing: give a text of 1 to {TEXT_CHARS} characters");
        return Err(ApiError::invalid_argument(message));
    }
    Ok(text.to_owned())
}

/// Says who looks after an incident, and until when it should be over.
#[utoipa::path(
    patch, path = "/api/v3/acquit/incidents/{id}", tag = "incidents",
    params(("id" = String, Path, description = "Number of the incident")),
    request_body(description = "`owner`, a name or null, and `deadline_date`, one or both"),
    responses(
        (status = 200, body = Answer<Object<IncidentAttributes>>),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
    )
)]
pub async fn patch(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
    body: Bytes,
) -> Shown {
    let wishes = wishes(&attributes(&body)?)?;
    let desk = Desk {
        app,
        caller,
        id,
        base,
    };
    desk.act(wishes).await
}

/// Reads what is to be changed. The deadline comes first: only it can be refused.
fn wishes(attributes: &Value) -> Result<Vec<Wish>, ApiError> {
    let Some(attributes) = attributes.as_object() else {
        return Err(ApiError::invalid_argument("the body is no object"));
    };
    let mut wishes = Vec::new();
    for (key, value) in attributes {
        let wish = match (key.as_str(), value) {
            ("owner", Value::Null) => Wish::Owner(None),
            ("owner", Value::String(owner)) => Wish::Owner(owner_named(owner)?),
            ("deadline_date", value) => {
                let seconds = value.as_u64().filter(|it| (1..=LAST_SECOND).contains(it));
                let seconds = seconds.ok_or_else(|| {
                    ApiError::invalid_argument("deadline_date is no number of seconds since 1970")
                })?;
                Wish::Deadline(Timestamp::from_millis(seconds * 1000))
            }
            _ => {
                let message = format!("{key:?} cannot be changed: give owner or deadline_date");
                return Err(ApiError::invalid_argument(message));
            }
        };
        wishes.push(wish);
    }
    if wishes.is_empty() {
        return Err(ApiError::invalid_argument(
            "give owner, deadline_date or both",
        ));
    }
    wishes.sort_by_key(|wish| matches!(wish, Wish::Owner(_)));
    Ok(wishes)
}

fn owner_named(owner: &str) -> Result<Option<String>, ApiError> {
    let owner = owner.trim();
    let fits = owner.chars().count() <= OWNER_CHARS && !owner.chars().any(char::is_control);
    if !fits {
        let message = format!("owner is no name of at most {OWNER_CHARS} characters");
        return Err(ApiError::invalid_argument(message));
    }
    Ok((!owner.is_empty()).then(|| owner.to_owned()))
}

/// Writes a note into an incident's thread; no vendor sees it.
#[utoipa::path(
    post, path = "/api/v3/acquit/incidents/{id}/notes", tag = "incidents",
    params(("id" = String, Path, description = "Number of the incident")),
    request_body(description = "`text`"),
    responses((status = 200, body = Answer<Object<IncidentAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn note(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
    body: Bytes,
) -> Shown {
    let wishes = vec![Wish::Note(text(&body, "text")?)];
    let desk = Desk {
        app,
        caller,
        id,
        base,
    };
    desk.act(wishes).await
}

/// Says something to the vendor, which sees it beside its own words; the ledger knows before.
#[utoipa::path(
    post, path = "/api/v3/acquit/incidents/{id}/replies", tag = "incidents",
    params(("id" = String, Path, description = "Number of the incident")),
    request_body(description = "`text`"),
    responses(
        (status = 200, body = Answer<Object<IncidentAttributes>>),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    )
)]
pub async fn reply(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
    body: Bytes,
) -> Shown {
    let text = text(&body, "text")?;
    let desk = Desk {
        app,
        caller,
        id,
        base,
    };
    desk.note_reply(&text).await?;
    desk.act(vec![Wish::Reply(text)]).await
}

/// Says that somebody works on an incident.
#[utoipa::path(
    post, path = "/api/v3/acquit/incidents/{id}/acknowledge", tag = "incidents",
    params(("id" = String, Path, description = "Number of the incident")),
    responses(
        (status = 200, body = Answer<Object<IncidentAttributes>>),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
    )
)]
pub async fn acknowledge(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Shown {
    let desk = Desk {
        app,
        caller,
        id,
        base,
    };
    desk.act(vec![Wish::Acknowledge]).await
}

/// Lets an incident be, for a reason.
#[utoipa::path(
    post, path = "/api/v3/acquit/incidents/{id}/close", tag = "incidents",
    params(("id" = String, Path, description = "Number of the incident")),
    request_body(description = "`reason`"),
    responses(
        (status = 200, body = Answer<Object<IncidentAttributes>>),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
    )
)]
pub async fn close(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
    body: Bytes,
) -> Shown {
    let wishes = vec![Wish::Close(text(&body, "reason")?)];
    let desk = Desk {
        app,
        caller,
        id,
        base,
    };
    desk.act(wishes).await
}

/// Opens an incident again that is kept, for a reason.
#[utoipa::path(
    post, path = "/api/v3/acquit/incidents/{id}/reopen", tag = "incidents",
    params(("id" = String, Path, description = "Number of the incident")),
    request_body(description = "`reason`"),
    responses(
        (status = 200, body = Answer<Object<IncidentAttributes>>),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
    )
)]
pub async fn reopen(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
    body: Bytes,
) -> Shown {
    let wishes = vec![Wish::Reopen(text(&body, "reason")?)];
    let desk = Desk {
        app,
        caller,
        id,
        base,
    };
    desk.act(wishes).await
}
