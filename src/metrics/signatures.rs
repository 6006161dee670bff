//! The series about signatures: how old they are, and how their updates end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGaugeVec};

use super::{counters, gauges};
use crate::model::{EngineId, EngineStatus, Timestamp, UpdateOutcome};

/// How signatures fare; clones share the series.
#[derive(Clone, Debug)]
pub struct SignatureMetrics {
    date: IntGaugeVec,
    last_success: IntGaugeVec,
    held: IntGaugeVec,
    failures: IntGaugeVec,
    info: IntGaugeVec,
    license_expiry: IntGaugeVec,
    updates: IntCounterVec,
    rejections: IntCounterVec,
    /// What each engine's `info` says now, so that what it said before can be taken away.
    said: Arc<Mutex<BTreeMap<EngineId, [String; 2]>>>,
}

impl SignatureMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self {
            date: gauges(
                "signature_timestamp_seconds",
                "Date of the signatures in service.",
                &["engine"],
            )?,
            last_success: gauges(
                "signature_last_success_timestamp_seconds",
                "When the engine was last known to have the newest signatures.",
                &["engine"],
            )?,
            held: gauges(
                "signature_held",
                "Whether an administrator holds the signatures in service.",
                &["engine"],
            )?,
            failures: gauges(
                "signature_update_failures",
                "Updates that failed or were rejected since the last success.",
                &["engine"],
            )?,
            info: gauges(
                "engine_info",
                "What the engine scans with.",
                &["engine", "version", "signature_set"],
            )?,
            license_expiry: gauges(
                "license_expiry_timestamp_seconds",
                "When the engine's license ends, where it tells.",
                &["engine"],
            )?,
            updates: counters(
                "signature_updates_total",
                "Updates that ended.",
                &["engine", "outcome"],
            )?,
            rejections: counters(
                "canary_rejections_total",
                "Candidates the canary refused.",
                &["engine"],
            )?,
            said: Arc::default(),
        })
    }

    pub(super) fn all(&self) -> [Box<dyn Collector>; 8] {
        [
            Box::new(self.date.clone()),
            Box::new(self.last_success.clone()),
            Box::new(self.held.clone()),
            Box::new(self.failures.clone()),
            Box::new(self.info.clone()),
            Box::new(self.license_expiry.clone()),
            Box::new(self.updates.clone()),
            Box::new(self.rejections.clone()),
        ]
    }

    /// Counts an update that ended.
    pub fn update_ended(&self, engine: &EngineId, outcome: UpdateOutcome) {
        let labels = [engine.as_str(), &outcome.as_str()];
        self.updates.with_label_values(&labels).inc();
        if outcome == UpdateOutcome::Rejected {
            self.rejections.with_label_values(&labels[..1]).inc();
        }
    }

    /// Sets what is read from the board rather than counted.
    pub fn observe(&self, status: &EngineStatus) {
        let id = &status.id;
        let versions = status.versions.as_ref();
        let known = versions.map(|versions| {
            let set = versions.signature_set.as_ref().map(|set| set.0.clone());
            let version = versions.engine.clone().unwrap_or_default();
            [version, set.unwrap_or_default()]
        });
        self.say(id, known);
        let signatures = status.signatures.as_ref();
        let license = versions.and_then(|versions| versions.license_expires.as_deref());
        if let Some(ends) = license.and_then(seconds) {
            set(&self.license_expiry, id, ends);
        }
        let date = versions.and_then(|versions| versions.signatures_date.as_deref());
        // Who does not date his signatures has those of the day they came.
        let came = signatures.and_then(|signatures| signatures.active_since);
        let date = date
            .and_then(seconds)
            .or_else(|| came.map(Timestamp::seconds));
        if let Some(date) = date {
            set(&self.date, id, date);
        }
        let Some(signatures) = signatures else {
            return;
        };
        set(&self.held, id, u64::from(signatures.held));
        set(&self.failures, id, u64::from(signatures.failures));
        if let Some(at) = signatures.last_success_at {
            set(&self.last_success, id, at.seconds());
        }
    }

    /// Says what an engine scans with, and no longer what it scanned with before.
    fn say(&self, engine: &EngineId, known: Option<[String; 2]>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &known {
            Some(known) => said.insert(engine.clone(), known.clone()),
            None => said.remove(engine),
        };
        if let Some([version, set]) = before.filter(|before| known.as_ref() != Some(before)) {
            // It is there: it was set when it was said.
            let _ = self
                .info
                .remove_label_values(&[engine.as_str(), &version, &set]);
        }
        if let Some([version, set]) = &known {
            let labels = [engine.as_str(), version, set];
            self.info.with_label_values(&labels).set(1);
        }
    }
}

fn set(series: &IntGaugeVec, engine: &EngineId, value: u64) {
    let value = value.try_into().unwrap_or(i64::MAX);
    series.with_label_values(&[engine.as_str()]).set(value);
}

/// Reads a date as `YYYYMMDD`, as of its midnight in UTC.
fn seconds(date: &str) -> Option<u64> {
    // It is an engine's word, and the reader would be content with fewer digits.
    let date = (date.len() == 8).then_some(date)?;
    let date = Date::strptime("%Y%m%d", date).ok()?;
    let midnight = date.to_zoned(TimeZone::UTC).ok()?;
    midnight.timestamp().as_second().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_is_read_as_its_midnight() {
        assert_eq!(seconds("20261122"), Some(1_795_305_600));
        assert_eq!(seconds("2026112"), None);
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn engine_info_has_one_series_for_each_engine() {
        let metrics = SignatureMetrics::new().unwrap();
        let engine: EngineId = "yara".parse().unwrap();
        let count = || metrics.info.collect()[0].get_metric().len();
        for set in ["a", "b", "b"] {
            metrics.say(&engine, Some(["1".to_owned(), set.to_owned()]));
            assert_eq!(count(), 1, "{set}");
        }
        metrics.say(&engine, None);
        assert_eq!(count(), 0);
    }

    #[test]
    fn rejection_is_counted_as_an_outcome_and_by_itself() {
        let metrics = SignatureMetrics::new().unwrap();
        let engine: EngineId = "yara".parse().unwrap();
        metrics.update_ended(&engine, UpdateOutcome::Rejected);
        metrics.update_ended(&engine, UpdateOutcome::Unchanged);
        let rejected = metrics.updates.with_label_values(&["yara", "rejected"]);
        assert_eq!(rejected.get(), 1);
        assert_eq!(metrics.rejections.with_label_values(&["yara"]).get(), 1);
    }
}
