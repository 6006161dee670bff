//! Signature bundles: what goes out comes in, and nothing else does.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use acquit::config::Config;
use acquit::engine::signatures;
use acquit::model::{EngineId, SignatureSetId, Timestamp};
use acquit::nightly::bundle::{BundleError, Candidate, Terms, Verified, key, prepare, verify};
use acquit::store::{SIGNATURE_SETS, SignatureSetRow, Store};
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use tar::{EntryType, Header};

/// An appliance with signatures of two engines.
struct Source {
    dir: tempfile::TempDir,
    config: Config,
    store: Store,
    sets: Vec<SignatureSetId>,
}

fn engines() -> BTreeSet<EngineId> {
    ["clamav", "yara"].map(|id| id.parse().unwrap()).into()
}

/// Names a tar can hold in its header and one it cannot.
fn seed(engine: &str) -> Vec<(String, Vec<u8>)> {
    let long = format!("deep/{}/{}.yar", "d".repeat(90), "n".repeat(120));
    vec![
        ("main.db".to_owned(), format!("{engine} signatures").into()),
        ("a-b".to_owned(), b"beside a directory".to_vec()),
        ("a/b.yar".to_owned(), vec![7; 3000]),
        ("empty".to_owned(), Vec::new()),
        (long, b"rule long { condition: false }".to_vec()),
    ]
}

impl Source {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = dir.path().join("data");
        config.engines.manifests = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("engines")];
        fs::create_dir(&config.storage.data_dir).unwrap();
        let store = Store::open(&config.storage.data_dir, 1 << 20).unwrap();
        let sets = engines().into_iter().map(|engine| {
            let from = dir.path().join(format!("seed-{engine}"));
            for (name, bytes) in seed(engine.as_str()) {
                let path = from.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            let sets = config.storage.data_dir.join("signatures");
            signatures::import(&from, &sets.join(engine.as_str()))
                .unwrap()
                .id
        });
        let sets = sets.collect();
        Self {
            dir,
            config,
            store,
            sets,
        }
    }

    async fn activate(&self) {
        for (engine, id) in engines().into_iter().zip(self.sets.clone()) {
            let row = SignatureSetRow {
                id,
                created_at: Timestamp::from_millis(1),
                source: "seed".to_owned(),
                previous: None,
                held: false,
            };
            let write = move |change: &mut acquit::store::Change<'_>| {
                change.put(&SIGNATURE_SETS, &engine, &row)
            };
            self.store.write(write).await.unwrap();
        }
    }

    async fn bundle(&self) -> Vec<u8> {
        self.activate().await;
        let engines: Vec<_> = engines().into_iter().collect();
        let now = Timestamp::from_millis(1_700_000_000_000);
        let export = prepare((&self.config, &self.store), &engines, now).unwrap();
        let mut bytes = Vec::new();
        export.write(&mut bytes).unwrap();
        bytes
    }

    fn key(&self) -> String {
        key(&self.config.storage.data_dir).unwrap().public
    }
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Another appliance takes the bundle; it trusts one key besides its own.
fn taken(bytes: &[u8], trusted: &str) -> Result<Verified, BundleError> {
    let dir = tempfile::tempdir().unwrap();
    let own = key(dir.path()).unwrap().public;
    let terms = Terms {
        trusted: &[trusted.to_owned()],
        own: &own,
        engines: &engines(),
        max_bytes: 1 << 20,
    };
    verify(file(bytes), terms)
}

#[track_caller]
fn refused(bytes: &[u8], trusted: &str, why: &str) {
    let error = taken(bytes, trusted).err().map(|error| error.to_string());
    let said = error.unwrap_or_else(|| panic!("taken, though: {why}"));
    assert!(said.contains(why), "{said:?} does not say {why:?}");
}

/// Path, content and mode of every file.
type Files = Vec<(String, Vec<u8>, u32)>;

fn paths(candidate: &Candidate) -> Files {
    fn collect(root: &Path, dir: &Path, found: &mut Files) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777;
            if path.is_dir() {
                assert_eq!(mode, 0o755, "{}", path.display());
                collect(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push((name, fs::read(&path).unwrap(), mode));
            }
        }
    }
    let mut found = Vec::new();
    collect(&candidate.work, &candidate.work, &mut found);
    found.sort();
    found
}

