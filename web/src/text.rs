//! How values are shown: everything from files, engines and vendors is text, never markup.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Escapes what a template shows, and makes visible what would change how the text around it
/// reads: controls, bidirectional marks, invisible characters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(hidden) {
            Html.write_escaped_str(&mut dest, &rest[..at])?;
            let c = rest[at..].chars().next().unwrap_or_default();
            write_picture(&mut dest, c)?;
            rest = &rest[at + c.len_utf8()..];
        }
        Html.write_escaped_str(dest, rest)
    }
}

/// Tells whether a character cannot be seen, or changes how others are.
pub fn hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{00AD}'
        | '\u{034F}'
        | '\u{061C}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{17B4}'
        | '\u{17B5}'
        | '\u{180E}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF9}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E007F}' => true,
        c => c.is_control(),
    }
}

/// Writes what stands for a hidden character: its picture, or its number.
fn write_picture(dest: &mut impl Write, c: char) -> fmt::Result {
    match u32::from(c) {
        number @ 0..=0x1F => dest.write_char(char::from_u32(0x2400 + number).unwrap_or('?')),
        0x7F => dest.write_char('\u{2421}'),
        number => write!(dest, "\u{27E8}U+{number:04X}\u{27E9}"),
    }
}

/// Returns a text with hidden characters made visible, where no template does it.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Writing into a string cannot fail.
        let _ = if hidden(c) {
            write_picture(&mut shown, c)
        } else {
            shown.write_char(c)
        };
    }
    shown
}

/// Writes a number of bytes: `1.2 MB`.
pub fn bytes(bytes: &u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let (mut value, mut unit) = (*bytes as f64, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value < 9.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// Writes a count in groups of three: `1 234 567`, with narrow spaces.
pub fn count(number: &u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push('\u{202F}');
        }
        shown.push(digit);
    }
    shown
}

/// Writes a length of time: `45 s`, `3 min`, `5 h`, `12 d`.
pub fn span(seconds: &u64) -> String {
    match *seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment as a page shows it: exact for machines, short for people; a script makes it local.
#[derive(Clone, Debug)]
pub struct Moment {
    /// As HTML's `time` has it.
    pub iso: String,
    /// In UTC, to the minute.
    pub short: String,
}

/// Returns a moment from seconds since 1970.
pub fn moment(seconds: &u64) -> Moment {
    let at = i64::try_from(*seconds)
        .ok()
        .and_then(|at| Timestamp::from_second(at).ok());
    let at = at.unwrap_or_default().to_zoned(TimeZone::UTC);
    Moment {
        iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        short: at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    }
}

/// Returns the last part of a path: the name in its folder.
pub fn name(path: &str) -> &str {
    let bare = path.trim_end_matches('/');
    bare.rsplit('/').next().unwrap_or(bare)
}

/// Returns seconds since 1970.
pub fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut shown = String::new();
        Visible.write_escaped_str(&mut shown, text).unwrap();
        shown
    }

    #[test]
    fn markup_is_text_and_what_is_hidden_is_seen() {
        assert_eq!(escaped("<b a='1'>&"), "&#60;b a=&#39;1&#39;&#62;&#38;");
        assert_eq!(
            escaped("a\u{202E}b\u{0}\u{1b}[2J"),
            "a\u{27E8}U+202E\u{27E9}b\u{2400}\u{241B}[2J"
        );
        assert_eq!(
            escaped("two\nlines\tof\rtext"),
            "two\nlines\tof\u{240D}text"
        );
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(bytes(&999), "999 B");
        assert_eq!(bytes(&1_234), "1.2 kB");
        assert_eq!(bytes(&999_600), "1.0 MB");
        assert_eq!(bytes(&25_000_000), "25 MB");
        assert_eq!(count(&1_234_567), "1\u{202F}234\u{202F}567");
        assert_eq!(span(&90), "90 s");
        assert_eq!(span(&90_000), "25 h");
    }

    #[test]
    fn moment_is_exact_for_machines() {
        let at = moment(&1_764_181_176);
        assert_eq!(
            (&*at.iso, &*at.short),
            ("2025-11-26T18:19:36Z", "2025-11-26 18:19 UTC")
        );
    }
}
