//! When something is done: a crontab's line, computed in the wall time of its zone.
//!
//! An hour that a change of the clocks leaves out is made up for after it, one
//! that comes twice counts once.

use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{Datelike, NaiveDateTime, Timelike};
use jiff::civil;
use jiff::tz::TimeZone;

use crate::model::Timestamp;

/// Names of the days of the week, as crontab numbers them.
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// When updates are made.
#[derive(Clone, Debug)]
pub struct Schedule {
    // Day of month and day of week, both given, mean either of them; the library knows only both.
    either: Vec<cron::Schedule>,
    zone: TimeZone,
}

/// Writes days of the week as the library wants them: crontab counts from Sunday 0, it from 1.
fn weekdays(field: &str) -> Result<String, String> {
    if matches!(field, "*" | "?") {
        return Ok("*".to_owned());
    }
    let mut days = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (weekday(from)?, weekday(to)?),
            None if range == "*" => (0, 6),
            None => (weekday(range)?, weekday(range)?),
        };
        let step = step.parse::<usize>().ok().filter(|step| *step > 0);
        let step = step.ok_or_else(|| format!("{part:?} has no step"))?;
        // From Friday to Monday goes over the end of the week.
        let to = if to < from { to + 7 } else { to };
        days.extend((from..=to).step_by(step).map(|day| DAYS[day % 7]));
    }
    Ok(days.into_iter().collect::<Vec<_>>().join(","))
}

fn weekday(text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>().ok().filter(|number| *number <= 7);
    let named = || DAYS.iter().position(|day| day.eq_ignore_ascii_case(text));
    number
        .or_else(named)
        .ok_or_else(|| format!("{text:?} is no day of the week; use 0 to 7 or SUN to SAT"))
}

impl Schedule {
    /// Reads a schedule of five fields; an empty zone is the machine's.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(schedule: &str, timezone: &str) -> Result<Self, String> {
        let zone = match timezone {
            "" => TimeZone::try_system().unwrap_or(TimeZone::UTC),
            name => TimeZone::get(name).map_err(|_| {
                format!(
                    "there is no time zone {name:?}; give one like \"Europe/Vienna\" or \"UTC\""
                )
            })?,
        };
        let fields: Vec<_> = schedule.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!(
                "{schedule:?} is no schedule: give minute, hour, day of month, month and day of week, \
             e.g. \"0 3 * * *\" for three o'clock every night"
            ));
        };
        let days =
            weekdays(weekday).map_err(|what| format!("in the schedule {schedule:?}: {what}"))?;
        let compile = |day: &str, days: &str| {
            let text = format!("0 {minute} {hour} {day} {month} {days}");
            cron::Schedule::from_str(&text).map_err(|error| {
                let what = error.to_string();
                format!("{schedule:?} is no schedule: {}", what.trim())
            })
        };
        let either = match (*day, days.as_str()) {
            ("*" | "?", days) => vec![compile("*", days)?],
            (day, "*") => vec![compile(day, "*")?],
            (day, days) => vec![compile(day, "*")?, compile("*", days)?],
        };
        Ok(Self { either, zone })
    }

    /// Returns the first time after `at`; nothing if there is none any more.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let instant = jiff::Timestamp::from_millisecond(i64::try_from(at.millis()).ok()?).ok()?;
        let here = wall(instant.to_zoned(self.zone.clone()).datetime())?.and_utc();
        let next = self.either.iter().filter_map(|one| one.after(&here).next());
        // Wall times go back once a year: whatever is not after `at` is passed over.
        let times = next.filter_map(|next| self.instant(next.naive_utc()));
        let first = times.filter(|next| *next > at).min();
        first.or_else(|| {
            let later = self.either.iter().flat_map(|one| one.after(&here).take(3));
            let times = later.filter_map(|next| self.instant(next.naive_utc()));
            times.filter(|next| *next > at).min()
        })
    }

    fn instant(&self, wall: NaiveDateTime) -> Option<Timestamp> {
        let at = civil::date(
            i16::try_from(wall.year()).ok()?,
            i8::try_from(wall.month()).ok()?,
            i8::try_from(wall.day()).ok()?,
        );
        let (hour, minute) = (wall.hour(), wall.minute());
        let at = at.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0);
        let zoned = at.to_zoned(self.zone.clone()).ok()?;
        let millis = u64::try_from(zoned.timestamp().as_millisecond()).ok()?;
        Some(Timestamp::from_millis(millis))
    }
}

