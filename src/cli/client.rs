//! The HTTP API as its client sees it: one origin, one key, retries with back-off.
//!
//! Requests, and so private bytes, go only to the server that was named:
//! redirects are not followed, upload URLs are taken by their path, and a
//! server on this machine is never asked through a proxy.

use std::time::Duration;

use anyhow::Context;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::settings::Settings;
use super::text::visible;
use super::wire::Envelope;

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer without an upload may take.
pub const ANSWER: Duration = Duration::from_secs(60);
/// First and longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Most pages of a list that are read.
const PAGES: usize = 1000;
/// Longest pause a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error("no answer from {server}: {reason}")]
    Unreachable {
        /// Which server.
        server: String,
        /// What was seen.
        reason: String,
    },
    /// The server said no.
    #[error("the server refused: {message} (HTTP {status}, {code})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// VirusTotal's error code.
        code: String,
        /// The server's words, made visible.
        message: String,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// What came back is no answer of this API.
    #[error("the answer of {server} is not understood: {reason}")]
    Garbled {
        /// Which server.
        server: String,
        /// What was seen.
        reason: String,
    },
    /// The file to upload cannot be read.
    #[error("{reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
}

impl ClientError {
    /// Returns how long to wait at least before another try, if one may help.
    fn pause(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { .. } => Some(Duration::ZERO),
            Self::Refused { status, wait, .. } => matches!(status, 429 | 500 | 502 | 503 | 504)
                .then(|| wait.unwrap_or_default().min(LONGEST_WAIT)),
            Self::Garbled { .. } | Self::Unreadable { .. } => None,
        }
    }

    /// Returns the HTTP status, if the server said no.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Says what can be done about it, if anything is known.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => {
                Some("is the daemon running, and is --server right? `acquit doctor` looks closer")
            }
            Self::Refused { status: 401, .. } => {
                Some("give a key by --apikey-file, ACQUIT_APIKEY or ~/.config/acquit/client.toml")
            }
            Self::Refused { status: 403, .. } => {
                Some("this needs a key of another role; `acquit keys list` shows which there are")
            }
            Self::Refused { status: 507, .. } => Some("free space on the server's disk"),
            _ => None,
        }
    }
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    patience: Duration,
}

