//! What files say of themselves, read by the real process.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use acquit::flow::facts::{self, Reader};
use acquit::model::{FileFacts, Sha256, Verification};
use acquit::store::{FACTS, Store, UNREAD};
use sha2::Digest;

const PROGRAM: &str = env!("CARGO_BIN_EXE_acquit");

fn fixture(name: &str) -> PathBuf {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/facts");
    Path::new(fixtures).join(name)
}

/// A store with one blob that is to be read.
struct Waiting {
    dir: tempfile::TempDir,
    store: Store,
    sha256: Sha256,
}

impl Waiting {
    async fn with(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let mut incoming = store.blobs().receive(1 << 20, 0).unwrap();
        incoming.write(bytes.to_vec().into()).await.unwrap();
        incoming.seal().await.unwrap().keep().await.unwrap();
        let sha256 = Sha256::new(sha2::Sha256::digest(bytes).into());
        let wanted = store.write(move |change| facts::wanted(change, sha256));
        wanted.await.unwrap();
        Self { dir, store, sha256 }
    }

    fn reader(&self, program: &Path) -> Reader {
        let reader = Reader::new(self.store.clone(), vec![fixture("ca.pem")]);
        reader.by(program.to_owned())
    }

    fn script(&self, lines: &str) -> PathBuf {
        let path = self.dir.path().join("script");
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    fn facts(&self) -> Option<FileFacts> {
        self.store.get(&FACTS, &self.sha256).unwrap()
    }

    fn is_unread(&self) -> bool {
        self.store.get(&UNREAD, &self.sha256).unwrap().is_some()
    }
}

#[tokio::test]
async fn file_is_read_once_by_a_process_of_its_own() {
    let waiting = Waiting::with(&std::fs::read(fixture("signed.exe")).unwrap()).await;
    let reader = waiting.reader(Path::new(PROGRAM));
    assert_eq!(reader.next().await.unwrap(), Some(waiting.sha256));
    let facts = waiting.facts().unwrap();
    assert_eq!(facts.problem, None);
    assert_eq!(facts.product.as_deref(), Some("Acme Writer"));
    let verification = facts.signer.unwrap().verification;
    assert_eq!(verification, Verification::Trusted);
    let sha256 = waiting.sha256;
    let again = waiting
        .store
        .write(move |change| facts::wanted(change, sha256));
    again.await.unwrap();
    assert_eq!(reader.next().await.unwrap(), None);
}

#[test]
fn process_can_write_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answer");
    let status = std::process::Command::new(PROGRAM)
        .arg("read-facts")
        .env_clear()
        .stdin(std::fs::File::open(fixture("app.jar")).unwrap())
        .stdout(std::fs::File::create(&path).unwrap())
        .status()
        .unwrap();
    assert!(!status.success(), "{status}");
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

#[tokio::test]
async fn process_that_dies_leaves_a_problem_and_not_silence() {
    let waiting = Waiting::with(b"hello").await;
    let program = waiting.script("kill -9 $$");
    waiting.reader(&program).next().await.unwrap();
    let problem = waiting.facts().unwrap().problem.unwrap();
    assert!(problem.contains("ended before it was done"), "{problem}");
    assert!(!waiting.is_unread());
}

#[tokio::test]
async fn process_that_prints_without_end_is_not_listened_to() {
    let waiting = Waiting::with(b"hello").await;
    let program = waiting.script("exec yes");
    waiting.reader(&program).next().await.unwrap();
    assert!(waiting.facts().unwrap().problem.is_some());
}

#[tokio::test]
async fn file_waits_where_the_process_cannot_give_up_its_privileges() {
    let waiting = Waiting::with(b"hello").await;
    let program = waiting.script("exit 75");
    let error = waiting.reader(&program).next().await.unwrap_err();
    assert!(error.to_string().contains("privileges"), "{error}");
    assert!(waiting.is_unread());
    assert_eq!(waiting.facts(), None);
}

#[tokio::test]
async fn what_a_process_prints_steers_nothing() {
    let waiting = Waiting::with(b"hello").await;
    let program = waiting.script(r#"printf '{"product":"a\\u001b[2J"}'"#);
    waiting.reader(&program).next().await.unwrap();
    let product = waiting.facts().unwrap().product;
    assert_eq!(product.as_deref(), Some("a\u{fffd}[2J"));
}
