//! Sends blobs: whole or in part, always as an attachment of no particular type.

use std::io::SeekFrom;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::App;
use super::error::ApiError;
use crate::model::Sha256;

const CHUNK_BYTES: usize = 64 << 10;
/// Whatever a browser makes of the bytes, it must not run them in our name.
const SANDBOX: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";

/// The part of a file a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Range { first: u64, last: u64 },
    Unsatisfiable,
}

/// Sends a blob, or the one range of it that is asked for.
///
/// # Errors
/// If its file cannot be read.
pub async fn send(app: &App, sha256: Sha256, headers: &HeaderMap) -> Result<Response, ApiError> {
    let blobs = app.api.store.blobs().clone();
    let opened = tokio::task::spawn_blocking(move || {
        let file = blobs.open_blob(&sha256)?;
        let size = file.metadata()?.len();
        Ok::<_, std::io::Error>((file, size))
    });
    let opened = opened.await.map_err(|error| ApiError::internal(&error))?;
    let (file, size) = opened.map_err(|error| ApiError::internal(&error))?;
    let etag = format!("\"{sha256}\"");
    let (first, length, status) = match part(headers, &etag, size) {
        Part::Whole => (0, size, StatusCode::OK),
        Part::Range { first, last } => (first, last - first + 1, StatusCode::PARTIAL_CONTENT),
        Part::Unsatisfiable => return Ok(unsatisfiable(size)),
    };
    let mut file = tokio::fs::File::from_std(file);
    let sought = file.seek(SeekFrom::Start(first)).await;
    sought.map_err(|error| ApiError::internal(&error))?;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), CHUNK_BYTES));
    let mut response = (status, attachment(&format!("{sha256}")), body).into_response();
    let mut set = |name, value: String| {
        if let Ok(value) = value.try_into() {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_LENGTH, length.to_string());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    set(header::ETAG, etag);
    if status == StatusCode::PARTIAL_CONTENT {
        let last = first + length - 1;
        set(
            header::CONTENT_RANGE,
            format!("bytes {first}-{last}/{size}"),
        );
    }
    Ok(response)
}

/// Returns the headers that make a browser save an answer; `name` is plain ASCII of ours.
pub fn attachment(name: &str) -> [(header::HeaderName, String); 3] {
    [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
        (header::CONTENT_SECURITY_POLICY, SANDBOX.to_owned()),
    ]
}

/// Lets a browser save an answer under a name of a user's; programs that know no such names still
/// have the one of ours (RFC 6266).
pub fn name(response: &mut Response, name: &str) {
    let known = response.headers().get(header::CONTENT_DISPOSITION);
    let known = known.and_then(|value| value.to_str().ok());
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let both = known.map(|known| format!("{known}; filename*=UTF-8''{name}"));
    if let Some(both) = both.and_then(|both| both.try_into().ok()) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, both);
    }
}

fn unsatisfiable(size: u64) -> Response {
    let error = ApiError::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "the file has no such range",
    );
    let range = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
    (range, error).into_response()
}

fn part(headers: &HeaderMap, etag: &str, size: u64) -> Part {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let unchanged = text(header::IF_RANGE).is_none_or(|known| known == etag);
    match text(header::RANGE) {
        Some(range) if unchanged => parse_range(range, size),
        _ => Part::Whole,
    }
}

/// Reads `bytes=a-b`, `bytes=a-` or `bytes=-n`; what it does not understand means the whole file.
fn parse_range(range: &str, size: u64) -> Part {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else {
        return Part::Whole;
    };
    let end = size.saturating_sub(1);
    let (first, last) = match (first.trim(), last.trim()) {
        ("", count) => match count.parse::<u64>() {
            Ok(0) => return Part::Unsatisfiable,
            Ok(count) => (size.saturating_sub(count), end),
            Err(_) => return Part::Whole,
        },
        (first, last) => match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => (first, last.min(end)),
            (Ok(first), Err(_)) if last.is_empty() => (first, end),
            _ => return Part::Whole,
        },
    };
    if first >= size {
        Part::Unsatisfiable
    } else {
        Part::Range { first, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(range: &str, size: u64, expected: Part) {
        assert_eq!(parse_range(range, size), expected, "{range} of {size}");
    }

    #[test]
    fn name_of_a_user_is_escaped_whatever_is_in_it() {
        let mut response = attachment("ours").into_response();
        name(&mut response, "a \"b\";\r\nü.exe");
        let shown = response.headers()[header::CONTENT_DISPOSITION]
            .to_str()
            .unwrap();
        let expected =
            "attachment; filename=\"ours\"; filename*=UTF-8''a%20%22b%22%3B%0D%0A%C3%BC%2Eexe";
        assert_eq!(shown, expected);
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let range = |first, last| Part::Range { first, last };
        check("bytes=0-0", 10, range(0, 0));
        check("bytes=3-", 10, range(3, 9));
        check("bytes=3-99", 10, range(3, 9));
        check("bytes=-4", 10, range(6, 9));
        check("bytes=-40", 10, range(0, 9));
        check("bytes=10-", 10, Part::Unsatisfiable);
        check("bytes=-0", 10, Part::Unsatisfiable);
        check("bytes=0-", 0, Part::Unsatisfiable);
        check("bytes=5-4", 10, Part::Whole);
        check("bytes=0-1,3-4", 10, Part::Whole);
        check("lines=0-1", 10, Part::Whole);
        check("bytes=x-y", 10, Part::Whole);
    }
}
