//! Promotions under load: no scan fails, and none is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acquit::model::Verdict;
use tokio::task::JoinSet;

use super::stage::Stage;

/// Promotions during the load.
const PROMOTIONS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn no_scan_fails_because_of_a_promotion() {
    let stage = Arc::new(Stage::open().await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for who in 0..3 {
        load.spawn(scan_on(stage.clone(), stop.clone(), who));
    }
    for n in 0..PROMOTIONS {
        let rule = format!("rule N{n} {{ strings: $a = \"number {n}\" condition: $a }}");
        stage.feed().bring(&rule);
        stage.promotes().await;
    }
    stop.store(true, Ordering::Release);
    let scanned: usize = load.join_all().await.into_iter().sum();
    assert!(scanned > PROMOTIONS, "only {scanned} scans");
    Arc::into_inner(stage).unwrap().flow.close().await;
}

/// Scans one file after the other; returns how many.
async fn scan_on(stage: Arc<Stage>, stop: Arc<AtomicBool>, who: usize) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::Acquire) {
        let verdict = stage.scan(format!("clean {who} {count}").as_bytes()).await;
        assert_eq!(verdict, Verdict::Undetected);
        count += 1;
    }
    count
}
