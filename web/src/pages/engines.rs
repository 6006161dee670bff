//! Engines: how they fare, their signature sets and updates, and the orders an administrator gives.

mod acts;
mod wire;
mod words;

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::{join, try_join};

use crate::Web;
use crate::backend::{Answer, Listing, Object, bytes, part, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::pages::items::verdict::day;
use crate::session::Viewer;
use crate::text;
use wire::{EngineAttributes, SetAttributes, UpdateAttributes};
use words::Age;

/// An engine and its id.
type Engine = Object<EngineAttributes>;
/// An update; its id has the engine's in it.
type Update = Object<UpdateAttributes>;
/// A signature set.
type Set = Object<SetAttributes>;

/// Most of an output that is shown; the whole can be downloaded.
const OUTPUT_BYTES: usize = 256 << 10;

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/engines", get(list))
        .route("/engines/{id}", get(engine))
        .route("/engines/{id}/order", post(acts::order))
        .route("/engines/{id}/sets/{set}", get(set))
        .route("/engines/{id}/updates/{number}", get(update))
}

#[derive(Template)]
#[template(path = "engines/list.html")]
struct List {
    frame: Frame,
    engines: Vec<Engine>,
    now: u64,
    ready: usize,
    taking_part: usize,
    queued: u64,
    stale: usize,
}

impl List {
    fn age(&self, engine: &EngineAttributes) -> Option<Age> {
        words::age(engine, self.now)
    }
}

async fn list(viewer: Viewer) -> Result<Response, Fault> {
    let engines: Listing<Engine> = viewer.api.get("/acquit/engines").await?;
    let (mut engines, now) = (engines.data, text::now());
    engines.sort_by_cached_key(|it| {
        let name = it.attributes.name.to_lowercase();
        (words::rank(&it.attributes, now), name)
    });
    let all = || engines.iter().map(|it| &it.attributes);
    let takes_part = |it: &&EngineAttributes| {
        !it.labeler && !matches!(it.state.as_str(), "disabled" | "needs-consent")
    };
    show(&List {
        ready: all().filter(takes_part).filter(|it| it.can_scan).count(),
        taking_part: all().filter(takes_part).count(),
        queued: all().map(EngineAttributes::queued).sum(),
        stale: all()
            .filter(|it| words::age(it, now).is_some_and(|age| age.is_stale))
            .count(),
        frame: Frame::new(&viewer, "Engines", "engines"),
        engines,
        now,
    })
}

/// Which page of a list.
#[derive(Debug, Deserialize)]
struct Paging {
    #[serde(default)]
    sets: String,
    #[serde(default)]
    updates: String,
}

#[derive(Template)]
#[template(path = "engines/engine.html")]
struct Page {
    frame: Frame,
    id: String,
    engine: EngineAttributes,
    state: words::State,
    age: Option<Age>,
    sets: Listing<Set>,
    updates: Listing<Update>,
    next_sets: String,
    next_updates: String,
    first: String,
}

impl Page {
    fn topics(&self) -> Vec<Topic<'_>> {
        by_topic(&self.engine.probe)
    }

    fn failed_checks(&self) -> usize {
        self.engine.probe.iter().filter(|it| !it.held).count()
    }

    /// Returns the day on which its license ends.
    fn license_day(&self) -> Option<String> {
        day(self.engine.versions.as_ref()?.license_expires.as_deref()?)
    }

    /// Returns the date of its signatures in its own words.
    fn signatures_day(&self) -> Option<String> {
        day(self.engine.versions.as_ref()?.signatures_date.as_deref()?)
    }
}

/// Checks of what one thing is about: `network.tcp` is about the network.
#[derive(Debug)]
struct Topic<'a> {
    name: &'a str,
    /// Whether the sandbox held against all of them.
    held: bool,
    /// By their names without the topic's.
    checks: Vec<(&'a str, &'a wire::Check)>,
}

fn by_topic(checks: &[wire::Check]) -> Vec<Topic<'_>> {
    let mut topics: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for check in checks {
        let (topic, name) = check
            .name
            .split_once('.')
            .unwrap_or((&check.name, &check.name));
        topics.entry(topic).or_default().push((name, check));
    }
    let topics = topics.into_iter().map(|(name, checks)| Topic {
        name,
        held: checks.iter().all(|(_, check)| check.held),
        checks,
    });
    topics.collect()
}

