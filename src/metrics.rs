//! Every Prometheus series, in one struct: registered once, passed by clone.
//!
//! Labels come from closed sets only (`engine`, `category`, `outcome`, …), never
//! from hashes, paths or names.

mod incidents;
mod signatures;

use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

pub use incidents::IncidentMetrics;
pub use signatures::SignatureMetrics;

/// All series.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Verdicts given, by engine and category.
    pub verdicts: IntCounterVec,
    /// Wall time of an engine's batches.
    pub batch_seconds: HistogramVec,
    /// Files that came in.
    pub uploads: IntCounterVec,
    /// Bytes that came in.
    pub upload_bytes: IntCounter,
    /// Analyses completed.
    pub analyses: IntCounter,
    /// Time from an analysis' opening to its completion.
    pub analysis_seconds: HistogramVec,
    /// Jobs waiting or under way, by engine and priority.
    pub queue: IntGaugeVec,
    /// Whether an engine would scan a job given to it now.
    pub engine_up: IntGaugeVec,
    /// Memory an engine's container uses, in bytes.
    pub engine_memory: IntGaugeVec,
    /// Containers started, by engine and why the one before it ended.
    pub containers: IntCounterVec,
    /// Requests answered, by method, route and status.
    pub requests: IntCounterVec,
    /// Time to answer a request.
    pub request_seconds: HistogramVec,
    /// Connections open.
    pub connections: IntGauge,
    /// Bytes free on the data directory's disk.
    pub free_bytes: Gauge,
    /// Whether Docker answers.
    pub docker_up: IntGauge,
    /// Share of the collection an engine has looked at with what it scans with now.
    pub rescan_coverage: GaugeVec,
    /// The same share, with what it has looked at within the last 24 hours.
    pub rescan_recent: GaugeVec,
    /// Scans of the rescans under way: wanted, and done of these.
    pub rescan_files: IntGaugeVec,
    /// When the last rescan was complete.
    pub rescan_completed: IntGauge,
    /// Tries to tell somebody, by channel and what came of them.
    pub deliveries: IntCounterVec,
    /// Deliveries that are due and not made yet.
    pub outbox_waiting: IntGauge,
    /// How signatures fare.
    pub signatures: SignatureMetrics,
    /// How incidents fare.
    pub incidents: IncidentMetrics,
}

const SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

impl Metrics {
    /// Registers every series.
    ///
    /// # Errors
    /// If two series share a name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let metrics = Self {
            verdicts: counters("verdicts_total", "Verdicts given.", &["engine", "category"])?,
            batch_seconds: histogram("batch_duration_seconds", "Time of a batch.", &["engine"])?,
            uploads: counters("uploads_total", "Files that came in.", &["outcome"])?,
            upload_bytes: counter("upload_bytes_total", "Bytes that came in.")?,
            analyses: counter("analyses_completed_total", "Analyses completed.")?,
            analysis_seconds: histogram(
                "analysis_duration_seconds",
                "Time from an analysis' opening to its completion.",
                &["priority"],
            )?,
            queue: gauges("queue_jobs", "Jobs not yet done.", &["engine", "priority"])?,
            engine_up: gauges("engine_up", "Whether the engine can scan.", &["engine"])?,
            engine_memory: gauges(
                "engine_memory_bytes",
                "Memory the engine's container uses, without what is kept of files.",
                &["engine"],
            )?,
            containers: counters(
                "containers_started_total",
                "Scan containers started.",
                &["engine", "reason"],
            )?,
            requests: counters(
                "http_requests_total",
                "Requests answered.",
                &["method", "route", "status"],
            )?,
            request_seconds: histogram(
                "http_request_duration_seconds",
                "Time to answer a request.",
                &["method", "route"],
            )?,
            connections: gauge("http_connections", "Connections open.")?,
            free_bytes: Gauge::new("acquit_disk_free_bytes", "Bytes free for data.")?,
            docker_up: gauge("docker_up", "Whether Docker answers.")?,
            rescan_coverage: shares(
                "rescan_coverage_ratio",
                "Share of the files the engine has looked at with what it scans with now.",
            )?,
            rescan_recent: shares(
                "rescan_recent_ratio",
                "Share of the files the engine has looked at with what it scans with now, or \
                 within the last 24 hours.",
            )?,
            rescan_files: gauges(
                "rescan_files",
                "Scans of the rescans under way, or of the last one.",
                &["state"],
            )?,
            rescan_completed: gauge(
                "rescan_last_completed_timestamp_seconds",
                "When the last rescan was complete.",
            )?,
            deliveries: counters(
                "deliveries_total",
                "Tries to tell somebody of an event.",
                &["channel", "result"],
            )?,
            outbox_waiting: gauge("outbox_waiting", "Deliveries that are not made yet.")?,
            signatures: SignatureMetrics::new()?,
            incidents: IncidentMetrics::new()?,
            registry,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> prometheus::Result<()> {
        let all: Vec<Box<dyn prometheus::core::Collector>> = vec![
            Box::new(self.verdicts.clone()),
            Box::new(self.batch_seconds.clone()),
            Box::new(self.uploads.clone()),
            Box::new(self.upload_bytes.clone()),
            Box::new(self.analyses.clone()),
            Box::new(self.analysis_seconds.clone()),
            Box::new(self.queue.clone()),
            Box::new(self.engine_up.clone()),
            Box::new(self.engine_memory.clone()),
            Box::new(self.containers.clone()),
            Box::new(self.requests.clone()),
            Box::new(self.request_seconds.clone()),
            Box::new(self.connections.clone()),
            Box::new(self.free_bytes.clone()),
            Box::new(self.docker_up.clone()),
            Box::new(self.rescan_coverage.clone()),
            Box::new(self.rescan_recent.clone()),
            Box::new(self.rescan_files.clone()),
            Box::new(self.rescan_completed.clone()),
            Box::new(self.deliveries.clone()),
            Box::new(self.outbox_waiting.clone()),
        ];
        all.into_iter()
            .chain(self.signatures.all())
            .chain(self.incidents.all())
            .try_for_each(|series| self.registry.register(series))
    }

    /// Returns all series in Prometheus' text format.
    ///
    /// # Errors
    /// If a series is malformed.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn name(name: &str) -> String {
    format!("acquit_{name}")
}

fn counter(series: &str, help: &str) -> prometheus::Result<IntCounter> {
    IntCounter::new(name(series), help)
}

fn gauge(series: &str, help: &str) -> prometheus::Result<IntGauge> {
    IntGauge::new(name(series), help)
}

fn counters(series: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name(series), help), labels)
}

fn gauges(series: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name(series), help), labels)
}

fn shares(series: &str, help: &str) -> prometheus::Result<GaugeVec> {
    GaugeVec::new(Opts::new(name(series), help), &["engine"])
}

fn histogram(series: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
    let opts = HistogramOpts::new(name(series), help).buckets(SECONDS.to_vec());
    HistogramVec::new(opts, labels)
}
