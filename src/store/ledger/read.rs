//! Reads lines: forwards to verify and export, backwards to list; in constant memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::head::{BAD, Head};
use super::writer::month;
use crate::model::{
    LedgerChain, LedgerFault, LedgerKind, LedgerLine, PublisherId, Sha256, Timestamp,
};

/// Longest line, with its end.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// Bytes read at a time when reading backwards.
const BLOCK_BYTES: u64 = 64 << 10;
/// Bytes of lines one request looks at, at most.
const LOOK_BYTES: usize = 32 << 20;

/// Returns the names of the months' files, oldest first.
pub fn segments(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_str().filter(|name| is_month(name));
        names.extend(name.map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn is_month(name: &str) -> bool {
    let month = name.strip_suffix(".jsonl").unwrap_or("");
    let digit = |(at, byte): (usize, u8)| match at {
        4 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    month.len() == 7 && month.bytes().enumerate().all(digit)
}

/// Reads the next line with its end; the last may have none, and one that is too long comes in
/// parts.
pub fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut reader = reader.take(MAX_LINE_BYTES as u64);
    reader.read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then_some(line))
}

/// Reads a line's text as a line of the ledger.
pub fn open(text: &[u8]) -> Option<LedgerLine> {
    let text = text.strip_suffix(b"\n")?;
    LedgerLine::open(std::str::from_utf8(text).ok()?)
}

/// Returns the files up to the end, and how much of each is before it.
pub fn parts(dir: &Path, head: &Head) -> io::Result<Vec<(PathBuf, u64)>> {
    let names = segments(dir)?.into_iter();
    let names = names.filter(|name| *name <= head.segment);
    names
        .map(|name| {
            let path = dir.join(&name);
            let length = match name == head.segment {
                true => head.end,
                false => std::fs::metadata(&path)?.len(),
            };
            Ok((path, length))
        })
        .collect()
}

/// Follows the chain up to the head, and compares its end with what was acknowledged.
pub fn verify(
    dir: &Path,
    head: &Head,
    witnessed: u64,
) -> io::Result<Result<(u64, Sha256), LedgerFault>> {
    let mut chain = LedgerChain::default();
    for (path, length) in parts(dir, head)? {
        let mut reader = BufReader::new(File::open(path)?.take(length));
        while let Some(line) = next_line(&mut reader)? {
            let text = line
                .strip_suffix(b"\n")
                .and_then(|t| std::str::from_utf8(t).ok());
            chain.take(text.unwrap_or(""));
        }
    }
    let (seq, hash) = match chain.end() {
        Ok(last) => last,
        Err(fault) => return Ok(Err(fault)),
    };
    let last = head.seq.max(witnessed);
    let fault = if seq < last {
        Some(LedgerFault::Missing { seq: seq + 1, last })
    } else if hash != head.hash {
        Some(LedgerFault::Replaced { seq })
    } else if dir.join(BAD).exists() {
        let reason = format!("it was put aside as {BAD} and waits for somebody to look into it");
        Some(LedgerFault::Head { seq, reason })
    } else {
        None
    };
    Ok(fault.map_or(Ok((seq, hash)), Err))
}

/// Which lines are wanted; what is absent is any.
#[derive(Clone, Debug, Default)]
pub struct LedgerFilter {
    /// Of this kind.
    pub kind: Option<LedgerKind>,
    /// Whose.
    pub publisher: Option<PublisherId>,
    /// About this blob.
    pub sha256: Option<Sha256>,
    /// Done by this key or user, or by Acquit itself.
    pub actor: Option<String>,
    /// Written for this moment or later.
    pub from: Option<Timestamp>,
    /// Written for this moment or earlier.
    pub to: Option<Timestamp>,
}

impl LedgerFilter {
    fn fits(&self, line: &LedgerLine) -> bool {
        let entry = &line.entry;
        self.kind.is_none_or(|kind| kind == entry.kind)
            && (self.publisher.is_none() || self.publisher == entry.publisher)
            && (self.sha256.is_none() || self.sha256 == entry.sha256)
            && self.actor.as_ref().is_none_or(|it| *it == entry.actor)
            && self.from.is_none_or(|from| from <= entry.at)
            && self.to.is_none_or(|to| entry.at <= to)
    }

    /// Tells by a line's text alone that it cannot fit; reading it costs much more.
    fn passes(&self, text: &str) -> bool {
        let has = |word: Option<String>| word.is_none_or(|word| text.contains(&word));
        let quoted = |text: &String| serde_json::to_string(text).ok();
        has(self.publisher.as_ref().map(|id| format!("\"{id}\"")))
            && has(self.actor.as_ref().and_then(quoted))
            && has(self.sha256.map(|sha256| sha256.to_string()))
    }
}

/// A place between two lines, from which older ones are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    segment: String,
    end: u64,
}

