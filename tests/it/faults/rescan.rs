//! Rescans by real engines: people come first, and a kill costs neither a scan nor an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use acquit::model::{Priority, Reuse};
use acquit::nightly::rescan::{Parts, Rescanner};
use acquit::store::{BLOBS, RESCANS, Store};
use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::crash::random;
use super::daemon::Daemon;
use super::engine::{Evil, Style};
use crate::flow::Flow;

#[tokio::test(flavor = "multi_thread")]
async fn people_do_not_wait_for_a_rescan() {
    let mut evil = Evil::new();
    let engine = evil.add(Style::Loud, 4);
    evil.build().await;
    let flow = Flow::open_with(|config| evil.configure(config)).await;
    let mut uploads = Vec::new();
    for number in 0..40 {
        let text = format!("evil: sleep 50\n{number}");
        uploads.push(flow.submit(text.as_bytes(), "file").await);
    }
    for upload in &uploads {
        flow.completed(upload).await;
    }
    let (rescanner, rescans) = Rescanner::new(Parts {
        store: flow.store.clone(),
        ingest: flow.ingest.clone(),
        lanes: flow.lanes.clone(),
        engines: flow.engines.clone(),
        metrics: flow.metrics.clone(),
    });
    let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let stop = shutdown.clone();
    tasks.spawn(async move { rescanner.run(&stop).await });
    rescans.order(None, Reuse::Never);
    let waiting = || flow.lanes.depth(&engine).nightly;
    while waiting() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = waiting();
    let person = flow.submit(b"somebody waits", "now").await;
    flow.completed(&person).await;
    let after = waiting();
    // At most the batches under way went first.
    assert!(after > 20, "{before} waited before, {after} after");
    let row = || flow.store.get(&RESCANS, &1).unwrap().unwrap();
    while row().completed_at.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((row().totals().wanted, row().totals().done), (40, 40));
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rescan_of_a_killed_daemon_goes_on() {
    const FILES: u64 = 150;
    let mut evil = Evil::new();
    evil.add(Style::Loud, 8);
    evil.add(Style::Silent, 16);
    evil.build().await;
    let mut daemon = Daemon::new(&evil, |_, _| ());
    daemon.start();
    daemon.becomes_ready(true).await;
    let upload = |number| {
        let text = format!("evil: sleep 20\n{number}");
        let daemon = &daemon;
        async move { daemon.upload(text.as_bytes()).await.unwrap() }
    };
    let uploads = futures_util::stream::iter(0..FILES).map(upload);
    let ids: Vec<_> = uploads.buffer_unordered(16).collect().await;
    for id in &ids {
        daemon.verdicts(id).await;
    }
    let order = daemon.client.post(daemon.url("/api/v3/acquit/rescan"));
    let order = order.json(&serde_json::json!({"reuse": "never"}));
    assert!(order.send().await.unwrap().status().is_success());
    until(&daemon, "acquit_rescan_files{state=\"wanted\"}").await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(random() % 700)).await;
        daemon.kill();
        daemon.start();
        daemon.becomes_ready(true).await;
    }
    until(&daemon, "acquit_rescan_last_completed_timestamp_seconds").await;
    daemon.kill();
    check(&daemon, FILES).await;
}

/// Waits until a series is more than zero.
async fn until(daemon: &Daemon, series: &str) {
    for _ in 0..1200 {
        let asked = daemon.client.get(daemon.url("/metrics")).send().await;
        let text = asked.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        if value.is_some_and(|value| value.trim() != "0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{series} stays zero: {}", daemon.log());
}

/// Checks that every file has its upload's analysis and one of the rescan, both complete.
async fn check(daemon: &Daemon, files: u64) {
    let store = Store::open(&daemon.config.storage.data_dir, 1 << 22).unwrap();
    let row = store.get(&RESCANS, &1).unwrap().unwrap();
    assert_eq!((row.analyses, row.totals().done), (files, 2 * files));
    assert!(store.get(&RESCANS, &2).unwrap().is_none());
    let blobs = store.keys_after(&BLOBS, None, 1000).unwrap();
    assert_eq!(blobs.len() as u64, files);
    for blob in blobs {
        let mut found = BTreeMap::<_, u32>::new();
        for analysis in store.analyses_of(&blob, None, 100).unwrap().rows {
            assert!(analysis.pending.is_empty(), "{analysis:?}");
            assert_eq!(store.results(&analysis.id).unwrap().len(), 2);
            *found.entry(analysis.priority).or_default() += 1;
        }
        let once = BTreeMap::from([(Priority::Interactive, 1), (Priority::Nightly, 1)]);
        assert_eq!(found, once);
    }
}
