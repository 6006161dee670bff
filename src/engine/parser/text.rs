//! An engine's bytes as lines of bounded length without control sequences.

use encoding_rs::Encoding;

/// Longest line that is read; a longer one is understood by no rule.
pub const MAX_LINE: usize = 64 * 1024;

/// Most characters of a line that are quoted in a reason.
const MAX_QUOTE: usize = 200;

/// One line of output.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Its text, without its end.
    pub text: &'a str,
    /// Whether its end was printed; what is cut off may mean something else.
    pub terminated: bool,
}

/// Decodes output: what is not of the encoding is made visible, terminal sequences and carriage
/// returns go. A byte order mark says more than the encoding given.
pub fn decode(bytes: &[u8], encoding: &'static Encoding) -> String {
    let (text, ..) = encoding.decode(bytes);
    if !text
        .bytes()
        .any(|byte| matches!(byte, 0x1b | 0x08 | b'\r' | 0))
    {
        return text.into_owned();
    }
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut chars),
            // clamd ends a reply to a `z` command with NUL.
            '\0' => clean.push('\n'),
            // A spinner turns in place.
            '\r' | '\u{8}' => {}
            c => clean.push(c),
        }
    }
    clean
}

/// Skips what follows an escape character: `[`, parameters and one final letter.
fn skip_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if chars.next_if_eq(&'[').is_none() {
        return;
    }
    while chars
        .next_if(|c| matches!(c, '\u{20}'..='\u{3f}'))
        .is_some()
    {}
    chars.next_if(|c| matches!(c, '\u{40}'..='\u{7e}'));
}

/// Splits text into its lines; blank ones are left out.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(text) => Line {
                text,
                terminated: true,
            },
            None => Line {
                text: line,
                terminated: false,
            },
        })
        .filter(|line| !line.text.trim().is_empty())
}

/// Makes text safe to show: one line, no control characters, at most 200 characters.
pub fn quote(text: &str) -> String {
    let mut quoted: String = text.trim().chars().take(MAX_QUOTE).map(visible).collect();
    if text.trim().chars().nth(MAX_QUOTE).is_some() {
        quoted.push('…');
    }
    quoted
}

/// Replaces what could steer a terminal, a log or the direction of text.
pub fn visible(c: char) -> char {
    let steers = c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    if steers { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_and_carriage_returns_go() {
        let text = decode(b"\x1b[1;31ma\x1b[0m: OK\r\n\x1b[G", encoding_rs::UTF_8);
        assert_eq!(text, "a: OK\n");
    }

    #[test]
    fn nul_ends_a_line() {
        let text = decode(b"a: OK\0b: OK\0", encoding_rs::UTF_8);
        assert_eq!(text, "a: OK\nb: OK\n");
    }

    #[test]
    fn encodings_and_byte_order_marks_are_understood() {
        assert_eq!(decode(b"\xbb\n", encoding_rs::WINDOWS_1252), "\u{bb}\n");
        assert_eq!(decode(b"\xff\xfea\0\n\0", encoding_rs::UTF_8), "a\n");
        assert_eq!(decode(b"\xff\n", encoding_rs::UTF_8), "\u{fffd}\n");
    }

    #[test]
    fn cut_line_is_known_as_cut() {
        let ends: Vec<bool> = lines("a\n\nb").map(|line| line.terminated).collect();
        assert_eq!(ends, [true, false]);
    }

    #[test]
    fn quote_is_short_and_visible() {
        assert_eq!(quote("a\u{1b}b\n"), "a\u{fffd}b");
        assert_eq!(quote(&"x".repeat(300)).chars().count(), 201);
    }
}
