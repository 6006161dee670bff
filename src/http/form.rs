//! Reads multipart forms part by part, straight to disk, in constant memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use multer::{Field, Multipart};
use tokio::time::timeout;

use super::App;
use super::error::ApiError;
use crate::store::Incoming;

/// What may come in without the form going on: bounds the memory a form takes.
const STUCK_BYTES: usize = 2 << 20;
/// Longest value of a text field.
pub const TEXT_BYTES: usize = 4096;
/// Longest value of a field that names an item: the id of the longest path there is.
pub const NAME_BYTES: usize = 6144;

/// A body that ended before its time.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("nothing came for {0:?}")]
    Stalled(Duration),
    #[error("the connection broke: {0}")]
    Broken(axum::Error),
    #[error("a part of the form has no end")]
    Stuck,
}

/// A form that is being read.
#[derive(Debug)]
pub struct Parts {
    multipart: Multipart<'static>,
    /// Bytes that came since the form went on last.
    unread: Arc<AtomicUsize>,
    /// How many parts it may have, and how many of these are still to come.
    most: usize,
    left: usize,
}

/// A part of a form.
#[derive(Debug)]
pub struct Part<'a> {
    field: Field<'static>,
    unread: &'a AtomicUsize,
}

impl Parts {
    /// Begins to read the form of a request, which may have so many parts.
    ///
    /// # Errors
    /// If the request has no form.
    pub fn of(app: &App, request: Request, most: usize) -> Result<Self, ApiError> {
        let boundary = boundary(request.headers())?;
        let silence = Duration::from_secs(app.api.config.http.body_timeout_seconds);
        let unread = Arc::new(AtomicUsize::new(0));
        let chunks = chunks(request.into_body(), silence, Arc::clone(&unread));
        Ok(Self {
            multipart: Multipart::new(chunks, boundary),
            unread,
            most,
            left: most,
        })
    }

    /// Returns the next part; nothing at the end of the form.
    ///
    /// # Errors
    /// If the form is not as it should be, too slow, or has too many parts.
    pub async fn next(&mut self) -> Result<Option<Part<'_>>, ApiError> {
        let field = self.multipart.next_field().await.map_err(failed)?;
        let Some(field) = field else {
            return Ok(None);
        };
        self.unread.store(0, Ordering::Relaxed);
        let Some(left) = self.left.checked_sub(1) else {
            let message = format!("the form has too many parts: send {} at most", self.most);
            return Err(ApiError::bad_request(message));
        };
        self.left = left;
        Ok(Some(Part {
            field,
            unread: &self.unread,
        }))
    }
}

impl Part<'_> {
    /// Returns its name; empty if it has none.
    pub fn name(&self) -> &str {
        self.field.name().unwrap_or("")
    }

    /// Returns what the file in it is called.
    pub fn file_name(&self) -> Option<&str> {
        self.field.file_name()
    }

    /// Writes the file in it.
    ///
    /// # Errors
    /// If the form breaks off, is too slow, or there is no room.
    pub async fn store(mut self, mut incoming: Incoming) -> Result<Incoming, ApiError> {
        while let Some(chunk) = self.field.chunk().await.map_err(failed)? {
            self.unread.store(0, Ordering::Relaxed);
            incoming.write(chunk).await?;
        }
        Ok(incoming)
    }

    /// Reads the text in it, of so many bytes at most.
    ///
    /// # Errors
    /// If the form breaks off, or it is longer, or no text.
    pub async fn text(mut self, most: usize) -> Result<String, ApiError> {
        let mut text = Vec::new();
        while let Some(chunk) = self.field.try_next().await.map_err(failed)? {
            text.extend_from_slice(&chunk);
            if text.len() > most {
                return Err(ApiError::bad_request(
                    "a text field of the form is too long",
                ));
            }
        }
        String::from_utf8(text).map_err(|_| ApiError::bad_request("a text field is not UTF-8"))
    }
}

fn boundary(headers: &HeaderMap) -> Result<String, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    multer::parse_boundary(kind).map_err(|_| {
        ApiError::bad_request("expected a multipart/form-data form with a part named \"file\"")
    })
}

/// Cuts a body into chunks, one per poll: the form's reader buffers all it can get.
fn chunks(
    body: Body,
    silence: Duration,
    unread: Arc<AtomicUsize>,
) -> impl Stream<Item = Result<Bytes, Interrupted>> + Send {
    stream::try_unfold(body.into_data_stream(), move |mut body| {
        let unread = Arc::clone(&unread);
        async move {
            tokio::task::yield_now().await;
            let chunk = timeout(silence, body.next()).await;
            let Some(chunk) = chunk.map_err(|_| Interrupted::Stalled(silence))? else {
                return Ok(None);
            };
            let chunk = chunk.map_err(Interrupted::Broken)?;
            if unread.fetch_add(chunk.len(), Ordering::Relaxed) > STUCK_BYTES {
                return Err(Interrupted::Stuck);
            }
            Ok(Some((chunk, body)))
        }
    })
}

fn failed(error: multer::Error) -> ApiError {
    let interrupted = match &error {
        multer::Error::StreamReadFailed(cause) => cause.downcast_ref::<Interrupted>(),
        _ => None,
    };
    match interrupted {
        Some(Interrupted::Stalled(silence)) => stalled(*silence),
        Some(other) => ended_early(other),
        None => ApiError::bad_request(format!("the form is malformed or cut off: {error}")),
    }
}

/// Nothing came for too long.
pub fn stalled(silence: Duration) -> ApiError {
    let message = format!("nothing of the upload came for {} s", silence.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, message)
}

/// A body ended before its time.
pub fn ended_early(cause: &dyn std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("the upload ended early: {cause}"))
}
