//! One blob, publishers who hold it or not, and engines that say what a test lets them say.

use std::collections::{BTreeMap, BTreeSet};

use acquit::flow::standing;
use acquit::flow::timeline::{self, Look};
use acquit::model::{
    Analysis, AnalysisId, Digests, EngineId, EngineResult, EngineVersions, Event, Incident, Md5,
    Priority, PublisherId, SetSource, SetState, Sha1, Sha256, SignatureSet, SignatureSetId,
    Standing, Timestamp, Verdict,
};
use acquit::store::{
    ANALYSES, BLOBS, BlobRow, Change, EVENTS, HOLDERS, HoldRow, INCIDENT_INDEX, INCIDENTS, RESULTS,
    Read, ResultKey, SETS, STANDINGS, STATISTICS, Store, StoreError, TAGGED, THREADS,
};

pub const BLOB: Sha256 = Sha256::new([7; 32]);
const START: u64 = 1_795_305_600_000;

pub struct Scene {
    _dir: tempfile::TempDir,
    pub store: Store,
    pub now: u64,
    /// When each engine last looked.
    last: BTreeMap<usize, u64>,
}

/// What an engine says, with which of its sets, and whether the look began before the last one.
#[derive(Clone, Debug)]
pub struct Says {
    pub engine: usize,
    pub verdict: Verdict,
    pub set: u64,
    pub late: bool,
    /// What it says of itself, if that is not `versions(set)`.
    pub by: Option<EngineVersions>,
}

pub fn engine(number: usize) -> EngineId {
    format!("engine-{number}").parse().unwrap()
}

pub fn publisher(number: usize) -> PublisherId {
    format!("publisher-{number}").parse().unwrap()
}

pub fn versions(set: u64) -> EngineVersions {
    EngineVersions {
        engine: Some("1.0".to_owned()),
        image: "sha256:1".to_owned(),
        signature_set: Some(SignatureSetId(format!("set-{set}"))),
        ..EngineVersions::default()
    }
}

fn set_row(engine: &EngineId, set: u64) -> SignatureSet {
    SignatureSet {
        engine: engine.clone(),
        id: SignatureSetId(format!("set-{set}")),
        state: SetState::Active,
        state_at: Timestamp::from_millis(set),
        created_at: Timestamp::from_millis(set),
        source: SetSource::Seed,
        digest: String::new(),
        files: 1,
        size_bytes: 1,
        own_bytes: 1,
        parent: None,
        versions: None,
        canary: None,
        reason: None,
        left_out: Vec::new(),
        on_disk: true,
    }
}

fn blob() -> BlobRow {
    let at = Timestamp::from_millis(START);
    BlobRow {
        digests: Digests {
            sha256: BLOB,
            sha1: Sha1::new([7; 20]),
            md5: Md5::new([7; 16]),
        },
        size_bytes: 1,
        first_submission_at: at,
        last_submission_at: at,
        times_submitted: 1,
        names: Vec::new(),
        type_tag: None,
        last_analysis: None,
        open: Vec::new(),
    }
}

