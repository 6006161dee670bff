//! x
use crate::config::Config;
use crate::flow::ingest::Ingest;
use crate::metrics::Metrics;
use crate::model::*;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, watch};
/// x
#[derive(Clone, Debug)]
pub struct Api {
    pub config: Arc<Config>,
    pub store: Store,
    pub ingest: Ingest,
    pub metrics: Metrics,
    pub engines: watch::Receiver<EngineTable>,
    pub control: mpsc::Sender<Control>,
    pub completed: broadcast::Sender<AnalysisId>,
}
/// x
pub async fn serve(
    _api: Api,
    _l: tokio::net::TcpListener,
    s: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    s.cancelled().await;
    Ok(())
}
/// x
pub async fn import_keys(
    _s: &Store,
    _d: &std::path::Path,
    _n: Timestamp,
) -> Result<(), StoreError> {
    Ok(())
}
