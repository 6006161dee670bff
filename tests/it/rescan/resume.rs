//! A planner stopped anywhere: the next one opens what is left, and nothing twice.

use std::collections::BTreeMap;
use std::time::Duration;

use acquit::model::{Digests, Md5, Rescan, RescanShare, Reuse, Sha1, Sha256, Timestamp};
use acquit::nightly::rescan::planner::Planner;
use acquit::store::{BLOBS, BlobRow, JOBS, Pair, RESCANS, SeenRow};
use acquit::system::now;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::lab::{A, B, Lab, versions};

fn blob(number: u16) -> Sha256 {
    let mut bytes = [0; 32];
    // Not in order of number, and close together.
    bytes[0] = (number % 7) as u8;
    bytes[30..].copy_from_slice(&number.to_be_bytes());
    Sha256::new(bytes)
}

/// Writes files of which `A` has seen every third, and `B` every second.
async fn fill(lab: &Lab, files: u16) {
    let fill = move |change: &mut acquit::store::Change<'_>| {
        for number in 0..files {
            let digests = Digests {
                sha256: blob(number),
                sha1: Sha1::new([0; 20]),
                md5: Md5::new([0; 16]),
            };
            let row = BlobRow {
                digests,
                size_bytes: 1,
                first_submission_at: Timestamp::from_millis(1),
                last_submission_at: Timestamp::from_millis(1),
                times_submitted: 1,
                names: Vec::new(),
                type_tag: None,
                last_analysis: None,
                open: Vec::new(),
            };
            change.put(&BLOBS, &blob(number), &row)?;
            for (engine, part) in [(A, 3), (B, 2)] {
                let set = if number.is_multiple_of(part) {
                    "first"
                } else {
                    "zero"
                };
                let seen = SeenRow {
                    pair: Pair::of(&versions(set)),
                    at: Timestamp::from_millis(1),
                    analysis: 1,
                    answer: None,
                    changes: 0,
                };
                change.put_seen(&(engine.parse().unwrap(), blob(number)), seen);
            }
        }
        change.put(&RESCANS, &1, &row())
    };
    lab.store.write(fill).await.unwrap();
}

fn row() -> Rescan {
    let engines = [A, B].map(|id| (id.parse().unwrap(), RescanShare::default()));
    Rescan {
        number: 1,
        reason: "a test wants it".to_owned(),
        engine: None,
        reuse: Reuse::Known,
        started_at: Timestamp::from_millis(1),
        completed_at: None,
        files: 0,
        analyses: 0,
        engines: BTreeMap::from(engines),
        cursor: None,
        planned: false,
    }
}

/// Plans to the end, with planners that stop after some steps or in the middle of one.
async fn plan(lab: &Lab, stops: Vec<(usize, Option<u64>)>) -> Rescan {
    let present = lab.present();
    let mut stops = stops.into_iter();
    loop {
        let mut row = lab.store.get(&RESCANS, &1).unwrap().unwrap();
        let mut planner = Planner::new(lab.store.clone(), lab.ingest.clone(), &row);
        let (steps, cut) = stops.next().unwrap_or((usize::MAX, None));
        for _ in 0..steps {
            if row.planned {
                return row;
            }
            row = planner.step(&row, &present, now()).await.unwrap();
        }
        if let Some(microseconds) = cut.filter(|_| !row.planned) {
            let step = planner.step(&row, &present, now());
            // The change may be made or not when nobody waits for it any more.
            let _ = tokio::time::timeout(Duration::from_micros(microseconds), step).await;
            lab.store.write(|_| Ok(())).await.unwrap();
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn stopped_planner_opens_everything_once(
        files in 0_u16..700,
        stops in prop::collection::vec((0_usize..3, prop::option::of(0_u64..20_000)), 0..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lab = Lab::bare().await;
            fill(&lab, files).await;
            let row = plan(&lab, stops).await;
            let jobs = lab.store.list(&JOBS, (&[], None), 5000).unwrap().rows;
            let mut found = BTreeMap::<(String, Sha256), u32>::new();
            for (key, job) in &jobs {
                *found.entry((key.engine.to_string(), job.id.analysis.sha256)).or_default() += 1;
            }
            let unseen = |number: &u16| {
                [(A, 3), (B, 2)].map(|(id, part)| (!number.is_multiple_of(part)).then(|| (id.to_owned(), blob(*number))))
            };
            let expected = (0..files).flat_map(|number| unseen(&number)).flatten();
            let expected: BTreeMap<_, _> = expected.map(|key| (key, 1)).collect();
            assert_eq!(found, expected);
            assert_eq!((row.totals().opened, row.totals().wanted), (jobs.len() as u64, jobs.len() as u64));
        });
    }
}
