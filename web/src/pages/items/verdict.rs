//! What the engines say of a file: in one sentence, and engine by engine.

use std::collections::BTreeMap;

use super::wire::{Answers, EngineAnswer, EngineBrief};
use crate::backend::{Object, part};
use crate::coverage::Coverage;
use crate::text::count;

/// Engines by their ids.
pub type Engines = BTreeMap<String, EngineBrief>;

/// Returns engines by their ids.
pub fn by_id(list: Vec<Object<EngineBrief>>) -> Engines {
    list.into_iter().map(|it| (it.id, it.attributes)).collect()
}

/// What one engine says, as a row of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Id of the engine.
    pub engine: String,
    /// What it said; its category is empty if it has not answered yet.
    pub answer: EngineAnswer,
    /// Whether its detection still stands although it has not answered since.
    pub stands: bool,
    /// When the set it scanned with came, if that is the set in service.
    pub set_date: Option<u64>,
    /// Where what it printed is, below the API; nothing if that is not known.
    pub raw: Option<String>,
}

impl Row {
    /// Tells whether it detects something.
    pub fn is_detection(&self) -> bool {
        is_detection(&self.answer.category)
    }

    /// Tells whether it said something of the content.
    pub fn is_opinion(&self) -> bool {
        is_opinion(&self.answer.category)
    }

    /// Tells whether it failed, or has not answered yet.
    pub fn is_owed(&self) -> bool {
        !self.is_opinion() && self.answer.category != "type-unsupported"
    }

    /// Returns where its signature set is shown.
    pub fn set_url(&self) -> Option<String> {
        let set = self.answer.signature_set.as_deref()?;
        Some(set_url(&self.engine, set))
    }

    /// Returns how long the engine ran.
    pub fn took(&self) -> String {
        took(self.answer.duration_ms)
    }

    /// Returns the date of its signatures, `YYYY-MM-DD`.
    pub fn update(&self) -> Option<String> {
        day(self.answer.engine_update.as_deref()?)
    }
}

/// Returns where a signature set is shown.
pub fn set_url(engine: &str, set: &str) -> String {
    format!("/engines/{}/sets/{}", part(engine), part(set))
}

/// Writes milliseconds for people.
pub fn took(milliseconds: u64) -> String {
    match milliseconds {
        0..=999 => format!("{milliseconds} ms"),
        1000..=9999 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        _ => crate::text::span(&(milliseconds / 1000)),
    }
}

/// Writes `YYYYMMDD` as `YYYY-MM-DD`; nothing if it is not that.
pub fn day(text: &str) -> Option<String> {
    let is_day = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_day.then(|| format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]))
}

/// Tells whether a category is a detection.
pub fn is_detection(category: &str) -> bool {
    matches!(category, "malicious" | "suspicious")
}

/// Tells whether a category says something of the content, which is what coverage counts: an engine
/// that does not look into such files has not called it clean.
pub fn is_opinion(category: &str) -> bool {
    is_detection(category) || matches!(category, "undetected" | "harmless")
}

/// Where a row stands: detections first, then those that could not say, then the others.
fn rank(row: &Row) -> u8 {
    match row.answer.category.as_str() {
        "malicious" => 0,
        "suspicious" => 1,
        _ if row.stands => 2,
        "undetected" | "harmless" => 5,
        "type-unsupported" => 6,
        "" => 4,
        _ => 3,
    }
}

/// Returns a row for each answer, and one for each engine that should answer and has not, in the
/// order in which they are read.
pub fn rows(answers: &Answers, engines: &Engines) -> Vec<Row> {
    let given = answers.values().map(|answer| Row {
        engine: answer.engine_id.clone(),
        set_date: set_date(answer, engines),
        answer: answer.clone(),
        ..Row::default()
    });
    let mut rows: Vec<_> = given.collect();
    for (id, engine) in engines.iter().filter(|(_, engine)| engine.takes_part()) {
        if !rows.iter().any(|row| row.engine == *id) {
            rows.push(waiting(id, engine));
        }
    }
    sort(&mut rows);
    rows
}

