//! Sets on a real file system, and candidates that are none.

use std::os::unix::fs::{MetadataExt, symlink};

use nix::sys::stat::Mode;

use super::*;

/// A directory of sets, and one to make candidates in.
struct Place {
    _temp: tempfile::TempDir,
    top: PathBuf,
    sets: PathBuf,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().to_owned();
        Self {
            sets: top.join("sets"),
            _temp: temp,
            top,
        }
    }

    fn work(&self) -> PathBuf {
        self.top.join("work")
    }

    /// Makes a set with two files, one of them large.
    fn seed(&self) -> Kept {
        let seed = self.top.join("seed");
        fs::create_dir_all(seed.join("sub")).unwrap();
        fs::write(seed.join("main.cvd"), vec![7; 4 << 20]).unwrap();
        fs::write(seed.join("sub/a.yar"), "rule a { condition: true }").unwrap();
        import(&seed, &self.sets).unwrap()
    }

    fn set(&self, kept: &Kept) -> PathBuf {
        self.sets.join(&kept.id.0)
    }

    /// Bytes the whole place takes on disk, each file once.
    fn disk(&self) -> u64 {
        let mut seen = BTreeMap::new();
        blocks(&self.top, &mut seen);
        seen.values().sum()
    }
}

fn blocks(dir: &Path, seen: &mut BTreeMap<u64, u64>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        seen.insert(meta.ino(), meta.blocks() * 512);
        if meta.is_dir() {
            blocks(&entry.path(), seen);
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn set_is_named_after_its_files_and_copied_once() {
    let dir = tempfile::tempdir().unwrap();
    let (seed, sets) = (dir.path().join("seed"), dir.path().join("sets"));
    fs::create_dir_all(seed.join("sub")).unwrap();
    fs::write(seed.join("sub/a.yar"), "rule a { condition: true }").unwrap();
    let first = import(&seed, &sets).unwrap();
    // Sets of before keep their names.
    assert_eq!(first.id.0, "2466c1d08210ae31");
    assert!(first.digest.starts_with(&first.id.0) && first.digest.len() == 64);
    assert_eq!(
        (first.files, first.size_bytes, first.own_bytes),
        (1, 26, 26)
    );
    let again = import(&seed, &sets).unwrap();
    assert_eq!((again.own_bytes, &again.id), (0, &first.id));
    fs::write(seed.join("b.yar"), "").unwrap();
    let second = import(&seed, &sets).unwrap();
    assert_ne!(first.id, second.id);
    let set = sets.join(&second.id.0);
    assert_eq!(mode(&set.join("sub/a.yar")), 0o444);
    assert_eq!((mode(&set), mode(&set.join("sub"))), (0o755, 0o755));
}

#[test]
fn unchanged_candidate_is_the_same_set_and_costs_nothing() {
    let place = Place::new();
    let kept = place.seed();
    let before = place.disk();
    prepare(Some(&place.set(&kept)), &place.work()).unwrap();
    assert!(place.disk() - before < 1 << 20);
    let main = fs::metadata(place.work().join("main.cvd")).unwrap();
    assert_eq!((main.nlink(), main.mode() & 0o777), (2, 0o444));
    assert_eq!(mode(&place.work().join("sub")), 0o777);
    let again = adopt(&place.work(), Some(&place.set(&kept)), &place.sets).unwrap();
    assert_eq!((&again.id, again.own_bytes), (&kept.id, 0));
    assert_eq!(again.size_bytes, kept.size_bytes);
    assert!(place.disk() - before < 1 << 20);
}

#[test]
fn changed_candidate_shares_what_it_did_not_change() {
    let place = Place::new();
    let kept = place.seed();
    let before = place.disk();
    let work = place.work();
    prepare(Some(&place.set(&kept)), &work).unwrap();
    fs::remove_file(work.join("sub/a.yar")).unwrap();
    fs::write(work.join("sub/a.yar"), "rule a { condition: false }").unwrap();
    // The same bytes once more, as a download leaves them; and a file that moved.
    let bytes = fs::read(work.join("main.cvd")).unwrap();
    fs::rename(work.join("main.cvd"), work.join("moved.cvd")).unwrap();
    fs::write(work.join("main.cvd"), bytes).unwrap();
    let next = adopt(&work, Some(&place.set(&kept)), &place.sets).unwrap();
    assert_ne!(next.id, kept.id);
    assert_eq!((next.files, next.own_bytes), (3, 27));
    fs::remove_dir_all(&work).unwrap();
    assert!(place.disk() - before < 1 << 20);
    assert!(verify(&place.set(&next), &next.digest).unwrap());
    assert!(verify(&place.set(&kept), &kept.digest).unwrap());
    // The old one may go; the new one has all it needs.
    remove(&place.set(&kept)).unwrap();
    assert!(!place.set(&kept).exists());
    assert!(verify(&place.set(&next), &next.digest).unwrap());
    let names: Vec<_> = fs::read_dir(&place.sets).unwrap().collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn digests_of_unchanged_files_are_taken_from_beside_the_set_if_they_are_there() {
    let place = Place::new();
    let kept = place.seed();
    let set = place.set(&kept);
    let mut digests = sidecar::read(&set);
    assert_eq!(digests.len(), 2);
    let adopted = |place: &Place| {
        prepare(Some(&set), &place.work()).unwrap();
        let adopted = adopt(&place.work(), Some(&set), &place.sets).unwrap();
        fs::remove_dir_all(place.work()).unwrap();
        adopted.id
    };
    sidecar::forget(&set).unwrap();
    assert_eq!(adopted(&place), kept.id);
    assert_eq!(sidecar::read(&set), digests);
    // Other bytes of the same file would make another set: that they do not shows that they are
    // not read. Digests that are not the set's do not count.
    let file = set.join("main.cvd");
    fs::write(&file, vec![8; 4 << 20]).unwrap();
    assert_eq!(adopted(&place), kept.id);
    digests.insert(PathBuf::from("main.cvd"), "00".repeat(32));
    sidecar::write(&set, &digests).unwrap();
    let other = adopted(&place);
    assert_ne!(other, kept.id);
    fs::write(set.with_extension("digests"), "garbage").unwrap();
    assert_eq!(adopted(&place), other);
}

#[test]
fn damage_is_found() {
    let place = Place::new();
    let kept = place.seed();
    let file = place.set(&kept).join("sub/a.yar");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "rule b { condition: true }").unwrap();
    assert!(!verify(&place.set(&kept), &kept.digest).unwrap());
    fs::remove_file(&file).unwrap();
    assert!(!verify(&place.set(&kept), &kept.digest).unwrap());
    symlink("/etc/passwd", &file).unwrap();
    assert!(verify(&place.set(&kept), &kept.digest).is_err());
}

/// Puts something into a candidate and compares what is said of it.
#[track_caller]
fn check_refused(expected: &str, put: impl FnOnce(&Path)) {
    let place = Place::new();
    let kept = place.seed();
    prepare(Some(&place.set(&kept)), &place.work()).unwrap();
    put(&place.work());
    let error = adopt(&place.work(), Some(&place.set(&kept)), &place.sets).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
    // The set and its digests, and nothing else.
    assert_eq!(fs::read_dir(&place.sets).unwrap().count(), 2);
}

#[test]
fn tricks_are_refused_by_name() {
    use std::os::unix::ffi::OsStrExt;
    check_refused("sub/passwd is a link", |work| {
        symlink("/etc/passwd", work.join("sub/passwd")).unwrap();
    });
    check_refused("blobs is a link", |work| {
        symlink("../../blobs", work.join("blobs")).unwrap();
    });
    check_refused("pipe is no regular file", |work| {
        nix::unistd::mkfifo(&work.join("pipe"), Mode::S_IRWXU).unwrap();
    });
    check_refused("socket is no regular file", |work| {
        drop(std::os::unix::net::UnixListener::bind(work.join("socket")).unwrap());
    });
    check_refused("a\u{fffd}[1mb has a name", |work| {
        fs::write(work.join("a\x1b[1mb"), "").unwrap();
    });
    check_refused("a\u{fffd} has a name", |work| {
        fs::write(work.join(std::ffi::OsStr::from_bytes(b"a\xff")), "").unwrap();
    });
    check_refused("is too deep", |work| {
        fs::create_dir_all(work.join("d/".repeat(40))).unwrap();
    });
    check_refused("there are no files", |work| {
        fs::remove_file(work.join("main.cvd")).unwrap();
        fs::remove_file(work.join("sub/a.yar")).unwrap();
    });
}

#[test]
fn candidate_that_is_itself_a_link_is_refused() {
    let place = Place::new();
    place.seed();
    symlink("/etc", place.work()).unwrap();
    assert!(adopt(&place.work(), None, &place.sets).is_err());
}

#[test]
fn leftovers_of_a_crash_are_swept() {
    let place = Place::new();
    let kept = place.seed();
    fs::create_dir_all(place.sets.join("partial-x/y")).unwrap();
    fs::write(place.sets.join("partial-z"), "").unwrap();
    sweep(&place.sets).unwrap();
    assert!(!place.sets.join("partial-z").exists());
    assert!(!place.sets.join("partial-x").exists());
    assert!(verify(&place.set(&kept), &kept.digest).unwrap());
    sweep(&place.top.join("absent")).unwrap();
}
