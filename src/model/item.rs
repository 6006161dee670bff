//! Items: paths in a publisher's collection that point at blobs.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{PublisherId, ReleaseCard, Sha256, SharePolicy, Timestamp};

/// What every item id starts with before it is encoded; VirusTotal's own.
const SCHEME: &str = "vtmonitor-v1://";
/// Longest path, in bytes.
const PATH_BYTES: usize = 4096;
/// Longest name of a file or folder, in bytes.
const NAME_BYTES: usize = 1024;

/// Text that cannot be the path of an item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It is too long.
    #[error("the path is longer than {PATH_BYTES} bytes, or a name in it than {NAME_BYTES}")]
    TooLong,
    /// A part of it is empty, `.` or `..`.
    #[error("the path has a part that is empty, \".\" or \"..\"")]
    BadPart,
    /// It has a zero byte.
    #[error("the path has a zero character")]
    Zero,
}

/// Text that is no item id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an item id: expected base64 of vtmonitor-v1://<publisher>/<path>")]
pub struct InvalidItemId;

/// Where an item is in its collection: absolute, any Unicode; a folder's ends with a slash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ItemPath(String);

impl ItemPath {
    /// Returns the path of the collection itself.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Returns the path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether it is a folder's.
    pub fn is_folder(&self) -> bool {
        self.0.ends_with('/')
    }

    /// Tells whether it is that of the collection itself.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// Returns the path of the folder it is in; nothing for the collection itself.
    pub fn parent(&self) -> Option<Self> {
        let end = self.trimmed().rfind('/')?;
        (!self.is_root()).then(|| Self(self.0[..=end].to_owned()))
    }

    /// Returns the last part, without a slash; empty for the collection itself.
    pub fn name(&self) -> &str {
        let trimmed = self.trimmed();
        trimmed.rfind('/').map_or("", |at| &trimmed[at + 1..])
    }

    /// Returns the key's last part: as [`Self::name`], with the slash of a folder.
    pub fn tail(&self) -> &str {
        let end = self.trimmed().rfind('/').map_or(0, |at| at + 1);
        &self.0[end..]
    }

    /// Tells whether it lies below a folder, at any depth.
    pub fn is_below(&self, folder: &Self) -> bool {
        folder.is_folder() && self.0.len() > folder.0.len() && self.0.starts_with(&folder.0)
    }

    /// Returns the path it has when `from`, a folder above it or itself, becomes `to`.
    ///
    /// # Errors
    /// If the path becomes too long.
    pub fn moved(&self, from: &Self, to: &Self) -> Result<Self, InvalidPath> {
        let rest = self.0.strip_prefix(&from.0).unwrap_or_default();
        format!("{}{rest}", to.0).parse()
    }

    /// Returns the path of something in this folder.
    ///
    /// # Errors
    /// If the name is none, or the path becomes too long.
    pub fn join(&self, name: &str) -> Result<Self, InvalidPath> {
        let mark = if self.is_folder() { "" } else { "/" };
        format!("{}{mark}{name}", self.0).parse()
    }

    /// Returns this path as a folder's.
    pub fn as_folder(&self) -> Self {
        Self(format!("{}/", self.trimmed()))
    }

    /// Returns the path a file has where this is a folder's, and the other way round: only one of
    /// the two can be there. Nothing for the collection itself.
    pub fn twin(&self) -> Option<Self> {
        if self.is_root() {
            None
        } else if self.is_folder() {
            Some(Self(self.trimmed().to_owned()))
        } else {
            Some(self.as_folder())
        }
    }

    fn trimmed(&self) -> &str {
        self.0.strip_suffix('/').unwrap_or(&self.0)
    }
}

impl FromStr for ItemPath {
    type Err = InvalidPath;

    /// Reads a path; a missing slash at the beginning is added.
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        if text.len() > PATH_BYTES {
            return Err(InvalidPath::TooLong);
        }
        if text.contains('\0') {
            return Err(InvalidPath::Zero);
        }
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return match text {
                "" | "/" => Ok(Self::root()),
                _ => Err(InvalidPath::BadPart),
            };
        }
        for part in inner.split('/') {
            match part {
                "" | "." | ".." => return Err(InvalidPath::BadPart),
                part if part.len() > NAME_BYTES => return Err(InvalidPath::TooLong),
                _ => {}
            }
        }
        let end = if text.ends_with('/') { "/" } else { "" };
        Ok(Self(format!("/{inner}{end}")))
    }
}

