//! Disputes: a vendor is told, by its own rules, that a detection is a false positive.
//!
//! ```text
//! prepared ──→ queued ──→ sent ──the incident is over──→ closed
//!    │            │         └──→ bounced
//!    └────────────┴──the engine is silent, or nobody may any more──→ withdrawn
//! ```
//!
//! What is sent is a row first. Whether it may be sent is asked again right before it is: the
//! engine must still detect the file, and its owner still consent. The ledger is written before a
//! byte leaves, and the Message-ID is the dispute's own, so that a repeat after a crash is the
//! same letter.

mod archive;
mod bounce;
mod check;
mod draft;
mod evidence;
mod family;
mod follow;
mod letter;
mod post;
mod record;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::{Config, VendorDirectory};
use crate::flow::incident::family::Families;
use crate::model::{
    Dispute, DisputeState, EngineTable, LedgerEntry, LedgerKind, PublisherId, Timestamp,
};
use crate::store::{Change, DISPUTES, DISPUTES_OF, LedgerError, META, Store, StoreError};
use draft::Means;
use record::{put, remind_at, under_way};

pub use archive::Package;
pub use bounce::dispute_of;
pub use draft::{Draft, Order, Wish};
pub use family::Kin;
pub use letter::words_of;
pub use post::{Post, bounces_key};
pub use words::Words;

/// Name of the number of the last dispute.
const NUMBER: &str = "dispute";

/// Why a dispute cannot be made, or not be changed so.
#[derive(Debug, thiserror::Error)]
pub enum DisputeError {
    /// There is no such incident or dispute.
    #[error("{0} not found")]
    NotFound(String),
    /// Vendors may not know of the file.
    #[error(
        "the policy of this file is `never`: to vendors it does not exist; allow at least \
         metadata-only for it or its folder, then order the dispute again"
    )]
    Never,
    /// The file itself may not go to vendors.
    #[error(
        "the policy {policy} of {path} does not let the file itself leave; order the dispute \
         without the file, or allow file or file-on-request first"
    )]
    NoFile {
        /// Which policy.
        policy: &'static str,
        /// Where it is said.
        path: String,
    },
    /// The vendor wants to know more.
    #[error(
        "{vendor} wants to know {}, which the release card does not say: fill in the card of the \
         file, or of a folder above it, first",
        .fields.join(", ")
    )]
    Missing {
        /// Which vendor.
        vendor: String,
        /// Which fields of the release card.
        fields: Vec<&'static str>,
    },
    /// What somebody wrote cannot be sent.
    #[error("{0}")]
    Words(String),
    /// Nobody knows where to send it.
    #[error(
        "the directory of vendors has nobody for engine {engine}; add an entry with \
         engines = [\"{engine}\"] to a file of disputes.vendors, or name a vendor of it"
    )]
    NoVendor {
        /// Which engine.
        engine: String,
    },
    /// As things stand it makes no sense.
    #[error("{0}")]
    Conflict(String),
    /// The directory of vendors cannot be read.
    #[error("{0}")]
    Directory(String),
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The rows could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The package could not be made.
    #[error("the package cannot be made: {0}")]
    Package(String),
}

/// Who does something, and when.
#[derive(Clone, Debug)]
pub struct Doer {
    /// Id of the key or user, or `acquit`.
    pub id: String,
    /// The present.
    pub now: Timestamp,
}

/// Makes disputes and follows them; clones share the store.
#[derive(Clone, Debug)]
pub struct Disputes {
    store: Store,
    config: Arc<Config>,
    engines: watch::Receiver<EngineTable>,
}

impl Disputes {
    /// Stands on the store and the configuration; of the engines it is known which there are and
    /// which share signatures.
    pub const fn new(
        store: Store,
        config: Arc<Config>,
        engines: watch::Receiver<EngineTable>,
    ) -> Self {
        Self {
            store,
            config,
            engines,
        }
    }

    /// Reads the directory of vendors as it is now.
    ///
    /// # Errors
    /// Says which entry is wrong.
    pub fn directory(&self) -> Result<VendorDirectory, DisputeError> {
        let loaded = VendorDirectory::load(&self.config.disputes.vendors);
        loaded.map_err(|error| DisputeError::Directory(format!("{error:#}")))
    }

    /// Returns exactly what would leave, to whom and by which consent, and does nothing.
    ///
    /// # Errors
    /// If nothing may leave, nobody knows where to, or the family has its dispute already.
    pub fn preview(&self, order: &Order) -> Result<Draft, DisputeError> {
        let engines = self.engines.borrow().clone();
        let directory = self.directory()?;
        let means = Means {
            config: &self.config,
            directory: &directory,
            engines: &engines,
        };
        let draft = draft::draft(&self.store, &means, order)?;
        let families = Families::of(&engines);
        let other = family::another(&self.store, (&families, order.kin), &draft.incident)?;
        other.map_or(Ok(draft), |other| Err(DisputeError::Conflict(other)))
    }

