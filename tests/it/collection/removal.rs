//! What becomes of the bytes of a file that nobody holds any more.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use acquit::flow::collection::CollectionError;
use acquit::flow::doom;
use acquit::flow::ingest::Submission;
use acquit::model::{Analysis, LedgerKind, Priority, Quota, Reuse, Sha256, Timestamp};
use acquit::store::{
    ANALYSES, BLOBS, BlobRow, Change, DOOMED, GRANTS, HOLDERS, HoldRow, LedgerFilter, MD5S,
    REFERENCES, SHA1S,
};
use bytes::Bytes;

use super::lab::{Lab, owner, sha256};

impl Lab {
    /// Names of all files below a directory of the data directory.
    fn kept(&self, name: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        collect(&self.dir.path().join(name), &mut names);
        names
    }

    /// Checks that rows have files and, as nothing is coming in, that files have rows.
    #[track_caller]
    fn matched(&self) {
        assert_eq!(self.rows(), self.kept("blobs"));
        assert_eq!(self.kept("incoming"), BTreeSet::new());
    }

    fn rows(&self) -> BTreeSet<String> {
        let rows = self.store.list(&BLOBS, (&[], None), 1 << 20).unwrap().rows;
        rows.iter().map(|(sha256, _)| sha256.to_string()).collect()
    }

    fn is_there(&self, content: &str) -> bool {
        let sha256 = sha256(content);
        let row = self.store.get(&BLOBS, &sha256).unwrap();
        assert_eq!(row.is_some(), self.store.blobs().path(&sha256).exists());
        row.is_some()
    }

    /// Lets every engine have answered.
    async fn settle(&self) {
        let settle = |change: &mut Change<'_>| {
            for (id, row) in change.list(&ANALYSES, (&[], None), 1 << 20)? {
                let pending = BTreeSet::new();
                change.put(&ANALYSES, &id, &Analysis { pending, ..row })?;
            }
            for (sha256, row) in change.list(&BLOBS, (&[], None), 1 << 20)? {
                let open = Vec::new();
                change.put(&BLOBS, &sha256, &BlobRow { open, ..row })?;
            }
            Ok(())
        };
        self.store.write(settle).await.unwrap();
    }

    async fn sweep(&self) -> usize {
        doom::sweep(&self.store, self.actor().now).await.unwrap()
    }

    /// Puts a file and removes it for good.
    async fn put_and_purge(&self, content: &str) {
        self.put("/a", content).await.unwrap();
        self.settle().await;
        self.delete("/a").await.unwrap();
        self.empty_trash().await;
    }

    fn doomed(&self) -> usize {
        let page = self.store.list(&DOOMED, (&[], None), 1 << 20).unwrap();
        page.rows.len()
    }
}

