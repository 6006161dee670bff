//! How keys become bytes that sort as the keys do.

use super::rows::{LaneKey, ResultKey};
use crate::model::{AnalysisId, EngineId, KeyId, Md5, Priority, Sha1, Sha256, SignatureSetId};

/// A key that sorts as its bytes do.
pub trait RowKey: Sized {
    /// Returns the key's bytes.
    fn to_bytes(&self) -> Vec<u8>;
    /// Reads a key back; nothing if the bytes are no such key.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! hash_key {
    ($($hash:ident),*) => {$(
        impl RowKey for $hash {
            fn to_bytes(&self) -> Vec<u8> {
                self.as_bytes().to_vec()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::new)
            }
        }
    )*};
}

hash_key!(Sha256, Sha1, Md5);

impl RowKey for String {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

impl RowKey for KeyId {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        String::from_bytes(bytes).map(Self)
    }
}

impl RowKey for EngineId {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_str().as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }
}

impl RowKey for AnalysisId {
    fn to_bytes(&self) -> Vec<u8> {
        [
            self.sha256.as_bytes().as_slice(),
            &self.number.to_be_bytes(),
        ]
        .concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hash, number) = bytes.split_at_checked(32)?;
        let sha256 = Sha256::from_bytes(hash)?;
        Some(Self {
            sha256,
            number: u64::from_be_bytes(number.try_into().ok()?),
        })
    }
}

impl RowKey for ResultKey {
    fn to_bytes(&self) -> Vec<u8> {
        [self.analysis.to_bytes(), self.engine.to_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (analysis, engine) = bytes.split_at_checked(40)?;
        let analysis = AnalysisId::from_bytes(analysis)?;
        Some(Self {
            analysis,
            engine: EngineId::from_bytes(engine)?,
        })
    }
}

impl RowKey for (Sha256, EngineId) {
    fn to_bytes(&self) -> Vec<u8> {
        [self.0.to_bytes(), self.1.to_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hash, engine) = bytes.split_at_checked(32)?;
        Some((Sha256::from_bytes(hash)?, EngineId::from_bytes(engine)?))
    }
}

impl RowKey for u64 {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl RowKey for SignatureSetId {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        String::from_bytes(bytes).map(Self)
    }
}

macro_rules! engine_key {
    ($($second:ident),*) => {$(
        // A zero byte ends the engine's id, so that no id is the beginning of another.
        impl RowKey for (EngineId, $second) {
            fn to_bytes(&self) -> Vec<u8> {
                [self.0.to_bytes(), vec![0], self.1.to_bytes()].concat()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let end = bytes.iter().position(|byte| *byte == 0)?;
                let engine = EngineId::from_bytes(&bytes[..end])?;
                Some((engine, $second::from_bytes(&bytes[end + 1..])?))
            }
        }
    )*};
}

engine_key!(SignatureSetId, Sha256, u64);

/// Returns what the keys of all rows of an engine start with.
pub fn engine_prefix(engine: &EngineId) -> Vec<u8> {
    [engine.to_bytes(), vec![0]].concat()
}

impl RowKey for (Sha256, EngineId, u64) {
    fn to_bytes(&self) -> Vec<u8> {
        let (sha256, engine, number) = self;
        let second = (engine.clone(), *number).to_bytes();
        [sha256.to_bytes(), second].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hash, rest) = bytes.split_at_checked(32)?;
        let (engine, number) = <(EngineId, u64)>::from_bytes(rest)?;
        Some((Sha256::from_bytes(hash)?, engine, number))
    }
}

impl LaneKey {
    /// Returns what all keys of this lane and priority start with.
    pub fn prefix(engine: &EngineId, priority: Priority) -> Vec<u8> {
        let order = match priority {
            Priority::Interactive => 0,
            Priority::Nightly => 1,
        };
        let mut bytes = engine.to_bytes();
        bytes.extend([0, order]);
        bytes
    }
}

impl RowKey for LaneKey {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Self::prefix(&self.engine, self.priority);
        bytes.extend(self.number.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let engine = EngineId::from_bytes(&bytes[..end])?;
        let (order, number) = bytes[end + 1..].split_first()?;
        let priority = match order {
            0 => Priority::Interactive,
            1 => Priority::Nightly,
            _ => return None,
        };
        Some(Self {
            engine,
            priority,
            number: u64::from_be_bytes(number.try_into().ok()?),
        })
    }
}
