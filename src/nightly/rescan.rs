//! Opens analyses for blobs that are here already, behind interactive work.

use std::collections::BTreeSet;

use tracing::info;

use crate::flow::ingest::{Ingest, IngestError, Submission};
use crate::model::{EngineId, Priority, Reuse};
use crate::store::{BLOBS, Store};
use crate::system::now;

/// Blobs read, and analyses opened in one group, at a time.
const PAGE: usize = 128;

/// Opens an analysis of every blob; returns how many.
///
/// # Errors
/// If the store fails or the engine is not enabled; analyses opened before that stay.
pub async fn run(
    store: &Store,
    ingest: &Ingest,
    (engine, reuse): (Option<EngineId>, Reuse),
) -> Result<usize, IngestError> {
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
        let blobs = page.rows.iter().map(|(sha256, _)| *sha256).collect();
        let opened = ingest.reanalyze_all(blobs, submission()).await?;
        count += opened.len();
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    info!(count, "Rescan of {count} files is queued");
    Ok(count)
}
