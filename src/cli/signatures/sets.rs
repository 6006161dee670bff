//! Tables of signature sets and updates, and everything about one set.

use serde_json::{Value, json};

use super::set_path;
use crate::cli::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::text::{Color, Paint, emit, emit_json, now, size, span, table, visible, when};
use crate::cli::wire::{Envelope, Object};
use crate::model::EngineId;

/// Most sets or updates that are listed.
const MOST: usize = 40;

/// Lists what each engine scans with.
///
/// # Errors
/// If the server does not say.
pub async fn engines(context: &Context) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let engines: Vec<Object<Value>> = client.list("acquit/engines").await?;
    if context.json {
        let engines = engines.iter().map(|engine| {
            let part = |key: &str| engine.attributes[key].clone();
            json!({ "id": engine.id, "versions": part("versions"), "signatures": part("signatures") })
        });
        emit_json(&json!({ "engines": engines.collect::<Vec<_>>() }))?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<_> = engines.iter().map(|engine| row(engine, now())).collect();
    let head = [
        "ENGINE",
        "SET",
        "STATE",
        "VERSION",
        "AGE",
        "LAST UPDATE",
        "NEXT",
    ];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

fn row(engine: &Object<Value>, now: u64) -> Vec<String> {
    let version = ["signatures_date", "signatures"].map(|key| format!("/versions/{key}"));
    let version = version.iter().find_map(|key| engine.text(key));
    let age = engine.number("/signatures/active_date");
    let age = age.map(|at| span(now.saturating_sub(at)));
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        visible(&engine.id),
        engine.cell("/signatures/active"),
        state(engine),
        dash(version),
        dash(age),
        last(engine, now),
        dash(next(engine, now).or_else(|| nowhere(engine))),
    ]
}

fn state(engine: &Object<Value>) -> String {
    if engine.attributes["signatures"].is_null() {
        return "in its image".to_owned();
    }
    let held = engine.attributes["signatures"]["held"] == true;
    let phase = engine.text("/signatures/updating/phase");
    match (phase, held) {
        (Some(phase), _) => format!("updating: {phase}"),
        (None, true) => "held".to_owned(),
        (None, false) => "active".to_owned(),
    }
}

/// Says of an engine with signatures that nobody said where new ones come from.
fn nowhere(engine: &Object<Value>) -> Option<String> {
    let updatable = engine.attributes["signatures"]["updatable"].as_bool();
    (updatable == Some(false)).then(|| "no source".to_owned())
}

fn last(engine: &Object<Value>, now: u64) -> String {
    let outcome = engine.text("/signatures/last_outcome");
    let at = engine.number("/signatures/last_update_date");
    let failures = engine.number("/signatures/failures").unwrap_or(0);
    let Some((outcome, at)) = outcome.zip(at) else {
        return "-".to_owned();
    };
    let times = match failures {
        0 | 1 => String::new(),
        more => format!(" ({more} times)"),
    };
    format!("{outcome}{times} {} ago", span(now.saturating_sub(at)))
}

fn next(engine: &Object<Value>, now: u64) -> Option<String> {
    let at = engine.number("/signatures/next_update_date")?;
    Some(match at.checked_sub(now) {
        Some(left) => format!("in {}", span(left)),
        None => "due".to_owned(),
    })
}

