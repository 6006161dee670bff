//! Fills a data directory with a collection of a million items, as if they had come by themselves.
//!
//! `items-bench DIR ITEMS`: each file has its blob, its place, what eight engines said of it, with
//! what they looked, and the event that it came. `tests/bench` starts a daemon on the directory.
//! Rows are written in the order of their keys: in any other it would take hours and all memory.

use std::path::Path;
use std::time::Instant;

use acquit::model::{
    About, Analysis, AnalysisId, Detection, DetectionChange, DetectionName, Digests, EngineId,
    EngineResult, EngineVersions, Event, EventKind, Item, ItemFile, ItemPath, Md5, Priority,
    Publisher, PublisherId, Sha1, Sha256, SignatureSetId, Standing, StandingChange, Timestamp,
    Verdict,
};
use acquit::store::{
    ANALYSES, Answered, BLOB_ITEMS, BLOBS, BlobRow, Change, EVENTS, EventGlance, FOLDERS, GRANTS,
    HOLDERS, HoldRow, ITEMS, MD5S, PUBLISHER_EVENTS, PUBLISHERS, Pair, RESULTS, ResultKey, SHA1S,
    STANDINGS, SeenRow, Store, StoreError, TAGGED, word,
};
use anyhow::Context;
use sha2::Digest;

/// Items written in one change.
const GROUP: usize = 1000;
/// Bytes of cache.
const CACHE: u64 = 64 << 20;
/// Items of the largest folder, of middle ones, of small ones.
const FOLDER_SIZES: [u64; 3] = [100_000, 1000, 40];
/// One item of so many is detected, and so many of these since today.
const DETECTED: (u64, u64) = (100, 10);
/// Those that looked at everything.
const ENGINES: [&str; 8] = [
    "clamav",
    "guarddog",
    "kicomav",
    "oletools",
    "pdfid",
    "picklescan",
    "yara",
    "yara-x",
];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "items-bench DIR ITEMS";
    let dir = arguments.next().context(usage)?;
    let items = arguments.next().context(usage)?.parse()?;
    let began = Instant::now();
    let store = Store::open(Path::new(&dir), CACHE)?;
    tokio::runtime::Runtime::new()?.block_on(fill(&store, items))?;
    drop(store);
    println!("filled with {items} items in {:.1?}", began.elapsed());
    Ok(())
}

async fn fill(store: &Store, items: u64) -> anyhow::Result<()> {
    let row = Publisher {
        id: owner()?,
        name: "Bench".to_owned(),
        created_at: now(),
        emails: Vec::new(),
        policy: acquit::model::SharePolicy::default(),
        quota: acquit::model::Quota::default(),
        profile: acquit::model::Profile::default(),
        card: acquit::model::ReleaseCard::default(),
    };
    let found = store.write(move |change| change.put(&PUBLISHERS, &row.id, &row));
    found.await?;
    let mut numbers: Vec<u64> = (0..items).collect();
    in_groups(store, &numbers, placed).await?;
    numbers.sort_by_key(|number| content(*number));
    in_groups(store, &numbers, held).await?;
    in_groups(store, &numbers, analyzed).await?;
    for engine in ENGINES {
        let seen = move |change: &mut Change<'_>, _: &PublisherId, number: u64| {
            seen(change, engine, number);
            Ok(())
        };
        in_groups(store, &numbers, seen).await?;
    }
    Ok(())
}

/// Writes the rows of files, so many in one change.
async fn in_groups<F>(store: &Store, numbers: &[u64], write: F) -> anyhow::Result<()>
where
    F: Fn(&mut Change<'_>, &PublisherId, u64) -> Result<(), StoreError> + Copy + Send + 'static,
{
    for group in numbers.chunks(GROUP) {
        let (owner, group) = (owner()?, group.to_vec());
        let all = move |change: &mut Change<'_>| {
            let mut group = group.into_iter();
            group.try_for_each(|number| write(change, &owner, number))
        };
        store.write(all).await?;
    }
    Ok(())
}