impl Scene {
    pub async fn new(engines: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let rows = move |change: &mut Change<'_>| {
            change.put(&BLOBS, &BLOB, &blob())?;
            for engine in (0..engines).map(engine) {
                for set in 1..=9 {
                    let row = set_row(&engine, set);
                    change.put(&SETS, &(engine.clone(), row.id.clone()), &row)?;
                }
            }
            Ok(())
        };
        store.write(rows).await.unwrap();
        Self {
            _dir: dir,
            store,
            now: START,
            last: BTreeMap::new(),
        }
    }

    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// Lets the tree say that a publisher's first item points at the blob.
    pub async fn hold(&mut self, number: usize) {
        self.now += 1000;
        let (now, publisher) = (self.at(), publisher(number));
        let hold = move |change: &mut Change<'_>| {
            let row = HoldRow {
                items: 1,
                since: now,
            };
            change.put(&HOLDERS, &(BLOB, publisher.clone()), &row)?;
            standing::held(change, BLOB, &publisher, now)
        };
        self.store.write(hold).await.unwrap();
    }

    /// Lets the tree say that its last item is gone.
    pub async fn release(&mut self, number: usize) {
        self.now += 1000;
        let (now, publisher) = (self.at(), publisher(number));
        let release = move |change: &mut Change<'_>| {
            change.remove(&HOLDERS, &(BLOB, publisher.clone()));
            standing::released(change, BLOB, &publisher, now)
        };
        self.store.write(release).await.unwrap();
    }

    /// Lets engines answer in one analysis.
    pub async fn analyze(&mut self, said: &[Says]) {
        self.now += 1000;
        let now = self.now;
        let began = said.iter().map(|says| {
            let last = self.last.get(&says.engine).copied();
            let late = last.filter(|_| says.late).map(|last| last - 500);
            (says.clone(), late.unwrap_or(now))
        });
        let said: Vec<_> = began.collect();
        for (says, began) in &said {
            let last = self.last.entry(says.engine).or_default();
            *last = (*last).max(*began);
        }
        let write = move |change: &mut Change<'_>| answer(change, &said, now);
        self.store.write(write).await.unwrap();
    }

    /// One engine says one thing.
    pub async fn says(&mut self, number: usize, verdict: Verdict, set: u64) {
        let says = Says {
            engine: number,
            verdict,
            set,
            late: false,
            by: None,
        };
        self.analyze(&[says]).await;
    }

    /// One engine says one thing with versions of its own.
    pub async fn says_by(&mut self, number: usize, verdict: Verdict, by: EngineVersions) {
        let says = Says {
            engine: number,
            verdict,
            set: 0,
            late: false,
            by: Some(by),
        };
        self.analyze(&[says]).await;
    }

    pub fn standing(&self) -> Option<Standing> {
        self.store.get(&STANDINGS, &BLOB).unwrap()
    }

    pub fn incidents(&self) -> Vec<Incident> {
        let rows = self.store.rows(&INCIDENTS, (&[], None), 10_000).unwrap();
        rows.into_iter().map(|(_, incident)| incident).collect()
    }

    pub fn events(&self) -> Vec<Event> {
        let rows = self.store.rows(&EVENTS, (&[], None), 100_000).unwrap();
        rows.into_iter().map(|(_, event)| event).collect()
    }

    pub fn thread(&self) -> Vec<String> {
        let rows = self.store.rows(&THREADS, (&[], None), 10_000).unwrap();
        rows.into_iter().map(|(_, entry)| entry.text).collect()
    }

    /// Checks that indexes and counters are what a recount gives.
    pub fn recount(&self, holders: &[usize]) {
        let incidents = self.incidents();
        let index = self
            .store
            .rows(&INCIDENT_INDEX, (&[], None), 10_000)
            .unwrap();
        let index: BTreeSet<_> = index.into_iter().map(|(key, ())| key).collect();
        let counted = incidents.iter().map(|it| {
            let state = it.state.as_str().to_owned();
            (it.publisher.clone(), state, it.id)
        });
        assert_eq!(index, counted.collect(), "index of incidents");
        let tags = self.standing().map(|it| it.tags()).unwrap_or_default();
        let expected = holders.iter().flat_map(|holder| {
            let tags = tags.iter();
            tags.map(|tag| (publisher(*holder), tag.clone(), BLOB))
        });
        let expected: BTreeSet<_> = expected.collect();
        let tagged = self.store.rows(&TAGGED, (&[], None), 10_000).unwrap();
        let tagged: BTreeSet<_> = tagged.into_iter().map(|(key, ())| key).collect();
        assert_eq!(tagged, expected, "tags");
        let mut counters = BTreeMap::<_, u64>::new();
        for (publisher, tag, _) in &tagged {
            let key = (format!("n:tags:{publisher}"), tag.clone());
            *counters.entry(key).or_default() += 1;
        }
        for it in &incidents {
            let key = (
                format!("n:incidents:{}", it.engine),
                it.state.as_str().to_owned(),
            );
            *counters.entry(key).or_default() += 1;
        }
        let kept = self.store.rows(&STATISTICS, (b"n:", None), 10_000).unwrap();
        let kept: BTreeMap<_, _> = kept
            .into_iter()
            .map(|(key, number)| (key, number.as_u64().unwrap()))
            .collect();
        assert_eq!(kept, counters, "counters");
    }
}

fn answer(change: &mut Change<'_>, said: &[(Says, u64)], now: u64) -> Result<(), StoreError> {
    let id = AnalysisId {
        sha256: BLOB,
        number: now,
    };
    let at = Timestamp::from_millis(now);
    for (says, began) in said {
        let versions = says.by.clone().unwrap_or_else(|| versions(says.set));
        let result = EngineResult {
            verdict: says.verdict.clone(),
            versions: versions.clone(),
            finished_at: at,
            duration_ms: 1,
            raw_output: None,
            staged_name: None,
            change: None,
        };
        let key = ResultKey {
            analysis: id,
            engine: engine(says.engine),
        };
        let look = Look {
            result: &result,
            versions: Some(&versions),
            began: Timestamp::from_millis(*began),
        };
        timeline::note(change, &key, &look, at)?;
        change.put(&RESULTS, &key, &result)?;
    }
    let analysis = Analysis {
        id,
        created_at: at,
        completed_at: Some(at),
        engines: said.iter().map(|(says, _)| engine(says.engine)).collect(),
        pending: BTreeSet::new(),
        priority: Priority::Nightly,
    };
    change.put(&ANALYSES, &id, &analysis)?;
    let mut row: BlobRow = change.get(&BLOBS, &BLOB)?.unwrap();
    row.last_analysis = Some(id);
    change.put(&BLOBS, &BLOB, &row)?;
    standing::compare(change, &analysis, at)
}
