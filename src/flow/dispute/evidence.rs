//! What a vendor is told besides the detection itself: what is known of the software, and what
//! speaks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::draft::one_line;
use crate::config::Field;
use crate::flow::incident::family::Families;
use crate::flow::policy::{self, Consent};
use crate::model::{
    EngineId, EngineTable, EngineVersions, Incident, Side, Signer, Standing, Timestamp,
    Verification,
};
use crate::store::{FACTS, PUBLISHERS, Read, Store, StoreError};

/// Collects what the publisher states of the file and, where it states nothing, what the file
/// says of itself.
///
/// # Errors
/// If the store fails.
pub fn known(
    read: &impl Read,
    incident: &Incident,
    consent: &Consent,
) -> Result<BTreeMap<Field, String>, StoreError> {
    let publisher = read.row(&PUBLISHERS, &incident.publisher)?;
    let facts = read.row(&FACTS, &incident.sha256)?.unwrap_or_default();
    let card = match consent.items.first() {
        Some((path, _)) => policy::card_at(read, &incident.publisher, path)?,
        None => Default::default(),
    };
    let email = publisher.as_ref().and_then(|it| it.emails.first().cloned());
    let name = publisher.map(|it| it.name);
    let from_file = |fact: Option<String>| fact.map(|fact| format!("{fact} (from the file)"));
    let all = [
        (
            Field::Product,
            card.product.or_else(|| from_file(facts.product)),
        ),
        (
            Field::Version,
            card.version.or_else(|| from_file(facts.version)),
        ),
        (Field::Company, card.company.or(name)),
        (Field::ReleaseDate, card.release_date),
        (Field::Suite, card.suite),
        (
            Field::MainFiles,
            card.main_files.map(|files| files.join(", ")),
        ),
        (
            Field::Homepage,
            card.homepage.or_else(|| from_file(facts.homepage)),
        ),
        (Field::DownloadUrl, card.download_url),
        (
            Field::Purpose,
            card.purpose.or_else(|| from_file(facts.description)),
        ),
        (Field::Contact, card.contact.or(email)),
    ];
    let said = all.into_iter().filter_map(|(field, value)| {
        let value = one_line(&value?);
        (!value.is_empty()).then_some((field, value))
    });
    Ok(said.collect())
}

/// Says what the other engines say, and since when this one detects.
///
/// # Errors
/// If the store fails.
pub fn evidence(
    store: &Store,
    engines: &EngineTable,
    (incident, standing): (&Incident, &Standing),
) -> Result<String, StoreError> {
    let facts = store.get(&FACTS, &incident.sha256)?.unwrap_or_default();
    let mut text = facts.signer.as_ref().and_then(signed).unwrap_or_default();
    text.push_str(&others(store, engines, (incident, standing))?);
    match &incident.before {
        Some(side) => {
            let _ = writeln!(text, "Last called clean by your engine: {}", shown(side));
        }
        None => text.push_str("Your engine has detected it since we first scanned it.\n"),
    }
    let first = incident.first.as_ref();
    let first = first.map_or(incident.reopened_at, |side| side.at);
    let _ = writeln!(text, "First detected: {}", date(first));
    let _ = writeln!(text, "Detected now with: {}", shown(&incident.detected));
    Ok(text)
}

/// Says who signed the file; nothing if the signature does not fit or was not checked.
fn signed(signer: &Signer) -> Option<String> {
    let held = match signer.verification {
        Verification::Trusted => "the signature is valid and its root is trusted here",
        Verification::Intact { .. } => "the signature fits the file",
        Verification::Broken { .. } | Verification::Unchecked { .. } => return None,
    };
    let subject = one_line(&signer.subject);
    Some(format!("Signed by: {subject}; {held}.\n"))
}

/// Counts the opinions of the engines that are here now, by what they said last: the coverage that
/// stands on the pages, which [`crate::model::Verdict::is_opinion`] defines.
fn others(
    store: &Store,
    engines: &EngineTable,
    (incident, standing): (&Incident, &Standing),
) -> Result<String, StoreError> {
    let families = Families::of(engines);
    let opinion = |engine| families.name(engine).to_owned();
    let own = opinion(&incident.engine);
    let results = store.last_results(&incident.sha256, engines.keys())?;
    let detects = |engine: &EngineId| standing.detections.contains_key(engine);
    let clean = results.iter().filter(|(engine, result)| {
        result.verdict.is_opinion() && !result.verdict.is_detection() && !detects(engine)
    });
    let clean: BTreeSet<_> = clean.map(|(engine, _)| engine).collect();
    let present = standing.detections.keys();
    let detecting = present.filter(|it| engines.contains_key(*it) || **it == incident.engine);
    let detecting: BTreeSet<_> = detecting.collect();
    let answered = clean.len() + detecting.len();
    let asked = engines.values().filter(|it| it.state.takes_part()).count();
    let other: BTreeSet<_> = detecting.into_iter().map(opinion).collect();
    let silent: BTreeSet<_> = clean.into_iter().map(opinion).collect();
    let silent = silent.difference(&other).filter(|name| **name != own);
    Ok(format!(
        "Other engines: {} find nothing, {} detect it too; {answered} of {} engines answered.\n",
        silent.count(),
        other.iter().filter(|name| **name != own).count(),
        asked.max(answered)
    ))
}

fn shown(side: &Side) -> String {
    format!("{}, {}", date(side.at), with(&side.versions))
}

/// Names versions in one line.
pub fn with(versions: &EngineVersions) -> String {
    let named = |name: &str, value: &Option<String>| {
        let value = value.as_deref()?;
        Some(format!("{name} {}", one_line(value)))
    };
    let set = versions
        .signature_set
        .as_ref()
        .map(|set| format!("set {set}"));
    let parts = [
        named("engine", &versions.engine),
        named("signatures", &versions.signatures),
        named("of", &versions.signatures_date),
        set,
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "versions unknown".to_owned(),
        false => parts.join(", "),
    }
}

fn date(at: Timestamp) -> String {
    let at = i64::try_from(at.seconds()).ok();
    let at = at.and_then(|at| jiff::Timestamp::from_second(at).ok());
    at.map_or_else(
        || "unknown".to_owned(),
        |at| at.strftime("%F %R UTC").to_string(),
    )
}
