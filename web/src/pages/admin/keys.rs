//! API keys: which there are, and new ones, each shown once in the answer that makes it.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::forms::{Typed, again, filled, once};
use super::parties::{MOST, Parties};
use crate::Web;
use crate::backend::{Object, part};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go};

/// Fields of the form.
const FIELDS: [&str; 5] = ["name", "role", "publisher", "vendor", "expires"];

/// What is known of a key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Key {
    /// What the operator calls it.
    pub name: String,
    /// What it may do.
    pub role: String,
    /// `active`, `expired` or `revoked`.
    pub status: String,
    /// Whose collection it is about.
    pub publisher: Option<String>,
    /// The vendor it is of.
    pub vendor: Option<String>,
    /// Who signed in, if it is the key of a session.
    pub user: Option<String>,
    /// The key that opened the session, if it is one of a key.
    pub session_of: Option<String>,
    /// Seconds since 1970.
    pub creation_date: u64,
    /// When it ceases to work.
    pub expiration_date: Option<u64>,
    /// When it was last used.
    pub last_use_date: Option<u64>,
}

impl Key {
    /// Tells whether it is the key of a session.
    pub fn is_session(&self) -> bool {
        self.user.is_some() || self.session_of.is_some()
    }

    /// Tells whether it works.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

/// Which keys are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Which {
    /// Those that work and are no session's.
    #[default]
    Active,
    /// Sessions that are open.
    Sessions,
    /// Those that work no more.
    Ended,
}

impl Which {
    fn fits(self, key: &Key) -> bool {
        match self {
            Self::Active => key.is_active() && !key.is_session(),
            Self::Sessions => key.is_active() && key.is_session(),
            Self::Ended => !key.is_active(),
        }
    }

    fn is(self, name: &str) -> bool {
        name == match self {
            Self::Active => "active",
            Self::Sessions => "sessions",
            Self::Ended => "ended",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shown {
    show: Which,
}

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/admin/keys", get(list).post(create))
        .route("/admin/keys/{id}/revoke", post(revoke))
}

#[derive(Template)]
#[template(path = "admin/keys.html")]
struct ListPage {
    frame: Frame,
    keys: Vec<Object<Key>>,
    more: bool,
    which: Which,
    parties: Parties,
    typed: Typed,
    error: Option<Fault>,
}

#[derive(Template)]
#[template(path = "admin/key.html")]
struct MadePage {
    frame: Frame,
    id: String,
    key: String,
    made: Key,
}

async fn list(viewer: Viewer, Query(shown): Query<Shown>) -> Result<Response, Fault> {
    let typed = Typed::of([("role", "publisher".to_owned())]);
    show(&list_page(&viewer, shown.show, typed).await?)
}

async fn list_page(viewer: &Viewer, which: Which, typed: Typed) -> Result<ListPage, Fault> {
    let api = &viewer.api;
    let keys = api.every::<Key>("/acquit/keys", MOST);
    let ((mut keys, more), parties) = tokio::try_join!(keys, Parties::load(api))?;
    keys.retain(|key| which.fits(&key.attributes));
    keys.sort_by_key(|key| std::cmp::Reverse(key.attributes.creation_date));
    Ok(ListPage {
        frame: Frame::new(viewer, "API keys", "admin"),
        keys,
        more,
        which,
        parties,
        typed,
        error: None,
    })
}

/// Makes a key; its page is the answer itself, so that the key is in no URL, cookie or history.
async fn create(posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let order = Value::Object(filled(&posted, &FIELDS));
    match viewer.api.post("/acquit/keys", &order).await {
        Ok(mut made) => {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let key = text(&made["data"]["attributes"]["apikey"]);
            let attributes = made["data"]["attributes"].take();
            once(&MadePage {
                frame: Frame::new(viewer, "New API key", "admin"),
                id: text(&made["data"]["id"]),
                key,
                made: serde_json::from_value(attributes).map_err(|e| Fault::internal(&e))?,
            })
        }
        Err(fault) => {
            let typed = Typed::posted(&posted, &FIELDS);
            let page = list_page(viewer, Which::Active, typed).await?;
            let error = Some(fault.clone());
            again(&fault, &ListPage { error, ..page })
        }
    }
}

async fn revoke(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let path = format!("/acquit/keys/{}", part(&id));
    match viewer.api.send((Method::DELETE, &path), &json!({})).await {
        Ok(_) => {
            let saying = format!("The key {id} is revoked: it works no more.");
            Ok(go("/admin/keys", &saying))
        }
        Err(fault) => {
            let page = list_page(viewer, Which::Active, Typed::default()).await?;
            let error = Some(fault.clone());
            again(&fault, &ListPage { error, ..page })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_shown_in_one_place() {
        let key = |status: &str, user: Option<&str>| Key {
            status: status.to_owned(),
            user: user.map(str::to_owned),
            ..Key::default()
        };
        for (key, place) in [
            (key("active", None), Which::Active),
            (key("active", Some("ann")), Which::Sessions),
            (key("expired", Some("ann")), Which::Ended),
            (key("revoked", None), Which::Ended),
        ] {
            for which in [Which::Active, Which::Sessions, Which::Ended] {
                assert_eq!(which.fits(&key), which == place, "{key:?} {which:?}");
            }
        }
    }
}