#[tokio::test]
async fn bundle_brings_every_file_and_nothing_else() {
    let source = Source::start();
    let bytes = source.bundle().await;
    let verified = taken(&bytes, &source.key()).unwrap();
    assert_eq!(verified.key, source.key());
    let target = tempfile::tempdir().unwrap();
    let candidates = verified.unpack(target.path()).unwrap();
    assert_eq!(candidates.len(), 2);
    for (candidate, set) in candidates.iter().zip(&source.sets) {
        assert_eq!(candidate.set, *set);
        let place = target
            .path()
            .join("updates")
            .join(candidate.engine.as_str());
        assert_eq!(candidate.work.parent().unwrap(), place);
        let mut expected: Vec<_> = seed(candidate.engine.as_str())
            .into_iter()
            .map(|(name, bytes)| (name, bytes, 0o444))
            .collect();
        expected.sort();
        assert_eq!(paths(candidate), expected);
        // What was unpacked is the set it says: the engine side finds the same name.
        let sets = tempfile::tempdir().unwrap();
        let again = signatures::import(&candidate.work, sets.path()).unwrap();
        assert_eq!(again.id, *set);
    }
    drop(source.dir);
}

#[tokio::test]
async fn only_keys_that_are_trusted_count() {
    let source = Source::start();
    let bytes = source.bundle().await;
    let stranger = tempfile::tempdir().unwrap();
    let other = key(stranger.path()).unwrap().public;
    let error = taken(&bytes, &other).unwrap_err();
    assert!(matches!(&error, BundleError::Untrusted { key } if *key == source.key()));
    assert!(error.to_string().contains("updates.trusted_keys"));
    refused(&bytes, "nonsense", "is no key");
    let known = BTreeSet::from(["clamav".parse().unwrap()]);
    let (own, key) = (other, [source.key()]);
    let terms = Terms {
        trusted: &key,
        own: &own,
        engines: &known,
        max_bytes: 1 << 20,
    };
    let error = verify(file(&bytes), terms).unwrap_err().to_string();
    assert!(error.contains("signatures of yara"), "{error}");
    let terms = Terms {
        engines: &engines(),
        max_bytes: 1000,
        ..terms
    };
    let error = verify(file(&bytes), terms).unwrap_err();
    assert!(matches!(error, BundleError::TooLarge { most: 1000, .. }));
}

#[tokio::test]
async fn set_that_was_changed_on_the_disk_does_not_go_out() {
    let source = Source::start();
    source.activate().await;
    let data_dir = &source.config.storage.data_dir;
    let set = data_dir.join("signatures/yara").join(&source.sets[1].0);
    fs::write(set.join("more.yar"), "x").unwrap();
    let yara = ["yara".parse().unwrap()];
    let now = Timestamp::from_millis(1);
    let error = prepare((&source.config, &source.store), &yara, now).unwrap_err();
    assert!(error.to_string().contains("not those it is named after"));
    let none = ["pdfid".parse().unwrap()];
    let error = prepare((&source.config, &source.store), &none, now).unwrap_err();
    assert!(error.to_string().contains("no signature set"));
}

/// One entry of a bundle taken apart.
#[derive(Clone)]
struct Piece {
    name: String,
    kind: EntryType,
    bytes: Vec<u8>,
}

fn pieces(bundle: &[u8]) -> Vec<Piece> {
    let mut archive = tar::Archive::new(bundle);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::copy(&mut entry, &mut bytes).unwrap();
        Piece {
            name: String::from_utf8(entry.path_bytes().into_owned()).unwrap(),
            kind: entry.header().entry_type(),
            bytes,
        }
    });
    entries.collect()
}

