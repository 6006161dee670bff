//! Objects and collections as VirusTotal's clients expect them.
//!
//! `vt-py` pages by `meta.cursor`, `vt-go` only by the absolute `links.next`, so
//! a page carries both, and the last page neither.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::ApiError;

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 40;

/// A single answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answer<T> {
    /// What was asked for.
    pub data: T,
}

/// One object with its attributes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Object<A> {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name.
    pub id: String,
    /// Where it is.
    pub links: Links,
    /// What is known of it.
    pub attributes: A,
}

/// The name of an object without what is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Descriptor {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name.
    pub id: String,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<Links>,
}

/// Absolute URLs of an object.
#[derive(Debug, Serialize, ToSchema)]
pub struct Links {
    /// The object itself.
    #[serde(rename = "self")]
    pub this: String,
    /// The file an analysis is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
}

impl Links {
    /// Makes the link to an object.
    pub const fn to(this: String) -> Self {
        Self { this, item: None }
    }
}

/// One page of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct Collection<T> {
    /// The objects.
    pub data: Vec<T>,
    /// Where the next page starts, for clients that page by cursor.
    pub meta: PageMeta,
    /// Where the next page is, for clients that page by link.
    pub links: PageLinks,
}

/// Where the next page starts.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct PageMeta {
    /// Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Absolute URLs of pages.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageLinks {
    /// This page.
    #[serde(rename = "self")]
    pub this: String,
    /// The next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Collection<T> {
    /// Makes a page; `url` is that of the collection, `next` the key the next page starts at.
    pub fn new(data: Vec<T>, (url, paging): (String, &Paging), next: Option<Vec<u8>>) -> Self {
        let cursor = next.map(|key| URL_SAFE_NO_PAD.encode(key));
        let mark = if url.contains('?') { '&' } else { '?' };
        let page = |cursor: &str| format!("{url}{mark}limit={}&cursor={cursor}", paging.limit);
        let next = cursor.as_deref().map(page);
        let this = match &paging.cursor {
            Some(key) => page(&URL_SAFE_NO_PAD.encode(key)),
            None => url,
        };
        Self {
            data,
            meta: PageMeta { cursor },
            links: PageLinks { this, next },
        }
    }

    /// Makes the only page of a collection that is short by nature.
    pub fn whole(data: Vec<T>, this: String) -> Self {
        Self {
            data,
            meta: PageMeta::default(),
            links: PageLinks { this, next: None },
        }
    }
}

/// How a client asks for a page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Objects on a page, 1 to 40; beyond that the nearest.
    #[param(value_type = Option<i64>)]
    limit: Option<String>,
    /// `meta.cursor` of the page before.
    cursor: Option<String>,
}

impl PageQuery {
    /// Reads it where a day, `YYYY-MM-DD`, may stand for the cursor; `key` makes one of it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn by_day(mut self, key: impl FnOnce(String) -> Vec<u8>) -> Result<Paging, ApiError> {
        let is_day =
            |text: &mut String| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok();
        let day = self.cursor.take_if(is_day);
        let paging = Paging::try_from(self)?;
        Ok(Paging {
            cursor: day.map(key).or(paging.cursor),
            ..paging
        })
    }
}

/// Which page is asked for.
#[derive(Debug)]
pub struct Paging {
    /// Objects on it.
    pub limit: usize,
    /// Key it starts at.
    pub cursor: Option<Vec<u8>>,
}

impl Default for Paging {
    fn default() -> Self {
        Self {
            limit: usize::try_from(DEFAULT_LIMIT).unwrap_or(1),
            cursor: None,
        }
    }
}

impl TryFrom<PageQuery> for Paging {
    type Error = ApiError;

    fn try_from(query: PageQuery) -> Result<Self, ApiError> {
        let limit = match query.limit.as_deref().filter(|text| !text.is_empty()) {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse::<i64>()
                .map_err(|_| ApiError::invalid_argument("limit is no number"))?,
        };
        let cursor = query
            .cursor
            .filter(|text| !text.is_empty())
            .map(|text| URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid_cursor()));
        Ok(Self {
            limit: usize::try_from(limit.clamp(1, MAX_LIMIT)).unwrap_or(1),
            cursor: cursor.transpose()?,
        })
    }
}

impl Paging {
    /// Cuts a page out of a list that lies in memory: by key, last first.
    pub fn cut<T>(&self, mut rows: Vec<(Vec<u8>, T)>) -> (Vec<T>, Option<Vec<u8>>) {
        rows.sort_by(|one, other| other.0.cmp(&one.0));
        rows.retain(|(key, _)| self.cursor.as_ref().is_none_or(|before| key < before));
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = more.then(|| rows.last().map(|(key, _)| key.clone()));
        let rows = rows.into_iter().map(|(_, row)| row).collect();
        (rows, next.flatten())
    }
}

/// Refuses a cursor this collection never gave.
pub fn invalid_cursor() -> ApiError {
    ApiError::invalid_argument("cursor is none of this collection's")
}

impl FromRequestParts<Arc<App>> for Paging {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        let query = Query::<PageQuery>::try_from_uri(&parts.uri);
        query
            .map_err(|error| ApiError::invalid_argument(error.body_text()))?
            .0
            .try_into()
    }
}

/// Base of the absolute URLs in answers to this request, without a slash at its end.
#[derive(Clone, Debug)]
pub struct Base(pub String);

impl Base {
    /// Returns the absolute URL of a path below `/api/v3`.
    pub fn url(&self, path: &str) -> String {
        format!("{}/api/v3{path}", self.0)
    }
}

impl FromRequestParts<Arc<App>> for Base {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let public = app.api.config.http.public_url.trim_end_matches('/');
        if !public.is_empty() {
            return Ok(Self(public.to_owned()));
        }
        let host = super::guard::host(&parts.uri, &parts.headers)?;
        Ok(Self(format!("http://{host}")))
    }
}
