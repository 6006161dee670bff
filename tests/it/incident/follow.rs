//! What follows from what engines say.

use acquit::flow::incident::desk::{Done, Hand, Wish, act};
use acquit::flow::incident::{Confirmed, Seat, confirmed, notified, watch};
use acquit::model::{DetectionName, EngineVersions, EventKind, IncidentState, KeptReason, Verdict};
use proptest::prelude::*;

use super::scene::{BLOB, Says, Scene, engine, publisher, versions};

fn detects(name: &str) -> Verdict {
    Verdict::Malicious {
        name: DetectionName::new(name),
    }
}

fn unsupported() -> Verdict {
    Verdict::TypeUnsupported {
        reason: "too large".to_owned(),
    }
}

fn kinds(scene: &Scene) -> Vec<EventKind> {
    scene.events().into_iter().map(|event| event.kind).collect()
}

#[track_caller]
fn states(scene: &Scene) -> Vec<IncidentState> {
    scene.incidents().into_iter().map(|one| one.state).collect()
}

#[tokio::test]
async fn incident_opens_and_resolves_with_both_sets_named() {
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    scene.says(0, Verdict::Undetected, 1).await;
    scene.says(0, Verdict::Undetected, 2).await;
    assert!(scene.events().is_empty());
    scene.says(0, detects("Bad.A"), 3).await;
    let incident = scene.incidents().remove(0);
    assert_eq!(incident.state, IncidentState::Open);
    let before = incident.before.unwrap();
    assert_eq!(before.versions.signature_set.unwrap().0, "set-2");
    assert_eq!(incident.detected.versions.signature_set.unwrap().0, "set-3");
    scene.says(0, Verdict::Undetected, 4).await;
    let incident = scene.incidents().remove(0);
    assert_eq!(incident.state, IncidentState::Resolved);
    let resolved = incident.resolved.unwrap();
    assert_eq!(resolved.versions.signature_set.unwrap().0, "set-4");
    use EventKind::{DetectionsChanged, IncidentOpened, IncidentResolved};
    let expected = [
        DetectionsChanged,
        IncidentOpened,
        DetectionsChanged,
        IncidentResolved,
    ];
    assert_eq!(kinds(&scene), expected);
    let thread = scene.thread();
    let last = thread.last().unwrap();
    assert!(last.contains("set-3") && last.contains("set-4"), "{last}");
    let event = scene.events().remove(0);
    assert_eq!(
        event.details["engines"][0]["versions_before"]["signature_set"],
        "set-2"
    );
    assert_eq!(
        event.details["engines"][0]["versions"]["signature_set"],
        "set-3"
    );
    assert_eq!(event.about.publisher, Some(publisher(1)));
}

#[tokio::test]
async fn failure_timeout_and_unreadable_type_resolve_nothing() {
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    scene.says(0, detects("Bad.A"), 1).await;
    for verdict in [Verdict::failure("x"), Verdict::Timeout, unsupported()] {
        scene.says(0, verdict, 5).await;
        assert_eq!(states(&scene), [IncidentState::Open]);
        assert_eq!(scene.standing().unwrap().detections.len(), 1);
    }
}

#[tokio::test]
async fn rollback_and_the_same_set_leave_an_entry_once() {
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    scene.says(0, detects("Bad.A"), 3).await;
    scene.says(0, Verdict::Undetected, 3).await;
    scene.says(0, Verdict::Undetected, 2).await;
    scene.says(0, Verdict::Undetected, 2).await;
    assert_eq!(states(&scene), [IncidentState::Open]);
    assert_eq!(scene.thread().len(), 2, "{:?}", scene.thread());
    scene.says(0, Verdict::Undetected, 4).await;
    assert_eq!(states(&scene), [IncidentState::Resolved]);
}

/// Says what became of an incident that was detected by one thing and called clean by another.
async fn after(detected: EngineVersions, clean: EngineVersions) -> IncidentState {
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    scene.says_by(0, detects("Bad.A"), detected).await;
    scene.says_by(0, Verdict::Undetected, clean).await;
    states(&scene).remove(0)
}

/// What an engine scans with: its version, its image, its set, the day of its signatures.
fn by((engine, image): (&str, &str), set: Option<u64>, day: Option<&str>) -> EngineVersions {
    EngineVersions {
        engine: Some(engine.to_owned()),
        image: image.to_owned(),
        signature_set: set.and_then(|set| versions(set).signature_set),
        signatures_date: day.map(str::to_owned),
        ..EngineVersions::default()
    }
}

