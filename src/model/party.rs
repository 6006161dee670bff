//! Who has a part in it: publishers who own collections, vendors who make engines, people.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{EngineId, KeyRole, ReleaseCard, Timestamp};

/// Text that cannot be the id of a publisher, a vendor or a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no id: use 1 to 40 of a-z, 0-9 and -, starting with a letter or digit")]
pub struct InvalidPartyId(pub String);

macro_rules! party_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidPartyId;

            fn from_str(text: &str) -> Result<Self, InvalidPartyId> {
                let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
                let fits = (1..=40).contains(&text.len());
                if !fits || text.starts_with('-') || !text.bytes().all(legal) {
                    return Err(InvalidPartyId(text.to_owned()));
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidPartyId;

            fn try_from(text: String) -> Result<Self, InvalidPartyId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

party_id!(
    /// The one id of a publisher: VirusTotal's `owner_id`, a group's id.
    PublisherId
);
party_id!(
    /// The one id of a vendor.
    VendorId
);
party_id!(
    /// The one id of a user, with which he signs in.
    UserId
);

/// Who owns a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// Its id.
    pub id: PublisherId,
    /// Its name, VirusTotal's `organization`.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where its people are written to.
    #[serde(default)]
    pub emails: Vec<String>,
    /// What vendors may have of its files where no folder or item says otherwise.
    #[serde(default)]
    pub policy: SharePolicy,
    /// What it may keep.
    #[serde(default)]
    pub quota: Quota,
    /// What is known of it otherwise.
    #[serde(default)]
    pub profile: Profile,
    /// What is stated of all its files.
    #[serde(default)]
    pub card: ReleaseCard,
}

/// What vendors whose engine detects a file may have of it. The order is that of what may leave.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum SharePolicy {
    /// Nothing: to vendors the file does not exist.
    Never,
    /// Hashes, detection, release card, history.
    #[default]
    MetadataOnly,
    /// The file too, once the publisher has granted the vendor's request.
    FileOnRequest,
    /// The file too.
    File,
}

impl SharePolicy {
    /// Returns the policy's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::MetadataOnly => "metadata-only",
            Self::FileOnRequest => "file-on-request",
            Self::File => "file",
        }
    }
}

/// What a publisher may keep; nothing is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Bytes of items, their history and the trash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Files, also those in the trash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
}

/// What a publisher keeps, counted as its quota is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of items, their history and the trash.
    pub bytes: u64,
    /// Files, also those in the trash.
    pub files: u64,
    /// Bytes ever uploaded.
    pub uploaded_bytes: u64,
    /// Files ever uploaded.
    pub uploaded_files: u64,
}

/// What is known of a publisher besides its name, all optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Its name in the register.
    pub legal_name: Option<String>,
    /// Country, in words.
    pub country: Option<String>,
    /// Country, ISO 3166.
    pub country_iso: Option<String>,
    /// Internet domain.
    pub domain: Option<String>,
    /// What it does.
    pub industry: Option<String>,
}

/// Who makes engines: VirusTotal's partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vendor {
    /// Its id.
    pub id: VendorId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where its analysts are written to.
    #[serde(default)]
    pub emails: Vec<String>,
    /// Its engines: it sees what these detect and nothing else.
    pub engines: BTreeSet<EngineId>,
}

/// A person who signs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name to sign in with.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Their address, if known; OpenID Connect finds them by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Argon2 hash of the password, in PHC form; nobody without one signs in by password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What they may do, and in whose name.
    pub seat: Seat,
    /// When they were made.
    pub created_at: Timestamp,
    /// When they last signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_at: Option<Timestamp>,
    /// Since when they may not sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
}

/// What a key or a user may do, and in whose name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// What they may do.
    pub role: KeyRole,
    /// The publisher whose collection it is about. A publisher's seat without one scans files and
    /// has no collection; a viewer's seat without one sees everything and changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<PublisherId>,
    /// The vendor, for a vendor's seat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorId>,
}

impl Seat {
    /// The seat of an administrator.
    pub const ADMIN: Self = Self {
        role: KeyRole::Admin,
        publisher: None,
        vendor: None,
    };

    /// Returns a seat that belongs to nobody in particular.
    pub const fn of(role: KeyRole) -> Self {
        Self {
            role,
            publisher: None,
            vendor: None,
        }
    }
}
