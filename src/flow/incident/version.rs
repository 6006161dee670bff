//! Puts versions of programs in order, as far as they can be.

use std::cmp::Ordering;

/// What a version's last part begins with if it comes before the version itself.
const BEFORE: [&str; 7] = ["alpha", "beta", "rc", "pre", "dev", "a", "b"];

/// Tells whether a version is certainly greater than another; of two that cannot be compared
/// neither is.
pub fn is_greater(version: &str, than: &str) -> bool {
    let (one, other) = (Parts::of(version), Parts::of(than));
    if one.name != other.name || one.numbers.is_empty() || other.numbers.is_empty() {
        return false;
    }
    match one.numbers.cmp(&other.numbers) {
        Ordering::Greater => true,
        Ordering::Less => false,
        Ordering::Equal => is_later(one.rest, other.rest),
    }
}

/// Compares what follows the numbers: `-rc1` comes before nothing, and `-2` before `-10`.
fn is_later(rest: &str, than: &str) -> bool {
    if rest.is_empty() {
        return is_before(than);
    }
    let (one, other) = (skeleton(rest), skeleton(than));
    one == other && runs(rest) > runs(than)
}

fn is_before(rest: &str) -> bool {
    let word = rest.trim_start_matches(['-', '~', '.', '_']);
    let word: String = word.chars().take_while(char::is_ascii_alphabetic).collect();
    BEFORE.contains(&word.to_ascii_lowercase().as_str())
}

/// A version in parts: a program's name, numbers with dots between them, and the rest.
struct Parts<'a> {
    name: &'a str,
    numbers: Vec<u128>,
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(version: &'a str) -> Self {
        let start = version.find(|c: char| c.is_ascii_digit());
        let (name, tail) = version.split_at(start.unwrap_or(version.len()));
        let dotted = |c: char| c.is_ascii_digit() || c == '.';
        let end = tail.find(|c| !dotted(c)).unwrap_or(tail.len());
        let (dotted, rest) = tail.split_at(end);
        let mut numbers = runs(dotted);
        while numbers.last() == Some(&0) && numbers.len() > 1 {
            numbers.pop();
        }
        let (name, rest) = (name.trim(), rest.trim());
        Self {
            name,
            numbers,
            rest,
        }
    }
}

fn runs(text: &str) -> Vec<u128> {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    let runs = runs.filter(|run| !run.is_empty());
    runs.map(|run| run.parse().unwrap_or(u128::MAX)).collect()
}

fn skeleton(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::is_greater;

    #[test]
    fn numbers_are_compared_as_numbers_and_nothing_is_guessed() {
        for (version, than) in [
            ("1.4.10", "1.4.9"),
            ("1.5", "1.4.9"),
            ("1.4.1", "1.4"),
            ("ClamAV 1.5.0", "ClamAV 1.4.3"),
            ("1.0", "1.0-rc2"),
            ("1.0-rc10", "1.0-rc2"),
            ("2.10-2", "2.10-1"),
            ("20261124", "20261123"),
        ] {
            assert!(is_greater(version, than), "{version} > {than}");
            assert!(!is_greater(than, version), "{than} > {version}");
        }
        for (one, other) in [
            ("1.4", "1.4"),
            ("1.4", "1.4.0"),
            ("1.0-gabc", "1.0-gdef"),
            ("1.0", "1.0p1"),
            ("one 2", "two 1"),
            ("unknown", "1.0"),
            ("", ""),
        ] {
            assert!(!is_greater(one, other), "{one} > {other}");
            assert!(!is_greater(other, one), "{other} > {one}");
        }
    }
}