#[tokio::test]
async fn only_newer_signatures_or_a_greater_version_resolve() {
    use IncidentState::{Open, Resolved};
    let was = by(("1.9", "a"), Some(3), Some("20261101"));
    for (clean, expected) in [
        // Built again, with the same set, an older one, a newer one.
        (by(("1.9", "b"), Some(3), Some("20261101")), Open),
        (by(("1.9", "b"), Some(2), None), Open),
        (by(("1.9", "b"), Some(4), None), Resolved),
        // Of the day the engine tells and the moment the set came here the day counts.
        (by(("1.9", "a"), Some(4), Some("20261031")), Open),
        (by(("1.9", "a"), Some(2), Some("20261102")), Resolved),
        (by(("1.9", "a"), Some(4), Some("20261101")), Resolved),
        // A downgrade, an upgrade, and an upgrade that went back to older signatures.
        (by(("1.8", "b"), Some(3), None), Open),
        (by(("1.10", "b"), Some(3), None), Resolved),
        (by(("1.10", "b"), Some(2), None), Open),
        // A set nobody knows anything of.
        (by(("1.9", "a"), Some(77), None), Open),
    ] {
        let state = after(was.clone(), clean.clone()).await;
        assert_eq!(state, expected, "{clean:?}");
    }
}

#[tokio::test]
async fn engine_without_signatures_resolves_by_a_greater_version_and_not_by_a_build() {
    use IncidentState::{Open, Resolved};
    for (clean, expected) in [
        (("2.10.1", "b"), Resolved),
        (("2.9", "b"), Open),
        (("2.8", "b"), Open),
        (("unknown", "b"), Open),
    ] {
        let (was, is) = (by(("2.9", "a"), None, None), by(clean, None, None));
        assert_eq!(after(was, is).await, expected, "{clean:?}");
    }
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    for (verdict, image) in [(detects("Bad.A"), "a"), (Verdict::Undetected, "b")] {
        scene
            .says_by(0, verdict, by(("2.9", image), None, None))
            .await;
    }
    let thread = scene.thread();
    let last = thread.last().unwrap();
    assert!(last.contains("another image of the same version"), "{last}");
}

#[tokio::test]
async fn regression_opens_the_same_incident_again() {
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    scene.says(0, detects("Bad.A"), 1).await;
    scene.says(0, Verdict::Undetected, 2).await;
    scene.says(0, detects("Bad.B"), 3).await;
    let incidents = scene.incidents();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].state, IncidentState::Open);
    assert_eq!(incidents[0].reopened_count, 1);
    assert_eq!(incidents[0].detection.as_str(), "Bad.B");
    assert!(kinds(&scene).contains(&EventKind::IncidentReopened));
}

#[tokio::test]
async fn blob_scanned_before_it_was_held_has_its_incidents_at_once() {
    let mut scene = Scene::new(2).await;
    scene.says(0, Verdict::Undetected, 1).await;
    scene.says(0, detects("Bad.A"), 2).await;
    scene.says(1, Verdict::Undetected, 2).await;
    assert!(scene.standing().is_none());
    scene.hold(1).await;
    let standing = scene.standing().unwrap();
    assert_eq!(standing.answered, 2);
    assert!(standing.tags().contains("new-detections"));
    let incident = scene.incidents().remove(0);
    assert_eq!(
        incident.before.unwrap().versions.signature_set.unwrap().0,
        "set-1"
    );
    scene.recount(&[1]);
    scene.release(1).await;
    assert!(scene.standing().is_none());
    let incident = scene.incidents().remove(0);
    assert_eq!(incident.kept, Some(KeptReason::Removed));
    scene.hold(1).await;
    assert_eq!(states(&scene), [IncidentState::Open]);
    scene.recount(&[1]);
}

