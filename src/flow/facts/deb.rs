//! Packages of Debian: the control file.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use super::input::{Input, Trouble, read_some, trouble};
use super::text::decoded;
use crate::model::FileFacts;

/// Length of a member's head.
const HEAD_BYTES: u64 = 60;
/// Members looked at for the control archive, which is the second.
const MEMBERS: usize = 4;
/// Longest control archive, as it is and unpacked.
const MOST_BYTES: u64 = 16 << 20;
/// Longest control file.
const CONTROL_BYTES: u64 = 1 << 20;
/// Files of the control archive that are looked at.
const MOST_FILES: usize = 1000;

/// Reads a package.
pub fn read(input: &Input<'_>, facts: &mut FileFacts) -> Result<(), Trouble> {
    facts.format = Some("deb".to_owned());
    let (kind, archive) = control_archive(input)?;
    let archive = unpacked(&kind, &archive)?;
    let fields = fields(&control(&archive)?);
    let of = |name: &str| fields.get(name).cloned();
    facts.product = of("Package");
    facts.version = of("Version");
    facts.company = of("Maintainer");
    facts.homepage = of("Homepage");
    facts.description = of("Description");
    for name in ["Architecture", "Section", "Source"] {
        if let Some(value) = of(name) {
            facts.more.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

/// Finds the control archive; returns how it is packed, and its bytes.
fn control_archive(input: &Input<'_>) -> Result<(String, Vec<u8>), Trouble> {
    let mut at = 8;
    for _ in 0..MEMBERS {
        let head = input.bytes(at, HEAD_BYTES)?;
        let text = |from: usize, to: usize| decoded(&head[from..to]).trim().to_owned();
        let len: u64 = text(48, 58).parse()?;
        let name = text(0, 16);
        let name = name.strip_suffix('/').unwrap_or(&name);
        if let Some(kind) = name.strip_prefix("control.tar") {
            if len > MOST_BYTES {
                return Err(trouble("the control archive is too long"));
            }
            return Ok((kind.to_owned(), input.bytes(at + HEAD_BYTES, len)?));
        }
        at = at
            .checked_add(HEAD_BYTES + len)
            .and_then(|end| end.checked_next_multiple_of(2))
            .ok_or_else(|| trouble("a part of it is too long"))?;
    }
    Err(trouble("there is no control archive"))
}

fn unpacked(kind: &str, archive: &[u8]) -> Result<Vec<u8>, Trouble> {
    let reader: Box<dyn Read + '_> = match kind {
        "" => Box::new(archive),
        ".gz" => Box::new(flate2::read::GzDecoder::new(archive)),
        ".xz" => Box::new(lzma_rust2::XzReader::new(archive, true)),
        ".zst" => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(archive);
            Box::new(decoder.map_err(|error| trouble(error.to_string()))?)
        }
        other => return Err(trouble(format!("it is packed as {other}"))),
    };
    read_some(reader, MOST_BYTES)
}

fn control(archive: &[u8]) -> Result<Vec<u8>, Trouble> {
    let mut archive = tar::Archive::new(Cursor::new(archive));
    for entry in archive.entries()?.take(MOST_FILES) {
        let entry = entry?;
        let path = entry.path_bytes();
        if path.strip_prefix(b"./").unwrap_or(&path) == b"control" {
            return read_some(entry, CONTROL_BYTES);
        }
    }
    Err(trouble("there is no control file"))
}

/// Reads fields, the first line of each.
fn fields(control: &[u8]) -> BTreeMap<String, String> {
    let control = decoded(control);
    let lines = control
        .lines()
        .filter(|line| !line.starts_with([' ', '\t']));
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    pairs.collect()
}
