//! What is made for vendors once a day: the bundle of each engine's detections, and its figures.
//!
//! A bundle keeps whose blob is detected and nothing more: what a vendor gets
//! of it is looked up when it is asked for, so that it repeats nothing to which
//! the right has ended since.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Ignored, Selection, VendorError, hashes, is_ignored};
use crate::config::Config;
use crate::model::{EngineId, PublisherId, Sha256, Timestamp, Vendor, VendorId};
use crate::store::{STATISTICS, Store, StoreError, VENDORS};

/// Hour of the day, UTC, from which on a day's bundle is made.
const HOUR: u64 = 1;
/// Days a bundle is kept.
const KEPT_DAYS: u64 = 90;
/// How often is looked whether something is to be made.
const LOOK: Duration = Duration::from_secs(60);
/// Most lines of a bundle; the list of hashes has them all.
const LINES: usize = 50_000;
/// Blobs read at once.
const STEP: usize = 500;
const DAY_MILLIS: u64 = 24 * 3600 * 1000;
/// Vendors looked at.
const VENDORS_LOOKED_AT: usize = 10_000;

/// Returns the day (UTC) of a time, `YYYY-MM-DD`.
pub fn day(at: Timestamp) -> String {
    let at = i64::try_from(at.millis()).ok();
    let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d").to_string())
}

/// Returns the time at which a day (UTC) begins; nothing if the text is no day.
pub fn day_start(day: &str) -> Option<Timestamp> {
    let date: jiff::civil::Date = day.parse().ok()?;
    // Only the one way of writing it: it names a file.
    if date.strftime("%Y-%m-%d").to_string() != day {
        return None;
    }
    let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    u64::try_from(start.as_millisecond())
        .ok()
        .map(Timestamp::from_millis)
}

