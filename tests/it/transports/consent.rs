//! What leaves: only with consent, and only after its line is in the ledger.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use acquit::config::Config;
use acquit::flow::ingest::{IngestError, Submission};
use acquit::model::{EngineState, LedgerKind, LedgerLine, Priority, PublisherId, Reuse, Sha256};
use acquit::store::{HOLDERS, HoldRow, LedgerFilter, Store};
use acquit::system::now;
use sha2::Digest;

use super::icap::{FOUND, Fake, MANIFEST, Play};
use crate::flow::Flow;
use crate::support;

/// Opens a flow with this one manifest; `data` learns where its data is.
async fn open(text: &str, address: &str, data: Arc<OnceLock<PathBuf>>) -> Flow {
    let text = text.replace("ADDRESS", address);
    Flow::open_with(move |config: &mut Config| {
        let manifests = config.storage.data_dir.with_file_name("engines");
        std::fs::create_dir_all(&manifests).unwrap();
        std::fs::write(manifests.join("remote.toml"), text).unwrap();
        config.engines.manifests = vec![manifests];
        data.set(config.storage.data_dir.clone()).unwrap();
    })
    .await
}

fn state(flow: &Flow) -> EngineState {
    flow.engines.borrow().values().next().unwrap().state
}

async fn wait_for(flow: &Flow, wanted: EngineState) {
    for _ in 0..200 {
        if state(flow) == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?} for {wanted:?}", flow.engines.borrow());
}

fn egress(store: &Store) -> Vec<LedgerLine> {
    let filter = LedgerFilter {
        kind: Some(LedgerKind::Egress),
        ..LedgerFilter::default()
    };
    store.ledger().list(&filter, None, 100).unwrap().0
}

fn hold() -> HoldRow {
    HoldRow {
        items: 1,
        since: now(),
    }
}

fn hash(bytes: &[u8]) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(bytes).into())
}