/// Puts rows in the order in which they are read.
pub fn sort(rows: &mut [Row]) {
    rows.sort_by_cached_key(|row| (rank(row), row.answer.engine_name.to_lowercase()));
}

fn waiting(id: &str, engine: &EngineBrief) -> Row {
    let answer = EngineAnswer {
        engine_name: engine.name.clone(),
        engine_id: id.to_owned(),
        ..EngineAnswer::default()
    };
    Row {
        engine: id.to_owned(),
        answer,
        ..Row::default()
    }
}

fn set_date(answer: &EngineAnswer, engines: &Engines) -> Option<u64> {
    let active = engines.get(&answer.engine_id)?.signatures.as_ref()?;
    let is_active = answer.signature_set.is_some() && active.active == answer.signature_set;
    active.active_date.filter(|_| is_active)
}

/// What all engines together say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The sentence.
    pub headline: String,
    /// What the sentence stands on.
    pub note: String,
    /// `clean`, `orange`, `red`, or `grey` if not all is known.
    pub tone: &'static str,
    /// Engines that detect it.
    pub detections: u64,
    /// How many engines answered, of those that should.
    pub coverage: Coverage,
}

impl Summary {
    /// Makes the sentence. `vouched`: a publisher here vouches for the file.
    pub fn new(detections: u64, coverage: Coverage, vouched: bool) -> Self {
        let Coverage {
            answered,
            unsupported,
            ..
        } = coverage;
        let missing = coverage.owed();
        let (tone, headline) = match (detections, answered, missing) {
            (0, 0, 0) if unsupported > 0 => ("grey", "No engine looks into such files".to_owned()),
            (0, 0, _) => ("grey", "No engine has answered".to_owned()),
            (0, _, 0) if unsupported == 0 => ("clean", "No engine detects it".to_owned()),
            (0, 1, 0) => (
                "clean",
                "The one engine that looks does not detect it".to_owned(),
            ),
            (0, _, 0) => {
                let looks = engines(answered);
                ("clean", format!("None of the {looks} that look detects it"))
            }
            (0, _, _) => {
                let these = engines(answered);
                let verb = if answered == 1 { "does" } else { "do" };
                (
                    "grey",
                    format!("The {these} that answered {verb} not detect it"),
                )
            }
            (found, ..) => {
                let verb = if found == 1 { "detects" } else { "detect" };
                let of = engines(coverage.of(found));
                let tone = if vouched { "orange" } else { "red" };
                (tone, format!("{} of {of} {verb} it", count(&found)))
            }
        };
        let note = note(coverage);
        Self {
            headline,
            note,
            tone,
            detections,
            coverage,
        }
    }

    /// Returns the picture that goes with it.
    pub fn icon(&self) -> &'static str {
        match self.tone {
            "clean" => "clean",
            "orange" => "detected",
            "red" => "malicious",
            _ => "silent",
        }
    }
}

/// Says what a sentence stands on.
fn note(coverage: Coverage) -> String {
    let Coverage {
        answered,
        unsupported,
        enabled,
    } = coverage;
    let blind = match unsupported {
        0 => String::new(),
        1 => " 1 does not look into such files.".to_owned(),
        number => format!(" {} do not look into such files.", count(&number)),
    };
    match coverage.owed() {
        0 if enabled == 0 => "No engine was asked.".to_owned(),
        0 if enabled == 1 && unsupported == 0 => {
            "The one engine that was asked answered.".to_owned()
        }
        0 if unsupported == 0 => format!("All {} answered.", engines(enabled)),
        0 => format!(
            "{} of {} looked.{blind}",
            count(&answered),
            engines(enabled)
        ),
        _ => format!(
            "{} of {} answered; what the others would say is not known.{blind}",
            count(&answered),
            engines(enabled)
        ),
    }
}

