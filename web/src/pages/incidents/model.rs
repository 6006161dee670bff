//! Incidents as the API shows them, as far as pages say it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::backend::part;
use crate::text;

/// What is known of an incident.
#[derive(Clone, Debug, Deserialize)]
pub struct Incident {
    /// Whose collection.
    pub publisher: String,
    /// Id of the engine that detects.
    pub engine: String,
    /// What that engine is called.
    #[serde(default)]
    pub engine_name: Option<String>,
    /// The engines it shares its signatures with; its own id if there are none.
    #[serde(default)]
    pub family: String,
    /// The file.
    pub sha256: String,
    /// Where that is in the collection, up to ten places.
    #[serde(default)]
    pub paths: Vec<String>,
    /// `open`, `notified`, `acknowledged`, `resolved` or `kept`.
    pub state: String,
    /// Since when; this and all moments in seconds since 1970.
    pub state_date: u64,
    /// When the engine detected it for the first time.
    pub opened_date: u64,
    /// When it did so last after it had not.
    pub reopened_date: u64,
    /// How often that was.
    #[serde(default)]
    pub reopened_count: u32,
    /// What the engine calls it.
    pub detection: String,
    /// What it last said so with.
    pub detected: Side,
    /// What it first said so with.
    #[serde(default)]
    pub first: Option<Side>,
    /// What it last called the file clean with before.
    #[serde(default)]
    pub before: Option<Side>,
    /// What it called the file clean with afterwards.
    #[serde(default)]
    pub resolved: Option<Side>,
    /// Why it is kept: `vendor`, `publisher` or `removed`.
    #[serde(default)]
    pub kept: Option<String>,
    /// Who looks after it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Until when it should be over.
    #[serde(default)]
    pub deadline_date: Option<u64>,
    /// Whether it should be over already.
    #[serde(default)]
    pub overdue: bool,
    /// In which version or set the vendor says it is fixed.
    #[serde(default)]
    pub fixed_in: Option<String>,
    /// Incidents of this file in this collection that are not over.
    #[serde(default)]
    pub detections: u64,
    /// How many opinions those are: engines that share signatures are one.
    #[serde(default)]
    pub opinions: u64,
    /// Number of the incident that stands for the family in a dispute.
    #[serde(default)]
    pub leading: Option<String>,
    /// Where the family's other engines stand.
    #[serde(default)]
    pub propagation: Vec<Kin>,
}

/// What an engine said something with, and when.
#[derive(Clone, Debug, Deserialize)]
pub struct Side {
    /// When.
    pub date: u64,
    /// In which analysis.
    pub analysis: String,
    /// With what.
    #[serde(default)]
    pub versions: Versions,
}

/// What an engine was made of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// Its version.
    pub engine: Option<String>,
    /// What its signatures call themselves.
    pub signatures: Option<String>,
    /// What they are dated.
    pub signatures_date: Option<String>,
    /// Id of the set of signatures here.
    pub signature_set: Option<String>,
}

/// Another engine of the same family.
#[derive(Clone, Debug, Deserialize)]
pub struct Kin {
    /// Its incident.
    pub incident: String,
    /// Its id.
    pub engine: String,
    /// As of an incident.
    pub state: String,
    /// Since when.
    pub state_date: u64,
    /// What it calls the file.
    pub detection: String,
}

/// One entry of an incident's thread.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// When.
    pub date: u64,
    /// Id of a key or user, or `acquit`.
    pub author: String,
    /// `state`, `note`, `vendor`, `reply` or `dispute`.
    pub kind: String,
    /// What was said or done.
    pub text: String,
}

impl Incident {
    /// Tells whether somebody still has to do something.
    pub fn is_live(&self) -> bool {
        matches!(&*self.state, "open" | "notified" | "acknowledged")
    }

    /// Returns what the engine is called.
    pub fn engine_name(&self) -> &str {
        self.engine_name.as_deref().unwrap_or(&self.engine)
    }

    /// Returns what the file is called: its path, or its hash once it is in the collection no more.
    pub fn file(&self) -> &str {
        self.paths.first().unwrap_or(&self.sha256)
    }

    /// Returns the name of the file in its folder.
    pub fn file_name(&self) -> &str {
        text::name(self.file())
    }

    /// Returns the page of the file.
    pub fn file_url(&self) -> String {
        match self.paths.first() {
            Some(path) => item_url(&self.publisher, path),
            None => format!("/files/{}", self.sha256),
        }
    }

    /// Returns the page of one of the file's places.
    pub fn place_url(&self, path: &str) -> String {
        item_url(&self.publisher, path)
    }

    /// Returns how long it lasts, or lasted: seconds.
    pub fn age(&self, now: u64) -> u64 {
        let until = if self.is_live() { now } else { self.state_date };
        until.saturating_sub(self.reopened_date)
    }

    /// Returns what the detection came with.
    pub fn introduced(&self) -> &Side {
        self.first.as_ref().unwrap_or(&self.detected)
    }

    /// Tells whether the file is detected by others of the publisher's engines too.
    pub fn others(&self) -> u64 {
        self.detections.saturating_sub(u64::from(self.is_live()))
    }
}

impl Side {
    /// Returns the set of signatures.
    pub fn set(&self) -> Option<&str> {
        self.versions.signature_set.as_deref()
    }
}

/// Returns the id of an item, as the API has it.
pub fn item_id(publisher: &str, path: &str) -> String {
    STANDARD.encode(format!("vtmonitor-v1://{publisher}{path}"))
}

/// Returns the page of an item.
pub fn item_url(publisher: &str, path: &str) -> String {
    format!("/items/{}", part(&item_id(publisher, path)))
}

/// Reads the id of an item: whose it is, and its path.
pub fn item_named(id: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(id).ok()?).ok()?;
    let rest = text.strip_prefix("vtmonitor-v1://")?;
    let at = rest.find('/')?;
    let (publisher, path) = rest.split_at(at);
    Some((publisher.to_owned(), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_is_named_as_the_api_does() {
        let id = item_id("acme", "/releases/acme-1.0/bin/acme");
        let known = "dnRtb25pdG9yLXYxOi8vYWNtZS9yZWxlYXNlcy9hY21lLTEuMC9iaW4vYWNtZQ==";
        assert_eq!(id, known);
        let path = "/releases/acme-1.0/bin/acme".to_owned();
        assert_eq!(item_named(&id), Some(("acme".to_owned(), path)));
        assert_eq!(item_named(&STANDARD.encode([0xFF])), None);
        assert_eq!(item_named("x"), None);
    }

    #[test]
    fn id_is_one_part_of_a_url() {
        let url = item_url("acme", "/a>?>/\u{1F600}");
        assert!(url.starts_with("/items/"), "{url}");
        assert!(!url["/items/".len()..].contains(['/', '+', '=']), "{url}");
    }
}
