//! Release cards: what a publisher states of software, and what is read from the file itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What a publisher states of a file, or of all files in a folder. A field that is absent is
/// inherited from the folder above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReleaseCard {
    /// Who made the software.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// Whom to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Name of the product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Day of the release, `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_date: Option<String>,
    /// The suite the product belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// Names of the main files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_files: Option<Vec<String>>,
    /// Where to read about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Where to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_url: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
}

impl ReleaseCard {
    /// Fills what is absent here with what is stated above.
    pub fn inherit(self, above: &Self) -> Self {
        let of = |own: Option<String>, theirs: &Option<String>| own.or_else(|| theirs.clone());
        Self {
            company: of(self.company, &above.company),
            contact: of(self.contact, &above.contact),
            product: of(self.product, &above.product),
            version: of(self.version, &above.version),
            release_date: of(self.release_date, &above.release_date),
            suite: of(self.suite, &above.suite),
            main_files: self.main_files.or_else(|| above.main_files.clone()),
            homepage: of(self.homepage, &above.homepage),
            download_url: of(self.download_url, &above.download_url),
            purpose: of(self.purpose, &above.purpose),
        }
    }
}

/// What a file says of itself. All of it is the file's word, sanitized and cut to length; only the
/// signer's is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileFacts {
    /// What it is: `pe`, `msi`, `deb`, `rpm`, `elf`, `jar`; nothing if it is none of these.
    pub format: Option<String>,
    /// Who made it.
    pub company: Option<String>,
    /// Name of the product or package.
    pub product: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Where to read about it.
    pub homepage: Option<String>,
    /// The name it was made under.
    pub original_name: Option<String>,
    /// Who signed it.
    pub signer: Option<Signer>,
    /// Other fields, by the names the format gives them.
    pub more: BTreeMap<String, String>,
    /// Why nothing, or not all, could be read.
    pub problem: Option<String>,
}

/// Who signed a file, and whether that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// Subject of the certificate.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// SHA-1 of the certificate, in hexadecimal.
    pub thumbprint: String,
    /// Algorithm of the file's digest.
    pub digest: String,
    /// When a time stamp says it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Timestamp>,
    /// Whether the signature fits the file.
    pub verification: Verification,
}

/// Whether a signature fits its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Verification {
    /// It does, and the chain leads to a root that is trusted here.
    Trusted,
    /// It does; who vouches for the certificate is not known here.
    Intact {
        /// Why the chain is not trusted.
        reason: String,
    },
    /// It does not.
    Broken {
        /// What does not fit.
        reason: String,
    },
    /// It could not be checked.
    Unchecked {
        /// Why.
        reason: String,
    },
}
