//! What is told: an event in words and for programs, as far as whoever is told may know of it.

use askama::Template;
use serde_json::{Value, json};

use crate::flow::policy::{self, Consent};
use crate::model::{
    Audience, Event, EventKind, Incident, PublisherId, Sha256, Side, Timestamp, VendorId,
};
use crate::store::{FILE_REQUESTS, INCIDENTS, PUBLISHERS, Read, STANDINGS, StoreError, VENDORS};

/// Paths named to a vendor.
const PATHS: usize = 5;

/// One event, told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What happened, in one sentence.
    pub text: String,
    /// What there is to know besides: names and values.
    pub facts: Vec<(String, String)>,
    /// The same for programs.
    pub json: Value,
    /// By which rule and consent it may be told.
    pub rule: String,
    /// What kind of event, on the wire.
    pub kind: String,
    /// Whose files it is about.
    pub publisher: Option<PublisherId>,
    /// Which blob.
    pub sha256: Option<Sha256>,
}

#[derive(Template)]
#[template(path = "notice.txt", escape = "none")]
struct Plain<'a> {
    items: &'a [Told],
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Html<'a> {
    items: &'a [Told],
}

/// Writes what is told as plain text.
pub fn plain(items: &[Told]) -> String {
    Plain { items }.render().unwrap_or_else(|_| title(items))
}

/// Writes what is told as HTML, everything escaped; nothing if it cannot be.
pub fn html(items: &[Told]) -> Option<String> {
    Html { items }.render().ok()
}

/// Returns what is told in one line.
pub fn title(items: &[Told]) -> String {
    match items {
        [told] => told.text.clone(),
        items => format!("Acquit: {} things happened", items.len()),
    }
}

/// Puts an event into words for whoever is told; nothing if they may not know of it.
///
/// # Errors
/// If the store fails.
pub fn tell(
    read: &impl Read,
    event: &Event,
    audience: &Audience,
) -> Result<Option<Told>, StoreError> {
    match audience {
        Audience::Admin => owner(read, event, "administrator").map(Some),
        Audience::Publisher(id) if event.about.publisher.as_ref() == Some(id) => {
            owner(read, event, "the publisher's own collection").map(Some)
        }
        Audience::Publisher(_) => Ok(None),
        Audience::Vendor(id) => vendor(read, event, id),
    }
}

fn owner(read: &impl Read, event: &Event, rule: &str) -> Result<Told, StoreError> {
    let about = &event.about;
    let mut facts = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        facts.extend(value.map(|value| (name.to_owned(), value)));
    };
    add(
        "Publisher",
        about.publisher.as_ref().map(ToString::to_string),
    );
    add("Path", about.path.as_ref().map(ToString::to_string));
    add("SHA-256", about.sha256.as_ref().map(ToString::to_string));
    add("Engine", event.engine.as_ref().map(ToString::to_string));
    add("Incident", about.incident.map(|number| number.to_string()));
    if let Some(incident) = incident(read, event)? {
        add("Detection", Some(incident.detection.to_string()));
        add("Detected with", Some(said_with(&incident.detected)));
        add("Last clean with", incident.before.as_ref().map(said_with));
        add(
            "Clean again with",
            incident.resolved.as_ref().map(said_with),
        );
    }
    add("When", Some(iso(event.at)));
    let json = json!({
        "event": event.number.to_string(), "kind": event.kind.as_str(),
        "date": event.at.seconds(), "text": event.text, "engine": event.engine,
        "details": event.details, "publisher": about.publisher, "path": about.path,
        "sha256": about.sha256, "incident": about.incident.map(|number| number.to_string()),
    });
    Ok(told(
        event,
        (event.text.clone(), facts),
        (json, rule.to_owned()),
    ))
}

fn told(
    event: &Event,
    (text, facts): (String, Vec<(String, String)>),
    (json, rule): (Value, String),
) -> Told {
    Told {
        text,
        facts,
        json,
        rule,
        kind: event.kind.as_str(),
        publisher: event.about.publisher.clone(),
        sha256: event.about.sha256,
    }
}

fn incident(read: &impl Read, event: &Event) -> Result<Option<Incident>, StoreError> {
    let number = event.about.incident;
    number.map_or(Ok(None), |number| read.row(&INCIDENTS, &number))
}

/// Puts an event into a vendor's words: what the owner's policy lets out and nothing else. The
/// event's own sentence and details are the owner's.
fn vendor(read: &impl Read, event: &Event, vendor: &VendorId) -> Result<Option<Told>, StoreError> {
    let (Some(publisher), Some(sha256)) = (&event.about.publisher, &event.about.sha256) else {
        return Ok(None);
    };
    if !concerns_vendor(read, event, vendor)? {
        return Ok(None);
    }
    let Some(consent) = policy::consent(read, sha256, publisher)? else {
        return Ok(None);
    };
    let name = read.row(&PUBLISHERS, publisher)?.map(|row| row.name);
    let name = name.unwrap_or_else(|| publisher.to_string());
    let verb = match event.kind {
        EventKind::IncidentOpened => "detects a file of",
        EventKind::IncidentReopened => "detects again a file of",
        EventKind::IncidentResolved => "does not detect any more a file of",
        _ => return answered(read, event, (vendor, name, consent)),
    };
    let engine = event.engine.as_ref().map(ToString::to_string);
    let engine = engine.unwrap_or_default();
    let text = format!("{engine} {verb} {name}");
    let mut facts = shared(read, (sha256, &name), &consent)?;
    facts.push(("Engine".to_owned(), engine.clone()));
    let mut json = json!({
        "event": event.number.to_string(), "kind": event.kind.as_str(),
        "date": event.at.seconds(), "text": text, "engine": engine, "sha256": sha256,
        "publisher": name,
    });
    if let Some(incident) = incident(read, event)? {
        facts.push(("Detection".to_owned(), incident.detection.to_string()));
        facts.push(("Detected with".to_owned(), said_with(&incident.detected)));
        let resolved = incident.resolved.as_ref().map(said_with);
        facts.extend(resolved.map(|with| ("Clean again with".to_owned(), with)));
        json["detection"] = incident.detection.to_string().into();
    }
    json["card"] = card(read, &consent)?;
    let rule = rule(&consent);
    Ok(Some(told(event, (text, facts), (json, rule))))
}

