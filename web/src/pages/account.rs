//! Who somebody is here, and their password.

use askama::Template;
use axum::Router;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use crate::Web;
use crate::backend::{Answer, Object};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go};

/// The route.
pub fn routes() -> Router<Web> {
    Router::new().route("/account", get(page).post(change))
}

/// What the API says of who looks at the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Me {
    first_name: String,
    role: String,
    /// `user` or `api_key`.
    holder: String,
    email: Option<String>,
    publisher: Option<String>,
    vendor: Option<String>,
    last_login: Option<u64>,
    /// When the session ends.
    expiration_date: Option<u64>,
    has_password: Option<bool>,
}

impl Me {
    fn may_change_password(&self) -> bool {
        self.has_password == Some(true)
    }
}

#[derive(Template)]
#[template(path = "account.html")]
struct Page {
    frame: Frame,
    id: String,
    me: Me,
    error: Option<String>,
}

impl Page {
    async fn read(viewer: &Viewer) -> Result<Self, Fault> {
        let me: Answer<Object<Me>> = viewer.api.get("/users/me").await?;
        Ok(Self {
            frame: Frame::new(viewer, "Your account", ""),
            id: me.data.id,
            me: me.data.attributes,
            error: None,
        })
    }
}

async fn page(viewer: Viewer) -> Result<Response, Fault> {
    show(&Page::read(&viewer).await?)
}

/// Changes the password; what the API has against it is said above the form, which comes empty.
async fn change(posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let (old, new) = (posted.raw("old"), posted.raw("password"));
    let changed = if new == posted.raw("again") {
        let body = json!({ "old_password": old, "password": new });
        let sent = viewer.api.send((Method::PATCH, "/users/me"), &body);
        sent.await.map(drop)
    } else {
        let message = "The new password is not twice the same.".to_owned();
        let status = axum::http::StatusCode::BAD_REQUEST;
        Err(Fault::api(status, String::new(), message))
    };
    match changed {
        Ok(()) => Ok(go(
            "/account",
            "Your password is changed. Wherever else you were signed in, you are not any more.",
        )),
        Err(fault) if fault.sign_in || fault.status.is_server_error() => Err(fault),
        Err(fault) => {
            let page = Page {
                error: Some(fault.message),
                ..Page::read(viewer).await?
            };
            Ok((fault.status, show(&page)?).into_response())
        }
    }
}
