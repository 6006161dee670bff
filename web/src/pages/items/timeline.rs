//! What each engine said of a file over time, and with which signatures.
//!
//! The API tells changes; between two of them the engine's word holds. The first word may be older
//! than the first change, so that an interval may have no beginning; the last has no end.

use std::collections::BTreeMap;

use super::verdict::{Engines, Row, is_detection, set_url};
use super::wire::{ChangeAttributes, Versions, Word};

/// Width of the strip.
const WIDTH: f64 = 1000.0;
/// Narrowest part of it that can be seen and pointed at.
const NARROWEST: f64 = 8.0;

/// A time in which an engine said one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Since when; nothing if it said so from the first look on.
    pub from: Option<u64>,
    /// Until when; nothing if it still says so.
    pub until: Option<u64>,
    /// What it said.
    pub word: Word,
    /// With what it first said so.
    pub versions: Versions,
}

impl Interval {
    /// Tells whether it detected something.
    pub fn is_detection(&self) -> bool {
        is_detection(&self.word.category)
    }

    /// Returns the color of it.
    pub fn tone(&self, vouched: &bool) -> &'static str {
        match (self.word.category.as_str(), vouched) {
            ("malicious" | "suspicious", true) => "orange",
            ("malicious" | "suspicious", false) => "red",
            ("undetected" | "harmless", _) => "clean",
            _ => "grey",
        }
    }

    /// Returns what it said with, in a few words.
    pub fn with(&self) -> String {
        let signatures = self.versions.signatures.clone();
        let signatures = signatures.or_else(|| self.versions.signatures_date.clone());
        match (&self.versions.engine, signatures) {
            (Some(engine), Some(signatures)) => format!("version {engine}, {signatures}"),
            (Some(engine), None) => format!("version {engine}"),
            (None, Some(signatures)) => signatures,
            (None, None) => "an unknown version".to_owned(),
        }
    }

    /// Returns where its signature set is shown.
    pub fn set_url(&self, engine: &str) -> Option<String> {
        let set = self.versions.signature_set.as_deref()?;
        Some(set_url(engine, set))
    }
}

/// What one engine said over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its id.
    pub engine: String,
    /// Its display name.
    pub name: String,
    /// What it said, newest first.
    pub intervals: Vec<Interval>,
    /// Whether it has not answered since.
    pub is_silent: bool,
}

impl Track {
    /// Tells whether it detects the file by its last word.
    pub fn is_detecting(&self) -> bool {
        self.intervals.first().is_some_and(Interval::is_detection)
    }

    /// Tells whether it ever said anything else than what it says now.
    pub fn has_changed(&self) -> bool {
        self.intervals.len() > 1
    }
}

/// Returns the intervals of one engine, newest first, of its changes, oldest first.
pub fn intervals(changes: &[ChangeAttributes]) -> Vec<Interval> {
    let mut found: Vec<Interval> = Vec::new();
    for change in changes {
        if let (true, Some(word)) = (found.is_empty(), &change.before) {
            found.push(Interval {
                from: None,
                until: None,
                word: word.clone(),
                versions: change.versions_before.clone().unwrap_or_default(),
            });
        }
        let same = found.last().is_some_and(|last| last.word == change.word);
        if same {
            continue;
        }
        if let Some(last) = found.last_mut() {
            last.until = Some(change.date);
        }
        found.push(Interval {
            from: Some(change.date),
            until: None,
            word: change.word.clone(),
            versions: change.versions.clone(),
        });
    }
    found.reverse();
    found
}

/// Returns what each engine said over time: who detects first, then who once said something else.
pub fn tracks(changes: Vec<ChangeAttributes>, rows: &[Row], engines: &Engines) -> Vec<Track> {
    let mut by_engine: BTreeMap<String, Vec<ChangeAttributes>> = BTreeMap::new();
    for change in changes {
        let engine = change.engine.clone();
        by_engine.entry(engine).or_default().push(change);
    }
    for changes in by_engine.values_mut() {
        changes.sort_by_key(|change| change.date);
    }
    let mut tracks: Vec<_> = rows
        .iter()
        .map(|row| {
            let changes = by_engine.remove(&row.engine).unwrap_or_default();
            track(row, &changes)
        })
        .collect();
    // Engines that are here no more, but once said something.
    tracks.extend(by_engine.into_iter().map(|(engine, changes)| Track {
        name: engines.get(&engine).map_or(&engine, |it| &it.name).clone(),
        intervals: intervals(&changes),
        is_silent: true,
        engine,
    }));
    let rank = |track: &Track| (!track.is_detecting(), !track.has_changed());
    tracks.sort_by_key(rank);
    tracks
}

fn track(row: &Row, changes: &[ChangeAttributes]) -> Track {
    let mut intervals = intervals(changes);
    if intervals.is_empty() && !row.is_owed() {
        intervals.push(Interval {
            from: None,
            until: None,
            word: Word {
                category: row.answer.category.clone(),
                result: row.answer.result.clone(),
            },
            versions: Versions {
                engine: row.answer.engine_version.clone(),
                signatures_date: row.update(),
                signature_set: row.answer.signature_set.clone(),
                signatures: None,
            },
        });
    }
    Track {
        engine: row.engine.clone(),
        name: row.answer.engine_name.clone(),
        intervals,
        is_silent: row.is_owed(),
    }
}