/// Tells whether an event is about what a vendor's own engine detects, or did until this event.
fn concerns_vendor(read: &impl Read, event: &Event, vendor: &VendorId) -> Result<bool, StoreError> {
    let Some(row) = read.row(&VENDORS, vendor)? else {
        return Ok(false);
    };
    let own = event.engine.as_ref().filter(|id| row.engines.contains(id));
    let (Some(sha256), kind) = (&event.about.sha256, event.kind) else {
        return Ok(false);
    };
    match (kind, own) {
        (EventKind::IncidentResolved, own) => Ok(own.is_some()),
        (EventKind::IncidentOpened | EventKind::IncidentReopened, Some(engine)) => {
            // Once it is over the blob does not exist for the vendor.
            let standing = read.row(&STANDINGS, sha256)?.unwrap_or_default();
            Ok(standing.detections.contains_key(engine))
        }
        (EventKind::FileAnswered, _) => {
            let asked = event.details.get("vendor").and_then(Value::as_str);
            Ok(asked == Some(vendor.as_str()) && policy::sight(read, &row, sha256)?.is_some())
        }
        _ => Ok(false),
    }
}

fn answered(
    read: &impl Read,
    event: &Event,
    (vendor, name, consent): (&VendorId, String, Consent),
) -> Result<Option<Told>, StoreError> {
    let Some(sha256) = &event.about.sha256 else {
        return Ok(None);
    };
    let key = (*sha256, consent.publisher.clone(), vendor.clone());
    let Some(request) = read.row(&FILE_REQUESTS, &key)? else {
        return Ok(None);
    };
    let granted = request.granted.is_some() && request.refused.is_none();
    let word = if granted { "grants" } else { "does not grant" };
    let text = format!("{name} {word} your request for a file");
    let facts = shared(read, (sha256, &name), &consent)?;
    let json = json!({
        "event": event.number.to_string(), "kind": event.kind.as_str(),
        "date": event.at.seconds(), "text": text, "sha256": sha256, "publisher": name,
        "granted": granted,
    });
    let rule = rule(&consent);
    Ok(Some(told(event, (text, facts), (json, rule))))
}

fn rule(consent: &Consent) -> String {
    let policy = serde_json::to_value(consent.policy).unwrap_or_default();
    let policy = policy.as_str().unwrap_or_default();
    format!(
        "policy {policy} of {}:{}",
        consent.publisher, consent.said_at
    )
}

/// Returns what every vendor whose engine detects the file may know of it.
fn shared(
    read: &impl Read,
    (sha256, name): (&Sha256, &str),
    consent: &Consent,
) -> Result<Vec<(String, String)>, StoreError> {
    let mut facts = vec![
        ("Publisher".to_owned(), name.to_owned()),
        ("SHA-256".to_owned(), sha256.to_string()),
    ];
    let paths = consent.items.iter().take(PATHS);
    facts.extend(paths.map(|(path, _)| ("Path".to_owned(), path.to_string())));
    if let Value::Object(card) = card(read, consent)? {
        facts.extend(card.into_iter().map(|(field, value)| {
            let value = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            (field.replace('_', " "), value)
        }));
    }
    Ok(facts)
}

fn card(read: &impl Read, consent: &Consent) -> Result<Value, StoreError> {
    let Some((path, _)) = consent.items.first() else {
        return Ok(json!({}));
    };
    let card = policy::card_at(read, &consent.publisher, path)?;
    Ok(serde_json::to_value(card).unwrap_or_default())
}

fn said_with(side: &Side) -> String {
    let versions = &side.versions;
    let mut words = Vec::new();
    let mut add = |name: &str, value: Option<&str>| {
        words.extend(value.map(|value| format!("{name} {value}")));
    };
    add("version", versions.engine.as_deref());
    add("signatures", versions.signatures.as_deref());
    add(
        "set",
        versions.signature_set.as_ref().map(|set| set.0.as_str()),
    );
    format!("{} ({})", words.join(", "), iso(side.at))
}

/// Returns a time as programs and people alike can read it.
pub fn iso(at: Timestamp) -> String {
    let at = i64::try_from(at.seconds()).ok();
    let at = at.and_then(|at| jiff::Timestamp::from_second(at).ok());
    at.map_or_else(String::new, |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_text_in_html() {
        let told = Told {
            text: "<script>alert(1)</script> & more".to_owned(),
            facts: vec![("Path".to_owned(), "/a\"<img src=x>".to_owned())],
            json: Value::Null,
            rule: String::new(),
            kind: "incident-opened".to_owned(),
            publisher: None,
            sha256: None,
        };
        let page = html(std::slice::from_ref(&told)).unwrap();
        assert!(
            !page.contains("<script>") && !page.contains("<img"),
            "{page}"
        );
        let text = plain(&[told]);
        assert!(text.contains("<script>alert(1)</script> & more"), "{text}");
    }
}
