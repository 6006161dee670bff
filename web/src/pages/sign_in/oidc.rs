//! The way in at a provider of OpenID Connect.
//!
//! ```text
//! /sign-in/oidc → the API → the provider → the API → /sign-in/callback?code=… → a page that goes on
//! ```
//!
//! The API sends the browser back with a code that is good once, with the cookie of the sign-in,
//! so that nobody comes into a session that another browser began. The browser comes from
//! another site then: it keeps the session's cookie, which is for requests from here only, but
//! would not send it along a redirect. So a page of ours goes on.

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Next, Page, secure, session_cookie};
use crate::Web;
use crate::backend::{bytes, failure as failed, part};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::{Guest, cookie, local, set_cookie};

/// Name of the API's cookie that ties a sign-in to its browser.
const THEIRS: &str = "acquit_oidc";
/// Name of ours: what theirs holds, and where to go on to.
const OURS: &str = "acquit_sign_in";
/// Seconds a sign-in may take.
const LASTS: u32 = 600;

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/sign-in/oidc", get(begin))
        .route("/sign-in/callback", get(enter))
}

#[derive(Template)]
#[template(path = "sign_in_done.html")]
struct Done {
    frame: Frame,
    next: String,
}

/// Says what a status means with which a sign-in failed.
pub fn failure(status: &str) -> Option<&'static str> {
    match status {
        "" => None,
        "429" => Some("Too many attempts to sign in; wait a minute, then begin again."),
        "500" | "503" => Some("Your organization's sign-in does not answer now; try again later."),
        _ => Some("The sign-in failed; begin it again, or ask the administrator for access."),
    }
}

/// Sends the browser to the provider, and remembers where it wanted to.
async fn begin(
    State(web): State<Web>,
    guest: Guest,
    Query(asked): Query<Next>,
) -> Result<Response, Fault> {
    let next = local(&asked.next).unwrap_or("/");
    let login = (Method::GET, "/acquit/oidc/login?page=1");
    let sent = guest.api.ask(login, Body::empty()).await?;
    if !sent.status().is_redirection() {
        let (status, body) = (sent.status(), bytes(sent).await?);
        return again((&web, &guest, next), failed(status, &body));
    }
    let missing = || Fault::internal(&"the API begins no sign-in");
    let headers = sent.headers();
    let theirs = headers.get(header::SET_COOKIE).and_then(text);
    let place = headers.get(header::LOCATION).and_then(text);
    let (theirs, place) = theirs.zip(place).ok_or_else(missing)?;
    let secret = held(&theirs).ok_or_else(missing)?;
    let ours = ours(&web, &format!("{secret}.{}", part(next)), LASTS);
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response();
    set_cookie(&mut response, theirs);
    set_cookie(&mut response, ours);
    Ok(response)
}

fn text(value: &HeaderValue) -> Option<String> {
    value.to_str().ok().map(str::to_owned)
}

/// Returns what the API's cookie holds.
fn held(theirs: &str) -> Option<&str> {
    let pair = theirs.split(';').next()?;
    let (name, value) = pair.split_once('=')?;
    let plain = !value.is_empty() && value.bytes().all(|c| c.is_ascii_alphanumeric());
    (name == THEIRS && plain).then_some(value)
}

/// It comes with the first request that another site leads to, which the session's does not.
fn ours(web: &Web, value: &str, seconds: u32) -> String {
    let secure = secure(web);
    format!("{OURS}={value}; Path=/sign-in; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

/// What the API sends a browser back with.
#[derive(Deserialize)]
struct Code {
    #[serde(default)]
    code: String,
}

/// Opens the session, and goes on from a page of ours.
async fn enter(
    State(web): State<Web>,
    guest: Guest,
    headers: HeaderMap,
    Query(Code { code }): Query<Code>,
) -> Result<Response, Fault> {
    let kept = cookie(&headers, OURS).unwrap_or_default();
    let (secret, next) = kept.split_once('.').unwrap_or_default();
    let next = percent_encoding::percent_decode_str(next).decode_utf8_lossy();
    let next = local(&next).unwrap_or("/");
    let opened = open(&guest, &code, secret).await;
    let mut response = match opened {
        Ok(session) => {
            let mut response = show(&Done {
                frame: Frame::of_guest(&guest, "You are signed in"),
                next: next.to_owned(),
            })?;
            set_cookie(&mut response, session_cookie(&web, &session));
            response
        }
        Err(fault) => again((&web, &guest, next), fault)?,
    };
    set_cookie(&mut response, ours(&web, "", 0));
    Ok(response)
}

async fn open(guest: &Guest, code: &str, secret: &str) -> Result<Value, Fault> {
    let body = json!({ "code": code }).to_string();
    let request = Request::post("/api/v3/acquit/oidc/session");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let request = request.header(header::COOKIE, format!("{THEIRS}={secret}"));
    let request = request.body(Body::from(body));
    let request = request.map_err(|_| Fault::bad("the sign-in is over; begin it again"))?;
    let sent = guest.api.pass(request).await;
    let (status, body) = (sent.status(), bytes(sent).await?);
    match status.is_success() {
        true => serde_json::from_slice(&body).map_err(|error| Fault::internal(&error)),
        false => Err(failed(status, &body)),
    }
}

/// Shows the way in once more, with what the API said.
fn again((web, guest, next): (&Web, &Guest, &str), fault: Fault) -> Result<Response, Fault> {
    let page = show(&Page {
        error: Some(fault.message),
        ..Page::new(web, guest, next)
    })?;
    Ok((fault.status, page).into_response())
}

#[cfg(test)]
mod tests;
