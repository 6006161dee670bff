//! A letter in a person's own words: looked at before it goes anywhere, and on record as his.

use super::draft::one_line;
use super::letter::{Letter, words_of};
use super::{DisputeError, Disputes, Doer};
use crate::model::{Dispute, DisputeState, LedgerEntry, LedgerKind};
use crate::store::LedgerError;

/// Longest subject of a person's own, in characters.
pub const SUBJECT_CHARS: usize = 300;
/// Longest text of a person's own, in characters.
pub const WORDS_CHARS: usize = 10_000;

/// What somebody says instead of Acquit; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    subject: Option<String>,
    words: Option<String>,
}

impl Words {
    /// Takes a subject of one line and words of several, without the blanks around them.
    ///
    /// # Errors
    /// If one is empty, too long, or has characters that are not shown or turn others around.
    pub fn read(subject: Option<&str>, words: Option<&str>) -> Result<Self, DisputeError> {
        let subject = subject.map(|it| checked("subject", it.trim(), SUBJECT_CHARS));
        let words = words.map(|it| it.replace("\r\n", "\n"));
        let words = words.map(|it| checked("text", it.trim(), WORDS_CHARS));
        let (subject, words) = (subject.transpose()?, words.transpose()?);
        if subject.as_ref().is_some_and(|it| it.contains(['\n', '\t'])) {
            return Err(refused("the subject is more than one line"));
        }
        // What is shown is what a mail's head can say.
        let subject = subject.map(|it| one_line(&it));
        Ok(Self { subject, words })
    }

    /// Puts these over a letter; its facts stay.
    pub fn over(self, letter: Letter) -> Letter {
        Letter {
            subject: self.subject.unwrap_or(letter.subject),
            words: self.words.unwrap_or(letter.words),
            facts: letter.facts,
        }
    }
}

fn checked(what: &str, text: &str, most: usize) -> Result<String, DisputeError> {
    if text.is_empty() {
        return Err(refused(&format!("the {what} is empty")));
    }
    if text.chars().count() > most {
        return Err(refused(&format!(
            "the {what} has more than {most} characters"
        )));
    }
    if let Some(c) = text.chars().find(|c| is_hidden(*c)) {
        let code = u32::from(c);
        return Err(refused(&format!(
            "the {what} has the character U+{code:04X}, which is not shown: take it out"
        )));
    }
    Ok(text.to_owned())
}

fn refused(message: &str) -> DisputeError {
    DisputeError::Words(message.to_owned())
}

/// Tells whether a character cannot be seen, or changes how others are read: what is shown could
/// not be what is sent. These are those in whose place pages put a picture.
fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => {
            true
        }
        '\u{180e}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

/// Says otherwise what a prepared dispute says.
fn reworded(
    dispute: &mut Dispute,
    (words, revision): (&Words, Option<u32>),
    author: &str,
) -> Result<String, String> {
    let id = dispute.id;
    if dispute.state != DisputeState::Prepared {
        return Err(format!(
            "dispute {id} is {}: its text stays as it is",
            dispute.state.as_str()
        ));
    }
    // Of before facts stood apart nobody can tell which they are.
    if dispute.facts.is_empty() {
        return Err(format!(
            "dispute {id} was made by an older version: withdraw it and make another"
        ));
    }
    is_as_seen(dispute, revision)?;
    let letter = words.clone().over(Letter {
        subject: dispute.subject.clone(),
        words: words_of(&dispute.text, &dispute.facts).to_owned(),
        facts: dispute.facts.clone(),
    });
    dispute.text = letter.text();
    dispute.subject = letter.subject;
    dispute.worded_by = Some(author.to_owned());
    dispute.revision += 1;
    Ok(format!("Dispute {id} was put in other words"))
}

/// Refuses what was decided looking at other words than there are now.
///
/// # Errors
/// Says so.
pub fn is_as_seen(dispute: &Dispute, revision: Option<u32>) -> Result<(), String> {
    match revision.is_none_or(|seen| seen == dispute.revision) {
        true => Ok(()),
        false => Err(format!(
            "the text of dispute {} was changed meanwhile: look at it again",
            dispute.id
        )),
    }
}

impl Disputes {
    /// Puts a prepared dispute in other words; `revision` is that of those that were seen.
    ///
    /// # Errors
    /// If it is not prepared, or says something else by now.
    pub async fn reword(
        &self,
        (id, revision): (u64, Option<u32>),
        words: Words,
        doer: Doer,
    ) -> Result<Dispute, DisputeError> {
        let dispute = self.get(id)?;
        let order = (&words, revision);
        reworded(&mut dispute.clone(), order, &doer.id).map_err(DisputeError::Conflict)?;
        self.note_words(&dispute, &doer).await?;
        let author = doer.id.clone();
        self.change(id, doer, move |dispute, _| {
            reworded(dispute, (&words, revision), &author)
        })
        .await
    }

    /// Writes down who answers for the words of a dispute.
    pub(super) async fn note_words(
        &self,
        dispute: &Dispute,
        doer: &Doer,
    ) -> Result<(), LedgerError> {
        let text = format!(
            "worded a dispute of incident {} for {}",
            dispute.incident, dispute.vendor
        );
        let mut entry = LedgerEntry::new(doer.now, LedgerKind::Admin, doer.id.clone(), text);
        entry.publisher = Some(dispute.publisher.clone());
        entry.sha256 = Some(dispute.sha256);
        entry.rule = Some(dispute.rule.clone());
        self.store.ledger().append(entry).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(subject: &str, words: &str, expected: Option<&str>) {
        let read = Words::read(Some(subject), Some(words)).map(|_| ());
        let said = read.err().map(|error| error.to_string());
        assert_eq!(said.as_deref(), expected, "{subject:?} {words:?}");
    }

    #[test]
    fn what_pages_put_a_picture_for_is_refused_and_nothing_else() {
        for c in '\0'..=char::MAX {
            assert_eq!(is_hidden(c), acquit_web::text::hidden(c), "{c:?}");
        }
    }

    #[test]
    fn words_are_bounded_and_nothing_in_them_hides() {
        check("Ours", "Hello,\r\n\n\tשלום\n", None);
        check("Ours", " \n ", Some("the text is empty"));
        check(" ", "x", Some("the subject is empty"));
        check("a\nBcc: b", "x", Some("the subject is more than one line"));
        let long = "x".repeat(WORDS_CHARS + 1);
        check("a", &long[1..], None);
        check("a", &long, Some("the text has more than 10000 characters"));
        let hidden = "has the character U+202E, which is not shown: take it out";
        check("a", "\u{202e}gpj.exe", Some(&format!("the text {hidden}")));
        check("\u{202e}", "x", Some(&format!("the subject {hidden}")));
        for c in [
            "\u{0}", "\u{1b}", "\r", "\u{85}", "\u{2028}", "\u{feff}", "\u{200d}",
        ] {
            let read = Words::read(None, Some(&format!("a{c}b")));
            assert!(read.is_err(), "{c:?}");
        }
    }
}
