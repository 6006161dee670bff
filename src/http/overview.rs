//! What a dashboard shows of one collection, or of all, in one answer that is quick to give.
//!
//! Most of it is read off rows that are always right. What only a walk over everything tells is
//! counted behind the request's back ([`Lately`]), so it says as of when it is, and is absent
//! until it was counted once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::access::{Area, READERS, Rule, rule};
use super::auth::Caller;
use super::envelope::{Answer, Base, Links, Object};
use super::error::{ApiError, ErrorBody};
use super::incidents::view::{IncidentAttributes, View};
use super::{App, now};
use crate::flow::incident::find::Wanted;
use crate::flow::lately::{self, Lately, LatelyBy};
use crate::flow::overview::{self, Cases, Figures, Held};
use crate::flow::statistics::{self, date};
use crate::model::{DetectionChange, EngineId, IncidentState, PublisherId, Quota, Timestamp};
use crate::store::{INCIDENTS, PUBLISHERS, Store};

/// How long a request waits for figures that are being counted; longer than [`Lately`] calls quick.
const PATIENCE: Duration = Duration::from_millis(30);
/// How long a request waits that has nothing to say without its figures.
const PATIENCE_FIXES: Duration = Duration::from_secs(10);
/// Publishers whose figures on fixes are kept.
const PUBLISHERS_KEPT: usize = 1000;
/// Entries of each list of the top ones.
const TOP: usize = 10;
/// Days that are shown.
const DAYS: u64 = 30;
/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[rule("GET", "/acquit/overview", READERS)];

#[derive(OpenApi)]
#[openapi(paths(show))]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new().route("/acquit/overview", get(show))
}

/// What was counted last, of all publishers.
#[derive(Debug)]
pub struct Counts {
    held: Lately<Figures<Held>>,
    cases: Lately<Figures<Cases>>,
    fixes: LatelyBy<Option<PublisherId>, Fixes>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            held: Lately::default(),
            cases: Lately::default(),
            fixes: LatelyBy::new(PUBLISHERS_KEPT, lately::QUICK),
        }
    }
}

/// How long engines take to fix, and whether older incidents were left out.
type Fixes = (BTreeMap<EngineId, statistics::Fixes>, bool);

type Counted = (Option<Arc<Figures<Held>>>, Option<Arc<Figures<Cases>>>);

impl Counts {
    /// Returns what is counted, as new as is to be had within a moment.
    pub async fn get(
        &self,
        (store, shutdown): (&Store, &CancellationToken),
        patience: Duration,
    ) -> Counted {
        let (reading, ends) = (store.clone(), shutdown.clone());
        let held = move || overview::held(&reading, now(), &|| ends.is_cancelled());
        let (reading, ends) = (store.clone(), shutdown.clone());
        let cases = move || overview::cases(&reading, now(), &|| ends.is_cancelled());
        tokio::join!(
            self.held.get(held, patience),
            self.cases.get(cases, patience)
        )
    }

    /// Returns how long fixes take in a publisher's collection, or in all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn fixes(
        &self,
        store: &Store,
        publisher: Option<PublisherId>,
    ) -> Result<Arc<Fixes>, ApiError> {
        let lately = self.fixes.of(&publisher);
        let (store, wanted) = (
            store.clone(),
            Wanted {
                publisher,
                ..Wanted::default()
            },
        );
        let make = move || statistics::fixes(&store, &wanted, now()).map(Some);
        let fixes = lately.get(make, PATIENCE_FIXES).await;
        fixes.ok_or_else(|| ApiError::unavailable("fixes are still being counted"))
    }
}

/// Whose overview.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OverviewQuery {
    /// The publisher; the key's own if absent, and all for a key that sees all.
    owner: Option<String>,
}

/// How collections fare. A comment with `filter=` names the list that has what is counted.
#[derive(Debug, Serialize, ToSchema)]
pub struct OverviewAttributes {
    /// Whose; `null` for all publishers together.
    owner: Option<String>,
    storage: Storage,
    engines: Answering,
    changes: Changes,
    /// `null` until it was counted once.
    collection: Option<CollectionFigures>,
    /// `null` until it was counted once.
    incidents: Option<IncidentFigures>,
}

/// What is kept, and may be; `/acquit/collection` has the same.
#[derive(Debug, Serialize, ToSchema)]
pub struct Storage {
    /// Bytes of items, their history and the trash.
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_allowed: Option<u64>,
    /// Files, also those in the trash.
    files: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    files_allowed: Option<u64>,
}

