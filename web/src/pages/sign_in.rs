//! The way in and out: by user and password, by an API key, or at a provider of OpenID Connect
//! (`oidc`).

mod oidc;

use askama::Template;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Web;
use crate::fault::Fault;
use crate::form::{Posted, fields};
use crate::frame::{Frame, show};
use crate::session::{COOKIE, Guest, THEME, Viewer, go, is_same_site, local, set_cookie};

/// The routes of the way in and out.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/sign-in", get(page).post(enter))
        .route("/sign-out", post(leave))
        .route("/theme", post(theme))
        .merge(oidc::routes())
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    frame: Frame,
    next: String,
    user: String,
    error: Option<String>,
    by_key: bool,
    single_sign_on: bool,
}

impl Page {
    fn new(web: &Web, guest: &Guest, next: &str) -> Self {
        Self {
            frame: Frame::of_guest(guest, "Sign in"),
            next: next.to_owned(),
            user: String::new(),
            error: None,
            by_key: false,
            single_sign_on: web.settings.single_sign_on,
        }
    }
}

/// Where to go on to.
#[derive(Debug, Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
    /// Status with which a sign-in at the provider failed.
    #[serde(default)]
    failed: String,
}

async fn page(
    State(web): State<Web>,
    viewer: Option<Viewer>,
    guest: Guest,
    Query(Next { next, failed }): Query<Next>,
) -> Result<Response, Fault> {
    let next = local(&next).unwrap_or("/");
    if viewer.is_some() {
        return Ok(Redirect::to(next).into_response());
    }
    show(&Page {
        error: oidc::failure(&failed).map(str::to_owned),
        ..Page::new(&web, &guest, next)
    })
}

/// Opens a session; its key goes into a cookie that no script can read.
async fn enter(
    State(web): State<Web>,
    guest: Guest,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Fault> {
    if !is_same_site(&Method::POST, &headers) {
        return Err(Fault::forged());
    }
    let fields = fields(&body);
    let field = |name: &str| {
        let found = fields.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let (user, password, key) = (field("user").trim(), field("password"), field("key").trim());
    let next = local(field("next")).unwrap_or("/").to_owned();
    let opened = if key.is_empty() {
        let body = json!({ "user_id": user, "password": password });
        guest.api.post("/ui/signin", &body).await
    } else {
        let api = guest.api.with_key(key);
        api.post("/acquit/session", &json!({})).await
    };
    match opened {
        Ok(session) => Ok(entered(&web, &session, &next)),
        Err(fault) if fault.status.is_server_error() => Err(fault),
        Err(fault) => {
            let response = show(&Page {
                user: user.to_owned(),
                error: Some(fault.message),
                by_key: !key.is_empty(),
                ..Page::new(&web, &guest, &next)
            })?;
            Ok((fault.status, response).into_response())
        }
    }
}

fn entered(web: &Web, session: &Value, next: &str) -> Response {
    let mut response = Redirect::to(next).into_response();
    set_cookie(&mut response, session_cookie(web, session));
    response
}

/// Makes the cookie that holds the key of a session.
fn session_cookie(web: &Web, session: &Value) -> String {
    let key = session["data"]["attributes"]["apikey"].as_str();
    let key = key.unwrap_or("");
    let secure = secure(web);
    format!("{COOKIE}={key}; Path=/; HttpOnly; SameSite=Strict{secure}")
}

/// Returns what a cookie ends with that goes by HTTPS only.
fn secure(web: &Web) -> &'static str {
    if web.settings.secure { "; Secure" } else { "" }
}

async fn leave(posted: Posted) -> Response {
    // A session that has ended already is as good as signed out.
    let ended = posted.viewer.api.post("/acquit/signout", &json!({})).await;
    drop(ended);
    let mut response = go("/sign-in", "You are signed out.");
    set_cookie(
        &mut response,
        format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"),
    );
    response
}

/// Remembers light or dark in a cookie, so that a page comes in it at once.
async fn theme(headers: HeaderMap, body: Bytes) -> Response {
    let fields = fields(&body);
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let theme = field("theme").filter(|theme| ["light", "dark", "system"].contains(theme));
    let back = field("next").and_then(local).unwrap_or("/");
    let mut response = Redirect::to(back).into_response();
    if is_same_site(&Method::POST, &headers) {
        let theme = theme.unwrap_or("system");
        set_cookie(
            &mut response,
            format!("{THEME}={theme}; Path=/; Max-Age=31536000; SameSite=Strict"),
        );
    }
    response
}
