//! What a vendor is told of a detection: by whose consent, by that vendor's rules.

use super::evidence::{evidence, known};
use super::family::Kin;
use super::letter::{Case, Letter};
use super::words::Words;
use super::{DisputeError, Doer};
use crate::config::{ArchiveKind, Config, VendorChannel, VendorDirectory, VendorEntry};
use crate::flow::mail;
use crate::flow::policy::{self, Consent};
use crate::model::{Dispute, DisputeState, EngineTable, Incident, SharePolicy, Standing};
use crate::store::{BLOBS, INCIDENTS, Read, STANDINGS, Store, StoreError};

/// Text and headers of a mail, and what base64 makes of the file: of four bytes three are its own.
const MAIL_OVERHEAD: u64 = 64 << 10;

/// What somebody wants a vendor to be told.
#[derive(Clone, Debug)]
pub struct Order {
    /// About which incident.
    pub incident: u64,
    /// Whether with the file.
    pub file: Wish,
    /// Which entry of the directory; that of the engine if not said.
    pub vendor: Option<String>,
    /// Whether it is sent at once where that is possible.
    pub send: bool,
    /// Whether it is for all engines that share the signatures.
    pub kin: Kin,
    /// In which words, where somebody wrote his own.
    pub words: Words,
}

/// Whether the file goes with a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// As far as the policy lets it without being asked.
    Policy,
    /// The one who orders consents.
    With,
    /// Not this time.
    Without,
}

/// What would leave.
#[derive(Clone, Debug)]
pub struct Draft {
    /// To whom.
    pub vendor: VendorEntry,
    /// About what.
    pub incident: Incident,
    /// What it says.
    pub letter: Letter,
    /// Whether somebody wrote it in other words than Acquit's.
    pub own_words: bool,
    /// Whether it goes by mail.
    pub by_mail: bool,
    /// Length of the file that goes with it.
    pub file_bytes: Option<u64>,
    /// Whether somebody ordered that.
    pub file_ordered: bool,
    /// Why no file does.
    pub no_file: Option<String>,
    /// By which rule and consent.
    pub rule: String,
    /// What the vendor wants to know and nobody has said.
    pub missing: Vec<&'static str>,
}

impl Draft {
    /// Tells whether the file goes with it.
    pub const fn with_file(&self) -> bool {
        self.file_bytes.is_some()
    }

    /// Refuses what the vendor would send back.
    ///
    /// # Errors
    /// Names what is missing.
    pub fn check_fields(&self) -> Result<(), DisputeError> {
        if self.missing.is_empty() {
            return Ok(());
        }
        Err(DisputeError::Missing {
            vendor: self.vendor.name.clone(),
            fields: self.missing.clone(),
        })
    }

    /// Makes the dispute, which has no number yet.
    pub fn into_dispute(self, doer: &Doer) -> Dispute {
        let with_file = self.with_file();
        Dispute {
            id: 0,
            incident: self.incident.id,
            publisher: self.incident.publisher,
            sha256: self.incident.sha256,
            to: self.vendor.place(),
            vendor: self.vendor.id,
            state: DisputeState::Prepared,
            created_at: doer.now,
            state_at: doer.now,
            author: doer.id.clone(),
            released_by: None,
            by_mail: self.by_mail,
            text: self.letter.text(),
            subject: self.letter.subject,
            facts: self.letter.facts,
            worded_by: self.own_words.then(|| doer.id.clone()),
            revision: 0,
            with_file,
            file_ordered: self.file_ordered,
            ticket: None,
            reminders: 0,
            remind_at: None,
            rule: self.rule,
            attempts: 0,
            problem: None,
        }
    }
}

/// Makes a text fit on one line of a mail.
pub fn one_line(text: &str) -> String {
    mail::one_line(text)
}

/// What a text is written with.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    /// The settings.
    pub config: &'a Config,
    /// Where vendors want to be told, and how.
    pub directory: &'a VendorDirectory,
    /// The engines there are.
    pub engines: &'a EngineTable,
}

/// Writes what a vendor is to be told.
pub fn draft(store: &Store, means: &Means<'_>, order: &Order) -> Result<Draft, DisputeError> {
    let Means {
        config, directory, ..
    } = *means;
    let found = store.get(&INCIDENTS, &order.incident)?;
    let not_found = || DisputeError::NotFound(format!("incident {}", order.incident));
    let incident = found.ok_or_else(not_found)?;
    let standing = still_stands(store, &incident)?.map_err(DisputeError::Conflict)?;
    let vendor = vendor(directory, order, &incident)?;
    let consent = policy::consent(store, &incident.sha256, &incident.publisher)?;
    let consent = consent.ok_or(DisputeError::Never)?;
    let blob = store.get(&BLOBS, &incident.sha256)?;
    let blob = blob.ok_or_else(|| DisputeError::NotFound("the file".to_owned()))?;
    let by_mail = vendor.channel == VendorChannel::Mail && !config.mail.server.is_empty();
    let limit = match by_mail {
        true => (config.mail.max_mb << 20).saturating_sub(MAIL_OVERHEAD) / 4 * 3,
        false => u64::MAX,
    };
    let file = file_goes(order.file, (&vendor, &consent), (blob.size_bytes, limit))?;
    let known = known(store, &incident, &consent)?;
    let missing = vendor
        .require
        .iter()
        .filter(|field| !known.contains_key(*field));
    let missing = missing.map(|field| field.as_str()).collect();
    let evidence = evidence(store, means.engines, (&incident, &standing))?;
    let case = Case {
        vendor: &vendor,
        incident: &incident,
        blob: &blob,
        known: &known,
        evidence,
        no_file: file.as_ref().err(),
    };
    let usual = case.letter();
    let letter = order.words.clone().over(usual.clone());
    let (said_at, file_ordered) = (&consent.said_at, order.file == Wish::With && file.is_ok());
    let asked = if file_ordered {
        "; the file ordered with the dispute"
    } else {
        ""
    };
    Ok(Draft {
        own_words: letter != usual,
        letter,
        by_mail,
        rule: format!("policy {} of {said_at}{asked}", policy_name(consent.policy)),
        file_bytes: file.is_ok().then_some(blob.size_bytes),
        file_ordered,
        no_file: file.err(),
        missing,
        vendor,
        incident,
    })
}