/// Puts a bundle together without the checks of who makes one well.
fn joined(pieces: &[Piece]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for piece in pieces {
        let mut header = Header::new_gnu();
        header.set_entry_type(piece.kind);
        header.set_size(piece.bytes.len() as u64);
        if piece.kind == EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        let name = PathBuf::from(&piece.name);
        if piece.name.len() < 100 {
            let field = &mut header.as_gnu_mut().unwrap().name;
            field[..piece.name.len()].copy_from_slice(piece.name.as_bytes());
            header.set_cksum();
            tar.append(&header, &*piece.bytes).unwrap();
        } else {
            tar.append_data(&mut header, name, &*piece.bytes).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

/// Signs a list anew, as a trusted appliance that went bad could.
fn signed(source: &Source, list: &[u8]) -> Vec<u8> {
    let text = fs::read_to_string(source.config.storage.data_dir.join("bundle.key")).unwrap();
    let secret = minisign::SecretKeyBox::from_string(&text).unwrap();
    let secret = secret.into_unencrypted_secret_key().unwrap();
    let signature = minisign::sign(None, &secret, std::io::Cursor::new(list), None, None);
    signature.unwrap().into_string().into_bytes()
}

#[tokio::test]
async fn entries_are_exactly_those_that_are_signed() {
    let source = Source::start();
    let (bytes, key) = (source.bundle().await, source.key());
    let good = pieces(&bytes);
    assert!(taken(&joined(&good), &key).is_ok(), "the pieces are whole");
    let at = good
        .iter()
        .position(|piece| piece.name.ends_with("main.db"));
    let at = at.unwrap();
    let change = |change: &dyn Fn(&mut Vec<Piece>)| {
        let mut pieces = good.clone();
        change(&mut pieces);
        joined(&pieces)
    };
    let missing = change(&|pieces| drop(pieces.pop()));
    refused(&missing, &key, "is missing");
    let extra = change(&|pieces| pieces.push(pieces[at].clone()));
    refused(&extra, &key, "is too much");
    let twice = change(&|pieces| pieces.insert(at, pieces[at].clone()));
    refused(&twice, &key, "stands where");
    let swapped = change(&|pieces| pieces.swap(at, at + 1));
    refused(&swapped, &key, "stands where");
    let link = change(&|pieces| {
        pieces[at].kind = EntryType::Symlink;
        pieces[at].bytes.clear();
    });
    refused(&link, &key, "no regular file");
    for trick in [
        "sets/clamav/../../../etc/cron.d/x",
        "/etc/cron.d/x",
        "sets/yara",
    ] {
        let elsewhere = change(&|pieces| pieces[at].name = trick.to_owned());
        refused(&elsewhere, &key, "stands where");
    }
    let longer = change(&|pieces| pieces[at].bytes.push(0));
    refused(&longer, &key, "another size");
    let unsigned = change(&|pieces| drop(pieces.remove(1)));
    refused(&unsigned, &key, "bundle.json.minisig must be");
    let behind = [bytes.clone(), b"more".to_vec()].concat();
    refused(&behind, &key, "behind its end");
    refused(b"", &key, "ends before its signature");
    refused(b"PK\x03\x04 no tar at all", &key, "damaged");
}

#[tokio::test]
async fn even_a_signed_list_may_not_say_everything() {
    let source = Source::start();
    let (good, key) = (pieces(&source.bundle().await), source.key());
    let list: serde_json::Value = serde_json::from_slice(&good[0].bytes).unwrap();
    let say = |pointer: &str, value: serde_json::Value| {
        let mut list = list.clone();
        *list.pointer_mut(pointer).unwrap() = value;
        let mut pieces = good.clone();
        pieces[0].bytes = serde_json::to_vec(&list).unwrap();
        pieces[1].bytes = signed(&source, &pieces[0].bytes);
        joined(&pieces)
    };
    refused(&say("/format", 2.into()), &key, "its format is 2");
    let traversal = say("/engines/0/files/0/path", "../../bundle.key".into());
    refused(&traversal, &key, "leads elsewhere");
    let huge = say("/engines/0/files/0/size", u64::MAX.into());
    refused(&huge, &key, "at most 1048576 are taken");
    let renamed = say("/engines/0/set", "0000000000000000".into());
    refused(&renamed, &key, "not named after its files");
    let twice = say("/engines/1/id", "clamav".into());
    refused(&twice, &key, "each once");
    let path = say("/engines/0/id", "../clamav".into());
    refused(&path, &key, "no engine id");
}

#[tokio::test]
async fn header_that_claims_a_huge_size_is_refused_without_reading_it() {
    let source = Source::start();
    let (mut bytes, key) = (source.bundle().await, source.key());
    let mut header = Header::from_byte_slice(&bytes[..512]).clone();
    header.set_size(1 << 60);
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    refused(&bytes, &key, "bundle.json is too large");
}

/// What a bundle unpacks to, if it is taken.
fn content(bytes: &[u8], key: &str) -> Option<Vec<Files>> {
    let target = tempfile::tempdir().unwrap();
    let candidates = taken(bytes, key).ok()?.unpack(target.path()).ok()?;
    Some(candidates.iter().map(paths).collect())
}

#[test]
fn no_flipped_bit_and_no_cut_changes_what_is_unpacked() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = Source::start();
    let (bytes, key) = (runtime.block_on(source.bundle()), source.key());
    let good = content(&bytes, &key).expect("the bundle is good");
    let config = ProptestConfig::with_cases(400);
    proptest!(config, |(at in any::<proptest::sample::Index>(), bit in 0..8_u32, cut in any::<bool>())| {
        let mut other = bytes.clone();
        let at = at.index(bytes.len());
        if cut {
            other.truncate(at);
        } else {
            other[at] ^= 1 << bit;
        }
        let seen = content(&other, &key);
        prop_assert!(seen.is_none_or(|seen| seen == good), "byte {at}");
    });
}
