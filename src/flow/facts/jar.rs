//! Archives for Java: the manifest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use zip::ZipArchive;

use super::input::{Input, Trouble, read_some};
use super::text::decoded;
use crate::model::FileFacts;

/// Where the manifest is.
const MANIFEST: &str = "META-INF/MANIFEST.MF";
/// Longest manifest read.
const MOST_BYTES: u64 = 1 << 20;
/// Fields kept by their own names.
const MORE: [&str; 5] = [
    "Main-Class",
    "Bundle-SymbolicName",
    "Automatic-Module-Name",
    "Created-By",
    "Build-Jdk-Spec",
];

/// Reads an archive; one without a manifest says nothing.
pub fn read(input: &Input<'_>, facts: &mut FileFacts) -> Result<(), Trouble> {
    let mut archive = ZipArchive::new(input.cursor())?;
    if archive.index_for_name(MANIFEST).is_none() {
        return Ok(());
    }
    facts.format = Some("jar".to_owned());
    let signatures = archive.file_names().filter_map(Result::ok);
    let signatures = signatures.filter(|name| is_signature(name)).take(4);
    let signatures: Vec<String> = signatures.map(Cow::into_owned).collect();
    if !signatures.is_empty() {
        let named = format!("{} (not checked)", signatures.join(", "));
        facts.more.insert("signature files".to_owned(), named);
    }
    let manifest = read_some(archive.by_name(MANIFEST)?, MOST_BYTES)?;
    let fields = fields(&manifest);
    let first = |names: &[&str]| names.iter().find_map(|name| fields.get(*name).cloned());
    facts.product = first(&["Implementation-Title", "Bundle-Name", "Specification-Title"]);
    facts.version = first(&["Implementation-Version", "Bundle-Version"]);
    facts.company = first(&["Implementation-Vendor", "Bundle-Vendor"]);
    facts.description = first(&["Bundle-Description"]);
    facts.homepage = first(&["Bundle-DocURL", "Implementation-URL"]);
    for name in MORE {
        if let Some(value) = fields.get(name) {
            facts.more.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

fn is_signature(name: &str) -> bool {
    let inner = name.strip_prefix("META-INF/");
    let ends = |name: &str| {
        [".RSA", ".DSA", ".EC"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    inner.is_some_and(|inner| !inner.contains('/') && ends(inner))
}

/// Reads the fields before the first empty line; those after it are of single entries.
fn fields(manifest: &[u8]) -> BTreeMap<String, String> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in manifest.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (line.strip_prefix(b" "), lines.last_mut()) {
            // A long line is broken wherever it was full, even within a character.
            (Some(more), Some(last)) => last.extend_from_slice(more),
            _ if line.is_empty() => break,
            _ => lines.push(line.to_vec()),
        }
    }
    let pairs = lines.iter().filter_map(|line| {
        let line = decoded(line);
        let (name, value) = line.split_once(": ")?;
        Some((name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}
