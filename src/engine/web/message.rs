//! One HTTP request and its response, on a connection of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{GROUP, base64};
use crate::engine::talk::head::Head;
use crate::engine::talk::{Broken, Ear, Heard, Question, Wire, both, chunked, write};

/// Responses with which a server says that it is still there.
const MAX_INTERIM: usize = 8;

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method, path and version.
    pub line: String,
    /// Host and port.
    pub authority: String,
    /// Fields beside those that HTTP needs.
    pub fields: Vec<(String, String)>,
}

impl Request {
    fn head(&self, length: Option<u64>) -> String {
        let (line, host) = (&self.line, &self.authority);
        let mut head = format!("{line}\r\nHost: {host}\r\n");
        head.push_str("User-Agent: Acquit\r\nAccept: */*\r\nConnection: close\r\n");
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(length) = length {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head + "\r\n"
    }
}

/// The body of a request.
#[derive(Clone, Debug)]
pub enum Body {
    /// There is none.
    None,
    /// The file.
    File,
    /// The file as base64 between two texts, of which the first may be all there is.
    Base64(String, String),
    /// A text.
    Text(String),
}

impl Body {
    /// Makes a body of text.
    pub const fn text(text: String) -> Self {
        Self::Text(text)
    }

    fn length(&self, size: u64) -> Option<u64> {
        match self {
            Self::None => None,
            Self::File => Some(size),
            Self::Text(text) => Some(text.len() as u64),
            Self::Base64(before, after) => {
                let encoded = size.div_ceil(3).saturating_mul(4);
                Some(encoded.saturating_add((before.len() + after.len()) as u64))
            }
        }
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    status: u16,
    given: bool,
    /// Its body.
    pub body: Vec<u8>,
}

impl Response {
    /// Tells whether the server did what was asked.
    pub const fn is_fine(&self) -> bool {
        self.given && self.status / 100 == 2
    }

    /// Returns what the parser is given.
    pub fn heard(self) -> Heard {
        let code = match (self.status / 100, self.given) {
            (2, true) => 0,
            // It answered before it had the whole file: it can detect and not acquit.
            (2, false) => 1,
            _ => i32::from(self.status),
        };
        Heard {
            code,
            text: self.body,
        }
    }
}

/// Sends a request without a body and reads its response.
///
/// # Errors
/// If no whole response came.
pub async fn ask(wire: Wire, request: Request, most: u64) -> Result<Response, Broken> {
    let (reader, mut writer) = tokio::io::split(wire);
    write(&mut writer, request.head(None).as_bytes()).await?;
    response(&mut Ear::new(reader), most, &AtomicBool::new(true)).await
}

/// Sends a request with a file in its body and reads its response.
///
/// # Errors
/// If no whole response came.
pub async fn exchange(
    wire: Wire,
    request: Request,
    (body, mut question): (Body, Question),
    most: u64,
) -> Result<Response, Broken> {
    let (reader, mut writer) = tokio::io::split(wire);
    let mut ear = Ear::new(reader);
    let head = request.head(body.length(question.size));
    write(&mut writer, head.as_bytes()).await?;
    let given = AtomicBool::new(false);
    let say = async {
        pour(&mut writer, &body, &mut question).await?;
        given.store(true, Ordering::Release);
        Ok(())
    };
    both(say, response(&mut ear, most, &given)).await
}

async fn pour(
    to: &mut (impl AsyncWrite + Unpin),
    body: &Body,
    question: &mut Question,
) -> Result<(), Broken> {
    match body {
        Body::None => Ok(()),
        Body::Text(text) => write(to, text.as_bytes()).await,
        Body::File => {
            let length = question.size;
            question.pour(to, length).await
        }
        Body::Base64(before, after) => {
            write(to, before.as_bytes()).await?;
            let mut left = question.size;
            while left > 0 {
                let length = left.min(GROUP);
                write(to, base64(question, length).await?.as_bytes()).await?;
                left -= length;
            }
            write(to, after.as_bytes()).await
        }
    }
}

async fn response(
    ear: &mut Ear<impl AsyncRead + Unpin>,
    most: u64,
    given: &AtomicBool,
) -> Result<Response, Broken> {
    for _ in 0..MAX_INTERIM {
        let head = Head::read(ear, "HTTP/").await?;
        if head.status >= 200 {
            return Ok(Response {
                status: head.status,
                given: given.load(Ordering::Acquire),
                body: body(ear, &head, most).await?,
            });
        }
    }
    Err(Broken::Senseless(
        "the server does not come to an answer".to_owned(),
    ))
}

async fn body(
    ear: &mut Ear<impl AsyncRead + Unpin>,
    head: &Head,
    most: u64,
) -> Result<Vec<u8>, Broken> {
    if matches!(head.status, 204 | 304) {
        return Ok(Vec::new());
    }
    if head.field("transfer-encoding").is_some() {
        if !head.lists("transfer-encoding", "chunked") || head.count("transfer-encoding") > 1 {
            let what = "the answer is encoded in another way than was asked for";
            return Err(Broken::Senseless(what.to_owned()));
        }
        return chunked::read(ear, (most, most)).await;
    }
    let length = match head.count("content-length") {
        1 => head.number("content-length")?,
        _ => None,
    };
    let Some(length) = length else {
        let what = "the answer does not say how long it is";
        return Err(Broken::Senseless(what.to_owned()));
    };
    let limit_kb = most >> 10;
    if length > most {
        return Err(Broken::Flood { limit_kb });
    }
    let length = usize::try_from(length).map_err(|_| Broken::Flood { limit_kb })?;
    let bytes = ear.bytes(length).await?;
    match bytes.len() == length {
        true => Ok(bytes),
        false => Err(Broken::ended("the answer")),
    }
}
