//! API keys: 256 random bits, kept only as a hash.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::Sha256;

/// Text that cannot be an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key: expected 64 hexadecimal digits")]
pub struct InvalidApiKey;

/// Public name of a key: its first 8 digits. Shown in lists and logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyRole {
    /// Everything, also engines, people and keys.
    Admin,
    /// Upload, look up and download, and what concerns the publisher's own collection.
    Publisher,
    /// Look up; no upload, no download, no change.
    Viewer,
    /// What the vendor's own engines detect now, of publishers who consent.
    Vendor,
}

impl KeyRole {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Publisher, Self::Viewer, Self::Vendor];

    /// Returns the role's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Publisher => "publisher",
            Self::Viewer => "viewer",
            Self::Vendor => "vendor",
        }
    }
}

/// A secret key as its owner holds it: 64 hexadecimal digits, as VirusTotal's.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    /// Makes a key of the given random bits.
    pub const fn new(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    /// Returns its public name.
    pub fn id(&self) -> KeyId {
        KeyId(hex::encode(&self.0[..4]))
    }

    /// Returns the digest that is kept in place of the key.
    pub fn digest(&self) -> Sha256 {
        Sha256::new(sha2::Sha256::digest(self.0).into())
    }

    /// Returns the key itself, to be shown once.
    pub fn reveal(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for ApiKey {
    type Err = InvalidApiKey;

    fn from_str(text: &str) -> Result<Self, InvalidApiKey> {
        let mut bits = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bits).map_err(|_| InvalidApiKey)?;
        Ok(Self(bits))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}…)", self.id())
    }
}
