//! Raw output: what an engine printed, compressed and named after its stored form.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use sha2::Digest;

use crate::model::{RawOutputId, Sha256};
use crate::store::{Change, RAW_OUTPUTS, StoreError};

/// Raw output, ready to be kept.
#[derive(Clone, Debug)]
pub struct RawOutput {
    id: Sha256,
    stored: Vec<u8>,
}

impl RawOutput {
    /// Compresses what was printed; nothing if nothing was.
    ///
    /// # Errors
    /// If it cannot be compressed.
    pub fn new(raw: &[u8]) -> Result<Option<Self>, StoreError> {
        if raw.is_empty() {
            return Ok(None);
        }
        let failed = |error: std::io::Error| StoreError::Failed {
            reason: error.to_string(),
        };
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(raw).map_err(failed)?;
        let stored = encoder.finish().map_err(failed)?;
        let id = Sha256::new(sha2::Sha256::digest(&stored).into());
        Ok(Some(Self { id, stored }))
    }

    /// Returns the name under which it is kept.
    pub fn id(&self) -> RawOutputId {
        RawOutputId(self.id.to_string())
    }

    /// Keeps it within a change.
    pub fn put(&self, change: &mut Change<'_>) {
        change.put_bytes(&RAW_OUTPUTS, &self.id, self.stored.clone());
    }
}
