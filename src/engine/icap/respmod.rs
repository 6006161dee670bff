//! One file, shown to a service as a response that it may modify.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Options, Service};
use crate::engine::talk::head::{Head, MAX_HEAD};
use crate::engine::talk::{Broken, Ear, Heard, Question, Wire, both, chunked, write};

/// What a body that comes back may be longer than the file.
const MORE: u64 = 16 << 20;

/// Shows a file to a service and returns what it says.
///
/// # Errors
/// If no whole answer came.
pub async fn modify(
    wire: Wire,
    (service, options): (&Service, &Options),
    mut question: Question,
) -> Result<Heard, Broken> {
    let most = question.size.saturating_add(MORE);
    let (reader, mut writer) = tokio::io::split(wire);
    let mut ear = Ear::new(reader);
    // Of nothing there is no beginning: c-icap answers a preview of an empty file as if it had
    // been changed.
    let preview = options.preview.filter(|_| question.size > 0);
    let preview = preview.map(|wish| wish.min(question.size));
    let request = request(service, (&question, preview));
    write(&mut writer, request.as_bytes()).await?;
    if let Some(length) = preview {
        let head = preview_of(&mut ear, &mut writer, (&mut question, length)).await?;
        // Who has seen all of it cannot ask for more.
        if head.status != 100 || question.size == 0 {
            return answer(&mut ear, (head, 0), most).await;
        }
    }
    give(&mut ear, &mut writer, (question, most)).await
}

/// Writes the heads: ICAP's, and that of the request and the response the file is said to be in.
fn request(service: &Service, (question, preview): (&Question, Option<u64>)) -> String {
    let name = question.name.rsplit('/').next().unwrap_or_default();
    let asked =
        format!("GET http://acquit.invalid/{name} HTTP/1.1\r\nHost: acquit.invalid\r\n\r\n");
    let answered = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        question.size
    );
    let mut text = service.head("RESPMOD");
    text.push_str("Allow: 204\r\n");
    if let Some(length) = preview {
        text.push_str(&format!("Preview: {length}\r\n"));
    }
    let (at, body) = (asked.len(), asked.len() + answered.len());
    text.push_str(&format!(
        "Encapsulated: req-hdr=0, res-hdr={at}, res-body={body}\r\n\r\n"
    ));
    text + &asked + &answered
}

/// Shows the beginning of the file, which may be all of it, and returns what the service says to it.
async fn preview_of(
    ear: &mut Ear<impl AsyncRead + Unpin>,
    writer: &mut (impl AsyncWrite + Unpin),
    (question, length): (&mut Question, u64),
) -> Result<Head, Broken> {
    chunked::pour(writer, question, length).await?;
    question.size -= length;
    let whole = question.size == 0;
    write(writer, if whole { chunked::WHOLE } else { chunked::END }).await?;
    Head::read(ear, "ICAP/").await
}

/// Shows what is left of the file and listens meanwhile: a service may answer before it has all.
async fn give(
    ear: &mut Ear<impl AsyncRead + Unpin>,
    writer: &mut (impl AsyncWrite + Unpin),
    (mut question, most): (Question, u64),
) -> Result<Heard, Broken> {
    let given = AtomicBool::new(false);
    let pour = async {
        let length = question.size;
        chunked::pour(writer, &mut question, length).await?;
        write(writer, chunked::END).await?;
        given.store(true, Ordering::Release);
        Ok(())
    };
    let hear = async {
        let head = Head::read(ear, "ICAP/").await?;
        let code = i32::from(!given.load(Ordering::Acquire));
        answer(ear, (head, code), most).await
    };
    both(pour, hear).await
}

/// Reads the rest of an answer.
async fn answer(
    ear: &mut Ear<impl AsyncRead + Unpin>,
    (head, code): (Head, i32),
    most: u64,
) -> Result<Heard, Broken> {
    if head.status < 200 {
        let first = head.bytes.split(|byte| *byte == b'\n').next();
        let what = "the service does not come to an answer";
        return Err(Broken::senseless(what, first.unwrap_or_default()));
    }
    let inner = encapsulated(ear, &head, most).await?;
    let mut text = head.bytes;
    if let Some(inner) = inner {
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(&inner);
    }
    Ok(Heard { code, text })
}

