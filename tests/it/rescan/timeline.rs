//! What a file's timeline says: which set introduced a detection, and which took it away.

use std::time::Duration;

use acquit::flow::ingest::Submission;
use acquit::model::{
    ChangeKind, DetectionName, EngineId, EngineResult, EngineVersions, Priority, Reuse, Verdict,
};
use acquit::system::now;

use super::lab::{A, B, Lab, versions};

fn detected(name: &str) -> Verdict {
    Verdict::Malicious {
        name: DetectionName::new(name),
    }
}

/// Has the file looked at again with a set, and the answer recorded.
async fn look(lab: &Lab, set: &str, verdict: &Verdict) -> EngineResult {
    lab.promote(&[A], set);
    let submission = Submission {
        name: None,
        engines: Some([engine()].into()),
        priority: Priority::Nightly,
        reuse: Reuse::Never,
        now: now(),
    };
    let opened = lab.ingest.reanalyze(Lab::blob(0), submission);
    let analysis = opened.await.unwrap().unwrap();
    assert_eq!(lab.scan(verdict).await, 1);
    let mut results = lab.store.results(&analysis.id).unwrap();
    results.remove(&engine()).unwrap()
}

fn engine() -> EngineId {
    A.parse().unwrap()
}

/// Each row: what is said, since which set, what was said before, and with which.
fn told(lab: &Lab) -> Vec<(Verdict, String, Option<Verdict>, Option<String>)> {
    let set = |versions: EngineVersions| versions.signature_set.unwrap().0;
    let id = engine();
    let page = lab.store.timeline((&Lab::blob(0), Some(&id)), None, 100);
    let rows = page.unwrap().rows.into_iter();
    rows.map(|(engine, row)| {
        assert_eq!(engine, id);
        let before = row.versions_before.map(set);
        (row.verdict, set(row.versions), row.before, before)
    })
    .collect()
}

#[tokio::test]
async fn timeline_names_the_set_that_introduced_and_the_one_that_removed() {
    let lab = Lab::open(1).await;
    lab.scan(&Verdict::Undetected).await;
    assert_eq!(told(&lab), []);
    let same = look(&lab, "a", &Verdict::Undetected).await;
    assert_eq!(same.change, None);
    let introduced = look(&lab, "b", &detected("Bad")).await.change.unwrap();
    assert_eq!(introduced.kind, ChangeKind::Introduced);
    assert_eq!(introduced.versions_before, versions("a"));
    let failed = look(&lab, "b2", &Verdict::Timeout).await;
    assert_eq!(failed.change, None);
    look(&lab, "b3", &detected("Bad")).await;
    let removed = look(&lab, "c", &Verdict::Undetected).await.change.unwrap();
    assert_eq!(removed.kind, ChangeKind::Removed);
    assert_eq!(removed.before, detected("Bad"));
    let set = |set: &str| Some(set.to_owned());
    let (clean, bad) = (Verdict::Undetected, detected("Bad"));
    let expected = [
        (bad.clone(), "b".to_owned(), Some(clean.clone()), set("a")),
        (clean, "c".to_owned(), Some(bad), set("b3")),
    ];
    assert_eq!(told(&lab), expected);
}

#[tokio::test]
async fn first_detection_and_every_new_name_are_told() {
    let lab = Lab::bare().await;
    lab.upload(0, None).await;
    lab.scan(&detected("One")).await;
    let renamed = look(&lab, "a", &detected("Two")).await.change.unwrap();
    assert_eq!(renamed.kind, ChangeKind::Changed);
    let said: Vec<_> = told(&lab).into_iter().map(|row| (row.0, row.2)).collect();
    let expected = [
        (detected("One"), None),
        (detected("Two"), Some(detected("One"))),
    ];
    assert_eq!(said, expected);
    let both = lab.store.timeline((&Lab::blob(0), None), None, 2).unwrap();
    assert_eq!((both.rows.len(), both.next.is_some()), (2, true));
    let rest = lab
        .store
        .timeline((&Lab::blob(0), None), both.next.as_deref(), 2);
    let rest = rest.unwrap();
    assert_eq!(rest.rows[0].0.as_str(), B);
    assert!(rest.next.is_none());
}

#[tokio::test]
async fn slow_scan_with_old_signatures_takes_no_new_word_back() {
    let lab = Lab::open(1).await;
    lab.scan(&Verdict::Undetected).await;
    lab.promote(&[A], "old");
    let submission = |reuse| Submission {
        name: None,
        engines: Some([engine()].into()),
        priority: Priority::Nightly,
        reuse,
        now: now(),
    };
    let reanalyze = lab.ingest.reanalyze(Lab::blob(0), submission(Reuse::Never));
    let old = reanalyze.await.unwrap().unwrap();
    let slow = lab.lease(&engine(), &Verdict::Undetected);
    tokio::time::sleep(Duration::from_millis(50)).await;
    look(&lab, "new", &detected("Bad")).await;
    let run = lab.run(versions("old"), Duration::from_secs(30));
    lab.recorder.record(slow, &run).await.unwrap();
    assert_eq!(told(&lab).len(), 1);
    assert_eq!(told(&lab)[0].1, "new");
    let result = &lab.store.results(&old.id).unwrap()[&engine()];
    assert_eq!(
        (&result.verdict, &result.change),
        (&Verdict::Undetected, &None)
    );
    // Its answer is no answer of the new signatures either.
    let reanalyze = lab.ingest.reanalyze(Lab::blob(0), submission(Reuse::Known));
    let known = reanalyze.await.unwrap().unwrap();
    let result = &lab.store.results(&known.id).unwrap()[&engine()];
    assert_eq!(result.verdict, detected("Bad"));
    let last = lab
        .store
        .last_results(&Lab::blob(0), [&engine(), &B.parse().unwrap()]);
    let last = last.unwrap();
    let said: Vec<_> = last.iter().map(|(_, result)| &result.verdict).collect();
    assert_eq!(said, [&detected("Bad"), &Verdict::Undetected]);
}
