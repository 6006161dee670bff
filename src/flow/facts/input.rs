//! A file as its readers see it: pieces of bounded length, at any place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Most bytes that are read in one piece.
const MOST_BYTES: u64 = 64 << 20;
/// Bytes that tell what a file is.
const HEAD_BYTES: u64 = 32;
/// Bytes read at a time where all are only looked at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Why a part of a file cannot be read, for people.
#[derive(Debug)]
pub struct Trouble(pub String);

impl<E: std::error::Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Returns a trouble in these words.
pub fn trouble(words: impl Into<String>) -> Trouble {
    Trouble(words.into())
}

/// A file to be read.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    file: &'a File,
    len: u64,
}

impl<'a> Input<'a> {
    /// Looks how long a file is.
    pub fn open(file: &'a File) -> Result<Self, Trouble> {
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    /// Returns its length.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Returns the first bytes, fewer of a short file.
    pub fn head(&self) -> Result<Vec<u8>, Trouble> {
        self.bytes(0, self.len.min(HEAD_BYTES))
    }

    /// Reads a piece.
    pub fn bytes(&self, at: u64, len: u64) -> Result<Vec<u8>, Trouble> {
        if len > MOST_BYTES {
            return Err(trouble("a part of it is too long"));
        }
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(trouble("the file ends too early"));
        }
        let mut bytes = vec![0; usize::try_from(len)?];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// Shows all bytes of a range, in order.
    pub fn feed(&self, range: Range<u64>, mut look: impl FnMut(&[u8])) -> Result<(), Trouble> {
        if range.end > self.len {
            return Err(trouble("the file ends too early"));
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(CHUNK_BYTES as u64);
            let part = &mut chunk[..usize::try_from(len)?];
            self.file.read_exact_at(part, at)?;
            look(part);
            at += len;
        }
        Ok(())
    }

    /// Returns the file as libraries want it.
    pub const fn cursor(&self) -> Cursor<'a> {
        Cursor {
            input: *self,
            at: 0,
        }
    }
}

/// A place in a file.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    input: Input<'a>,
    at: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::End(by) => self.input.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = to.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// Reads up to `most` bytes of something that may go on for ever.
pub fn read_some(from: impl Read, most: u64) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
