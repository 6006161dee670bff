//! Lines of the ledger: what happened and what left the machine, before it did; and the chain that
//! holds them together.
//!
//! A line is one JSON object, and anybody can check it with a script:
//!
//! ```text
//! {"seq":7,"before":"<64 digits>","entry":{…},"hash":"<64 digits>"}
//! └───────────────── body ───────────────┘
//! ```
//!
//! - `seq` counts from 1 without a gap, across the files of all months.
//! - `before` is the `hash` of the line before; 64 zeros in the first.
//! - `hash` is the SHA-256, in hexadecimal, of the body's bytes as they stand in the line, closed
//!   with `}`: take the last 75 characters off the line (`,"hash":"…"}`) and put `}` at the end.
//!   Nothing is parsed and written again for it, so there is no canonical order of keys to know.

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::{PublisherId, Sha256, Timestamp};

/// Bytes of `,"hash":"` and 64 digits and `"}`.
const SEAL_BYTES: usize = 75;
/// What the first line names as the hash of the line before.
pub const LEDGER_BEGIN: Sha256 = Sha256::new([0; 32]);

/// What is to be written into the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// When.
    pub at: Timestamp,
    /// What kind of line.
    pub kind: LedgerKind,
    /// Who did it: id of a key or user, or `acquit`.
    pub actor: String,
    /// What was done, or what left, in one sentence.
    pub text: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<PublisherId>,
    /// The blob it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// How many bytes leave; counted before they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// To whom they go: an address, a URL without its secrets, or a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The rule and the consent by which they may, e.g. `policy file of /releases/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The event it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
}

impl LedgerEntry {
    /// Makes a line with nothing but who did what.
    pub const fn new(at: Timestamp, kind: LedgerKind, actor: String, text: String) -> Self {
        Self {
            at,
            kind,
            actor,
            text,
            publisher: None,
            sha256: None,
            bytes: None,
            to: None,
            rule: None,
            event: None,
        }
    }
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// Its number.
    pub seq: u64,
    /// The hash of the line before.
    pub before: Sha256,
    /// What it says.
    pub entry: LedgerEntry,
    /// Its own hash.
    pub hash: Sha256,
}

impl LedgerLine {
    /// Writes the line that comes after another one; returns its text and its hash.
    ///
    /// # Errors
    /// If the entry cannot be written as JSON.
    pub fn seal(
        (seq, before): (u64, Sha256),
        entry: &LedgerEntry,
    ) -> Result<(String, Sha256), serde_json::Error> {
        let entry = serde_json::to_string(entry)?;
        let mut text = format!(r#"{{"seq":{seq},"before":"{before}","entry":{entry}}}"#);
        let hash = hash(&text);
        text.pop();
        text.push_str(&format!(r#","hash":"{hash}"}}"#));
        Ok((text, hash))
    }

    /// Reads a line, if it is whole and its hash fits its text.
    pub fn open(text: &str) -> Option<Self> {
        let line: Self = serde_json::from_str(text).ok()?;
        let cut = text.len().checked_sub(SEAL_BYTES)?;
        let (body, seal) = text.split_at_checked(cut)?;
        let fits = seal == format!(r#","hash":"{}"}}"#, line.hash);
        (fits && hash(&format!("{body}}}")) == line.hash).then_some(line)
    }
}

fn hash(text: &str) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(text).into())
}

/// What is wrong with a ledger, and which line is the first it is wrong with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFault {
    /// A line's text does not fit its hash.
    #[error("line {seq} was changed: it is not what its hash was made of")]
    Changed {
        /// Its number.
        seq: u64,
    },
    /// A line is whole, but the one after it was made after another one.
    #[error("line {seq} was replaced: the line after it names another hash")]
    Replaced {
        /// Its number.
        seq: u64,
    },
    /// Lines are missing, and others come after.
    #[error("line {seq} was removed: line {found} comes in its place")]
    Removed {
        /// Number of the first.
        seq: u64,
        /// Which comes instead.
        found: u64,
    },
    /// A line is at another place.
    #[error("line {seq} was moved: line {found} comes in its place")]
    Reordered {
        /// Its number.
        seq: u64,
        /// Which comes instead.
        found: u64,
    },
    /// A line comes again.
    #[error("line {seq} comes a second time, where line {expected} should be")]
    Repeated {
        /// Its number.
        seq: u64,
        /// Which should come.
        expected: u64,
    },
    /// Lines at the end are missing.
    #[error("line {seq} is missing at the end: {last} lines were acknowledged")]
    Missing {
        /// Number of the first.
        seq: u64,
        /// Number of the last.
        last: u64,
    },
    /// What was written down of the end, apart from the lines, is damaged.
    #[error("the note of the last line was changed: {reason}; line {seq} is the last there is")]
    Head {
        /// Number of the last line.
        seq: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl LedgerFault {
    /// Returns the number of the first line that something is wrong with.
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Changed { seq }
            | Self::Replaced { seq }
            | Self::Removed { seq, .. }
            | Self::Reordered { seq, .. }
            | Self::Repeated { seq, .. }
            | Self::Missing { seq, .. }
            | Self::Head { seq, .. } => *seq,
        }
    }
}

/// Follows a ledger line by line, in constant memory.
#[derive(Clone, Debug)]
pub struct LedgerChain {
    last: u64,
    hash: Sha256,
    fault: Option<LedgerFault>,
}

impl Default for LedgerChain {
    fn default() -> Self {
        Self {
            last: 0,
            hash: LEDGER_BEGIN,
            fault: None,
        }
    }
}

impl LedgerChain {
    /// Takes the next line. After the first fault only its kind may still change: a line that is
    /// not at its place may come later.
    pub fn take(&mut self, text: &str) {
        let line = LedgerLine::open(text);
        match (&self.fault, line) {
            (None, Some(line)) => self.follow(&line),
            (None, None) => self.fault = Some(LedgerFault::Changed { seq: self.last + 1 }),
            (Some(LedgerFault::Removed { seq, found }), Some(line)) if line.seq == *seq => {
                let (seq, found) = (*seq, *found);
                self.fault = Some(LedgerFault::Reordered { seq, found });
            }
            _ => {}
        }
    }

