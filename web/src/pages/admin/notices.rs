//! Notifications: who is told of what and how. An administrator has all subscriptions, a publisher
//! and a vendor their own.

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::deliveries::Delivery;
use super::forms::{Typed, again, number, once};
use super::parties::{MOST, Parties};
use crate::Web;
use crate::backend::{Answer, Listing, Object, part};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go};

/// Fields of the form.
const FIELDS: [&str; 9] = [
    "channel", "target", "of", "kinds", "pace", "hour", "from", "until", "zone",
];

/// What is known of a subscription.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subscription {
    /// `admin`, `publisher` or `vendor`.
    pub audience: String,
    /// Which publisher or vendor.
    pub audience_id: Option<String>,
    /// `mail`, `webhook`, `slack`, `teams` or `command`.
    pub channel: String,
    /// Where it leads, without what may be a secret.
    pub target: String,
    /// Which kinds of events; none means those that concern people.
    pub kinds: Vec<String>,
    /// At once or once a day.
    pub pace: Pace,
    /// When nobody is disturbed.
    pub quiet: Option<Quiet>,
    /// Seconds since 1970.
    pub creation_date: u64,
    /// Who made it.
    pub creator: String,
    /// Whether it is an address of the publisher's or the vendor's own.
    pub own_address: bool,
    /// Since when it is off.
    pub disabled_date: Option<u64>,
    /// Why.
    pub disabled_reason: Option<String>,
}

/// When somebody is told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pace {
    /// `immediate` or `daily`.
    pub pace: String,
    /// Hour of the day.
    pub hour: Option<u64>,
}

/// When nobody is disturbed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Quiet {
    /// First hour.
    pub from: u64,
    /// Hour in which it is over.
    pub until: u64,
    /// Time zone; that of the appliance if absent.
    pub zone: Option<String>,
}

impl Subscription {
    /// Returns the channel in words.
    pub fn channel_name(&self) -> &str {
        channel_name(&self.channel)
    }

    /// Returns when it is told.
    pub fn when(&self) -> String {
        let pace = match (self.pace.pace.as_str(), self.pace.hour) {
            ("daily", Some(hour)) => format!("Once a day, at {hour}:00"),
            ("daily", None) => "Once a day".to_owned(),
            _ => "At once".to_owned(),
        };
        match &self.quiet {
            Some(quiet) => format!("{pace}; quiet from {}:00 to {}:00", quiet.from, quiet.until),
            None => pace,
        }
    }
}

/// Returns a channel in words.
pub fn channel_name(channel: &str) -> &str {
    match channel {
        "mail" => "Mail",
        "webhook" => "Webhook",
        "slack" => "Slack",
        "teams" => "Teams",
        "command" => "Command",
        other => other,
    }
}

/// Returns where somebody's notifications are.
pub fn home(viewer: &Viewer) -> &'static str {
    match viewer.is_admin() {
        true => "/admin/notifications",
        false => "/notifications",
    }
}

/// Returns the value of the choice whose events are meant.
pub fn of(what: &str, id: &str) -> String {
    format!("{what}:{id}")
}

/// Makes the frame of a page about notifications.
pub fn frame(viewer: &Viewer, title: &str) -> Frame {
    let active = if viewer.is_admin() { "admin" } else { "" };
    Frame::new(viewer, title, active)
}

/// The routes, below where they are.
pub fn routes(home: &str) -> Router<Web> {
    Router::new()
        .route(home, get(list).post(create))
        .route(&format!("{home}/{{id}}"), get(one).post(edit))
        .route(&format!("{home}/{{id}}/state"), post(state))
        .route(&format!("{home}/{{id}}/test"), post(test))
        .route(&format!("{home}/{{id}}/rotate"), post(rotate))
        .route(&format!("{home}/{{id}}/delete"), post(remove))
}

#[derive(Template)]
#[template(path = "admin/notifications.html")]
struct ListPage {
    frame: Frame,
    home: &'static str,
    subscriptions: Vec<Object<Subscription>>,
    failed: usize,
    parties: Parties,
    typed: Typed,
    error: Option<Fault>,
}

