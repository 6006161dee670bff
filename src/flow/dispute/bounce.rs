//! Mail that came back: finds the dispute by the Message-ID that every letter of it carries.

use std::sync::LazyLock;

use regex::Regex;

use crate::model::{Dispute, Timestamp};

static NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"<dispute-(\d{1,19})-(\d{1,19})(?:-r\d{1,9})?@").ok());
static REASON: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?mi)^(?:Diagnostic-Code|Status):[ \t]*(.{1,300})").ok());

/// Returns the name of a letter of a dispute; `reminder` counts from 1, 0 is the letter itself.
pub fn letter_name(dispute: &Dispute, reminder: u32) -> String {
    let (id, made) = (dispute.id, dispute.created_at.millis());
    match reminder {
        0 => format!("dispute-{id}-{made}"),
        reminder => format!("dispute-{id}-{made}-r{reminder}"),
    }
}

/// Finds in a message that came back which dispute it was: its number, when that was made, and why
/// it came back.
pub fn dispute_of(message: &str) -> Option<(u64, Timestamp, String)> {
    let found = NAME.as_ref()?.captures(message)?;
    let id = found[1].parse().ok()?;
    let made = Timestamp::from_millis(found[2].parse().ok()?);
    let reasons = REASON.as_ref()?.captures_iter(message);
    let reasons: Vec<_> = reasons
        .map(|reason| super::draft::one_line(&reason[1]))
        .collect();
    let reason = match reasons.is_empty() {
        true => "it came back without a reason".to_owned(),
        false => reasons.join("; "),
    };
    Some((id, made, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_that_came_back_names_its_dispute_and_the_reason() {
        let message = "Subject: Undelivered\r\n\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 no \
                       such user\r\n\r\nMessage-ID: <dispute-17-1790000000000-r2@example.org>\r\n";
        let (id, made, reason) = dispute_of(message).unwrap();
        assert_eq!((id, made.millis()), (17, 1_790_000_000_000));
        assert!(reason.contains("550 no such user"), "{reason}");
        assert!(dispute_of("Message-ID: <1@example.org>").is_none());
    }
}
