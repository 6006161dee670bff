//! The task that sends what waits, reminds those who do not answer, and ends what is over.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::bounce::letter_name;
use super::draft::may_leave;
use super::record::{put, remind_at, save};
use super::{Disputes, Doer, Package, archive, check, follow};
use crate::flow::events::{self, Draft as EventDraft};
use crate::flow::incident::ACQUIT;
use crate::flow::ingest::Ingest;
use crate::flow::mail::{Attachment, Letter, MailError, Mailer, is_address};
use crate::model::{
    About, Dispute, DisputeState, Event, EventKind, LedgerEntry, LedgerKind, Timestamp,
};
use crate::store::{Change, DISPUTE_DUE, DISPUTES, INCIDENTS, META, PUBLISHERS, StoreError};
use crate::system;

/// How often it is looked what there is to do.
const LOOK: Duration = Duration::from_secs(1);
/// First and longest pause after a try that failed.
const PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(6 * 3600));
/// Tries that fail, over half an hour, before people are told.
const TOLD_AFTER: u32 = 6;
/// Disputes looked after at a time.
const BATCH: usize = 100;

/// Sends disputes.
#[derive(Debug)]
pub struct Post {
    disputes: Disputes,
    mailer: Option<Mailer>,
    ingest: Ingest,
}

impl Post {
    /// Sends by `mailer`; without one, what goes by mail waits. Engines are asked again through
    /// `ingest`.
    pub const fn new(disputes: Disputes, mailer: Option<Mailer>, ingest: Ingest) -> Self {
        Self {
            disputes,
            mailer,
            ingest,
        }
    }

    /// Does what is due until told to end.
    pub async fn run(self, shutdown: &CancellationToken) {
        archive::sweep(&self.disputes.dir());
        while !shutdown.is_cancelled() {
            if let Err(error) = self.step(system::now()).await {
                error!(%error, "Cannot look after disputes");
            }
            shutdown.run_until_cancelled(tokio::time::sleep(LOOK)).await;
        }
    }

