//! Which incidents are asked for: a form's fields as the API's words.

use serde::Deserialize;

use crate::backend::query;

/// What a form asks for; empty fields ask for nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// Empty for those that are not over, `over`, `all`, or a state.
    pub state: String,
    /// Id of an engine.
    pub engine: String,
    /// Id of a publisher.
    pub publisher: String,
    /// Who looks after it.
    pub owner: String,
    /// A path; all below it if it ends with a slash.
    pub path: String,
    /// A part of what the engine calls it; the whole name behind an equals sign.
    pub detection: String,
    /// Opened on that day or later; days are UTC's, `YYYY-MM-DD`.
    pub opened_from: String,
    /// Opened on that day or before.
    pub opened_until: String,
    /// Over since that day or later.
    pub closed_from: String,
    /// Over since that day or before.
    pub closed_until: String,
    /// Whether it should be over already.
    pub overdue: String,
    /// `opened` for the oldest first.
    pub order: String,
    /// Whether engines of a family are one line.
    pub group: String,
    /// More words, as the API has them.
    pub filter: String,
    /// Where the page starts.
    pub cursor: String,
}

impl Wanted {
    /// Returns the words of the API.
    pub fn words(&self) -> String {
        let mut words: Vec<_> = self
            .states()
            .iter()
            .map(|it| format!("state:{it}"))
            .collect();
        let fields = [
            ("engine", &*self.engine),
            ("publisher", &self.publisher),
            ("owner", &self.owner),
            ("path", &self.path),
            ("detection", &self.detection),
        ];
        let fields = fields.into_iter().chain(self.days());
        let filled = fields.filter(|(_, value)| !value.trim().is_empty());
        words.extend(filled.map(|(name, value)| format!("{name}:{}", quoted(value.trim()))));
        words.extend((!self.overdue.is_empty()).then(|| "overdue:true".to_owned()));
        words.extend((!self.filter.trim().is_empty()).then(|| self.filter.trim().to_owned()));
        words.join(" ")
    }

    /// Returns what is asked of the API, after the question mark.
    pub fn asked(&self, cursor: &str) -> String {
        let group = if self.group.is_empty() { "" } else { "family" };
        query([
            ("filter", &*self.words()),
            ("group", group),
            ("order", &self.order),
            ("limit", "40"),
            ("cursor", cursor),
        ])
    }

    /// Returns the page with another state, from its start.
    pub fn with_state(&self, state: &str) -> String {
        self.url(state, "")
    }

    /// Returns the page from somewhere on.
    pub fn from(&self, cursor: &str) -> String {
        self.url(&self.state, cursor)
    }

    /// Returns the page with what somebody looks after.
    pub fn of(&self, owner: &str) -> String {
        let mut own = self.clone();
        own.owner = owner.to_owned();
        own.from("")
    }

    /// Returns the page in the other order, from its start.
    pub fn turned(&self) -> String {
        let order = if self.is_oldest_first() { "" } else { "opened" };
        let mut turned = self.clone();
        turned.order = order.to_owned();
        turned.from("")
    }

    /// Tells whether the oldest come first.
    pub fn is_oldest_first(&self) -> bool {
        self.order == "opened"
    }

    /// Tells whether more than the usual is asked for, so that its fields are to be seen.
    pub fn is_by_day(&self) -> bool {
        self.days().iter().any(|(_, day)| !day.is_empty())
    }

    fn days(&self) -> [(&'static str, &str); 4] {
        [
            ("opened_from", &self.opened_from),
            ("opened_until", &self.opened_until),
            ("closed_from", &self.closed_from),
            ("closed_until", &self.closed_until),
        ]
    }

    /// Tells whether something besides the state is asked for.
    pub fn is_narrow(&self) -> bool {
        let fields = [
            &self.engine,
            &self.publisher,
            &self.owner,
            &self.path,
            &self.detection,
            &self.overdue,
            &self.filter,
        ];
        self.is_by_day() || fields.iter().any(|value| !value.is_empty())
    }

    fn url(&self, state: &str, cursor: &str) -> String {
        let fields = query([
            ("state", state),
            ("engine", &self.engine),
            ("publisher", &self.publisher),
            ("owner", &self.owner),
            ("path", &self.path),
            ("detection", &self.detection),
            ("opened_from", &self.opened_from),
            ("opened_until", &self.opened_until),
            ("closed_from", &self.closed_from),
            ("closed_until", &self.closed_until),
            ("overdue", &self.overdue),
            ("order", &self.order),
            ("group", &self.group),
            ("filter", &self.filter),
            ("cursor", cursor),
        ]);
        format!("/incidents{fields}")
    }

    /// Tells whether it is asked for a day on which it was over, which what is not over has none.
    fn is_closed(&self) -> bool {
        !self.closed_from.is_empty() || !self.closed_until.is_empty()
    }

    fn states(&self) -> Vec<&str> {
        match &*self.state {
            "" if self.filter.contains("state:") || self.is_closed() => Vec::new(),
            "" => vec!["open", "notified", "acknowledged"],
            "over" => vec!["resolved", "kept"],
            "all" => Vec::new(),
            state => vec![state],
        }
    }
}

/// Puts a value in quotes if it would end too early, or be taken for one in quotes, else.
fn quoted(value: &str) -> String {
    match value.contains(char::is_whitespace) || value.starts_with('"') {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_words() {
        let wanted = Wanted {
            state: "over".to_owned(),
            owner: "Paula Publisher".to_owned(),
            path: " /a b/ ".to_owned(),
            engine: "yara".to_owned(),
            overdue: "1".to_owned(),
            ..Wanted::default()
        };
        let words = "state:resolved state:kept engine:yara owner:\"Paula Publisher\" \
                     path:\"/a b/\" overdue:true";
        assert_eq!(wanted.words(), words);
        assert!(wanted.is_narrow());
    }

    #[test]
    fn what_is_not_over_comes_first() {
        let wanted = Wanted::default();
        assert_eq!(
            wanted.words(),
            "state:open state:notified state:acknowledged"
        );
        let all = Wanted {
            state: "all".to_owned(),
            ..Wanted::default()
        };
        assert_eq!((&*all.words(), &*all.asked("")), ("", "?limit=40"));
        let own = Wanted {
            filter: "state:kept".to_owned(),
            ..Wanted::default()
        };
        assert_eq!(own.words(), "state:kept");
        let closed = Wanted {
            closed_from: "2026-11-26".to_owned(),
            detection: "=a \"b\"".to_owned(),
            ..Wanted::default()
        };
        let words = "detection:\"=a \"\"b\"\"\" closed_from:2026-11-26";
        assert_eq!(closed.words(), words);
        assert!(closed.is_by_day() && closed.is_narrow());
    }

    #[test]
    fn another_page_keeps_what_is_asked_for() {
        let wanted = Wanted {
            path: "/a&b/".to_owned(),
            cursor: "here".to_owned(),
            ..Wanted::default()
        };
        assert_eq!(
            wanted.with_state("all"),
            "/incidents?state=all&path=%2Fa%26b%2F"
        );
        assert_eq!(
            wanted.from("there"),
            "/incidents?path=%2Fa%26b%2F&cursor=there"
        );
        assert_eq!(wanted.turned(), "/incidents?path=%2Fa%26b%2F&order=opened");
    }
}
