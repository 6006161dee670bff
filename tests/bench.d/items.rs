//! Measures what a collection of a million items costs: a page, a tag, an item, memory.
//!
//! Fills a store and asks it, in a process of its own, with the daemon's own code:
//! `cargo run --release --example items-bench -- 1000000 256`, which are items and the cache in
//! mebibytes (`cache_mb`). The last line is the result as JSON. Asserted is only that the right
//! number of items comes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use acquit::config::Config;
use acquit::flow::collection::{Collections, Query};
use acquit::flow::ingest::Ingest;
use acquit::flow::queue::Lanes;
use acquit::model::{
    Digests, EngineTable, Item, ItemFile, ItemId, ItemPath, Md5, Publisher, PublisherId, Sha1,
    Sha256, Standing, Timestamp,
};
use acquit::store::{
    BLOB_ITEMS, BLOBS, BlobRow, Change, GRANTS, HOLDERS, HoldRow, ITEMS, PUBLISHERS, RowKey,
    STANDINGS, Store, StoreError, TAGGED,
};
use anyhow::{Context, ensure};
use serde_json::json;
use sha2::Digest;
use tokio::sync::watch;

/// Items written in one change.
const GROUP: u64 = 1000;
/// Items of the largest folder, of middle ones, of small ones.
const FOLDERS: [u64; 3] = [100_000, 1000, 40];
/// Items shown at once, VirusTotal's limit.
const PAGE: usize = 40;
/// Times each question is asked.
const ASKED: u64 = 2000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse());
    if let Some(dir) = arguments.get(2) {
        return measure(Path::new(dir), number(0, 0)?, number(1, 0)?);
    }
    let (items, cache) = (number(0, 1_000_000)?, number(1, 256)?);
    let dir = tempfile::tempdir_in(std::env::current_dir()?)?;
    let began = Instant::now();
    let runtime = tokio::runtime::Runtime::new()?;
    let store = Store::open(dir.path(), 256 << 20)?;
    runtime.block_on(fill(&store, items))?;
    drop(store);
    println!("filled with {items} items in {:.1?}", began.elapsed());
    // In another process, whose memory is that of asking and not of filling.
    let mut again = std::process::Command::new(std::env::current_exe()?);
    let again = again.args([items.to_string(), cache.to_string()]);
    let status = again.arg(dir.path()).status()?;
    ensure!(status.success(), "the measuring process failed");
    Ok(())
}