/// Reads the HTTP message in an answer to its end and returns its head.
async fn encapsulated(
    ear: &mut Ear<impl AsyncRead + Unpin>,
    head: &Head,
    most: u64,
) -> Result<Option<Vec<u8>>, Broken> {
    let parts = match head.field("encapsulated") {
        Some(_) if head.count("encapsulated") > 1 => {
            let what = "the answer says twice what is in it";
            return Err(Broken::Senseless(what.to_owned()));
        }
        Some(text) => parts(text)?,
        None if head.status == 200 => {
            let what = "the answer does not say what is in it (Encapsulated)";
            return Err(Broken::Senseless(what.to_owned()));
        }
        None => return Ok(None),
    };
    let mut inner = None;
    for pair in parts.windows(2) {
        let bytes = ear.bytes(pair[1].1 - pair[0].1).await?;
        if bytes.len() < pair[1].1 - pair[0].1 {
            return Err(Broken::ended("the message in the answer"));
        }
        if pair[0].0 == "res-hdr" {
            inner = Some(http_head(bytes)?);
        }
    }
    let has_body = parts.last().is_some_and(|(name, _)| name != "null-body");
    if has_body {
        chunked::read(ear, (0, most)).await?;
    }
    Ok(inner)
}

/// Checks the head of the HTTP message and takes its blank line off.
fn http_head(mut bytes: Vec<u8>) -> Result<Vec<u8>, Broken> {
    let blank = [&b"\r\n\r\n"[..], b"\n\n"];
    let end = blank.iter().find(|end| bytes.ends_with(end));
    let Some(end) = end else {
        let what = "the head of the message in the answer has no end";
        return Err(Broken::senseless(what, &bytes));
    };
    bytes.truncate(bytes.len() - end.len() / 2);
    Ok(Head::parse(bytes, "HTTP/")?.bytes)
}

/// Understands which parts a message has, and where each begins; the last is the body, or none.
fn parts(text: &str) -> Result<Vec<(String, usize)>, Broken> {
    let wrong = || Broken::senseless("the parts of the answer make no sense", text.as_bytes());
    let mut parts: Vec<(String, usize)> = Vec::new();
    for part in text.split(',') {
        let (name, at) = part.split_once('=').ok_or_else(wrong)?;
        let (name, at) = (name.trim().to_ascii_lowercase(), at.trim());
        let digits = (1..=6).contains(&at.len()) && at.bytes().all(|c| c.is_ascii_digit());
        let at: usize = digits
            .then(|| at.parse().ok())
            .flatten()
            .ok_or_else(wrong)?;
        let grows = parts.last().map_or(at == 0, |(_, before)| at > *before);
        let again = parts.iter().any(|(known, _)| *known == name);
        if !grows || again || at > MAX_HEAD {
            return Err(wrong());
        }
        parts.push((name, at));
    }
    let ends = |name: &str| matches!(name, "null-body" | "req-body" | "res-body" | "opt-body");
    let heads = |name: &str| matches!(name, "req-hdr" | "res-hdr");
    let (last, before) = parts.split_last().ok_or_else(wrong)?;
    let fits = ends(&last.0) && before.iter().all(|(name, _)| heads(name));
    fits.then_some(parts.clone()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_message_are_in_order_and_end_with_the_body() {
        let fine = parts("req-hdr=0, res-hdr=45, res-body=100").unwrap();
        assert_eq!(fine[2], ("res-body".to_owned(), 100));
        assert!(parts("null-body=0").is_ok());
        for wrong in [
            "",
            "res-hdr=0",
            "res-hdr=5, res-body=9",
            "res-hdr=0, res-body=0",
            "res-hdr=0, res-body=-1",
            "res-hdr=0, res-body=999999",
            "res-body=0, res-hdr=9",
            "res-hdr=0, res-hdr=4, null-body=9",
            "x",
        ] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
    }
}
