//! The directory of vendors: where false positives are reported, and by which rules.
//!
//! What is shipped is built in; the files of the operator replace entries by their id.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::model::EngineId;

const SHIPPED: &str = include_str!("../../config/vendors.toml");
/// A directory is not larger.
const MAX_BYTES: u64 = 4 << 20;

/// How a vendor is told of a false positive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VendorEntry {
    /// Its id in the directory.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Engines whose detections it answers for.
    #[serde(default)]
    pub engines: BTreeSet<EngineId>,
    /// By which way it is told.
    pub channel: VendorChannel,
    /// Addresses.
    #[serde(default)]
    pub mail: Vec<String>,
    /// Its form.
    #[serde(default)]
    pub url: String,
    /// How it wants the file.
    pub archive: ArchiveKind,
    /// The archive's password; none if empty.
    #[serde(default)]
    pub password: String,
    /// Largest archive it takes, in mebibytes.
    #[serde(default = "default_mb")]
    pub max_mb: u64,
    /// Most files in an archive.
    #[serde(default = "one")]
    pub max_files: u32,
    /// Its subject, with `{product}`, `{version}`, `{detection}` and `{engine}`.
    #[serde(default = "default_subject")]
    pub subject: String,
    /// What must be known before anything is sent.
    #[serde(default = "default_fields")]
    pub require: BTreeSet<Field>,
    /// What else has to be said.
    #[serde(default)]
    pub text: String,
    /// How long it takes, in its own words.
    #[serde(default)]
    pub turnaround: String,
    /// What else is known of it.
    #[serde(default)]
    pub remarks: String,
    /// Day on which this was last found to be right, `YYYY-MM-DD`.
    #[serde(default)]
    pub last_verified: String,
    /// Where this is from.
    #[serde(default)]
    pub source: String,
    /// Whether the entry counts as not there.
    #[serde(default)]
    pub disabled: bool,
}

/// By which way a vendor is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VendorChannel {
    /// By mail.
    Mail,
    /// By a form that a person fills in.
    Form,
    /// By a form behind a login.
    LoginForm,
}

/// How a vendor wants the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArchiveKind {
    /// In a zip archive, with ZipCrypto if there is a password.
    #[serde(rename = "zip")]
    Zip,
    /// In a 7z archive.
    #[serde(rename = "7z")]
    SevenZip,
    /// As it is.
    #[serde(rename = "plain")]
    Plain,
    /// Not at all.
    #[serde(rename = "none")]
    None,
}

/// What a vendor may need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Name of the program.
    Product,
    /// Its version.
    Version,
    /// Who made it.
    Company,
    /// When it was released.
    ReleaseDate,
    /// The suite it belongs to.
    Suite,
    /// Names of its main files.
    MainFiles,
    /// Where to read about it.
    Homepage,
    /// Where to get it.
    DownloadUrl,
    /// What it is for.
    Purpose,
    /// Whom to ask.
    Contact,
}

impl Field {
    /// Returns the field's name in a release card.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Version => "version",
            Self::Company => "company",
            Self::ReleaseDate => "release_date",
            Self::Suite => "suite",
            Self::MainFiles => "main_files",
            Self::Homepage => "homepage",
            Self::DownloadUrl => "download_url",
            Self::Purpose => "purpose",
            Self::Contact => "contact",
        }
    }
}

const fn default_mb() -> u64 {
    50
}

const fn one() -> u32 {
    1
}

fn default_subject() -> String {
    "False positive – {product} {version} – {detection}".to_owned()
}

fn default_fields() -> BTreeSet<Field> {
    [Field::Product, Field::Version, Field::Contact].into()
}

