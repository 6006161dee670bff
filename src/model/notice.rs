//! Notifications: who is told of what, by which channel, and what became of each delivery.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{EventKind, PublisherId, Timestamp, VendorId};

/// Who wants to be told of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its number.
    pub id: u64,
    /// Whose: what its events are about.
    pub audience: Audience,
    /// How it is told.
    pub channel: Channel,
    /// Which kinds of events; none means those that concern people.
    #[serde(default)]
    pub kinds: BTreeSet<EventKind>,
    /// Whether at once or together.
    #[serde(default)]
    pub pace: Pace,
    /// When not to disturb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub creator: String,
    /// Since when and why it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<(Timestamp, String)>,
}

/// Whose events a subscription is told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", content = "id", rename_all = "kebab-case")]
pub enum Audience {
    /// Everything on this appliance.
    Admin,
    /// What concerns a publisher's collection.
    Publisher(PublisherId),
    /// What a vendor's engines detect, as far as the owners consent.
    Vendor(VendorId),
}

/// By which way somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Channel {
    /// Mail.
    Mail {
        /// To which address.
        to: String,
    },
    /// A webhook after the Standard Webhooks specification.
    Webhook {
        /// Where.
        url: String,
        /// Secrets, `whsec_…`, newest first; each signs, so that they can be changed.
        secrets: Vec<String>,
    },
    /// An incoming webhook of Slack, or what takes the same.
    Slack {
        /// Where.
        url: String,
    },
    /// A workflow of Teams, or what takes the same.
    Teams {
        /// Where.
        url: String,
    },
    /// A program on this machine that the operator names in the configuration.
    Command {
        /// Its name there.
        name: String,
    },
}

/// Whether somebody is told at once or of much together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "pace", rename_all = "kebab-case")]
pub enum Pace {
    /// At once.
    #[default]
    Immediate,
    /// Together, once a day.
    Daily {
        /// Hour of the day, 0 to 23, in the subscription's time zone.
        hour: u8,
    },
}

/// Hours in which nobody is to be disturbed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// First hour, 0 to 23.
    pub from: u8,
    /// Hour in which it is over, 0 to 23.
    pub until: u8,
    /// IANA name of the time zone; that of the machine if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// One event on its way to one subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The event's number.
    pub event: u64,
    /// The subscription's.
    pub subscription: u64,
    /// When it came up.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: DeliveryState,
    /// When it is tried next, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Every try, oldest first.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// When somebody last had it made once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed_at: Option<Timestamp>,
}

impl Delivery {
    /// Returns the tries since it came up or was last to be made once more, oldest first.
    pub fn current(&self) -> &[Attempt] {
        let old = |attempt: &Attempt| self.replayed_at.is_some_and(|again| attempt.at < again);
        let first = self.attempts.iter().position(|attempt| !old(attempt));
        &self.attempts[first.unwrap_or(self.attempts.len())..]
    }

    /// Returns how many these are.
    pub fn tries(&self) -> usize {
        self.current().len()
    }
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It is still to be made.
    Pending,
    /// The other side took it.
    Delivered,
    /// It was given up.
    Failed,
}

/// One try of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// What came of it, in the other side's words.
    pub outcome: String,
}
