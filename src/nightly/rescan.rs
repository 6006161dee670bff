//! Opens analyses for blobs that are here already, behind interactive work.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tracing::info;

use crate::flow::ingest::{Ingest, IngestError, Submission};
use crate::model::{EngineId, Priority, Reuse};
use crate::store::{BLOBS, Store};
use crate::system::now;

/// Blobs read, and analyses opened in one group, at a time.
const PAGE: usize = 200;

/// Opens an analysis of every blob; returns how many.
///
/// # Errors
/// If the store fails or the engine is not enabled; analyses opened before that stay.
pub async fn run(
    store: &Store,
    ingest: &Ingest,
    (engine, reuse): (Option<EngineId>, Reuse),
) -> Result<u64, IngestError> {
    let engines: Option<BTreeSet<_>> = engine.map(|engine| BTreeSet::from([engine]));
    let submission = || Submission {
        name: None,
        engines: engines.clone(),
        priority: Priority::Nightly,
        reuse,
        now: now(),
    };
    let (mut count, mut from) = (0, None::<Vec<u8>>);
    loop {
        let page = store.list(&BLOBS, (&[], from.as_deref()), PAGE)?;
        let opening = page
            .rows
            .iter()
            .map(|(id, _)| ingest.reanalyze(*id, submission()));
        for opened in join_all(opening).await {
            count += u64::from(opened?.is_some());
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    info!(count, "Rescan of {count} files is queued");
    Ok(count)
}
