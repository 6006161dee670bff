//! Version information: a tree of names and texts in a program's resources.

use object::LittleEndian as LE;
use object::pe;
use object::read::ReadCache;
use object::read::pe::ResourceDirectoryTable;

use super::Headers;
use crate::flow::facts::input::{Cursor, Input, Trouble, trouble};
use crate::flow::facts::text::{clean, utf16};
use crate::model::FileFacts;

/// Longest version information read.
const MOST_BYTES: u64 = 1 << 20;
/// Most values read of it.
const MOST_VALUES: usize = 1000;
/// What the fixed part begins with.
const FIXED_MAGIC: [u8; 4] = [0xbd, 0x04, 0xef, 0xfe];

/// Reads version information, if there is any.
pub fn read(
    (input, cache): (&Input<'_>, &ReadCache<Cursor<'_>>),
    headers: &Headers<'_>,
    facts: &mut FileFacts,
) -> Result<(), Trouble> {
    let resources = headers.directories.get(pe::IMAGE_DIRECTORY_ENTRY_RESOURCE);
    if resources.is_none_or(|entry| entry.virtual_address.get(LE) == 0) {
        return Ok(());
    }
    let resources = headers
        .directories
        .resource_directory(cache, &headers.sections)?;
    let Some(resources) = resources else {
        return Ok(());
    };
    let Some(kind) = entry(&resources.root()?, Some(pe::RT_VERSION)) else {
        return Ok(());
    };
    let table = |entry: &pe::ImageResourceDirectoryEntry| {
        let table = entry.data(resources)?.table();
        table.ok_or_else(|| trouble("it is not where it could be"))
    };
    let first = |table: ResourceDirectoryTable<'_>| {
        entry(&table, None)
            .copied()
            .ok_or_else(|| trouble("it is empty"))
    };
    let name = first(table(kind)?)?;
    let language = first(table(&name)?)?;
    let data = language.data(resources)?.data();
    let data = data.ok_or_else(|| trouble("it is not where it could be"))?;
    let (at, size) = (data.offset_to_data.get(LE), data.size.get(LE));
    let place = headers.sections.pe_file_range_at(at);
    let (at, room) = place.ok_or_else(|| trouble("it is not in the file"))?;
    let len = u64::from(size.min(room));
    if len > MOST_BYTES {
        return Err(trouble("it is too long"));
    }
    take(&input.bytes(at.into(), len)?, facts);
    Ok(())
}

/// Returns the entry of that number, or the first.
fn entry<'a>(
    table: &ResourceDirectoryTable<'a>,
    id: Option<u16>,
) -> Option<&'a pe::ImageResourceDirectoryEntry> {
    let mut entries = table.entries.iter();
    entries.find(|entry| id.is_none_or(|id| entry.name_or_id().id() == Some(id)))
}

/// A value with a name, and what is in it.
struct Node<'a> {
    name: String,
    value: &'a [u8],
    inner: &'a [u8],
}

fn take(bytes: &[u8], facts: &mut FileFacts) {
    let Some(root) = nodes(bytes).into_iter().next() else {
        return;
    };
    for table in nodes(root.inner)
        .iter()
        .filter(|node| node.name == "StringFileInfo")
        .flat_map(|node| nodes(node.inner))
    {
        for text in nodes(table.inner) {
            named(&text.name, clean(&utf16(text.value)), facts);
        }
    }
    let files = facts.more.get("FileVersion").cloned();
    let version = facts.version.take();
    facts.version = version.or(files).or_else(|| fixed(root.value));
}

/// Keeps a text; the first language that has it wins.
fn named(name: &str, text: Option<String>, facts: &mut FileFacts) {
    let field = match name {
        "CompanyName" => &mut facts.company,
        "ProductName" => &mut facts.product,
        "ProductVersion" => &mut facts.version,
        "FileDescription" => &mut facts.description,
        "OriginalFilename" => &mut facts.original_name,
        "FileVersion" | "LegalCopyright" | "InternalName" | "Comments" => {
            if let Some(text) = text {
                facts.more.entry(name.to_owned()).or_insert(text);
            }
            return;
        }
        _ => return,
    };
    if field.is_none() {
        *field = text;
    }
}

/// Reads the version that is there in numbers.
fn fixed(value: &[u8]) -> Option<String> {
    let value = value.strip_prefix(&FIXED_MAGIC)?;
    let at = |at: usize| {
        let bytes = value.get(at..at + 2)?;
        Some(u16::from_le_bytes([bytes[0], bytes[1]]))
    };
    // Two pairs, each with the high half second.
    let version = [at(14)?, at(12)?, at(18)?, at(16)?];
    Some(version.map(|part| part.to_string()).join("."))
}

/// Reads nodes that lie one after the other, each at a multiple of four.
fn nodes(bytes: &[u8]) -> Vec<Node<'_>> {
    let (mut nodes, mut rest) = (Vec::new(), bytes);
    while nodes.len() < MOST_VALUES {
        let Some((node, len)) = node(rest) else {
            break;
        };
        nodes.push(node);
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    nodes
}

fn node(bytes: &[u8]) -> Option<(Node<'_>, usize)> {
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 2)?;
        Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    };
    let (len, value_len, is_text) = (word(0)?, word(2)?, word(4)? == 1);
    let body = bytes.get(..len)?.get(6..)?;
    let name = utf16(body);
    let units = body.chunks_exact(2).position(|unit| unit == [0, 0])?;
    let value_at = (6 + units * 2 + 2).next_multiple_of(4);
    // Compilers do not agree on whether a text is counted in bytes or in characters.
    let value_len = if is_text { value_len * 2 } else { value_len };
    let rest = bytes[..len].get(value_at..).unwrap_or_default();
    let value = rest.get(..value_len).unwrap_or(rest);
    let inner = rest.get(value_len.next_multiple_of(4)..);
    let inner = inner.unwrap_or_default();
    Some((Node { name, value, inner }, len))
}
