//! When somebody is told: at once or together, not while they sleep, and again after a failure.
//!
//! Nothing here asks the clock: `now` is an argument.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, ToSpan as _, Zoned};

use crate::model::{Pace, Subscription, Timestamp};

/// Pauses between tries, as the Standard Webhooks specification recommends, in seconds.
const PAUSES: [u64; 8] = [
    5,
    5 * 60,
    30 * 60,
    2 * 3600,
    5 * 3600,
    10 * 3600,
    14 * 3600,
    20 * 3600,
];
/// Longest pause another side may ask for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Share of a pause that chance adds, in percent.
const JITTER: u64 = 10;

/// Returns when what came up at a time is due.
pub fn due(subscription: &Subscription, created: Timestamp) -> Timestamp {
    let due = slot(subscription, created).unwrap_or(created);
    quiet_until(subscription, due).unwrap_or(due)
}

/// Returns the digest in which what came up at a time is told; nothing if it is told at once.
pub fn slot(subscription: &Subscription, created: Timestamp) -> Option<Timestamp> {
    match subscription.pace {
        Pace::Immediate => None,
        Pace::Daily { hour } => next_hour(subscription, created, hour),
    }
}

/// Returns until when the subscription is not to be disturbed; nothing if it may be now.
pub fn quiet_until(subscription: &Subscription, now: Timestamp) -> Option<Timestamp> {
    let quiet = subscription.quiet.as_ref()?;
    let hour = u8::try_from(local(subscription, now)?.hour()).ok()?;
    let (from, until) = (quiet.from, quiet.until);
    let is_quiet = match from < until {
        true => (from..until).contains(&hour),
        false => from != until && (hour >= from || hour < until),
    };
    is_quiet.then(|| next_hour(subscription, now, until))?
}

/// Returns the next time after `now` at which it is that hour there.
fn next_hour(subscription: &Subscription, now: Timestamp, hour: u8) -> Option<Timestamp> {
    let local = local(subscription, now)?;
    let hour = i8::try_from(hour).ok()?;
    for days in 0..3 {
        let day = local
            .date()
            .checked_add(i32::from(days as u8).days())
            .ok()?;
        let at = day.at(hour, 0, 0, 0).to_zoned(local.time_zone().clone());
        let at = u64::try_from(at.ok()?.timestamp().as_millisecond()).ok()?;
        if at > now.millis() {
            return Some(Timestamp::from_millis(at));
        }
    }
    None
}

fn local(subscription: &Subscription, now: Timestamp) -> Option<Zoned> {
    let zone = subscription.quiet.as_ref().and_then(|q| q.zone.as_deref());
    let zone = zone.and_then(|name| TimeZone::get(name).ok());
    let at = Instant::from_millisecond(i64::try_from(now.millis()).ok()?).ok()?;
    Some(at.to_zoned(zone.unwrap_or_else(TimeZone::system)))
}

/// Returns how long to wait after so many tries; `asked` is what the other side asks for,
/// `chance` any number.
pub fn pause(tries: usize, asked: Option<Duration>, chance: u64) -> Duration {
    let last = PAUSES.len() - 1;
    let base = PAUSES[tries.saturating_sub(1).min(last)] * 1000;
    let jitter = chance % (base * JITTER / 100 + 1);
    let pause = Duration::from_millis(base + jitter);
    asked.map_or(pause, |asked| pause.max(asked.min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Audience, Channel, QuietHours};

    fn at(text: &str) -> Timestamp {
        let at: Instant = text.parse().unwrap();
        Timestamp::from_millis(at.as_millisecond().try_into().unwrap())
    }

    fn subscription(pace: Pace, hours: Option<(u8, u8)>) -> Subscription {
        Subscription {
            id: 1,
            audience: Audience::Admin,
            channel: Channel::Command {
                name: "c".to_owned(),
            },
            kinds: Default::default(),
            pace,
            quiet: hours.map(|(from, until)| QuietHours {
                from,
                until,
                zone: Some("Europe/Berlin".to_owned()),
            }),
            created_at: Timestamp::default(),
            creator: String::new(),
            disabled: None,
        }
    }

    #[test]
    fn night_is_quiet_over_midnight_in_its_own_time_zone() {
        let night = subscription(Pace::Immediate, Some((22, 7)));
        // In summer Berlin is two hours ahead of UTC.
        let end = at("2026-07-02T05:00:00Z");
        let until = Some(end);
        assert_eq!(quiet_until(&night, at("2026-07-01T20:00:00Z")), until);
        assert_eq!(quiet_until(&night, at("2026-07-02T04:59:59Z")), until);
        assert_eq!(quiet_until(&night, at("2026-07-02T05:00:00Z")), None);
        assert_eq!(due(&night, at("2026-07-01T23:00:00Z")), end);
    }

    #[test]
    fn digest_comes_at_its_hour_and_never_in_the_same_moment() {
        let daily = subscription(Pace::Daily { hour: 8 }, Some((0, 0)));
        let eight = at("2026-01-05T07:00:00Z");
        assert_eq!(due(&daily, at("2026-01-04T07:00:00Z")), eight);
        assert_eq!(due(&daily, at("2026-01-05T06:59:59Z")), eight);
        assert_eq!(due(&daily, eight), at("2026-01-06T07:00:00Z"));
    }

    #[test]
    fn digest_in_quiet_hours_waits_until_they_are_over() {
        let daily = subscription(Pace::Daily { hour: 3 }, Some((22, 7)));
        let seven = at("2026-01-05T06:00:00Z");
        assert_eq!(due(&daily, at("2026-01-04T12:00:00Z")), seven);
    }

    #[test]
    fn pauses_grow_and_what_the_other_side_asks_for_is_kept() {
        assert_eq!(pause(1, None, 0), Duration::from_secs(5));
        assert_eq!(pause(2, None, 0), Duration::from_secs(300));
        assert!(pause(1, None, 499) < Duration::from_secs(6));
        assert_eq!(pause(99, None, 0), Duration::from_secs(72_000));
        let asked = Some(Duration::from_secs(120));
        assert_eq!(pause(1, asked, 0), Duration::from_secs(120));
        assert_eq!(pause(3, asked, 0), Duration::from_secs(1800));
        let endless = Some(Duration::from_secs(u64::MAX));
        assert_eq!(pause(1, endless, 0), LONGEST);
    }
}
