//! The start of administration: each part with how it stands.

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;

use super::keys::Key;
use super::ledger::Line;
use super::parties::{self, MOST};
use super::rescans::Rescan;
use crate::Web;
use crate::backend::{Client, Listing, Object};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::Viewer;
use crate::text;

/// The route.
pub fn routes() -> Router<Web> {
    Router::new().route("/admin", get(page))
}

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct Page {
    frame: Frame,
    cards: Vec<Part>,
}

/// One part of administration.
struct Part {
    href: &'static str,
    icon: &'static str,
    name: &'static str,
    /// What is there, in a figure.
    figure: String,
    /// What the figure counts, and what else is to be known.
    note: String,
    /// What needs somebody.
    alarm: String,
    /// When what the note tells of happened.
    at: Option<u64>,
}

impl Part {
    fn new(href: &'static str, icon: &'static str, name: &'static str) -> Self {
        Self {
            href,
            icon,
            name,
            figure: String::new(),
            note: String::new(),
            alarm: String::new(),
            at: None,
        }
    }

    fn says(self, figure: String, note: impl Into<String>) -> Self {
        let note = note.into();
        Self {
            figure,
            note,
            ..self
        }
    }

    fn warns(self, warned: bool, alarm: impl Into<String>) -> Self {
        let alarm = if warned { alarm.into() } else { String::new() };
        Self { alarm, ..self }
    }

    fn at(self, at: Option<u64>) -> Self {
        Self { at, ..self }
    }
}

async fn page(viewer: Viewer) -> Result<Response, Fault> {
    let api = &viewer.api;
    let (taking_part, told, done) = tokio::try_join!(taking_part(api), told(api), done(api))?;
    let cards = taking_part.into_iter().chain(told).chain(done).collect();
    let frame = Frame::new(&viewer, "Administration", "admin");
    show(&Page { frame, cards })
}

async fn taking_part(api: &Client) -> Result<Vec<Part>, Fault> {
    let (publishers, vendors, people, keys) = tokio::try_join!(
        parties::publishers(api),
        parties::vendors(api),
        api.every::<Value>("/acquit/users", MOST),
        api.every::<Key>("/acquit/keys", MOST),
    )?;
    let bytes = publishers.iter().map(|it| it.attributes.used_bytes).sum();
    let full = publishers
        .iter()
        .filter(|it| it.attributes.percent() >= Some(90));
    let full = full.count();
    let off = |it: &&Object<Value>| it.attributes["disabled_date"].is_u64();
    let off = people.0.iter().filter(off).count();
    let active = keys.0.iter().filter(|key| key.attributes.is_active());
    let (sessions, lasting): (Vec<_>, Vec<_>) = active.partition(|key| key.attributes.is_session());
    let engines: usize = vendors.iter().map(|it| it.attributes.engines.len()).sum();
    Ok(vec![
        Part::new("/admin/publishers", "folder", "Publishers")
            .says(
                count(publishers.len(), false),
                format!("{} kept", text::bytes(&bytes)),
            )
            .warns(full > 0, format!("{full} at 90 % of a quota or more")),
        Part::new("/admin/users", "people", "People").says(
            count(people.0.len(), people.1),
            format!("{} disabled", some(off)),
        ),
        Part::new("/admin/keys", "key", "API keys").says(
            count(lasting.len(), keys.1),
            format!("active, and {} sessions open", sessions.len()),
        ),
        Part::new("/admin/vendors", "vendor", "Vendors").says(
            count(vendors.len(), false),
            format!("with {engines} engines between them"),
        ),
    ])
}

#[derive(Deserialize)]
struct Told {
    disabled_date: Option<u64>,
}

async fn told(api: &Client) -> Result<Vec<Part>, Fault> {
    let (subscriptions, failed, engines) = tokio::try_join!(
        api.every::<Told>("/acquit/subscriptions", MOST),
        api.get::<Listing<Object<Value>>>("/acquit/deliveries?state=failed&limit=10"),
        parties::engines(api),
    )?;
    let off = subscriptions.0.iter();
    let off = off
        .filter(|it| it.attributes.disabled_date.is_some())
        .count();
    let signatures = engines
        .iter()
        .filter_map(|it| it.attributes.signatures.as_ref());
    let failing = signatures.clone().filter(|it| it.failures > 0).count();
    let held = signatures.clone().filter(|it| it.held).count();
    let next = signatures
        .clone()
        .filter_map(|it| it.next_update_date)
        .min();
    let due = if next.is_some() {
        "the next update is due"
    } else {
        "no update is due"
    };
    Ok(vec![
        Part::new("/admin/notifications", "bell", "Notifications")
            .says(
                count(subscriptions.0.len(), false),
                format!("subscriptions, {} switched off", some(off)),
            )
            .warns(!failed.data.is_empty(), "Deliveries were given up"),
        Part::new("/admin/schedule", "clock", "Schedule")
            .says(
                count(signatures.count(), false),
                format!("engines with signatures, {} held; {due}", some(held)),
            )
            .at(next)
            .warns(failing > 0, format!("{failing} cannot be updated")),
    ])
}

async fn done(api: &Client) -> Result<Vec<Part>, Fault> {
    let (rescans, lines, events) = tokio::try_join!(
        api.get::<Listing<Object<Rescan>>>("/acquit/rescans?limit=1"),
        api.get::<Listing<Object<Line>>>("/acquit/ledger?limit=1"),
        api.get::<Listing<Object<super::events::Event>>>("/acquit/events?limit=1"),
    )?;
    let rescan = rescans.data.first().map(|it| &it.attributes);
    let (figure, note) = match rescan {
        Some(it) if it.end_date.is_none() => (it.percent_text(), "of the newest is done"),
        Some(_) => ("Complete".to_owned(), "the newest began"),
        None => ("None".to_owned(), "nothing was scanned again so far"),
    };
    let line = lines.data.first();
    let event = events.data.first();
    let lines = line.map_or_else(|| "0".to_owned(), |it| super::ledger::numbered(&it.id));
    Ok(vec![
        Part::new("/admin/rescans", "rescan", "Rescans")
            .says(figure, note)
            .at(rescan.map(|it| it.start_date)),
        Part::new("/admin/ledger", "book", "Ledger")
            .says(lines, "lines, the last of them written")
            .at(line.map(|it| it.attributes.date)),
        Part::new("/admin/events", "list", "Events")
            .says(
                event.map_or("None", |_| "").to_owned(),
                event.map_or("nothing has happened so far", |it| {
                    it.attributes.text.as_str()
                }),
            )
            .at(event.map(|it| it.attributes.date)),
    ])
}

/// Writes how many there are of what there is mostly none of.
fn some(number: usize) -> String {
    match number {
        0 => "none".to_owned(),
        number => text::count(&(number as u64)),
    }
}

fn count(number: usize, more: bool) -> String {
    let shown = text::count(&(number as u64));
    if more { format!("{shown}+") } else { shown }
}