fn collect(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else {
            names.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
}

#[tokio::test]
async fn bytes_go_with_the_last_that_has_them_and_the_ledger_says_so() {
    let lab = Lab::open().await;
    lab.put("/a", "one").await.unwrap();
    lab.copy("/a", "/b").await.unwrap();
    lab.put("/c", "two").await.unwrap();
    lab.put("/c", "three").await.unwrap();
    lab.settle().await;
    lab.delete("/a").await.unwrap();
    lab.empty_trash().await;
    assert_eq!(lab.sweep().await, 0, "/b is there, and two is history");
    lab.delete("/b").await.unwrap();
    lab.delete("/c").await.unwrap();
    assert_eq!(lab.sweep().await, 0, "the trash has them");
    let row = lab.store.get(&BLOBS, &sha256("one")).unwrap().unwrap();
    assert_eq!(lab.empty_trash().await, 2);
    assert!(lab.is_there("one") && lab.is_there("two"));
    assert_eq!(lab.sweep().await, 3);
    for content in ["one", "two", "three"] {
        assert!(!lab.is_there(content), "{content}");
    }
    assert_eq!(lab.store.get(&MD5S, &row.digests.md5).unwrap(), None);
    assert_eq!(lab.store.get(&SHA1S, &row.digests.sha1).unwrap(), None);
    let filter = LedgerFilter {
        kind: Some(LedgerKind::Event),
        ..LedgerFilter::default()
    };
    let (lines, _) = lab.store.ledger().list(&filter, None, 10).unwrap();
    let line = lines
        .iter()
        .find(|line| line.entry.sha256 == Some(sha256("one")));
    assert_eq!(line.unwrap().entry.bytes, Some(3));
    assert_eq!(lab.doomed(), 0);
    lab.matched();
    // What comes again is as new.
    lab.put("/a", "one").await.unwrap();
    assert!(lab.is_there("one"));
    lab.recount();
}

#[tokio::test]
async fn bytes_stay_for_anybody_else_and_while_an_engine_looks() {
    let lab = Lab::open().await;
    lab.put("/a", "one").await.unwrap();
    lab.delete("/a").await.unwrap();
    lab.empty_trash().await;
    assert_eq!(lab.sweep().await, 0, "no engine has answered");
    lab.settle().await;
    let blob = sha256("one");
    let set = async |write: fn(&mut Change<'_>, Sha256)| {
        let written = lab.store.write(move |change| {
            doom::note(change, blob)?;
            write(change, blob);
            Ok(())
        });
        written.await.unwrap();
        assert_eq!(lab.sweep().await, 0);
        assert!(lab.is_there("one"));
    };
    set(|change, blob| {
        let hold = HoldRow {
            items: 1,
            since: Timestamp::from_millis(1),
        };
        let key = (blob, "rival".parse().unwrap());
        change.put(&HOLDERS, &key, &hold).unwrap();
    })
    .await;
    set(|change, blob| {
        change.remove(&HOLDERS, &(blob, "rival".parse().unwrap()));
        let key = (blob, "k:0a1b2c3d".to_owned());
        change
            .put(&GRANTS, &key, &Timestamp::from_millis(1))
            .unwrap();
    })
    .await;
    set(|change, blob| {
        change.remove(&GRANTS, &(blob, "k:0a1b2c3d".to_owned()));
        change
            .put(&REFERENCES, &blob, &Timestamp::from_millis(1))
            .unwrap();
    })
    .await;
    let unmark = lab.store.write(move |change| {
        change.remove(&REFERENCES, &blob);
        doom::note(change, blob)
    });
    unmark.await.unwrap();
    assert_eq!(lab.sweep().await, 1);
    lab.matched();
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_comes_again_while_it_is_doomed_stays() {
    let lab = Lab::open().await;
    for round in 0..60 {
        lab.put_and_purge("one").await;
        let again = async {
            for _ in 0..round % 6 {
                tokio::task::yield_now().await;
            }
            lab.put("/a", "one").await.unwrap();
        };
        tokio::join!(again, lab.sweep());
        assert!(lab.is_there("one"), "round {round}");
        assert_eq!(lab.sweep().await, 0);
        assert!(lab.is_there("one"), "round {round}");
        assert_eq!(lab.doomed(), 0);
        lab.matched();
        lab.settle().await;
        lab.delete("/a").await.unwrap();
        lab.empty_trash().await;
    }
    lab.recount();
}

#[tokio::test]
async fn kill_between_any_two_steps_leaves_no_row_without_a_file_and_no_file_for_ever() {
    let mut lab = Lab::open().await;
    let mut begun = 0;
    // How many steps it takes depends on the disk: each is cut off twice.
    for polls in (0..6).chain(0..6) {
        lab.put("/kept", "kept").await.unwrap();
        lab.put_and_purge("one").await;
        let cut = Lab::cut(lab.sweep(), polls).await;
        begun += usize::from(cut.is_none());
        lab = lab.kill();
        for content in ["one", "kept"] {
            let row = lab.store.get(&BLOBS, &sha256(content)).unwrap();
            let path = lab.store.blobs().path(&sha256(content));
            assert!(row.is_none() || path.exists(), "{content}, {polls} polls");
        }
        lab.sweep().await;
        assert!(lab.is_there("kept"));
        assert!(!lab.is_there("one"), "{polls} polls");
        assert_eq!(lab.doomed(), 0);
        lab.matched();
    }
    assert!(begun > 3, "only {begun} were cut off in the middle");
}

#[tokio::test]
async fn upload_that_is_cut_off_leaves_a_row_with_its_file_or_neither() {
    let mut lab = Lab::open().await;
    let mut begun = 0;
    // How many steps it takes depends on the disk: each is cut off twice.
    for (round, polls) in (0..4).chain(0..4).enumerate() {
        let content = format!("{round}");
        let cut = Lab::cut(lab.put("/a", &content), polls).await;
        begun += usize::from(cut.is_none());
        lab = lab.kill();
        assert!(lab.rows().is_subset(&lab.kept("blobs")), "{polls} polls");
        // Unlike a process that is killed, the thread that was at the file goes on.
        crate::notify::lab::wait(|| {
            lab.store.clean_blobs().unwrap();
            (lab.rows() == lab.kept("blobs") && lab.kept("incoming").is_empty()).then_some(())
        })
        .await;
    }
    assert!(begun > 2, "only {begun} were cut off in the middle");
}

#[test]
fn store_opens_while_what_was_coming_in_goes() {
    let dir = tempfile::tempdir().unwrap();
    let open = || acquit::store::Store::open(dir.path(), 1 << 20);
    drop(open().unwrap());
    let (incoming, going) = (dir.path().join("incoming"), AtomicBool::new(true));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while going.load(Ordering::Relaxed) {
                let files: Vec<_> = (0..64)
                    .map(|_| tempfile::NamedTempFile::new_in(&incoming))
                    .collect();
                drop(files);
            }
        });
        let opened: Vec<_> = (0..20).map(|_| open().map(drop)).collect();
        going.store(false, Ordering::Relaxed);
        assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    });
}