impl TryFrom<String> for ItemPath {
    type Error = InvalidPath;

    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<ItemPath> for String {
    fn from(path: ItemPath) -> Self {
        path.0
    }
}

impl fmt::Display for ItemPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ItemPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// An item's name: whose collection, and where in it. VirusTotal's `MonitorItem` id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId {
    /// Whose collection.
    pub publisher: PublisherId,
    /// Where in it.
    pub path: ItemPath,
}

impl fmt::Display for ItemId {
    /// Writes the id as VirusTotal does: standard, padded base64.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { publisher, path } = self;
        f.write_str(&STANDARD.encode(format!("{SCHEME}{publisher}{path}")))
    }
}

impl FromStr for ItemId {
    type Err = InvalidItemId;

    /// Reads an id in either base64 alphabet, padded or not.
    fn from_str(text: &str) -> Result<Self, InvalidItemId> {
        use base64::engine::general_purpose::STANDARD_NO_PAD;
        let standard: String = text
            .trim_end_matches('=')
            .chars()
            .map(|c| match c {
                '-' => '+',
                '_' => '/',
                c => c,
            })
            .collect();
        let bytes = STANDARD_NO_PAD
            .decode(standard)
            .map_err(|_| InvalidItemId)?;
        let name = String::from_utf8(bytes).map_err(|_| InvalidItemId)?;
        let rest = name.strip_prefix(SCHEME).ok_or(InvalidItemId)?;
        let slash = rest.find('/').ok_or(InvalidItemId)?;
        let (publisher, path) = rest.split_at(slash);
        Ok(Self {
            publisher: publisher.parse().map_err(|_| InvalidItemId)?,
            path: path.parse().map_err(|_| InvalidItemId)?,
        })
    }
}

/// A file or folder of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// When it was made.
    pub created_at: Timestamp,
    /// When its content was last replaced.
    pub modified_at: Timestamp,
    /// Id of the key or user that made it.
    pub creator: String,
    /// The file it points at; nothing for a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ItemFile>,
    /// What the publisher tells vendors of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// What is stated of it, beyond what is stated of the folders above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Box<ReleaseCard>>,
    /// What vendors may have of it and of what is in it, if that is said here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<SharePolicy>,
}

/// The file an item points at, and those it pointed at before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemFile {
    /// Which blob.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: u64,
    /// What it pointed at before, oldest first, bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastFile>,
}

/// A file an item pointed at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastFile {
    /// Which blob.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: u64,
    /// Since when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who put it there.
    pub creator: String,
}

/// An item in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trashed {
    /// Where it was.
    pub path: ItemPath,
    /// What it was.
    pub item: Item,
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// Who did.
    pub deleted_by: String,
    /// What was deleted in one act has one number.
    pub act: u64,
    /// What vendors might have of it then, by what was said above it; only at what was deleted
    /// itself, not at what was in it. It comes back with no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited: Option<SharePolicy>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn path(text: &str) -> ItemPath {
        text.parse().unwrap()
    }

    #[test]
    fn ids_are_virustotals() {
        let id = ItemId {
            publisher: "acme".parse().unwrap(),
            path: path("/x/y.exe"),
        };
        assert_eq!(id.to_string(), "dnRtb25pdG9yLXYxOi8vYWNtZS94L3kuZXhl");
        assert_eq!(id.to_string().parse(), Ok(id));
        let id: ItemId = "dnRtb25pdG9yLXYxOi8vYWNtZS_ml6XmnKwuZXhl".parse().unwrap();
        assert_eq!(id.path.as_str(), "/日本.exe");
    }

    #[test]
    fn paths_are_absolute_and_have_real_parts() {
        assert_eq!(path("a/b").as_str(), "/a/b");
        assert_eq!(path("/a/b/").parent(), Some(path("/a/")));
        assert_eq!(path("/a/b/").name(), "b");
        assert_eq!(path("/a/b/").tail(), "b/");
        assert_eq!(path("/a").parent(), Some(ItemPath::root()));
        assert_eq!(ItemPath::root().parent(), None);
        assert!(path("/a/b").is_below(&path("/a/")));
        assert_eq!(path("/a/b").twin(), Some(path("/a/b/")));
        assert_eq!(path("/a/b/").twin(), Some(path("/a/b")));
        assert_eq!(ItemPath::root().twin(), None);
        assert!(!path("/ab").is_below(&path("/a/")));
        assert_eq!(
            path("/a/b/c").moved(&path("/a/b/"), &path("/x/")),
            Ok(path("/x/c"))
        );
        for bad in ["/a//b", "/../a", "/a/.", "//", "/a\0b"] {
            assert!(bad.parse::<ItemPath>().is_err(), "{bad:?}");
        }
    }
}
