//! How keys become bytes that sort as the keys do.

use super::rows::{LaneKey, ResultKey};
use crate::model::{
    AnalysisId, EngineId, ItemPath, KeyId, Md5, Priority, PublisherId, Sha1, Sha256,
    SignatureSetId, UserId, VendorId,
};

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

macro_rules! text_key {
    ($($id:ident),*) => {$(
        impl RowKey for $id {
            fn to_bytes(&self) -> Vec<u8> {
                self.as_str().as_bytes().to_vec()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                std::str::from_utf8(bytes).ok()?.parse().ok()
            }
        }
    )*};
}

text_key!(PublisherId, VendorId, UserId);

/// A part of a key that is text without a zero byte, which ends it.
fn ended(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Splits a key after the zero byte that ends its first part.
fn split_ended(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    Some((text, &bytes[end + 1..]))
}

/// Returns what the keys of all rows of a publisher start with.
pub fn party_prefix(publisher: &PublisherId) -> Vec<u8> {
    ended(publisher.as_str())
}

/// Returns what the keys of the items in a folder start with.
pub fn folder_prefix(publisher: &PublisherId, folder: &ItemPath, depth: Depth) -> Vec<u8> {
    let mut bytes = party_prefix(publisher);
    bytes.extend(folder.as_str().as_bytes());
    if depth == Depth::Direct {
        bytes.push(0);
    }
    bytes
}

/// How deep a look into a folder goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What is in it.
    Direct,
    /// What is in it and in the folders below.
    Recursive,
}

/// Returns what the keys of all blobs of a publisher with a tag start with.
pub fn tag_prefix(publisher: &PublisherId, tag: &str) -> Vec<u8> {
    [party_prefix(publisher), ended(tag)].concat()
}

/// Returns what the keys of a publisher's items that point at a blob start with.
pub fn blob_items_prefix(sha256: &Sha256, publisher: &PublisherId) -> Vec<u8> {
    [sha256.to_bytes(), party_prefix(publisher)].concat()
}

/// An item lies after its folder's path: the items of a folder together, those of the folders
/// below it behind them.
impl RowKey for ItemPath {
    fn to_bytes(&self) -> Vec<u8> {
        let parent = self.parent().unwrap_or_else(Self::root);
        [ended(parent.as_str()), self.tail().as_bytes().to_vec()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (parent, tail) = split_ended(bytes)?;
        let tail = std::str::from_utf8(tail).ok()?;
        format!("{parent}{tail}").parse().ok()
    }
}

macro_rules! publisher_key {
    ($($second:ty),*) => {$(
        impl RowKey for (PublisherId, $second) {
            fn to_bytes(&self) -> Vec<u8> {
                [party_prefix(&self.0), self.1.to_bytes()].concat()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let (publisher, rest) = split_ended(bytes)?;
                Some((publisher.parse().ok()?, <$second>::from_bytes(rest)?))
            }
        }
    )*};
}

publisher_key!(ItemPath, u64, VendorId);

macro_rules! publisher_text_key {
    ($($third:ty),*) => {$(
        impl RowKey for (PublisherId, String, $third) {
            fn to_bytes(&self) -> Vec<u8> {
                [tag_prefix(&self.0, &self.1), self.2.to_bytes()].concat()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let (publisher, rest) = split_ended(bytes)?;
                let (text, rest) = split_ended(rest)?;
                let third = <$third>::from_bytes(rest)?;
                Some((publisher.parse().ok()?, text.to_owned(), third))
            }
        }
    )*};
}

publisher_text_key!(Sha256, u64);

macro_rules! blob_key {
    ($($rest:ty),*) => {$(
        impl RowKey for (Sha256, $rest) {
            fn to_bytes(&self) -> Vec<u8> {
                [self.0.to_bytes(), self.1.to_bytes()].concat()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let (hash, rest) = bytes.split_at_checked(32)?;
                Some((Sha256::from_bytes(hash)?, <$rest>::from_bytes(rest)?))
            }
        }
    )*};
}

blob_key!(PublisherId, String);

macro_rules! blob_pair_key {
    ($($first:ident, $second:ty);*) => {$(
        impl RowKey for (Sha256, $first, $second) {
            fn to_bytes(&self) -> Vec<u8> {
                [
                    self.0.to_bytes(),
                    ended(self.1.as_str()),
                    self.2.to_bytes(),
                ]
                .concat()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let (hash, rest) = bytes.split_at_checked(32)?;
                let (first, rest) = split_ended(rest)?;
                let second = <$second>::from_bytes(rest)?;
                Some((Sha256::from_bytes(hash)?, first.parse().ok()?, second))
            }
        }
    )*};
}

blob_pair_key!(PublisherId, ItemPath; PublisherId, VendorId; EngineId, PublisherId);

impl RowKey for (u64, u64) {
    fn to_bytes(&self) -> Vec<u8> {
        [self.0.to_bytes(), self.1.to_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (first, second) = bytes.split_at_checked(8)?;
        Some((u64::from_bytes(first)?, u64::from_bytes(second)?))
    }
}

impl RowKey for (u64, u64, u64) {
    fn to_bytes(&self) -> Vec<u8> {
        [self.0.to_bytes(), (self.1, self.2).to_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_at_checked(8)?;
        let (second, third) = <(u64, u64)>::from_bytes(rest)?;
        Some((u64::from_bytes(first)?, second, third))
    }
}

impl RowKey for (String, String) {
    fn to_bytes(&self) -> Vec<u8> {
        [ended(&self.0), self.1.to_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = split_ended(bytes)?;
        Some((first.to_owned(), String::from_bytes(rest)?))
    }
}
