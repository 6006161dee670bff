//! What vendors say of their detections: one comment for each blob and engine.
//!
//! Another vendor never sees it: that an engine detects a blob is nobody's
//! business but its own vendor's and the owner's.

use super::{Analyst, VendorError, act, clean, find, of_now, see};
use crate::flow::events::{self, Draft};
use crate::flow::incident::{self, Confirmed, Seat};
use crate::flow::policy::{Consent, Sight};
use crate::model::{About, Comment, EngineId, Entry, EntryKind, EventKind, Sha256};
use crate::store::{COMMENTS, Change, INCIDENT_OF, INCIDENTS, Store, StoreError};

/// Longest comment, in characters.
const TEXT_CHARS: usize = 10_000;
/// Longest name of the version or set that something is fixed in.
const FIXED_CHARS: usize = 100;

/// What a comment is about: a blob and the engine that detects it.
pub type Detected = (Sha256, EngineId);

/// What a vendor says; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// In words.
    pub text: Option<String>,
    /// Whether it stands by the detection.
    pub confirmed: Option<bool>,
    /// In which version or set it is fixed; `Some(None)` takes that back.
    pub fixed_in: Option<Option<String>>,
}

/// Makes comments: all of them, or none.
///
/// # Errors
/// If one is there already, says nothing, or is about what the vendor may not know of.
pub async fn post(
    store: &Store,
    analyst: Analyst,
    said: Vec<(Detected, Said)>,
) -> Result<Vec<(Detected, Comment)>, VendorError> {
    let make = move |change: &mut Change<'_>| {
        let mut made = Vec::new();
        for (detected, said) in &said {
            let sight = sight_of(change, &analyst, detected)?;
            let twice = made.iter().any(|(_, known, _)| known == detected);
            if twice || change.get(&COMMENTS, detected)?.is_some() {
                let message = "there is already a comment on this hash and engine: PATCH it";
                return Err(VendorError::Exists(message.to_owned()));
            }
            let comment = apply(None, said, &analyst);
            if comment.text.is_empty() && !comment.confirmed && comment.fixed_in.is_none() {
                let message = "a comment needs at least one of comment, detection and fixed_in";
                return Err(VendorError::Invalid(message.to_owned()));
            }
            made.push((sight, detected.clone(), comment));
        }
        for (sight, detected, comment) in &made {
            write(change, &analyst, (sight, detected), (None, Some(comment)))?;
        }
        let made = made
            .into_iter()
            .map(|(_, detected, comment)| (detected, comment));
        Ok(made.collect())
    };
    act(store, make).await
}

/// Changes a comment.
///
/// # Errors
/// If for the vendor there is none.
pub async fn patch(
    store: &Store,
    analyst: Analyst,
    (detected, said): (Detected, Said),
) -> Result<Comment, VendorError> {
    let edit = move |change: &mut Change<'_>| {
        let sight = sight_of(change, &analyst, &detected)?;
        let before = change.get(&COMMENTS, &detected)?;
        let before = before.ok_or(VendorError::Hidden)?;
        let before = of_now(change, &detected, before)?;
        let after = apply(Some(&before), &said, &analyst);
        let both = (Some(&before), Some(&after));
        write(change, &analyst, (&sight, &detected), both)?;
        Ok(after)
    };
    act(store, edit).await
}

/// Removes a comment; with it the vendor does not stand by the detection any more.
///
/// # Errors
/// If for the vendor there is none.
pub async fn delete(
    store: &Store,
    analyst: Analyst,
    detected: Detected,
) -> Result<(), VendorError> {
    let remove = move |change: &mut Change<'_>| {
        let sight = sight_of(change, &analyst, &detected)?;
        let before = change.get(&COMMENTS, &detected)?;
        let before = before.ok_or(VendorError::Hidden)?;
        write(change, &analyst, (&sight, &detected), (Some(&before), None))?;
        Ok(())
    };
    act(store, remove).await
}

/// Returns what the vendor may have of the blob, if this engine of its own detects it now.
fn sight_of(
    change: &Change<'_>,
    analyst: &Analyst,
    (sha256, engine): &Detected,
) -> Result<Sight, VendorError> {
    let vendor = find(change, &analyst.vendor)?;
    let sight = see(change, &vendor, sha256)?;
    if sight.engines.contains(engine) {
        Ok(sight)
    } else {
        Err(VendorError::Hidden)
    }
}

