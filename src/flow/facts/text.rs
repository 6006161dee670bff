//! Text of files made harmless: nothing steers a terminal, nothing is endless.

use crate::model::{FileFacts, Signer, Verification};

/// Longest text kept, in characters.
const MOST_CHARS: usize = 512;
/// Most other fields kept.
const MOST_FIELDS: usize = 32;

/// Makes a text harmless; nothing if nothing is left of it.
pub fn clean(raw: &str) -> Option<String> {
    let trimmed = raw.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let shown = trimmed.chars().take(MOST_CHARS);
    let clean: String = shown
        .map(|c| if steers(c) { '\u{fffd}' } else { c })
        .collect();
    (!clean.is_empty()).then_some(clean)
}

/// Makes every text in what a file says harmless, whoever wrote it down.
pub fn harmless(facts: FileFacts) -> FileFacts {
    let of = |text: Option<String>| text.as_deref().and_then(clean);
    let more = facts.more.iter().take(MOST_FIELDS);
    let more = more.filter_map(|(name, value)| Some((clean(name)?, clean(value)?)));
    FileFacts {
        format: of(facts.format),
        company: of(facts.company),
        product: of(facts.product),
        version: of(facts.version),
        description: of(facts.description),
        homepage: of(facts.homepage),
        original_name: of(facts.original_name),
        signer: facts.signer.map(harmless_signer),
        more: more.collect(),
        problem: of(facts.problem),
    }
}

fn harmless_signer(signer: Signer) -> Signer {
    let of = |text: &str| clean(text).unwrap_or_default();
    let verification = match signer.verification {
        Verification::Trusted => Verification::Trusted,
        Verification::Intact { reason } => Verification::Intact {
            reason: of(&reason),
        },
        Verification::Broken { reason } => Verification::Broken {
            reason: of(&reason),
        },
        Verification::Unchecked { reason } => Verification::Unchecked {
            reason: of(&reason),
        },
    };
    Signer {
        subject: of(&signer.subject),
        issuer: of(&signer.issuer),
        serial: of(&signer.serial),
        thumbprint: of(&signer.thumbprint),
        digest: of(&signer.digest),
        signed_at: signer.signed_at,
        verification,
    }
}

/// Reads text of an unknown encoding: UTF-8 where it is that, else Latin-1.
pub fn decoded(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// Reads UTF-16 up to its zero, or to the end.
pub fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2);
    let units = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let units = units.take_while(|unit| *unit != 0);
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Tells whether a character could steer a terminal or the direction of text.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}
