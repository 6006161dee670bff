//! Text on its way to a terminal: hostile names made harmless, tables, colors.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write as _};
use std::os::unix::ffi::OsStrExt;

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

/// Tells whether a character could steer a terminal or the direction of text.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// Writes every steering character as its escape, so that it is seen and does nothing.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Does the same for each line of a text that may have several.
pub fn visible_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(visible).collect();
    lines.join("\n")
}

/// Shows a file name: bytes that are no text become `\xNN`.
pub fn visible_name(name: &OsStr) -> String {
    let mut shown = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        shown.push_str(&visible(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Returns a path for a machine: as it is, if it is text.
pub fn plain_name(name: &OsStr) -> String {
    name.to_str()
        .map_or_else(|| visible_name(name), str::to_owned)
}

/// Writes to standard output; a reader that went away is not an error.
///
/// # Errors
/// If standard output cannot be written for another reason.
pub fn emit(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes a value as one JSON document; what could steer a terminal is escaped.
///
/// # Errors
/// If standard output cannot be written.
pub fn emit_json(value: &impl Serialize) -> anyhow::Result<()> {
    emit(&harmless(&serde_json::to_string_pretty(value)?))
}

/// Writes a value as JSON on a line of its own, for whoever reads on while more comes.
///
/// # Errors
/// If standard output cannot be written.
pub fn emit_json_line(value: &impl Serialize) -> anyhow::Result<()> {
    emit(&harmless(&serde_json::to_string(value)?))
}

/// Escapes in JSON what could steer a terminal, and ends the line.
fn harmless(plain: &str) -> String {
    let mut text = String::with_capacity(plain.len() + 1);
    for c in plain.chars() {
        // Below 0x20 only the line ends of the pretty print itself are left.
        if c != '\n' && steers(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    text
}

/// A size as people read it.
pub fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// A number with its noun, `1 file` or `2 files`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A point in time in this machine's time zone, to the minute.
pub fn when(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok();
    let at = at.and_then(|at| jiff::Timestamp::from_second(at).ok());
    let zoned = at.map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    zoned.map_or_else(|| "-".to_owned(), |at| at.strftime("%F %R").to_string())
}

/// A span of time as people say it, in its largest unit.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    jiff::Timestamp::now().as_second().try_into().unwrap_or(0)
}

/// What a color means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Good.
    Green,
    /// Doubtful.
    Yellow,
    /// Bad in the word of some, disputed by others.
    Orange,
    /// Bad.
    Red,
    /// Less important.
    Dim,
    /// A heading.
    Bold,
}

/// Colors text, if there is a terminal that shows colors.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Paints on a terminal unless colors are unwanted.
    pub fn stdout(no_color: bool) -> Self {
        let on = !no_color && std::io::stdout().is_terminal();
        Self { on }
    }

    /// Never paints.
    #[cfg(test)]
    pub const fn plain() -> Self {
        Self { on: false }
    }

    /// Returns the text in that color.
    pub fn paint(self, color: Color, text: &str) -> String {
        let code = match color {
            Color::Green => "32",
            Color::Yellow => "33",
            Color::Orange => "38;5;208",
            Color::Red => "1;31",
            Color::Dim => "2",
            Color::Bold => "1",
        };
        if self.on && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Lays rows out in columns two spaces apart; the last column is not padded.
pub fn table(paint: Paint, head: &[&str], rows: &[Vec<String>]) -> String {
    let wide = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.width()).max().unwrap_or(0);
        widest.max(head[column].width())
    };
    let widths: Vec<usize> = (0..head.len()).map(wide).collect();
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let mut text = paint.paint(Color::Bold, &line(&head, &widths));
    text.push('\n');
    for row in rows {
        text.push_str(&line(row, &widths));
        text.push('\n');
    }
    text
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(&padded(cell, *width));
        text.push_str("  ");
    }
    text.trim_end().to_owned()
}

/// Returns the text with spaces up to that width on a terminal.
pub fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        assert_eq!(visible(raw), expected);
    }

    #[test]
    fn nothing_steers_the_terminal() {
        check("setup.exe", "setup.exe");
        check("größe 日本.txt", "größe 日本.txt");
        check("a\x1b[2Jb", "a\\u{1b}[2Jb");
        check("a\rb\nc\td", "a\\rb\\nc\\td");
        check("exe.\u{202e}txt", "exe.\\u{202e}txt");
        check("x\u{9b}31m", "x\\u{9b}31m");
        check("tag\u{e0041}", "tag\\u{e0041}");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_numbers() {
        assert_eq!(
            visible_name(OsStr::from_bytes(b"a\xff\x1bb")),
            "a\\xff\\u{1b}b"
        );
    }

    #[test]
    fn spans_are_told_in_one_unit() {
        let told = [5, 119, 120, 7199, 7200, 172_799, 172_800].map(span);
        assert_eq!(
            told,
            ["5 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]
        );
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = vec![vec!["日本".to_owned(), "x".to_owned()]];
        assert_eq!(
            table(Paint::plain(), &["A", "B"], &rows),
            "A     B\n日本  x\n"
        );
    }
}