#[tokio::test]
async fn file_that_returns_and_is_called_clean_resolves_what_its_removal_ended() {
    for clean_before_it_returns in [true, false] {
        let mut scene = Scene::new(1).await;
        scene.hold(1).await;
        scene.says(0, detects("Bad.A"), 1).await;
        scene.release(1).await;
        if clean_before_it_returns {
            scene.says(0, Verdict::Undetected, 2).await;
            scene.hold(1).await;
        } else {
            // Of another's collection, in which it stayed.
            scene.hold(2).await;
            scene.hold(1).await;
            scene.says(0, Verdict::Undetected, 2).await;
            assert_eq!(states(&scene), [IncidentState::Resolved; 2]);
        }
        let incident = scene.incidents().remove(0);
        assert_eq!(
            (incident.state, incident.kept),
            (IncidentState::Resolved, None)
        );
    }
}

#[tokio::test]
async fn change_of_the_day_stays_for_the_day() {
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    scene.says(0, detects("Bad.A"), 1).await;
    let tags = |scene: &Scene| scene.standing().unwrap().tags();
    scene.says(0, detects("Bad.A"), 1).await;
    assert!(tags(&scene).contains("new-detections"));
    scene.now += 24 * 60 * 60 * 1000;
    scene.says(0, detects("Bad.A"), 1).await;
    assert!(!tags(&scene).contains("new-detections"));
    assert!(tags(&scene).contains("detected") && tags(&scene).contains("engine-0"));
    scene.recount(&[1]);
}

#[tokio::test]
async fn vendor_that_stands_by_it_keeps_it_until_it_does_no_more() {
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    scene.says(0, detects("Bad.A"), 1).await;
    for (said, state) in [
        (Confirmed::Yes, IncidentState::Kept),
        (Confirmed::No, IncidentState::Open),
        (Confirmed::Yes, IncidentState::Kept),
    ] {
        let now = scene.at();
        let write = scene.store.write(move |change| {
            let seat = Seat {
                sha256: BLOB,
                publisher: &publisher(1),
            };
            confirmed(change, (&seat, &engine(0)), said, now)
        });
        write.await.unwrap();
        assert_eq!(states(&scene), [state]);
    }
    scene.says(0, Verdict::Undetected, 2).await;
    assert_eq!(states(&scene), [IncidentState::Resolved]);
    scene.recount(&[1]);
}

#[tokio::test]
async fn deadline_is_set_and_told_once() {
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    scene.says(0, detects("Bad.A"), 1).await;
    watch::pass(&scene.store, 7, scene.at()).await.unwrap();
    let deadline = scene.incidents()[0].deadline.unwrap();
    assert_eq!(deadline.since(scene.at()).as_secs(), 7 * 24 * 60 * 60);
    let overdue = |scene: &Scene| {
        let kinds = kinds(scene);
        kinds
            .iter()
            .filter(|kind| **kind == EventKind::IncidentOverdue)
            .count()
    };
    assert_eq!(overdue(&scene), 0);
    scene.now = deadline.millis();
    for _ in 0..3 {
        watch::pass(&scene.store, 7, scene.at()).await.unwrap();
        assert_eq!(overdue(&scene), 1);
    }
    scene.says(0, Verdict::Undetected, 2).await;
    scene.recount(&[1]);
}

#[tokio::test]
async fn somebody_told_makes_open_notified_and_nothing_else() {
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    scene.says(0, detects("Bad.A"), 1).await;
    let tell = |scene: &Scene| {
        let (store, now) = (scene.store.clone(), scene.at());
        async move {
            store
                .write(move |change| notified(change, 1, "a@b", now))
                .await
                .unwrap()
        }
    };
    assert_eq!(tell(&scene).await.unwrap().state, IncidentState::Notified);
    let hand = Hand {
        author: "alice".to_owned(),
        at: scene.at(),
    };
    let close = move |change: &mut acquit::store::Change<'_>| {
        act(change, 1, Wish::Close("ours".to_owned()), &hand)
    };
    let done = scene.store.write(close).await.unwrap();
    assert!(matches!(done, Done::Yes(incident) if incident.kept == Some(KeptReason::Publisher)));
    assert_eq!(tell(&scene).await.unwrap().state, IncidentState::Kept);
    scene.recount(&[1]);
}

/// What becomes of one engine's incident, told again in other words.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Fate {
    #[default]
    None,
    Live,
    Over,
    Gone,
}