fn vendor(
    directory: &VendorDirectory,
    order: &Order,
    incident: &Incident,
) -> Result<VendorEntry, DisputeError> {
    if let Some(id) = &order.vendor {
        let found = directory.get(id).cloned();
        // A vendor is told of its own engine's detection and of nothing else.
        return match found {
            Some(entry) if entry.engines.contains(&incident.engine) => Ok(entry),
            Some(entry) => Err(DisputeError::Conflict(format!(
                "{} does not answer for engine {}",
                entry.name, incident.engine
            ))),
            None => Err(DisputeError::NotFound(format!(
                "vendor {id:?} of the directory"
            ))),
        };
    }
    let found = directory.of_engine(&incident.engine).cloned();
    found.ok_or_else(|| DisputeError::NoVendor {
        engine: incident.engine.to_string(),
    })
}

/// Returns the blob's standing if the engine detects it now and the incident is not over.
fn still_stands(
    read: &impl Read,
    incident: &Incident,
) -> Result<Result<Standing, String>, StoreError> {
    let engine = &incident.engine;
    if !incident.state.is_live() {
        let state = incident.state.as_str();
        return Ok(Err(format!("incident {} is {state}", incident.id)));
    }
    let standing = read.row(&STANDINGS, &incident.sha256)?.unwrap_or_default();
    Ok(match standing.detections.contains_key(engine) {
        true => Ok(standing),
        false => Err(format!("{engine} does not detect the file any more")),
    })
}

/// Tells whether a dispute may leave as it is now; inside, why not.
pub fn may_leave(read: &impl Read, dispute: &Dispute) -> Result<Result<(), String>, StoreError> {
    let Some(incident) = read.row(&INCIDENTS, &dispute.incident)? else {
        return Ok(Err("its incident is gone".to_owned()));
    };
    if let Err(reason) = still_stands(read, &incident)? {
        return Ok(Err(reason));
    }
    let consent = policy::consent(read, &dispute.sha256, &dispute.publisher)?;
    let Some(consent) = consent else {
        return Ok(Err("the policy of this file is `never` now".to_owned()));
    };
    // Ordered with the file under a policy that asks: the order is the consent, while that holds.
    if dispute.with_file && consent.policy < SharePolicy::FileOnRequest {
        return Ok(Err(format!(
            "the policy {} of {} does not let the file leave any more",
            policy_name(consent.policy),
            consent.said_at
        )));
    }
    let asks = consent.policy == SharePolicy::FileOnRequest;
    if dispute.with_file && asks && !dispute.file_ordered {
        let reason = "the policy lets the file leave on request only now, and nobody ordered it";
        return Ok(Err(reason.to_owned()));
    }
    Ok(Ok(()))
}

/// Decides whether the file goes with it; inside, the sentence that says why not.
fn file_goes(
    wish: Wish,
    (vendor, consent): (&VendorEntry, &Consent),
    (size, mail_limit): (u64, u64),
) -> Result<Result<(), String>, DisputeError> {
    let allowed = match (consent.policy, wish) {
        (SharePolicy::File, Wish::Policy | Wish::With)
        | (SharePolicy::FileOnRequest, Wish::With) => true,
        (SharePolicy::MetadataOnly | SharePolicy::Never, Wish::With) => {
            return Err(DisputeError::NoFile {
                policy: policy_name(consent.policy),
                path: consent.said_at.to_string(),
            });
        }
        _ => false,
    };
    if !allowed {
        let ours = match consent.policy {
            SharePolicy::FileOnRequest => "The file is not attached; we may give it on request.",
            _ => "The file is not attached.",
        };
        return Ok(Err(ours.to_owned()));
    }
    if vendor.archive == ArchiveKind::None {
        return Ok(Err("The file is not attached.".to_owned()));
    }
    let limit = (vendor.max_mb << 20).min(mail_limit);
    if size > limit {
        let limit = limit >> 20;
        return Ok(Err(format!(
            "The file has {size} bytes and is not attached: no more than {limit} MB can be sent \
             this way."
        )));
    }
    Ok(Ok(()))
}

fn policy_name(policy: SharePolicy) -> &'static str {
    match policy {
        SharePolicy::Never => "never",
        SharePolicy::MetadataOnly => "metadata-only",
        SharePolicy::FileOnRequest => "file-on-request",
        SharePolicy::File => "file",
    }
}
