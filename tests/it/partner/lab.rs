//! Two publishers, two vendors, and blobs of every kind.

use std::collections::{BTreeMap, BTreeSet};

use acquit::model::{
    ApiKey, Detection, DetectionName, Item, ItemFile, ItemId, ItemPath, KeyRole, PublisherId, Seat,
    Sha256, SharePolicy, Standing, Timestamp, Verdict,
};
use acquit::store::{
    BLOB_ITEMS, BLOBS, HOLDERS, HoldRow, ITEMS, KEYS, KeyRow, PUBLISHERS, STANDINGS, TAGGED,
    VENDORS,
};
use reqwest::Client;
use serde_json::json;

use crate::http::appliance::{Appliance, client, malicious, versions};

pub const PUBLISHERS_HERE: [&str; 2] = ["acme", "beta"];
/// Each vendor with its engine.
pub const VENDORS_HERE: [(&str, &str); 2] = [("clam", "clamav"), ("yarists", "yara")];
pub const POLICIES: [SharePolicy; 4] = [
    SharePolicy::Never,
    SharePolicy::MetadataOnly,
    SharePolicy::FileOnRequest,
    SharePolicy::File,
];

pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// Noon of a day on which the tests' bundles are made: yesterday or so, never the future.
pub fn noon() -> Timestamp {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    at(now / 86_400 * 86_400 + 43_200)
}

/// A blob that is to be here: with which policy each publisher has it, who detects it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub owners: Vec<(&'static str, SharePolicy)>,
    pub engines: Vec<&'static str>,
}

impl Plan {
    pub fn of(owner: &'static str, policy: SharePolicy, engines: &[&'static str]) -> Self {
        Self {
            owners: vec![(owner, policy)],
            engines: engines.to_vec(),
        }
    }

    /// Every policy of either publisher or of both, detected by neither, one or both engines.
    pub fn all() -> Vec<Self> {
        let choices: Vec<_> = std::iter::once(None).chain(POLICIES.map(Some)).collect();
        let mut plans = Vec::new();
        for engines in [vec![], vec!["clamav"], vec!["yara"], vec!["clamav", "yara"]] {
            for one in &choices {
                for other in &choices {
                    let owners = PUBLISHERS_HERE.into_iter().zip([*one, *other]);
                    let owners = owners.filter_map(|(owner, policy)| Some((owner, policy?)));
                    plans.push(Self {
                        owners: owners.collect(),
                        engines: engines.clone(),
                    });
                }
            }
        }
        plans
    }
}

/// A blob that is here.
#[derive(Clone, Debug)]
pub struct Blob {
    pub plan: Plan,
    pub sha256: Sha256,
    pub md5: String,
    pub sha1: String,
    pub content: Vec<u8>,
    pub items: Vec<ItemId>,
}

impl Blob {
    /// Tells whether a vendor may know of it.
    pub fn is_seen_by(&self, engine: &str) -> bool {
        let consents = self
            .plan
            .owners
            .iter()
            .any(|(_, p)| *p != SharePolicy::Never);
        consents && self.plan.engines.contains(&engine)
    }

    /// Tells whether a vendor may have it without asking.
    pub fn is_given_to(&self, engine: &str) -> bool {
        let given = self
            .plan
            .owners
            .iter()
            .any(|(_, p)| *p == SharePolicy::File);
        given && self.plan.engines.contains(&engine)
    }

    pub fn item_of(&self, owner: &str) -> Option<&ItemId> {
        self.items.iter().find(|id| id.publisher.as_str() == owner)
    }
}

pub struct Lab {
    pub appliance: Appliance,
    pub keys: BTreeMap<&'static str, String>,
}

impl Lab {
    pub async fn start() -> Self {
        let appliance =
            Appliance::start_with(|config| config.http.requests_per_minute = 10_000_000).await;
        let mut keys = BTreeMap::new();
        for owner in PUBLISHERS_HERE {
            let publisher = serde_json::from_value(json!({
                "id": owner, "name": format!("=Company {owner}"), "created_at": 1,
                "policy": "never", "card": {"company": format!("stated by {owner}")},
            }));
            let publisher: acquit::model::Publisher = publisher.unwrap();
            let write = appliance
                .store
                .write(move |c| c.put(&PUBLISHERS, &publisher.id, &publisher));
            write.await.unwrap();
            let seat = Seat {
                publisher: Some(owner.parse().unwrap()),
                ..Seat::of(KeyRole::Publisher)
            };
            keys.insert(owner, add_key(&appliance, seat).await);
        }
        for (vendor, engine) in VENDORS_HERE {
            let row = json!({"id": vendor, "name": vendor, "created_at": 1, "engines": [engine]});
            let row: acquit::model::Vendor = serde_json::from_value(row).unwrap();
            let seat = Seat {
                vendor: Some(row.id.clone()),
                ..Seat::of(KeyRole::Vendor)
            };
            let write = appliance
                .store
                .write(move |c| c.put(&VENDORS, &row.id, &row));
            write.await.unwrap();
            keys.insert(vendor, add_key(&appliance, seat).await);
        }
        Self { appliance, keys }
    }

    pub fn client(&self, who: &str) -> Client {
        client(&self.keys[who])
    }

    pub fn url(&self, path: &str) -> String {
        self.appliance.api(path)
    }

