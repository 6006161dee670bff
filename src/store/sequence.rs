//! The number of the last acknowledged change, kept outside the database.
//!
//! A damaged database may open as an older one without a word. Two slots, each
//! with its own checksum and written in turn, survive a torn write.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

const SLOT_BYTES: u64 = 16;

/// The file with the number.
#[derive(Debug)]
pub struct Sequence {
    file: File,
    last: u64,
}

impl Sequence {
    /// Opens the file, or makes one that says zero.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let last = (0..2)
            .filter_map(|slot| read_slot(&file, slot))
            .max()
            .unwrap_or(0);
        Ok(Self { file, last })
    }

    /// Returns the last acknowledged number.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Writes a number so that it survives a power cut.
    pub fn advance(&mut self, number: u64) -> io::Result<()> {
        let mut slot = [0; SLOT_BYTES as usize];
        slot[..8].copy_from_slice(&number.to_be_bytes());
        slot[8..].copy_from_slice(&checksum(number));
        self.file.write_all_at(&slot, (number % 2) * SLOT_BYTES)?;
        self.file.sync_data()?;
        self.last = number;
        Ok(())
    }
}

fn read_slot(file: &File, slot: u64) -> Option<u64> {
    let mut bytes = [0; SLOT_BYTES as usize];
    file.read_exact_at(&mut bytes, slot * SLOT_BYTES).ok()?;
    let number = u64::from_be_bytes(bytes[..8].try_into().ok()?);
    (bytes[8..] == checksum(number)).then_some(number)
}

fn checksum(number: u64) -> [u8; 8] {
    let digest = Sha256::digest(number.to_be_bytes());
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest[..8]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_slot_leaves_the_number_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sequence");
        let mut sequence = Sequence::open(&path).unwrap();
        assert_eq!(sequence.last(), 0);
        sequence.advance(1).unwrap();
        sequence.advance(2).unwrap();
        sequence.file.write_all_at(&[0xff; 4], 4).unwrap();
        assert_eq!(Sequence::open(&path).unwrap().last(), 1);
    }
}
