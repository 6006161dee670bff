//! How far an incident has come: opened, told, acknowledged, disputed, answered, over.

use super::model::{Entry, Incident};

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is called.
    pub name: &'static str,
    /// How it stands.
    pub stands: Stands,
    /// When it was made, if that is known; seconds since 1970.
    pub date: Option<u64>,
    /// More about it.
    pub note: String,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It was made.
    Done,
    /// It is the next that may be made.
    Next,
    /// It comes later, if at all.
    Later,
    /// It was not needed.
    Skipped,
}

impl Step {
    /// Returns the mark of a timeline's entry.
    pub fn mark(&self) -> &'static str {
        match self.stands {
            Stands::Done if self.name == "Opened" => "is-orange",
            Stands::Done => "is-clean",
            Stands::Next => "is-info",
            Stands::Later | Stands::Skipped => "",
        }
    }

    /// Says how it stands where there is no date.
    pub fn word(&self) -> &'static str {
        match self.stands {
            Stands::Done => "Done",
            Stands::Next => "Next",
            Stands::Later => "Not yet",
            Stands::Skipped => "Not needed",
        }
    }
}

/// Returns the steps of an incident; `entries` is its thread, newest first.
pub fn steps(incident: &Incident, entries: &[Entry]) -> Vec<Step> {
    // What was before it opened again is another story.
    let since = |entry: &&Entry| entry.date >= incident.reopened_date;
    let lately: Vec<_> = entries.iter().filter(since).collect();
    let first = |fits: &dyn Fn(&Entry) -> bool| {
        let found = lately.iter().rev().find(|entry| fits(entry));
        found.map(|entry| entry.date)
    };
    let told = first(&|it| it.kind == "state" && it.text.starts_with("told "));
    let known = first(&|it| it.kind == "state" && it.text.starts_with("acknowledged"));
    let disputed = first(&|it| it.kind == "dispute" && left(&it.text));
    let answered = first(&|it| it.kind == "vendor");
    let state = &*incident.state;
    let over = (!incident.is_live()).then_some(incident.state_date);
    let made = [
        ("Opened", true, Some(incident.reopened_date)),
        ("Told", told.is_some() || state != "open", told),
        (
            "Acknowledged",
            known.is_some() || state == "acknowledged",
            known,
        ),
        ("Disputed", disputed.is_some(), disputed),
        ("Vendor answered", answered.is_some(), answered),
        (ending(incident), over.is_some(), over),
    ];
    let next = made.iter().position(|(_, done, _)| !done);
    let step = |(at, (name, done, date)): (usize, (&'static str, bool, Option<u64>))| Step {
        name,
        date,
        note: note(incident, name),
        stands: match (done, over.is_some(), next == Some(at)) {
            (true, _, _) => Stands::Done,
            (false, true, _) => Stands::Skipped,
            (false, false, true) => Stands::Next,
            (false, false, false) => Stands::Later,
        },
    };
    made.into_iter().enumerate().map(step).collect()
}

/// Tells whether an entry about a dispute says that it left.
fn left(text: &str) -> bool {
    text.contains(" was sent to ") || text.contains(" is with ")
}

fn ending(incident: &Incident) -> &'static str {
    match &*incident.state {
        "kept" => "Kept",
        _ => "Resolved",
    }
}

fn note(incident: &Incident, name: &str) -> String {
    match name {
        "Opened" if incident.reopened_count > 0 => {
            format!("for the {} time", ordinal(incident.reopened_count + 1))
        }
        "Vendor answered" => match &incident.fixed_in {
            Some(fixed) => format!("Fixed in {fixed}, says the vendor"),
            None => String::new(),
        },
        "Kept" => kept(incident.kept.as_deref()).to_owned(),
        _ => String::new(),
    }
}

/// Says why an incident is kept.
pub fn kept(why: Option<&str>) -> &'static str {
    match why {
        Some("vendor") => "The vendor stands by the detection",
        Some("publisher") => "The publisher let it be",
        Some("removed") => "The file was removed from the collection",
        _ => "",
    }
}