    /// Brings blobs here, has the engines answer, and puts them into the collections.
    pub async fn add(&self, plans: &[Plan]) -> Vec<Blob> {
        let mut blobs = Vec::new();
        let groups: BTreeSet<_> = plans.iter().map(|plan| plan.engines.clone()).collect();
        for engines in groups {
            let mut group = Vec::new();
            for (number, plan) in plans.iter().enumerate() {
                if plan.engines == engines {
                    let content = format!("private content {number} of {plan:?}").into_bytes();
                    let id = self.appliance.upload("upload.exe", &content).await;
                    let sha256: Sha256 = id[2..66].parse().unwrap();
                    group.push((plan.clone(), sha256, content));
                }
            }
            for (engine, name) in [("clamav", "Clam.Word"), ("yara", "Yara.Word")] {
                let verdict = match engines.contains(&engine) {
                    true => malicious(name),
                    false => Verdict::Undetected,
                };
                assert_eq!(self.appliance.answer(engine, verdict).await, group.len());
            }
            for (plan, sha256, content) in group {
                blobs.push(self.put((plan, sha256, content)).await);
            }
        }
        blobs
    }

    async fn put(&self, (plan, sha256, content): (Plan, Sha256, Vec<u8>)) -> Blob {
        let digests = self
            .appliance
            .store
            .get(&BLOBS, &sha256)
            .unwrap()
            .unwrap()
            .digests;
        let items = plan.owners.iter().map(|(owner, policy)| ItemId {
            publisher: owner.parse().unwrap(),
            path: format!("/{owner} {policy:?}/{}.exe", &sha256.to_string()[..12])
                .parse()
                .unwrap(),
        });
        let blob = Blob {
            items: items.collect(),
            plan,
            sha256,
            md5: digests.md5.to_string(),
            sha1: digests.sha1.to_string(),
            content,
        };
        for (id, (_, policy)) in blob.items.iter().zip(&blob.plan.owners) {
            self.put_item(id, (sha256, *policy)).await;
        }
        self.detect(&blob, &blob.plan.engines).await;
        blob
    }

    pub async fn put_item(&self, id: &ItemId, (sha256, policy): (Sha256, SharePolicy)) {
        let item = Item {
            created_at: at(1_790_000_000),
            modified_at: at(1_790_000_000),
            creator: "creator-nobody-knows".to_owned(),
            file: Some(ItemFile {
                sha256,
                size_bytes: 1,
                history: Vec::new(),
            }),
            details: Some(format!("details of {}", id.publisher)),
            card: None,
            policy: Some(policy),
        };
        let (publisher, path) = (id.publisher.clone(), id.path.clone());
        let write = self.appliance.store.write(move |change| {
            let hold = HoldRow {
                items: 1,
                since: at(1_790_000_000),
            };
            change.put(&HOLDERS, &(sha256, publisher.clone()), &hold)?;
            change.put(&BLOB_ITEMS, &(sha256, publisher.clone(), path.clone()), &())?;
            change.put(&ITEMS, &(publisher, path), &item)
        });
        write.await.unwrap();
    }

    /// Takes an item out of its collection, as the last of its publisher's with that blob.
    pub async fn remove_item(&self, id: &ItemId, sha256: Sha256) {
        let (publisher, path): (PublisherId, ItemPath) = (id.publisher.clone(), id.path.clone());
        let write = self.appliance.store.write(move |change| {
            change.remove(&HOLDERS, &(sha256, publisher.clone()));
            change.remove(&BLOB_ITEMS, &(sha256, publisher.clone(), path.clone()));
            change.remove(&ITEMS, &(publisher, path));
            Ok(())
        });
        write.await.unwrap();
    }

    /// Writes who detects a blob from now on.
    pub async fn detect(&self, blob: &Blob, engines: &[&str]) {
        let detections = engines.iter().map(|engine| {
            let name = if *engine == "clamav" {
                "Clam.Word"
            } else {
                "Yara.Word"
            };
            let detection = Detection {
                name: DetectionName::new(name),
                suspicious: false,
                since: at(1_790_000_100),
                versions: versions(),
            };
            (engine.parse().unwrap(), detection)
        });
        let standing = Standing {
            at: at(1_790_000_100),
            detections: detections.collect(),
            answered: 2,
            first_detection_at: Some(at(1_780_000_000)),
            ..Standing::default()
        };
        let (sha256, owners) = (blob.sha256, blob.items.clone());
        let write = self.appliance.store.write(move |change| {
            for owner in owners {
                for (_, engine) in VENDORS_HERE {
                    let key = (owner.publisher.clone(), engine.to_owned(), sha256);
                    match standing.tags().contains(engine) {
                        true => change.put(&TAGGED, &key, &())?,
                        false => change.remove(&TAGGED, &key),
                    }
                }
            }
            change.put(&STANDINGS, &sha256, &standing)
        });
        write.await.unwrap();
    }

    /// All that the ledger says.
    pub fn ledger(&self) -> String {
        let dir = self.appliance.dir.path().join("ledger");
        let files = std::fs::read_dir(dir).unwrap();
        let files = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    }
}

async fn add_key(appliance: &Appliance, seat: Seat) -> String {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).unwrap();
    let key = ApiKey::new(bits);
    let row = KeyRow::new(&key, "a key".to_owned(), seat, at(1_700_000_000));
    let write = appliance.store.write(move |c| c.put(&KEYS, &row.id, &row));
    write.await.unwrap();
    key.reveal()
}