    fn follow(&mut self, line: &LedgerLine) {
        let (seq, found) = (self.last + 1, line.seq);
        if found == seq && line.before == self.hash {
            (self.last, self.hash) = (seq, line.hash);
            return;
        }
        self.fault = Some(if found > seq {
            LedgerFault::Removed { seq, found }
        } else if found < seq {
            let expected = seq;
            LedgerFault::Repeated {
                seq: found,
                expected,
            }
        } else {
            let seq = self.last.max(1);
            LedgerFault::Replaced { seq }
        });
    }

    /// Returns number and hash of the last line that is in order.
    pub const fn last(&self) -> (u64, Sha256) {
        (self.last, self.hash)
    }

    /// Returns what is wrong, or number and hash of the last line.
    ///
    /// # Errors
    /// The first fault.
    pub fn end(self) -> Result<(u64, Sha256), LedgerFault> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok((self.last, self.hash)),
        }
    }
}

/// What kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerKind {
    /// An event.
    Event,
    /// Bytes leave the machine.
    Egress,
    /// Somebody with a privilege read what is another's.
    Access,
    /// Somebody changed who may what.
    Admin,
}

impl LedgerKind {
    /// Returns the kind's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Egress => "egress",
            Self::Access => "access",
            Self::Admin => "admin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: u64) -> Vec<String> {
        let (mut before, mut lines) = (LEDGER_BEGIN, Vec::new());
        for seq in 1..=count {
            let text = format!("act \"{seq}\" of größe");
            let at = Timestamp::from_millis(seq);
            let entry = LedgerEntry::new(at, LedgerKind::Egress, "acquit".to_owned(), text);
            let (line, hash) = LedgerLine::seal((seq, before), &entry).unwrap();
            before = hash;
            lines.push(line);
        }
        lines
    }

    fn judge(lines: &[String]) -> Result<u64, LedgerFault> {
        let mut chain = LedgerChain::default();
        lines.iter().for_each(|line| chain.take(line));
        chain.end().map(|(last, _)| last)
    }

    #[test]
    fn every_kind_of_meddling_is_named_with_its_line() {
        let whole = lines(9);
        assert_eq!(judge(&whole), Ok(9));
        let with = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = whole.clone();
            change(&mut lines);
            judge(&lines).unwrap_err()
        };
        let changed = with(&|lines| lines[4] = lines[4].replace("act", "art"));
        assert_eq!(changed, LedgerFault::Changed { seq: 5 });
        let removed = with(&|lines| drop(lines.remove(4)));
        assert_eq!(removed, LedgerFault::Removed { seq: 5, found: 6 });
        let swapped = with(&|lines| lines.swap(4, 5));
        assert_eq!(swapped, LedgerFault::Reordered { seq: 5, found: 6 });
        let repeated = with(&|lines| lines.insert(5, lines[4].clone()));
        let expected = LedgerFault::Repeated {
            seq: 5,
            expected: 6,
        };
        assert_eq!(repeated, expected);
    }

    #[test]
    fn line_that_was_replaced_with_a_hash_of_its_own_is_found_by_the_next() {
        let mut lines = lines(9);
        let mut line = LedgerLine::open(&lines[4]).unwrap();
        line.entry.text = "nothing".to_owned();
        lines[4] = LedgerLine::seal((5, line.before), &line.entry).unwrap().0;
        assert_eq!(judge(&lines), Err(LedgerFault::Replaced { seq: 5 }));
    }

    #[test]
    fn text_after_the_seal_or_in_front_is_no_line() {
        let line = lines(1).remove(0);
        assert!(LedgerLine::open(&line).is_some());
        assert!(LedgerLine::open(&format!("{line} ")).is_none());
        assert!(LedgerLine::open(&format!(" {line}")).is_none());
        assert!(LedgerLine::open(&line[..line.len() - 1]).is_none());
    }
}
