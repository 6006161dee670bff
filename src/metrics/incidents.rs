//! The series about detections and incidents of files in collections.

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec};

use super::{counters, gauges, name};
use crate::model::EngineId;

/// An hour, six, a day, two, three, a week, two, four, and a quarter.
const FIX_SECONDS: &[f64] = &[
    3600.0,
    21_600.0,
    86_400.0,
    172_800.0,
    259_200.0,
    604_800.0,
    1_209_600.0,
    2_419_200.0,
    7_776_000.0,
];

/// How incidents fare; clones share the series.
#[derive(Clone, Debug)]
pub struct IncidentMetrics {
    states: IntGaugeVec,
    overdue: IntGaugeVec,
    seconds: HistogramVec,
    changes: IntCounterVec,
}

impl IncidentMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        let fix = HistogramOpts::new(
            name("incident_seconds"),
            "Time from an incident's opening to its engine's fix.",
        );
        Ok(Self {
            states: gauges("incidents", "Incidents.", &["state", "engine"])?,
            overdue: gauges(
                "incidents_overdue",
                "Incidents that are not over and whose deadline has passed.",
                &["engine"],
            )?,
            seconds: HistogramVec::new(fix.buckets(FIX_SECONDS.to_vec()), &["engine"])?,
            changes: counters(
                "detection_changes_total",
                "Changes of the detections of a file in a collection.",
                &["kind"],
            )?,
        })
    }

    pub(super) fn all(&self) -> [Box<dyn Collector>; 4] {
        [
            Box::new(self.states.clone()),
            Box::new(self.overdue.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.changes.clone()),
        ]
    }

    /// Shows how many incidents an engine has in a state.
    pub fn show(&self, engine: &str, state: &str, number: u64) {
        let number = number.try_into().unwrap_or(i64::MAX);
        self.states.with_label_values(&[state, engine]).set(number);
    }

    /// Shows how many of an engine's incidents are overdue.
    pub fn late(&self, engine: &str, number: u64) {
        let number = number.try_into().unwrap_or(i64::MAX);
        self.overdue.with_label_values(&[engine]).set(number);
    }

    /// Counts an incident that its engine ended.
    pub fn fixed(&self, engine: &EngineId, seconds: f64) {
        let series = self.seconds.with_label_values(&[engine.as_str()]);
        series.observe(seconds);
    }

    /// Counts a change of detections.
    pub fn changed(&self, kind: &str) {
        self.changes.with_label_values(&[kind]).inc();
    }
}