impl Client {
    /// Prepares requests to the server; none is made yet.
    ///
    /// # Errors
    /// If the TLS set-up of this machine is unusable.
    pub fn new(settings: &Settings, patience: Duration) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &settings.key {
            let mut value = HeaderValue::from_str(&key.reveal())?;
            value.set_sensitive(true);
            headers.insert("x-apikey", value);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("acquit/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .tcp_keepalive(Duration::from_secs(30));
        if settings.is_local() {
            builder = builder.no_proxy();
        } else if settings.server.scheme() == "http" {
            eprintln!("acquit: warning: http:// sends files and the key unencrypted");
        }
        Ok(Self {
            http: builder.build().context("cannot prepare HTTP requests")?,
            server: settings.server.clone(),
            patience,
        })
    }

    /// Returns the server's address.
    pub fn server(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// Returns the address of a path of the API.
    pub fn url(&self, path: &str) -> String {
        format!("{}/api/v3/{path}", self.server())
    }

    /// Returns an address the server handed out, on the server that was named.
    ///
    /// # Errors
    /// If it is no address.
    pub fn here(&self, handed_out: &str) -> Result<Url, ClientError> {
        let given = self.server.join(handed_out);
        let given = given.map_err(|error| self.garbled(&error.to_string()))?;
        let mut url = self.server.clone();
        url.set_path(given.path());
        url.set_query(given.query());
        Ok(url)
    }

    /// Starts a request.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Reads a resource of the API, trying again while the server does not answer.
    ///
    /// # Errors
    /// If there is no answer in time, or it is a refusal.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = self.url(path);
        let attempt = async || {
            let request = self.request(Method::GET, &url).timeout(ANSWER);
            self.answer(request).await
        };
        let value = self.retry(attempt).await?;
        serde_json::from_value(value).map_err(|error| self.garbled(&error.to_string()))
    }

    /// Reads all pages of a collection.
    ///
    /// # Errors
    /// If a page is missing, or there are more than any server of ours has.
    pub async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ClientError> {
        self.first(path, usize::MAX).await
    }

    /// Reads the first objects of a collection, all of them if there are no more.
    ///
    /// # Errors
    /// If a page is missing, or there are more than any server of ours has.
    pub async fn first<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
    ) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        let mark = if path.contains('?') { '&' } else { '?' };
        let limit = most.min(40);
        for _ in 0..PAGES {
            let page = format!("{path}{mark}limit={limit}{cursor}");
            let page: Envelope<Vec<T>> = self.get(&page).await?;
            items.extend(page.data);
            match page.meta.cursor {
                Some(next) if items.len() < most => {
                    cursor = format!("&cursor={}", segment(&next));
                }
                _ => {
                    items.truncate(most);
                    return Ok(items);
                }
            }
        }
        Err(self.garbled("the list does not end"))
    }

    /// Sends a request whose answer is no JSON; the body is the caller's to read.
    ///
    /// # Errors
    /// If there is no answer, or it is a refusal.
    pub async fn open(&self, request: RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let (status, wait) = (response.status(), retry_after(response.headers()));
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        Err(refusal(status, wait, &body))
    }

    /// Reads a page that stands outside the API's conventions: its status and its JSON, if any.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn plain(&self, path: &str) -> Result<(u16, Value), ClientError> {
        let url = format!("{}/{path}", self.server());
        let request = self.request(Method::GET, &url).timeout(CONNECT);
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status().as_u16();
        let body = response
            .bytes()
            .await
            .map_err(|error| self.broken(&error))?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Asks once; for what must not be done twice.
    ///
    /// # Errors
    /// If there is no answer, or it is a refusal.
    pub async fn once(&self, request: RequestBuilder) -> Result<Value, ClientError> {
        self.answer(request.timeout(ANSWER)).await
    }

    /// Repeats an attempt while another try may help and patience lasts.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn retry<T>(
        &self,
        attempt: impl AsyncFn() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        // Patience begins with the first failure: an upload may have gone on for long.
        let mut end = None;
        let mut pause = PAUSES.0;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(wanted) = error.pause() else {
                return Err(error);
            };
            let pause_now = pause.max(wanted);
            let now = Instant::now();
            if now + pause_now > *end.get_or_insert(now + self.patience) {
                return Err(error);
            }
            tokio::time::sleep(pause_now).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Sends a request and reads the JSON that comes back.
    ///
    /// # Errors
    /// If there is no answer, or it is a refusal.
    pub async fn answer(&self, request: RequestBuilder) -> Result<Value, ClientError> {
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let body = response
            .bytes()
            .await
            .map_err(|error| self.broken(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| self.garbled(&format!("{error}; is this an Acquit server?")));
        }
        Err(refusal(status, wait, &body))
    }

    /// Makes the error of a connection that did not last.
    pub fn broken(&self, error: &reqwest::Error) -> ClientError {
        // The innermost cause says what happened; the outer ones repeat the URL.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let reason = if error.is_timeout() {
            "it took too long".to_owned()
        } else {
            visible(&cause.to_string())
        };
        self.unreachable(&reason)
    }

    /// Makes the error of an answer that did not come.
    pub fn unreachable(&self, reason: &str) -> ClientError {
        ClientError::Unreachable {
            server: self.server().to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// Makes the error of an answer that is not understood.
    pub fn garbled(&self, reason: &str) -> ClientError {
        ClientError::Garbled {
            server: self.server().to_owned(),
            reason: visible(reason),
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn refusal(status: StatusCode, wait: Option<Duration>, body: &[u8]) -> ClientError {
    let envelope: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| envelope["error"][key].as_str();
    let reason = status.canonical_reason().unwrap_or("no reason given");
    ClientError::Refused {
        status: status.as_u16(),
        code: visible(text("code").unwrap_or("no error code")),
        message: visible(text("message").unwrap_or(reason)),
        wait,
    }
}

/// What stays as it is in a segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'=')
    .remove(b'~');

/// Makes a name safe as one segment of a URL's path or as a query's value.
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}
