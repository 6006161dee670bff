//! Rescans: what is planned, what is not, and what a file's timeline says of it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod lab;
mod resume;
mod timeline;

use std::collections::BTreeMap;

use acquit::model::{EventKind, Priority, Rescan, Reuse, Verdict};
use acquit::store::EVENTS;
use lab::{A, B, Lab};

const CLEAN: Verdict = Verdict::Undetected;

/// What was opened for the night, by blob: which engines.
fn opened(lab: &Lab) -> BTreeMap<u64, Vec<Vec<String>>> {
    let nightly = |number: &u64| {
        let page = lab.store.analyses_of(&Lab::blob(*number), None, 100);
        let analyses = page.unwrap().rows.into_iter();
        let nightly = analyses.filter(|analysis| analysis.priority == Priority::Nightly);
        let names = |engine: &acquit::model::EngineId| engine.to_string();
        nightly
            .map(|analysis| analysis.engines.iter().map(names).collect())
            .collect::<Vec<_>>()
    };
    let all = (0..).take_while(|number| lab.has(*number));
    let all = all.map(|number| (number, nightly(&number)));
    all.filter(|(_, nightly)| !nightly.is_empty()).collect()
}

fn rescans(lab: &Lab) -> Vec<Rescan> {
    lab.store.rescans(None, 100).unwrap().rows
}

#[tokio::test]
async fn nothing_new_opens_nothing() {
    let lab = Lab::open(3).await;
    lab.scan(&CLEAN).await;
    let rescans_asked = lab.start();
    rescans_asked.request("a test wants it".to_owned(), None, Reuse::Known);
    lab.idle().await;
    assert_eq!(opened(&lab), BTreeMap::new());
    assert_eq!(rescans(&lab), []);
    rescans_asked.order(None, Reuse::Known);
    let row = lab.completed(1).await;
    assert_eq!((row.files, row.analyses, row.totals().wanted), (3, 0, 0));
    assert_eq!(opened(&lab), BTreeMap::new());
    assert!(lab.coverage().contains(&format!("{{engine=\"{A}\"}} 1\n")));
}

#[tokio::test]
async fn one_engines_set_is_that_engines_work_only() {
    let lab = Lab::open(3).await;
    lab.scan(&CLEAN).await;
    lab.start();
    lab.idle().await;
    lab.promote(&[A], "second");
    lab.idle().await;
    let expected = (0..3).map(|number| (number, vec![vec![A.to_owned()]]));
    assert_eq!(opened(&lab), expected.collect());
    lab.scan(&CLEAN).await;
    let row = lab.completed(1).await;
    assert_eq!((row.totals().wanted, row.totals().done), (3, 3));
    let events = lab.store.list(&EVENTS, (&[], None), 10).unwrap().rows;
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind).collect();
    assert_eq!(
        kinds,
        [EventKind::RescanStarted, EventKind::RescanCompleted]
    );
}

#[tokio::test]
async fn two_engines_sets_are_one_analysis_of_each_file() {
    let lab = Lab::open(3).await;
    lab.scan(&CLEAN).await;
    lab.start();
    lab.idle().await;
    lab.promote(&[A, B], "second");
    lab.idle().await;
    let both = vec![vec![A.to_owned(), B.to_owned()]];
    let expected = (0..3).map(|number| (number, both.clone()));
    assert_eq!(opened(&lab), expected.collect());
}

#[tokio::test]
async fn what_waits_already_is_not_planned_again() {
    let lab = Lab::open(2).await;
    // Nobody has scanned: every job of the uploads waits.
    let asked = lab.start();
    asked.order(None, Reuse::Never);
    lab.completed(1).await;
    assert_eq!(opened(&lab), BTreeMap::new());
}

#[tokio::test]
async fn engine_that_failed_has_seen_the_file() {
    let lab = Lab::open(2).await;
    lab.scan(&Verdict::Timeout).await;
    let asked = lab.start();
    asked.order(None, Reuse::Known);
    lab.completed(1).await;
    assert_eq!(opened(&lab), BTreeMap::new());
}

#[tokio::test]
async fn engine_that_was_not_there_at_upload_sees_the_file_later() {
    let lab = Lab::bare().await;
    lab.upload(0, Some(A)).await;
    lab.scan(&CLEAN).await;
    lab.start();
    lab.idle().await;
    assert_eq!(
        opened(&lab),
        BTreeMap::from([(0, vec![vec![B.to_owned()]])])
    );
}

#[tokio::test]
async fn rescan_without_reuse_is_of_everything() {
    let lab = Lab::open(2).await;
    lab.scan(&CLEAN).await;
    let asked = lab.start();
    asked.order(Some(B.parse().unwrap()), Reuse::Never);
    lab.idle().await;
    let expected = (0..2).map(|number| (number, vec![vec![B.to_owned()]]));
    assert_eq!(opened(&lab), expected.collect());
    let shown = lab.metrics.text().unwrap();
    assert!(shown.contains("acquit_rescan_files{state=\"wanted\"} 2\n"));
    assert!(shown.contains("acquit_rescan_files{state=\"done\"} 0\n"));
}
