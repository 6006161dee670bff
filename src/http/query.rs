//! Writes the query of a URL: that of a list, for whoever goes on from it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a value.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b':')
    .remove(b'/');

/// Writes a query with its question mark; what is empty is left out.
pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = String::new();
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(&format!("{name}={}", escaped(value)));
    }
    query
}

/// Escapes a query's value.
pub fn escaped(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_left_out_and_the_rest_escaped() {
        assert_eq!(of([("a", ""), ("b", "")]), "");
        let seen = of([("a", ""), ("filter", "path:/x y"), ("c", "1&2")]);
        assert_eq!(seen, "?filter=path:/x%20y&c=1%262");
    }
}
