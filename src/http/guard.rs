//! What surrounds every request: host check, headers, envelope, panics, metrics.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::compression::Predicate;

use super::App;
use super::error::ApiError;
use crate::config::Http;

/// Most of a plain error's text that is put into the envelope.
const PLAIN_BYTES: usize = 2048;
/// Answers below this are not worth compressing.
const COMPRESS_BYTES: u64 = 1024;
/// How the types of answers begin that are.
const COMPRESSED: [&str; 5] = [
    "application/json",
    "text/html",
    "text/css",
    "text/javascript",
    "image/svg+xml",
];

/// The route of whatever is below the API's root and is none of its routes.
pub const REST: &str = "/api/{*rest}";

/// Returns the one host a request names, from its URI or its `Host` header.
///
/// # Errors
/// If it names none, or none that could be.
pub fn host(uri: &Uri, headers: &HeaderMap) -> Result<Authority, ApiError> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.clone());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let (Some(host), None) = (first, second) else {
        return Err(ApiError::bad_request("exactly one Host header is needed"));
    };
    let authority = host.as_bytes().try_into().ok();
    let plain = |authority: &Authority| !authority.as_str().contains('@');
    authority
        .filter(plain)
        .ok_or_else(|| ApiError::bad_request("the Host header is malformed"))
}

/// Refuses hosts that are not ours: a page elsewhere could be made to name our address.
pub async fn check_host(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let http = &app.api.config.http;
    let named = host(&Uri::default(), request.headers());
    let ours = match (named, request.uri().authority()) {
        (Err(error), _) => return error.into_response(),
        (Ok(named), authority) => {
            is_ours(named.host(), http) && authority.is_none_or(|a| is_ours(a.host(), http))
        }
    };
    if ours {
        return next.run(request).await;
    }
    let message = "this host name is not served; add it to http.allowed_hosts if it should be";
    ApiError::new(StatusCode::MISDIRECTED_REQUEST, message).into_response()
}

fn is_ours(host: &str, http: &Http) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let public = http.public_url.parse::<Uri>().ok();
    let public = public.as_ref().and_then(Uri::host);
    bare.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || public.is_some_and(|name| name.eq_ignore_ascii_case(host))
        || http
            .allowed_hosts
            .iter()
            .any(|name| name.eq_ignore_ascii_case(host))
}

const HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
];

/// Adds the headers that keep a browser from making more of an answer than it is.
pub async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Puts failures that the framework words itself into the envelope.
pub async fn envelop(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    if !failed || is_json(response.headers()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, PLAIN_BYTES).await;
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let reason = status.canonical_reason().unwrap_or("failed");
    let message = if text.is_empty() { reason } else { &text };
    let mut enveloped = ApiError::new(status, message).into_response();
    for (name, value) in &parts.headers {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            enveloped.headers_mut().insert(name, value.clone());
        }
    }
    enveloped
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// Answers for a path that is none of ours.
pub async fn no_route(uri: Uri) -> ApiError {
    ApiError::not_found(format!("URL {:?} not found", uri.path()))
}

/// Answers for a handler that panicked.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let cause = format!("a handler panicked: {}", text.unwrap_or("without a word"));
    ApiError::internal(&cause).into_response()
}

/// Compresses JSON, pages and what they load, and nothing else: `vt-go` does not decompress files.
#[derive(Clone, Copy, Debug)]
pub struct OnlyText;

impl Predicate for OnlyText {
    fn should_compress<B: HttpBody>(&self, response: &axum::http::Response<B>) -> bool {
        let size = response.body().size_hint().exact();
        let headers = response.headers();
        let is_file = headers.contains_key(header::CONTENT_DISPOSITION);
        let kind = headers
            .get(header::CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let is_text = COMPRESSED
            .iter()
            .any(|start| kind.starts_with(start.as_bytes()));
        is_text && !is_file && size.is_none_or(|bytes| bytes >= COMPRESS_BYTES)
    }
}

/// Counts and times requests, by route and never by what is in them.
pub async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.filter(|route| route.as_str() != REST);
    let response = next.run(request).await;
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let metrics = &app.api.metrics;
    metrics
        .requests
        .with_label_values(&[method, route, response.status().as_str()])
        .inc();
    metrics
        .request_seconds
        .with_label_values(&[method, route])
        .observe(started.elapsed().as_secs_f64());
    response
}

/// A method is the client's own word, so only the known ones are labels.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: bool) {
        let http = Http {
            public_url: "https://acquit.example.org/".to_owned(),
            allowed_hosts: vec!["scanner.lan".to_owned()],
            ..Http::default()
        };
        let authority: Authority = host.parse().unwrap();
        assert_eq!(is_ours(authority.host(), &http), expected, "{host}");
    }

    #[test]
    fn only_our_names_and_bare_addresses_are_served() {
        check("127.0.0.1:8440", true);
        check("[::1]:8440", true);
        check("10.1.2.3", true);
        check("LOCALHOST:1", true);
        check("scanner.lan:8440", true);
        check("acquit.example.org", true);
        check("evil.test", false);
        check("localhost.evil.test", false);
        check("127.0.0.1.evil.test", false);
    }
}