async fn engine(
    viewer: Viewer,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, Fault> {
    let at = format!("/acquit/engines/{}", part(&id));
    let of = |list: &str, cursor: &str| {
        format!(
            "{at}/{list}{}",
            query([("limit", "20"), ("cursor", cursor)])
        )
    };
    let (sets, updates) = (
        of("signature_sets", &paging.sets),
        of("updates", &paging.updates),
    );
    let api = &viewer.api;
    let (engine, sets, updates) = try_join!(
        api.get::<Answer<Engine>>(&at),
        api.get::<Listing<Set>>(&sets),
        api.get::<Listing<Update>>(&updates),
    )?;
    let engine = engine.data.attributes;
    let here = format!("/engines/{}", part(&id));
    let next = |name: &str, cursor: Option<&str>| match cursor {
        Some(cursor) => format!("{here}{}#{name}", query([(name, cursor)])),
        None => String::new(),
    };
    let is_first = paging.sets.is_empty() && paging.updates.is_empty();
    show(&Page {
        frame: Frame::new(&viewer, engine.name.clone(), "engines"),
        state: words::engine(&engine.state),
        age: words::age(&engine, text::now()),
        next_sets: next("sets", sets.cursor()),
        next_updates: next("updates", updates.cursor()),
        first: if is_first { String::new() } else { here },
        id,
        engine,
        sets,
        updates,
    })
}

#[derive(Template)]
#[template(path = "engines/set.html")]
struct SetPage {
    frame: Frame,
    id: String,
    name: String,
    set: Set,
    state: words::State,
}

async fn set(viewer: Viewer, Path((id, set)): Path<(String, String)>) -> Result<Response, Fault> {
    let at = format!("/acquit/engines/{}", part(&id));
    let path = format!("{at}/signature_sets/{}", part(&set));
    let api = &viewer.api;
    let (engine, set) = try_join!(
        api.get::<Answer<Engine>>(&at),
        api.get::<Answer<Set>>(&path)
    )?;
    let (name, set) = (engine.data.attributes.name, set.data);
    show(&SetPage {
        frame: Frame::new(&viewer, format!("Signature set {}", set.id), "engines"),
        state: words::set(&set.attributes.state),
        name,
        id,
        set,
    })
}

#[derive(Template)]
#[template(path = "engines/update.html")]
struct UpdatePage {
    frame: Frame,
    id: String,
    engine: EngineAttributes,
    update: UpdateAttributes,
    state: words::State,
    /// What the update command printed, or nothing if that is not kept or not there yet.
    output: Option<Output>,
    raw: String,
}

impl UpdatePage {
    /// Tells whether its command may still print.
    fn is_live(&self) -> bool {
        self.update.end_date.is_none() && !self.update.has_output
    }
}

/// What an update command printed.
#[derive(Debug, PartialEq, Eq)]
struct Output {
    text: String,
    /// Whether there is more of it before what is shown.
    is_cut: bool,
}

impl Output {
    /// Makes a text of bytes; of a long one the end, which says how it ended.
    fn of(bytes: &[u8]) -> Self {
        let from = bytes.len().saturating_sub(OUTPUT_BYTES);
        Self {
            text: String::from_utf8_lossy(&bytes[from..]).into_owned(),
            is_cut: from > 0,
        }
    }
}

async fn update(
    viewer: Viewer,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let at = format!("/acquit/engines/{}", part(&id));
    let path = format!("{at}/updates/{}", part(&number));
    let raw = format!("{path}/output");
    let api = &viewer.api;
    let (engine, update, output) = join!(
        api.get::<Answer<Engine>>(&at),
        api.get::<Answer<Update>>(&path),
        output(&viewer, &raw),
    );
    let (engine, update) = (engine?.data.attributes, update?.data.attributes);
    show(&UpdatePage {
        frame: Frame::new(
            &viewer,
            format!("Update {} of {}", update.number, engine.name),
            "engines",
        ),
        state: words::update(&update),
        output: output?,
        id,
        engine,
        update,
        raw,
    })
}

/// Reads what an update command printed; nothing while there is none.
async fn output(viewer: &Viewer, path: &str) -> Result<Option<Output>, Fault> {
    let response = viewer.api.ask((Method::GET, path), Body::empty()).await?;
    let status = response.status();
    let body = bytes(response).await?;
    match status.as_u16() {
        404 => Ok(None),
        _ if status.is_success() => Ok(Some(Output::of(&body))),
        _ => Err(crate::backend::failure(status, &body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_shown_by_what_they_are_about() {
        let check = |name: &str, held| wire::Check {
            name: name.to_owned(),
            held,
            seen: String::new(),
        };
        let checks = [
            check("network.tcp", true),
            check("request", true),
            check("network.udp", false),
        ];
        let topics = by_topic(&checks);
        let seen = topics.iter().map(|topic| {
            let names: Vec<_> = topic.checks.iter().map(|(name, _)| *name).collect();
            (topic.name, topic.held, names)
        });
        let expected = [
            ("network", false, vec!["tcp", "udp"]),
            ("request", true, vec!["request"]),
        ];
        assert_eq!(seen.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn of_a_long_output_the_end_is_shown() {
        let short = Output::of(b"exit: 0\n\xff");
        assert_eq!((&*short.text, short.is_cut), ("exit: 0\n\u{fffd}", false));
        let mut long = vec![b'a'; OUTPUT_BYTES];
        long.extend(b"end");
        let long = Output::of(&long);
        assert!(long.is_cut && long.text.ends_with("aend"));
        assert_eq!(long.text.len(), OUTPUT_BYTES);
    }
}
