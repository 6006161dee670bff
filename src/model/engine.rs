//! What an engine is called, and what it scanned with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Text that cannot be an engine id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no engine id: use 1 to 40 of a-z, 0-9 and -, starting with a letter or digit")]
pub struct InvalidEngineId(pub String);

/// The one id of an engine: file name of its manifest, metric label, queue lane, container name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EngineId(String);

impl EngineId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EngineId {
    type Err = InvalidEngineId;

    fn from_str(text: &str) -> Result<Self, InvalidEngineId> {
        let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let fits = (1..=40).contains(&text.len());
        if !fits || text.starts_with('-') || !text.bytes().all(legal) {
            return Err(InvalidEngineId(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for EngineId {
    type Error = InvalidEngineId;

    fn try_from(text: String) -> Result<Self, InvalidEngineId> {
        text.parse()
    }
}

impl From<EngineId> for String {
    fn from(id: EngineId) -> Self {
        id.0
    }
}

impl fmt::Display for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of one signature set of one engine: the first 16 digits of the digest of its files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignatureSetId(pub String);

impl fmt::Display for SignatureSetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything a verdict depends on besides the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineVersions {
    /// Program version, in the engine's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Version of the signatures, in the engine's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<String>,
    /// Date of the signatures as `YYYYMMDD`, VirusTotal's `engine_update`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures_date: Option<String>,
    /// Day on which the license ends as `YYYYMMDD`, where the engine tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_expires: Option<String>,
    /// Content id of the container image (`sha256:…`); the address of an engine that has none,
    /// because it is a server elsewhere.
    pub image: String,
    /// The signature set mounted into the container, if the engine has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_set: Option<SignatureSetId>,
}

impl EngineVersions {
    /// Tells whether they are those of a server elsewhere, which has no image.
    pub fn is_outside(&self) -> bool {
        self.image.contains("://")
    }
}
