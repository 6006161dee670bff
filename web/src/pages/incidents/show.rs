//! One incident: what happened, how far it has come, what was said, and what is recorded of it.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;

use super::model::{Entry, Incident, Side};
use super::raw::{self, Raw};
use super::steps::{self, Step};
use crate::backend::{Answer, Client, Listing, Object, part, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::pages::disputes::model::Dispute;
use crate::session::Viewer;
use crate::text::moment;

#[derive(Template)]
#[template(path = "incidents/show.html")]
struct Page {
    frame: Frame,
    id: String,
    it: Incident,
    facts: Facts,
    steps: Vec<Step>,
    says: Vec<Says>,
    viewer: Viewer,
    failed: Failed,
    /// The page with older entries, and that with the newest.
    older: String,
    newest: String,
}

/// What was typed into a form that could not be done; empty if nothing was.
#[derive(Clone, Debug, Default)]
pub struct Failed {
    /// Which form.
    pub act: String,
    /// What was typed.
    pub text: String,
    /// Why it was not done.
    pub message: String,
}

/// What is known besides.
struct Facts {
    entries: Vec<Object<Entry>>,
    file: Option<File>,
    raw: Option<Raw>,
    raw_url: String,
    ledger: Vec<Object<Line>>,
    /// Whether the ledger may have more.
    ledger_goes_on: bool,
    dispute: Option<Object<Dispute>>,
    cursor: Option<String>,
}

/// What the engine said with what, as a line of a table.
struct Says {
    when: &'static str,
    verdict: &'static str,
    side: Side,
    update: Option<u64>,
    made: Option<u64>,
}

/// What is known of a file.
#[derive(Clone, Debug, Deserialize)]
pub struct File {
    /// Its hashes.
    pub sha1: String,
    /// In hexadecimal digits.
    pub md5: String,
    /// Bytes.
    pub size: u64,
}

/// A line of the ledger.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    date: u64,
    kind: String,
    actor: String,
    text: String,
    #[serde(default)]
    bytes: Option<u64>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    rule: Option<String>,
}

/// A set of signatures.
#[derive(Clone, Debug, Deserialize)]
struct Set {
    creation_date: u64,
    #[serde(default)]
    update: Option<u64>,
}

/// Where the thread starts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct From {
    cursor: String,
}

/// Shows an incident.
pub async fn page(
    viewer: Viewer,
    Path(id): Path<String>,
    Query(from): Query<From>,
) -> Result<Response, Fault> {
    with(viewer, (&id, &from.cursor), Failed::default()).await
}

/// Shows an incident, with what could not be done.
///
/// # Errors
/// What the API says.
pub async fn with(
    viewer: Viewer,
    (id, cursor): (&str, &str),
    failed: Failed,
) -> Result<Response, Fault> {
    let it = incident(&viewer.api, id).await?;
    let (facts, says) = tokio::try_join!(
        facts(&viewer.api, (id, cursor), &it),
        says(&viewer.api, &it)
    )?;
    let entries: Vec<_> = facts
        .entries
        .iter()
        .map(|it| it.attributes.clone())
        .collect();
    let older = facts.cursor.as_deref();
    let older = older.map(|cursor| format!("/incidents/{id}{}", query([("cursor", cursor)])));
    let newest = Some(format!("/incidents/{id}")).filter(|_| !cursor.is_empty());
    show(&Page {
        frame: Frame::new(&viewer, format!("Incident {id}"), "incidents"),
        id: id.to_owned(),
        steps: steps::steps(&it, &entries),
        it,
        facts,
        says,
        viewer,
        failed,
        older: older.unwrap_or_default(),
        newest: newest.unwrap_or_default(),
    })
}

/// Reads an incident.
///
/// # Errors
/// What the API says.
pub async fn incident(api: &Client, id: &str) -> Result<Incident, Fault> {
    let found: Answer<Object<Incident>> =
        api.get(&format!("/acquit/incidents/{}", part(id))).await?;
    Ok(found.data.attributes)
}

/// Reads what is known of an incident's file.
///
/// # Errors
/// If the API fails.
pub async fn file(api: &Client, sha256: &str) -> Result<Option<File>, Fault> {
    let found: Option<Answer<Object<File>>> = api.find(&format!("/files/{sha256}")).await?;
    Ok(found.map(|found| found.data.attributes))
}