/// Puts a file where it belongs, and writes down that it came.
fn placed(change: &mut Change<'_>, owner: &PublisherId, number: u64) -> Result<(), StoreError> {
    let path = path(number);
    let mut above = path.parent();
    while let Some(folder) = above.filter(|folder| !folder.is_root()) {
        above = folder.parent();
        let key = (owner.clone(), folder);
        change.put(&FOLDERS, &key, &())?;
        change.put(&ITEMS, &key, &item(None))?;
    }
    let file = ItemFile {
        sha256: content(number),
        size_bytes: number,
        history: Vec::new(),
    };
    change.put(&ITEMS, &(owner.clone(), path.clone()), &item(Some(file)))?;
    happened(change, owner, (number, path))
}

/// Writes down whose a blob is.
fn held(change: &mut Change<'_>, owner: &PublisherId, number: u64) -> Result<(), StoreError> {
    let sha256 = content(number);
    change.put(&BLOB_ITEMS, &(sha256, owner.clone(), path(number)), &())?;
    let hold = HoldRow {
        items: 1,
        since: now(),
    };
    change.put(&HOLDERS, &(sha256, owner.clone()), &hold)?;
    change.put(&GRANTS, &(sha256, format!("p:{owner}")), &now())
}

/// Writes down that a file came.
fn happened(
    change: &mut Change<'_>,
    owner: &PublisherId,
    (number, path): (u64, ItemPath),
) -> Result<(), StoreError> {
    let event = Event {
        number: now().millis() * 1000 + number,
        at: now(),
        kind: EventKind::ItemUploaded,
        engine: None,
        text: format!("{path} was uploaded"),
        details: serde_json::json!({ "size": number }),
        about: About {
            publisher: Some(owner.clone()),
            path: Some(path),
            sha256: Some(content(number)),
            incident: None,
            actor: Some("01234567".to_owned()),
        },
    };
    let glance = Some(EventGlance::of(&event));
    change.put(&PUBLISHER_EVENTS, &(owner.clone(), event.number), &glance)?;
    change.put(&EVENTS, &event.number, &event)
}

/// Writes down what the engines said of a file.
fn analyzed(change: &mut Change<'_>, owner: &PublisherId, number: u64) -> Result<(), StoreError> {
    let id = AnalysisId {
        sha256: content(number),
        number: now().millis(),
    };
    let blob = blob(id);
    change.put(&SHA1S, &blob.digests.sha1, &id.sha256)?;
    change.put(&MD5S, &blob.digests.md5, &id.sha256)?;
    change.put(&BLOBS, &id.sha256, &blob)?;
    let engines = ENGINES.map(|engine| engine.parse::<EngineId>().expect("it is one"));
    let analysis = Analysis {
        id,
        created_at: now(),
        completed_at: Some(now()),
        engines: engines.iter().cloned().collect(),
        pending: Default::default(),
        priority: Priority::Interactive,
    };
    change.put(&ANALYSES, &id, &analysis)?;
    for engine in engines {
        said(change, (id, engine), number)?;
    }
    stands(change, owner, (id, number))
}

fn said(
    change: &mut Change<'_>,
    (analysis, engine): (AnalysisId, EngineId),
    number: u64,
) -> Result<(), StoreError> {
    let result = EngineResult {
        verdict: verdict(&engine, number),
        versions: versions(&engine),
        finished_at: now(),
        duration_ms: 7,
        raw_output: None,
        staged_name: Some("0123456789abcdef".to_owned()),
        change: None,
    };
    change.put(&RESULTS, &ResultKey { analysis, engine }, &result)
}

/// Writes down with what an engine looked at a blob.
fn seen(change: &mut Change<'_>, engine: &str, number: u64) {
    let engine: EngineId = engine.parse().expect("it is one");
    let pair = Pair::of(&versions(&engine));
    let analysis = now().millis();
    let answer = Answered {
        pair,
        analysis,
        word: Some(word(&verdict(&engine, number))),
    };
    let row = SeenRow {
        pair,
        at: now(),
        analysis,
        answer: Some(answer),
        changes: 0,
    };
    change.put_seen(&(engine, content(number)), row);
}

