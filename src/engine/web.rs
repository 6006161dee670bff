//! An HTTP client for servers that scan: one request for a file, and more until it is looked at.
//!
//! Written by hand, because the same few lines must go over a socket inside a
//! container, over TCP and over TLS, and because an answer counts only if it says
//! how long it is and is that long: what ends with the connection may be cut.

mod message;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::time::sleep;

use self::message::{Request, exchange};
use super::manifest::{Body, HttpSpec, Method};
use super::speech::Way;
use super::talk::{Broken, Heard, Question, Wire};

/// Bytes that become whole groups of base64.
const GROUP: u64 = 48 << 10;
/// Longest id of a job on the server.
const MAX_ID: usize = 200;

/// What speaks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    /// How it is asked.
    pub spec: HttpSpec,
    /// Host and port, for the field `Host`.
    pub authority: String,
}

impl Client {
    /// Asks about a file; the answer is the body of the last response.
    ///
    /// # Errors
    /// If no whole answer came.
    pub async fn ask(
        &self,
        (wire, way, key): (Wire, &Way<'_>, Option<&str>),
        question: Question,
        most: u64,
    ) -> Result<Heard, Broken> {
        let path = question.fill(&self.spec.path);
        let mut request = self.request((self.spec.method.as_str(), &path), key);
        let body = self.body(&mut request, (&question, key));
        let asked = exchange(wire, request, (body, question), most).await?;
        let (Some(poll), true) = (&self.spec.poll, asked.is_fine()) else {
            return Ok(asked.heard());
        };
        let id = id(&asked.body, &poll.id)?;
        let path = poll.path.replace("{id}", &id);
        loop {
            let polled = self.get(way, (&path, key), most).await?;
            if !polled.is_fine() {
                return Ok(polled.heard());
            }
            let document = json(&polled.body)?;
            if at(&document, &poll.done.path).as_deref() == Some(&poll.done.value) {
                return Ok(polled.heard());
            }
            sleep(Duration::from_secs_f64(poll.interval_seconds)).await;
        }
    }

    /// Gets a page, e.g. the one that tells the server's version.
    ///
    /// # Errors
    /// If no whole answer came.
    pub async fn get(
        &self,
        way: &Way<'_>,
        (path, key): (&str, Option<&str>),
        most: u64,
    ) -> Result<message::Response, Broken> {
        let request = self.request(("GET", path), key);
        let wire = way.dial().await?;
        message::ask(wire, request, most).await
    }

    fn request(&self, (method, path): (&str, &str), key: Option<&str>) -> Request {
        let fields = self.spec.headers.iter();
        let value = |value: &String| value.replace("{key}", key.unwrap_or_default());
        let fields = fields.map(|(name, text)| (name.clone(), value(text)));
        Request {
            line: format!("{method} {path} HTTP/1.1"),
            authority: self.authority.clone(),
            fields: fields.collect(),
        }
    }

    /// Says what the body is, and adds the fields that go with it.
    fn body(
        &self,
        request: &mut Request,
        (question, key): (&Question, Option<&str>),
    ) -> message::Body {
        let media = |kind: &str| ("Content-Type".to_owned(), kind.to_owned());
        let typed = self.spec.headers.keys();
        let typed = typed
            .clone()
            .any(|name| name.eq_ignore_ascii_case("content-type"));
        match self.spec.body {
            Body::None if self.spec.method == Method::Get => message::Body::None,
            Body::None => message::Body::text(String::new()),
            Body::File => {
                request
                    .fields
                    .extend((!typed).then(|| media("application/octet-stream")));
                message::Body::File
            }
            Body::Json => {
                request
                    .fields
                    .extend((!typed).then(|| media("application/json")));
                let template = question.fill(self.spec.json.as_deref().unwrap_or_default());
                let template = template.replace("{key}", key.unwrap_or_default());
                match template.split_once("{base64}") {
                    Some((before, after)) => {
                        message::Body::Base64(before.to_owned(), after.to_owned())
                    }
                    None => message::Body::text(template),
                }
            }
        }
    }
}

/// Encodes the next piece of a file; whole groups, so that the pieces fit together.
async fn base64(question: &mut Question, length: u64) -> Result<String, Broken> {
    let piece = question.piece(length).await?;
    match piece.len() as u64 == length {
        true => Ok(STANDARD.encode(piece)),
        false => Err(Broken::Lost("the file is shorter than it was".to_owned())),
    }
}

fn json(body: &[u8]) -> Result<Value, Broken> {
    serde_json::from_slice(body).map_err(|_| Broken::senseless("the answer is no JSON", body))
}

/// Finds the id under which the server works on the file.
fn id(body: &[u8], path: &str) -> Result<String, Broken> {
    let document = json(body)?;
    let id = at(&document, path)
        .ok_or_else(|| Broken::senseless(&format!("the answer has no {path}"), body))?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    let fits = (1..=MAX_ID).contains(&id.len()) && id.chars().all(legal) && id != "." && id != "..";
    match fits {
        true => Ok(id),
        false => Err(Broken::senseless("the id makes no sense", id.as_bytes())),
    }
}

/// Returns the text, number or truth at a place like `scan_results.progress_percentage`.
fn at(document: &Value, path: &str) -> Option<String> {
    let step = |value: &Value, step: &str| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?).cloned(),
        other => other.get(step).cloned(),
    };
    let found = path
        .split('.')
        .try_fold(document.clone(), |value, name| step(&value, name))?;
    match found {
        Value::String(text) => Some(text),
        Value::Number(_) | Value::Bool(_) => Some(found.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lead_to_texts_numbers_and_truths() {
        let document = serde_json::json!({ "a": { "b": [1, "x", true] } });
        assert_eq!(at(&document, "a.b.0").as_deref(), Some("1"));
        assert_eq!(at(&document, "a.b.1").as_deref(), Some("x"));
        assert_eq!(at(&document, "a.b.2").as_deref(), Some("true"));
        assert_eq!(at(&document, "a.b"), None);
        assert_eq!(at(&document, "a.c"), None);
    }

    #[test]
    fn id_that_would_lead_elsewhere_is_refused() {
        for (body, fine) in [
            (r#"{"id":"a-1"}"#, true),
            (r#"{"id":7}"#, true),
            (r#"{"id":"../x"}"#, false),
            (r#"{"id":".."}"#, false),
            (r#"{"id":"a b"}"#, false),
            (r#"{"id":""}"#, false),
            ("{}", false),
            ("garbage", false),
        ] {
            assert_eq!(id(body.as_bytes(), "id").is_ok(), fine, "{body}");
        }
    }
}
