//! Asks the HTTP API, in process, as whoever looks at the page.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use http_body_util::{BodyExt, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt;

use crate::Web;
use crate::fault::Fault;

/// Longest answer that is read into memory; lists are bounded far below it.
const ANSWER_BYTES: usize = 16 << 20;
/// Rows the API gives at a time.
const STEP: usize = 40;
/// How long a list is looked through for something that fits.
const LOOK: Duration = Duration::from_secs(1);
/// What stays as it is in a part of a URL.
const PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// One object of the API.
#[derive(Clone, Debug, Deserialize)]
pub struct Object<A> {
    /// What it is.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Its name.
    pub id: String,
    /// What is known of it.
    pub attributes: A,
}

/// A single answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer<T> {
    /// What was asked for.
    pub data: T,
}

/// One page of a collection.
#[derive(Clone, Debug, Deserialize)]
pub struct Listing<T> {
    /// The objects.
    pub data: Vec<T>,
    /// Where the next page starts.
    #[serde(default)]
    pub meta: Meta,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        let (data, meta) = (Vec::new(), Meta::default());
        Self { data, meta }
    }
}

impl<T> Listing<T> {
    /// Returns where the next page starts; nothing on the last one.
    pub fn cursor(&self) -> Option<&str> {
        self.meta.cursor.as_deref()
    }
}

/// What the API says beside the objects.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Meta {
    /// Opaque; absent on the last page.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Whatever else there is.
    #[serde(flatten)]
    pub more: serde_json::Map<String, Value>,
}

/// How the API words a failure.
#[derive(Debug, Deserialize)]
struct Failure {
    error: FailureBody,
}

#[derive(Debug, Deserialize)]
struct FailureBody {
    code: String,
    message: String,
}

/// The API, as one person uses it.
#[derive(Clone, Debug)]
pub struct Client {
    router: Router,
    headers: HeaderMap,
    extensions: Extensions,
}

impl Client {
    /// Makes a client for a request that came in, with the session's key if there is one.
    pub fn new(web: &Web, request: (&HeaderMap, &Extensions), key: Option<&str>) -> Self {
        let (asked, from) = request;
        let mut headers = HeaderMap::new();
        if let Some(host) = asked.get(header::HOST) {
            headers.insert(header::HOST, host.clone());
        }
        if let Some(key) = key.and_then(|key| HeaderValue::from_str(key).ok()) {
            headers.insert("x-apikey", key);
        }
        let mut extensions = Extensions::new();
        (web.settings.carry)(from, &mut extensions);
        Self {
            router: web.api.clone(),
            headers,
            extensions,
        }
    }

    /// Returns the same client with another key.
    pub fn with_key(&self, key: &str) -> Self {
        let mut client = self.clone();
        match HeaderValue::from_str(key) {
            Ok(key) => drop(client.headers.insert("x-apikey", key)),
            Err(_) => drop(client.headers.remove("x-apikey")),
        }
        client
    }

