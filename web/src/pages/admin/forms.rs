//! What the forms of administration have in common: what was typed stays, what is written becomes
//! what the API takes.

use askama::Template;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::show;
use crate::text::visible;

/// Decimal places of a gigabyte: one byte.
const PLACES: usize = 9;

/// The fields of a form as they are shown: what is known, or what was typed and refused.
#[derive(Clone, Debug, Default)]
pub struct Typed(Vec<(String, String)>);

impl Typed {
    /// Makes the fields of what is known.
    pub fn of<const N: usize>(pairs: [(&str, String); N]) -> Self {
        let pairs = pairs.into_iter();
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// Takes the fields that are named from a form that was sent; a password is never among them.
    pub fn posted(posted: &Posted, names: &[&str]) -> Self {
        let mut typed = Self::default();
        for name in names {
            typed.all(name, posted.all(name).map(str::to_owned));
        }
        typed
    }

    /// Adds every value of a field.
    pub fn all(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let values = values.into_iter().map(|value| (name.to_owned(), value));
        self.0.extend(values);
    }

    /// Returns a field; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Tells whether a value of a field is chosen.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.0
            .iter()
            .any(|(key, held)| key == name && held == value)
    }

    /// Tells whether any value of a field is chosen.
    pub fn any(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(key, held)| key == name && !held.is_empty())
    }
}

/// Shows a form once more with what the API said; what is no matter of the form is a page of its
/// own.
///
/// # Errors
/// The fault itself, or that the page cannot be made.
pub fn again(fault: &Fault, page: &impl Template) -> Result<Response, Fault> {
    match fault.status.as_u16() {
        400 | 403 | 409 | 413 | 422 | 429 if fault.code != "CsrfError" => {
            Ok((fault.status, show(page)?).into_response())
        }
        _ => Err(fault.clone()),
    }
}

/// Shows a page with a secret on it, which no cache keeps.
///
/// # Errors
/// If it cannot be made.
pub fn once(page: &impl Template) -> Result<Response, Fault> {
    let kept = [(header::CACHE_CONTROL, "no-store")];
    Ok((kept, show(page)?).into_response())
}

/// Returns a field as it is to be kept. What was not changed stays to the letter: a page shows
/// hidden characters by pictures, which must not come back in their place.
pub fn kept(posted: &Posted, known: &Typed, name: &str) -> String {
    unchanged(known.get(name), posted.raw(name))
        .trim()
        .to_owned()
}

fn unchanged<'a>(known: &'a str, typed: &'a str) -> &'a str {
    match visible(known).trim() == typed.trim() {
        true => known,
        false => typed,
    }
}

/// Splits addresses of mail at line breaks, commas, semicolons and spaces.
pub fn addresses(text: &str) -> Vec<String> {
    let parts = text.split([',', ';', '\n', '\r', ' ', '\t']);
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

/// Returns a field as the API takes it: null where it is empty.
pub fn or_null(text: &str) -> Value {
    match text.trim() {
        "" => Value::Null,
        text => json!(text),
    }
}

/// Makes an order of the fields that are filled in.
pub fn filled(posted: &Posted, names: &[&str]) -> Map<String, Value> {
    let filled = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), json!(posted.filled(name)?))));
    filled.collect()
}

/// Reads a number; nothing if the field is empty.
///
/// # Errors
/// Says which field is no number.
pub fn number(text: &str, what: &str) -> Result<Option<u64>, Fault> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if plain.is_empty() {
        return Ok(None);
    }
    let number = plain.parse().map(Some);
    number.map_err(|_| Fault::bad(format!("{what} is a whole number, or empty")))
}

/// Reads gigabytes as bytes, to the byte; nothing if the field is empty.
///
/// # Errors
/// If it is no such number.
pub fn gigabytes(text: &str) -> Result<Option<u64>, Fault> {
    let text = text.trim().replace(',', ".");
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Fault::bad("storage is a number of gigabytes such as 50 or 0.5, or empty");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() || rest.len() > PLACES || !digits(whole) || !digits(rest) {
        return Err(wrong());
    }
    let bytes = format!("{whole}{rest:0<PLACES$}").parse::<u64>();
    // JSON's numbers are exact to here.
    let bytes = bytes.ok().filter(|bytes| *bytes < 1 << 53);
    bytes.map(Some).ok_or_else(wrong)
}

/// Writes bytes as gigabytes, to the byte.
pub fn in_gigabytes(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else {
        return String::new();
    };
    let unit = 10_u64.pow(PLACES as u32);
    let text = format!("{}.{:0PLACES$}", bytes / unit, bytes % unit);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gigabytes_are_read_and_written_to_the_byte() {
        for (text, bytes) in [
            ("", None),
            ("50", Some(50_000_000_000)),
            ("0,5", Some(500_000_000)),
            ("1.073741824", Some(1_073_741_824)),
            ("0", Some(0)),
        ] {
            assert_eq!(gigabytes(text).unwrap(), bytes, "{text}");
        }
        for bad in ["-1", "a", ".", ".5", "1.0000000001", "99999999999", "1e3"] {
            assert!(gigabytes(bad).is_err(), "{bad}");
        }
        assert_eq!(in_gigabytes(Some(1_073_741_824)), "1.073741824");
        assert_eq!(in_gigabytes(Some(50_000_000_000)), "50");
        assert_eq!(in_gigabytes(Some(0)), "0");
        assert_eq!(in_gigabytes(None), "");
    }

    #[test]
    fn numbers_may_be_left_out_but_not_misspelt() {
        assert_eq!(number(" 1 000 ", "files").unwrap(), Some(1000));
        assert_eq!(number("", "files").unwrap(), None);
        assert!(number("many", "files").is_err());
    }

    #[test]
    fn addresses_are_split_however_they_are_written() {
        assert_eq!(
            addresses("a@b.c, d@e.f;\ng@h.i "),
            ["a@b.c", "d@e.f", "g@h.i"]
        );
        assert!(addresses(" \n").is_empty());
    }

    #[test]
    fn hidden_characters_of_what_nobody_changed_stay_as_they_are() {
        let known = "a\u{200D}b";
        assert_eq!(unchanged(known, &visible(known)), known);
        assert_eq!(unchanged(known, "ab"), "ab");
        assert_eq!(unchanged("", "new"), "new");
    }

    #[test]
    fn what_is_chosen_is_among_all_values_of_a_field() {
        let mut typed = Typed::of([("name", "Acme".to_owned())]);
        typed.all("engines", ["a".to_owned(), "b".to_owned()]);
        assert!(typed.has("engines", "b") && !typed.has("engines", "c"));
        assert_eq!((typed.get("name"), typed.get("other")), ("Acme", ""));
        assert!(typed.any("engines") && !typed.any("other"));
    }
}