    /// Does what is due at a moment.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn step(&self, now: Timestamp) -> Result<(), StoreError> {
        follow::events(&self.disputes, now).await?;
        let store = &self.disputes.store;
        let due = store.list(&DISPUTE_DUE, (&[], None), BATCH)?;
        let due = due.rows.into_iter().map(|(key, ())| key);
        for (at, id) in due.take_while(|(at, _)| *at <= now.millis()) {
            let dispute = store.get(&DISPUTES, &id)?;
            match dispute {
                Some(dispute) if dispute.state == DisputeState::Queued => {
                    self.deliver(dispute, now).await?;
                }
                Some(dispute) if is_to_remind(&dispute, now) => self.remind(dispute, now).await?,
                _ => {}
            }
            let done = store.write(move |change| {
                change.remove(&DISPUTE_DUE, &(at, id));
                Ok(())
            });
            done.await?;
        }
        Ok(())
    }

    /// Sends a dispute that waits, if its engine says so with what it scans with now.
    async fn deliver(&self, dispute: Dispute, now: Timestamp) -> Result<(), StoreError> {
        if let Some(engine) = check::outdated(&self.disputes.store, &dispute)? {
            let reason = format!("{engine} is asked again: it has newer signatures now");
            let asked = check::look_again(&self.ingest, (&dispute, engine), now).await;
            let reason = asked.map_or_else(|error| error.to_string(), |()| reason);
            return self.put_off(dispute.id, (reason, now)).await;
        }
        let package = match dispute.with_file {
            true => match self.disputes.pack(&dispute).await {
                Ok(package) => Some(package),
                Err(error) => return self.put_off(dispute.id, (error.to_string(), now)).await,
            },
            false => None,
        };
        // Asked as late as can be: packing takes its time, somebody may have taken the dispute back
        // meanwhile, and vendors close what they cannot reproduce.
        let Some(dispute) = self.still_queued(dispute.id)? else {
            return Ok(());
        };
        if let Err(reason) = may_leave(&self.disputes.store, &dispute)? {
            return self.withdraw(dispute.id, (reason, now)).await;
        }
        let (id, letter) = (dispute.id, self.letter(&dispute, 0, package.as_ref())?);
        let what = match (dispute.worded_by.is_some(), package.is_some()) {
            (false, false) => "text",
            (false, true) => "text and file",
            (true, false) => "text in a person's words",
            (true, true) => "text in a person's words, and file",
        };
        let sender = sender(&dispute, now);
        let sent = self.send(&dispute, (letter, what), &sender);
        match sent.await {
            Ok(()) => self.sent(id, sender).await,
            Err(MailError::Temporary(reason)) => self.put_off(id, (reason, now)).await,
            Err(MailError::Permanent(reason)) => {
                let doer = ours(now);
                let write = move |change: &mut Change<'_>| bounced(change, (id, &reason), &doer);
                self.disputes.store.write(write).await.map(drop)
            }
        }
    }

    fn still_queued(&self, id: u64) -> Result<Option<Dispute>, StoreError> {
        let dispute: Option<Dispute> = self.disputes.store.get(&DISPUTES, &id)?;
        Ok(dispute.filter(|dispute| dispute.state == DisputeState::Queued))
    }

    fn letter(
        &self,
        dispute: &Dispute,
        reminder: u32,
        package: Option<&Package>,
    ) -> Result<Letter, StoreError> {
        let publisher = self.disputes.store.get(&PUBLISHERS, &dispute.publisher)?;
        let emails = publisher
            .map(|publisher| publisher.emails)
            .unwrap_or_default();
        let name = letter_name(dispute, reminder);
        let mailer = self.mailer.as_ref();
        Ok(Letter {
            to: dispute.to.split(", ").map(str::to_owned).collect(),
            subject: match reminder {
                0 => dispute.subject.clone(),
                _ => format!("Re: {}", dispute.subject),
            },
            text: match reminder {
                0 => dispute.text.clone(),
                _ => format!(
                    "Hello,\n\nwe have not heard of this report yet:\n\n{}",
                    dispute.text
                ),
            },
            html: None,
            attachment: package.map(|package| Attachment {
                name: package.name.clone(),
                media_type: package.media_type.to_owned(),
                path: package.path().to_owned(),
            }),
            message_id: mailer
                .map(|mailer| mailer.message_id(&name))
                .unwrap_or_default(),
            reply_to: emails.into_iter().find(|email| is_address(email)),
        })
    }

    /// Writes into the ledger what leaves, and lets it leave.
    async fn send(
        &self,
        dispute: &Dispute,
        (letter, what): (Letter, &str),
        doer: &Doer,
    ) -> Result<(), MailError> {
        let Some(mailer) = &self.mailer else {
            let reason = "no mail server is configured; see [mail] of the configuration";
            return Err(MailError::Temporary(reason.to_owned()));
        };
        let text = format!("dispute {} to {}: {what}", dispute.id, dispute.vendor);
        let mut entry = LedgerEntry::new(doer.now, LedgerKind::Egress, doer.id.clone(), text);
        let sealed = mailer.seal(letter).await?;
        entry.bytes = Some(sealed.size());
        entry.publisher = Some(dispute.publisher.clone());
        entry.sha256 = Some(dispute.sha256);
        entry.to = Some(dispute.to.clone());
        entry.rule = Some(dispute.rule.clone());
        let noted = self.disputes.store.ledger().append(entry).await;
        noted.map_err(|error| MailError::Temporary(error.to_string()))?;
        mailer.send(&sealed).await
    }

    async fn sent(&self, id: u64, doer: Doer) -> Result<(), StoreError> {
        let days = self.disputes.config.disputes.remind_days;
        let write = move |change: &mut Change<'_>| {
            let Some(mut dispute) = change.get(&DISPUTES, &id)? else {
                return Ok(());
            };
            // Whoever took it back meanwhile was too late.
            if matches!(
                dispute.state,
                DisputeState::Queued | DisputeState::Withdrawn
            ) {
                dispute.state = DisputeState::Sent;
                dispute.remind_at = remind_at(days, doer.now);
                (dispute.problem, dispute.attempts) = (None, 0);
            }
            let text = format!("Dispute {id} was sent to {}", dispute.to);
            raise(change, (&dispute, EventKind::DisputeSent), (&text, &doer))?;
            put(change, &mut dispute, (&text, &doer))
        };
        self.disputes.store.write(write).await
    }

    /// Tries again later, after a longer pause each time; tells of it once.
    async fn put_off(&self, id: u64, (reason, now): (String, Timestamp)) -> Result<(), StoreError> {
        warn!(dispute = id, reason, "A dispute cannot be sent yet");
        let write = move |change: &mut Change<'_>| {
            let Some(mut dispute) = change.get(&DISPUTES, &id)? else {
                return Ok(());
            };
            if dispute.state != DisputeState::Queued {
                return Ok(());
            }
            let pause = PAUSES.0 * 2_u32.saturating_pow(dispute.attempts.min(12));
            dispute.attempts = dispute.attempts.saturating_add(1);
            if dispute.attempts == TOLD_AFTER {
                let text = format!("Dispute {id} cannot be sent to {}: {reason}", dispute.to);
                let delayed = (&dispute, EventKind::DisputeDelayed);
                raise(change, delayed, (&text, &ours(now)))?;
            }
            dispute.problem = Some(reason);
            save(change, &dispute, Some(now.after(pause.min(PAUSES.1))))
        };
        self.disputes.store.write(write).await
    }

    async fn withdraw(
        &self,
        id: u64,
        (reason, now): (String, Timestamp),
    ) -> Result<(), StoreError> {
        let write = move |change: &mut Change<'_>| {
            let Some(mut dispute) = change.get(&DISPUTES, &id)? else {
                return Ok(());
            };
            if dispute.state.is_over() {
                return Ok(());
            }
            dispute.state = DisputeState::Withdrawn;
            let text = format!("Dispute {id} was not sent: {reason}");
            dispute.problem = Some(reason);
            put(change, &mut dispute, (&text, &ours(now)))
        };
        self.disputes.store.write(write).await
    }

    /// Reminds a vendor who takes mail; else, or after enough reminders, tells the publisher.
    async fn remind(&self, mut dispute: Dispute, now: Timestamp) -> Result<(), StoreError> {
        let settings = &self.disputes.config.disputes;
        // A reminder repeats the text; the file does not go again.
        dispute.with_file = false;
        if may_leave(&self.disputes.store, &dispute)?.is_err() {
            return self.after_reminder(&dispute, Reminded::NotNow, now).await;
        }
        if !dispute.by_mail || dispute.reminders >= settings.reminders {
            return self.after_reminder(&dispute, Reminded::Enough, now).await;
        }
        let letter = self.letter(&dispute, dispute.reminders + 1, None)?;
        let what = format!("reminder {}", dispute.reminders + 1);
        match self.send(&dispute, (letter, &what), &ours(now)).await {
            Ok(()) => self.after_reminder(&dispute, Reminded::Sent, now).await,
            Err(MailError::Temporary(reason)) => {
                warn!(
                    dispute = dispute.id,
                    reason, "A reminder cannot be sent yet"
                );
                self.after_reminder(&dispute, Reminded::NotNow, now).await
            }
            Err(MailError::Permanent(reason)) => {
                let (id, doer) = (dispute.id, ours(now));
                let write = move |change: &mut Change<'_>| bounced(change, (id, &reason), &doer);
                self.disputes.store.write(write).await.map(drop)
            }
        }
    }

    async fn after_reminder(
        &self,
        dispute: &Dispute,
        reminded: Reminded,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (id, days) = (dispute.id, self.disputes.config.disputes.remind_days.max(1));
        let write = move |change: &mut Change<'_>| {
            let Some(mut dispute) = change.get(&DISPUTES, &id)? else {
                return Ok(());
            };
            if dispute.state != DisputeState::Sent {
                return Ok(());
            }
            dispute.remind_at = remind_at(days, now);
            let text = match reminded {
                Reminded::NotNow => {
                    dispute.remind_at = Some(now.after(Duration::from_secs(3600)));
                    return save(change, &dispute, dispute.remind_at);
                }
                Reminded::Sent => {
                    dispute.reminders += 1;
                    format!("{} was reminded of dispute {id}", dispute.to)
                }
                Reminded::Enough => {
                    dispute.remind_at = None;
                    let text = format!("{} has not answered dispute {id}", dispute.to);
                    raise(
                        change,
                        (&dispute, EventKind::DisputeUnanswered),
                        (&text, &ours(now)),
                    )?;
                    text
                }
            };
            put(change, &mut dispute, (&text, &ours(now)))
        };
        self.disputes.store.write(write).await
    }
}

