//! Packages of Red Hat and SUSE: the header, its digests, who signed it.

use sha2::{Digest as _, Sha256};

use super::attempt;
use super::input::{Input, Trouble, trouble};
use super::pgp;
use super::text::decoded;
use crate::model::{FileFacts, Signer, Verification};

/// Length of the old head that everything skips.
const LEAD_BYTES: u64 = 96;
/// What a header begins with.
const MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
/// Most entries of a header.
const MOST_ENTRIES: u64 = 1 << 16;
/// Longest header.
const MOST_BYTES: u64 = 32 << 20;

// Tags of the package's own header.
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const SUMMARY: u32 = 1004;
const VENDOR: u32 = 1011;
const PACKAGER: u32 = 1015;
const URL: u32 = 1020;
const ARCH: u32 = 1022;
const SOURCE: u32 = 1044;
const PAYLOAD_SHA256: u32 = 5092;
// Tags of the header of signatures.
const SIGNATURES: [u32; 4] = [268, 267, 1002, 1005];
const HEADER_SHA256: u32 = 273;

/// A header: entries, and the store they point into.
struct Header {
    bytes: Vec<u8>,
    entries: usize,
}

impl Header {
    fn read(input: &Input<'_>, at: u64) -> Result<Self, Trouble> {
        let head = input.bytes(at, 16)?;
        let number = |at: usize| u64::from(word(&head, at).unwrap_or_default());
        let (entries, store) = (number(8), number(12));
        if head[..4] != MAGIC || entries > MOST_ENTRIES || store > MOST_BYTES {
            return Err(trouble("it is not built as one"));
        }
        Ok(Self {
            bytes: input.bytes(at, 16 + entries * 16 + store)?,
            entries: usize::try_from(entries)?,
        })
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Returns how many things a tag has, and the store from the first on.
    fn find(&self, tag: u32) -> Option<(usize, &[u8])> {
        let mut entries = self.bytes[16..].chunks_exact(16).take(self.entries);
        let entry = entries.find(|entry| word(entry, 0) == Some(tag))?;
        let at = usize::try_from(word(entry, 8)?).ok()?;
        let count = usize::try_from(word(entry, 12)?).ok()?;
        let store = &self.bytes[16 + self.entries * 16..];
        Some((count, store.get(at..)?))
    }

    fn text(&self, tag: u32) -> Option<String> {
        let (_, bytes) = self.find(tag)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Some(decoded(&bytes[..end]))
    }

    fn binary(&self, tag: u32) -> Option<&[u8]> {
        let (count, bytes) = self.find(tag)?;
        bytes.get(..count)
    }
}

/// Reads a package.
pub fn read(input: &Input<'_>, facts: &mut FileFacts) -> Result<(), Trouble> {
    facts.format = Some("rpm".to_owned());
    let signatures = Header::read(input, LEAD_BYTES)?;
    let at = (LEAD_BYTES + signatures.len()).next_multiple_of(8);
    let header = Header::read(input, at)?;
    facts.product = header.text(NAME);
    let parts = [header.text(VERSION), header.text(RELEASE)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    facts.version = (!parts.is_empty()).then(|| parts.join("-"));
    facts.company = header.text(VENDOR).or_else(|| header.text(PACKAGER));
    facts.description = header.text(SUMMARY);
    facts.homepage = header.text(URL);
    for (tag, name) in [(ARCH, "Architecture"), (SOURCE, "Source")] {
        if let Some(value) = header.text(tag) {
            facts.more.insert(name.to_owned(), value);
        }
    }
    attempt(facts, "signature", |facts| {
        let mut found = SIGNATURES.iter();
        let Some(packet) = found.find_map(|tag| signatures.binary(*tag)) else {
            return Ok(());
        };
        let key = pgp::signer(packet)?;
        let whole = (&signatures, &header, at + header.len());
        let verification = verification(input, whole, &key)?;
        facts.signer = Some(signer(key, verification));
        Ok(())
    });
    Ok(())
}

fn signer(key: pgp::Key, verification: Verification) -> Signer {
    Signer {
        subject: format!("OpenPGP key {}", key.id),
        issuer: String::new(),
        serial: key.id,
        thumbprint: key.fingerprint.unwrap_or_default(),
        digest: key.digest.to_owned(),
        signed_at: None,
        verification,
    }
}

/// Holds the package against its own digests: more cannot be said without the signer's key.
fn verification(
    input: &Input<'_>,
    (signatures, header, payload_at): (&Header, &Header, u64),
    key: &pgp::Key,
) -> Result<Verification, Trouble> {
    let broken = |reason: &str| Verification::Broken {
        reason: reason.to_owned(),
    };
    let stated = signatures.text(HEADER_SHA256);
    if stated.is_some_and(|stated| stated != hex::encode(Sha256::digest(&header.bytes))) {
        return Ok(broken("the header is not the one that was signed"));
    }
    let mut hasher = Sha256::new();
    if let Some(stated) = header.text(PAYLOAD_SHA256).filter(|text| text.len() == 64) {
        input.feed(payload_at..input.len(), |bytes| hasher.update(bytes))?;
        if stated != hex::encode(hasher.finalize()) {
            return Ok(broken("the content is not the one that was signed"));
        }
    }
    let id = &key.id;
    Ok(Verification::Unchecked {
        reason: format!(
            "the key {id} is not known here; the package's own digests were checked only"
        ),
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}