/// A part of a strip.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Where it begins, of 1000.
    pub x: f64,
    /// How wide it is.
    pub width: f64,
    /// `clean`, `orange`, `red` or `grey`.
    pub tone: &'static str,
}

/// Returns the parts of a track's strip between two moments, oldest first.
pub fn strip(track: &Track, (start, end): (u64, u64), vouched: bool) -> Vec<Bar> {
    let span = end.saturating_sub(start).max(1) as f64;
    let place = |at: u64| at.saturating_sub(start) as f64 / span * WIDTH;
    let bars = track.intervals.iter().rev().map(|interval| {
        let x = interval
            .from
            .map_or(0.0, place)
            .clamp(0.0, WIDTH - NARROWEST);
        let right = interval.until.map_or(WIDTH, place).clamp(0.0, WIDTH);
        Bar {
            x: x.round(),
            width: (right - x).max(NARROWEST).round(),
            tone: interval.tone(&vouched),
        }
    });
    bars.collect()
}

/// Returns when the first thing happened that is shown.
pub fn start(tracks: &[Track], submitted: u64) -> u64 {
    let intervals = tracks.iter().flat_map(|track| &track.intervals);
    let first = intervals.filter_map(|interval| interval.from.or(interval.until));
    first.min().map_or(submitted, |first| first.min(submitted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::items::wire::EngineAnswer;

    fn word(text: &str) -> Word {
        match text {
            "-" => Word {
                category: "undetected".to_owned(),
                result: None,
            },
            name => Word {
                category: "malicious".to_owned(),
                result: Some(name.to_owned()),
            },
        }
    }

    /// Reads changes such as `-/X@10`: undetected became X at 10.
    fn changes(text: &str) -> Vec<ChangeAttributes> {
        let read = |change: &str| {
            let (words, date) = change.split_once('@').unwrap();
            let (before, after) = words.split_once('/').unwrap();
            ChangeAttributes {
                date: date.parse().unwrap(),
                engine: "e".to_owned(),
                word: word(after),
                before: (!before.is_empty()).then(|| word(before)),
                ..ChangeAttributes::default()
            }
        };
        text.split_whitespace().map(read).collect()
    }

    /// Writes intervals as `from..until=word`.
    fn shown(intervals: &[Interval]) -> String {
        let moment = |at: Option<u64>| at.map_or(String::new(), |at| at.to_string());
        let one = |it: &Interval| {
            let name = it.word.result.clone().unwrap_or_else(|| "-".to_owned());
            format!("{}..{}={name}", moment(it.from), moment(it.until))
        };
        let all: Vec<_> = intervals.iter().map(one).collect();
        all.join(" ")
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(shown(&intervals(&changes(text))), expected);
    }

    #[test]
    fn word_holds_from_one_change_to_the_next() {
        check("-/X@10 X/-@20", "20..=- 10..20=X ..10=-");
        check("-/X@10 X/Y@20", "20..=Y 10..20=X ..10=-");
        check("", "");
    }

    #[test]
    fn first_word_has_no_past() {
        check("/X@10", "10..=X");
    }

    #[test]
    fn change_into_the_same_is_none() {
        check("-/X@10 X/X@15 X/-@20", "20..=- 10..20=X ..10=-");
    }

    fn row(engine: &str, category: &str) -> Row {
        let answer = EngineAnswer {
            engine_name: engine.to_uppercase(),
            category: category.to_owned(),
            ..EngineAnswer::default()
        };
        Row {
            engine: engine.to_owned(),
            answer,
            ..Row::default()
        }
    }

    #[test]
    fn who_detects_comes_first_then_who_once_did() {
        let rows = [
            row("a", "undetected"),
            row("b", "failure"),
            row("e", "undetected"),
        ];
        let mut all = changes("-/X@10 X/-@20");
        all.push(ChangeAttributes {
            engine: "gone".to_owned(),
            ..changes("-/Z@30")[0].clone()
        });
        let tracks = tracks(all, &rows, &Engines::new());
        let seen: Vec<_> = tracks
            .iter()
            .map(|it| (&*it.engine, it.is_silent))
            .collect();
        assert_eq!(
            seen,
            [("gone", true), ("e", false), ("a", false), ("b", true)]
        );
        // Nothing is known of what an engine would have said that never answered.
        assert!(tracks[3].intervals.is_empty());
    }

    #[test]
    fn strip_covers_the_time_and_keeps_short_words_visible() {
        let track = Track {
            engine: "e".to_owned(),
            name: "E".to_owned(),
            intervals: intervals(&changes("-/X@1500 X/-@1501")),
            is_silent: false,
        };
        let bars = strip(&track, (1000, 2000), true);
        let seen: Vec<_> = bars
            .iter()
            .map(|bar| (bar.x, bar.width, bar.tone))
            .collect();
        let expected = [
            (0.0, 500.0, "clean"),
            (500.0, NARROWEST, "orange"),
            (501.0, 499.0, "clean"),
        ];
        assert_eq!(seen, expected);
        assert_eq!(start(&[track], 1200), 1200);
    }
}