async fn facts(api: &Client, (id, cursor): (&str, &str), it: &Incident) -> Result<Facts, Fault> {
    let thread = query([("cursor", cursor), ("limit", "40")]);
    let thread = format!("/acquit/incidents/{}/thread{thread}", part(id));
    let lines = |cursor: &str| {
        let lines = [
            ("sha256", &*it.sha256),
            ("publisher", &it.publisher),
            ("limit", "20"),
            ("cursor", cursor),
        ];
        Ok(format!("/acquit/ledger{}", query(lines)))
    };
    let raw_url = raw::place(&it.detected.analysis, &it.engine);
    let (thread, file, ledger, raw) = tokio::try_join!(
        api.get::<Listing<Object<Entry>>>(&thread),
        file(api, &it.sha256),
        api.look::<Object<Line>>("", lines),
        raw::read(api, &raw_url),
    )?;
    let entries: Vec<_> = thread.data.iter().map(|it| it.attributes.clone()).collect();
    let dispute = match steps::disputes(&entries).first() {
        Some(number) => {
            let place = format!("/acquit/disputes/{number}");
            api.find::<Answer<Object<Dispute>>>(&place).await?
        }
        None => None,
    };
    Ok(Facts {
        cursor: thread.cursor().map(str::to_owned),
        entries: thread.data,
        file,
        raw,
        raw_url,
        ledger_goes_on: ledger.cursor().is_some(),
        ledger: ledger.data,
        dispute: dispute.map(|found| found.data),
    })
}

/// Says with what the engine called the file clean, detected it, and called it clean again.
async fn says(api: &Client, it: &Incident) -> Result<Vec<Says>, Fault> {
    let (before, first, after) = tokio::try_join!(
        set(api, it, it.before.as_ref()),
        set(api, it, Some(it.introduced())),
        set(api, it, it.resolved.as_ref()),
    )?;
    let says = |(when, verdict), side: &Side, set: Option<Set>| Says {
        when,
        verdict,
        side: side.clone(),
        update: set.as_ref().and_then(|set| set.update),
        made: set.map(|set| set.creation_date),
    };
    let mut all = Vec::new();
    if let Some(side) = &it.before {
        all.push(says(("Last clean before", "undetected"), side, before));
    }
    all.push(says(("Introduced by", "malicious"), it.introduced(), first));
    if it.detected.set() != it.introduced().set() || it.detected.date > it.introduced().date {
        all.push(says(
            ("Last detected with", "malicious"),
            &it.detected,
            None,
        ));
    }
    if let Some(side) = &it.resolved {
        all.push(says(("Taken away by", "undetected"), side, after));
    }
    Ok(all)
}

/// Reads a set of signatures; nothing if the engine has none, or it is gone.
async fn set(api: &Client, it: &Incident, side: Option<&Side>) -> Result<Option<Set>, Fault> {
    let Some(id) = side.and_then(Side::set) else {
        return Ok(None);
    };
    let place = format!(
        "/acquit/engines/{}/signature_sets/{}",
        part(&it.engine),
        part(id)
    );
    let found: Option<Answer<Object<Set>>> = api.find(&place).await?;
    Ok(found.map(|found| found.data.attributes))
}

impl Page {
    /// Returns what was said, the oldest first.
    fn words(&self) -> impl Iterator<Item = &Entry> {
        let all = self.facts.entries.iter().rev().map(|it| &it.attributes);
        all.filter(|it| matches!(&*it.kind, "vendor" | "reply" | "note"))
    }

    /// Returns what was done, the newest first.
    fn deeds(&self) -> Vec<Entry> {
        let all = self.facts.entries.iter().map(|it| &it.attributes);
        steps::deeds(all.filter(|it| matches!(&*it.kind, "state" | "dispute")))
    }

    /// Returns who wrote an entry, for people.
    fn author<'a>(&'a self, entry: &'a Entry) -> &'a str {
        match &*entry.author {
            "acquit" => "Acquit",
            author if author == self.viewer.id => "you",
            author => author,
        }
    }

    /// Returns what was typed into a form that failed.
    fn typed(&self, act: &str) -> &str {
        match self.failed.act == act {
            true => &self.failed.text,
            false => "",
        }
    }

    /// Tells whether who looks may change it.
    fn may_act(&self) -> bool {
        self.viewer.may_write()
    }

    /// Returns the day it should be over, as a field has it.
    fn deadline(&self) -> String {
        let day = self.it.deadline_date.map(|at| moment(&at).iso);
        day.map(|iso| iso.chars().take(10).collect())
            .unwrap_or_default()
    }

    /// Returns why it is kept.
    fn kept(&self) -> &'static str {
        steps::kept(self.it.kept.as_deref())
    }

    /// Returns the page of requests for the publisher's files.
    fn requests_url(&self) -> String {
        format!(
            "/incidents/requests{}",
            query([("owner", &*self.it.publisher)])
        )
    }
}
