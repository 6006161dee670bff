//! The life of a set: candidate, active, retired, rejected, and back.

use acquit::model::{EventKind, Expected, SetState, Sha256, UpdateOutcome, Verdict};
use acquit::nightly::Refusal;
use acquit::store::{Change, EVENTS, REFERENCES};
use acquit::system::now;
use sha2::Digest;

use super::stage::Stage;
use crate::support;

/// A rule that finds what these tests upload.
const FINDS: &str = "rule Found { strings: $a = \"made in our own house\" condition: $a }";
/// What these tests upload.
const OURS: &[u8] = b"a program made in our own house\n";
/// A rule that flags every program of the machine.
const FLAGS_PROGRAMS: &str = "rule Poison { condition: uint32(0) == 0x464c457f }";
/// A rule without which no other counts.
const BLINDS: &str = "global rule Never { condition: false }";

fn kinds(stage: &Stage) -> Vec<EventKind> {
    let page = stage.flow.store.list(&EVENTS, (&[], None), 100).unwrap();
    page.rows.into_iter().map(|(_, event)| event.kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_signatures_serve_after_the_canary() {
    let stage = Stage::open().await;
    let first = stage.active();
    assert_eq!(stage.scan(OURS).await, Verdict::Undetected);
    stage.feed().bring(FINDS);
    let second = stage.promotes().await;
    let canary = second.canary.unwrap();
    assert_eq!((canary.bad, canary.good), (1, 8));
    assert_eq!(second.parent, Some(first.id.clone()));
    assert!(matches!(stage.scan(OURS).await, Verdict::Malicious { .. }));
    let retired = stage.sets().into_iter().find(|set| set.id == first.id);
    assert_eq!(retired.unwrap().state, SetState::Retired);
    // The same again is nothing new, and makes no new set.
    let sets = stage.sets().len();
    stage.ends_as(UpdateOutcome::Unchanged).await;
    assert_eq!(stage.sets().len(), sets);
    stage.flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poisoned_blind_and_broken_sets_never_serve() {
    let stage = Stage::open().await;
    let good = stage.active();
    stage.feed().bring(FLAGS_PROGRAMS);
    let reason = stage.ends_as(UpdateOutcome::Rejected).await;
    assert!(
        reason.contains("/usr/") && reason.contains("Poison"),
        "{reason}"
    );
    stage.feed().bring(BLINDS);
    let reason = stage.ends_as(UpdateOutcome::Rejected).await;
    assert!(reason.contains("EICAR"), "{reason}");
    stage
        .feed()
        .bring_only("rule Other { condition: filesize == 1 }");
    let reason = stage.ends_as(UpdateOutcome::Rejected).await;
    assert!(reason.contains("EICAR"), "{reason}");
    stage.feed().bring_only("rule Broken {");
    stage.ends_as(UpdateOutcome::Rejected).await;
    let rejected: Vec<_> = stage.sets();
    let rejected = rejected
        .iter()
        .filter(|set| set.state == SetState::Rejected);
    let evidence: Vec<_> = rejected
        .flat_map(|set| &set.canary.as_ref().unwrap().evidence)
        .collect();
    assert!(
        evidence
            .iter()
            .any(|e| e.expected == Expected::Silence && e.verdict.is_detection())
    );
    assert!(evidence.iter().any(|e| e.expected == Expected::Detection));
    let raised = kinds(&stage);
    let raised = raised
        .iter()
        .filter(|kind| **kind == EventKind::CandidateRejected);
    assert_eq!(raised.count(), 4);
    assert_eq!(stage.active().id, good.id);
    assert!(matches!(
        stage.scan(&support::eicar()).await,
        Verdict::Malicious { .. }
    ));
    stage.flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_own_files_are_asked_about_too() {
    let stage = Stage::open().await;
    let updates = &stage.flow.config.updates;
    std::fs::create_dir_all(updates.known_good.join("yara")).unwrap();
    std::fs::write(updates.known_good.join("yara/ours.bin"), OURS).unwrap();
    // For another engine, so it is not asked about; without engines of that name it would be.
    stage.feed().bring(FINDS);
    let reason = stage.ends_as(UpdateOutcome::Rejected).await;
    assert!(
        reason.contains("ours.bin") && reason.contains("Found"),
        "{reason}"
    );
    std::fs::remove_dir_all(&updates.known_good).unwrap();
    std::fs::create_dir_all(&updates.known_bad).unwrap();
    std::fs::write(updates.known_bad.join("ours.bin"), OURS).unwrap();
    stage.feed().bring("");
    stage.feed().bring("rule Unrelated { condition: false }");
    let reason = stage.ends_as(UpdateOutcome::Rejected).await;
    assert!(
        reason.contains("does not find the known-bad file ours.bin"),
        "{reason}"
    );
    stage.feed().bring(FINDS);
    stage.promotes().await;
    stage.flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_active_set_says_of_a_program_is_not_held_against_a_new_one() {
    let stage = Stage::open().await;
    stage.feed().bring(FLAGS_PROGRAMS);
    stage.ends_as(UpdateOutcome::Rejected).await;
    let poisoned = stage
        .sets()
        .into_iter()
        .find(|set| set.state == SetState::Rejected)
        .unwrap();
    // The administrator wants it all the same.
    stage
        .desk()
        .promote(&stage.engine(), poisoned.id.clone())
        .await
        .unwrap();
    assert_eq!(stage.active().id, poisoned.id);
    stage.feed().bring(&format!("{FLAGS_PROGRAMS}\n{FINDS}"));
    let next = stage.promotes().await;
    assert!(!next.canary.unwrap().passed_over.is_empty());
    stage.flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_of_the_collection_can_be_a_reference() {
    let stage = Stage::open().await;
    assert_eq!(stage.scan(OURS).await, Verdict::Undetected);
    let sha256 = Sha256::new(sha2::Sha256::digest(OURS).into());
    let mark = move |change: &mut Change<'_>| change.put(&REFERENCES, &sha256, &now());
    stage.flow.store.write(mark).await.unwrap();
    stage.feed().bring(FINDS);
    let reason = stage.ends_as(UpdateOutcome::Rejected).await;
    // Everybody reads it: which file it is stands in the evidence, for those who see the file.
    assert_eq!(reason, "it is wrong about 1 reference");
    let sets = stage.sets().into_iter();
    let seen = sets
        .flat_map(|set| set.canary)
        .flat_map(|report| report.evidence);
    assert!(seen.into_iter().any(|evidence| evidence.sha256 == sha256));
    let unmark = move |change: &mut Change<'_>| {
        change.remove(&REFERENCES, &sha256);
        Ok(())
    };
    stage.flow.store.write(unmark).await.unwrap();
    stage.promotes().await;
    stage.flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_is_one_step_and_holds_until_released() {
    let stage = Stage::open().await;
    let (first, engine) = (stage.active(), stage.engine());
    stage.feed().bring(FINDS);
    let second = stage.promotes().await;
    let back = stage.desk().rollback(&engine).await.unwrap();
    assert_eq!((&back.id, back.state), (&first.id, SetState::Active));
    assert_eq!(stage.scan(OURS).await, Verdict::Undetected);
    assert!(matches!(
        stage.desk().update(&engine).await,
        Err(Refusal::Held { .. })
    ));
    assert!(matches!(
        stage.desk().rollback(&engine).await,
        Err(Refusal::Impossible(_))
    ));
    stage.desk().release(&engine).await.unwrap();
    assert_eq!(stage.promotes().await.id, second.id);
    stage.desk().hold(&engine).await.unwrap();
    assert!(matches!(
        stage.desk().update(&engine).await,
        Err(Refusal::Held { .. })
    ));
    let expected = [
        EventKind::SignaturesRolledBack,
        EventKind::SignaturesReleased,
        EventKind::SignaturesHeld,
    ];
    let raised = kinds(&stage);
    assert!(
        expected.iter().all(|kind| raised.contains(kind)),
        "{raised:?}"
    );
    stage.flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn update_that_fails_says_why_and_changes_nothing() {
    let stage = Stage::open().await;
    stage
        .feed()
        .script("echo looking; echo the mirror is down >&2; exit 7");
    let reason = stage.ends_as(UpdateOutcome::Failed).await;
    assert!(reason.contains("the mirror is down"), "{reason}");
    stage.feed().script("sleep 100");
    let reason = stage.ends_as(UpdateOutcome::Failed).await;
    assert!(reason.contains("20"), "{reason}");
    stage
        .feed()
        .script("dd if=/dev/zero of=/candidate/big bs=1M count=64; sleep 10");
    let reason = stage.ends_as(UpdateOutcome::Failed).await;
    assert!(reason.contains("16"), "{reason}");
    stage
        .feed()
        .script("ln -s /etc/passwd /sources/0/rules/x || true; exit 0");
    stage.feed().bring("");
    stage.ends_as(UpdateOutcome::Unchanged).await;
    stage.flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_during_an_update_is_refused_at_once() {
    let stage = Stage::open().await;
    stage.feed().script("sleep 3");
    let begun = stage.desk().update(&stage.engine()).await.unwrap();
    let refused = stage.desk().update(&stage.engine()).await;
    assert!(matches!(refused, Err(Refusal::Busy { .. })), "{refused:?}");
    let refused = stage.desk().rollback(&stage.engine()).await;
    assert!(matches!(refused, Err(Refusal::Busy { .. })), "{refused:?}");
    stage.ended(begun.number).await;
    let unknown = "nobody".parse().unwrap();
    let refused = stage.desk().update(&unknown).await;
    assert!(
        matches!(refused, Err(Refusal::UnknownEngine { .. })),
        "{refused:?}"
    );
    stage.flow.close().await;
}
