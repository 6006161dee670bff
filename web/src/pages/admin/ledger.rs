//! The ledger: what happened and what left, line by line, each bound to the one before.

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::Web;
use crate::backend::{Answer, Listing, Object, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::owners::Owners;
use crate::session::Viewer;
use crate::text;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A line.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Line {
    /// Seconds since 1970.
    pub date: u64,
    /// `event`, `egress`, `access` or `admin`.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub text: String,
    /// Whose it is.
    pub publisher: Option<String>,
    /// The file it is about.
    pub sha256: Option<String>,
    /// How many bytes left.
    pub bytes: Option<u64>,
    /// To whom.
    pub to: Option<String>,
    /// By which rule.
    pub rule: Option<String>,
    /// The line's hash.
    pub hash: String,
}

impl Line {
    fn icon(&self) -> &'static str {
        match self.kind.as_str() {
            "egress" => "send",
            "access" => "user",
            "admin" => "admin",
            _ => "list",
        }
    }

    fn kind_name(&self) -> &str {
        kind_name(&self.kind)
    }
}

/// What following the chain found.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Verified {
    intact: bool,
    line: u64,
    hash: Option<String>,
    problem: Option<String>,
}

/// Kinds of lines, in words.
const KINDS: [(&str, &str); 4] = [
    ("event", "Event"),
    ("egress", "Left the appliance"),
    ("access", "Access"),
    ("admin", "Administration"),
];

fn kind_name(kind: &str) -> &str {
    let known = KINDS.iter().find(|(id, _)| *id == kind);
    known.map_or(kind, |(_, name)| name)
}

/// Writes a line's number in groups of three.
pub fn numbered(id: &str) -> String {
    id.parse()
        .map_or_else(|_| id.to_owned(), |id| text::count(&id))
}

/// Returns the beginning of a hash, to tell it from others.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// Which lines are shown; days are UTC's, `YYYY-MM-DD`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    kind: String,
    publisher: String,
    sha256: String,
    actor: String,
    from: String,
    to: String,
    cursor: String,
    verify: String,
}

impl Asked {
    /// Returns the page's own query.
    fn query(&self, cursor: &str) -> String {
        query([
            ("kind", &*self.kind),
            ("publisher", &self.publisher),
            ("sha256", &self.sha256),
            ("actor", &self.actor),
            ("from", &self.from),
            ("to", &self.to),
            ("cursor", cursor),
        ])
    }

    /// Returns the API's query.
    fn api(&self, cursor: &str) -> Result<String, Fault> {
        let from = second(&self.from, 0)?;
        let to = second(&self.to, DAY - 1)?;
        let sha256 = self.sha256.trim().to_ascii_lowercase();
        Ok(query([
            ("kind", &*self.kind),
            ("publisher", &self.publisher),
            ("sha256", &sha256),
            ("actor", self.actor.trim()),
            ("from", &from),
            ("to", &to),
            ("cursor", cursor),
        ]))
    }

    /// Returns the page's query for what somebody else did, of the same lines.
    fn by(&self, actor: &str) -> String {
        let mut own = self.clone();
        own.actor = actor.to_owned();
        own.query("")
    }

    fn is_filtered(&self) -> bool {
        !self.query("").is_empty()
    }
}

/// Returns a second of a day, as the API takes it; empty if there is no day.
fn second(day: &str, offset: i64) -> Result<String, Fault> {
    if day.is_empty() {
        return Ok(String::new());
    }
    let wrong = || Fault::bad("a day is written like 2026-11-26");
    let date: Date = day.parse().map_err(|_| wrong())?;
    let start = date.to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
    Ok((start.timestamp().as_second() + offset).max(0).to_string())
}

/// The routes, where the ledger is.
pub fn routes(home: &str) -> Router<Web> {
    Router::new().route(home, get(list))
}

#[derive(Template)]
#[template(path = "admin/ledger.html")]
struct Page {
    frame: Frame,
    home: &'static str,
    owners: Owners,
    lines: Vec<Object<Line>>,
    asked: Asked,
    verified: Option<Verified>,
    next: String,
    first: String,
    error: Option<Fault>,
}

async fn list(viewer: Viewer, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let home = if viewer.is_admin() {
        "/admin/ledger"
    } else {
        "/ledger"
    };
    let place = |cursor: &str| Ok(format!("/acquit/ledger{}", asked.api(cursor)?));
    let (listing, verified, owners) = tokio::join!(
        viewer.api.look::<Object<Line>>(&asked.cursor, place),
        verify(&viewer, &asked),
        Owners::read(&viewer, Some(asked.publisher.trim())),
    );
    let (listing, error) = match listing {
        Ok(listing) => (listing, None),
        Err(fault) if fault.status.as_u16() == 400 => (Listing::default(), Some(fault)),
        Err(fault) => return Err(fault),
    };
    let next = listing.cursor();
    let next = next.map(|cursor| format!("{home}{}", asked.query(cursor)));
    let first = match asked.cursor.is_empty() {
        true => String::new(),
        false => format!("{home}{}", asked.query("")),
    };
    let active = if viewer.is_admin() { "admin" } else { "" };
    let status = error
        .as_ref()
        .map_or(axum::http::StatusCode::OK, |it| it.status);
    let page = show(&Page {
        frame: Frame::new(&viewer, "Ledger", active),
        home,
        owners: owners?,
        lines: listing.data,
        verified: verified?,
        next: next.unwrap_or_default(),
        first,
        asked,
        error,
    })?;
    Ok(axum::response::IntoResponse::into_response((status, page)))
}

/// Follows the chain, if that is asked for.
async fn verify(viewer: &Viewer, asked: &Asked) -> Result<Option<Verified>, Fault> {
    if asked.verify.is_empty() || !viewer.is_admin() {
        return Ok(None);
    }
    let found: Answer<Object<Verified>> = viewer.api.get("/acquit/ledger/verify").await?;
    Ok(Some(found.data.attributes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_and_end_in_utc() {
        assert_eq!(second("1970-01-02", 0).unwrap(), "86400");
        assert_eq!(second("1970-01-02", DAY - 1).unwrap(), "172799");
        assert_eq!(second("", 0).unwrap(), "");
        for bad in ["yesterday", "2026-13-01", "1&x=2"] {
            assert!(second(bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn query_of_a_page_keeps_the_filter_and_not_the_order_to_verify() {
        let asked = Asked {
            kind: "egress".to_owned(),
            sha256: " ABC ".to_owned(),
            from: "1970-01-02".to_owned(),
            verify: "yes".to_owned(),
            ..Asked::default()
        };
        assert_eq!(
            asked.query("n"),
            "?kind=egress&sha256=%20ABC%20&from=1970-01-02&cursor=n"
        );
        assert_eq!(asked.api("").unwrap(), "?kind=egress&sha256=abc&from=86400");
        assert_eq!(
            asked.by("k&1"),
            "?kind=egress&sha256=%20ABC%20&actor=k%261&from=1970-01-02"
        );
        assert!(asked.is_filtered() && !Asked::default().is_filtered());
    }
}
