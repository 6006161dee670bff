//! Which items are wanted: what the page's query says, and the API's filter for it.

use serde::Deserialize;

use crate::backend::query;
use crate::text::moment;

/// States an item can be wanted in, with their names.
pub const STATES: [(&str, &str); 5] = [
    ("all", "All"),
    ("detected", "Detected"),
    ("undetected", "Undetected"),
    ("failed", "An engine did not answer"),
    ("unscanned", "Never scanned"),
];

/// The page's query.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Whose collection.
    pub owner: String,
    /// A file or a folder if it begins with a slash, else a part of a name.
    pub path: String,
    /// One of [`STATES`]; empty for all.
    pub state: String,
    /// Id of an engine that detects.
    pub engine: String,
    /// A part of a detection's name.
    pub detection: String,
    /// A tag.
    pub tag: String,
    /// Last analysis from this day on, `YYYY-MM-DD`, or seconds since 1970.
    pub after: String,
    /// Last analysis before this day.
    pub before: String,
    /// Where the page starts.
    pub cursor: String,
}

/// A condition that is in force.
#[derive(Debug, PartialEq, Eq)]
pub struct Chip {
    /// What it is about.
    pub name: &'static str,
    /// What is wanted.
    pub value: String,
    /// The page without it.
    pub without: String,
}

impl Asked {
    /// Returns it without what is not meant: spaces around it, and the word for all.
    pub fn clean(mut self) -> Self {
        for text in self.texts() {
            *text = text.trim().to_owned();
        }
        if self.state == "all" {
            self.state.clear();
        }
        self
    }

    fn texts(&mut self) -> [&mut String; 8] {
        [
            &mut self.owner,
            &mut self.path,
            &mut self.state,
            &mut self.engine,
            &mut self.detection,
            &mut self.tag,
            &mut self.after,
            &mut self.before,
        ]
    }

    fn pairs(&self) -> [(&'static str, &str); 8] {
        [
            ("owner", &self.owner),
            ("path", &self.path),
            ("state", &self.state),
            ("engine", &self.engine),
            ("detection", &self.detection),
            ("tag", &self.tag),
            ("after", &self.after),
            ("before", &self.before),
        ]
    }

    /// Returns the API's filter. Folders have no verdicts, so that they are left out.
    pub fn filter(&self) -> String {
        let path = if self.path.starts_with('/') {
            "path:"
        } else {
            "name:"
        };
        let state = if self.state.is_empty() {
            "file"
        } else {
            &self.state
        };
        let words = [
            (path, &*self.path),
            ("tag:", &self.tag),
            ("engine:", &self.engine),
            ("detection:", &self.detection),
            ("after:", &self.after),
            ("before:", &self.before),
            ("is:", state),
        ];
        let words = words.into_iter().filter(|(_, value)| !value.is_empty());
        let words: Vec<_> = words.map(|(key, value)| format!("{key}{value}")).collect();
        words.join(" ")
    }

    /// Returns the page's URL, from its beginning.
    pub fn url(&self) -> String {
        format!("/analyses{}", query(self.pairs()))
    }

    /// Returns the page's query, without the question mark, as views keep it.
    pub fn query(&self) -> String {
        let query = query(self.pairs());
        query.trim_start_matches('?').to_owned()
    }

    /// Returns the URL of the part of the list that a cursor starts.
    pub fn next(&self, cursor: &str) -> String {
        let pairs = self.pairs().into_iter().chain([("cursor", cursor)]);
        format!("/analyses{}", query(pairs))
    }

    /// Returns the URL of the same page of another publisher.
    pub fn of(&self, owner: &str) -> String {
        let mut other = self.clone();
        owner.clone_into(&mut other.owner);
        other.url()
    }

    /// Tells whether anything is asked for that is further down in the form.
    pub fn is_detailed(&self) -> bool {
        [&self.tag, &self.after, &self.before]
            .iter()
            .any(|it| !it.is_empty())
    }

    /// Returns the day that a field for dates shows.
    pub fn day(&self, text: &str) -> String {
        match text.parse::<u64>() {
            Ok(seconds) => moment(&seconds).iso.chars().take(10).collect(),
            Err(_) => text.to_owned(),
        }
    }

    /// Returns the conditions in force, each with the way out of it.
    pub fn chips(&self) -> Vec<Chip> {
        let names = [
            "",
            "Path",
            "State",
            "Engine",
            "Detection",
            "Tag",
            "Analysed after",
            "Analysed before",
        ];
        let pairs = self.pairs();
        let chips = names.into_iter().zip(pairs).enumerate();
        let chips = chips.filter(|(_, (name, (_, value)))| !name.is_empty() && !value.is_empty());
        let chips = chips.map(|(at, (name, (key, value)))| {
            let mut without = self.clone();
            without.texts()[at].clear();
            Chip {
                name,
                value: shown(key, value),
                without: without.url(),
            }
        });
        chips.collect()
    }
}

fn shown(key: &str, value: &str) -> String {
    let state = STATES.iter().find(|(id, _)| *id == value);
    match (key, state, value.parse::<u64>()) {
        ("state", Some((_, name)), _) => (*name).to_owned(),
        ("after" | "before", _, Ok(seconds)) => moment(&seconds).short,
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked {
            owner: "acme".to_owned(),
            path: " /a b/ ".to_owned(),
            state: "detected".to_owned(),
            after: "86400".to_owned(),
            cursor: "xyz".to_owned(),
            ..Asked::default()
        }
        .clean()
    }

    #[test]
    fn filter_has_what_is_asked_for_and_no_folders() {
        assert_eq!(asked().filter(), "path:/a b/ after:86400 is:detected");
        assert_eq!(Asked::default().filter(), "is:file");
        let name = Asked {
            path: "setup".to_owned(),
            state: "all".to_owned(),
            ..Asked::default()
        };
        assert_eq!(name.clean().filter(), "name:setup is:file");
    }

    #[test]
    fn chip_leads_to_the_page_without_it_from_its_beginning() {
        let chips = asked().chips();
        let names: Vec<_> = chips.iter().map(|chip| (chip.name, &*chip.value)).collect();
        let expected = [
            ("Path", "/a b/"),
            ("State", "Detected"),
            ("Analysed after", "1970-01-02 00:00 UTC"),
        ];
        assert_eq!(names, expected);
        assert_eq!(
            chips[0].without,
            "/analyses?owner=acme&state=detected&after=86400"
        );
    }

    #[test]
    fn page_keeps_its_conditions_from_one_part_to_the_next() {
        let next = "/analyses?owner=acme&path=%2Fa%20b%2F&state=detected&after=86400&cursor=c%3D";
        assert_eq!(asked().next("c="), next);
        assert_eq!(asked().day("86400"), "1970-01-02");
        assert_eq!(asked().day("2026-01-02"), "2026-01-02");
    }
}
