//! Frames between the daemon and the broker: a length, then JSON.
//!
//! A request that is not exactly what this build would write is refused, down to
//! the last key: whoever got hold of the daemon's end finds nothing to play with.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Answer, Verb};

/// Longest request, in bytes.
pub const MAX_REQUEST: u32 = 16 << 10;
/// Longest answer, in bytes.
pub const MAX_ANSWER: u32 = 4 << 20;

/// One thing asked, with the number its answers carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Chosen by the asker.
    pub id: u64,
    /// What is asked.
    pub verb: Verb,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Number of the request it belongs to.
    pub id: u64,
    /// The answer; after [`Answer::Progress`] more follow.
    pub answer: Answer,
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side is gone.
    #[error("the connection broke")]
    Broken(#[source] std::io::Error),
    /// The other side speaks another language.
    #[error("not a frame of this protocol: {0}")]
    Garbled(String),
}

/// Reads one frame; `None` if the other side closed in between.
///
/// # Errors
/// Fails if the connection broke inside a frame or the frame is too long.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    max: u32,
) -> Result<Option<Vec<u8>>, FrameError> {
    let mut head = [0; 4];
    match stream.read_exact(&mut head[..1]).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(FrameError::Broken(error)),
    }
    stream
        .read_exact(&mut head[1..])
        .await
        .map_err(FrameError::Broken)?;
    let length = u32::from_be_bytes(head);
    if length > max {
        let reason = format!("{length} bytes announced, {max} are allowed");
        return Err(FrameError::Garbled(reason));
    }
    let mut body = vec![0; length as usize];
    stream
        .read_exact(&mut body)
        .await
        .map_err(FrameError::Broken)?;
    Ok(Some(body))
}

/// Writes one frame.
///
/// # Errors
/// Fails if the connection broke or the value is longer than any frame may be.
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
) -> Result<(), FrameError> {
    let body = serde_json::to_vec(value).map_err(garbled)?;
    let length = u32::try_from(body.len()).map_err(garbled)?;
    if length > MAX_ANSWER {
        return Err(FrameError::Garbled(format!("{length} bytes to write")));
    }
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame).await.map_err(FrameError::Broken)
}

/// Parses a request and refuses whatever this build would not have written.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_request(body: &[u8]) -> Result<Request, String> {
    let request: Request = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let written = serde_json::to_value(&request).map_err(|error| error.to_string())?;
    let read: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if written != read {
        return Err("the request has keys that mean nothing".to_owned());
    }
    Ok(request)
}

/// Parses an answer.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(body).map_err(garbled)
}

fn garbled(error: impl std::fmt::Display) -> FrameError {
    FrameError::Garbled(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Verb, ()>) {
        let parsed = parse_request(text.as_bytes());
        assert_eq!(parsed.map(|it| it.verb).map_err(drop), expected, "{text}");
    }

    #[test]
    fn a_request_is_read() {
        check(r#"{"id":1,"verb":{"verb":"info"}}"#, Ok(Verb::Info));
        let container = "00".to_owned();
        let text = r#"{"verb":{"container":"00","verb":"stop"},"id":1}"#;
        check(text, Ok(Verb::Stop { container }));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"id":1}"#,
            r#"{"id":-1,"verb":{"verb":"info"}}"#,
            r#"{"id":1.5,"verb":{"verb":"info"}}"#,
            r#"{"id":1,"verb":"info"}"#,
            r#"{"id":1,"verb":{"verb":"exec","container":"00"}}"#,
            r#"{"id":1,"verb":{"verb":"INFO"}}"#,
            r#"{"id":1,"verb":{"Verb":"info"}}"#,
            r#"{"id":1,"verb":{"verb":"info","Privileged":true}}"#,
            r#"{"id":1,"verb":{"verb":"info"},"extra":1}"#,
            r#"{"id":1,"id":2,"verb":{"verb":"info"}}"#,
            r#"{"id":1,"verb":{"verb":"info","verb":"list"}}"#,
            r#"{"id":1,"verb":{"verb":"info"},"verb":{"verb":"list"}}"#,
            r#"{"id":1,"verb":{"verb":"stop"}}"#,
            r#"{"id":1,"verb":{"verb":"stop","container":7}}"#,
            r#"{"id":1,"verb":{"verb":"stop","container":"a","container":"b"}}"#,
            r#"{"id":1,"verb":{"verb":"stop","container":"a","Container":"b"}}"#,
            r#"{"id":1,"verb":{"verb":"image","engine":"../yara"}}"#,
            r#"{"id":1,"verb":{"verb":"image","engine":""}}"#,
            r#"{"id":1,"verb":{"verb":"image","engine":"yara","tag":"evil"}}"#,
            r#"{"id":1,"verb":{"verb":"info"}} x"#,
        ] {
            check(text, Err(()));
        }
    }

    #[tokio::test]
    async fn a_frame_that_announces_too_much_is_not_awaited() {
        let mut bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, 1, 2];
        let error = read(&mut bytes, MAX_REQUEST).await.unwrap_err();
        assert!(matches!(error, FrameError::Garbled(_)), "{error}");
    }

    #[tokio::test]
    async fn a_frame_cut_short_is_no_end() {
        let mut bytes: &[u8] = &[0, 0, 0, 9, 1, 2];
        let error = read(&mut bytes, MAX_REQUEST).await.unwrap_err();
        assert!(matches!(error, FrameError::Broken(_)), "{error}");
        let mut nothing: &[u8] = &[];
        assert!(read(&mut nothing, 9).await.unwrap().is_none());
    }
}