fn apply(before: Option<&Comment>, said: &Said, analyst: &Analyst) -> Comment {
    let text = said.text.as_ref().map(|text| clean(text, TEXT_CHARS));
    let fixed_in = said.fixed_in.as_ref().map(|fixed_in| {
        let fixed_in = fixed_in.as_ref().map(|text| clean(text, FIXED_CHARS));
        fixed_in
            .map(|text| text.replace('\n', " "))
            .filter(|text| !text.is_empty())
    });
    let kept = |of: fn(&Comment) -> String| before.map_or_else(String::new, of);
    Comment {
        text: text.unwrap_or_else(|| kept(|before| before.text.clone())),
        at: analyst.now,
        author: analyst.actor.clone(),
        confirmed: said
            .confirmed
            .unwrap_or_else(|| before.is_some_and(|b| b.confirmed)),
        fixed_in: fixed_in.unwrap_or_else(|| before.and_then(|b| b.fixed_in.clone())),
    }
}

/// Writes a comment, and all that follows from it.
fn write(
    change: &mut Change<'_>,
    analyst: &Analyst,
    (sight, detected): (&Sight, &Detected),
    (before, after): (Option<&Comment>, Option<&Comment>),
) -> Result<(), StoreError> {
    match after {
        Some(comment) => change.put(&COMMENTS, detected, comment)?,
        None => change.remove(&COMMENTS, detected),
    }
    // Only those who let the vendor know of the blob hear of what it says.
    for consent in &sight.consents {
        tell(change, analyst, (consent, detected), (before, after))?;
    }
    let confirmed = after.is_some_and(|comment| comment.confirmed);
    if before.is_some_and(|comment| comment.confirmed) != confirmed {
        let confirmed = if confirmed {
            Confirmed::Yes
        } else {
            Confirmed::No
        };
        for Consent { publisher, .. } in &sight.consents {
            let (sha256, engine) = (detected.0, &detected.1);
            let seat = Seat { sha256, publisher };
            incident::confirmed(change, (&seat, engine), confirmed, analyst.now)?;
        }
    }
    Ok(())
}

fn tell(
    change: &mut Change<'_>,
    analyst: &Analyst,
    (consent, (sha256, engine)): (&Consent, &Detected),
    (before, after): (Option<&Comment>, Option<&Comment>),
) -> Result<(), StoreError> {
    let publisher = consent.publisher.clone();
    let incident = change.get(&INCIDENT_OF, &(*sha256, engine.clone(), publisher.clone()))?;
    if let Some(number) = incident {
        let entry = Entry {
            at: analyst.now,
            author: analyst.actor.clone(),
            kind: EntryKind::Vendor,
            text: in_words(after),
        };
        incident::enter(change, number, entry)?;
        let fixed_in = |comment: Option<&Comment>| comment.and_then(|c| c.fixed_in.clone());
        if fixed_in(before) != fixed_in(after)
            && let Some(mut row) = change.get(&INCIDENTS, &number)?
        {
            row.fixed_in = fixed_in(after);
            change.put(&INCIDENTS, &number, &row)?;
        }
    }
    let about = About {
        publisher: Some(publisher),
        path: consent.items.first().map(|(path, _)| path.clone()),
        sha256: Some(*sha256),
        incident,
        actor: Some(analyst.actor.clone()),
    };
    let did = if after.is_some() {
        "commented on"
    } else {
        "took back its comment on"
    };
    let text = format!(
        "Vendor {} {did} the detection of {sha256} by {engine}",
        analyst.vendor
    );
    let mut draft = Draft::about(analyst.now, EventKind::VendorCommented, about, text);
    draft.engine = Some(engine.clone());
    draft.details = serde_json::json!({
        "vendor": analyst.vendor,
        "comment": after.map(|comment| &comment.text),
        "confirmed": after.is_some_and(|comment| comment.confirmed),
        "fixed_in": after.and_then(|comment| comment.fixed_in.as_ref()),
    });
    events::raise(change, draft).map(|_| ())
}

fn in_words(after: Option<&Comment>) -> String {
    let Some(comment) = after else {
        return "The vendor took back what it said.".to_owned();
    };
    let mut words = Vec::new();
    if comment.confirmed {
        words.push("The vendor stands by the detection.".to_owned());
    }
    if let Some(fixed_in) = &comment.fixed_in {
        words.push(format!("The vendor says that it is fixed in {fixed_in}."));
    }
    if !comment.text.is_empty() {
        words.push(comment.text.clone());
    }
    if words.is_empty() {
        words.push("The vendor does not stand by the detection any more.".to_owned());
    }
    words.join("\n")
}