fn measure(dir: &Path, items: u64, cache: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    let store = Store::open(dir, cache << 20)?;
    println!("opened in {:.1?}", began.elapsed());
    let lanes = Lanes::open(store.clone())?;
    let (_engines, table) = watch::channel(EngineTable::default());
    let ingest = Ingest::new(store.clone(), lanes, table, 1);
    let collections = Collections::new(store.clone(), ingest, Arc::new(Config::default()));
    let asked = Asked {
        store,
        collections,
        items,
    };
    let mut result = serde_json::Map::new();
    for (name, ask) in QUESTIONS {
        let mut times = Vec::new();
        for number in 0..ASKED {
            let began = Instant::now();
            ask(&asked, scattered(number))?;
            times.push(began.elapsed());
        }
        times.sort();
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!(
            "{name}: p50 {p50:.2?}, p99 {p99:.2?}, longest {:.2?}",
            times[times.len() - 1]
        );
        result.insert(format!("{name}_p50_ms"), json!(millis(p50)));
        result.insert(format!("{name}_p99_ms"), json!(millis(p99)));
    }
    for (name, field) in [("memory_mb", "VmRSS:"), ("peak_mb", "VmHWM:")] {
        result.insert(name.to_owned(), json!(memory_mb(field)?));
    }
    println!("{}", serde_json::Value::Object(result));
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

struct Asked {
    store: Store,
    collections: Collections,
    items: u64,
}

type Question = fn(&Asked, u64) -> anyhow::Result<()>;

const QUESTIONS: [(&str, Question); 7] = [
    ("large_folder", |asked, number| {
        asked.folder(number % asked.items.min(FOLDERS[0]))
    }),
    ("any_folder", |asked, number| {
        asked.folder(number % asked.items)
    }),
    ("whole_tree", |asked, number| {
        let at = number % asked.items;
        let cursor = (owner()?, path(at)?).to_bytes();
        asked.page(&Query::default(), Some(&cursor)).map(drop)
    }),
    ("tag_of_none", |asked, _| asked.tag("solved-detections", 0)),
    ("tag_of_ten", |asked, _| asked.tag("new-detections", 10)),
    ("tag_of_ten_thousand", |asked, number| {
        let at = number % (asked.items / 100) * 100;
        let cursor = (content(at), owner()?, path(at)?).to_bytes();
        let query = Query {
            tags: vec!["detected".to_owned()],
            ..Query::default()
        };
        asked.page(&query, Some(&cursor)).map(drop)
    }),
    ("item", |asked, number| {
        let id = ItemId {
            publisher: owner()?,
            path: path(number % asked.items)?,
        };
        let item = asked.collections.get(&id)?.context("an item is missing")?;
        asked.show(&item)
    }),
];

impl Asked {
    /// A page of the folder an item is in, beginning with that item.
    fn folder(&self, number: u64) -> anyhow::Result<()> {
        let path = path(number)?;
        let query = Query {
            folder: path.parent(),
            ..Query::default()
        };
        let cursor = (owner()?, path).to_bytes();
        ensure!(self.page(&query, Some(&cursor))? > 0, "a page is empty");
        Ok(())
    }

    fn tag(&self, tag: &str, expected: usize) -> anyhow::Result<()> {
        let query = Query {
            tags: vec![tag.to_owned()],
            ..Query::default()
        };
        let found = self.page(&query, None)?;
        ensure!(found == expected, "{tag}: {found} items");
        Ok(())
    }

    /// Lists as the API does: with what is known of each file.
    fn page(&self, query: &Query, cursor: Option<&[u8]>) -> anyhow::Result<usize> {
        let page = self.collections.list(&owner()?, query, (cursor, PAGE))?;
        for (_, item) in &page.rows {
            self.show(item)?;
        }
        Ok(page.rows.len())
    }

    fn show(&self, item: &Item) -> anyhow::Result<()> {
        let Some(file) = &item.file else {
            return Ok(());
        };
        let blob = self.store.get(&BLOBS, &file.sha256)?;
        ensure!(blob.is_some(), "a blob is missing");
        self.store.get(&STANDINGS, &file.sha256)?;
        Ok(())
    }
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
    for from in (0..items).step_by(usize::try_from(GROUP)?) {
        let owner = owner()?;
        let paths = (from..items.min(from + GROUP)).map(|number| Ok((number, path(number)?)));
        let paths = paths.collect::<anyhow::Result<Vec<_>>>()?;
        let group = move |change: &mut Change<'_>| {
            let mut paths = paths.into_iter();
            paths.try_for_each(|(number, path)| write(change, &owner, (number, path)))
        };
        store.write(group).await?;
    }
    Ok(())
}

fn write(
    change: &mut Change<'_>,
    owner: &PublisherId,
    (number, path): (u64, ItemPath),
) -> Result<(), StoreError> {
    let sha256 = content(number);
    let mut above = path.parent();
    while let Some(folder) = above.filter(|folder| !folder.is_root()) {
        above = folder.parent();
        change.put(&ITEMS, &(owner.clone(), folder), &item(None))?;
    }
    let file = ItemFile {
        sha256,
        size_bytes: number,
        history: Vec::new(),
    };
    change.put(&ITEMS, &(owner.clone(), path.clone()), &item(Some(file)))?;
    change.put(&BLOBS, &sha256, &blob(sha256))?;
    change.put(&BLOB_ITEMS, &(sha256, owner.clone(), path), &())?;
    let hold = HoldRow {
        items: 1,
        since: now(),
    };
    change.put(&HOLDERS, &(sha256, owner.clone()), &hold)?;
    change.put(&GRANTS, &(sha256, format!("p:{owner}")), &now())?;
    change.put(&STANDINGS, &sha256, &Standing::default())?;
    if number % 100 == 0 {
        let detected = (owner.clone(), "detected".to_owned(), sha256);
        change.put(&TAGGED, &detected, &())?;
    }
    if number % 100 == 0 && number < 1000 {
        let fresh = (owner.clone(), "new-detections".to_owned(), sha256);
        change.put(&TAGGED, &fresh, &())?;
    }
    Ok(())
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

/// One large folder, a half in middle ones, the rest in small ones.
fn path(number: u64) -> anyhow::Result<ItemPath> {
    let [large, middle, small] = FOLDERS;
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
    Ok(text.parse()?)
}

fn owner() -> anyhow::Result<PublisherId> {
    Ok("bench".parse()?)
}

fn content(number: u64) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(number.to_be_bytes()).into())
}

/// Numbers in no order.
const fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn memory_mb(field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kilobytes
        .context("the kernel does not say")?
        .parse::<u64>()?
        >> 10)
}

const fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}
