//! Reads which engine has not yet looked at which blob with what it scans with now.
//!
//! Blobs and each engine's looks lie in the same order, so both are walked side
//! by side, in chunks: memory does not grow with the collection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::flow::ingest::{self, Plan};
use crate::model::{EngineId, EngineVersions, Reuse, Sha256, Timestamp};
use crate::store::{ANALYSES, BLOBS, Pair, Store, StoreError};

/// Blobs read at a time.
const CHUNK: usize = 2048;
/// Within which a look is recent.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// Engines with what they scan with now.
pub type Present = BTreeMap<EngineId, EngineVersions>;

/// How far one engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Blobs it has looked at with what it scans with now.
    pub seen: u64,
    /// Those, and the others it has looked at within a day.
    pub recent: u64,
    /// Blobs it is to look at.
    pub wanted: u64,
}

/// How far all are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Blobs there are.
    pub files: u64,
    /// Each engine's share.
    pub engines: BTreeMap<EngineId, Share>,
}

/// A part of the walk.
#[derive(Debug)]
pub struct Chunk {
    /// The last blob read.
    pub last: Sha256,
    /// How far all are within it.
    pub survey: Survey,
    /// What is wanted, in order.
    pub plans: Vec<Plan>,
}

/// Walks over all blobs and counts. Blocks.
///
/// # Errors
/// If the store fails.
pub fn survey(
    store: &Store,
    present: &Present,
    (reuse, now): (Reuse, Timestamp),
) -> Result<Survey, StoreError> {
    let (mut sum, mut after) = (Survey::default(), None);
    while let Some(chunk) = chunk(store, present, after.as_ref(), (reuse, now))? {
        sum.files += chunk.survey.files;
        for (engine, share) in chunk.survey.engines {
            let all = sum.engines.entry(engine).or_default();
            all.seen += share.seen;
            all.recent += share.recent;
            all.wanted += share.wanted;
        }
        after = Some(chunk.last);
    }
    Ok(sum)
}

/// Reads the next blobs and what is wanted of them; nothing at the end. Blocks.
///
/// # Errors
/// If the store fails.
pub fn chunk(
    store: &Store,
    present: &Present,
    after: Option<&Sha256>,
    (reuse, now): (Reuse, Timestamp),
) -> Result<Option<Chunk>, StoreError> {
    let blobs = store.keys_after(&BLOBS, after, CHUNK)?;
    let (Some(first), Some(last)) = (blobs.first(), blobs.last()) else {
        return Ok(None);
    };
    let mut survey = Survey {
        files: blobs.len() as u64,
        engines: BTreeMap::new(),
    };
    let mut wanted = BTreeMap::<Sha256, BTreeSet<&EngineId>>::new();
    for (engine, versions) in present {
        let mut looks = store.seen_between(engine, (first, last))?.into_iter();
        let (pair, mut next) = (Pair::of(versions), looks.next());
        let share = survey.engines.entry(engine.clone()).or_default();
        for blob in &blobs {
            while next.is_some_and(|(seen, _)| seen < *blob) {
                next = looks.next();
            }
            let look = next.filter(|(seen, _)| seen == blob).map(|(_, row)| row);
            let is_seen = look.is_some_and(|row| row.pair == pair);
            let is_recent = is_seen || look.is_some_and(|row| now.since(row.at) < RECENT);
            share.seen += u64::from(is_seen);
            share.recent += u64::from(is_recent);
            if !is_seen || reuse == Reuse::Never {
                wanted.entry(*blob).or_default().insert(engine);
            }
        }
    }
    let plans = plans(store, present, wanted)?;
    for engine in plans.iter().flat_map(|plan| plan.engines.keys()) {
        survey.engines.entry(engine.clone()).or_default().wanted += 1;
    }
    Ok(Some(Chunk {
        last: *last,
        survey,
        plans,
    }))
}

/// Leaves out what waits already.
fn plans(
    store: &Store,
    present: &Present,
    wanted: BTreeMap<Sha256, BTreeSet<&EngineId>>,
) -> Result<Vec<Plan>, StoreError> {
    let mut plans = Vec::with_capacity(wanted.len());
    for (sha256, engines) in wanted {
        let Some(row) = store.get(&BLOBS, &sha256)? else {
            continue;
        };
        let waiting = ingest::waiting(&row, |id| store.get(&ANALYSES, id))?;
        let engines = engines.into_iter().filter(|id| !waiting.contains(id));
        let engines = engines.filter_map(|id| Some((id.clone(), present.get(id)?.clone())));
        let engines: BTreeMap<_, _> = engines.collect();
        if !engines.is_empty() {
            plans.push(Plan { sha256, engines });
        }
    }
    Ok(plans)
}
