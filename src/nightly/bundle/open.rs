//! Takes a bundle: first everything is verified, only then unpacked.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Cursor, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::{PublicKey, SignatureBox};
use sha2::Digest;
use tar::{Archive, EntryType};

use super::index::Index;
use super::{BundleError, FileEntry, io_failed};
use crate::model::{EngineId, SignatureSetId};

/// Largest `bundle.json`.
const INDEX_BYTES: u64 = 32 << 20;
/// Largest signature.
const SIGNATURE_BYTES: u64 = 4 << 10;
/// Longest name of an entry.
const NAME_BYTES: u64 = 4 << 10;
/// What is read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// On what terms a bundle is taken.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Public keys of appliances whose bundles are taken.
    pub trusted: &'a [String],
    /// The appliance's own public key.
    pub own: &'a str,
    /// Engines that are here.
    pub engines: &'a BTreeSet<EngineId>,
    /// Most bytes it may unpack to.
    pub max_bytes: u64,
}

/// A bundle in which everything was found right.
#[derive(Debug)]
pub struct Verified {
    file: File,
    /// What is in it.
    pub index: Index,
    /// The trusted key that signed it.
    pub key: String,
}

/// One engine's set, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whose.
    pub engine: EngineId,
    /// The set's name.
    pub set: SignatureSetId,
    /// The directory with its files.
    pub work: PathBuf,
}

/// Verifies a bundle, and unpacks nothing. Blocks.
///
/// # Errors
/// Says what is wrong, and what would be right.
pub fn verify(mut file: File, terms: Terms<'_>) -> Result<Verified, BundleError> {
    let mut reading = Reading {
        terms,
        list: Vec::new(),
        found: None,
    };
    each(&mut file, |number, entry| reading.take(number, entry))?;
    let Some(found) = reading.found else {
        return Err(malformed("it ends before its signature"));
    };
    if let Some(missing) = found.expected.as_slice().first() {
        return Err(altered(&missing.name, "is missing"));
    }
    Ok(Verified {
        file,
        index: found.index,
        key: found.key,
    })
}

/// One entry as it comes.
struct Entry<'a> {
    name: String,
    size: u64,
    bytes: &'a mut dyn Read,
}

/// What must come next.
#[derive(Debug)]
struct Expected {
    name: String,
    file: FileEntry,
}

/// A bundle half-way verified.
struct Reading<'a> {
    terms: Terms<'a>,
    list: Vec<u8>,
    found: Option<Found>,
}

/// What the signed list says.
struct Found {
    index: Index,
    key: String,
    expected: std::vec::IntoIter<Expected>,
}

impl Reading<'_> {
    fn take(&mut self, number: usize, entry: Entry<'_>) -> Result<(), BundleError> {
        match (number, &mut self.found) {
            (0, _) => {
                self.list = whole(entry, ("bundle.json", INDEX_BYTES))?;
                Ok(())
            }
            (1, _) => {
                let signature = whole(entry, ("bundle.json.minisig", SIGNATURE_BYTES))?;
                self.found = Some(self.believe(&signature)?);
                Ok(())
            }
            (_, Some(found)) => {
                let expected = found.expected.next();
                let expected = expected.ok_or_else(|| altered(&entry.name, "is too much"))?;
                copy(entry, &expected, &mut io::sink())
            }
            (_, None) => Err(malformed("it has no signature")),
        }
    }

    /// Believes the list, if a trusted key signed it and it may say what it says.
    fn believe(&self, signature: &[u8]) -> Result<Found, BundleError> {
        let key = signer(&self.list, signature, self.terms)?;
        let index = Index::parse(&self.list)?;
        let ids = index.engines.iter().map(|member| &member.id);
        let unknown = ids.filter(|id| !self.terms.engines.contains(id)).cloned();
        let unknown: Vec<_> = unknown.collect();
        if !unknown.is_empty() {
            return Err(BundleError::UnknownEngines(unknown));
        }
        let (bytes, most) = (index.bytes(), self.terms.max_bytes);
        if bytes > most {
            return Err(BundleError::TooLarge { bytes, most });
        }
        let expected = expected(&index).into_iter();
        Ok(Found {
            index,
            key,
            expected,
        })
    }
}

/// Returns all entries after the signature, in order.
fn expected(index: &Index) -> Vec<Expected> {
    let mut expected = Vec::new();
    for member in &index.engines {
        let manifest = (format!("manifests/{}.toml", member.id), &member.manifest);
        let name = |file: &FileEntry| format!("sets/{}/{}", member.id, file.path);
        let files = member.files.iter().map(|file| (name(file), file));
        let all = std::iter::once(manifest).chain(files);
        expected.extend(all.map(|(name, file)| Expected {
            name,
            file: file.clone(),
        }));
    }
    expected
}

