//! The end of the ledger as it was acknowledged, kept apart from the lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::{LEDGER_BEGIN, Sha256};

const NAME: &str = "head";
/// Where a head goes that cannot be understood.
pub const BAD: &str = "head.bad";
/// No head is longer.
const MAX_BYTES: u64 = 4096;

/// The last acknowledged line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: Sha256,
    /// Name of the file it is in; empty before the first line.
    pub segment: String,
    /// Where it ends there.
    pub end: u64,
}

impl Head {
    /// Returns the head of a ledger without lines.
    pub const fn empty() -> Self {
        Self {
            seq: 0,
            hash: LEDGER_BEGIN,
            segment: String::new(),
            end: 0,
        }
    }

    /// Reads the head; `Err` inside says what cannot be understood, `None` that there is none.
    pub fn read(dir: &Path) -> io::Result<Option<Result<Self, String>>> {
        let file = match File::open(dir.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text)?;
        let head = serde_json::from_slice::<Self>(&text).map_err(|error| error.to_string());
        let head = head.and_then(|head| match head.segment.contains('/') {
            true => Err("it names no file of the ledger".to_owned()),
            false => Ok(head),
        });
        Ok(Some(head))
    }

    /// Puts the head in the place of the one before.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let fresh = dir.join("head.new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        // Synced before it is renamed: else a power cut may leave an empty one.
        file.sync_data()?;
        std::fs::rename(&fresh, dir.join(NAME))
    }

    /// Puts a head aside that cannot be understood.
    pub fn put_aside(dir: &Path) -> io::Result<()> {
        std::fs::rename(dir.join(NAME), dir.join(BAD))
    }
}