/// How many engines answer; `/acquit/engines` lists them.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answering {
    /// Engines that would scan a file now.
    answering: usize,
    /// Engines that are asked about files.
    enabled: usize,
}

/// Contents whose detections changed since the day before began, UTC. Each content counts once,
/// at however many places it is: `/monitor/items?filter=tag:<the name with hyphens>`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changes {
    /// None before, some now: `tag:new-detections`.
    new_detections: u64,
    /// `tag:increasing-detections`.
    increasing_detections: u64,
    /// `tag:decreasing-detections`.
    decreasing_detections: u64,
    /// `tag:swapped-detections`.
    swapped_detections: u64,
    /// `tag:solved-detections`.
    solved_detections: u64,
}

/// How much is held, looked at and detected. Items are those that point at a file; the lists are
/// those of `/monitor/items?recursive=true`.
#[derive(Debug, Serialize, ToSchema)]
pub struct CollectionFigures {
    /// When it was counted.
    as_of: u64,
    /// `filter=is:file`.
    items: u64,
    /// Different contents of these.
    files: u64,
    /// Within the day before `as_of`: `filter=after:<rescanned_after>`.
    items_rescanned: u64,
    /// Different contents of these.
    files_rescanned: u64,
    /// A day before `as_of`.
    rescanned_after: u64,
    /// `filter=is:unscanned`.
    items_unscanned: u64,
    /// `filter=is:detected`.
    items_detected: u64,
    /// Those that detect most items now.
    top_engines: Vec<EngineCount>,
    /// Names under which most items are detected now.
    top_detections: Vec<DetectionCount>,
}

/// Items that an engine detects.
#[derive(Debug, Serialize, ToSchema)]
pub struct EngineCount {
    /// The engine's id.
    engine: String,
    /// Its display name.
    name: String,
    /// `filter=engine:<id>`.
    items: u64,
}

/// Items that are detected under a name.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetectionCount {
    /// The name, as engines print it.
    detection: String,
    /// `filter=detection:<name>`, which also has longer names that it is a part of.
    items: u64,
}

/// How incidents come and go; the lists are those of `/acquit/incidents`.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncidentFigures {
    /// When they were counted.
    as_of: u64,
    /// How many are in each state, by its name: `filter=state:<name>`.
    states: BTreeMap<&'static str, u64>,
    /// Those that are not over: `filter=state:open state:notified state:acknowledged`.
    live: u64,
    /// `filter=overdue:true`.
    overdue: u64,
    /// The last thirty days, today last. One that was solved more than once counts where it was
    /// last; no list has these.
    days: Vec<DayFigures>,
    /// Those that are not over and were opened first.
    oldest: Vec<Object<IncidentAttributes>>,
}

/// What became of incidents on a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayFigures {
    /// `YYYY-MM-DD`, UTC.
    date: String,
    /// Opened, or opened again.
    opened: u64,
    /// Solved by a newer signature set or version.
    solved: u64,
}

/// Shows how a publisher's collection fares, or all.
#[utoipa::path(
    get, path = "/api/v3/acquit/overview", tag = "monitor", params(OverviewQuery),
    responses(
        (status = 200, body = Answer<Object<OverviewAttributes>>),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<OverviewQuery>,
    base: Base,
) -> Result<Json<Answer<Object<OverviewAttributes>>>, ApiError> {
    let owner = query.owner.as_deref().filter(|owner| !owner.is_empty());
    let publisher = match owner {
        None if caller.sees_all() => None,
        named => Some(caller.publisher(named)?),
    };
    let quota = quota(&app.api.store, publisher.as_ref())?;
    let (held, cases) = app
        .overview
        .get((&app.api.store, &app.shutdown), PATIENCE)
        .await;
    let held = held.map(|held| collection(&app, (&held.of(publisher.as_ref()), held.as_of)));
    let view = View::new(&app, &base);
    let cases = cases.map(|cases| incidents(&view, (&cases.of(publisher.as_ref()), cases.as_of)));
    let this = match &publisher {
        Some(publisher) => format!("/acquit/overview?owner={publisher}"),
        None => "/acquit/overview".to_owned(),
    };
    let data = Object {
        kind: "overview",
        id: publisher
            .as_ref()
            .map_or("all", |it| it.as_str())
            .to_owned(),
        links: Links::to(base.url(&this)),
        attributes: OverviewAttributes {
            storage: storage(&app.api.store, (publisher.as_ref(), quota))?,
            engines: answering(&app),
            changes: changes(&app.api.store, publisher.as_ref())?,
            owner: publisher.map(String::from),
            collection: held,
            incidents: cases.transpose()?,
        },
    };
    Ok(Json(Answer { data }))
}

