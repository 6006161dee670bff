//! Disputes as the wire shows them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::ArchiveKind;
use crate::flow::dispute::{Draft, words_of};
use crate::http::envelope::{Base, Links, Object};
use crate::model::{Dispute, Timestamp};

/// What is known of a dispute.
#[derive(Debug, Serialize, ToSchema)]
pub struct DisputeAttributes {
    /// Number of the incident it is about.
    incident: u64,
    /// Whose file it is about.
    publisher: String,
    /// The file.
    sha256: String,
    /// Entry of the directory of vendors.
    vendor: String,
    /// `prepared`, `queued`, `sent`, `bounced`, `withdrawn` or `closed`.
    state: &'static str,
    /// Since when.
    state_date: u64,
    /// When it was made.
    creation_date: u64,
    /// Who made it.
    author: String,
    /// The addresses or the form it goes to.
    to: String,
    /// Whether it goes by mail; else a person takes it to the form.
    by_mail: bool,
    /// Its subject.
    subject: String,
    /// Its text: the words, an empty line, the facts.
    text: String,
    /// What of it can be said otherwise until it leaves.
    words: String,
    /// What of it cannot: which file, which detection; empty if an older version made it.
    facts: String,
    /// Who put it in his own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    worded_by: Option<String>,
    /// How often it was put in other words since it was made.
    revision: u32,
    /// Whether the file goes with it.
    with_file: bool,
    /// Where the archive is, if the file goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    /// By which rule and consent.
    rule: String,
    /// The vendor's own number for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    /// Reminders sent.
    reminders: u32,
    /// When the next one is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    reminder_date: Option<u64>,
    /// Tries of sending it that failed.
    attempts: u32,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Returns a dispute as an object.
pub fn object(dispute: Dispute, base: &Base) -> Object<DisputeAttributes> {
    let id = dispute.id.to_string();
    let place = format!("/acquit/disputes/{id}");
    let package = format!("{place}/package");
    Object {
        kind: "dispute",
        links: Links::to(base.url(&place)),
        id,
        attributes: DisputeAttributes {
            incident: dispute.incident,
            publisher: dispute.publisher.to_string(),
            sha256: dispute.sha256.to_string(),
            vendor: dispute.vendor,
            state: dispute.state.as_str(),
            state_date: dispute.state_at.seconds(),
            creation_date: dispute.created_at.seconds(),
            author: dispute.author,
            to: dispute.to,
            by_mail: dispute.by_mail,
            subject: dispute.subject,
            words: words_of(&dispute.text, &dispute.facts).to_owned(),
            text: dispute.text,
            facts: dispute.facts,
            worded_by: dispute.worded_by,
            revision: dispute.revision,
            with_file: dispute.with_file,
            package: dispute.with_file.then(|| base.url(&package)),
            rule: dispute.rule,
            ticket: dispute.ticket,
            reminders: dispute.reminders,
            reminder_date: dispute.remind_at.map(Timestamp::seconds),
            attempts: dispute.attempts,
            problem: dispute.problem,
        },
    }
}

/// What would leave.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewAttributes {
    /// Number of the incident.
    incident: u64,
    /// Entry of the directory of vendors.
    vendor: String,
    /// Its name.
    vendor_name: String,
    /// The addresses or the form.
    to: String,
    /// Whether it goes by mail.
    by_mail: bool,
    /// Its subject.
    subject: String,
    /// Its text: the words, an empty line, the facts.
    text: String,
    /// What of it can be said otherwise.
    words: String,
    /// What of it cannot: which file, which detection.
    facts: String,
    /// Whether somebody wrote it in his own words.
    own_words: bool,
    /// Whether the file goes with it.
    with_file: bool,
    /// The file's length.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_bytes: Option<u64>,
    /// `zip`, `7z` or `plain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<ArchiveWord>,
    /// The archive's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// Why no file goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_file: Option<String>,
    /// By which rule and consent.
    rule: String,
    /// Fields of the release card that the vendor wants and nobody has filled in.
    missing: Vec<&'static str>,
    /// What else is known of the vendor.
    remarks: String,
    /// When its entry was last found to be right.
    last_verified: String,
}

/// How the file is packed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
pub struct ArchiveWord(&'static str);

impl From<ArchiveKind> for ArchiveWord {
    fn from(kind: ArchiveKind) -> Self {
        Self(match kind {
            ArchiveKind::Zip => "zip",
            ArchiveKind::SevenZip => "7z",
            ArchiveKind::Plain => "plain",
            ArchiveKind::None => "none",
        })
    }
}

/// Returns what would leave as an object.
pub fn preview_object(draft: Draft, base: &Base) -> Object<PreviewAttributes> {
    let (with_file, vendor) = (draft.with_file(), draft.vendor);
    let password = Some(vendor.password.clone());
    let password = password.filter(|word| with_file && !word.is_empty());
    Object {
        kind: "dispute_preview",
        id: draft.incident.id.to_string(),
        links: Links::to(base.url(&format!("/acquit/incidents/{}", draft.incident.id))),
        attributes: PreviewAttributes {
            incident: draft.incident.id,
            to: vendor.place(),
            archive: with_file.then(|| vendor.archive.into()),
            password,
            vendor: vendor.id,
            vendor_name: vendor.name,
            by_mail: draft.by_mail,
            text: draft.letter.text(),
            subject: draft.letter.subject,
            words: draft.letter.words,
            facts: draft.letter.facts,
            own_words: draft.own_words,
            with_file,
            file_bytes: draft.file_bytes,
            no_file: draft.no_file,
            rule: draft.rule,
            missing: draft.missing,
            remarks: vendor.remarks,
            last_verified: vendor.last_verified,
        },
    }
}
