//! Finds incidents, newest or oldest first.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use crate::model::{
    DetectionName, EngineId, Incident, IncidentState, ItemPath, PublisherId, Timestamp,
};
use crate::store::{
    BLOB_ITEMS, INCIDENT_INDEX, INCIDENTS, Read, RowKey, Store, StoreError, Table,
    blob_items_prefix, tag_prefix,
};

/// Incidents read at a time.
const STEP: usize = 200;
/// Items of a publisher with the same blob that are looked at.
const ITEMS: usize = 1000;

/// Which incidents are looked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// In whose collection; in any if nothing.
    pub publisher: Option<PublisherId>,
    /// In one of these states; in any if none.
    pub states: BTreeSet<IncidentState>,
    /// Of one of these engines; of any if none.
    pub engines: BTreeSet<EngineId>,
    /// Looked after by him.
    pub owner: Option<String>,
    /// At this path, or below it if it is a folder's.
    pub path: Option<ItemPath>,
    /// Not over, though the deadline has passed at that time.
    pub overdue_at: Option<Timestamp>,
    /// Under this name.
    pub detection: Option<Named>,
    /// Opened, or opened again the last time, within these days.
    pub opened: Days,
    /// Over since one of these days.
    pub closed: Days,
    /// Which come first.
    pub order: Order,
}

/// Which incidents come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those that were opened last.
    #[default]
    Newest,
    /// Those that were opened first.
    Oldest,
}

/// Which detection names are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// This one.
    Exactly(String),
    /// Those with this in them, in lower case.
    With(String),
}

impl Named {
    fn fits(&self, name: &DetectionName) -> bool {
        match self {
            Self::Exactly(whole) => name.as_str() == whole,
            Self::With(part) => name.as_str().to_lowercase().contains(part),
        }
    }
}

/// A span of time; nothing is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// Then or later.
    pub from: Option<Timestamp>,
    /// Before that.
    pub end: Option<Timestamp>,
}

impl Days {
    fn are_all(&self) -> bool {
        self.from.is_none() && self.end.is_none()
    }

    fn have(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.end.is_none_or(|end| at < end)
    }
}

impl Wanted {
    /// Tells whether an incident is one of these.
    ///
    /// # Errors
    /// If the store fails.
    pub fn fits(&self, read: &impl Read, incident: &Incident) -> Result<bool, StoreError> {
        let late = |at: Timestamp| {
            incident.state.is_live() && incident.deadline.is_some_and(|deadline| deadline < at)
        };
        let fits = self
            .publisher
            .as_ref()
            .is_none_or(|it| *it == incident.publisher)
            && (self.states.is_empty() || self.states.contains(&incident.state))
            && (self.engines.is_empty() || self.engines.contains(&incident.engine))
            && (self.owner.is_none() || self.owner == incident.owner)
            && self.overdue_at.is_none_or(late)
            && self.fits_days(incident)
            && self
                .detection
                .as_ref()
                .is_none_or(|named| named.fits(&incident.detection));
        match &self.path {
            Some(path) if fits => is_at(read, incident, path),
            _ => Ok(fits),
        }
    }

    /// Counts as figures do: the first time it was opened, and the last; and when it was over, if it
    /// is.
    fn fits_days(&self, incident: &Incident) -> bool {
        let opened = self.opened.have(incident.opened_at)
            || (incident.reopened_count > 0 && self.opened.have(incident.reopened_at));
        let closed = || !incident.state.is_live() && self.closed.have(incident.state_at);
        opened && (self.closed.are_all() || closed())
    }

    fn takes(&self, state: IncidentState) -> bool {
        (self.states.is_empty() || self.states.contains(&state))
            && (self.closed.are_all() || !state.is_live())
    }

    /// Reads incidents behind the one numbered `after` that fit, until one step of them is read;
    /// returns where to go on.
    ///
    /// # Errors
    /// If the store fails.
    pub fn step(
        &self,
        store: &Store,
        after: Option<u64>,
    ) -> Result<(Vec<Incident>, Option<u64>), StoreError> {
        let (read, next) = self.read(store, after)?;
        let mut found = Vec::new();
        for incident in read {
            if self.fits(store, &incident)? {
                found.push(incident);
            }
        }
        Ok((found, next))
    }

    /// Reads one step of incidents behind the one numbered `after`, whether they fit or not, and
    /// where to go on.
    ///
    /// # Errors
    /// If the store fails.
    pub fn read(
        &self,
        store: &Store,
        after: Option<u64>,
    ) -> Result<(Vec<Incident>, Option<u64>), StoreError> {
        let read = match &self.publisher {
            Some(publisher) => self.of_publisher(store, publisher, after)?,
            None => {
                let rows = self.rows(store, (&INCIDENTS, &[]), after)?;
                rows.into_iter().map(|(_, incident)| incident).collect()
            }
        };
        let next = (read.len() == STEP).then(|| read.last().map(|incident| incident.id));
        Ok((read, next.flatten()))
    }

    /// Reads a step of rows whose keys end with an incident's number.
    fn rows<K: RowKey, V: DeserializeOwned>(
        &self,
        store: &Store,
        (table, prefix): (&Table<K, V>, &[u8]),
        after: Option<u64>,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let key = |id: u64| [prefix, &id.to_be_bytes()].concat();
        let page = match self.order {
            Order::Newest => {
                let before = after.map(key);
                store.list_back(table, (prefix, before.as_deref()), STEP)
            }
            Order::Oldest => {
                let from = after.map(|id| key(id.saturating_add(1)));
                store.list(table, (prefix, from.as_deref()), STEP)
            }
        };
        page.map(|page| page.rows)
    }

    fn of_publisher(
        &self,
        store: &Store,
        publisher: &PublisherId,
        after: Option<u64>,
    ) -> Result<Vec<Incident>, StoreError> {
        let mut ids = Vec::new();
        let states = IncidentState::ALL.into_iter();
        for state in states.filter(|state| self.takes(*state)) {
            let prefix = tag_prefix(publisher, state.as_str());
            let rows = self.rows(store, (&INCIDENT_INDEX, &prefix), after)?;
            ids.extend(rows.into_iter().map(|((_, _, id), ())| id));
        }
        match self.order {
            Order::Newest => ids.sort_unstable_by(|one, other| other.cmp(one)),
            Order::Oldest => ids.sort_unstable(),
        }
        ids.truncate(STEP);
        let mut incidents = Vec::new();
        for id in ids {
            incidents.extend(store.get(&INCIDENTS, &id)?);
        }
        Ok(incidents)
    }
}

fn is_at(read: &impl Read, incident: &Incident, path: &ItemPath) -> Result<bool, StoreError> {
    let prefix = blob_items_prefix(&incident.sha256, &incident.publisher);
    let rows = read.rows(&BLOB_ITEMS, (&prefix, None), ITEMS)?;
    Ok(rows
        .iter()
        .any(|((_, _, at), ())| at == path || at.is_below(path)))
}
