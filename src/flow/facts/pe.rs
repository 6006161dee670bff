//! Programs for Windows: version information, Authenticode.

mod version;

use object::LittleEndian as LE;
use object::pe;
use object::read::ReadCache;
use object::read::pe::{DataDirectories, ImageNtHeaders, SectionTable};

use super::input::{Cursor, Input, Trouble, trouble};
use super::signature::{self, Hash};
use super::{Judge, attempt};
use crate::model::{FileFacts, Verification};

/// Longest signature read.
const SIGNATURE_BYTES: u64 = 16 << 20;
/// Bytes before a signature in its table: length, revision, kind.
const ENTRY_HEAD: u64 = 8;

/// Where things are.
struct Headers<'a> {
    directories: DataDirectories<'a>,
    sections: SectionTable<'a>,
    /// Place of the check sum, which signing changes.
    checksum_at: u64,
    /// Place of the directory entry that names the signature, which signing writes.
    entry_at: u64,
}

/// Reads a program; one for DOS says nothing.
pub fn read(input: &Input<'_>, judge: Judge<'_>, facts: &mut FileFacts) -> Result<(), Trouble> {
    let cache = ReadCache::new(input.cursor());
    let dos = pe::ImageDosHeader::parse(&cache)?;
    let at = u64::from(dos.nt_headers_offset());
    if at + 4 > input.len() || input.bytes(at, 4)? != *b"PE\0\0" {
        return Ok(());
    }
    facts.format = Some("pe".to_owned());
    let headers = match object::read::pe::optional_header_magic(&cache)? {
        pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC => headers::<pe::ImageNtHeaders32>(&cache, at)?,
        pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC => headers::<pe::ImageNtHeaders64>(&cache, at)?,
        _ => return Err(trouble("it is for another kind of machine")),
    };
    attempt(facts, "version information", |facts| {
        version::read((input, &cache), &headers, facts)
    });
    attempt(facts, "signature", |facts| {
        signed(input, &headers, judge, facts)
    });
    Ok(())
}

fn headers<'a, Pe: ImageNtHeaders>(
    cache: &'a ReadCache<Cursor<'a>>,
    at: u64,
) -> Result<Headers<'a>, Trouble> {
    let mut offset = at;
    let (nt, directories) = Pe::parse(cache, &mut offset)?;
    let sections = nt.sections(cache, offset)?;
    let optional_at = at + 24;
    // The directories follow the optional header, whose length depends on its kind.
    let directories_at = optional_at + size_of::<Pe::ImageOptionalHeader>() as u64;
    Ok(Headers {
        directories,
        sections,
        checksum_at: optional_at + 64,
        entry_at: directories_at + 8 * pe::IMAGE_DIRECTORY_ENTRY_SECURITY as u64,
    })
}

fn signed(
    input: &Input<'_>,
    headers: &Headers<'_>,
    judge: Judge<'_>,
    facts: &mut FileFacts,
) -> Result<(), Trouble> {
    let entry = headers.directories.get(pe::IMAGE_DIRECTORY_ENTRY_SECURITY);
    let Some((at, size)) = entry.map(|entry| {
        let (at, size) = (entry.virtual_address.get(LE), entry.size.get(LE));
        (u64::from(at), u64::from(size))
    }) else {
        return Ok(());
    };
    if at == 0 || size == 0 {
        return Ok(());
    }
    if !(ENTRY_HEAD..=SIGNATURE_BYTES).contains(&size) || at < headers.entry_at + 8 {
        return Err(trouble("it is not where it could be"));
    }
    let table = input.bytes(at, size)?;
    let kind = u16::from_le_bytes([table[6], table[7]]);
    if kind != 2 {
        return Err(trouble("it is of a kind not read here"));
    }
    let digest = |hash: Hash| {
        let mut hasher = hash.begin();
        for range in [
            0..headers.checksum_at,
            headers.checksum_at + 4..headers.entry_at,
            headers.entry_at + 8..at,
        ] {
            input.feed(range, |bytes| hasher.update(bytes))?;
        }
        Ok(hasher.end())
    };
    let mut signer = signature::read(&table[8..], judge, digest)?;
    let after = input.len() - at - size;
    let fits = !matches!(signer.verification, Verification::Broken { .. });
    if after > 0 && fits {
        signer.verification = Verification::Broken {
            reason: format!("{after} bytes after the signature are not signed"),
        };
    }
    facts.signer = Some(signer);
    Ok(())
}
