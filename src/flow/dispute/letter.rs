//! The letter to a vendor: words that a person may change, and facts that stay whatever he says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::draft::one_line;
use super::evidence::with;
use crate::config::{ArchiveKind, Field, VendorEntry};
use crate::model::Incident;
use crate::store::BlobRow;

/// What parts of a subject stand between.
const DASHES: [&str; 2] = [" – ", " - "];

/// What a vendor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its subject, one line.
    pub subject: String,
    /// What a person may say otherwise; lines.
    pub words: String,
    /// Which file, which detection, and how the file goes with it; lines. They come last, so that
    /// nothing written before can be taken for their end.
    pub facts: String,
}

impl Letter {
    /// Returns the text as it leaves.
    pub fn text(&self) -> String {
        format!("{}\n\n{}", self.words, self.facts)
    }
}

/// Returns the words of a text that ends with these facts.
pub fn words_of<'a>(text: &'a str, facts: &str) -> &'a str {
    text.strip_suffix(facts).unwrap_or(text).trim_end()
}

/// All that a letter is made of.
pub struct Case<'a> {
    pub vendor: &'a VendorEntry,
    pub incident: &'a Incident,
    pub blob: &'a BlobRow,
    pub known: &'a BTreeMap<Field, String>,
    pub evidence: String,
    pub no_file: Option<&'a String>,
}

impl Case<'_> {
    /// Writes the letter as Acquit words it.
    pub fn letter(&self) -> Letter {
        Letter {
            subject: self.subject(),
            words: self.words().trim_end().to_owned(),
            facts: self.facts(),
        }
    }

    fn subject(&self) -> String {
        let of = |field: Field| {
            let value = self.known.get(&field).map_or("", String::as_str);
            value.strip_suffix(" (from the file)").unwrap_or(value)
        };
        let (product, version) = (of(Field::Product), of(Field::Version));
        let words = [
            ("{product}", product),
            ("{version}", version),
            ("{detection}", self.incident.detection.as_str()),
            ("{engine}", self.incident.engine.as_str()),
        ];
        subject(&self.vendor.subject, &words)
    }

    fn words(&self) -> String {
        let mut text = String::from(
            "Hello,\n\nyour engine detects a file of our software that we believe to be harmless. \
             Please check it and correct the detection.\n\n",
        );
        for (field, name) in [
            (Field::Product, "Program"),
            (Field::Version, "Version"),
            (Field::Company, "Made by"),
            (Field::ReleaseDate, "Released"),
            (Field::Suite, "Suite"),
            (Field::MainFiles, "Main files"),
            (Field::Homepage, "Site"),
            (Field::DownloadUrl, "Download"),
            (Field::Purpose, "Purpose"),
            (Field::Contact, "Contact"),
        ] {
            if let Some(value) = self.known.get(&field) {
                let _ = writeln!(text, "{name}: {value}");
            }
        }
        let gap = if self.known.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{gap}{}", self.evidence);
        text
    }

    fn facts(&self) -> String {
        let (digests, versions) = (&self.blob.digests, &self.incident.detected.versions);
        let mut text = String::new();
        for (name, value) in [
            ("Detection", one_line(self.incident.detection.as_str())),
            ("Engine", self.incident.engine.to_string()),
            ("With", with(versions)),
            ("SHA-256", digests.sha256.to_string()),
            ("SHA-1", digests.sha1.to_string()),
            ("MD5", digests.md5.to_string()),
            ("Size", format!("{} bytes", self.blob.size_bytes)),
        ] {
            let _ = writeln!(text, "{name}: {value}");
        }
        self.close(&mut text);
        text
    }

    fn close(&self, text: &mut String) {
        let VendorEntry {
            archive, password, ..
        } = self.vendor;
        let _ = match (self.no_file, archive, password.as_str()) {
            (Some(reason), ..) => writeln!(text, "\n{reason}"),
            (None, ArchiveKind::Plain, _) => writeln!(text, "\nThe file is attached as it is."),
            (None, _, "") => writeln!(text, "\nThe file is in the archive, without a password."),
            (None, _, password) => writeln!(
                text,
                "\nThe file is in the archive; its password is {password}"
            ),
        };
        if !self.vendor.text.is_empty() {
            let _ = writeln!(text, "\n{}", self.vendor.text);
        }
    }
}

/// Fills in a subject; a part between dashes that nothing is known for is left out.
fn subject(pattern: &str, words: &[(&str, &str)]) -> String {
    let dash = DASHES.into_iter().find(|dash| pattern.contains(dash));
    let dash = dash.unwrap_or(DASHES[0]);
    let parts = pattern.split(dash).map(|part| filled(part, words));
    let parts: Vec<_> = parts.filter(|part| !part.trim().is_empty()).collect();
    one_line(&parts.join(dash))
}

/// Fills a pattern in one pass: what is filled in is not looked at again.
fn filled(pattern: &str, words: &[(&str, &str)]) -> String {
    let (mut text, mut rest) = (String::new(), pattern);
    'next: while let Some(first) = rest.chars().next() {
        for (name, value) in words {
            if let Some(after) = rest.strip_prefix(name) {
                text.push_str(value);
                rest = after;
                continue 'next;
            }
        }
        text.push(first);
        rest = &rest[first.len_utf8()..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "False positive – {product} {version} – {detection}";

    #[track_caller]
    fn check(pattern: &str, (product, version): (&str, &str), expected: &str) {
        let words = [
            ("{product}", product),
            ("{version}", version),
            ("{detection}", "A – B"),
        ];
        assert_eq!(subject(pattern, &words), expected);
    }

    #[test]
    fn subject_has_no_place_for_what_nobody_knows() {
        check(
            USUAL,
            ("Anvil", "2.1"),
            "False positive – Anvil 2.1 – A – B",
        );
        check(USUAL, ("Anvil", ""), "False positive – Anvil – A – B");
        check(USUAL, ("", "2.1"), "False positive – 2.1 – A – B");
        check(USUAL, ("", ""), "False positive – A – B");
        check("FP - {product} - {detection}", ("", ""), "FP - A – B");
        // What is filled in is no pattern.
        let twice = "False positive – {detection} 1 – A – B";
        check(USUAL, ("{detection}", "1"), twice);
    }

    #[test]
    fn words_are_what_stands_before_the_facts() {
        let letter = Letter {
            subject: String::new(),
            words: "Hello,\n\nSHA-256: 00".to_owned(),
            facts: "SHA-256: 11\n".to_owned(),
        };
        let text = letter.text();
        assert_eq!(text, "Hello,\n\nSHA-256: 00\n\nSHA-256: 11\n");
        assert_eq!(words_of(&text, &letter.facts), letter.words);
    }
}