#[derive(Clone, Debug)]
enum Step {
    Say(Vec<Says>),
    Toggle(usize),
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Undetected),
        Just(detects("Bad.A")),
        Just(detects("Bad.B")),
        Just(Verdict::Timeout),
        Just(Verdict::failure("broken")),
        Just(unsupported()),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let says = |engine: usize| {
        (verdicts(), 1..5_u64, prop::bool::weighted(0.1)).prop_map(move |(verdict, set, late)| {
            Says {
                engine,
                verdict,
                set,
                late,
                by: None,
            }
        })
    };
    let one = prop_oneof![
        4 => says(0).prop_map(|one| Step::Say(vec![one])),
        4 => (says(0), says(1)).prop_map(|(one, other)| Step::Say(vec![one, other])),
        2 => (0..2_usize).prop_map(Step::Toggle),
    ];
    prop::collection::vec(one, 1..25)
}

#[derive(Default)]
struct Model {
    holds: [bool; 2],
    detects: [bool; 2],
    looked: [bool; 2],
    /// With which set each engine detected the file last, and as far as a publisher's incident knows.
    set: [u64; 2],
    known: [[u64; 2]; 2],
    /// With which set each engine calls the file clean, if that is its last word.
    clean: [Option<u64>; 2],
    fates: [[Fate; 2]; 2],
}

impl Model {
    fn say(&mut self, says: &Says) {
        let e = says.engine;
        let late = says.late && self.looked[e];
        if late {
            return;
        }
        self.looked[e] = true;
        match &says.verdict {
            Verdict::Malicious { .. } | Verdict::Suspicious { .. } => {
                self.detects[e] = true;
                self.set[e] = says.set;
                self.clean[e] = None;
                for p in 0..2 {
                    if self.holds[p] {
                        self.fates[p][e] = Fate::Live;
                        self.known[p][e] = says.set;
                    }
                }
            }
            Verdict::Undetected => {
                self.detects[e] = false;
                self.clean[e] = Some(says.set);
                for p in 0..2 {
                    let ends = matches!(self.fates[p][e], Fate::Live | Fate::Gone);
                    if self.holds[p] && ends && says.set > self.known[p][e] {
                        self.fates[p][e] = Fate::Over;
                    }
                }
            }
            Verdict::TypeUnsupported { .. } => self.clean[e] = None,
            Verdict::Timeout | Verdict::Failure { .. } => {}
        }
    }

    fn toggle(&mut self, p: usize) {
        self.holds[p] = !self.holds[p];
        for e in 0..2 {
            match (self.holds[p], self.fates[p][e]) {
                (true, _) if self.detects[e] => {
                    self.fates[p][e] = Fate::Live;
                    self.known[p][e] = self.set[e];
                }
                (true, Fate::Gone) if self.clean[e] > Some(self.known[p][e]) => {
                    self.fates[p][e] = Fate::Over;
                }
                (false, Fate::Live) => self.fates[p][e] = Fate::Gone,
                _ => {}
            }
        }
    }

    fn check(&self, scene: &Scene) {
        let mut fates = [[Fate::None; 2]; 2];
        for one in scene.incidents() {
            let p = (0..2).find(|p| publisher(*p) == one.publisher).unwrap();
            let e = (0..2).find(|e| engine(*e) == one.engine).unwrap();
            fates[p][e] = match (one.state, one.kept) {
                (IncidentState::Open, None) => Fate::Live,
                (IncidentState::Resolved, None) => Fate::Over,
                (IncidentState::Kept, Some(KeptReason::Removed)) => Fate::Gone,
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(fates, self.fates);
        let holders: Vec<_> = (0..2).filter(|p| self.holds[*p]).collect();
        if !holders.is_empty() {
            let standing = scene.standing().unwrap_or_default();
            for e in 0..2 {
                let stands = standing.detections.contains_key(&engine(e));
                assert_eq!(stands, self.detects[e], "engine {e}");
            }
        }
        scene.recount(&holders);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn incidents_follow_a_model_that_was_written_apart(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::new(2).await;
            let mut model = Model::default();
            for step in &steps {
                match step {
                    Step::Say(said) => {
                        scene.analyze(said).await;
                        said.iter().for_each(|says| model.say(says));
                    }
                    Step::Toggle(p) => {
                        model.toggle(*p);
                        if model.holds[*p] {
                            scene.hold(*p).await;
                        } else {
                            scene.release(*p).await;
                        }
                    }
                }
                model.check(&scene);
            }
        });
    }
}