impl VendorEntry {
    /// Returns where it is told: its addresses, or its form.
    pub fn place(&self) -> String {
        match self.channel {
            VendorChannel::Mail => self.mail.join(", "),
            VendorChannel::Form | VendorChannel::LoginForm => self.url.clone(),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        let id = &self.id;
        let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        ensure!(
            (1..=40).contains(&id.len()) && id.bytes().all(legal),
            "{id:?} is no id: use 1 to 40 of a-z, 0-9 and -"
        );
        for address in &self.mail {
            let halves = address.split_once('@');
            let fits = halves.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
            let plain = address
                .bytes()
                .all(|c| c.is_ascii_graphic() && !b"<>,;\"".contains(&c));
            ensure!(fits && plain, "{id}: {address:?} is no mail address");
        }
        ensure!(
            self.url.is_empty()
                || self.url.starts_with("https://")
                || self.url.starts_with("http://"),
            "{id}: {:?} is no URL",
            self.url
        );
        match self.channel {
            VendorChannel::Mail if self.mail.is_empty() => bail!("{id}: channel mail needs mail"),
            VendorChannel::Form | VendorChannel::LoginForm if self.url.is_empty() => {
                bail!("{id}: channel form needs url")
            }
            _ => {}
        }
        let archived = matches!(self.archive, ArchiveKind::Zip | ArchiveKind::SevenZip);
        ensure!(
            archived || self.password.is_empty(),
            "{id}: a password needs an archive"
        );
        ensure!(self.max_mb > 0, "{id}: max_mb must be at least 1");
        ensure!(!self.subject.trim().is_empty(), "{id}: subject is empty");
        ensure!(
            !self.subject.chars().any(char::is_control),
            "{id}: subject has control characters"
        );
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    #[serde(default)]
    vendor: Vec<VendorEntry>,
}

/// The directory.
#[derive(Clone, Debug, Default)]
pub struct VendorDirectory {
    entries: BTreeMap<String, VendorEntry>,
}

impl VendorDirectory {
    /// Reads what is shipped and the files that are there, later ones winning.
    ///
    /// # Errors
    /// Says which file and which entry is wrong.
    pub fn load(files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut directory = Self::default();
        directory.add(SHIPPED).context("in the shipped directory")?;
        for file in files {
            let shown = file.display();
            let length = match std::fs::metadata(file) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                metadata => metadata.map(|metadata| metadata.len()),
            };
            let length = length.with_context(|| format!("cannot read {shown}"))?;
            ensure!(length <= MAX_BYTES, "{shown} is too large for a directory");
            let text = std::fs::read_to_string(file);
            let text = text.with_context(|| format!("cannot read {shown}"))?;
            directory
                .add(&text)
                .with_context(|| format!("in the directory of vendors {shown}"))?;
        }
        directory.entries.retain(|_, entry| !entry.disabled);
        Ok(directory)
    }

    fn add(&mut self, text: &str) -> anyhow::Result<()> {
        let entries: Entries = toml::from_str(text)?;
        let mut seen = BTreeSet::new();
        for entry in entries.vendor {
            entry.check()?;
            ensure!(seen.insert(entry.id.clone()), "{} is there twice", entry.id);
            self.entries.insert(entry.id.clone(), entry);
        }
        Ok(())
    }

    /// Returns all entries, by id.
    pub fn entries(&self) -> impl Iterator<Item = &VendorEntry> {
        self.entries.values()
    }

    /// Finds an entry.
    pub fn get(&self, id: &str) -> Option<&VendorEntry> {
        self.entries.get(id)
    }

    /// Finds the entry that answers for an engine.
    pub fn of_engine(&self, engine: &EngineId) -> Option<&VendorEntry> {
        let mut entries = self.entries.values();
        entries.find(|entry| entry.engines.contains(engine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> anyhow::Result<VendorDirectory> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vendors.toml");
        std::fs::write(&file, text).unwrap();
        VendorDirectory::load(&[dir.path().join("none"), file])
    }

    #[test]
    fn shipped_directory_is_sound_and_no_engine_has_two_vendors() {
        let directory = VendorDirectory::load(&[]).unwrap();
        assert!(directory.entries().count() > 50);
        let mut engines = BTreeSet::new();
        for entry in directory.entries() {
            for engine in &entry.engines {
                assert!(engines.insert(engine), "{engine} is at {} again", entry.id);
            }
        }
    }

    #[test]
    fn file_of_the_operator_replaces_adds_and_removes() {
        let directory = load(
            "[[vendor]]\nid = \"avira\"\nname = \"A\"\nengines = [\"avira\"]\nchannel = \"mail\"\n\
             mail = [\"fp@example.org\"]\narchive = \"none\"\n\
             [[vendor]]\nid = \"clamav\"\nname = \"C\"\nchannel = \"form\"\n\
             url = \"https://example.org\"\narchive = \"plain\"\ndisabled = true\n",
        );
        let directory = directory.unwrap();
        let avira = directory.of_engine(&"avira".parse().unwrap()).unwrap();
        assert_eq!(
            (avira.place().as_str(), avira.archive),
            ("fp@example.org", ArchiveKind::None)
        );
        assert!(directory.get("clamav").is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let entry = |more: &str| format!("[[vendor]]\nid = \"a\"\nname = \"A\"\n{more}");
        let said = |more: &str| format!("{:#}", load(&entry(more)).unwrap_err());
        let key = said("channel = \"mail\"\narchive = \"zip\"\nmails = []\n");
        assert!(key.contains("mails"), "{key}");
        let none = said("channel = \"mail\"\narchive = \"zip\"\n");
        assert!(none.contains("needs mail"), "{none}");
        let header =
            said("channel = \"mail\"\nmail = [\"a@b.c\\nBcc: d@e.f\"]\narchive = \"zip\"\n");
        assert!(header.contains("no mail address"), "{header}");
    }
}
