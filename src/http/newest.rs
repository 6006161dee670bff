//! Pages of what a filter leaves of a long table, last first.
//!
//! Looking through rows that do not fit takes its time: it is done off the async threads, and only
//! so far for one page. Where it stopped is the cursor, also if nothing was found by then.

use serde::de::DeserializeOwned;

use super::envelope::Paging;
use super::error::ApiError;
use crate::store::{Page, RowKey, Store, StoreError, Table};

/// Rows looked at for a page on which there is something.
const LOOK: usize = 5000;
/// Rows looked at before a page is empty: to some clients it would be the last one.
const LOOK_LONG: usize = 100_000;
/// Rows read at a time.
const STEP: usize = 100;

/// Which rows are looked through, and which page is wanted.
#[derive(Debug)]
pub struct Span {
    prefix: Vec<u8>,
    before: Option<Vec<u8>>,
    limit: usize,
    /// Rows looked at for a page, and before it is empty.
    look: (usize, usize),
}

impl Span {
    /// Looks through the rows whose keys start with `prefix`.
    pub fn new(prefix: Vec<u8>, paging: &Paging) -> Self {
        Self {
            prefix,
            before: paging.cursor.clone(),
            limit: paging.limit,
            look: (LOOK, LOOK_LONG),
        }
    }
}

/// Reads a page of the rows that fit, last first, and where to go on.
///
/// # Errors
/// If the store fails.
pub async fn newest<K, V>(
    store: &Store,
    table: &'static Table<K, V>,
    span: Span,
    fits: impl FnMut(&V) -> Result<bool, StoreError> + Send + 'static,
) -> Result<Page<(K, V)>, ApiError>
where
    K: RowKey + Send + 'static,
    V: DeserializeOwned + Send + 'static,
{
    let store = store.clone();
    let look = move || find(&store, table, span, fits);
    let found = tokio::task::spawn_blocking(look).await;
    Ok(found.map_err(|error| ApiError::internal(&error))??)
}

fn find<K: RowKey, V: DeserializeOwned>(
    store: &Store,
    table: &Table<K, V>,
    span: Span,
    mut fits: impl FnMut(&V) -> Result<bool, StoreError>,
) -> Result<Page<(K, V)>, StoreError> {
    let (mut rows, mut before, mut looked) = (Vec::new(), span.before, 0);
    let (short, long) = span.look;
    while looked < short || (rows.is_empty() && looked < long) {
        let page = store.list_back(table, (&span.prefix, before.as_deref()), STEP)?;
        let last = page.rows.last().map(|(key, _)| key.to_bytes());
        for (key, row) in page.rows {
            looked += 1;
            if !fits(&row)? {
                continue;
            }
            let at = key.to_bytes();
            rows.push((key, row));
            if rows.len() == span.limit {
                let more = page.next.is_some() || last.as_ref() != Some(&at);
                let next = more.then_some(at);
                return Ok(Page { rows, next });
            }
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    Ok(Page { rows, next: before })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::META;

    fn page(store: &Store, fits: u64, before: Option<Vec<u8>>) -> (Vec<u64>, Option<Vec<u8>>) {
        let span = Span {
            prefix: Vec::new(),
            before,
            limit: 2,
            look: (200, 300),
        };
        let page = find(store, &META, span, |value| Ok(value % fits == 0)).unwrap();
        (page.rows.into_iter().map(|(_, v)| v).collect(), page.next)
    }

    #[tokio::test]
    async fn page_of_nothing_says_where_to_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let write = |change: &mut crate::store::Change<'_>| {
            let mut numbers = 1..=1000_u64;
            numbers.try_for_each(|n| change.put(&META, &format!("{n:04}"), &n))
        };
        store.write(write).await.unwrap();
        // The store's own number is behind all of these.
        let (mut found, mut before, mut pages) = (Vec::new(), None, 0);
        loop {
            let (rows, next) = page(&store, 499, before);
            found.extend(rows);
            pages += 1;
            before = next;
            if before.is_none() {
                break;
            }
        }
        found.retain(|n| *n > 0);
        assert_eq!(found, [998, 499]);
        assert!(pages > 3, "{pages}");
        let (rows, next) = page(&store, 1, None);
        assert_eq!((rows.len(), next.is_some()), (2, true));
    }
}
