//! An incident as somebody reads it who was just woken up.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::text::{Color, Paint, now, span, when};
use crate::cli::wire::Object;

/// Tells what is detected, where, since when, what was said, and what to do next.
pub fn incident(paint: Paint, incident: &Object<Value>, thread: &[Object<Value>]) -> String {
    let mut text = String::new();
    let state = incident.cell("/state");
    let color = match state.as_str() {
        "resolved" => Color::Green,
        "kept" => Color::Dim,
        "open" => Color::Red,
        _ => Color::Yellow,
    };
    let engine = incident.text("/engine_name");
    let engine = engine.unwrap_or_else(|| incident.cell("/engine"));
    let title = format!("Incident {}: {}", incident.id, paint.paint(color, &state));
    let _ = writeln!(text, "{title}");
    let _ = writeln!(text, "{engine} detects {}\n", incident.cell("/detection"));
    for (name, value) in lines(incident) {
        let _ = writeln!(text, "  {name:<14} {value}");
    }
    propagation(&mut text, incident);
    let _ = writeln!(text, "\n{}", paint.paint(Color::Bold, "What was said"));
    for entry in thread {
        let date = entry.number("/date").map_or_else(|| "-".to_owned(), when);
        let (kind, author) = (entry.cell("/kind"), entry.cell("/author"));
        let said = entry.cell("/text");
        let _ = writeln!(text, "  {date}  {kind:<7}  {author}: {said}");
    }
    let _ = writeln!(text, "\n{}", paint.paint(Color::Bold, "What to do next"));
    let _ = writeln!(text, "  {}", advice(incident));
    text
}

fn lines(incident: &Object<Value>) -> Vec<(&'static str, String)> {
    let date = |at: &str| incident.number(at).map_or_else(|| "-".to_owned(), when);
    let mut lines = Vec::new();
    let paths = incident.attributes["paths"].as_array();
    for at in 0..paths.map_or(0, Vec::len) {
        lines.push(("file", incident.cell(&format!("/paths/{at}"))));
    }
    lines.push(("SHA-256", incident.cell("/sha256")));
    lines.push(("publisher", incident.cell("/publisher")));
    let age = incident.number("/reopened_date");
    let age = age.map_or_else(String::new, |at| {
        format!(" ({} ago)", span(now().saturating_sub(at)))
    });
    lines.push(("opened", format!("{}{age}", date("/reopened_date"))));
    if incident.number("/reopened_count").is_some_and(|it| it > 0) {
        let times = incident.cell("/reopened_count");
        let first = date("/opened_date");
        lines.push(("again", format!("{times} times, first on {first}")));
    }
    let sides = [
        ("clean before", "/before"),
        ("detected since", "/first"),
        ("detected last", "/detected"),
        ("clean after", "/resolved"),
    ];
    for (name, at) in sides {
        match side(incident, at) {
            Some(side) => lines.push((name, side)),
            None if at == "/before" => lines.push((name, "never".to_owned())),
            None => {}
        }
    }
    if incident.text("/deadline_date").is_some() {
        let late = incident.attributes["overdue"] == true;
        let mark = if late { ", which has passed" } else { "" };
        lines.push(("deadline", format!("{}{mark}", date("/deadline_date"))));
    }
    lines.push(("owner", incident.cell("/owner")));
    let optional = [("kept by", "/kept"), ("fixed in", "/fixed_in")];
    let optional = optional.map(|(name, at)| incident.text(at).map(|it| (name, it)));
    lines.extend(optional.into_iter().flatten());
    let (detections, opinions) = (incident.cell("/detections"), incident.cell("/opinions"));
    let told = format!("{detections} detections of this file, {opinions} opinions");
    lines.push(("engines", told));
    lines
}

/// Tells with what an engine said something, and when.
fn side(incident: &Object<Value>, at: &str) -> Option<String> {
    let date = incident.number(&format!("{at}/date"))?;
    let known = [
        ("version", "engine"),
        ("signatures", "signatures"),
        ("set", "signature_set"),
    ];
    let known = known.map(|(name, key)| {
        let value = incident.text(&format!("{at}/versions/{key}"))?;
        Some(format!("{name} {value}"))
    });
    let known: Vec<_> = known.into_iter().flatten().collect();
    Some(format!("{}, {}", when(date), known.join(", ")))
}

fn propagation(text: &mut String, incident: &Object<Value>) {
    let kin = incident.attributes["propagation"].as_array();
    for at in 0..kin.map_or(0, Vec::len) {
        let part = |key: &str| incident.cell(&format!("/propagation/{at}/{key}"));
        let name = if at == 0 { "same family" } else { "" };
        let _ = writeln!(
            text,
            "  {name:<14} {}: {}, detects {} (incident {})",
            part("engine"),
            part("state"),
            part("detection"),
            part("incident")
        );
    }
}

fn advice(incident: &Object<Value>) -> String {
    let id = &incident.id;
    let leading = incident.text("/leading").filter(|leading| leading != id);
    if let Some(leading) = leading {
        return format!(
            "The engine shares its signatures: work on incident {leading}, which stands for all."
        );
    }
    match incident.cell("/state").as_str() {
        "open" | "notified" => format!(
            "Look whether the detection is right. If it is wrong, tell the vendor: \
             `acquit incidents dispute {id}`.\n  Say that you are on it: \
             `acquit incidents acknowledge {id}`. Let it be: \
             `acquit incidents close {id} --reason …`."
        ),
        "acknowledged" => format!(
            "Wait for the engine's next signatures: only a clean answer by newer ones resolves \
             it.\n  `acquit signatures update {}` fetches them now.",
            incident.cell("/engine")
        ),
        "resolved" => "Nothing: the engine itself calls the file clean.".to_owned(),
        _ => format!(
            "Nothing, as long as that is meant. `acquit incidents reopen {id} --reason …` opens \
             it again."
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(attributes: Value) -> String {
        let incident = Object {
            id: "7".to_owned(),
            attributes,
        };
        let entry = Object {
            id: "7-0".to_owned(),
            attributes: json!({ "date": 1_795_305_600, "kind": "note", "author": "k",
                "text": "see\u{1b}[2J" }),
        };
        super::incident(Paint::plain(), &incident, &[entry])
    }

    #[test]
    fn report_says_what_where_and_what_to_do_and_steers_no_terminal() {
        let text = told(json!({
            "state": "open", "engine": "clamav", "detection": "Bad\u{1b}.A", "paths": ["/a\nb"],
            "sha256": "00", "publisher": "acme", "leading": "7",
            "first": { "date": 1_795_305_600, "versions": { "signature_set": "beef" } },
        }));
        for part in [
            "set beef",
            "clean before   never",
            "incidents dispute 7",
            "Bad\\u{1b}.A",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            !text.contains('\u{1b}') && !text.contains("/a\nb"),
            "{text}"
        );
    }

    #[test]
    fn member_of_a_family_points_at_the_one_that_stands_for_it() {
        let text = told(json!({ "state": "open", "leading": "3", "propagation": [
            { "engine": "other", "state": "notified", "detection": "X", "incident": "3" } ] }));
        assert!(text.contains("work on incident 3"), "{text}");
        assert!(
            text.contains("other: notified, detects X (incident 3)"),
            "{text}"
        );
    }
}
