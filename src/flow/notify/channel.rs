//! The ways somebody is told: mail, webhook, Slack, Teams, a command.

mod chat;
mod command;
mod hook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::HeaderMap;

use super::guard::{Allowed, Resolver};
use super::words::{self, Told};
use crate::config::Notifications;
use crate::flow::mail::{Letter, MailError, Mailer, Sealed};
use crate::model::{Channel, Timestamp};

pub use hook::new_secret;

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side took it.
    Accepted(String),
    /// It may take it later, at the earliest after what it asked for.
    Later(String, Option<Duration>),
    /// It never will.
    Never(String),
    /// It wants nothing any more.
    Gone(String),
}

impl Outcome {
    /// Returns what was said.
    pub fn text(&self) -> &str {
        match self {
            Self::Accepted(text) | Self::Later(text, _) | Self::Never(text) | Self::Gone(text) => {
                text
            }
        }
    }

    /// Returns the outcome's name in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Later(..) => "later",
            Self::Never(_) => "refused",
            Self::Gone(_) => "gone",
        }
    }
}

/// What is delivered.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The same whenever the same thing is delivered to the same subscription.
    pub id: String,
    /// What is told.
    pub items: Vec<Told>,
    /// When it is sent.
    pub at: Timestamp,
}

impl Parcel {
    /// Returns what programs are given.
    fn json(&self) -> serde_json::Value {
        let timestamp = words::iso(self.at);
        match self.items.as_slice() {
            [told] => serde_json::json!({
                "type": told.kind, "timestamp": timestamp, "data": told.json,
            }),
            items => {
                let events: Vec<_> = items.iter().map(|told| &told.json).collect();
                serde_json::json!({
                    "type": "digest", "timestamp": timestamp, "data": { "events": events },
                })
            }
        }
    }
}

/// Every way there is.
#[derive(Clone, Debug)]
pub struct Channels {
    mailer: Option<Mailer>,
    web: reqwest::Client,
    allowed: Arc<Allowed>,
    commands: BTreeMap<String, Vec<String>>,
    patience: Duration,
}

