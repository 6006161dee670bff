//! Disputes as the API shows them, as far as pages say it.

use serde::Deserialize;

/// What is known of a dispute.
#[derive(Clone, Debug, Deserialize)]
pub struct Dispute {
    /// Number of its incident.
    pub incident: u64,
    /// Whose file it is about.
    pub publisher: String,
    /// The file.
    pub sha256: String,
    /// Entry of the directory of vendors.
    pub vendor: String,
    /// `prepared`, `queued`, `sent`, `bounced`, `withdrawn` or `closed`.
    pub state: String,
    /// Since when; this and all moments in seconds since 1970.
    pub state_date: u64,
    /// When it was made.
    pub creation_date: u64,
    /// Who made it.
    pub author: String,
    /// The addresses, or the form.
    pub to: String,
    /// Whether it goes by mail.
    pub by_mail: bool,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// What of it can be said otherwise until it leaves.
    #[serde(default)]
    pub words: String,
    /// What of it cannot.
    #[serde(default)]
    pub facts: String,
    /// Who put it in his own words.
    #[serde(default)]
    pub worded_by: Option<String>,
    /// How often it was put in other words.
    #[serde(default)]
    pub revision: u64,
    /// Whether the file goes with it.
    pub with_file: bool,
    /// By which rule and consent.
    pub rule: String,
    /// The vendor's number for it.
    #[serde(default)]
    pub ticket: Option<String>,
    /// Reminders sent.
    #[serde(default)]
    pub reminders: u64,
    /// When the next is due.
    #[serde(default)]
    pub reminder_date: Option<u64>,
    /// Tries of sending it that failed.
    #[serde(default)]
    pub attempts: u64,
    /// What went wrong last.
    #[serde(default)]
    pub problem: Option<String>,
}

impl Dispute {
    /// Tells whether nothing more can become of it.
    pub fn is_over(&self) -> bool {
        matches!(&*self.state, "bounced" | "withdrawn" | "closed")
    }

    /// Tells whether it can be sent by mail now.
    pub fn may_send(&self) -> bool {
        self.by_mail && self.state == "prepared"
    }

    /// Tells whether it can be put in other words.
    pub fn may_word(&self) -> bool {
        self.state == "prepared" && !self.facts.is_empty()
    }

    /// Tells whether the vendor's number can be noted.
    pub fn may_ticket(&self) -> bool {
        !self.is_over() && self.state != "queued"
    }

    /// Tells whether it can have come back.
    pub fn may_bounce(&self) -> bool {
        matches!(&*self.state, "sent" | "queued")
    }

    /// Tells whether the package with the file can be had.
    pub fn may_pack(&self) -> bool {
        self.with_file && !self.is_over()
    }

    /// Returns the page of the vendor's form; only what a browser may be sent to.
    pub fn form(&self) -> Option<&str> {
        Some(&*self.to).filter(|to| !self.by_mail && to.starts_with("https://"))
    }

    /// Returns by whose consent it may leave.
    pub fn consent(&self) -> Consent<'_> {
        Consent::of(&self.rule)
    }
}

/// By which consent something may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent<'a> {
    /// What vendors may have: `metadata-only`, `file-on-request` or `file`; empty if it is no policy.
    pub policy: &'a str,
    /// The folder or file at which that is said.
    pub place: &'a str,
    /// The rule, as it is recorded.
    pub rule: &'a str,
}

impl<'a> Consent<'a> {
    /// Reads a rule.
    pub fn of(rule: &'a str) -> Self {
        let (policy, place) = rule
            .strip_prefix("policy ")
            .and_then(|rest| rest.split_once(" of "))
            .unwrap_or(("", ""));
        Self {
            policy,
            place,
            rule,
        }
    }

    /// Says what the policy lets vendors have.
    pub fn meaning(&self) -> &'static str {
        match self.policy {
            "file" => "vendors may have the file itself while one of their engines detects it",
            "file-on-request" => "vendors may have the file itself if they are let",
            "metadata-only" => "vendors may know of the file and its release card, no more",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispute(state: &str) -> Dispute {
        let dispute = serde_json::json!({
            "incident": 1, "publisher": "acme", "sha256": "00", "vendor": "v", "state": state,
            "state_date": 1, "creation_date": 1, "author": "a", "to": "javascript:alert(1)",
            "by_mail": false, "subject": "", "text": "", "with_file": true, "rule": "",
        });
        serde_json::from_value(dispute).unwrap()
    }

    #[test]
    fn consent_names_policy_and_place() {
        let rule = "policy file-on-request of /a of b/, ordered by paula";
        let consent = Consent::of(rule);
        let expected = ("file-on-request", "/a of b/, ordered by paula");
        assert_eq!((consent.policy, consent.place), expected);
        let other = Consent::of("the publisher's own");
        assert_eq!((other.policy, other.meaning()), ("", ""));
    }

    #[test]
    fn only_what_can_be_done_is_offered() {
        let prepared = dispute("prepared");
        assert!(!prepared.may_send() && prepared.may_ticket() && prepared.may_pack());
        assert!(!prepared.may_bounce() && dispute("sent").may_bounce());
        assert!(!prepared.may_word(), "which part is whose is not known");
        let mut worded = prepared;
        worded.facts = "SHA-256: 00".to_owned();
        assert!(worded.may_word());
        worded.state = "sent".to_owned();
        assert!(!worded.may_word());
        for state in ["bounced", "withdrawn", "closed"] {
            let over = dispute(state);
            assert!(over.is_over() && !over.may_ticket() && !over.may_pack());
        }
    }

    #[test]
    fn form_is_a_page_of_the_web() {
        let mut it = dispute("prepared");
        assert_eq!(it.form(), None);
        it.to = "https://vendor.test/fp".to_owned();
        assert_eq!(it.form(), Some("https://vendor.test/fp"));
    }
}