/// Returns the trusted key that signed a list.
fn signer(list: &[u8], signature: &[u8], terms: Terms<'_>) -> Result<String, BundleError> {
    let text = std::str::from_utf8(signature).map_err(|_| BundleError::Forged)?;
    if !is_whole(text) {
        return Err(BundleError::Forged);
    }
    let signature = SignatureBox::from_string(text).map_err(|_| BundleError::Forged)?;
    let signed_by = |key: &PublicKey| {
        minisign::verify(key, &signature, Cursor::new(list), true, false, false).is_ok()
    };
    let own = terms.own.to_owned();
    for text in terms.trusted.iter().chain([&own]) {
        let key = PublicKey::from_base64(text.trim());
        let key = key.map_err(|error| {
            BundleError::Key(format!("updates.trusted_keys: {text:?} is no key: {error}"))
        })?;
        if signed_by(&key) {
            return Ok(key.to_base64());
        }
    }
    // Nobody here trusts it; whether it is at least its own word decides what can be done.
    let named = serde_json::from_slice::<Named>(list).ok();
    let named = named.and_then(|named| PublicKey::from_base64(&named.key).ok());
    Err(match named.filter(|key| signed_by(key)) {
        Some(key) => BundleError::Untrusted {
            key: key.to_base64(),
        },
        None => BundleError::Forged,
    })
}

/// Tells whether the signature of the comment has its 64 bytes: the library panics if not.
fn is_whole(signature: &str) -> bool {
    let global = signature.lines().nth(3);
    let global = global.and_then(|line| STANDARD.decode(line.trim()).ok());
    global.is_some_and(|bytes| bytes.len() == 64)
}

/// The one thing read of a list nobody here has signed.
#[derive(serde::Deserialize)]
struct Named {
    key: String,
}

impl Verified {
    /// Unpacks each set into `updates/<engine>/import-<hex>` of the data directory. Blocks.
    ///
    /// # Errors
    /// If the file system fails; nothing is left then.
    pub fn unpack(mut self, data_dir: &Path) -> Result<Vec<Candidate>, BundleError> {
        let mut made = Vec::new();
        let unpacked = self.unpack_into(data_dir, &mut made);
        if unpacked.is_err() {
            for candidate in &made {
                // What is left of it is swept with the engine's other work.
                let _ = fs::remove_dir_all(&candidate.work);
            }
        }
        unpacked.map(|()| made)
    }

    fn unpack_into(
        &mut self,
        data_dir: &Path,
        made: &mut Vec<Candidate>,
    ) -> Result<(), BundleError> {
        for member in &self.index.engines {
            let work = work_dir(data_dir, &member.id);
            let work = work.map_err(io_failed(format!("cannot unpack for {}", member.id)))?;
            made.push(Candidate {
                engine: member.id.clone(),
                set: member.set.clone(),
                work,
            });
        }
        let mut expected = expected(&self.index).into_iter();
        each(&mut self.file, |number, entry| {
            if number < 2 {
                return Ok(());
            }
            let next = expected.next();
            let next = next.ok_or_else(|| altered(&entry.name, "is too much"))?;
            match next
                .name
                .strip_prefix("sets/")
                .and_then(|n| n.split_once('/'))
            {
                None => copy(entry, &next, &mut io::sink()),
                Some((engine, path)) => {
                    let of = made.iter().find(|made| made.engine.as_str() == engine);
                    let of = of.ok_or_else(|| altered(&next.name, "is of no engine"))?;
                    place(entry, &next, &of.work.join(path))
                }
            }
        })?;
        match expected.next() {
            Some(missing) => Err(altered(&missing.name, "is missing")),
            None => Ok(()),
        }
    }
}

/// Makes an empty directory nobody else has the name of.
fn work_dir(data_dir: &Path, engine: &EngineId) -> io::Result<PathBuf> {
    let parent = data_dir.join("updates").join(engine.as_str());
    fs::create_dir_all(&parent)?;
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).map_err(|error| io::Error::other(error.to_string()))?;
    let work = parent.join(format!("import-{}", hex::encode(bits)));
    fs::create_dir(&work)?;
    fs::set_permissions(&work, Permissions::from_mode(0o755))?;
    Ok(work)
}