/// Lists the newest signature sets of an engine.
///
/// # Errors
/// If the server does not say.
pub async fn list(context: &Context, engine: &EngineId) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let path = format!("acquit/engines/{engine}/signature_sets");
    let sets: Vec<Object<Value>> = client.first(&path, MOST).await?;
    if context.json {
        let sets: Vec<_> = sets.iter().map(Object::document).collect();
        emit_json(&json!({ "engine": engine, "signature_sets": sets }))?;
        return Ok(Exit::Fine);
    }
    let row = |set: &Object<Value>| {
        let version = ["signatures_date", "signatures"].map(|key| format!("/versions/{key}"));
        let version = version.iter().find_map(|key| set.text(key));
        let bytes = |key| set.number(key).map_or_else(|| "-".to_owned(), size);
        vec![
            visible(&set.id),
            set.cell("/state"),
            date(set, "/creation_date"),
            version.unwrap_or_else(|| "-".to_owned()),
            set.cell("/files"),
            bytes("/size"),
            bytes("/own_size"),
            set.cell("/source"),
            set.text("/reason").unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = sets.iter().map(row).collect();
    let head = [
        "SET", "STATE", "CAME", "VERSION", "FILES", "SIZE", "OWN", "FROM", "REASON",
    ];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

/// Lists the newest updates of an engine.
///
/// # Errors
/// If the server does not say.
pub async fn updates(context: &Context, engine: &EngineId) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let path = format!("acquit/engines/{engine}/updates");
    let updates: Vec<Object<Value>> = client.first(&path, MOST).await?;
    if context.json {
        let updates: Vec<_> = updates.iter().map(Object::document).collect();
        emit_json(&json!({ "engine": engine, "updates": updates }))?;
        return Ok(Exit::Fine);
    }
    let row = |update: &Object<Value>| {
        let times = ["/start_date", "/end_date"].map(|key| update.number(key));
        let took = times[0].zip(times[1]);
        let took = took.map(|(start, end)| span(end.saturating_sub(start)));
        let outcome = update.text("/outcome");
        vec![
            update.cell("/number"),
            date(update, "/start_date"),
            took.unwrap_or_else(|| "-".to_owned()),
            update.cell("/trigger"),
            outcome.unwrap_or_else(|| update.cell("/phase")),
            update.cell("/signature_set"),
            update.text("/reason").unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = updates.iter().map(row).collect();
    let head = [
        "NUMBER", "BEGAN", "TOOK", "TRIGGER", "OUTCOME", "SET", "REASON",
    ];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

fn date(object: &Object<Value>, key: &str) -> String {
    object.number(key).map_or_else(|| "-".to_owned(), when)
}

/// Shows everything about a set.
///
/// # Errors
/// If there is none, or the server does not say.
pub async fn show(
    context: &Context,
    engine: &EngineId,
    set: Option<String>,
) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let set = match set {
        Some(id) => {
            let found: Envelope<Object<Value>> = client.get(&set_path(engine, &id)).await?;
            found.data
        }
        None => {
            let path = format!("acquit/engines/{engine}/signature_sets");
            let newest: Vec<Object<Value>> = client.first(&path, 1).await?;
            let none = || UsageError(format!("{engine} has no signature sets"));
            newest.into_iter().next().ok_or_else(none)?
        }
    };
    if context.json {
        emit_json(&set.document())?;
    } else {
        emit(&shown(context.paint, &set))?;
    }
    Ok(Exit::Fine)
}

fn shown(paint: Paint, set: &Object<Value>) -> String {
    let mut text = String::new();
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            let key = paint.paint(Color::Bold, &format!("{key:<12}"));
            text.push_str(&format!("{key} {value}\n"));
        }
    };
    add("set", Some(visible(&set.id)));
    add("engine", set.text("/engine"));
    let since = date(set, "/state_date");
    add(
        "state",
        Some(format!("{} since {since}", set.cell("/state"))),
    );
    add("reason", set.text("/reason"));
    let number = set.text("/update").map(|number| format!(" {number}"));
    let by = set
        .text("/bundle_key")
        .map(|key| format!(" signed by {key}"));
    let from = set.cell("/source") + &number.or(by).unwrap_or_default();
    add(
        "came",
        Some(format!("{}, {from}", date(set, "/creation_date"))),
    );
    add("signatures", set.text("/versions/signatures"));
    add("dated", set.text("/versions/signatures_date"));
    add("program", set.text("/versions/engine"));
    let sizes = ["/size", "/own_size"].map(|key| size(set.number(key).unwrap_or(0)));
    let files = set.cell("/files");
    let kept = if set.attributes["on_disk"] == false {
        ", no longer kept"
    } else {
        ""
    };
    let held = format!("{files}, {} ({} its own){kept}", sizes[0], sizes[1]);
    add("files", Some(held));
    add("digest", set.text("/digest"));
    add("made from", set.text("/parent"));
    canary(paint, set, &mut text);
    text
}

/// Tells what the canary saw, file by file where it matters.
fn canary(paint: Paint, set: &Object<Value>, text: &mut String) {
    let list = |pointer: &str| {
        let list = set.attributes.pointer(pointer).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    if !set.attributes["canary"].is_null() {
        let passed = set.attributes["canary"]["passed"] == true;
        let (color, word) = match passed {
            true => (Color::Green, "passed"),
            false => (Color::Red, "REFUSED"),
        };
        let shown = ["known_bad", "known_good"].map(|key| set.cell(&format!("/canary/{key}")));
        let key = paint.paint(Color::Bold, &format!("{:<12}", "canary"));
        let word = paint.paint(color, word);
        let line = format!(
            "{key} {word}: {} known-bad and {} known-good files shown",
            shown[0], shown[1]
        );
        text.push_str(&(line + "\n"));
    }
    for file in list("/canary/evidence") {
        text.push_str(&format!("  against it: {}\n", seen(&file)));
    }
    for file in list("/canary/passed_over") {
        text.push_str(&format!("  passed over: {}\n", seen(&file)));
    }
    for left in list("/left_out") {
        let part = |key: &str| visible(left[key].as_str().unwrap_or("-"));
        text.push_str(&format!(
            "  left out: {}: {}\n",
            part("name"),
            part("reason")
        ));
    }
}

fn seen(file: &Value) -> String {
    let part = |key: &str| visible(file[key].as_str().unwrap_or("-"));
    let said = match (file["result"].as_str(), file["reason"].as_str()) {
        (Some(name), _) => format!("{} ({})", part("category"), visible(name)),
        (None, Some(reason)) => format!("{}: {}", part("category"), visible(reason)),
        (None, None) => part("category"),
    };
    let wanted = match file["expected"].as_str() {
        Some("detection") => "known bad",
        Some("silence") => "known good",
        _ => "unknown",
    };
    format!("{} ({wanted}): {said}", part("file"))
}
