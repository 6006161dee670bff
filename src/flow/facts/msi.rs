//! Installers for Windows: the table of properties, Authenticode.

mod strings;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cfb::{CompoundFile, Entry};

use super::input::{Cursor, Input, Trouble, read_some, trouble};
use super::signature::{self, Hash, Hasher};
use super::{Judge, attempt};
use crate::model::FileFacts;

type Compound<'a> = CompoundFile<Cursor<'a>>;

/// Where the signature is.
const SIGNATURE: &str = "\u{5}DigitalSignature";
/// Where the digest of names and times is, if those are signed too.
const EXTENDED: &str = "\u{5}MsiDigitalSignatureEx";
/// Longest table read.
const TABLE_BYTES: u64 = 16 << 20;
/// Deepest nesting of storages.
const MOST_DEPTH: usize = 8;
/// Most entries of a file.
const MOST_ENTRIES: usize = 1 << 16;
/// From the beginning of Windows' time to that of ours.
const EPOCH: Duration = Duration::from_secs(11_644_473_600);

/// Reads an installer; another compound file, as an old document, says nothing.
pub fn read(input: &Input<'_>, judge: Judge<'_>, facts: &mut FileFacts) -> Result<(), Trouble> {
    let mut file = CompoundFile::open(input.cursor())?;
    if !file.is_stream(root(&strings::stream_of("_StringPool"))) {
        return Ok(());
    }
    facts.format = Some("msi".to_owned());
    attempt(facts, "table of properties", |facts| {
        properties(&mut file, facts)
    });
    attempt(facts, "signature", |facts| signed(&mut file, judge, facts));
    Ok(())
}

fn root(name: &str) -> PathBuf {
    Path::new("/").join(name)
}

fn stream(file: &mut Compound<'_>, path: &Path, most: u64) -> Result<Vec<u8>, Trouble> {
    let stream = file.open_stream(path)?;
    if stream.len() > most {
        return Err(trouble("a part of it is too long"));
    }
    read_some(stream, most)
}

fn properties(file: &mut Compound<'_>, facts: &mut FileFacts) -> Result<(), Trouble> {
    let mut table = |name: &str| stream(file, &root(&strings::stream_of(name)), TABLE_BYTES);
    let (pool, data, rows) = (
        table("_StringPool")?,
        table("_StringData")?,
        table("Property")?,
    );
    let mut found = strings::pairs(&pool, &data, &rows)?;
    let mut of = |name: &str| found.remove(name);
    facts.product = of("ProductName");
    facts.version = of("ProductVersion");
    facts.company = of("Manufacturer");
    facts.homepage = of("ARPURLINFOABOUT");
    facts.description = of("ARPCOMMENTS");
    for name in ["ProductCode", "UpgradeCode", "ProductLanguage"] {
        if let Some(value) = of(name) {
            facts.more.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

fn signed(file: &mut Compound<'_>, judge: Judge<'_>, facts: &mut FileFacts) -> Result<(), Trouble> {
    if !file.is_stream(root(SIGNATURE)) {
        return Ok(());
    }
    let pkcs7 = stream(file, &root(SIGNATURE), TABLE_BYTES)?;
    let signer = signature::read(&pkcs7, judge, |hash| digest(file, hash))?;
    facts.signer = Some(signer);
    Ok(())
}

/// What is in a file, in the order in which it is signed.
struct Tree {
    entry: Entry,
    inner: Vec<Tree>,
}

fn digest(file: &mut Compound<'_>, hash: Hash) -> Result<Vec<u8>, Trouble> {
    let mut left = MOST_ENTRIES;
    let tree = tree(file, file.root_entry(), MOST_DEPTH, &mut left)?;
    let mut hasher = hash.begin();
    if file.is_stream(root(EXTENDED)) {
        let stated = stream(file, &root(EXTENDED), 64)?;
        let mut names = hash.begin();
        metadata(&tree, &mut names);
        if names.end() != stated {
            // No file has this digest: names or times were changed.
            return Ok(Vec::new());
        }
        hasher.update(&stated);
    }
    contents(file, &tree, &mut hasher)?;
    Ok(hasher.end())
}

fn tree(
    file: &Compound<'_>,
    entry: Entry,
    depth: usize,
    left: &mut usize,
) -> Result<Tree, Trouble> {
    let mut inner = Vec::new();
    if !entry.is_stream() {
        for child in file.read_storage(entry.path())? {
            let ours = [SIGNATURE, EXTENDED].contains(&child.name());
            if entry.is_root() && ours {
                continue;
            }
            *left = left
                .checked_sub(1)
                .ok_or_else(|| trouble("it has too many parts"))?;
            let deeper = depth.checked_sub(1);
            let deeper = deeper.ok_or_else(|| trouble("it is nested too deeply"))?;
            inner.push(tree(file, child, deeper, left)?);
        }
    }
    inner.sort_by_cached_key(|tree| raw_name(&tree.entry));
    Ok(Tree { entry, inner })
}

fn contents(file: &mut Compound<'_>, tree: &Tree, hasher: &mut Hasher) -> Result<(), Trouble> {
    if tree.entry.is_stream() {
        let mut stream = file.open_stream(tree.entry.path())?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let read = std::io::Read::read(&mut stream, &mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            hasher.update(&chunk[..read]);
        }
    }
    for child in &tree.inner {
        contents(file, child, hasher)?;
    }
    hasher.update(&tree.entry.clsid().to_bytes_le());
    Ok(())
}

/// Takes in names, lengths and times, which the signature of an installer may cover too.
fn metadata(tree: &Tree, hasher: &mut Hasher) {
    let entry = &tree.entry;
    if !entry.is_root() {
        hasher.update(&raw_name(entry));
    }
    if entry.is_stream() {
        hasher.update(&entry.len().to_le_bytes()[..4]);
    } else {
        hasher.update(&entry.clsid().to_bytes_le());
    }
    hasher.update(&entry.state_bits().to_le_bytes());
    if !entry.is_root() {
        hasher.update(&raw_time(entry.created()));
        hasher.update(&raw_time(entry.modified()));
    }
    for child in &tree.inner {
        metadata(child, hasher);
    }
}

fn raw_name(entry: &Entry) -> Vec<u8> {
    let units = entry.name().encode_utf16();
    units.flat_map(u16::to_le_bytes).collect()
}

/// Returns a time as the file has it: tenths of microseconds since 1601.
fn raw_time(time: SystemTime) -> [u8; 8] {
    let since = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since + EPOCH,
        Err(before) => EPOCH.saturating_sub(before.duration()),
    };
    u64::try_from(since.as_nanos() / 100)
        .unwrap_or(u64::MAX)
        .to_le_bytes()
}
