//! Finds the line of a manifest that a key stands on.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where something stands in a file, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// Finds a key like `parse.lines.0.pattern`, or the nearest table around it.
pub fn key(text: &str, key: &str) -> Option<Place> {
    let table = DeTable::parse(text).ok()?;
    let mut steps = key.split('.');
    let mut found = table.get_ref().get(steps.next()?)?;
    for step in steps {
        match inside(found, step) {
            Some(value) => found = value,
            None => break,
        }
    }
    Some(offset(text, found.span().start))
}

fn inside<'a, 'v>(value: &'a Spanned<DeValue<'v>>, step: &str) -> Option<&'a Spanned<DeValue<'v>>> {
    match value.get_ref() {
        DeValue::Table(table) => table.get(step),
        DeValue::Array(array) => array.get(step.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Turns a byte offset into a place.
pub fn offset(text: &str, offset: usize) -> Place {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let before = String::from_utf8_lossy(before);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before[start..].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &str, line: usize, column: usize) {
        let text = "id = 'a'\n[run]\nslots = 2\n[[parse.lines]]\npattern = 'x'\n";
        assert_eq!(key(text, wanted), Some(Place { line, column }));
    }

    #[test]
    fn keys_are_found() {
        check("id", 1, 6);
        check("run.slots", 3, 9);
        check("parse.lines.0.pattern", 5, 11);
    }

    #[test]
    fn missing_key_is_found_as_its_table() {
        check("run.command", 2, 1);
    }
}