/// Makes what is due, for ever.
pub async fn run(store: Store, config: Arc<Config>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let (store, data_dir) = (store.clone(), config.storage.data_dir.clone());
        if let Err(error) = make_due(&store, &data_dir, crate::system::now()).await {
            warn!(%error, "Cannot make the vendors' bundles");
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// Makes the bundles and figures of the day that are not there yet, and removes old bundles.
///
/// # Errors
/// If the store or the disk fails, for any of the engines; the others' are made.
pub async fn make_due(store: &Store, data_dir: &Path, now: Timestamp) -> Result<(), DailyError> {
    if now.millis() % DAY_MILLIS < HOUR * 3600 * 1000 {
        return Ok(());
    }
    let vendors = store.list(&VENDORS, (&[], None), VENDORS_LOOKED_AT)?.rows;
    let engines = vendors.into_iter().flat_map(|(_, vendor)| vendor.engines);
    let mut failed = None;
    for engine in engines.collect::<BTreeSet<EngineId>>() {
        let path = path_of(data_dir, &engine, &day(now));
        if path.exists() {
            continue;
        }
        if let Err(error) = make(store, (&engine, path), now).await {
            warn!(engine.name = %engine, %error, "Cannot make the bundle of {engine}");
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Makes the bundle and the figures of one engine.
async fn make(
    store: &Store,
    (engine, path): (&EngineId, PathBuf),
    now: Timestamp,
) -> Result<(), DailyError> {
    let (reading, asked) = (store.clone(), engine.clone());
    let made = tokio::task::spawn_blocking(move || collect(&reading, &asked, now));
    let Made { lines, figures } = made.await.map_err(io::Error::other)??;
    let key = (format!("v:{engine}"), day(now));
    let write = store.write(move |change| change.put(&STATISTICS, &key, &figures));
    write.await?;
    let count = lines.len();
    // The file comes last: as long as it is not there, all of this is done again.
    let kept = tokio::task::spawn_blocking(move || {
        keep(&path, &lines)?;
        sweep(&path, now)
    });
    kept.await.map_err(io::Error::other)??;
    info!(engine.name = %engine, "Made the bundle of {count} detections");
    Ok(())
}

/// What a bundle could not be made of.
#[derive(Debug, thiserror::Error)]
pub enum DailyError {
    /// The rows could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is too much that is hidden.
    #[error(transparent)]
    Vendor(#[from] VendorError),
    /// The disk failed.
    #[error("the bundle cannot be kept: {0}")]
    Io(#[from] io::Error),
}

struct Made {
    lines: Vec<(PublisherId, Sha256)>,
    figures: serde_json::Value,
}

/// Walks over what vendors of an engine may know of.
///
/// All counts are of that: how much else there is here is nobody's business.
fn collect(store: &Store, engine: &EngineId, now: Timestamp) -> Result<Made, DailyError> {
    let Ok(id) = "bundle".parse::<VendorId>() else {
        return Err(VendorError::Hidden.into());
    };
    let vendor = Vendor {
        id,
        name: String::new(),
        created_at: now,
        emails: Vec::new(),
        engines: [engine.clone()].into(),
    };
    let selection = Selection {
        engines: vendor.engines.clone(),
        ignored: Ignored::Also,
    };
    let (mut lines, mut after) = (Vec::new(), None);
    let (mut hash_count, mut item_count, mut live_hashes, mut live_items) = (0, 0, 0, 0);
    loop {
        let found = hashes(store, &vendor, &selection, (after, STEP))?;
        let Some(last) = found.last().map(|found| found.sha256) else {
            break;
        };
        after = Some(last);
        for blob in found {
            let items: usize = blob.sight.consents.iter().map(|c| c.items.len()).sum();
            (hash_count, item_count) = (hash_count + 1, item_count + items);
            if !is_ignored(store, &blob.sha256, engine)? {
                (live_hashes, live_items) = (live_hashes + 1, live_items + items);
            }
            let owners = blob.sight.consents.into_iter();
            let owners = owners.map(|consent| (consent.publisher, blob.sha256));
            lines.extend(owners.take(LINES.saturating_sub(lines.len())));
        }
    }
    let figures = serde_json::json!({
        "hashes_count": hash_count,
        "hashes_detected_count": live_hashes,
        "items_count": item_count,
        "items_detected_count": live_items,
    });
    Ok(Made { lines, figures })
}

fn path_of(data_dir: &Path, engine: &EngineId, day: &str) -> PathBuf {
    data_dir.join("detections").join(engine.as_str()).join(day)
}

fn keep(path: &Path, lines: &[(PublisherId, Sha256)]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let mut text = io::BufWriter::new(file.as_file_mut());
    for (publisher, sha256) in lines {
        writeln!(text, "{publisher} {sha256}")?;
    }
    text.flush()?;
    drop(text);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(dir)?.sync_all()
}

/// Removes bundles beside one that are too old.
fn sweep(path: &Path, now: Timestamp) -> io::Result<()> {
    let kept = Timestamp::from_millis(now.millis().saturating_sub(KEPT_DAYS * DAY_MILLIS));
    for entry in fs::read_dir(path.parent().unwrap_or(path))? {
        let entry = entry?;
        let start = entry.file_name().to_str().and_then(day_start);
        if start.is_some_and(|start| start < kept) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Reads whose blobs an engine detected on a day; nothing if there is no bundle of it.
///
/// # Errors
/// If the file cannot be read.
pub fn read(
    data_dir: &Path,
    engine: &EngineId,
    day: &str,
) -> io::Result<Option<Vec<(PublisherId, Sha256)>>> {
    let file = match fs::File::open(path_of(data_dir, engine, day)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut lines = Vec::new();
    for line in io::BufReader::new(file).lines().take(LINES) {
        let line = line?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a line is damaged");
        let (publisher, sha256) = line.split_once(' ').ok_or_else(damaged)?;
        let publisher = publisher.parse().map_err(|_| damaged())?;
        lines.push((publisher, sha256.parse().map_err(|_| damaged())?));
    }
    Ok(Some(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_in_one_way_only() {
        let start = day_start("2026-11-24").unwrap();
        assert_eq!(day(start), "2026-11-24");
        assert_eq!(
            day(Timestamp::from_millis(start.millis() - 1)),
            "2026-11-23"
        );
        for bad in [
            "",
            "20261124",
            "2026-11-31",
            "../x",
            "2026-11-24/..",
            "+002026-11-24",
        ] {
            assert_eq!(day_start(bad), None, "{bad}");
        }
    }

    #[test]
    fn bundle_is_read_as_it_was_kept_and_goes_when_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let engine: EngineId = "clamav".parse().unwrap();
        let lines = vec![("acme".parse().unwrap(), Sha256::new([7; 32]))];
        let old = path_of(dir.path(), &engine, "2026-08-01");
        keep(&old, &lines).unwrap();
        let new = path_of(dir.path(), &engine, "2026-11-24");
        keep(&new, &lines).unwrap();
        sweep(&new, day_start("2026-11-24").unwrap()).unwrap();
        assert_eq!(
            read(dir.path(), &engine, "2026-11-24").unwrap(),
            Some(lines)
        );
        assert_eq!(read(dir.path(), &engine, "2026-08-01").unwrap(), None);
    }
}
