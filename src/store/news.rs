//! What was just written: a hint for those who would look again, sent when it would survive a power
//! cut.

use tokio::sync::broadcast;

use super::keys::RowKey;
use super::tables::{
    ANALYSES, DISPUTES, EVENTS, INCIDENTS, KEYS, RESCANS, TABLES, UPDATES, USERS, Writes,
};
use crate::model::{AnalysisId, EngineId};

/// Hints that wait for one who is slow; of more the oldest are lost to him, and he is told so.
const WAITING: usize = 4096;

/// Something that was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// An analysis was opened, has more answers, or is complete.
    Analysis(AnalysisId),
    /// An event.
    Event(u64),
    /// An incident was opened, or something was done with it or said of it.
    Incident(u64),
    /// A dispute was made or is another, perhaps only in why it cannot be sent yet.
    Dispute(u64),
    /// An update of an engine's signatures began, is further, or ended.
    Update(EngineId, u64),
    /// A rescan began, is further, or ended.
    Rescan(u64),
    /// Who may what is perhaps not what it was: a key or a user is another.
    Keys,
}

/// Returns where hints are sent.
pub(super) fn channel() -> broadcast::Sender<News> {
    broadcast::Sender::new(WAITING)
}

/// Returns what there is to tell of a group of writes.
pub(super) fn of(group: &[Writes; TABLES]) -> Vec<News> {
    let mut news = Vec::new();
    put(&group[ANALYSES.index()], |id| news.push(News::Analysis(id)));
    put(&group[EVENTS.index()], |number| {
        news.push(News::Event(number));
    });
    put(&group[INCIDENTS.index()], |number| {
        news.push(News::Incident(number));
    });
    put(&group[DISPUTES.index()], |number| {
        news.push(News::Dispute(number));
    });
    put(&group[UPDATES.index()], |(engine, number)| {
        news.push(News::Update(engine, number));
    });
    put(&group[RESCANS.index()], |number| {
        news.push(News::Rescan(number));
    });
    if !group[KEYS.index()].is_empty() || !group[USERS.index()].is_empty() {
        news.push(News::Keys);
    }
    news
}

/// Passes on the keys of rows that were written, and not removed.
fn put<K: RowKey>(writes: &Writes, tell: impl FnMut(K)) {
    let written = writes.iter().filter(|(_, row)| row.is_some());
    written
        .filter_map(|(key, _)| K::from_bytes(key))
        .for_each(tell);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Event, KeyId};
    use crate::store::{Store, StoreError};

    #[tokio::test]
    async fn what_is_written_is_told_and_what_failed_or_went_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let mut news = store.news();
        let failed = store.write(|change| {
            change.remove(&KEYS, &KeyId("00".to_owned()));
            Err::<(), _>(StoreError::Failed {
                reason: "no".to_owned(),
            })
        });
        assert!(failed.await.is_err());
        let event = serde_json::json!({"number": 7, "at": 1, "kind": "rescan-started", "text": ""});
        let event: Event = serde_json::from_value(event).unwrap();
        let write = store.write(move |change| {
            change.remove(&RESCANS, &7);
            change.remove(&EVENTS, &8);
            change.put(&EVENTS, &7, &event)
        });
        write.await.unwrap();
        assert_eq!(news.recv().await.unwrap(), News::Event(7));
        let write = store.write(|change| {
            change.remove(&KEYS, &KeyId("00".to_owned()));
            Ok(())
        });
        write.await.unwrap();
        assert_eq!(news.recv().await.unwrap(), News::Keys);
        assert!(news.try_recv().is_err());
    }
}