impl Channels {
    /// Prepares what the configuration allows.
    ///
    /// # Errors
    /// If this machine's TLS is unusable.
    pub fn new(config: &Notifications, mailer: Option<Mailer>) -> anyhow::Result<Self> {
        let allowed = Arc::new(Allowed::new(&config.allowed_hosts));
        let patience = Duration::from_secs(config.timeout_seconds.max(1));
        let web = reqwest::Client::builder()
            .user_agent(concat!("acquit/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Resolver(Arc::clone(&allowed))))
            .timeout(patience)
            .pool_idle_timeout(Duration::from_secs(10))
            .build()
            .context("cannot prepare HTTP requests")?;
        Ok(Self {
            mailer,
            web,
            allowed,
            commands: config.commands.clone(),
            patience,
        })
    }

    /// Tells whether a channel can be used as it is.
    ///
    /// # Errors
    /// Says what is wrong and what to do.
    pub fn check(&self, channel: &Channel) -> Result<(), String> {
        match channel {
            Channel::Mail { to } if crate::flow::mail::is_address(to) => Ok(()),
            Channel::Mail { to } => Err(format!("{to:?} is no mail address")),
            Channel::Webhook { url, .. } | Channel::Slack { url } | Channel::Teams { url } => {
                self.allowed.check(url).map(drop)
            }
            Channel::Command { name } if self.commands.contains_key(name) => Ok(()),
            Channel::Command { name } => Err(format!(
                "there is no command {name:?}; name it in notifications.commands"
            )),
        }
    }

    /// Says why nothing can leave by a channel at all now; nothing would be written of a try.
    pub fn obstacle(&self, channel: &Channel) -> Option<String> {
        match channel {
            Channel::Mail { .. } if self.mailer.is_none() => {
                Some("no mail server is configured: set mail.server".to_owned())
            }
            other => self.check(other).err(),
        }
    }

    /// Makes what leaves, so that its size is known before it does.
    ///
    /// # Errors
    /// What becomes of the try if it cannot be made: nothing left then.
    pub async fn make(&self, channel: &Channel, parcel: &Parcel) -> Result<Load, Outcome> {
        match channel {
            Channel::Mail { to } => self.letter(to, parcel).await,
            Channel::Webhook { url, secrets } => {
                let body = parcel.json().to_string();
                let headers = hook::signed(&parcel.id, parcel.at, (&body, secrets));
                self.call(url, headers.map_err(Outcome::Never)?, body)
            }
            Channel::Slack { url } => self.call(
                url,
                HeaderMap::new(),
                chat::slack(&parcel.items).to_string(),
            ),
            Channel::Teams { url } => self.call(
                url,
                HeaderMap::new(),
                chat::teams(&parcel.items).to_string(),
            ),
            Channel::Command { name } => match self.commands.get(name) {
                Some(command) => Ok(Load::Command(command.clone(), command::input(parcel))),
                None => Err(Outcome::Later(
                    format!("there is no command {name:?}"),
                    None,
                )),
            },
        }
    }

    /// Lets it leave.
    pub async fn send(&self, load: Load, id: &str) -> Outcome {
        match load {
            Load::Mail(mailer, letter) => match mailer.send(&letter).await {
                Ok(()) => Outcome::Accepted("taken by the mail server".to_owned()),
                Err(error) => unsent(error),
            },
            Load::Call(call) => self.post(*call).await,
            Load::Command(command, input) => {
                command::run(&command, (id, &input), self.patience).await
            }
        }
    }

    async fn letter(&self, to: &str, parcel: &Parcel) -> Result<Load, Outcome> {
        let Some(mailer) = &self.mailer else {
            let reason = "no mail server is configured".to_owned();
            return Err(Outcome::Later(reason, None));
        };
        let letter = Letter {
            to: vec![to.to_owned()],
            subject: words::title(&parcel.items),
            text: words::plain(&parcel.items),
            html: words::html(&parcel.items),
            message_id: mailer.message_id(&parcel.id),
            ..Letter::default()
        };
        let sealed = mailer.seal(letter).await.map_err(unsent)?;
        Ok(Load::Mail(mailer.clone(), sealed))
    }

    fn call(&self, url: &str, headers: HeaderMap, body: String) -> Result<Load, Outcome> {
        // What is allowed may have changed since the subscription was made.
        let url = self.allowed.check(url);
        let url = url.map_err(|reason| Outcome::Later(reason, None))?;
        Ok(Load::Call(Box::new(Call { url, headers, body })))
    }

    async fn post(&self, call: Call) -> Outcome {
        let request = self.web.post(call.url).headers(call.headers);
        let request = request.body(call.body);
        let request = request.header("content-type", "application/json");
        match request.send().await {
            Ok(response) => hook::outcome(&response),
            Err(error) => Outcome::Later(hook::broken(&error), None),
        }
    }
}

/// What leaves by a channel, whole.
#[derive(Debug)]
pub enum Load {
    /// A letter, and who takes it.
    Mail(Mailer, Sealed),
    /// A call of another side's.
    Call(Box<Call>),
    /// A command, and what it reads.
    Command(Vec<String>, String),
}

/// A request another side gets.
#[derive(Debug)]
pub struct Call {
    url: reqwest::Url,
    headers: HeaderMap,
    body: String,
}

impl Load {
    /// Returns how many bytes it has: of a letter all, of a call the body.
    pub fn size(&self) -> u64 {
        match self {
            Self::Mail(_, sealed) => sealed.size(),
            Self::Call(call) => call.body.len() as u64,
            Self::Command(_, input) => input.len() as u64,
        }
    }
}

fn unsent(error: MailError) -> Outcome {
    match error {
        MailError::Temporary(reason) => Outcome::Later(reason, None),
        MailError::Permanent(reason) => Outcome::Never(reason),
    }
}

/// Returns where a channel leads, without its secrets: the rest of a URL may be one.
pub fn target(channel: &Channel) -> String {
    match channel {
        Channel::Mail { to } => to.clone(),
        Channel::Webhook { url, .. } | Channel::Slack { url } | Channel::Teams { url } => {
            match reqwest::Url::parse(url) {
                Ok(url) => format!("{}/…", url.origin().ascii_serialization()),
                Err(_) => "…".to_owned(),
            }
        }
        Channel::Command { name } => format!("command {name}"),
    }
}

/// Returns what is slow together: deliveries to it are not all made at once.
pub fn endpoint(channel: &Channel) -> String {
    match channel {
        Channel::Mail { .. } => "mail".to_owned(),
        other => target(other),
    }
}

/// Returns a channel's name on the wire and in metrics.
pub const fn name(channel: &Channel) -> &'static str {
    match channel {
        Channel::Mail { .. } => "mail",
        Channel::Webhook { .. } => "webhook",
        Channel::Slack { .. } => "slack",
        Channel::Teams { .. } => "teams",
        Channel::Command { .. } => "command",
    }
}