fn ordinal(number: u32) -> String {
    let end = match (number % 10, number % 100) {
        (1, hundred) if hundred != 11 => "st",
        (2, hundred) if hundred != 12 => "nd",
        (3, hundred) if hundred != 13 => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

/// Returns the numbers of disputes that a thread is about, newest first.
pub fn disputes(entries: &[Entry]) -> Vec<u64> {
    let mut numbers = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind == "dispute") {
        let rest = entry.text.strip_prefix("Dispute ").unwrap_or("");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if let Ok(number) = digits.parse()
            && !numbers.contains(&number)
        {
            numbers.push(number);
        }
    }
    numbers
}

/// Puts together who was told at the same time; all else is a line of its own.
pub fn deeds<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Entry> {
    let mut deeds = Vec::<Entry>::new();
    for entry in entries {
        let to = entry.text.strip_prefix("told ");
        let before = deeds.last_mut().filter(|before| {
            let at_once = before.date.abs_diff(entry.date) <= 60;
            at_once && before.author == entry.author && before.text.starts_with("told ")
        });
        match (to, before) {
            (Some(to), Some(before)) => {
                let known = before.text["told ".len()..]
                    .split(", ")
                    .any(|name| name == to);
                if !known {
                    before.text.push_str(&format!(", {to}"));
                }
            }
            _ => deeds.push(entry.clone()),
        }
    }
    deeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn incident(state: &str) -> Incident {
        let side = json!({"date": 10, "analysis": "f-1"});
        let incident = json!({
            "publisher": "acme", "engine": "yara", "sha256": "00", "state": state,
            "state_date": 50, "opened_date": 10, "reopened_date": 20, "reopened_count": 1,
            "detection": "X", "detected": side,
        });
        serde_json::from_value(incident).unwrap()
    }

    fn entry(date: u64, kind: &str, text: &str) -> Entry {
        Entry {
            date,
            author: "acquit".to_owned(),
            kind: kind.to_owned(),
            text: text.to_owned(),
        }
    }

    fn stand(steps: &[Step]) -> Vec<(Stands, Option<u64>)> {
        steps.iter().map(|step| (step.stands, step.date)).collect()
    }

    #[test]
    fn steps_since_it_opened_again_count() {
        let entries = [
            entry(40, "dispute", "Dispute 7 was sent to a@b.test"),
            entry(35, "dispute", "Dispute 7 is on its way to a@b.test"),
            entry(30, "state", "told a@b.test"),
            entry(15, "vendor", "an answer of before"),
        ];
        let steps = steps(&incident("notified"), &entries);
        let expected = [
            (Stands::Done, Some(20)),
            (Stands::Done, Some(30)),
            (Stands::Next, None),
            (Stands::Done, Some(40)),
            (Stands::Later, None),
            (Stands::Later, None),
        ];
        assert_eq!(stand(&steps), expected);
        assert_eq!(&*steps[0].note, "for the 2nd time");
    }

    #[test]
    fn what_is_over_needs_nothing_more() {
        let steps = steps(&incident("resolved"), &[]);
        let expected = [
            (Stands::Done, Some(20)),
            (Stands::Done, None),
            (Stands::Skipped, None),
            (Stands::Skipped, None),
            (Stands::Skipped, None),
            (Stands::Done, Some(50)),
        ];
        assert_eq!(stand(&steps), expected);
    }

    #[test]
    fn who_is_told_at_once_is_one_line() {
        let entries = [
            entry(100, "state", "told a, b"),
            entry(99, "state", "told b"),
            entry(98, "state", "told c"),
            entry(97, "state", "opened: x"),
            entry(96, "state", "told c"),
        ];
        let deeds = deeds(entries.iter());
        let texts: Vec<_> = deeds.iter().map(|it| &*it.text).collect();
        assert_eq!(texts, ["told a, b, c", "opened: x", "told c"]);
    }

    #[test]
    fn disputes_are_named_in_the_thread() {
        let entries = [
            entry(3, "dispute", "Dispute 12 was withdrawn"),
            entry(2, "note", "Dispute 9 is a typed text"),
            entry(1, "dispute", "Dispute 12 is prepared for x"),
            entry(0, "dispute", "Dispute 3 was withdrawn"),
        ];
        assert_eq!(disputes(&entries), [12, 3]);
    }
}
