//! What of the store's news may be told to whom, and how it looks on the wire.

use std::collections::BTreeSet;

use axum::response::sse::Event;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use crate::flow::notify;
use crate::http::auth::Caller;
use crate::http::events::concerns;
use crate::model::{AnalysisId, AnalysisStatus, Audience, EngineTable, Priority, Timestamp};
use crate::store::{DISPUTES, EVENTS, INCIDENTS, News, Store, StoreError};

/// Most hints of one moment that are told one by one; of more it is only told that there are.
const MOST: usize = 200;
/// Last events that are looked at in place of hints that were lost.
const LAST: usize = 500;

/// What came up in a moment, each once.
#[derive(Debug, Default)]
pub struct Hints {
    news: BTreeSet<News>,
    /// Whether some were lost.
    pub lagged: bool,
    /// Whether engines changed.
    pub engines: bool,
}

impl Hints {
    /// Adds one.
    pub fn add(&mut self, news: News) {
        self.news.insert(news);
    }

    /// Adds all that wait.
    pub fn drain(&mut self, waiting: &mut Receiver<News>) {
        // Those that come meanwhile are for the next time.
        for _ in 0..waiting.len() {
            match waiting.try_recv() {
                Ok(news) => self.add(news),
                Err(TryRecvError::Lagged(_)) => self.lagged = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
    }

    /// Returns what of it the caller, who is no vendor, is told.
    ///
    /// # Errors
    /// If the store fails.
    pub fn tell(&self, store: &Store, caller: &Caller) -> Result<Vec<Event>, StoreError> {
        let mut told = Vec::new();
        let mut lagged = self.lagged;
        for news in &self.news {
            if told.len() >= MOST {
                lagged = true;
                break;
            }
            told.extend(match news {
                News::Analysis(id) => analysis(store, caller, id)?,
                News::Event(number) => happened(store, caller, *number)?,
                News::Incident(number) => incident(store, caller, *number)?,
                News::Dispute(number) => dispute(store, caller, *number)?,
                News::Update(engine, number) => {
                    let data = json!({ "engine": engine, "number": number });
                    Some(event("update", &data))
                }
                News::Rescan(number) => Some(event("rescan", &json!({ "number": number }))),
                News::Keys => None,
            });
        }
        if lagged {
            told.push(event("lagged", &json!({})));
        }
        Ok(told)
    }

    /// Tells whether some of it is such that the vendor the caller speaks for would be notified.
    ///
    /// Of hints that were lost it only counts what they were of, since `since`: a vendor learns not
    /// even how much goes on here.
    ///
    /// # Errors
    /// If the store fails.
    pub fn concern_vendor(
        &self,
        store: &Store,
        caller: &Caller,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let Ok(vendor) = caller.vendor() else {
            return Ok(false);
        };
        let audience = Audience::Vendor(vendor.clone());
        let mut events = Vec::new();
        for news in &self.news {
            if let News::Event(number) = news {
                events.extend(store.get(&EVENTS, number)?);
            }
        }
        if self.lagged {
            let last = store.list_back(&EVENTS, (&[], None), LAST)?.rows;
            let last = last.into_iter().map(|(_, event)| event);
            events.extend(last.filter(|event| event.at >= since));
        }
        for event in events {
            if notify::tell(store, &event, &audience)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Returns the hint that an analysis is further. The night has so many that their answers are not
/// told one by one.
fn analysis(store: &Store, caller: &Caller, id: &AnalysisId) -> Result<Option<Event>, StoreError> {
    if !caller.sees_blob(store, &id.sha256)? {
        return Ok(None);
    }
    let Some(row) = store.analysis(id)? else {
        return Ok(None);
    };
    let status = row.status();
    if row.priority == Priority::Nightly && status != AnalysisStatus::Completed {
        return Ok(None);
    }
    let engines = row.engines.len();
    let data = json!({
        "id": id.to_string(), "sha256": id.sha256, "status": status.as_str(),
        "answered": engines - row.pending.len(), "engines": engines,
    });
    Ok(Some(event("analysis", &data)))
}

/// Returns the hint that something happened.
fn happened(store: &Store, caller: &Caller, number: u64) -> Result<Option<Event>, StoreError> {
    let row = store.get(&EVENTS, &number)?;
    let row = row.filter(|row| concerns(caller, row));
    Ok(row.map(|row| {
        let data = json!({
            "number": number, "kind": row.kind.as_str(),
            "incident": row.about.incident, "engine": row.engine,
        });
        event("event", &data)
    }))
}

/// Returns the hint that an incident is another: a note of a colleague's is no event.
fn incident(store: &Store, caller: &Caller, number: u64) -> Result<Option<Event>, StoreError> {
    let row = store.get(&INCIDENTS, &number)?;
    let row = row.filter(|row| caller.may_see(&row.publisher));
    Ok(row.map(|_| event("incident", &json!({ "incident": number }))))
}

/// Returns the hint that a dispute is another, by its incident: one that waits is no event.
fn dispute(store: &Store, caller: &Caller, number: u64) -> Result<Option<Event>, StoreError> {
    match store.get(&DISPUTES, &number)? {
        Some(row) => incident(store, caller, row.incident),
        None => Ok(None),
    }
}

/// Returns the hints that engines are not as they were.
pub fn engines(before: &EngineTable, after: &EngineTable) -> Vec<Event> {
    let other = after
        .iter()
        .filter(|(id, now)| before.get(*id) != Some(now));
    other
        .map(|(id, _)| event("engine", &json!({ "engine": id })))
        .collect()
}

/// Makes an event of a name and what it says.
pub fn event(name: &'static str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
