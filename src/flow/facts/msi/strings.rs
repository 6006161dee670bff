//! Tables of installers: every text is in one pool, rows are numbers of texts.

use std::collections::BTreeMap;

use crate::flow::facts::input::{Trouble, trouble};
use crate::flow::facts::text::decoded;

/// What the name of a table's stream begins with.
const TABLE_MARK: char = '\u{4840}';
/// Most texts of a pool.
const MOST_TEXTS: usize = 1 << 20;

/// Returns the name of the stream a table is in: two characters in each one.
pub fn stream_of(table: &str) -> String {
    let mut name = String::from(TABLE_MARK);
    let digits: Vec<u32> = table.bytes().map(digit).collect();
    for pair in digits.chunks(2) {
        let code = match pair {
            [low, high] => 0x3800 + (high << 6) + low,
            [single] => 0x4800 + single,
            _ => continue,
        };
        name.extend(char::from_u32(code));
    }
    name
}

fn digit(byte: u8) -> u32 {
    u32::from(match byte {
        b'0'..=b'9' => byte - b'0',
        b'A'..=b'Z' => byte - b'A' + 10,
        b'a'..=b'z' => byte - b'a' + 36,
        b'.' => 62,
        _ => 63,
    })
}

/// Reads a table of two columns of text.
pub fn pairs(pool: &[u8], data: &[u8], rows: &[u8]) -> Result<BTreeMap<String, String>, Trouble> {
    let head = pool
        .get(..4)
        .ok_or_else(|| trouble("it is not built as one"))?;
    // Its highest bit says that texts have numbers of three bytes.
    let width = if head[3] & 0x80 == 0 { 2 } else { 3 };
    let texts = texts(&pool[4..], data);
    let (names, values) = rows.split_at(rows.len() / (2 * width) * width);
    let text = |number: &[u8]| {
        let digits = number.iter().rev();
        let number = digits.fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        let bytes = texts.get(number.checked_sub(1)?)?;
        Some(decoded(bytes))
    };
    let rows = names.chunks_exact(width).zip(values.chunks_exact(width));
    let rows = rows.filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    Ok(rows.collect())
}

/// Cuts the pool's bytes into its texts; one that is not there is empty.
fn texts<'a>(pool: &[u8], data: &'a [u8]) -> Vec<&'a [u8]> {
    let (mut texts, mut rest) = (Vec::new(), data);
    let mut entries = pool.chunks_exact(4);
    while let Some(&[a, b, c, d]) = entries.next() {
        let (short, used) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let len = match (short, used) {
            // Too long for two bytes: the length is in the next entry.
            (0, 1..) => match entries.next() {
                Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]) as usize,
                _ => break,
            },
            _ => usize::from(short),
        };
        let (text, more) = rest.split_at_checked(len).unwrap_or((&[], &[]));
        texts.push(text);
        rest = more;
        if texts.len() == MOST_TEXTS {
            break;
        }
    }
    texts
}