fn wall(at: civil::DateTime) -> Option<NaiveDateTime> {
    let (year, month, day) = (at.year(), at.month(), at.day());
    let date = chrono::NaiveDate::from_ymd_opt(
        year.into(),
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )?;
    date.and_hms_opt(
        u32::try_from(at.hour()).ok()?,
        u32::try_from(at.minute()).ok()?,
        u32::try_from(at.second()).ok()?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap())
    }

    #[track_caller]
    fn check_next((schedule, zone): (&str, &str), from: &str, expected: &str) {
        let schedule = Schedule::parse(schedule, zone).unwrap();
        assert_eq!(schedule.next_after(at(from)), Some(at(expected)));
    }

    #[test]
    fn schedules_are_crontabs() {
        let utc = |schedule| (schedule, "UTC");
        check_next(
            utc("0 3 * * *"),
            "2026-11-24T02:00:00Z",
            "2026-11-24T03:00:00Z",
        );
        check_next(
            utc("0 3 * * *"),
            "2026-11-24T03:00:00Z",
            "2026-11-25T03:00:00Z",
        );
        check_next(
            utc("*/15 * * * *"),
            "2026-11-24T03:01:00Z",
            "2026-11-24T03:15:00Z",
        );
        // A Tuesday; Sunday is 0 and 7.
        check_next(
            utc("0 3 * * 0"),
            "2026-11-24T00:00:00Z",
            "2026-11-29T03:00:00Z",
        );
        check_next(
            utc("0 3 * * 7"),
            "2026-11-24T00:00:00Z",
            "2026-11-29T03:00:00Z",
        );
        check_next(
            utc("0 3 * * mon-fri"),
            "2026-11-27T04:00:00Z",
            "2026-11-30T03:00:00Z",
        );
        check_next(
            utc("0 3 * * 5-1"),
            "2026-11-24T04:00:00Z",
            "2026-11-27T03:00:00Z",
        );
        // Either the day of the month or that of the week.
        check_next(
            utc("0 3 26 * 5"),
            "2026-11-24T04:00:00Z",
            "2026-11-26T03:00:00Z",
        );
        check_next(
            utc("0 3 28 * 5"),
            "2026-11-24T04:00:00Z",
            "2026-11-27T03:00:00Z",
        );
    }

    #[test]
    fn changes_of_the_clocks_lose_no_night() {
        let vienna = |schedule| (schedule, "Europe/Vienna");
        check_next(
            vienna("0 3 * * *"),
            "2026-07-01T00:30:00Z",
            "2026-07-01T01:00:00Z",
        );
        check_next(
            vienna("0 3 * * *"),
            "2026-12-01T00:30:00Z",
            "2026-12-01T02:00:00Z",
        );
        // 02:30 does not exist on that day.
        check_next(
            vienna("30 2 * * *"),
            "2026-03-28T12:00:00Z",
            "2026-03-29T01:30:00Z",
        );
        // 02:30 comes twice on that day and counts once.
        check_next(
            vienna("30 2 * * *"),
            "2026-10-24T12:00:00Z",
            "2026-10-25T00:30:00Z",
        );
        check_next(
            vienna("30 2 * * *"),
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z",
        );
    }

    #[test]
    fn what_is_no_schedule_is_explained() {
        let says = |schedule, zone| Schedule::parse(schedule, zone).unwrap_err();
        assert!(says("daily", "").contains("0 3 * * *"));
        assert!(says("61 3 * * *", "").contains("61 3 * * *"));
        assert!(says("0 3 * * someday", "").contains("someday"));
        assert!(says("0 3 * * *", "Mars/Olympus").contains("Mars/Olympus"));
    }
}
