//! Makes a bundle of the sets in service.

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use sha2::Digest;
use tar::{Builder, EntryType, Header};

use super::index::{FORMAT, Index, MANIFEST_BYTES, Member, check_path, digest, set_id};
use super::{BundleError, FileEntry, io_failed, key};
use crate::config::Config;
use crate::model::{EngineId, Sha256, SignatureSetId, Timestamp};
use crate::store::{SETS, SIGNATURE_SETS, Store};

/// A bundle that is ready to be written.
#[derive(Debug)]
pub struct Export {
    index: Vec<u8>,
    signature: String,
    parts: Vec<Part>,
}

/// One engine's part, where it lies.
#[derive(Debug)]
struct Part {
    member: Member,
    manifest: Vec<u8>,
    dir: PathBuf,
}

/// Digests the active sets of engines and signs the list of their files. Blocks.
///
/// # Errors
/// If an engine has no set, or one that cannot be carried; if files or rows cannot be read.
pub fn prepare(
    (config, store): (&Config, &Store),
    engines: &[EngineId],
    now: Timestamp,
) -> Result<Export, BundleError> {
    let data_dir = &config.storage.data_dir;
    let key = key::key(data_dir)?;
    let appliance = crate::system::instance(data_dir);
    let appliance = appliance.map_err(|error| BundleError::Key(format!("{error:#}")))?;
    let parts = engines.iter().map(|engine| part((config, store), engine));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let index = Index {
        format: FORMAT,
        created: now,
        appliance,
        key: key.public.clone(),
        engines: parts.iter().map(|part| part.member.clone()).collect(),
    };
    let index = serde_json::to_vec_pretty(&index);
    let index = index.map_err(|error| BundleError::Malformed(error.to_string()))?;
    let comment = Some("Acquit signature bundle");
    let signature = minisign::sign(None, &key.secret, Cursor::new(&index), comment, comment);
    let signature = signature.map_err(|error| BundleError::Key(error.to_string()))?;
    Ok(Export {
        index,
        signature: signature.into_string(),
        parts,
    })
}

fn part((config, store): (&Config, &Store), engine: &EngineId) -> Result<Part, BundleError> {
    let refuse = |why: &str| BundleError::NotExportable {
        engine: engine.clone(),
        why: why.to_owned(),
    };
    let active = store.get(&SIGNATURE_SETS, engine)?;
    let set = active.ok_or_else(|| refuse("it has no signature set of its own"))?;
    let set = set.id;
    let sets = config.storage.data_dir.join("signatures");
    let dir = sets.join(engine.as_str()).join(&set.0);
    let files = entries(&dir).map_err(|why| refuse(&why))?;
    let digest = digest(&files);
    if set_id(&digest) != set {
        return Err(refuse("its files are not those it is named after"));
    }
    let manifest = read_manifest(config, engine).map_err(|why| refuse(&why))?;
    let member = Member {
        id: engine.clone(),
        versions: versions(store, engine, &set)?,
        set,
        digest,
        manifest: FileEntry {
            path: format!("{engine}.toml"),
            size: manifest.len() as u64,
            sha256: Sha256::new(sha2::Sha256::digest(&manifest).into()),
        },
        files,
    };
    Ok(Part {
        member,
        manifest,
        dir,
    })
}

fn versions(
    store: &Store,
    engine: &EngineId,
    set: &SignatureSetId,
) -> Result<Option<crate::model::EngineVersions>, BundleError> {
    let row = store.get(&SETS, &(engine.clone(), set.clone()))?;
    Ok(row.and_then(|set| set.versions))
}

/// Reads the manifest an engine runs by: the last directory's.
fn read_manifest(config: &Config, engine: &EngineId) -> Result<Vec<u8>, String> {
    let paths = config.engines.manifests.iter().rev();
    let mut paths = paths.map(|dir| dir.join(format!("{engine}.toml")));
    let path = paths.find(|path| path.is_file());
    let path = path.ok_or("its manifest is gone")?;
    let read = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    match read.len() as u64 {
        0..=MANIFEST_BYTES => Ok(read),
        _ => Err("its manifest is too large".to_owned()),
    }
}

/// Lists and digests the files of a set, in order.
fn entries(dir: &Path) -> Result<Vec<FileEntry>, String> {
    let mut paths = Vec::new();
    collect(dir, Path::new(""), &mut paths)?;
    paths.sort();
    let entry = |path: PathBuf| {
        let name = path.to_str().ok_or("a file's name is no text")?.to_owned();
        check_path(&name).map_err(|what| format!("{name:?}: {what}"))?;
        let (size, sha256) =
            digest_of(&dir.join(&path)).map_err(|error| format!("{name:?}: {error}"))?;
        Ok(FileEntry {
            path: name,
            size,
            sha256,
        })
    };
    paths.into_iter().map(entry).collect()
}

fn collect(root: &Path, below: &Path, paths: &mut Vec<PathBuf>) -> Result<(), String> {
    let dir = root.join(below);
    let failed = |error: io::Error| format!("{}: {error}", dir.display());
    for entry in fs::read_dir(&dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let path = below.join(entry.file_name());
        if kind.is_dir() {
            collect(root, &path, paths)?;
        } else if kind.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

fn digest_of(path: &Path) -> io::Result<(u64, Sha256)> {
    let mut digest = sha2::Sha256::new();
    let size = io::copy(&mut File::open(path)?, &mut digest)?;
    Ok((size, Sha256::new(digest.finalize().into())))
}

impl Export {
    /// Writes the bundle; never holds more than a part of a file. Blocks.
    ///
    /// # Errors
    /// If it cannot be written, or a file was changed since it was digested.
    pub fn write(&self, out: impl Write) -> Result<(), BundleError> {
        let mut tar = Builder::new(out);
        let failed = || io_failed("cannot write the bundle");
        append(&mut tar, "bundle.json", &self.index).map_err(failed())?;
        let signature = self.signature.as_bytes();
        append(&mut tar, "bundle.json.minisig", signature).map_err(failed())?;
        for part in &self.parts {
            part.write(&mut tar).map_err(failed())?;
        }
        tar.into_inner()
            .map_err(failed())?
            .flush()
            .map_err(failed())
    }
}

impl Part {
    fn write(&self, tar: &mut Builder<impl Write>) -> io::Result<()> {
        let id = &self.member.id;
        append(tar, &format!("manifests/{id}.toml"), &self.manifest)?;
        for entry in &self.member.files {
            let file = File::open(self.dir.join(&entry.path))?;
            // One byte too few or too many would make every later name wrong.
            if file.metadata()?.len() != entry.size {
                return Err(io::Error::other(format!("{} was changed", entry.path)));
            }
            let name = format!("sets/{id}/{}", entry.path);
            tar.append_data(&mut header(entry.size), name, file.take(entry.size))?;
        }
        Ok(())
    }
}

fn append(tar: &mut Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    tar.append_data(&mut header(bytes.len() as u64), name, bytes)
}

/// The same bytes give the same bundle: no owner, no time.
fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o444);
    header.set_mtime(0);
    header
}
