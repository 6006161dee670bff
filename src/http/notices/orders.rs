//! Orders about subscriptions, as they come.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::flow::notify::subscriptions::{Edit, Wanted};
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::model::{
    Audience, Channel, EventKind, KeyRole, Pace, PublisherId, QuietHours, Timestamp, VendorId,
};

/// A subscription to be made; its attributes may also be in VirusTotal's `data.attributes`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OrderBody {
    /// `mail`, `webhook`, `slack`, `teams` or `command`.
    channel: String,
    /// The address, the URL, or the command's name.
    target: String,
    /// The publisher whose events are meant; for administrators.
    publisher: Option<String>,
    /// The vendor whose events are meant; for administrators.
    vendor: Option<String>,
    /// Which kinds of events; none means those that concern people.
    #[schema(value_type = Vec<String>)]
    kinds: BTreeSet<EventKind>,
    /// `{"pace": "immediate"}` or `{"pace": "daily", "hour": 8}`.
    #[schema(value_type = Object)]
    pace: Option<Pace>,
    /// `{"from": 22, "until": 7, "zone": "Europe/Berlin"}`.
    #[schema(value_type = Object)]
    quiet: Option<QuietHours>,
}

/// A change of a subscription; what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EditBody {
    /// Which kinds of events; none means those that concern people.
    #[schema(value_type = Option<Vec<String>>)]
    kinds: Option<BTreeSet<EventKind>>,
    /// `{"pace": "immediate"}` or `{"pace": "daily", "hour": 8}`.
    #[schema(value_type = Object)]
    pace: Option<Pace>,
    /// `{"from": 22, "until": 7, "zone": "Europe/Berlin"}`; `false` for none.
    #[schema(value_type = Object)]
    quiet: Option<Value>,
    /// Whether it is told anything at all.
    enabled: Option<bool>,
}

/// Returns what stands in VirusTotal's envelope, or the body itself.
///
/// # Errors
/// If it is no JSON.
pub fn inner(body: &[u8]) -> Result<String, ApiError> {
    let body: Value = crate::http::engines::parse_body(body)?;
    let inner = body.pointer("/data/attributes").unwrap_or(&body);
    Ok(match inner {
        Value::Null => String::new(),
        inner => inner.to_string(),
    })
}

impl OrderBody {
    /// Returns what is wanted, in the name of whoever asks.
    ///
    /// # Errors
    /// If it cannot be, or is not for the caller to want.
    pub fn wanted(self, caller: &Caller) -> Result<Wanted, ApiError> {
        let to = self.target.trim().to_owned();
        let channel = match self.channel.as_str() {
            "mail" => Channel::Mail { to },
            "webhook" => Channel::Webhook {
                url: to,
                secrets: Vec::new(),
            },
            "slack" => Channel::Slack { url: to },
            "teams" => Channel::Teams { url: to },
            "command" if caller.is_admin() => Channel::Command { name: to },
            "command" => {
                let message = "only an administrator has commands run";
                return Err(ApiError::forbidden(message));
            }
            _ => {
                let message = "channel is one of mail, webhook, slack, teams, command";
                return Err(ApiError::invalid_argument(message));
            }
        };
        Ok(Wanted {
            audience: audience(caller, self.publisher, self.vendor)?,
            channel,
            kinds: self.kinds,
            pace: self.pace.unwrap_or_default(),
            quiet: self.quiet,
            creator: caller.actor(),
        })
    }
}

fn audience(
    caller: &Caller,
    publisher: Option<String>,
    vendor: Option<String>,
) -> Result<Audience, ApiError> {
    let invalid =
        |error: crate::model::InvalidPartyId| ApiError::invalid_argument(error.to_string());
    match caller.role() {
        KeyRole::Admin => match (publisher, vendor) {
            (None, None) => Ok(Audience::Admin),
            (Some(id), None) => {
                let id: PublisherId = id.parse().map_err(invalid)?;
                Ok(Audience::Publisher(id))
            }
            (None, Some(id)) => {
                let id: VendorId = id.parse().map_err(invalid)?;
                Ok(Audience::Vendor(id))
            }
            (Some(_), Some(_)) => {
                let message = "name a publisher or a vendor, not both";
                Err(ApiError::invalid_argument(message))
            }
        },
        KeyRole::Publisher | KeyRole::Viewer => {
            let id = caller.publisher(publisher.as_deref())?;
            Ok(Audience::Publisher(id))
        }
        KeyRole::Vendor => Ok(Audience::Vendor(caller.vendor()?.clone())),
    }
}

impl EditBody {
    /// Returns what is changed.
    ///
    /// # Errors
    /// If the hours are none.
    pub fn edit(self, caller: &Caller, now: Timestamp) -> Result<Edit, ApiError> {
        let quiet = match self.quiet {
            None => None,
            Some(Value::Bool(false)) => Some(None),
            Some(hours) => {
                let hours = serde_json::from_value(hours);
                let hours = hours.map_err(|error| {
                    ApiError::invalid_argument(format!("quiet is not what it should be: {error}"))
                })?;
                Some(Some(hours))
            }
        };
        let off = (now, format!("switched off by {}", caller.actor()));
        Ok(Edit {
            kinds: self.kinds,
            pace: self.pace,
            quiet,
            disabled: self.enabled.map(|enabled| (!enabled).then_some(off)),
        })
    }
}
