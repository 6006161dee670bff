//! The API for our own scripts: `/ui/api/…` is `/api/v3/…` with the session's key.
//!
//! Whatever changes something needs the session's token in `X-CSRF-Token`, or, for a form with a
//! file, which no field can be read of before it is passed on, in the query. What comes back is
//! never a page: a browser keeps it as a file or shows it as data.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::json;

use crate::Web;
use crate::fault::Fault;
use crate::form::fields;
use crate::session::{Viewer, is_ours, is_same_site};

/// Where the API is for our scripts.
const HERE: &str = "/ui/api/";
/// Headers of a script's request that the API is told of.
const TOLD: [HeaderName; 6] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::RANGE,
    header::IF_RANGE,
    HeaderName::from_static("upload-offset"),
];
/// What a browser may make of an answer: nothing.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; sandbox; frame-ancestors 'none'");

/// The route of scripts.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/ui/api/{*path}", any(pass))
        .layer(axum::extract::DefaultBodyLimit::disable())
}

async fn pass(_: Path<String>, viewer: Result<Viewer, Fault>, request: Request) -> Response {
    let answered = match viewer {
        Ok(viewer) => forward(&viewer, request).await,
        Err(fault) => Err(fault),
    };
    answered.unwrap_or_else(|fault| refused(&fault))
}

async fn forward(viewer: &Viewer, request: Request) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let token = header_token(&parts.headers).unwrap_or_else(|| query_token(&parts.uri));
    let is_sent_here = is_same_site(&parts.method, &parts.headers) && is_ours(viewer, &token);
    if !parts.method.is_safe() && !is_sent_here {
        return Err(Fault::forged());
    }
    let mut asked = Request::new(body);
    *asked.method_mut() = parts.method;
    *asked.uri_mut() = behind(&parts.uri).ok_or_else(|| Fault::missing("this URL"))?;
    for name in TOLD {
        if let Some(value) = parts.headers.get(&name) {
            asked.headers_mut().insert(name, value.clone());
        }
    }
    let mut response = viewer.api.pass(asked).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}

/// Returns the API's URL of a script's, without the token.
fn behind(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_prefix(HERE)?;
    let query = uri.query().unwrap_or("").split('&');
    let query: Vec<_> = query.filter(|pair| !pair.starts_with("csrf=")).collect();
    let query = query.join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    let whole: PathAndQuery = format!("/api/v3/{path}{mark}{query}").parse().ok()?;
    Some(whole.into())
}

fn header_token(headers: &HeaderMap) -> Option<String> {
    headers
        .get("x-csrf-token")?
        .to_str()
        .ok()
        .map(str::to_owned)
}

fn query_token(uri: &Uri) -> String {
    let pairs = fields(uri.query().unwrap_or("").as_bytes());
    let token = pairs.into_iter().find(|(name, _)| name == "csrf");
    token.map(|(_, token)| token).unwrap_or_default()
}

/// Words a fault as the API does.
pub fn refused(fault: &Fault) -> Response {
    let code = match (fault.code.as_str(), fault.status) {
        ("", StatusCode::UNAUTHORIZED) => "AuthenticationRequiredError",
        ("", StatusCode::NOT_FOUND) => "NotFoundError",
        ("", _) => "ForbiddenError",
        (code, _) => code,
    };
    let body = json!({ "error": { "code": code, "message": fault.message } }).to_string();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (fault.status, kind, Body::from(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, expected: &str) {
        let behind = behind(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(behind.as_deref(), Some(expected));
    }

    #[test]
    fn token_is_not_passed_on() {
        check("/ui/api/files/x", "/api/v3/files/x");
        check("/ui/api/files?csrf=abc", "/api/v3/files");
        check(
            "/ui/api/monitor/items?a=1&csrf=abc&b=2",
            "/api/v3/monitor/items?a=1&b=2",
        );
    }

    #[test]
    fn escapes_stay_as_they_are() {
        check(
            "/ui/api/monitor/items/a%2F..%2Fb%3D",
            "/api/v3/monitor/items/a%2F..%2Fb%3D",
        );
    }
}
