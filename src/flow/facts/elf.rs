//! Programs and libraries for Linux: build id, SONAME, compiler.

use object::Endianness;
use object::elf::{DT_SONAME, FileHeader32, FileHeader64, NT_GNU_BUILD_ID, PT_NOTE};
use object::read::elf::{Dyn, FileHeader, NoteIterator, ProgramHeader, SectionHeader};
use object::read::{FileKind, ReadCache, ReadRef};

use super::attempt;
use super::input::{Input, Trouble, trouble};
use super::text::decoded;
use crate::model::FileFacts;

/// Most notes looked at.
const MOST_NOTES: usize = 1000;
/// Longest build id.
const ID_BYTES: usize = 64;
/// Most compilers named.
const MOST_COMPILERS: usize = 4;

/// Reads a program.
pub fn read(input: &Input<'_>, facts: &mut FileFacts) -> Result<(), Trouble> {
    facts.format = Some("elf".to_owned());
    let cache = ReadCache::new(input.cursor());
    match FileKind::parse(&cache)? {
        FileKind::Elf32 => parts::<FileHeader32<Endianness>, _>(&cache, facts),
        _ => parts::<FileHeader64<Endianness>, _>(&cache, facts),
    }
}

fn parts<'data, Elf, R>(data: R, facts: &mut FileFacts) -> Result<(), Trouble>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    attempt(facts, "build id", |facts| {
        let headers = header.program_headers(endian, data)?;
        for header in headers.iter().filter(|h| h.p_type(endian) == PT_NOTE) {
            if let Some(notes) = header.notes(endian, data)? {
                build_id(notes, endian, facts)?;
            }
        }
        Ok(())
    });
    attempt(facts, "sections", |facts| {
        let sections = header.sections(endian, data)?;
        if let Some((_, comment)) = sections.section_by_name(endian, b".comment") {
            compilers(comment.data(endian, data)?, facts);
        }
        if let Some((dynamic, link)) = sections.dynamic(endian, data)? {
            let strings = sections.strings(endian, data, link)?;
            let wanted = |entry: &&Elf::Dyn| entry.tag32(endian) == Some(DT_SONAME);
            if let Some(entry) = dynamic.iter().find(wanted) {
                let at = entry.val32(endian).unwrap_or(u32::MAX);
                let name = decoded(
                    strings
                        .get(at)
                        .map_err(|()| trouble("its name is missing"))?,
                );
                facts.original_name = Some(name.clone());
                facts.more.insert("SONAME".to_owned(), name);
            }
        }
        Ok(())
    });
    Ok(())
}

fn build_id<Elf>(
    mut notes: NoteIterator<'_, Elf>,
    endian: Endianness,
    facts: &mut FileFacts,
) -> Result<(), Trouble>
where
    Elf: FileHeader<Endian = Endianness>,
{
    for _ in 0..MOST_NOTES {
        let Some(note) = notes.next()? else {
            break;
        };
        if note.name() == b"GNU" && note.n_type(endian) == NT_GNU_BUILD_ID {
            let id = note.desc();
            let id = hex::encode(&id[..id.len().min(ID_BYTES)]);
            facts.more.insert("build-id".to_owned(), id);
        }
    }
    Ok(())
}

fn compilers(comment: &[u8], facts: &mut FileFacts) {
    let lines = comment.split(|byte| *byte == 0);
    let lines = lines.filter(|line| !line.is_empty()).map(decoded);
    let mut lines: Vec<String> = lines.take(MOST_COMPILERS).collect();
    lines.dedup();
    if !lines.is_empty() {
        facts.more.insert("compiler".to_owned(), lines.join(", "));
    }
}
