//! What is found out of a file while it goes by: its digests, its length, its beginning.

use md5::Md5 as Md5Hasher;
use sha1::Sha1 as Sha1Hasher;
use sha2::{Digest, Sha256 as Sha256Hasher};

use crate::model::{Digests, Md5, Sha1, Sha256};

/// Bytes kept from the beginning of a file, to tell what it is.
const HEAD_BYTES: usize = 4096;

/// What is known of a file as far as it has gone by.
#[derive(Clone, Debug, Default)]
pub struct Hashes {
    sha256: Sha256Hasher,
    sha1: Sha1Hasher,
    md5: Md5Hasher,
    size_bytes: u64,
    head: Vec<u8>,
}

impl Hashes {
    /// Takes the next part.
    pub fn update(&mut self, chunk: &[u8]) {
        self.sha256.update(chunk);
        self.sha1.update(chunk);
        self.md5.update(chunk);
        self.size_bytes += chunk.len() as u64;
        let missing = HEAD_BYTES - self.head.len();
        self.head
            .extend_from_slice(&chunk[..missing.min(chunk.len())]);
    }

    /// Returns the bytes that went by.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Returns the first of them.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Returns the names of what went by.
    pub fn digests(&self) -> Digests {
        Digests {
            sha256: Sha256::new(self.sha256.clone().finalize().into()),
            sha1: Sha1::new(self.sha1.clone().finalize().into()),
            md5: Md5::new(self.md5.clone().finalize().into()),
        }
    }
}
