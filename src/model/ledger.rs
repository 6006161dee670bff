//! Lines of the ledger: what happened and what left the machine, before it did.

use serde::{Deserialize, Serialize};

use super::{PublisherId, Sha256, Timestamp};

/// What is to be written into the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// When.
    pub at: Timestamp,
    /// What kind of line.
    pub kind: LedgerKind,
    /// Who did it: id of a key or user, or `acquit`.
    pub actor: String,
    /// What was done, or what left, in one sentence.
    pub text: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<PublisherId>,
    /// The blob it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// How many bytes leave; counted before they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// To whom they go: an address, a URL without its secrets, or a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The rule and the consent by which they may, e.g. `policy file of /releases/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The event it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
}

impl LedgerEntry {
    /// Makes a line with nothing but who did what.
    pub const fn new(at: Timestamp, kind: LedgerKind, actor: String, text: String) -> Self {
        Self {
            at,
            kind,
            actor,
            text,
            publisher: None,
            sha256: None,
            bytes: None,
            to: None,
            rule: None,
            event: None,
        }
    }
}

/// What kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerKind {
    /// An event.
    Event,
    /// Bytes leave the machine.
    Egress,
    /// Somebody with a privilege read what is another's.
    Access,
    /// Somebody changed who may what.
    Admin,
}
