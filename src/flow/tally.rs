//! Counters that change with what they count, so that nobody has to walk it.

use std::collections::BTreeMap;

use crate::model::{EngineId, PublisherId};
use crate::store::{Change, Read, STATISTICS, StoreError};

/// Most counters of one thing that are read.
const COUNTERS: usize = 1000;

/// Names the counters of a publisher's blobs by tag.
pub fn tags_of(publisher: &PublisherId) -> String {
    format!("n:tags:{publisher}")
}

/// Names the counters of an engine's incidents by state.
pub fn incidents_of(engine: &EngineId) -> String {
    format!("n:incidents:{engine}")
}

/// What becomes of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One more.
    Up,
    /// One less.
    Down,
}

/// Counts one more or one less.
///
/// # Errors
/// If the store fails.
pub fn count(
    change: &mut Change<'_>,
    (of, what): (&str, &str),
    step: Step,
) -> Result<(), StoreError> {
    let key = (of.to_owned(), what.to_owned());
    let value = change.get(&STATISTICS, &key)?;
    let number = value.and_then(|value| value.as_u64()).unwrap_or(0);
    let number = match step {
        Step::Up => number + 1,
        Step::Down => number.saturating_sub(1),
    };
    if number == 0 {
        change.remove(&STATISTICS, &key);
        return Ok(());
    }
    change.put(&STATISTICS, &key, &number.into())
}

/// Reads the counters of one thing.
///
/// # Errors
/// If the store fails.
pub fn read(read: &impl Read, of: &str) -> Result<BTreeMap<String, u64>, StoreError> {
    let prefix = [of.as_bytes(), &[0]].concat();
    let rows = read.rows(&STATISTICS, (&prefix, None), COUNTERS)?;
    let numbers = rows
        .into_iter()
        .filter_map(|((_, what), number)| Some((what, number.as_u64()?)));
    Ok(numbers.collect())
}