/// Writes down where a blob stands, with the tags of that.
fn stands(
    change: &mut Change<'_>,
    owner: &PublisherId,
    (id, number): (AnalysisId, u64),
) -> Result<(), StoreError> {
    let engines = ENGINES.map(|engine| engine.parse::<EngineId>().expect("it is one"));
    let detecting = engines.iter().filter_map(|engine| {
        let Verdict::Malicious { name } = verdict(engine, number) else {
            return None;
        };
        let detection = Detection {
            name,
            suspicious: false,
            since: now(),
            versions: versions(engine),
        };
        Some((engine.clone(), detection))
    });
    let detections: std::collections::BTreeMap<_, _> = detecting.collect();
    let is_new = !detections.is_empty() && number < DETECTED.0 * DETECTED.1;
    let standing = Standing {
        analysis: Some(id),
        at: now(),
        answered: 8,
        first_detection_at: (!detections.is_empty()).then(now),
        detections,
        engines: engines.into(),
        change: is_new.then(|| StandingChange {
            kind: DetectionChange::New,
            at: acquit::system::now(),
        }),
        ..Standing::default()
    };
    for tag in standing.tags() {
        change.put(&TAGGED, &(owner.clone(), tag, id.sha256), &())?;
    }
    change.put(&STANDINGS, &id.sha256, &standing)
}

fn verdict(engine: &EngineId, number: u64) -> Verdict {
    match engine.as_str() {
        "clamav" if number.is_multiple_of(DETECTED.0) => Verdict::Malicious {
            name: DetectionName::new("Win.Test.Agent-4711"),
        },
        "guarddog" | "oletools" | "pdfid" | "picklescan" => Verdict::TypeUnsupported {
            reason: "it does not read this type".to_owned(),
        },
        _ => Verdict::Undetected,
    }
}

fn versions(engine: &EngineId) -> EngineVersions {
    EngineVersions {
        engine: Some("1.4.3".to_owned()),
        signatures: Some("27800".to_owned()),
        signatures_date: Some("20261125".to_owned()),
        license_expires: None,
        image: format!(
            "sha256:{}",
            hex::encode(sha2::Sha256::digest(engine.as_str()))
        ),
        signature_set: Some(SignatureSetId("0011223344556677".to_owned())),
    }
}

fn item(file: Option<ItemFile>) -> Item {
    Item {
        created_at: now(),
        modified_at: now(),
        creator: "01234567".to_owned(),
        file,
        details: None,
        card: None,
        policy: None,
    }
}

fn blob(id: AnalysisId) -> BlobRow {
    let bytes = id.sha256.as_bytes();
    let first = |count: usize| bytes.iter().copied().take(count);
    let (mut sha1, mut md5) = ([0; 20], [0; 16]);
    sha1.iter_mut()
        .zip(first(20))
        .for_each(|(to, byte)| *to = byte);
    md5.iter_mut()
        .zip(first(16))
        .for_each(|(to, byte)| *to = byte);
    BlobRow {
        digests: Digests {
            sha256: id.sha256,
            sha1: Sha1::new(sha1),
            md5: Md5::new(md5),
        },
        size_bytes: 1,
        first_submission_at: now(),
        last_submission_at: now(),
        times_submitted: 1,
        names: vec!["setup.exe".to_owned()],
        type_tag: Some("pe".to_owned()),
        last_analysis: Some(id),
        open: Vec::new(),
    }
}

/// One large folder, a half in middle ones, the rest in small ones.
fn path(number: u64) -> ItemPath {
    let [large, middle, small] = FOLDER_SIZES;
    let text = match number {
        number if number < large => format!("/large/file-{number:06}.exe"),
        number if number < 6 * large => {
            format!(
                "/products/line-{:04}/bin/library-{number}.dll",
                number / middle
            )
        }
        number => format!("/releases/{}/{number}.exe", number / small),
    };
    text.parse().expect("it is one")
}

fn owner() -> anyhow::Result<PublisherId> {
    Ok("bench".parse()?)
}

fn content(number: u64) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(number.to_be_bytes()).into())
}

const fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}
