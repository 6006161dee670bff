//! The filter of `/monitor/events`, as clients really send it.
//!
//! An operator stands after its value: `level:2+`. In a query a raw `+` is also a space, so the raw
//! query is read: before a key and between words a plus sign separates, at the end of a value it is
//! the operator, within one (an id in base64) it is itself.

use chrono::{NaiveDate, NaiveDateTime};

use super::super::error::ApiError;
use super::events::{MonitorEvent, words};
use crate::model::{ItemId, Timestamp};
use crate::store::EventGlance;

/// Keys a filter may have.
const KEYS: [&str; 7] = [
    "action",
    "creator_id",
    "level",
    "monitor_key",
    "owner_id",
    "source",
    "timestamp",
];
/// Who did what nobody else did.
pub const ACQUIT: &str = "acquit";
/// Seconds of a day.
const DAY: u64 = 86_400;

/// Which events are wanted: all conditions together.
#[derive(Debug, Default)]
pub struct Filter {
    text: String,
    words: Vec<(&'static str, String)>,
    levels: Vec<(u64, Operator)>,
    /// Marks of those who did it; nothing for Acquit.
    actors: Vec<Option<u32>>,
    /// Marks of where; nothing for what is no item's id.
    paths: Vec<Option<u32>>,
    /// From and until when, the end not included.
    times: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Least,
    Most,
    Equal,
}

impl Filter {
    /// Reads the filter of a raw query.
    ///
    /// # Errors
    /// If a word is none of a filter's.
    pub fn of_query(raw: &str) -> Result<Self, ApiError> {
        let mut parts = raw
            .split('&')
            .filter_map(|part| part.strip_prefix("filter="));
        let text = unescaped(parts.next().unwrap_or(""))?;
        let mut filter = Self::default();
        for word in text.split_whitespace() {
            filter.add(word)?;
        }
        filter.text = text.trim().to_owned();
        Ok(filter)
    }

    /// Returns the filter as text.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn add(&mut self, word: &str) -> Result<(), ApiError> {
        let unknown = || {
            let keys = KEYS.join(", ");
            ApiError::invalid_argument(format!("filter: {word:?} begins with none of {keys}"))
        };
        let (key, value) = word.split_once(':').ok_or_else(unknown)?;
        let key = KEYS
            .into_iter()
            .find(|known| *known == key)
            .ok_or_else(unknown)?;
        match key {
            "level" => {
                let (value, operator) = operator(value);
                let level = value.parse().map_err(|_| {
                    ApiError::invalid_argument("filter: a level is a number from 0 to 4")
                })?;
                self.levels.push((level, operator));
            }
            "timestamp" => self.times.push(span(value)?),
            key => self.add_word(key, value),
        }
        Ok(())
    }

    fn add_word(&mut self, key: &'static str, value: &str) {
        match key {
            "creator_id" => {
                let actor = Some(value).filter(|actor| *actor != ACQUIT);
                self.actors.push(actor.map(EventGlance::mark));
            }
            "monitor_key" => {
                let path = value.parse::<ItemId>().ok().map(|id| id.path);
                self.paths
                    .push(path.map(|path| EventGlance::mark(path.as_str())));
            }
            _ => {}
        }
        self.words.push((key, value.to_owned()));
    }

    /// Tells whether an event may fit, by what is told of it without reading it.
    pub fn may_fit(&self, glance: &EventGlance) -> bool {
        let Some((action, source, level)) = words(glance.kind) else {
            return false;
        };
        let says = |key: &str, said: &str| {
            let mut wanted = self.words.iter().filter(|(of, _)| *of == key);
            wanted.all(|(_, value)| said.eq_ignore_ascii_case(value))
        };
        says("action", action)
            && says("source", source)
            && self.has_level(u64::from(level))
            && self.actors.iter().all(|actor| *actor == glance.actor)
            && self
                .paths
                .iter()
                .all(|path| path.is_some() && *path == glance.path)
    }

    fn has_level(&self, level: u64) -> bool {
        self.levels.iter().all(|(wanted, operator)| match operator {
            Operator::Least => level >= *wanted,
            Operator::Most => level <= *wanted,
            Operator::Equal => level == *wanted,
        })
    }

    /// Tells whether an event fits.
    pub fn fits(&self, event: &MonitorEvent) -> bool {
        let fields = event.fields();
        let level = fields.level.parse::<u64>().unwrap_or(0);
        let fits = |(key, value): &(&str, String)| match *key {
            "action" => fields.action.eq_ignore_ascii_case(value),
            "source" => fields.source.eq_ignore_ascii_case(value),
            "creator_id" => fields.creator_id == *value,
            "owner_id" => fields.owner_id == *value,
            _ => fields.monitor_key.as_deref() == Some(value),
        };
        self.words.iter().all(fits)
            && self.has_level(level)
            && self
                .times
                .iter()
                .all(|(from, until)| (*from..*until).contains(&event.date()))
    }

