//! Measures how long a rescan takes to find out that there is nothing to do.
//!
//! Fills a store with files that every engine has seen and surveys it, with the
//! daemon's own code: `cargo run --release --example rescan-bench -- 125000 8 16`,
//! which are files, engines, and the cache in mebibytes (`cache_mb`). Nothing is asserted but that nothing is wanted.

use std::collections::BTreeMap;
use std::time::Instant;

use acquit::model::{
    Digests, EngineId, EngineVersions, Md5, Reuse, Sha1, Sha256, SignatureSetId, Timestamp,
};
use acquit::nightly::rescan::survey::{Present, Survey, survey};
use acquit::store::{Answered, BLOBS, BlobRow, Change, Pair, SeenRow, Store, StoreError};
use anyhow::ensure;
use sha2::Digest;

/// Files written in one change.
const GROUP: u64 = 500;
/// Mebibytes of cache that the daemon's configuration has by default.
const CACHE: u64 = 256;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse());
    let (files, engines, cache) = (number(125_000)?, number(8)?, number(CACHE)? << 20);
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let store = Store::open(dir.path(), cache)?;
    let present = (0..engines).map(|number| Ok((format!("engine-{number}").parse()?, versions())));
    let present: Present = present.collect::<anyhow::Result<_>>()?;
    let began = Instant::now();
    runtime.block_on(fill(&store, files, &present))?;
    println!("filled with {files} files in {:.1?}", began.elapsed());
    for pass in 1..=3 {
        let began = Instant::now();
        let found = survey(&store, &present, (Reuse::Known, now()))?;
        println!("pass {pass}: {:.2?}", began.elapsed());
        check(&found, files)?;
    }
    drop(store);
    let store = reopen(dir.path(), cache)?;
    let began = Instant::now();
    check(&survey(&store, &present, (Reuse::Known, now()))?, files)?;
    println!("after a restart: {:.2?}", began.elapsed());
    Ok(())
}

fn check(found: &Survey, files: u64) -> anyhow::Result<()> {
    ensure!(found.files == files, "{} files", found.files);
    for (engine, share) in &found.engines {
        ensure!(
            share.seen == files && share.wanted == 0,
            "{engine}: {share:?}"
        );
    }
    Ok(())
}

/// The writer lets go of the files a moment after the store is dropped.
fn reopen(dir: &std::path::Path, cache: u64) -> Result<Store, StoreError> {
    let pause = || std::thread::sleep(std::time::Duration::from_millis(100));
    let mut opened = (0..100).map(|_| {
        pause();
        Store::open(dir, cache)
    });
    let first = opened.find(Result::is_ok);
    first.unwrap_or_else(|| Store::open(dir, cache))
}

async fn fill(store: &Store, files: u64, present: &Present) -> Result<(), StoreError> {
    for from in (0..files).step_by(usize::try_from(GROUP).unwrap_or(1)) {
        let present = present.clone();
        let group = from..files.min(from + GROUP);
        let write = move |change: &mut Change<'_>| {
            group
                .clone()
                .try_for_each(|number| write(change, number, &present))
        };
        store.write(write).await?;
    }
    Ok(())
}

fn write(
    change: &mut Change<'_>,
    number: u64,
    present: &BTreeMap<EngineId, EngineVersions>,
) -> Result<(), StoreError> {
    let sha256 = Sha256::new(sha2::Sha256::digest(number.to_be_bytes()).into());
    change.put(&BLOBS, &sha256, &blob(sha256))?;
    for (engine, versions) in present {
        let pair = Pair::of(versions);
        let answer = Answered {
            pair,
            analysis: number,
            word: Some(1),
        };
        let row = SeenRow {
            pair,
            at: now(),
            analysis: number,
            answer: Some(answer),
            changes: 0,
        };
        change.put_seen(&(engine.clone(), sha256), row);
    }
    Ok(())
}

fn blob(sha256: Sha256) -> BlobRow {
    BlobRow {
        digests: Digests {
            sha256,
            sha1: Sha1::new([0; 20]),
            md5: Md5::new([0; 16]),
        },
        size_bytes: 1,
        first_submission_at: now(),
        last_submission_at: now(),
        times_submitted: 1,
        names: vec!["setup.exe".to_owned()],
        type_tag: None,
        last_analysis: None,
        open: Vec::new(),
    }
}

fn versions() -> EngineVersions {
    EngineVersions {
        image: format!("sha256:{}", "0".repeat(64)),
        signature_set: Some(SignatureSetId("0123456789abcdef".to_owned())),
        ..EngineVersions::default()
    }
}

const fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}
