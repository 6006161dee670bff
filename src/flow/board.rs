//! The board on which every engine's state is written, and read by all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::pace::Pace;
use crate::engine::manifest::Manifest;
use crate::model::{
    EngineId, EngineState, EngineStatus, EngineTable, EngineVersions, OutsideStatus, ProbeCheck,
    Throughput, Timestamp,
};

/// The board; clones share it.
#[derive(Clone, Debug)]
pub struct Board {
    table: Arc<watch::Sender<EngineTable>>,
    // Never held across an await.
    paces: Arc<Mutex<BTreeMap<EngineId, Pace>>>,
    began: Instant,
}

impl Board {
    /// Makes a board with every engine on it.
    pub fn new<'a>(engines: impl Iterator<Item = (&'a Manifest, EngineState)>) -> Self {
        let table = engines.map(|(manifest, state)| (manifest.id.clone(), blank(manifest, state)));
        Self {
            table: Arc::new(watch::Sender::new(table.collect())),
            paces: Arc::default(),
            began: Instant::now(),
        }
    }

    /// Returns a reader.
    pub fn subscribe(&self) -> watch::Receiver<EngineTable> {
        self.table.subscribe()
    }

    /// Changes one engine's line; readers are told only if it is another line then.
    pub fn update(&self, engine: &EngineId, change: impl FnOnce(&mut EngineStatus)) {
        self.table.send_if_modified(|table| {
            let Some(status) = table.get_mut(engine) else {
                return false;
            };
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    /// Writes where an engine stands.
    pub fn state(&self, engine: &EngineId, state: EngineState) {
        self.update(engine, |status| stand(status, state));
    }

    /// Writes where an engine stands after something went wrong.
    pub fn trouble(&self, engine: &EngineId, state: EngineState, (error, now): (&str, Timestamp)) {
        self.update(engine, |status| {
            stand(status, state);
            status.last_error = Some(error.to_owned());
            status.last_error_at = Some(now);
        });
    }

    /// Writes that an engine scans, and with what.
    pub fn ready(&self, engine: &EngineId, versions: &EngineVersions) {
        self.update(engine, |status| {
            status.state = EngineState::Ready;
            status.versions = Some(versions.clone());
        });
    }

    /// Writes what the probe saw.
    pub fn probed(&self, engine: &EngineId, checks: &[ProbeCheck]) {
        self.update(engine, |status| status.probe = checks.to_vec());
    }

    /// Writes how much memory an engine's container uses, in mebibytes.
    pub fn memory(&self, engine: &EngineId, used_mb: u64) {
        self.update(engine, |status| status.memory_used_mb = Some(used_mb));
    }

    /// Counts answers, and what of it an engine looked at: files and their bytes.
    pub fn answered(
        &self,
        engine: &EngineId,
        (answered, failed): (u64, u64),
        looked_at: (u64, u64),
    ) {
        let throughput = self.pace(engine, looked_at);
        self.update(engine, |status| {
            status.answered += answered;
            status.failed += failed;
            status.throughput = throughput;
        });
    }

    /// Returns what an engine got done in the last minutes.
    pub fn throughput(&self, engine: &EngineId) -> Throughput {
        self.pace(engine, (0, 0))
    }

    fn pace(&self, engine: &EngineId, looked_at: (u64, u64)) -> Throughput {
        let now = self.began.elapsed();
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = paces.entry(engine.clone()).or_default();
        if looked_at.0 > 0 {
            pace.add(looked_at, now);
        }
        pace.over(now)
    }
}

/// Who is not ready has no container whose memory could be told.
fn stand(status: &mut EngineStatus, state: EngineState) {
    status.state = state;
    if state != EngineState::Ready {
        status.memory_used_mb = None;
    }
}

fn blank(manifest: &Manifest, state: EngineState) -> EngineStatus {
    EngineStatus {
        id: manifest.id.clone(),
        name: manifest.name.clone(),
        vendor: manifest.vendor.clone(),
        description: manifest.description.clone(),
        license: manifest.license.clone(),
        family: manifest.family.clone(),
        labeler: manifest.labeler,
        outside: manifest.outside.as_ref().map(|outside| OutsideStatus {
            address: outside.address.to_string(),
            sends: outside.sends.as_str().to_owned(),
            consent: outside.consent.clone(),
        }),
        state,
        versions: None,
        last_error: None,
        last_error_at: None,
        queued_interactive: 0,
        queued_nightly: 0,
        running: 0,
        slots: manifest.run.slots,
        answered: 0,
        failed: 0,
        throughput: Pace::default().over(Duration::ZERO),
        memory_mb: match manifest.outside {
            Some(_) => 0,
            None => manifest.limits.memory_mb,
        },
        memory_used_mb: None,
        signatures: None,
        probe: Vec::new(),
    }
}
