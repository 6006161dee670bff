//! The archive a vendor wants, written to a file of its own, in constant memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use sevenz_rust2::encoder_options::AesEncoderOptions;
use sevenz_rust2::{ArchiveEntry, ArchiveWriter, EncoderMethod};
use tempfile::{NamedTempFile, TempPath};
use zip::unstable::write::FileOptionsExt as _;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::config::{ArchiveKind, VendorEntry};
use crate::flow::policy;
use crate::model::Dispute;
use crate::store::Store;

/// Longest name of the file in an archive.
const NAME_CHARS: usize = 100;

/// An archive; its file goes with it.
#[derive(Debug)]
pub struct Package {
    /// What it is called for whoever gets it.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
    /// Its length.
    pub size_bytes: u64,
    path: TempPath,
}

impl Package {
    /// Returns where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Packs the file of a dispute as its vendor wants it.
pub fn pack(
    store: &Store,
    (vendor, dispute): (&VendorEntry, &Dispute),
    dir: &Path,
) -> anyhow::Result<Package> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))?;
    let blob = store.blobs().open_blob(&dispute.sha256)?;
    let target = NamedTempFile::new_in(dir)?;
    target
        .as_file()
        .set_permissions(PermissionsExt::from_mode(0o600))?;
    let (file, path) = target.into_parts();
    let inside = file_name(store, dispute)?;
    let base = format!("dispute-{}", dispute.id);
    let (name, media_type) = match vendor.archive {
        ArchiveKind::Zip => {
            write_zip(file, blob, (&inside, &vendor.password))?;
            (format!("{base}.zip"), "application/zip")
        }
        ArchiveKind::SevenZip => {
            write_7z(file, blob, (&inside, &vendor.password))?;
            (format!("{base}.7z"), "application/x-7z-compressed")
        }
        ArchiveKind::Plain => {
            io::copy(&mut &blob, &mut &file)?;
            (inside, "application/octet-stream")
        }
        ArchiveKind::None => bail!("{} wants no file", vendor.name),
    };
    let size_bytes = std::fs::metadata(&path)?.len();
    // A little is the archive's own; a vendor that has a limit sends back what is beyond it.
    ensure!(
        size_bytes <= (vendor.max_mb << 20) + 4096,
        "it has {size_bytes} bytes and {} takes {} MB",
        vendor.name,
        vendor.max_mb
    );
    Ok(Package {
        name,
        media_type,
        size_bytes,
        path,
    })
}

fn write_zip(file: File, blob: File, (name, password): (&str, &str)) -> anyhow::Result<()> {
    let large = blob.metadata()?.len() >= u64::from(u32::MAX);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .large_file(large);
    let mut archive = ZipWriter::new(BufWriter::new(file));
    if password.is_empty() {
        archive.start_file(name, options)?;
    } else {
        let options = options.with_deprecated_encryption(password.as_bytes())?;
        archive.start_file(name, options)?;
    }
    io::copy(&mut BufReader::new(blob), &mut archive)?;
    let inner = archive.finish()?.into_inner();
    inner.map_err(|error| error.into_error())?;
    Ok(())
}

fn write_7z(file: File, blob: File, (name, password): (&str, &str)) -> anyhow::Result<()> {
    let mut archive = ArchiveWriter::new(file)?;
    if !password.is_empty() {
        archive.set_content_methods(vec![
            AesEncoderOptions::new(password.into()).into(),
            EncoderMethod::LZMA2.into(),
        ]);
    }
    let entry = ArchiveEntry::new_file(name);
    archive.push_archive_entry(entry, Some(BufReader::new(blob)))?;
    archive.finish()?;
    Ok(())
}

/// Returns the file's name in the collection, as far as no archive can be misled by it.
fn file_name(store: &Store, dispute: &Dispute) -> anyhow::Result<String> {
    let consent = policy::consent(store, &dispute.sha256, &dispute.publisher)?;
    let items = consent.map(|consent| consent.items).unwrap_or_default();
    let name = items.first().map_or("", |(path, _)| path.name());
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "-_.".contains(c) => c,
        _ => '_',
    };
    let name: String = name.chars().map(plain).take(NAME_CHARS).collect();
    let name = name.trim_start_matches('.');
    Ok(match name.is_empty() {
        true => dispute.sha256.to_string(),
        false => name.to_owned(),
    })
}

/// Removes what a process left that was killed while it packed.
pub fn sweep(dir: &PathBuf) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let _ = std::fs::remove_file(entry.path());
    }
}