#[derive(Template)]
#[template(path = "admin/subscription.html")]
struct OnePage {
    frame: Frame,
    home: &'static str,
    subscription: Object<Subscription>,
    deliveries: Vec<Object<Delivery>>,
    typed: Typed,
    error: Option<Fault>,
    /// What a test said: whether it went well, and the other side's words.
    tested: Option<(bool, String)>,
    /// A secret that was just made.
    secret: String,
}

impl OnePage {
    /// Returns where the subscription is.
    fn here(&self) -> String {
        format!("{}/{}", self.home, part(&self.subscription.id))
    }
}

async fn list(viewer: Viewer) -> Result<Response, Fault> {
    let typed = Typed::of([
        ("channel", "mail".to_owned()),
        ("pace", "immediate".to_owned()),
    ]);
    show(&list_page(&viewer, typed, None).await?)
}

async fn list_page(viewer: &Viewer, typed: Typed, error: Option<Fault>) -> Result<ListPage, Fault> {
    let api = &viewer.api;
    let parties = async {
        match viewer.is_admin() {
            true => Parties::load(api).await,
            false => Ok(Parties::default()),
        }
    };
    let (subscriptions, failed, parties) = tokio::try_join!(
        api.every("/acquit/subscriptions", MOST),
        api.get::<Listing<Value>>("/acquit/deliveries?state=failed&limit=40"),
        parties,
    )?;
    Ok(ListPage {
        frame: frame(viewer, "Notifications"),
        home: home(viewer),
        subscriptions: subscriptions.0,
        failed: failed.data.len(),
        parties,
        typed,
        error,
    })
}

async fn create(posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let made = async {
        let mut order = times(&posted, Value::Null)?;
        order["channel"] = json!(posted.get("channel"));
        order["target"] = json!(posted.get("target"));
        if let Some((what, id)) = posted.get("of").split_once(':') {
            order[what] = json!(id);
        }
        viewer.api.post("/acquit/subscriptions", &order).await
    };
    match made.await {
        Ok(made) => {
            let id = made["data"]["id"].as_str().unwrap_or_default();
            match made["data"]["attributes"]["secret"].as_str() {
                Some(secret) => with_secret(viewer, id, secret).await,
                None => {
                    let saying = "Made. Send a test to see that it arrives.";
                    Ok(go(&format!("{}/{}", home(viewer), part(id)), saying))
                }
            }
        }
        Err(fault) => {
            let typed = Typed::posted(&posted, &FIELDS);
            let page = list_page(viewer, typed, Some(fault.clone())).await?;
            again(&fault, &page)
        }
    }
}

/// Shows a subscription with the secret that was just made, this once.
async fn with_secret(viewer: &Viewer, id: &str, secret: &str) -> Result<Response, Fault> {
    let page = one_page(viewer, id).await?;
    let secret = secret.to_owned();
    once(&OnePage { secret, ..page })
}

async fn one(viewer: Viewer, Path(id): Path<String>) -> Result<Response, Fault> {
    show(&one_page(&viewer, &id).await?)
}

async fn one_page(viewer: &Viewer, id: &str) -> Result<OnePage, Fault> {
    let path = format!("/acquit/subscriptions/{}", part(id));
    let deliveries = format!("/acquit/deliveries?limit=10&subscription={}", part(id));
    let (subscription, deliveries) = tokio::try_join!(
        viewer.api.get::<Answer<Object<Subscription>>>(&path),
        viewer.api.get::<Listing<Object<Delivery>>>(&deliveries),
    )?;
    let subscription = subscription.data;
    Ok(OnePage {
        frame: frame(
            viewer,
            &format!("Notifications to {}", subscription.attributes.target),
        ),
        home: home(viewer),
        typed: known(&subscription.attributes),
        subscription,
        deliveries: deliveries.data,
        error: None,
        tested: None,
        secret: String::new(),
    })
}

fn known(it: &Subscription) -> Typed {
    let number = |number: Option<u64>| number.map(|it| it.to_string()).unwrap_or_default();
    let quiet = it.quiet.as_ref();
    let mut typed = Typed::of([
        ("pace", it.pace.pace.clone()),
        ("hour", number(it.pace.hour)),
        ("from", number(quiet.map(|it| it.from))),
        ("until", number(quiet.map(|it| it.until))),
        (
            "zone",
            quiet.and_then(|it| it.zone.clone()).unwrap_or_default(),
        ),
    ]);
    typed.all("kinds", it.kinds.iter().cloned());
    typed
}