/// Writes one file of a set, readable by all: the engine's own user must read it.
fn place(entry: Entry<'_>, expected: &Expected, path: &Path) -> Result<(), BundleError> {
    let failed = || io_failed(format!("cannot unpack {}", expected.name));
    let mut dirs = Vec::new();
    let mut parent = path.parent();
    while let Some(dir) = parent.filter(|dir| !dir.exists()) {
        dirs.push(dir);
        parent = dir.parent();
    }
    for dir in dirs.iter().rev() {
        fs::create_dir(dir).map_err(failed())?;
        fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(failed())?;
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).open(path);
    let mut file = file.map_err(failed())?;
    copy(entry, expected, &mut file)?;
    file.set_permissions(Permissions::from_mode(0o444))
        .map_err(failed())
}

/// Copies an entry that must be exactly what is expected.
fn copy(entry: Entry<'_>, expected: &Expected, out: &mut dyn Write) -> Result<(), BundleError> {
    let Expected { name, file } = expected;
    if entry.name != *name {
        return Err(altered(
            &entry.name,
            &format!("stands where {name} must be"),
        ));
    }
    if entry.size != file.size {
        return Err(altered(name, "has another size than listed"));
    }
    let (mut digest, mut buffer, mut left) = (sha2::Sha256::new(), vec![0; CHUNK_BYTES], file.size);
    while left > 0 {
        let count = entry.bytes.read(&mut buffer).map_err(cut)?;
        if count == 0 {
            return Err(altered(name, "is cut off"));
        }
        digest.update(&buffer[..count]);
        let written = out.write_all(&buffer[..count]);
        written.map_err(io_failed(format!("cannot unpack {name}")))?;
        left = left.saturating_sub(count as u64);
    }
    if digest.finalize().as_slice() != file.sha256.as_bytes() {
        return Err(altered(name, "is not what was signed"));
    }
    Ok(())
}

/// Reads an entry as a whole, if it is the one that must be here and of a bearable size.
fn whole(entry: Entry<'_>, (name, most): (&str, u64)) -> Result<Vec<u8>, BundleError> {
    if entry.name != name {
        let seen = entry.name;
        return Err(malformed(&format!("{seen:?} stands where {name} must be")));
    }
    if entry.size > most {
        return Err(malformed(&format!("{name} is too large")));
    }
    let mut bytes = Vec::new();
    entry
        .bytes
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(cut)?;
    Ok(bytes)
}

/// Goes through all entries of a tar; regular files only, and nothing behind its end.
fn each(
    file: &mut File,
    mut take: impl FnMut(usize, Entry<'_>) -> Result<(), BundleError>,
) -> Result<(), BundleError> {
    file.rewind().map_err(cut)?;
    let mut archive = Archive::new(io::BufReader::with_capacity(CHUNK_BYTES, &mut *file));
    let (mut number, mut long) = (0, None::<String>);
    // Raw: the library would read names and sizes of any length from extensions.
    for entry in archive.entries().map_err(cut)?.raw(true) {
        let mut entry = entry.map_err(cut)?;
        let size = entry.header().entry_size().map_err(cut)?;
        match entry.header().entry_type() {
            EntryType::GNULongName if long.is_none() && size <= NAME_BYTES => {
                long = Some(long_name(&mut entry)?);
                continue;
            }
            EntryType::Regular => {}
            _ => return Err(malformed("it has something that is no regular file")),
        }
        let name = match long.take() {
            Some(name) => name,
            None => text(entry.header().path_bytes().into_owned())?,
        };
        let bytes = &mut entry;
        take(number, Entry { name, size, bytes })?;
        number += 1;
    }
    ends(&mut archive.into_inner(), long)
}

fn long_name(entry: &mut impl Read) -> Result<String, BundleError> {
    let mut name = Vec::new();
    entry.take(NAME_BYTES).read_to_end(&mut name).map_err(cut)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    text(name)
}

fn text(name: Vec<u8>) -> Result<String, BundleError> {
    String::from_utf8(name).map_err(|_| malformed("a name in it is no text"))
}

/// Checks that nothing but zeros is behind the end.
fn ends(rest: &mut impl Read, long: Option<String>) -> Result<(), BundleError> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = rest.read(&mut buffer).map_err(cut)?;
        if count == 0 && long.is_none() {
            return Ok(());
        }
        if count == 0 || buffer[..count].iter().any(|byte| *byte != 0) {
            return Err(malformed("there is something behind its end"));
        }
    }
}

fn altered(name: &str, what: &str) -> BundleError {
    BundleError::Altered {
        name: format!("{name:?}"),
        what: what.to_owned(),
    }
}

fn malformed(what: &str) -> BundleError {
    BundleError::Malformed(what.to_owned())
}

/// A tar that cannot be read is a damaged bundle, whatever the cause.
fn cut(error: io::Error) -> BundleError {
    BundleError::Malformed(error.to_string())
}