    /// Makes a dispute; it waits to be sent if that was ordered and the vendor takes mail.
    ///
    /// # Errors
    /// If nothing may leave, something is missing, or there is one already.
    pub async fn create(&self, order: &Order, doer: &Doer) -> Result<Dispute, DisputeError> {
        let draft = self.preview(order)?;
        draft.check_fields()?;
        if order.file == Wish::With && draft.with_file() {
            self.note_consent(&draft, doer).await?;
        }
        let incident = draft.incident.clone();
        let mut dispute = draft.into_dispute(doer);
        if dispute.worded_by.is_some() {
            self.note_words(&dispute, doer).await?;
        }
        if order.send && dispute.by_mail {
            dispute.state = DisputeState::Queued;
            dispute.released_by = Some(doer.id.clone());
        }
        let maker = doer.clone();
        let (families, kin) = (Families::of(&self.engines.borrow()), order.kin);
        let write = move |change: &mut Change<'_>| {
            if let Some(other) = under_way(change, dispute.incident)? {
                return Ok(Err(format!(
                    "dispute {other} of this incident is under way; withdraw it first"
                )));
            }
            if let Some(other) = family::another(change, (&families, kin), &incident)? {
                return Ok(Err(other));
            }
            let last = change.get(&META, &NUMBER.to_owned())?.unwrap_or(0);
            dispute.id = last + 1;
            change.put(&META, &NUMBER.to_owned(), &dispute.id)?;
            change.put(&DISPUTES_OF, &(dispute.incident, dispute.id), &())?;
            let text = match dispute.state {
                DisputeState::Queued => "is on its way to",
                _ => "is prepared for",
            };
            let text = format!("Dispute {} {text} {}", dispute.id, dispute.to);
            put(change, &mut dispute, (&text, &maker))?;
            Ok(Ok(dispute))
        };
        let made = self.store.write(write).await?;
        made.map_err(DisputeError::Conflict)
    }

    /// The order itself is the consent for a file that is given on request.
    async fn note_consent(&self, draft: &Draft, doer: &Doer) -> Result<(), LedgerError> {
        let text = format!("ordered a dispute with the file for {}", draft.vendor.name);
        let mut entry = LedgerEntry::new(doer.now, LedgerKind::Admin, doer.id.clone(), text);
        entry.publisher = Some(draft.incident.publisher.clone());
        entry.sha256 = Some(draft.incident.sha256);
        entry.rule = Some(draft.rule.clone());
        self.store.ledger().append(entry).await
    }

    /// Reads a dispute.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, id: u64) -> Result<Dispute, DisputeError> {
        self.store.get(&DISPUTES, &id)?.ok_or_else(|| unknown(id))
    }

    /// Reads disputes, newest first, of one publisher or of all, and the key to go on from.
    ///
    /// # Errors
    /// If the store fails.
    pub fn list(
        &self,
        publisher: Option<&PublisherId>,
        before: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<(Vec<Dispute>, Option<Vec<u8>>), StoreError> {
        let (mut found, mut before) = (Vec::new(), before);
        loop {
            let span = ([].as_slice(), before.as_deref());
            let page = self.store.list_back(&DISPUTES, span, 100)?;
            for (id, dispute) in page.rows {
                if publisher.is_some_and(|publisher| *publisher != dispute.publisher) {
                    continue;
                }
                if found.len() == limit {
                    let last: Option<&Dispute> = found.last();
                    return Ok((found.clone(), last.map(|it| it.id.to_be_bytes().to_vec())));
                }
                debug_assert_eq!(id, dispute.id);
                found.push(dispute);
            }
            before = page.next;
            if before.is_none() {
                return Ok((found, None));
            }
        }
    }

    /// Lets a prepared dispute leave by mail; `revision` is that of the words that were seen.
    ///
    /// # Errors
    /// If it does not go by mail, is not waiting for this, or says something else by now.
    pub async fn send(
        &self,
        (id, revision): (u64, Option<u32>),
        doer: Doer,
    ) -> Result<Dispute, DisputeError> {
        let sender = doer.id.clone();
        self.change(id, doer, move |dispute, _| {
            if !dispute.by_mail {
                return Err(format!(
                    "this dispute does not go by mail: take its text to {}, then note the number \
                     it gets there",
                    dispute.to
                ));
            }
            if dispute.state != DisputeState::Prepared {
                return Err(format!("dispute {id} is {}", dispute.state.as_str()));
            }
            words::is_as_seen(dispute, revision)?;
            dispute.state = DisputeState::Queued;
            dispute.released_by = Some(sender.clone());
            Ok(format!("Dispute {id} is on its way to {}", dispute.to))
        })
        .await
    }

    /// Notes that a person brought it to the vendor, or which number the vendor gave it.
    ///
    /// # Errors
    /// If it is over.
    pub async fn ticket(&self, id: u64, ticket: &str, doer: Doer) -> Result<Dispute, DisputeError> {
        let ticket = draft::one_line(ticket);
        if ticket.is_empty() {
            return Err(DisputeError::Conflict(
                "the ticket's number is empty".to_owned(),
            ));
        }
        let days = self.config.disputes.remind_days;
        self.change(id, doer, move |dispute, now| {
            if dispute.state.is_over() || dispute.state == DisputeState::Queued {
                return Err(format!("dispute {id} is {}", dispute.state.as_str()));
            }
            dispute.state = DisputeState::Sent;
            dispute.remind_at = remind_at(days, now);
            dispute.ticket = Some(ticket.clone());
            Ok(format!("Dispute {id} is with {} as {ticket}", dispute.to))
        })
        .await
    }

    /// Notes that it came back.
    ///
    /// # Errors
    /// If it was never sent.
    pub async fn bounce(&self, id: u64, why: &str, doer: Doer) -> Result<Dispute, DisputeError> {
        let dispute = self.get(id)?;
        if dispute.state == DisputeState::Bounced {
            return Ok(dispute);
        }
        if !matches!(dispute.state, DisputeState::Sent | DisputeState::Queued) {
            let state = dispute.state.as_str();
            return Err(DisputeError::Conflict(format!("dispute {id} is {state}")));
        }
        let why = draft::one_line(why);
        let write = move |change: &mut Change<'_>| post::bounced(change, (id, &why), &doer);
        let bounced = self.store.write(write).await?;
        bounced.ok_or_else(|| unknown(id))
    }

    /// Takes a dispute back.
    ///
    /// # Errors
    /// If it is over already.
    pub async fn withdraw(&self, id: u64, doer: Doer) -> Result<Dispute, DisputeError> {
        self.change(id, doer, move |dispute, _| {
            if dispute.state.is_over() {
                return Err(format!("dispute {id} is {}", dispute.state.as_str()));
            }
            dispute.state = DisputeState::Withdrawn;
            Ok(format!("Dispute {id} was withdrawn"))
        })
        .await
    }

    /// Makes the archive a person takes to the vendor, once the ledger says so.
    ///
    /// # Errors
    /// If the file does not go with it, or may not any more.
    pub async fn package(&self, id: u64, doer: &Doer) -> Result<Package, DisputeError> {
        let package = self.pack(&self.to_pack(id)?).await?;
        // Packing takes its time: what was allowed before may be allowed no more.
        let dispute = self.to_pack(id)?;
        let text = format!("dispute {id}: the file, to be taken to {}", dispute.vendor);
        let mut entry = LedgerEntry::new(doer.now, LedgerKind::Egress, doer.id.clone(), text);
        entry.publisher = Some(dispute.publisher);
        entry.sha256 = Some(dispute.sha256);
        entry.bytes = Some(package.size_bytes);
        entry.to = Some(dispute.to);
        entry.rule = Some(dispute.rule);
        self.store.ledger().append(entry).await?;
        Ok(package)
    }

    /// Reads a dispute whose file may leave now.
    fn to_pack(&self, id: u64) -> Result<Dispute, DisputeError> {
        let dispute = self.get(id)?;
        if !dispute.with_file {
            let message = "no file goes with this dispute: its text is all that leaves";
            return Err(DisputeError::Conflict(message.to_owned()));
        }
        if dispute.state.is_over() {
            let state = dispute.state.as_str();
            return Err(DisputeError::Conflict(format!("dispute {id} is {state}")));
        }
        match draft::may_leave(&self.store, &dispute)? {
            Ok(()) => Ok(dispute),
            Err(reason) => Err(DisputeError::Conflict(reason)),
        }
    }

    async fn pack(&self, dispute: &Dispute) -> Result<Package, DisputeError> {
        let directory = self.directory()?;
        let vendor = directory.get(&dispute.vendor).cloned();
        let gone =
            || DisputeError::NotFound(format!("vendor {:?} of the directory", dispute.vendor));
        let (vendor, store) = (vendor.ok_or_else(gone)?, self.store.clone());
        let (dispute, dir) = (dispute.clone(), self.dir());
        let pack = move || archive::pack(&store, (&vendor, &dispute), &dir);
        let packed = tokio::task::spawn_blocking(pack).await;
        let packed = packed.map_err(|error| DisputeError::Package(error.to_string()))?;
        packed.map_err(|error| DisputeError::Package(format!("{error:#}")))
    }

    /// Directory of the packages while they are made and sent.
    fn dir(&self) -> PathBuf {
        self.config.storage.data_dir.join("disputes")
    }

    /// Changes a dispute's state and writes into its incident's thread what was done.
    async fn change(
        &self,
        id: u64,
        doer: Doer,
        act: impl Fn(&mut Dispute, Timestamp) -> Result<String, String> + Send + 'static,
    ) -> Result<Dispute, DisputeError> {
        let write = move |change: &mut Change<'_>| {
            let Some(mut dispute) = change.get(&DISPUTES, &id)? else {
                return Ok(None);
            };
            let done = act(&mut dispute, doer.now);
            if let Ok(text) = &done {
                put(change, &mut dispute, (text, &doer))?;
            }
            Ok(Some(done.map(|_| dispute)))
        };
        let done = self.store.write(write).await?;
        done.ok_or_else(|| unknown(id))?
            .map_err(DisputeError::Conflict)
    }
}

fn unknown(id: u64) -> DisputeError {
    DisputeError::NotFound(format!("dispute {id}"))
}