/// Reads the ledger's files as they are on the disk.
fn on_disk(data: &OnceLock<PathBuf>) -> String {
    let entries = std::fs::read_dir(data.get().unwrap().join("ledger")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let lines = paths.filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    lines
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn line_is_on_the_disk_before_the_first_byte_arrives() {
    let data: Arc<OnceLock<PathBuf>> = Arc::default();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (known, log) = (Arc::clone(&data), Arc::clone(&seen));
    let first = move || log.lock().unwrap().push(on_disk(&known));
    let fake = Fake::start_with(Play::default(), first).await;
    let flow = open(MANIFEST, &fake.address, data).await;
    let analysis = flow.submit(b"private words", "file").await;
    let answers = flow.completed(&analysis).await;
    assert_eq!(answers[0].1.category(), "undetected");
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1);
    let sha256 = hash(b"private words").to_string();
    assert!(
        seen[0].contains("egress") && seen[0].contains(&sha256),
        "{seen:?}"
    );
    let lines = egress(&flow.store);
    assert_eq!(lines.len(), 1);
    let entry = &lines[0].entry;
    assert_eq!(entry.sha256, Some(hash(b"private words")));
    assert_eq!(entry.bytes, Some(13));
    assert_eq!(entry.to, Some(format!("icap://{}/avscan", fake.address)));
    let rule = entry.rule.as_deref().unwrap();
    assert_eq!(
        rule,
        "consent in the manifest of remote: The test allows that its own files go to its own server."
    );
    let results = flow.store.results(&analysis.id).unwrap();
    let versions = results.values().next().unwrap().versions.clone();
    assert_eq!(Some(versions.image), entry.to);
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_publisher_who_holds_the_file_has_a_line() {
    let fake = Fake::start(Play::default()).await;
    let flow = open(MANIFEST, &fake.address, Arc::default()).await;
    let sha256 = hash(b"private words");
    let publishers: Vec<PublisherId> = ["acme", "globex"].map(|id| id.parse().unwrap()).to_vec();
    for publisher in publishers.clone() {
        let write = flow
            .store
            .write(move |change| change.put(&HOLDERS, &(sha256, publisher.clone()), &hold()));
        write.await.unwrap();
    }
    let analysis = flow.submit(b"private words", "file").await;
    flow.completed(&analysis).await;
    let lines = egress(&flow.store).into_iter();
    let mut told: Vec<_> = lines.filter_map(|line| line.entry.publisher).collect();
    told.sort();
    assert_eq!(told, publishers);
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_consent_nobody_is_even_called() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let first = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let fake = Fake::start_with(Play::default(), first).await;
    let consent = "consent = \"The test allows that its own files go to its own server.\"\n";
    let text = MANIFEST.replace(consent, "");
    let flow = open(&text, &fake.address, Arc::default()).await;
    assert_eq!(state(&flow), EngineState::NeedsConsent);
    let mut incoming = flow.ingest.receive(1 << 20).unwrap();
    incoming
        .write(b"private words".to_vec().into())
        .await
        .unwrap();
    let submission = Submission {
        name: None,
        engines: None,
        priority: Priority::Interactive,
        reuse: Reuse::Known,
        now: now(),
    };
    // It does not take part, and there is no other engine.
    let refused = flow.ingest.accept(incoming, submission).await.unwrap_err();
    assert!(matches!(refused, IngestError::NoEngine), "{refused}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert!(fake.seen.lock().unwrap().is_empty());
    assert!(egress(&flow.store).is_empty());
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn if_the_ledger_cannot_be_written_nothing_goes() {
    let data: Arc<OnceLock<PathBuf>> = Arc::default();
    let fake = Fake::start(Play::default()).await;
    let flow = open(MANIFEST, &fake.address, Arc::clone(&data)).await;
    wait_for(&flow, EngineState::Ready).await;
    let ledger = data.get().unwrap().join("ledger");
    std::fs::rename(&ledger, ledger.with_extension("away")).unwrap();
    std::fs::write(&ledger, "in the way").unwrap();
    let analysis = flow.submit(b"private words", "file").await;
    wait_for(&flow, EngineState::BackingOff).await;
    assert!(fake.seen.lock().unwrap().is_empty());
    // Once it can be written, the file goes.
    std::fs::remove_file(&ledger).unwrap();
    std::fs::rename(ledger.with_extension("away"), &ledger).unwrap();
    let answers = flow.completed(&analysis).await;
    assert_eq!(answers[0].1.category(), "undetected");
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_not_there_is_a_failure_and_never_clean() {
    let flow = open(MANIFEST, "127.0.0.1:9", Arc::default()).await;
    wait_for(&flow, EngineState::BackingOff).await;
    let analysis = flow.submit(b"private words", "file").await;
    let answers = flow.completed(&analysis).await;
    let reason = answers[0].1.reason().unwrap_or_default().to_owned();
    assert!(
        reason.starts_with("the server cannot be asked"),
        "{answers:?}"
    );
    assert!(egress(&flow.store).is_empty());
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_try_has_a_line_of_its_own() {
    let silent = Play {
        silent: true,
        ..Play::default()
    };
    let fake = Fake::start(silent).await;
    let text = MANIFEST.replace("timeout_seconds = 2", "timeout_seconds = 1");
    let flow = open(&text, &fake.address, Arc::default()).await;
    let analysis = flow.submit(b"private words", "file").await;
    let answers = flow.completed(&analysis).await;
    assert_eq!(answers[0].1.category(), "timeout");
    assert_eq!(egress(&flow.store).len(), 2);
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_silent_on_eicar_is_not_shown_a_file() {
    let text = MANIFEST.replace("canary = false\n", "");
    let fake = Fake::start(Play::default()).await;
    let flow = open(&text, &fake.address, Arc::default()).await;
    let analysis = flow.submit(b"private words", "file").await;
    let answers = flow.completed(&analysis).await;
    let reason = answers[0].1.reason().unwrap_or_default().to_owned();
    assert!(reason.contains("does not detect EICAR"), "{answers:?}");
    let seen = fake.seen.lock().unwrap().clone();
    assert!(seen.iter().all(|seen| seen.body == support::eicar()));
    // That it was shown is in the ledger like everything else that leaves.
    let lines = egress(&flow.store);
    assert_eq!(lines.len(), seen.len());
    let eicar = Some(hash(&support::eicar()));
    assert!(lines.iter().all(|line| line.entry.sha256 == eicar));
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_detects_eicar_is_asked() {
    let text = MANIFEST.replace("canary = false\n", "");
    let fake = Fake::start(Play::answering(FOUND)).await;
    let flow = open(&text, &fake.address, Arc::default()).await;
    wait_for(&flow, EngineState::Ready).await;
    let analysis = flow.submit(b"private words", "file").await;
    let answers = flow.completed(&analysis).await;
    assert_eq!(answers[0].1.category(), "malicious");
    let bodies: Vec<_> = fake
        .seen
        .lock()
        .unwrap()
        .iter()
        .map(|s| s.body.clone())
        .collect();
    assert_eq!(bodies, [support::eicar(), b"private words".to_vec()]);
    flow.close().await;
}