/// Makes the part of an order that can be changed: of what, and when. `none` says that there are
/// no quiet hours.
fn times(posted: &Posted, none: Value) -> Result<Value, Fault> {
    let kinds: Vec<_> = posted.all("kinds").collect();
    let hour = |name: &str, what: &str| -> Result<Option<u64>, Fault> {
        let hour = number(posted.get(name), what)?;
        match hour {
            Some(24..) => Err(Fault::bad(format!("{what} is an hour from 0 to 23"))),
            hour => Ok(hour),
        }
    };
    let pace = match (posted.get("pace"), hour("hour", "the hour of the day")?) {
        ("daily", Some(hour)) => json!({ "pace": "daily", "hour": hour }),
        ("daily", None) => return Err(Fault::bad("say at which hour of the day, from 0 to 23")),
        _ => json!({ "pace": "immediate" }),
    };
    let from = hour("from", "the beginning of quiet hours")?;
    let until = hour("until", "the end of quiet hours")?;
    let quiet = match (from, until, posted.filled("zone")) {
        (None, None, _) => none,
        (Some(from), Some(until), zone) => {
            json!({ "from": from, "until": until, "zone": zone })
        }
        _ => return Err(Fault::bad("quiet hours need a beginning and an end")),
    };
    let mut order = json!({ "kinds": kinds, "pace": pace });
    if !quiet.is_null() {
        order["quiet"] = quiet;
    }
    Ok(order)
}

async fn edit(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let path = format!("/acquit/subscriptions/{}", part(&id));
    let changed = async {
        let order = times(&posted, json!(false))?;
        viewer.api.send((Method::PATCH, &path), &order).await
    };
    match changed.await {
        Ok(_) => Ok(go(&format!("{}/{}", home(viewer), part(&id)), "Saved.")),
        Err(fault) => {
            let page = one_page(viewer, &id).await?;
            let typed = Typed::posted(&posted, &FIELDS);
            refused(fault, OnePage { typed, ..page })
        }
    }
}

fn refused(fault: Fault, page: OnePage) -> Result<Response, Fault> {
    let error = Some(fault.clone());
    again(&fault, &OnePage { error, ..page })
}

async fn state(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let enabled = posted.get("enabled") == "yes";
    let path = format!("/acquit/subscriptions/{}", part(&id));
    let order = json!({ "enabled": enabled });
    match viewer.api.send((Method::PATCH, &path), &order).await {
        Ok(_) => {
            let saying = if enabled {
                "Switched on."
            } else {
                "Switched off."
            };
            Ok(go(&format!("{}/{}", home(viewer), part(&id)), saying))
        }
        Err(fault) => refused(fault, one_page(viewer, &id).await?),
    }
}

/// Tries a subscription; its page says what the other side said.
async fn test(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let path = format!("/acquit/subscriptions/{}/test", part(&id));
    let tested = viewer.api.post(&path, &json!({})).await;
    let page = one_page(viewer, &id).await?;
    match tested {
        Ok(answer) => {
            let at = &answer["data"]["attributes"];
            let outcome = at["outcome"].as_str().unwrap_or_default().to_owned();
            let tested = Some((at["result"] == "accepted", outcome));
            show(&OnePage { tested, ..page })
        }
        Err(fault) => refused(fault, page),
    }
}

async fn rotate(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let path = format!("/acquit/subscriptions/{}/rotate", part(&id));
    match viewer.api.post(&path, &json!({})).await {
        Ok(made) => {
            let secret = made["data"]["attributes"]["secret"].as_str();
            with_secret(viewer, &id, secret.unwrap_or_default()).await
        }
        Err(fault) => refused(fault, one_page(viewer, &id).await?),
    }
}

async fn remove(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let path = format!("/acquit/subscriptions/{}", part(&id));
    match viewer.api.send((Method::DELETE, &path), &json!({})).await {
        Ok(_) => Ok(go(home(viewer), "The subscription is removed.")),
        Err(fault) => refused(fault, one_page(viewer, &id).await?),
    }
}
