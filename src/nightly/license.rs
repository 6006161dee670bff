//! Warns before an engine's license ends, and says when it has.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::json;
use tokio::sync::watch;

use crate::flow::events::{Draft, raise};
use crate::model::{About, EngineId, EngineTable, EventKind, Timestamp};
use crate::store::{Change, META, Store, StoreError};
use crate::system::now;

/// Days before the end at which is warned, the most urgent first.
const WARNINGS: [i64; 4] = [0, 7, 14, 30];
/// How often is looked.
const LOOK: std::time::Duration = std::time::Duration::from_secs(600);

/// Looks for ever.
pub async fn watch(store: Store, engines: watch::Receiver<EngineTable>) {
    loop {
        let ends = ends(&engines.borrow());
        for (engine, date) in ends {
            if let Err(error) = warn(&store, &engine, date, now()).await {
                tracing::warn!(engine.name = %engine, %error, "Cannot warn of a license's end");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn ends(table: &EngineTable) -> BTreeMap<EngineId, Date> {
    let end = |text: &str| Date::strptime("%Y%m%d", text).ok();
    let of = |(id, status): (&EngineId, &crate::model::EngineStatus)| {
        let text = status.versions.as_ref()?.license_expires.as_deref()?;
        Some((id.clone(), end(text)?))
    };
    table.iter().filter_map(of).collect()
}

/// Raises the event of the nearest threshold, once for each date.
async fn warn(
    store: &Store,
    engine: &EngineId,
    ends: Date,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(days) = threshold(ends, now) else {
        return Ok(());
    };
    let key = format!("license-warned {engine} {ends} {days}");
    let engine = engine.clone();
    let raise_once = move |change: &mut Change<'_>| {
        if change.get(&META, &key)?.is_some() {
            return Ok(());
        }
        change.put(&META, &key, &now.millis())?;
        let text = match days {
            0 => format!("The license of {engine} ended on {ends}"),
            _ => format!("The license of {engine} ends on {ends}"),
        };
        let draft = Draft {
            at: now,
            kind: EventKind::LicenseExpiring,
            engine: Some(engine),
            text,
            details: json!({ "ends": ends.to_string() }),
            about: About::default(),
        };
        raise(change, draft).map(drop)
    };
    store.write(raise_once).await
}

/// Returns the threshold that a license has passed; nothing if its end is far away.
fn threshold(ends: Date, now: Timestamp) -> Option<i64> {
    let millis = i64::try_from(now.millis()).ok()?;
    let today = jiff::Timestamp::from_millisecond(millis).ok()?;
    let today = today.to_zoned(jiff::tz::TimeZone::UTC).date();
    let passed = |days: &i64| {
        today
            .checked_add(days.days())
            .is_ok_and(|then| then >= ends)
    };
    WARNINGS.into_iter().find(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ends: &str, expected: Option<i64>) {
        let now: jiff::Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let now = Timestamp::from_millis(now.as_millisecond().try_into().unwrap());
        assert_eq!(threshold(ends.parse().unwrap(), now), expected);
    }

    #[test]
    fn nearer_ends_are_more_urgent() {
        check("2027-11-24", None);
        check("2026-12-25", None);
        check("2026-12-24", Some(30));
        check("2026-12-01", Some(7));
        check("2026-11-24", Some(0));
        check("2020-01-01", Some(0));
    }

    #[tokio::test]
    async fn every_threshold_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let engine: EngineId = "clamav".parse().unwrap();
        let ends: Date = "2026-12-01".parse().unwrap();
        let at = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            Timestamp::from_millis(at.as_millisecond().try_into().unwrap())
        };
        for now in [
            "2026-11-24T12:00:00Z",
            "2026-11-24T13:00:00Z",
            "2026-12-02T00:00:00Z",
        ] {
            warn(&store, &engine, ends, at(now)).await.unwrap();
        }
        let page = store.list(&crate::store::EVENTS, (&[], None), 10).unwrap();
        let texts: Vec<_> = page.rows.into_iter().map(|(_, event)| event.text).collect();
        assert_eq!(
            texts,
            [
                "The license of clamav ends on 2026-12-01",
                "The license of clamav ended on 2026-12-01"
            ]
        );
    }
}
