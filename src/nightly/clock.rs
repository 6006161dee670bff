//! When an engine is updated: a pure function of its schedule, its past and the present.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::config::Schedule;
use crate::model::{EngineId, Timestamp, Trigger, UpdateOutcome};
use crate::store::ClockRow;

/// Pause after the first failed update; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// Longest pause after a failed update.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);
/// Shortest pause after a rejected set: its vendor needs time to mend it.
const REJECTED_PAUSE: Duration = Duration::from_secs(60 * 60);
/// Pause after an update that the end of the daemon cut off.
const INTERRUPTED_PAUSE: Duration = Duration::from_secs(10);
/// How much later than planned an update still is on time.
const ON_TIME: Duration = Duration::from_secs(120);

/// When the next update is due, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub trigger: Trigger,
}

/// Returns when an engine's next update is due; nothing if the clock starts none.
pub fn due(
    engine: &EngineId,
    (schedule, jitter): (&Schedule, Duration),
    clock: &ClockRow,
    now: Timestamp,
) -> Option<Due> {
    let Some(started) = clock.started_at else {
        // Whoever has never been updated waits for no night.
        return Some(Due {
            at: clock.since,
            trigger: Trigger::Missed,
        });
    };
    // A clock that was set back must not put the next update off for ever.
    let last = started.min(now);
    let scheduled = schedule.next_after(last).map(|at| Due {
        at: at.after(spread(engine, at, jitter)),
        trigger: Trigger::Schedule,
    });
    let retry = pause(clock).map(|pause| Due {
        at: last.after(pause),
        trigger: Trigger::Retry,
    });
    let first = scheduled.into_iter().chain(retry).min_by_key(|due| due.at);
    first.map(|due| match due.trigger {
        Trigger::Schedule if now.since(due.at) > ON_TIME => Due {
            trigger: Trigger::Missed,
            ..due
        },
        _ => due,
    })
}

/// Returns how long after a failed update the next may begin.
fn pause(clock: &ClockRow) -> Option<Duration> {
    let doubled = FIRST_PAUSE.saturating_mul(1 << clock.failures.saturating_sub(1).min(10));
    let backoff = doubled.min(LONGEST_PAUSE);
    match clock.outcome {
        Some(UpdateOutcome::Failed) => Some(backoff),
        Some(UpdateOutcome::Rejected) => Some(backoff.max(REJECTED_PAUSE)),
        // Two in a row may be its own doing.
        Some(UpdateOutcome::Interrupted) | None if clock.failures > 1 => Some(backoff),
        Some(UpdateOutcome::Interrupted) | None => Some(INTERRUPTED_PAUSE),
        Some(UpdateOutcome::Unchanged | UpdateOutcome::Promoted) => None,
    }
}

/// Returns by how much an engine's update is put off: the same for the same engine and time.
fn spread(engine: &EngineId, at: Timestamp, jitter: Duration) -> Duration {
    let seed = Sha256::digest(format!("{engine} {}", at.millis()));
    let seed = seed
        .iter()
        .take(4)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Duration::from_millis(seed % u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap())
    }

    fn due_of(clock: &ClockRow, now: &str) -> Due {
        let schedule = Schedule::parse("0 3 * * *", "UTC").unwrap();
        let engine = "clamav".parse().unwrap();
        due(&engine, (&schedule, Duration::ZERO), clock, at(now)).unwrap()
    }

    #[track_caller]
    fn check_due(clock: &ClockRow, now: &str, (expected, trigger): (&str, Trigger)) {
        let expected = at(expected);
        let due = due_of(clock, now);
        assert_eq!(
            due,
            Due {
                at: expected,
                trigger
            }
        );
    }

    #[test]
    fn next_update_depends_on_the_last() {
        let clock = |outcome, failures| ClockRow {
            started_at: Some(at("2026-11-24T03:00:00Z")),
            outcome: Some(outcome),
            failures,
            ..ClockRow::default()
        };
        let now = "2026-11-24T03:10:00Z";
        let night = ("2026-11-25T03:00:00Z", Trigger::Schedule);
        check_due(&clock(UpdateOutcome::Promoted, 0), now, night);
        check_due(&clock(UpdateOutcome::Unchanged, 0), now, night);
        let retry = |at| (at, Trigger::Retry);
        check_due(
            &clock(UpdateOutcome::Failed, 1),
            now,
            retry("2026-11-24T03:05:00Z"),
        );
        check_due(
            &clock(UpdateOutcome::Failed, 3),
            now,
            retry("2026-11-24T03:20:00Z"),
        );
        check_due(
            &clock(UpdateOutcome::Failed, 30),
            now,
            retry("2026-11-24T09:00:00Z"),
        );
        check_due(
            &clock(UpdateOutcome::Rejected, 1),
            now,
            retry("2026-11-24T04:00:00Z"),
        );
        check_due(
            &clock(UpdateOutcome::Interrupted, 1),
            now,
            retry("2026-11-24T03:00:10Z"),
        );
        let missed = ("2026-11-25T03:00:00Z", Trigger::Missed);
        check_due(
            &clock(UpdateOutcome::Promoted, 0),
            "2026-11-27T12:00:00Z",
            missed,
        );
        // The machine's clock was set back by years.
        let back = ("2021-01-01T03:00:00Z", Trigger::Schedule);
        check_due(
            &clock(UpdateOutcome::Promoted, 0),
            "2021-01-01T00:00:00Z",
            back,
        );
    }

    #[test]
    fn engines_are_spread_but_each_keeps_its_time() {
        let (jitter, night) = (Duration::from_secs(1800), at("2026-11-25T03:00:00Z"));
        let spread = |engine: &str| spread(&engine.parse().unwrap(), night, jitter);
        assert_eq!(spread("clamav"), spread("clamav"));
        assert_ne!(spread("clamav"), spread("yara"));
        assert!(spread("clamav") < jitter);
    }
}