/// Returns what a publisher may keep; there is no limit to all together.
fn quota(store: &Store, publisher: Option<&PublisherId>) -> Result<Quota, ApiError> {
    let Some(publisher) = publisher else {
        return Ok(Quota::default());
    };
    let row = store.get(&PUBLISHERS, publisher)?;
    let row = row.ok_or_else(|| {
        let name = publisher.as_str();
        ApiError::not_found(format!("publisher {name:?} not found"))
    })?;
    Ok(row.quota)
}

fn storage(
    store: &Store,
    (publisher, quota): (Option<&PublisherId>, Quota),
) -> Result<Storage, ApiError> {
    let usage = overview::usage(store, publisher)?;
    Ok(Storage {
        bytes: usage.bytes,
        bytes_allowed: quota.bytes,
        files: usage.files,
        files_allowed: quota.files,
    })
}

fn answering(app: &App) -> Answering {
    let table = app.api.engines.borrow();
    let asked = table.values().filter(|status| !status.labeler);
    let asked = asked.filter(|status| status.state.takes_part());
    Answering {
        answering: asked.clone().filter(|status| status.can_scan()).count(),
        enabled: asked.count(),
    }
}

fn changes(store: &Store, publisher: Option<&PublisherId>) -> Result<Changes, ApiError> {
    let tags = overview::tags(store, publisher)?;
    let count = |kind: DetectionChange| tags.get(kind.tag()).copied().unwrap_or(0);
    Ok(Changes {
        new_detections: count(DetectionChange::New),
        increasing_detections: count(DetectionChange::Increasing),
        decreasing_detections: count(DetectionChange::Decreasing),
        swapped_detections: count(DetectionChange::Swapped),
        solved_detections: count(DetectionChange::Solved),
    })
}

fn collection(app: &App, (held, as_of): (&Held, Timestamp)) -> CollectionFigures {
    let table = app.api.engines.borrow();
    let engines = top(&held.engines).map(|(engine, items)| EngineCount {
        engine: engine.to_string(),
        name: table
            .get(engine)
            .map_or_else(|| engine.to_string(), |status| status.name.clone()),
        items,
    });
    let names = top(&held.names).map(|(name, items)| DetectionCount {
        detection: name.clone(),
        items,
    });
    CollectionFigures {
        as_of: as_of.seconds(),
        items: held.items,
        files: held.files,
        items_rescanned: held.items_rescanned,
        files_rescanned: held.files_rescanned,
        rescanned_after: as_of.seconds().saturating_sub(DAY / 1000),
        items_unscanned: held.items_unscanned,
        items_detected: held.items_detected,
        top_engines: engines.collect(),
        top_detections: names.collect(),
    }
}

fn top<K: Ord>(counts: &BTreeMap<K, u64>) -> impl Iterator<Item = (&K, u64)> {
    let mut counts: Vec<_> = counts.iter().map(|(key, count)| (key, *count)).collect();
    // Among equals the order of the keys stays.
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().take(TOP)
}

fn incidents(
    view: &View<'_>,
    (cases, as_of): (&Cases, Timestamp),
) -> Result<IncidentFigures, ApiError> {
    let count = |state: IncidentState| cases.states.get(&state).copied().unwrap_or(0);
    let states = IncidentState::ALL.into_iter();
    let live = states.clone().filter(|state| state.is_live());
    let today = overview::day(view.now);
    let days = (today.saturating_sub(DAYS - 1)..=today).map(|day| {
        let figures = cases.days.get(&day).copied().unwrap_or_default();
        DayFigures {
            date: date(Timestamp::from_millis(day * DAY)),
            opened: figures.opened,
            solved: figures.solved,
        }
    });
    let mut oldest = Vec::new();
    for id in &cases.oldest {
        let incident = view.app.api.store.get(&INCIDENTS, id)?;
        // One may be over that was not when they were counted.
        if let Some(incident) = incident.filter(|incident| incident.state.is_live()) {
            oldest.push(view.object(incident)?);
        }
    }
    Ok(IncidentFigures {
        as_of: as_of.seconds(),
        live: live.map(count).sum(),
        states: states.map(|state| (state.as_str(), count(state))).collect(),
        overdue: cases.overdue,
        days: days.collect(),
        oldest,
    })
}