    /// Reads what is at a path below `/api/v3`.
    ///
    /// # Errors
    /// What the API says, or that its answer is not what was expected.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        read(self.ask((Method::GET, path), Body::empty()).await?).await
    }

    /// Reads a page of a list whose pages may be empty though there is more: it looks on, from
    /// `cursor`, until something fits, but not for ever. `place` is the list from a cursor on.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn look<T: DeserializeOwned>(
        &self,
        cursor: &str,
        place: impl Fn(&str) -> Result<String, Fault>,
    ) -> Result<Listing<T>, Fault> {
        let (begun, mut cursor) = (Instant::now(), cursor.to_owned());
        loop {
            let found: Listing<T> = self.get(&place(&cursor)?).await?;
            match found.cursor() {
                Some(next) if found.data.is_empty() && begun.elapsed() < LOOK => {
                    cursor = next.to_owned();
                }
                _ => return Ok(found),
            }
        }
    }

    /// Reads a list whole, as long as it is no longer than `most`; tells whether there is more.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn every<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
    ) -> Result<(Vec<Object<T>>, bool), Fault> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let url = format!("{path}{mark}limit={STEP}{cursor}");
            let page: Listing<Object<T>> = self.get(&url).await?;
            let next = page.cursor().map(part);
            rows.extend(page.data);
            match next {
                None => return Ok((rows, false)),
                Some(_) if rows.len() >= most => return Ok((rows, true)),
                Some(next) => cursor = format!("&cursor={next}"),
            }
        }
    }

    /// As [`Self::get`], but nothing where the API has nothing or does not let the caller look.
    ///
    /// # Errors
    /// Any other failure.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Fault> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(fault) if fault.is_missing() || fault.is_forbidden() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Sends an order with a body of JSON.
    ///
    /// # Errors
    /// What the API says.
    pub async fn send(&self, to: (Method, &str), body: &Value) -> Result<Value, Fault> {
        read(self.ask(to, Body::from(body.to_string())).await?).await
    }

    /// Sends an order with a body of JSON by `POST`.
    ///
    /// # Errors
    /// What the API says.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Fault> {
        self.send((Method::POST, path), body).await
    }

    /// Makes a request of a path below `/api/v3`, whatever its answer is.
    ///
    /// # Errors
    /// If the request cannot be made.
    pub async fn ask(&self, (method, path): (Method, &str), body: Body) -> Result<Response, Fault> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v3{path}"));
        let mut request = request.body(body).map_err(|_| Fault::missing(path))?;
        let kind = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(self.pass(request).await)
    }

    /// Makes a request that is whole but for who asks.
    pub async fn pass(&self, mut request: Request<Body>) -> Response {
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        *request.extensions_mut() = self.extensions.clone();
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Reads an answer whole.
///
/// # Errors
/// What the API says, or that its answer is not what was expected.
async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Fault> {
    let status = response.status();
    let body = bytes(response).await?;
    if !status.is_success() {
        return Err(failure(status, &body));
    }
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(body).map_err(|error| Fault::internal(&error))
}

/// Reads an answer's body.
///
/// # Errors
/// If it is too long or breaks off.
pub async fn bytes(response: Response) -> Result<Bytes, Fault> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES);
    let body = body.collect().await.map_err(|e| Fault::internal(&*e))?;
    Ok(body.to_bytes())
}

/// Reads what the API says of a failure.
pub fn failure(status: StatusCode, body: &[u8]) -> Fault {
    match serde_json::from_slice::<Failure>(body) {
        Ok(Failure { error }) => Fault::api(status, error.code, error.message),
        Err(_) => {
            let reason = status.canonical_reason().unwrap_or("failed");
            Fault::api(status, String::new(), reason.to_owned())
        }
    }
}

/// Escapes a value so that it is one part of a URL, whatever is in it.
pub fn part(value: &str) -> String {
    utf8_percent_encode(value, PART).to_string()
}

/// Makes a query of pairs, without those that are empty, with the question mark before it.
pub fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{}={}", part(name), part(value)))
        .collect();
    if pairs.is_empty() {
        return String::new();
    }
    format!("?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_value_changes_the_url_around_it() {
        assert_eq!(part("a/../b?c#d&e=f %"), "a%2F..%2Fb%3Fc%23d%26e%3Df%20%25");
        assert_eq!(
            query([("q", "a&b"), ("empty", ""), ("l", "40")]),
            "?q=a%26b&l=40"
        );
        assert_eq!(query([("empty", "")]), "");
    }

    #[test]
    fn failure_is_worded_by_the_api_or_by_its_status() {
        let body = br#"{"error": {"code": "NotFoundError", "message": "no such file"}}"#;
        let fault = failure(StatusCode::NOT_FOUND, body);
        assert_eq!(
            (fault.is_missing(), &*fault.message),
            (true, "no such file")
        );
        let fault = failure(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(&*fault.message, "Bad Gateway");
    }
}
