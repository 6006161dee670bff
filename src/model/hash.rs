//! Names of bytes: SHA-256 inside, SHA-1 and MD5 at the edge for look-ups.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Text that is not the hexadecimal form of the hash it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hash: expected {expected} hexadecimal digits")]
pub struct InvalidHash {
    /// The lengths that would have been accepted.
    pub expected: &'static str,
}

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $digits:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Wraps the raw digest.
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// Returns the raw digest.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidHash;

            fn from_str(text: &str) -> Result<Self, InvalidHash> {
                let mut bytes = [0; $bytes];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| InvalidHash { expected: $digits })?;
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidHash;

            fn try_from(text: String) -> Result<Self, InvalidHash> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> Self {
                hash.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hash!(
    /// SHA-256 of a blob: the only name a file has inside the daemon.
    Sha256,
    32,
    "64"
);
hash!(
    /// SHA-1 of a blob, accepted in look-ups.
    Sha1,
    20,
    "40"
);
hash!(
    /// MD5 of a blob, accepted in look-ups.
    Md5,
    16,
    "32"
);

/// The three digests of one blob, taken in a single pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// The blob's name.
    pub sha256: Sha256,
    /// For look-ups.
    pub sha1: Sha1,
    /// For look-ups and VirusTotal's analysis ids.
    pub md5: Md5,
}

/// Any of the three hashes a file may be looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileHash {
    /// 64 digits.
    Sha256(Sha256),
    /// 40 digits.
    Sha1(Sha1),
    /// 32 digits.
    Md5(Md5),
}

impl FromStr for FileHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        match text.len() {
            64 => text.parse().map(Self::Sha256),
            40 => text.parse().map(Self::Sha1),
            32 => text.parse().map(Self::Md5),
            _ => Err(InvalidHash {
                expected: "32 (MD5), 40 (SHA-1) or 64 (SHA-256)",
            }),
        }
    }
}
