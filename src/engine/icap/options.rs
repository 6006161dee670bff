//! What a service says of itself.

use std::time::Duration;

use super::Service;
use crate::engine::talk::head::Head;
use crate::engine::talk::{Broken, Ear, Wire, write};
use crate::model::EngineVersions;

/// Longest preview that is sent, whatever the service wishes.
const MAX_PREVIEW: u64 = 64 << 10;
/// How long what a service says holds, if it does not say that.
const TTL: Duration = Duration::from_secs(60);
/// How long it holds at most.
const MAX_TTL: Duration = Duration::from_secs(3600);

/// What a service says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What it scans with, in its own words.
    pub istag: Option<String>,
    /// What it is, in its own words.
    pub service: Option<String>,
    /// Bytes it wishes to see first; nothing if it wants no preview.
    pub preview: Option<u64>,
    /// Most connections at the same time, if it says so.
    pub max_connections: Option<u64>,
    /// How long this may be relied on.
    pub ttl: Duration,
}

impl Options {
    /// Asks a service.
    ///
    /// # Errors
    /// If it does not answer as ICAP says, or does not look at responses.
    pub async fn ask(mut wire: Wire, service: &Service) -> Result<Self, Broken> {
        let mut request = service.head("OPTIONS");
        request.push_str("Encapsulated: null-body=0\r\n\r\n");
        write(&mut wire, request.as_bytes()).await?;
        let head = Head::read(&mut Ear::new(wire), "ICAP/").await?;
        Self::of(&head)
    }

    fn of(head: &Head) -> Result<Self, Broken> {
        if head.status != 200 {
            let first = head.bytes.split(|byte| *byte == b'\n').next();
            let what = "the service refuses to say what it can do";
            return Err(Broken::senseless(what, first.unwrap_or_default()));
        }
        if head.field("methods").is_some() && !head.lists("methods", "RESPMOD") {
            let methods = head.field("methods").unwrap_or_default();
            let what = "the service does not look at responses (RESPMOD)";
            return Err(Broken::senseless(what, methods.as_bytes()));
        }
        let ttl = head.number("options-ttl")?.map(Duration::from_secs);
        let own = |name| {
            let value = head.field(name)?.trim_matches('"').trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        Ok(Self {
            istag: own("istag"),
            service: own("service"),
            preview: head.number("preview")?.map(|wish| wish.min(MAX_PREVIEW)),
            max_connections: head.number("max-connections")?.filter(|most| *most > 0),
            ttl: ttl.unwrap_or(TTL).min(MAX_TTL),
        })
    }

    /// Returns what the service scans with.
    pub fn versions(&self) -> EngineVersions {
        EngineVersions {
            engine: self.service.clone(),
            signatures: self.istag.clone(),
            ..EngineVersions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(fields: &str) -> Result<Options, Broken> {
        let head = format!("ICAP/1.0 200 OK\r\n{fields}");
        Options::of(&Head::parse(head.into_bytes(), "ICAP/").unwrap())
    }

    #[test]
    fn service_says_what_it_is_and_wishes() {
        let said = options(
            "Methods: RESPMOD, REQMOD\r\nISTag: \"5BDEEEA9-12E4-2\"\r\nService: C-ICAP/0.5 server\r\nPreview: 1024\r\nMax-Connections: 4\r\nOptions-TTL: 30\r\n",
        );
        let expected = Options {
            istag: Some("5BDEEEA9-12E4-2".to_owned()),
            service: Some("C-ICAP/0.5 server".to_owned()),
            preview: Some(1024),
            max_connections: Some(4),
            ttl: Duration::from_secs(30),
        };
        assert_eq!(said, Ok(expected));
        assert_eq!(options("").unwrap().preview, None);
        assert_eq!(
            options("Preview: 99999999\r\n").unwrap().preview,
            Some(MAX_PREVIEW)
        );
    }

    #[test]
    fn service_that_cannot_help_is_told() {
        let said = options("Methods: REQMOD\r\n").unwrap_err().to_string();
        assert!(said.contains("RESPMOD"), "{said}");
        assert!(options("Preview: many\r\n").is_err());
        let head = Head::parse(b"ICAP/1.0 404 Not Found\r\n".to_vec(), "ICAP/").unwrap();
        let said = Options::of(&head).unwrap_err().to_string();
        assert!(said.contains("404"), "{said}");
    }
}
