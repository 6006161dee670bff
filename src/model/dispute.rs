//! Disputes: our reports of false positives to vendors.

use serde::{Deserialize, Serialize};

use super::{PublisherId, Sha256, Timestamp};

/// One report of a false positive to one vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// Its number.
    pub id: u64,
    /// The incident it is about.
    pub incident: u64,
    /// Whose file it is about.
    pub publisher: PublisherId,
    /// Which blob.
    pub sha256: Sha256,
    /// Entry of the directory of vendors.
    pub vendor: String,
    /// Where it stands.
    pub state: DisputeState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it stands there.
    pub state_at: Timestamp,
    /// Who made it.
    pub author: String,
    /// Who let it leave by mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_by: Option<String>,
    /// The address or the form it goes to.
    pub to: String,
    /// Whether it goes by mail; else a person takes it to a form.
    pub by_mail: bool,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// What its text ends with, which no person may say otherwise; empty if that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub facts: String,
    /// Who said the rest in his own words, if anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worded_by: Option<String>,
    /// How often it was put in other words since it was made.
    #[serde(default)]
    pub revision: u32,
    /// Whether the file itself goes with it.
    pub with_file: bool,
    /// Whether somebody ordered the file, which is the consent where the policy asks for one.
    #[serde(default)]
    pub file_ordered: bool,
    /// The vendor's own number for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Reminders sent.
    #[serde(default)]
    pub reminders: u32,
    /// When the next reminder is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_at: Option<Timestamp>,
    /// By which rule and consent it leaves what it does.
    #[serde(default)]
    pub rule: String,
    /// Tries of sending it that failed.
    #[serde(default)]
    pub attempts: u32,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl DisputeState {
    /// Returns the state's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Bounced => "bounced",
            Self::Withdrawn => "withdrawn",
            Self::Closed => "closed",
        }
    }

    /// Tells whether nothing more comes of it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Bounced | Self::Withdrawn | Self::Closed)
    }
}

/// Where a dispute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisputeState {
    /// The package is made; a person takes it to the vendor's form.
    Prepared,
    /// It waits to be sent.
    Queued,
    /// The vendor's mail server took it, or a person says that it was submitted.
    Sent,
    /// It came back.
    Bounced,
    /// It was not sent, because the engine does not detect the file any more or nobody may.
    Withdrawn,
    /// The incident is over.
    Closed,
}