/// Writes how many engines.
pub fn engines(number: u64) -> String {
    match number {
        1 => "1 engine".to_owned(),
        number => format!("{} engines", count(&number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `name=category` pairs.
    fn answers(text: &str) -> Answers {
        let pairs = text.split_whitespace().map(|pair| pair.split_once('='));
        let pairs = pairs.map(|pair| pair.unwrap());
        let answer = |(name, category): (&str, &str)| EngineAnswer {
            engine_name: name.to_owned(),
            engine_id: name.to_lowercase(),
            category: category.to_owned(),
            ..EngineAnswer::default()
        };
        pairs
            .map(|pair| (pair.0.to_owned(), answer(pair)))
            .collect()
    }

    fn engine(state: &str) -> EngineBrief {
        EngineBrief {
            name: "Later".to_owned(),
            state: state.to_owned(),
            ..EngineBrief::default()
        }
    }

    #[test]
    fn detections_come_first_and_what_could_not_say_before_the_silent() {
        let answers = answers(
            "B=undetected A=undetected Z=malicious Y=suspicious P=type-unsupported C=failure D=timeout",
        );
        let rows = rows(&answers, &Engines::new());
        let names: Vec<_> = rows.iter().map(|row| &*row.answer.engine_name).collect();
        assert_eq!(names, ["Z", "Y", "C", "D", "A", "B", "P"]);
    }

    #[test]
    fn engine_that_should_answer_and_has_not_is_shown_as_waiting() {
        let engines = |state: &str| Engines::from([("later".to_owned(), engine(state))]);
        let shown = rows(&answers("A=undetected"), &engines("ready"));
        assert_eq!(shown[0].answer.engine_name, "Later");
        assert!(!shown[0].is_opinion() && shown[0].is_owed());
        assert_eq!(
            rows(&answers("A=undetected"), &engines("disabled")).len(),
            1
        );
    }

    #[track_caller]
    fn check(found: u64, (answered, enabled): (u64, u64), expected: (&str, &str)) {
        let coverage = Coverage {
            answered,
            enabled,
            ..Coverage::default()
        };
        let seen = Summary::new(found, coverage, true);
        assert_eq!((seen.tone, &*seen.headline), expected);
    }

    #[track_caller]
    fn check_blind((answered, unsupported): (u64, u64), expected: (&str, &str, &str)) {
        let coverage = Coverage {
            answered,
            unsupported,
            enabled: 8,
        };
        let seen = Summary::new(0, coverage, true);
        assert_eq!((seen.tone, &*seen.headline, &*seen.note), expected);
    }

    #[test]
    fn engine_that_does_not_look_has_not_called_it_clean() {
        check_blind(
            (5, 3),
            (
                "clean",
                "None of the 5 engines that look detects it",
                "5 of 8 engines looked. 3 do not look into such files.",
            ),
        );
        check_blind(
            (4, 3),
            (
                "grey",
                "The 4 engines that answered do not detect it",
                "4 of 8 engines answered; what the others would say is not known. 3 do not look \
                 into such files.",
            ),
        );
        check_blind(
            (0, 8),
            (
                "grey",
                "No engine looks into such files",
                "0 of 8 engines looked. 8 do not look into such files.",
            ),
        );
        assert!(!is_opinion("type-unsupported"));
    }

    #[test]
    fn only_a_whole_answer_is_clean() {
        check(0, (8, 8), ("clean", "No engine detects it"));
        let partial = "The 7 engines that answered do not detect it";
        check(0, (7, 8), ("grey", partial));
        check(
            0,
            (1, 8),
            ("grey", "The 1 engine that answered does not detect it"),
        );
        check(0, (0, 8), ("grey", "No engine has answered"));
        check(0, (0, 0), ("grey", "No engine has answered"));
        check(2, (7, 8), ("orange", "2 of 7 engines detect it"));
        check(1, (0, 1), ("orange", "1 of 1 engine detects it"));
        let coverage = Coverage {
            answered: 1,
            unsupported: 0,
            enabled: 1,
        };
        assert_eq!(Summary::new(1, coverage, false).tone, "red");
    }

    #[test]
    fn lengths_and_days_are_written_for_people() {
        assert_eq!((&*took(81), &*took(1234)), ("81 ms", "1.2 s"));
        assert_eq!(took(45_000), "45 s");
        assert_eq!(day("20261126").as_deref(), Some("2026-11-26"));
        assert_eq!((day("soon"), day("2026-1-1")), (None, None));
    }
}