#[tokio::test]
async fn what_does_not_fit_leaves_no_bytes() {
    let lab = Lab::open().await;
    let quota = Quota {
        bytes: Some(9),
        files: None,
    };
    lab.quota(quota).await;
    let exhausted = |refused| matches!(refused, Err(CollectionError::BytesExhausted { .. }));
    assert!(exhausted(lab.put("/a", "0123456789").await));
    lab.put("/a", "01234").await.unwrap();
    assert!(exhausted(lab.put("/a", "56789").await), "history counts");
    assert!(exhausted(lab.put("/b", "56789").await));
    lab.put("/a", "5678").await.unwrap();
    assert_eq!(lab.kept("blobs").len(), 2);
    lab.matched();
    lab.recount();
}

#[tokio::test]
async fn what_is_refused_when_it_is_placed_leaves_no_bytes() {
    let lab = Lab::open().await;
    let submission = || Submission {
        name: None,
        engines: None,
        priority: Priority::Interactive,
        reuse: Reuse::Known,
        now: lab.actor().now,
    };
    let sealed = async || {
        let mut incoming = lab.ingest.receive(1 << 20).unwrap();
        incoming.write(Bytes::from_static(b"one")).await.unwrap();
        incoming.seal().await.unwrap()
    };
    let refuse = |_: &mut Change<'_>, _: &BlobRow| Ok(Err::<(), _>("no"));
    let refused = lab.ingest.accept_into(sealed().await, submission(), refuse);
    assert_eq!(refused.await.unwrap().unwrap_err(), "no");
    lab.matched();
    let take = |_: &mut Change<'_>, _: &BlobRow| Ok(Ok::<(), Infallible>(()));
    let taken = lab.ingest.accept_into(sealed().await, submission(), take);
    taken.await.unwrap().unwrap();
    // What is here already stays when it is refused to somebody.
    let refused = lab.ingest.accept_into(sealed().await, submission(), refuse);
    assert_eq!(refused.await.unwrap().unwrap_err(), "no");
    assert!(lab.is_there("one"));
    lab.matched();
    assert_eq!(
        lab.collections.paths(&sha256("one"), &owner(), 1).unwrap(),
        []
    );
}
