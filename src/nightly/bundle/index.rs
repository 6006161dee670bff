//! `bundle.json`: what a bundle says of itself, and what it may say.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::BundleError;
use crate::model::{EngineId, EngineVersions, Sha256, SignatureSetId, Timestamp};

/// The format this version writes and reads.
pub const FORMAT: u32 = 1;
/// Most engines in a bundle.
const MOST_ENGINES: usize = 200;
/// Most files in a bundle.
const MOST_FILES: usize = 100_000;
/// Longest path of a file, in bytes, and most directories above it.
const LONGEST_PATH: usize = 1024;
const DEEPEST: usize = 16;
/// Largest manifest.
pub const MANIFEST_BYTES: u64 = 1 << 20;

/// What is in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Version of the format.
    pub format: u32,
    /// When it was made.
    pub created: Timestamp,
    /// The appliance that made it.
    pub appliance: String,
    /// The public key it says it is signed by.
    pub key: String,
    /// One signature set each.
    pub engines: Vec<Member>,
}

/// One engine's part of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Whose signatures.
    pub id: EngineId,
    /// The set's name.
    pub set: SignatureSetId,
    /// Digest of the set's files: SHA-256 in hexadecimal.
    pub digest: String,
    /// What the engine said of itself with this set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<EngineVersions>,
    /// The manifest the engine ran by.
    pub manifest: FileEntry,
    /// The set's files, in order.
    pub files: Vec<FileEntry>,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path below the set, with slashes.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Digest of its bytes.
    pub sha256: Sha256,
}

impl Index {
    /// Reads and checks the list; nothing in it is believed but what is checked here.
    ///
    /// # Errors
    /// Says what it may not say.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let index: Self = serde_json::from_slice(bytes)
            .map_err(|error| BundleError::Malformed(format!("bundle.json: {error}")))?;
        index.check().map_err(BundleError::Malformed)?;
        Ok(index)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            let format = self.format;
            return Err(format!("its format is {format}, known is {FORMAT}"));
        }
        let ids: BTreeSet<_> = self.engines.iter().map(|member| &member.id).collect();
        if ids.is_empty() || ids.len() != self.engines.len() || ids.len() > MOST_ENGINES {
            return Err("it must list at least one engine, and each once".to_owned());
        }
        let files = self.engines.iter().map(|member| member.files.len());
        if files.sum::<usize>() > MOST_FILES {
            return Err(format!("it lists more than {MOST_FILES} files"));
        }
        self.engines.iter().try_for_each(Member::check)
    }

    /// Returns how much it unpacks to.
    pub fn bytes(&self) -> u64 {
        let sizes = self.engines.iter().flat_map(|member| &member.files);
        sizes.fold(0, |sum, file| sum.saturating_add(file.size))
    }
}

impl Member {
    fn check(&self) -> Result<(), String> {
        let id = &self.id;
        if self.manifest.path != format!("{id}.toml") || self.manifest.size > MANIFEST_BYTES {
            return Err(format!("the manifest of {id} is none"));
        }
        if self.files.is_empty() {
            return Err(format!("the set of {id} is empty"));
        }
        for file in &self.files {
            check_path(&file.path).map_err(|what| format!("{:?}: {what}", file.path))?;
        }
        check_together(&self.files)?;
        // The name of a set is the digest of its files: it is not said, it is found.
        let digest = digest(&self.files);
        if self.digest != digest || self.set != set_id(&digest) {
            return Err(format!("the set of {id} is not named after its files"));
        }
        Ok(())
    }
}

/// Returns the digest of a set: over every path and its file's digest, in order.
pub fn digest(files: &[FileEntry]) -> String {
    let mut all = sha2::Sha256::new();
    for file in files {
        all.update(file.path.as_bytes());
        all.update([0]);
        all.update(file.sha256.as_bytes());
    }
    hex::encode(all.finalize())
}

/// Returns the name of the set with a digest.
pub fn set_id(digest: &str) -> SignatureSetId {
    SignatureSetId(digest[..16].to_owned())
}

/// Judges one path: below its set, and nothing a person or a shell could take for something else.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > LONGEST_PATH || path.split('/').count() > DEEPEST {
        return Err("the path is too long or too deep");
    }
    for part in path.split('/') {
        match part {
            "" => return Err("the path is absolute or has an empty part"),
            "." | ".." => return Err("the path has a part that leads elsewhere"),
            _ if part.len() > 255 => return Err("a part of the path is too long"),
            _ if part.chars().any(is_odd) => {
                return Err("the path has a character it may not have");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Tells whether a character could end a name early or turn the direction of text.
fn is_odd(c: char) -> bool {
    c.is_control()
        || c == '\\'
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Judges paths beside each other: in order, each once, and no file where a directory is.
fn check_together(files: &[FileEntry]) -> Result<(), String> {
    let paths = || files.iter().map(|file| Path::new(&file.path));
    if !paths().zip(paths().skip(1)).all(|(one, next)| one < next) {
        return Err("the files are not in order, or one is there twice".to_owned());
    }
    let all: BTreeSet<_> = paths().collect();
    for path in paths() {
        if path.ancestors().skip(1).any(|above| all.contains(above)) {
            let path = path.display();
            return Err(format!("{path} lies in what is a file itself"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, fine: bool) {
        assert_eq!(check_path(path).is_ok(), fine, "{path:?}");
    }

    #[test]
    fn only_plain_paths_below_the_set_pass() {
        check("main.cvd", true);
        check("rules/a (1).yar", true);
        check("größe.yar", true);
        check("..a/...", true);
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a"] {
            check(bad, false);
        }
        for bad in ["a\0b", "a\\b", "a\nb", "a\u{202e}b", "."] {
            check(bad, false);
        }
        check(&"a/".repeat(20), false);
        check(&"a".repeat(256), false);
    }

    fn entry(path: &str) -> FileEntry {
        FileEntry {
            path: path.to_owned(),
            size: 1,
            sha256: Sha256::new([0; 32]),
        }
    }

    #[test]
    fn files_are_in_order_each_once_and_never_a_directory() {
        let judge = |paths: &[&str]| {
            check_together(&paths.iter().map(|path| entry(path)).collect::<Vec<_>>()).is_ok()
        };
        assert!(judge(&["a/b", "a-b", "b"]));
        assert!(!judge(&["b", "a"]));
        assert!(!judge(&["a", "a"]));
        assert!(!judge(&["a", "a/b"]));
    }
}
