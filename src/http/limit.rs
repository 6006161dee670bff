//! Requests per key: a bucket that refills, and counts for the quota answers.
//!
//! Only keys that were accepted get a bucket, so that strangers cannot fill the
//! memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::model::{KeyId, Timestamp};
use crate::store::{Change, KEYS, Store, StoreError};

/// Hours of the periods that are counted: an hour, a day, thirty days.
pub const PERIODS: [(&str, u64); 3] = [
    ("api_requests_hourly", 1),
    ("api_requests_daily", 24),
    ("api_requests_monthly", 24 * 30),
];

/// The buckets of all keys.
#[derive(Debug)]
pub struct Limiter {
    per_minute: u32,
    buckets: Mutex<HashMap<KeyId, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
    counts: [Count; PERIODS.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    period: u64,
    requests: u64,
}

impl Limiter {
    /// Makes a limiter; 0 is no limit.
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            buckets: Mutex::default(),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// Seconds to wait, if the key has made too many.
    pub fn take(&self, key: &KeyId, at: Instant, now: Timestamp) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = f64::from(self.per_minute);
        let bucket = buckets.entry(key.clone()).or_insert_with(|| Bucket {
            tokens: full,
            filled_at: at,
            counts: [Count::default(); PERIODS.len()],
        });
        bucket.count(now);
        if self.per_minute == 0 {
            return Ok(());
        }
        let waited = at.saturating_duration_since(bucket.filled_at);
        let per_second = full / 60.0;
        bucket.tokens = full.min(bucket.tokens + waited.as_secs_f64() * per_second);
        bucket.filled_at = at;
        if bucket.tokens < 1.0 {
            let seconds = (1.0 - bucket.tokens) / per_second;
            return Err(seconds.ceil().max(1.0) as u64);
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// Returns how many requests a key made in each period, since the daemon started.
    pub fn used(&self, key: &KeyId, now: Timestamp) -> [u64; PERIODS.len()] {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = buckets.get_mut(key) else {
            return [0; PERIODS.len()];
        };
        bucket.roll(now);
        bucket.counts.map(|count| count.requests)
    }

    /// Returns how many requests a key may make in each period.
    pub fn allowed(&self) -> [u64; PERIODS.len()] {
        // VirusTotal's clients expect a number where there is no limit, too.
        let hourly = match self.per_minute {
            0 => u64::from(u32::MAX),
            limit => u64::from(limit) * 60,
        };
        PERIODS.map(|(_, hours)| hourly * hours)
    }
}

impl Bucket {
    fn count(&mut self, now: Timestamp) {
        self.roll(now);
        for count in &mut self.counts {
            count.requests += 1;
        }
    }

    fn roll(&mut self, now: Timestamp) {
        for (count, (_, hours)) in self.counts.iter_mut().zip(PERIODS) {
            let period = now.seconds() / (hours * 3600);
            if count.period != period {
                *count = Count {
                    period,
                    requests: 0,
                };
            }
        }
    }
}

/// Keys that were used, until that is written down: never in a request's way.
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<KeyId, Timestamp>>);

/// How often uses are written down, and how old one is that is worth writing again.
const EVERY: Duration = Duration::from_secs(60);

impl Uses {
    /// Remembers that a key is used, if what is known of it is old.
    pub fn note(&self, key: &KeyId, last: Option<Timestamp>, now: Timestamp) {
        if last.is_some_and(|last| now.since(last) < EVERY) {
            return;
        }
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.insert(key.clone(), now);
    }

    /// Returns when a key was used, if that is not written down yet.
    pub fn of(&self, key: &KeyId) -> Option<Timestamp> {
        let uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.get(key).copied()
    }

    /// Writes uses down every minute, and once more when told to end.
    pub async fn keep(&self, store: &Store, end: &CancellationToken) {
        while !end.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = end.cancelled() => {}
            }
            if let Err(error) = self.write(store).await {
                tracing::warn!(%error, "Cannot write down when keys were used");
            }
        }
    }

    async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let uses = {
            let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *uses)
        };
        if uses.is_empty() {
            return Ok(());
        }
        let write = move |change: &mut Change<'_>| {
            for (key, at) in uses {
                if let Some(mut row) = change.get(&KEYS, &key)? {
                    row.last_used_at = row.last_used_at.max(Some(at));
                    change.put(&KEYS, &key, &row)?;
                }
            }
            Ok(())
        };
        store.write(write).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_bucket_refills_with_time_and_other_keys_have_their_own() {
        let limiter = Limiter::new(60);
        let (one, other) = (KeyId("1".to_owned()), KeyId("2".to_owned()));
        let (at, now) = (Instant::now(), Timestamp::from_millis(0));
        for _ in 0..60 {
            assert_eq!(limiter.take(&one, at, now), Ok(()));
        }
        assert_eq!(limiter.take(&one, at, now), Err(1));
        assert_eq!(limiter.take(&other, at, now), Ok(()));
        let later = at + Duration::from_secs(1);
        assert_eq!(limiter.take(&one, later, now), Ok(()));
        assert_eq!(limiter.take(&one, later, now), Err(1));
        assert_eq!(limiter.used(&one, now), [63; 3]);
        assert_eq!(
            limiter.used(&one, Timestamp::from_millis(3_600_000)),
            [0, 63, 63]
        );
    }
}