    /// Returns the time from which on nothing fits.
    pub fn before(&self) -> Option<Timestamp> {
        let ends = self.times.iter().map(|(_, until)| *until);
        let first = ends.min().filter(|until| *until < u64::MAX / 1_000_000);
        first.map(|seconds| Timestamp::from_millis(seconds * 1000))
    }

    /// Tells whether nothing that happened at that time or before can fit.
    pub fn is_past(&self, at: Timestamp) -> bool {
        self.times.iter().any(|(from, _)| at.seconds() < *from)
    }
}

fn operator(value: &str) -> (&str, Operator) {
    let of = |mark| value.strip_suffix(mark);
    match (of('+'), of('-'), of('=')) {
        (Some(value), ..) => (value, Operator::Least),
        (_, Some(value), _) => (value, Operator::Most),
        (_, _, Some(value)) => (value, Operator::Equal),
        _ => (value, Operator::Equal),
    }
}

/// Reads a day or a second, and what the operator makes of it.
fn span(value: &str) -> Result<(u64, u64), ApiError> {
    let (value, operator) = operator(value);
    let times = ["%Y-%m-%dT%H:%M:%S", "%Y%m%dT%H:%M:%S", "%Y%m%dT%H%M%S"];
    let second = times
        .iter()
        .find_map(|f| NaiveDateTime::parse_from_str(value, f).ok());
    let days = ["%Y-%m-%d", "%Y%m%d"];
    let day = days
        .iter()
        .find_map(|f| NaiveDate::parse_from_str(value, f).ok());
    let day = day.and_then(|day| day.and_hms_opt(0, 0, 0));
    let (start, length) = match (second, day) {
        (Some(second), _) => (second, 1),
        (None, Some(day)) => (day, DAY),
        (None, None) => {
            let message = "filter: a timestamp is YYYY-MM-DDTHH:MM:SS or YYYY-MM-DD, UTC";
            return Err(ApiError::invalid_argument(message));
        }
    };
    let start = u64::try_from(start.and_utc().timestamp()).unwrap_or(0);
    Ok(match operator {
        Operator::Least => (start, u64::MAX),
        Operator::Most => (0, start + length),
        Operator::Equal => (start, start + length),
    })
}

/// Decodes a query's value; see above for what becomes of a plus sign.
fn unescaped(raw: &str) -> Result<String, ApiError> {
    let malformed = || ApiError::invalid_argument("filter: its escapes are malformed");
    let (mut bytes, mut rest) = (Vec::new(), raw);
    while let Some(first) = rest.chars().next() {
        let (_, after) = rest.split_at(first.len_utf8());
        match first {
            '%' => {
                let code = after.get(..2).ok_or_else(malformed)?;
                bytes.push(u8::from_str_radix(code, 16).map_err(|_| malformed())?);
                rest = &after[2..];
                continue;
            }
            '+' if begins_word(after) => bytes.push(b' '),
            first => bytes.extend(first.encode_utf8(&mut [0; 4]).bytes()),
        }
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

fn begins_word(rest: &str) -> bool {
    KEYS.iter().any(|key| {
        let after = rest.strip_prefix(key);
        after.is_some_and(|after| after.starts_with(':') || after.starts_with("%3A"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, words: &[(&str, &str)], levels: &[(u64, Operator)]) {
        let filter = Filter::of_query(raw).unwrap();
        let seen: Vec<_> = filter.words.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(
            (seen.as_slice(), filter.levels.as_slice()),
            (words, levels),
            "{raw}"
        );
    }

    #[test]
    fn plus_sign_is_what_it_was_meant_to_be() {
        let least = [(2, Operator::Least)];
        check("filter=level:2+", &[], &least);
        check("limit=3&filter=level%3A2%2B&cursor=x", &[], &least);
        check(
            "filter=level:2+%20monitor_key:a+b/c=",
            &[("monitor_key", "a+b/c=")],
            &least,
        );
        check(
            "filter=level:2++action:UPLOAD",
            &[("action", "UPLOAD")],
            &least,
        );
        check(
            "filter=level:2%2B+action%3AUPLOAD",
            &[("action", "UPLOAD")],
            &least,
        );
        let equal = [(2, Operator::Equal)];
        check(
            "filter=level:2+action:UPLOAD",
            &[("action", "UPLOAD")],
            &equal,
        );
        check("filter=level:2-", &[], &[(2, Operator::Most)]);
        check("", &[], &[]);
    }

    #[test]
    fn timestamps_are_days_or_seconds() {
        let span = |text| span(text).unwrap();
        assert_eq!(span("1970-01-02"), (DAY, 2 * DAY));
        assert_eq!(span("1970-01-02-"), (0, 2 * DAY));
        assert_eq!(span("1970-01-01T00:00:09+"), (9, u64::MAX));
        assert_eq!(span("19700101T00:00:09"), (9, 10));
        for bad in [
            "filter=level:x",
            "filter=colour:red",
            "filter=timestamp:soon",
            "filter=%zz",
        ] {
            assert!(Filter::of_query(bad).is_err(), "{bad}");
        }
    }
}
