//! Finds incidents, newest first.

use std::collections::BTreeSet;

use crate::model::{EngineId, Incident, IncidentState, ItemPath, PublisherId, Timestamp};
use crate::store::{
    BLOB_ITEMS, INCIDENT_INDEX, INCIDENTS, Read, Store, StoreError, blob_items_prefix, tag_prefix,
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
            && self.overdue_at.is_none_or(late);
        match &self.path {
            Some(path) if fits => is_at(read, incident, path),
            _ => Ok(fits),
        }
    }

    /// Reads incidents numbered below `before` that fit, newest first, until one step of them is
    /// read; returns where to go on.
    ///
    /// # Errors
    /// If the store fails.
    pub fn step(
        &self,
        store: &Store,
        before: Option<u64>,
    ) -> Result<(Vec<Incident>, Option<u64>), StoreError> {
        let read = match &self.publisher {
            Some(publisher) => self.of_publisher(store, publisher, before)?,
            None => {
                let key = before.map(u64::to_be_bytes);
                let span = ([].as_slice(), key.as_ref().map(<[u8; 8]>::as_slice));
                let page = store.list_back(&INCIDENTS, span, STEP)?;
                page.rows
                    .into_iter()
                    .map(|(_, incident)| incident)
                    .collect()
            }
        };
        let next = (read.len() == STEP).then(|| read.last().map(|incident| incident.id));
        let mut found = Vec::new();
        for incident in read {
            if self.fits(store, &incident)? {
                found.push(incident);
            }
        }
        Ok((found, next.flatten()))
    }

    fn of_publisher(
        &self,
        store: &Store,
        publisher: &PublisherId,
        before: Option<u64>,
    ) -> Result<Vec<Incident>, StoreError> {
        let mut ids = Vec::new();
        let states = IncidentState::ALL.into_iter();
        for state in states.filter(|it| self.states.is_empty() || self.states.contains(it)) {
            let prefix = tag_prefix(publisher, state.as_str());
            let key = before.map(|id| [prefix.as_slice(), &id.to_be_bytes()].concat());
            let page = store.list_back(&INCIDENT_INDEX, (&prefix, key.as_deref()), STEP)?;
            ids.extend(page.rows.into_iter().map(|((_, _, id), ())| id));
        }
        ids.sort_unstable_by(|one, other| other.cmp(one));
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
