//! The filter of `/monitor/items`: VirusTotal's words, and those of the page of analyses.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::super::App;
use super::super::error::ApiError;
use crate::flow::collection::{Looked, Sieve};
use crate::flow::vendor::daily::day_start;
use crate::model::Timestamp;

/// Keys a filter may have.
const KEYS: [&str; 9] = [
    "path:",
    "item:",
    "tag:",
    "engine:",
    "detection:",
    "name:",
    "after:",
    "before:",
    "is:",
];

/// A filter as it is written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// A file or a folder.
    pub path: Option<String>,
    /// The id of one.
    pub item: Option<String>,
    /// Tags that it has.
    pub tags: Option<String>,
    /// Engines that detect it.
    pub engines: Option<String>,
    detection: Option<String>,
    name: Option<String>,
    after: Option<String>,
    before: Option<String>,
    is: Option<String>,
}

impl FromStr for Filter {
    type Err = ApiError;

    /// Reads a filter; a value goes on until the next key, so that paths may have spaces.
    fn from_str(text: &str) -> Result<Self, ApiError> {
        let mut filter = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let Some(key) = KEYS.into_iter().find(|key| rest.starts_with(key)) else {
                let word = rest.split_whitespace().next().unwrap_or_default();
                let keys = KEYS.map(|key| format!("{key}…")).join(", ");
                let message = format!("filter: {word:?} is none of {keys}");
                return Err(ApiError::invalid_argument(message));
            };
            let value = &rest[key.len()..];
            let ends = KEYS
                .into_iter()
                .filter_map(|key| value.find(&format!(" {key}")));
            let (value, after) = value.split_at(ends.min().unwrap_or(value.len()));
            rest = after.trim_start();
            // The last value may end with a space that is a part of the path.
            if filter.place(key).replace(value.to_owned()).is_some() {
                let message = format!("filter: {key} is given more than once");
                return Err(ApiError::invalid_argument(message));
            }
        }
        Ok(filter)
    }
}

impl Filter {
    fn place(&mut self, key: &str) -> &mut Option<String> {
        match key {
            "path:" => &mut self.path,
            "item:" => &mut self.item,
            "tag:" => &mut self.tags,
            "engine:" => &mut self.engines,
            "detection:" => &mut self.detection,
            "name:" => &mut self.name,
            "after:" => &mut self.after,
            "before:" => &mut self.before,
            _ => &mut self.is,
        }
    }

    /// Returns the conditions that no index answers.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn sieve(&self, app: &App) -> Result<Sieve, ApiError> {
        let table = app.api.engines.borrow();
        let asked = table.values().filter(|status| status.state.takes_part());
        Ok(Sieve {
            name: part(self.name.as_deref()),
            detection: part(self.detection.as_deref()),
            after: time(self.after.as_deref())?,
            before: time(self.before.as_deref())?,
            states: states(self.is.as_deref().unwrap_or(""))?,
            engines: asked.map(|status| status.id.clone()).collect(),
        })
    }
}

/// Reads a part of a name, in whatever case; an empty one asks for nothing.
fn part(text: Option<&str>) -> Option<String> {
    let text = text?.trim().to_lowercase();
    (!text.is_empty()).then_some(text)
}

/// Reads the beginning of a day, UTC, or seconds since 1970.
fn time(text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let seconds = || {
        let seconds = text.parse::<u64>().ok()?;
        Some(Timestamp::from_millis(seconds.checked_mul(1000)?))
    };
    let time = day_start(text).or_else(seconds);
    time.map(Some).ok_or_else(|| {
        let message = format!("filter: {text:?} is neither YYYY-MM-DD nor seconds since 1970");
        ApiError::invalid_argument(message)
    })
}

fn states(text: &str) -> Result<BTreeSet<Looked>, ApiError> {
    let known = |word: &str| {
        let mut all = Looked::ALL.into_iter();
        all.find(|state| state.as_str() == word).ok_or_else(|| {
            let all = Looked::ALL.map(Looked::as_str).join(", ");
            ApiError::invalid_argument(format!("filter: is:{word} is none of {all}"))
        })
    };
    text.split_whitespace().map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let mut filter = Filter::default();
        for (key, value) in expected {
            *filter.place(key) = Some((*value).to_owned());
        }
        assert_eq!(text.parse::<Filter>().unwrap(), filter, "{text}");
    }

    #[test]
    fn values_go_on_until_the_next_key() {
        check("", &[]);
        check("path:/a b/", &[("path:", "/a b/")]);
        let tags = [("tag:", "detected new-detections")];
        check("tag:detected new-detections", &tags);
        let both = [("path:", "/a b/"), ("tag:", "clamav yara")];
        check("path:/a b/ tag:clamav yara", &both);
        let both = [("tag:", "clamav"), ("path:", "/x: y/z/")];
        check("tag:clamav path:/x: y/z/", &both);
        let both = [("item:", "abc="), ("path:", "/a/")];
        check("item:abc= path:/a/", &both);
        let both = [("engine:", "YARA"), ("tag:", "detected")];
        check("engine:YARA tag:detected", &both);
        let all = [
            ("detection:", "Win.Test A"),
            ("name:", "setup exe"),
            ("after:", "2026-11-01"),
            ("before:", "1700000000"),
            ("is:", "detected failed"),
        ];
        let text = "detection:Win.Test A name:setup exe after:2026-11-01 before:1700000000 \
                    is:detected failed";
        check(text, &all);
        for bad in ["x", "detected", "path:/a path:/b", "tags:a", "is:x is:y"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_days_or_seconds() {
        let read = |text| time(Some(text)).unwrap().map(Timestamp::seconds);
        assert_eq!(read("1970-01-02"), Some(86_400));
        assert_eq!(read(" 1700000000 "), Some(1_700_000_000));
        assert_eq!(read(""), None);
        for bad in ["soon", "2026-13-01", "-1", "99999999999999999999"] {
            assert!(time(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn states_are_words_of_a_list() {
        let read = states("failed  detected").unwrap();
        assert_eq!(read, BTreeSet::from([Looked::Detected, Looked::Failed]));
        assert!(states("clean").is_err());
    }
}