/// What came of a reminder that was due.
#[derive(Clone, Copy, Debug)]
enum Reminded {
    Sent,
    NotNow,
    Enough,
}

/// Acquit itself.
pub fn ours(now: Timestamp) -> Doer {
    let id = ACQUIT.to_owned();
    Doer { id, now }
}

/// Who let a dispute leave, which is done in his name.
fn sender(dispute: &Dispute, now: Timestamp) -> Doer {
    let id = dispute.released_by.as_ref().unwrap_or(&dispute.author);
    Doer {
        id: id.clone(),
        now,
    }
}

fn is_to_remind(dispute: &Dispute, now: Timestamp) -> bool {
    dispute.state == DisputeState::Sent && dispute.remind_at.is_some_and(|at| at <= now)
}

/// Notes that a dispute came back.
pub fn bounced(
    change: &mut Change<'_>,
    (id, why): (u64, &str),
    doer: &Doer,
) -> Result<Option<Dispute>, StoreError> {
    let Some(mut dispute) = change.get(&DISPUTES, &id)? else {
        return Ok(None);
    };
    dispute.state = DisputeState::Bounced;
    dispute.problem = Some(why.to_owned());
    let text = format!("Dispute {id} to {} came back: {why}", dispute.to);
    let count = bounces_key(&dispute.vendor);
    let bounces = change.get(&META, &count)?.unwrap_or(0);
    change.put(&META, &count, &(bounces + 1))?;
    raise(change, (&dispute, EventKind::DisputeBounced), (&text, doer))?;
    put(change, &mut dispute, (&text, doer))?;
    Ok(Some(dispute))
}

/// Returns where it is counted how often mail to a vendor came back.
pub fn bounces_key(vendor: &str) -> String {
    format!("bounces {vendor}")
}

fn raise(
    change: &mut Change<'_>,
    (dispute, kind): (&Dispute, EventKind),
    (text, doer): (&str, &Doer),
) -> Result<Event, StoreError> {
    let about = About {
        publisher: Some(dispute.publisher.clone()),
        sha256: Some(dispute.sha256),
        incident: Some(dispute.incident),
        actor: (doer.id != ACQUIT).then(|| doer.id.clone()),
        ..About::default()
    };
    let mut event = EventDraft::about(doer.now, kind, about, text.to_owned());
    event.engine = change
        .get(&INCIDENTS, &dispute.incident)?
        .map(|it| it.engine);
    event.details = serde_json::json!({ "dispute": dispute.id, "vendor": dispute.vendor });
    events::raise(change, event)
}