impl Place {
    pub(super) fn end(head: &Head) -> Self {
        Self {
            segment: head.segment.clone(),
            end: head.end,
        }
    }

    /// Writes the place as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{}:{}", self.segment, self.end).into_bytes()
    }

    /// Reads a place; nothing if it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (segment, end) = std::str::from_utf8(bytes).ok()?.split_once(':')?;
        is_month(segment).then_some(())?;
        Some(Self {
            segment: segment.to_owned(),
            end: end.parse().ok()?,
        })
    }
}

/// Reads lines that fit, newest first, and where to go on if there are more that may fit: no index
/// knows, so one request looks at so many bytes, and then its page is short.
pub fn list(
    dir: &Path,
    filter: &LedgerFilter,
    from: Place,
    limit: usize,
) -> io::Result<(Vec<LedgerLine>, Option<Place>)> {
    let oldest = filter.from.map(month).unwrap_or_default();
    let mut found: Vec<(LedgerLine, Place)> = Vec::new();
    let mut left = LOOK_BYTES;
    let names = segments(dir)?.into_iter().rev();
    // A line is in the file of its own month or in a later one.
    for segment in names.filter(|name| *name <= from.segment && *name >= oldest) {
        let file = File::open(dir.join(&segment))?;
        let length = file.metadata()?.len();
        let end = if segment == from.segment {
            from.end.min(length)
        } else {
            length
        };
        let mut lines = Backwards::new(file, end);
        while let Some((text, start)) = lines.next()? {
            if left < text.len() {
                let end = start + text.len() as u64;
                let next = Some(Place { segment, end });
                return Ok((found.into_iter().map(|(line, _)| line).collect(), next));
            }
            left -= text.len();
            let fits = std::str::from_utf8(&text).is_ok_and(|text| filter.passes(text));
            let line = fits.then(|| open(&text)).flatten();
            let Some(line) = line.filter(|line| filter.fits(line)) else {
                continue;
            };
            if found.len() == limit {
                let next = found.last().map(|(_, place)| place.clone());
                return Ok((found.into_iter().map(|(line, _)| line).collect(), next));
            }
            let (segment, end) = (segment.clone(), start);
            found.push((line, Place { segment, end }));
        }
    }
    Ok((found.into_iter().map(|(line, _)| line).collect(), None))
}

/// The lines of a file, last first.
#[derive(Debug)]
pub struct Backwards {
    file: File,
    start: u64,
    held: Vec<u8>,
}

impl Backwards {
    /// Begins behind the last line, at `end`.
    pub const fn new(file: File, end: u64) -> Self {
        Self {
            file,
            start: end,
            held: Vec::new(),
        }
    }

    /// Returns the line before, with its end, and where it starts.
    pub fn next(&mut self) -> io::Result<Option<(Vec<u8>, u64)>> {
        loop {
            let body = self.held.strip_suffix(b"\n").unwrap_or(&self.held);
            let cut = body.iter().rposition(|byte| *byte == b'\n');
            let whole = self.start == 0 && !self.held.is_empty();
            if let Some(cut) = cut.map(|at| at + 1).or_else(|| whole.then_some(0)) {
                let line = self.held.split_off(cut);
                return Ok(Some((line, self.start + cut as u64)));
            }
            if self.start == 0 {
                return Ok(None);
            }
            let length = self.start.min(BLOCK_BYTES);
            let mut block = vec![0; usize::try_from(length).unwrap_or(0)];
            self.file.read_exact_at(&mut block, self.start - length)?;
            block.append(&mut self.held);
            (self.held, self.start) = (block, self.start - length);
            // A file without ends of lines is none of ours.
            if self.held.len() > 2 * MAX_LINE_BYTES {
                return Ok(None);
            }
        }
    }
}
