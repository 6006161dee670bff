//! Which incidents are asked for, in words, and in which order.

use crate::flow::incident::find::{Days, Named, Order, Wanted};
use crate::flow::vendor::daily::day_start;
use crate::http::error::ApiError;
use crate::http::now;
use crate::model::{IncidentState, Timestamp};

/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// Reads words, each with what stands behind its colon, in double quotes if that has spaces.
///
/// # Errors
/// If a word is unknown, or what it says is not understood.
pub fn parse(text: &str) -> Result<Wanted, ApiError> {
    let mut wanted = Wanted::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(|| unknown(rest))?;
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, left) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
                (value.to_owned(), left)
            }
        };
        add(&mut wanted, (key, &value))?;
        rest = left.trim_start();
    }
    Ok(wanted)
}

/// Reads up to the closing quote, and what is behind it; two quotes are one that closes nothing.
fn unquoted(text: &str) -> Result<(String, &str), ApiError> {
    let (mut value, mut rest) = (String::new(), text);
    loop {
        let (part, left) = rest
            .split_once('"')
            .ok_or_else(|| ApiError::invalid_argument("filter: a double quote is missing"))?;
        value.push_str(part);
        match left.strip_prefix('"') {
            None => return Ok((value, left)),
            Some(more) => rest = more,
        }
        value.push('"');
    }
}

fn unknown(word: &str) -> ApiError {
    ApiError::invalid_argument(format!(
        "filter: {word:?} is none of state:…, engine:…, publisher:…, owner:…, path:…, \
         detection:…, opened_from:…, opened_until:…, closed_from:…, closed_until:…, overdue:true"
    ))
}

fn add(wanted: &mut Wanted, (key, value): (&str, &str)) -> Result<(), ApiError> {
    match key {
        "state" => {
            let states = IncidentState::ALL.into_iter();
            let state = states.into_iter().find(|state| state.as_str() == value);
            let state = state.ok_or_else(|| bad(&format!("there is no state {value:?}")))?;
            wanted.states.insert(state);
        }
        "engine" => {
            let engine = value.parse().map_err(|error| bad(&error))?;
            wanted.engines.insert(engine);
        }
        "publisher" => wanted.publisher = Some(value.parse().map_err(|error| bad(&error))?),
        "owner" => wanted.owner = Some(value.to_owned()),
        "path" => wanted.path = Some(value.parse().map_err(|error| bad(&error))?),
        "detection" => wanted.detection = Some(named(value)?),
        "overdue" if value == "true" => wanted.overdue_at = Some(now()),
        _ => return add_day(wanted, (key, value)),
    }
    Ok(())
}

fn add_day(wanted: &mut Wanted, (key, value): (&str, &str)) -> Result<(), ApiError> {
    let (days, end): (&mut Days, _) = match key {
        "opened_from" => (&mut wanted.opened, false),
        "opened_until" => (&mut wanted.opened, true),
        "closed_from" => (&mut wanted.closed, false),
        "closed_until" => (&mut wanted.closed, true),
        _ => return Err(unknown(&format!("{key}:{value}"))),
    };
    let start = day(value)?;
    match end {
        false => days.from = Some(start),
        true => days.end = Some(Timestamp::from_millis(start.millis() + DAY)),
    }
    Ok(())
}

fn bad(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::invalid_argument(format!("filter: {error}"))
}

/// Reads a name, whole behind an equals sign, else a part of one.
fn named(value: &str) -> Result<Named, ApiError> {
    let whole = value.strip_prefix('=');
    if whole.unwrap_or(value).trim().is_empty() {
        return Err(bad(&"the detection has no name"));
    }
    Ok(match whole {
        Some(whole) => Named::Exactly(whole.to_owned()),
        None => Named::With(value.to_lowercase()),
    })
}

/// Reads a day's beginning, in UTC.
fn day(value: &str) -> Result<Timestamp, ApiError> {
    day_start(value).ok_or_else(|| bad(&format!("{value:?} is no day like 2026-11-26")))
}

/// Reads which come first: `opened` for the oldest, with `-` before it or nothing the newest.
///
/// # Errors
/// If it is another word.
pub fn order(text: &str) -> Result<Order, ApiError> {
    match text {
        "" | "-opened" => Ok(Order::Newest),
        "opened" => Ok(Order::Oldest),
        _ => Err(ApiError::invalid_argument(
            "order is opened, or -opened for the newest first",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_in_quotes_may_have_quotes() {
        let wanted = parse("detection:\"=a \"\"b\"\" c\" owner:x").unwrap();
        assert_eq!(
            wanted.detection,
            Some(Named::Exactly("a \"b\" c".to_owned()))
        );
        assert_eq!(wanted.owner.as_deref(), Some("x"));
        let part = parse("detection:Trojan.").unwrap().detection;
        assert_eq!(part, Some(Named::With("trojan.".to_owned())));
        for wrong in [
            "detection:\"a",
            "detection:=",
            "detection:\"a\"\"",
            "detection:",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn days_have_both_ends_in_them() {
        let wanted = parse("opened_from:1970-01-02 opened_until:1970-01-02").unwrap();
        let at = |day: u64| Some(Timestamp::from_millis(day * DAY));
        assert_eq!((wanted.opened.from, wanted.opened.end), (at(1), at(2)));
        assert_eq!(wanted.closed, Days::default());
        for wrong in ["yesterday", "1969-12-31", "2026-02-30", ""] {
            assert!(parse(&format!("closed_until:{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn newest_come_first_unless_said_otherwise() {
        assert_eq!(order("").unwrap(), Order::Newest);
        assert_eq!(order("opened").unwrap(), Order::Oldest);
        assert!(order("size").is_err());
    }
}
