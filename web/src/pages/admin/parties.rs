//! Who takes part, as several pages need it: publishers, vendors, engines, for choices and names.

use serde::Deserialize;

use crate::backend::{Client, Listing, Object};
use crate::fault::Fault;

/// Most rows that are read whole, for a choice or to be sorted.
pub const MOST: usize = 1000;

/// What is known of a publisher.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Publisher {
    /// What it is called.
    pub name: String,
    /// Seconds since 1970.
    pub creation_date: u64,
    /// Where its people are written to.
    pub emails: Vec<String>,
    /// `never`, `metadata-only`, `file-on-request` or `file`.
    pub policy: String,
    /// Bytes it may keep; absent is no limit.
    pub quota_bytes: Option<u64>,
    /// Files it may keep; absent is no limit.
    pub quota_files: Option<u64>,
    /// Bytes it keeps.
    pub used_bytes: u64,
    /// Files it keeps.
    pub used_files: u64,
    /// Its name in the register.
    pub legal_name: Option<String>,
    /// Where it is.
    pub country: Option<String>,
    /// ISO 3166.
    pub country_iso: Option<String>,
    /// Its domain.
    pub domain: Option<String>,
    /// What it does.
    pub industry: Option<String>,
    /// What is stated of all its files.
    pub card: Card,
}

/// What is stated of all files of a publisher; what is not shown here is kept as it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Card {
    /// Who made the software.
    pub company: Option<String>,
    /// Whom to ask.
    pub contact: Option<String>,
    /// Where to read about it.
    pub homepage: Option<String>,
    /// The rest.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

impl Publisher {
    /// Returns how much of what it may keep is used, in percent, at most 100; nothing without a
    /// limit.
    pub fn percent(&self) -> Option<u64> {
        let share = |used: u64, allowed: Option<u64>| {
            let allowed = allowed?;
            let used = u128::from(used) * 100;
            Some(match allowed {
                0 => 100,
                allowed => u64::try_from(used / u128::from(allowed)).unwrap_or(100),
            })
        };
        let bytes = share(self.used_bytes, self.quota_bytes);
        let files = share(self.used_files, self.quota_files);
        bytes.max(files).map(|percent| percent.min(100))
    }
}

/// What is known of a vendor.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Vendor {
    /// What it is called.
    pub name: String,
    /// Seconds since 1970.
    pub creation_date: u64,
    /// Where its analysts are written to.
    pub emails: Vec<String>,
    /// Ids of its engines.
    pub engines: Vec<String>,
}

/// What is known of an engine here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Engine {
    /// What it is called.
    pub name: String,
    /// Who makes it.
    pub vendor: String,
    /// How it is.
    pub state: String,
    /// Whether it looks at no file.
    pub labeler: bool,
    /// How its signatures fare; absent if they are in its image.
    pub signatures: Option<Signatures>,
}

/// How an engine's signatures fare.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Signatures {
    /// When the set in service came.
    pub active_date: Option<u64>,
    /// Whether it is held.
    pub held: bool,
    /// Whether the engine can be updated at all.
    pub updatable: bool,
    /// The update under way.
    pub updating: Option<serde_json::Value>,
    /// When the last update began.
    pub last_update_date: Option<u64>,
    /// How it ended.
    pub last_outcome: Option<String>,
    /// Updates that failed since the last one that did not.
    pub failures: u64,
    /// When the next one is due.
    pub next_update_date: Option<u64>,
}

/// Reads the publishers.
///
/// # Errors
/// What the API says.
pub async fn publishers(api: &Client) -> Result<Vec<Object<Publisher>>, Fault> {
    Ok(api.every("/acquit/publishers", MOST).await?.0)
}

/// Reads the vendors.
///
/// # Errors
/// What the API says.
pub async fn vendors(api: &Client) -> Result<Vec<Object<Vendor>>, Fault> {
    Ok(api.every("/acquit/vendors", MOST).await?.0)
}

/// Reads the engines.
///
/// # Errors
/// What the API says.
pub async fn engines(api: &Client) -> Result<Vec<Object<Engine>>, Fault> {
    Ok(api
        .get::<Listing<Object<Engine>>>("/acquit/engines")
        .await?
        .data)
}

/// Publishers and vendors, to be chosen from.
#[derive(Clone, Debug, Default)]
pub struct Parties {
    /// The publishers.
    pub publishers: Vec<Object<Publisher>>,
    /// The vendors.
    pub vendors: Vec<Object<Vendor>>,
}

impl Parties {
    /// Reads both.
    ///
    /// # Errors
    /// What the API says.
    pub async fn load(api: &Client) -> Result<Self, Fault> {
        let (publishers, vendors) = tokio::try_join!(publishers(api), vendors(api))?;
        Ok(Self {
            publishers,
            vendors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_that_of_whatever_is_nearer_to_its_limit() {
        let of = |quota_bytes, quota_files| Publisher {
            used_bytes: 50,
            used_files: 9,
            quota_bytes,
            quota_files,
            ..Publisher::default()
        };
        assert_eq!(of(None, None).percent(), None);
        assert_eq!(of(Some(100), None).percent(), Some(50));
        assert_eq!(of(Some(100), Some(10)).percent(), Some(90));
        assert_eq!(of(Some(0), None).percent(), Some(100));
        assert_eq!(of(Some(10), None).percent(), Some(100));
    }
}
