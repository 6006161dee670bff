//! An appliance with one incident, a directory of its own, and a mail server.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use acquit::config::{Config, Mail, MailSecurity};
use acquit::flow::dispute::{Disputes, Post};
use acquit::flow::events::{Draft, raise};
use acquit::flow::mail::Mailer;
use acquit::model::{
    About, AnalysisId, ApiKey, Detection, DetectionName, EngineId, EventKind, Family, FileFacts,
    Incident, IncidentState, Item, ItemFile, ItemPath, KeyRole, Publisher, ReleaseCard, Seat,
    SetSource, Sha256, SharePolicy, Side, SignatureSet, SignatureSetId, Standing, Timestamp,
};
use acquit::store::{
    BLOB_ITEMS, Change, FACTS, HOLDERS, HoldRow, INCIDENT_INDEX, INCIDENT_OF, INCIDENTS, ITEMS,
    KEYS, PUBLISHERS, SETS, SIGNATURE_SETS, STANDINGS, SignatureSetRow,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::http::appliance::{Appliance, answer, malicious, versions};
use crate::support::{python, run};

/// The present of the task that sends; what the API makes is older.
pub const NOW: u64 = 4_000_000_000_000;
pub const DAY: u64 = 86_400_000;
/// Where the file is.
const PATH: &str = "/secret folder/anvil setup.exe";

pub struct Bench {
    pub appliance: Appliance,
    pub sha256: String,
    post: Arc<Post>,
    place: tempfile::TempDir,
    server: Child,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Bench {
    pub async fn start() -> Self {
        Self::start_with("mail").await
    }

    pub async fn start_with(vendor: &str) -> Self {
        Self::begin(vendor, |_| ()).await
    }

    pub async fn start_automatic() -> Self {
        Self::begin("mail", |config| config.disputes.automatic = true).await
    }

    async fn begin(vendor: &str, change: impl FnOnce(&mut Config)) -> Self {
        let place = tempfile::tempdir().unwrap();
        let office = place.path().join("office");
        std::fs::create_dir(&office).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/post_office.py");
        let mut server = Command::new(python())
            .arg(script)
            .arg(&office)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut out = BufReader::new(server.stdout.take().unwrap());
        out.read_line(&mut port).unwrap();
        let mail = Mail {
            server: "127.0.0.1".to_owned(),
            port: port.trim().parse().unwrap(),
            security: MailSecurity::None,
            from: "Acquit <acquit@acme.example>".to_owned(),
            ..Mail::default()
        };
        let mut config = Config {
            mail,
            ..Config::default()
        };
        config.disputes.vendors = vec![place.path().join("vendors.toml")];
        change(&mut config);
        let (mail, disputes) = (config.mail.clone(), config.disputes.clone());
        let appliance = Appliance::start_with(|config| {
            (config.mail, config.disputes) = (mail, disputes);
        });
        let appliance = appliance.await;
        config.storage.data_dir = appliance.dir.path().to_owned();
        let mailer = Mailer::open(&config.mail).unwrap();
        let engines = appliance.board.subscribe();
        let disputes = Disputes::new(appliance.store.clone(), Arc::new(config), engines);
        let id = appliance.upload("setup.exe", &vec![b'x'; 200_000]).await;
        let analysis: AnalysisId = id.parse().unwrap();
        appliance.answer("clamav", malicious("Win.Test.FP")).await;
        appliance
            .answer("yara", acquit::model::Verdict::Undetected)
            .await;
        let bench = Self {
            sha256: analysis.sha256.to_string(),
            post: Arc::new(Post::new(disputes, mailer, appliance.ingest.clone())),
            appliance,
            place,
            server,
        };
        bench.write_vendors(vendor);
        bench.seed(analysis).await;
        bench.seat("acme").await;
        bench
    }

    /// Writes the rows of a collection with one file that ClamAV detects.
    async fn seed(&self, analysis: AnalysisId) {
        let publisher = Publisher {
            id: "acme".parse().unwrap(),
            name: "Acme".to_owned(),
            created_at: Timestamp::from_millis(1),
            emails: vec!["fp@acme.example".to_owned()],
            policy: SharePolicy::MetadataOnly,
            quota: Default::default(),
            profile: Default::default(),
            card: ReleaseCard {
                product: Some("Anvil".to_owned()),
                version: Some("2.1".to_owned()),
                ..ReleaseCard::default()
            },
        };
        let sha256 = analysis.sha256;
        let write = self.appliance.store.write(move |change| {
            let path: ItemPath = PATH.parse().unwrap();
            change.put(&ITEMS, &(publisher.id.clone(), path.clone()), &item(sha256))?;
            change.put(&BLOB_ITEMS, &(sha256, publisher.id.clone(), path), &())?;
            change.put(&STANDINGS, &sha256, &standing(analysis))?;
            change.put(&INCIDENTS, &1, &incident(analysis))?;
            change.put(&PUBLISHERS, &publisher.id.clone(), &publisher)
        });
        write.await.unwrap();
    }

    /// Gives the appliance's publisher key to a publisher.
    pub async fn seat(&self, publisher: &str) {
        let key: ApiKey = self.appliance.publisher.parse().unwrap();
        let store = &self.appliance.store;
        let mut row = store.get(&KEYS, &key.id()).unwrap().unwrap();
        row.seat = Seat {
            publisher: Some(publisher.parse().unwrap()),
            ..Seat::of(KeyRole::Publisher)
        };
        let write = store.write(move |change| change.put(&KEYS, &row.id, &row));
        write.await.unwrap();
    }

    /// Writes the operator's directory: ClamAV's vendor by mail or by form.
    pub fn write_vendors(&self, vendor: &str) {
        let way = match vendor {
            "form" => "channel = \"form\"\nurl = \"https://fp.example.org/form\"",
            "mail" => "channel = \"mail\"\nmail = [\"fp@example.org\"]",
            "refuse" => "channel = \"mail\"\nmail = [\"refuse@example.org\"]",
            "later" => "channel = \"mail\"\nmail = [\"later@example.org\"]",
            other => panic!("{other}"),
        };
        let text = format!(
            "[[vendor]]\nid = \"clamav\"\nname = \"C\"\nengines = [\"clamav\", \"yara\"]\n{way}\n\
             archive = \"zip\"\npassword = \"infected\"\n"
        );
        std::fs::write(self.place.path().join("vendors.toml"), text).unwrap();
    }

    /// Lets YARA carry ClamAV's signatures and detect the file too: incident 2 of its family.
    pub async fn kin(&self) {
        let family = Family {
            of: "clamav".to_owned(),
            source: "a test".to_owned(),
        };
        let yara: EngineId = "yara".parse().unwrap();
        let shown = &self.appliance.board;
        shown.update(&yara, |status| status.family = Some(family));
        let sha256: Sha256 = self.sha256.parse().unwrap();
        let write = self.appliance.store.write(move |change| {
            let mut incident = change.get(&INCIDENTS, &1)?.unwrap();
            let of = |it: &Incident| (it.sha256, it.engine.clone(), it.publisher.clone());
            change.put(&INCIDENT_OF, &of(&incident), &1)?;
            (incident.id, incident.engine) = (2, yara.clone());
            change.put(&INCIDENT_OF, &of(&incident), &2)?;
            change.put(&INCIDENTS, &2, &incident)?;
            for id in [1, 2] {
                let state = incident.state.as_str().to_owned();
                change.put(
                    &INCIDENT_INDEX,
                    &(incident.publisher.clone(), state, id),
                    &(),
                )?;
            }
            let mut standing = change.get(&STANDINGS, &sha256)?.unwrap();
            let detection = standing.detections.values().next().unwrap().clone();
            standing.detections.insert(yara, detection);
            change.put(&STANDINGS, &sha256, &standing)
        });
        write.await.unwrap();
    }

    /// Raises an event about an incident so many milliseconds later.
    pub async fn raise(&self, kind: EventKind, (incident, later): (u64, u64)) {
        let about = About {
            incident: Some(incident),
            ..About::default()
        };
        let at = Timestamp::from_millis(NOW + later);
        let draft = Draft::about(at, kind, about, "an incident".to_owned());
        let write = move |change: &mut Change<'_>| raise(change, draft);
        self.appliance.store.write(write).await.unwrap();
    }

    /// Lets ClamAV scan with a set that came after that by which it detected the file.
    pub async fn promote(&self) {
        let sha256: Sha256 = self.sha256.parse().unwrap();
        let write = self.appliance.store.write(move |change| {
            let clamav: EngineId = "clamav".parse().unwrap();
            let now = versions().signature_set.unwrap();
            let then = SignatureSetId("before".to_owned());
            for (set, came) in [(&then, 1), (&now, 2)] {
                let row = set_row(&clamav, (set, came));
                change.put(&SETS, &(clamav.clone(), set.clone()), &row)?;
            }
            let active = SignatureSetRow {
                id: now,
                created_at: Timestamp::from_millis(2),
                source: "seed".to_owned(),
                previous: None,
                held: false,
            };
            change.put(&SIGNATURE_SETS, &clamav, &active)?;
            let mut standing = change.get(&STANDINGS, &sha256)?.unwrap();
            let detection = standing.detections.get_mut(&clamav).unwrap();
            detection.versions.signature_set = Some(then);
            change.put(&STANDINGS, &sha256, &standing)?;
            let acme: acquit::model::PublisherId = "acme".parse().unwrap();
            let held = HoldRow {
                items: 1,
                since: Timestamp::from_millis(1),
            };
            change.put(&INCIDENT_OF, &(sha256, clamav, acme.clone()), &1)?;
            change.put(&HOLDERS, &(sha256, acme), &held)
        });
        write.await.unwrap();
    }

    /// Makes whoever reads the directory of vendors next, which is what packing begins with, wait.
    pub fn block_vendors(&self) -> Blocked {
        let path = self.place.path().join("vendors.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        run(Command::new("mkfifo").arg(&path));
        Blocked { path, text }
    }

    pub async fn policy(&self, policy: SharePolicy) {
        self.publisher(move |publisher| publisher.policy = policy)
            .await;
    }

    /// Says the policy of a folder, and moves the file there.
    pub async fn move_to(&self, folder: &str, policy: SharePolicy) {
        let folder: ItemPath = folder.parse().unwrap();
        let file: ItemPath = format!("{folder}setup.exe").parse().unwrap();
        let sha256: Sha256 = self.sha256.parse().unwrap();
        let write = self.appliance.store.write(move |change| {
            let acme: acquit::model::PublisherId = "acme".parse().unwrap();
            let old: ItemPath = PATH.parse().unwrap();
            change.remove(&BLOB_ITEMS, &(sha256, acme.clone(), old));
            change.put(&BLOB_ITEMS, &(sha256, acme.clone(), file.clone()), &())?;
            change.put(&ITEMS, &(acme.clone(), file), &item(sha256))?;
            let above = Item {
                file: None,
                policy: Some(policy),
                ..item(sha256)
            };
            change.put(&ITEMS, &(acme, folder), &above)
        });
        write.await.unwrap();
    }

    /// States the rest of the release card, and lets the file be signed.
    pub async fn fill_card(&self) {
        self.publisher(|publisher| {
            let card = &mut publisher.card;
            card.release_date = Some("2026-11-01".to_owned());
            card.suite = Some("Forge".to_owned());
            card.main_files = Some(["anvil.exe", "hammer.dll"].map(str::to_owned).into());
        })
        .await;
        let sha256: Sha256 = self.sha256.parse().unwrap();
        let facts: FileFacts = serde_json::from_value(json!({ "signer": {
            "subject": "CN=Acme", "issuer": "CN=Root", "serial": "01", "thumbprint": "02",
            "digest": "sha256", "verification": { "result": "intact", "reason": "a test" },
        }}))
        .unwrap();
        let write = move |change: &mut Change<'_>| change.put(&FACTS, &sha256, &facts);
        self.appliance.store.write(write).await.unwrap();
    }

    pub async fn forget_card(&self) {
        self.publisher(|publisher| publisher.card = ReleaseCard::default())
            .await;
    }

    async fn publisher(&self, edit: impl FnOnce(&mut Publisher) + Send + 'static) {
        let write = self.appliance.store.write(move |change| {
            let id = "acme".parse().unwrap();
            let mut publisher = change.get(&PUBLISHERS, &id)?.unwrap();
            edit(&mut publisher);
            change.put(&PUBLISHERS, &id, &publisher)
        });
        write.await.unwrap();
    }

    /// Does what is due so many milliseconds later.
    pub async fn step(&self, later: u64) {
        self.post
            .step(Timestamp::from_millis(NOW + later))
            .await
            .unwrap();
    }

    /// Does what is due in a task of its own.
    pub fn step_aside(&self) -> JoinSet<()> {
        let (post, mut tasks) = (Arc::clone(&self.post), JoinSet::new());
        tasks.spawn(async move { post.step(Timestamp::from_millis(NOW)).await.unwrap() });
        tasks
    }

    /// Returns what would leave, or why nothing does.
    pub async fn preview(&self, attributes: Value) -> Result<Value, String> {
        let post = self.appliance.post("/acquit/disputes/preview");
        let (status, body) = answer(post.json(&order(attributes))).await;
        match status {
            StatusCode::OK => Ok(body["data"]["attributes"].clone()),
            _ => Err(body["error"]["message"].as_str().unwrap().to_owned()),
        }
    }

    pub async fn create(&self, attributes: Value) -> Value {
        let post = self.appliance.post("/acquit/disputes");
        let (status, body) = answer(post.json(&order(attributes))).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["data"]["attributes"].clone()
    }

    pub async fn act(&self, id: u64, what: &str, attributes: Value) -> (StatusCode, Value) {
        let mut post = self
            .appliance
            .post(&format!("/acquit/disputes/{id}/{what}"));
        if !attributes.is_null() {
            post = post.json(&order(attributes));
        }
        answer(post).await
    }

    pub async fn dispute(&self, id: u64) -> Value {
        let body = self.appliance.json(&format!("/acquit/disputes/{id}")).await;
        body["data"]["attributes"].clone()
    }

    /// Lines of the ledger of a kind.
    pub async fn lines(&self, kind: &str) -> Vec<Value> {
        let path = format!("/acquit/ledger?kind={kind}&limit=40");
        let body = self.appliance.json(&path).await;
        body["data"].as_array().unwrap().clone()
    }

    /// How many events of a kind there are.
    pub async fn events(&self, kind: &str) -> usize {
        let path = format!("/acquit/events?filter=kind:{kind}&limit=40");
        let get = self.appliance.admin().get(self.appliance.api(&path));
        answer(get).await.1["data"].as_array().unwrap().len()
    }

    pub fn office(&self) -> PathBuf {
        self.place.path().join("office")
    }

    /// How many mails the server took.
    pub fn mails(&self) -> usize {
        let entries = std::fs::read_dir(self.office()).unwrap();
        let is_mail = |path: PathBuf| path.extension().is_some_and(|end| end == "eml");
        entries
            .filter(|entry| is_mail(entry.as_ref().unwrap().path()))
            .count()
    }

    /// A mail the server took, unpacked by Python.
    pub fn mail(&self, number: usize) -> Value {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/unpack_mail.py");
        let file = self.office().join(format!("{number:04}.eml"));
        let printed = run(Command::new(python()).arg(script).arg(file).arg("infected"));
        serde_json::from_str(&printed).unwrap()
    }
}

/// A directory of vendors that is written while it is read.
pub struct Blocked {
    path: PathBuf,
    text: String,
}

impl Blocked {
    /// Does something while somebody waits for the directory, and then lets him have it.
    pub async fn meanwhile(self, act: impl Future<Output = ()>) {
        let Self { path, text } = self;
        // It opens only once somebody reads.
        let open = move || std::fs::OpenOptions::new().write(true).open(path);
        let mut pipe = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
        act.await;
        pipe.write_all(text.as_bytes()).unwrap();
    }
}

/// The body of a request.
pub fn order(attributes: Value) -> Value {
    json!({ "data": { "type": "dispute", "attributes": attributes } })
}

fn item(sha256: Sha256) -> Item {
    Item {
        created_at: Timestamp::from_millis(1),
        modified_at: Timestamp::from_millis(1),
        creator: "test".to_owned(),
        file: Some(ItemFile {
            sha256,
            size_bytes: 200_000,
            history: Vec::new(),
        }),
        details: None,
        card: None,
        policy: None,
    }
}

fn side(analysis: AnalysisId, at: u64) -> Side {
    Side {
        at: Timestamp::from_millis(at),
        analysis,
        versions: versions(),
    }
}

fn standing(analysis: AnalysisId) -> Standing {
    let detection = Detection {
        name: DetectionName::new("Win.Test.FP"),
        suspicious: false,
        since: Timestamp::from_millis(1),
        versions: versions(),
    };
    Standing {
        analysis: Some(analysis),
        detections: [("clamav".parse().unwrap(), detection)].into(),
        answered: 2,
        engines: ["clamav", "yara"].map(|it| it.parse().unwrap()).into(),
        ..Standing::default()
    }
}

fn set_row(engine: &EngineId, (set, came): (&SignatureSetId, u64)) -> SignatureSet {
    serde_json::from_value(json!({
        "engine": engine, "id": set, "state": "active", "state_at": came, "created_at": came,
        "source": SetSource::Seed, "digest": "", "files": 1, "size_bytes": 1, "own_bytes": 1,
        "on_disk": true,
    }))
    .unwrap()
}

fn incident(analysis: AnalysisId) -> Incident {
    // 2026-11-24 and four days before.
    let (now, before) = (1_795_550_000_000, 1_795_190_000_000);
    let now_at = Timestamp::from_millis(now);
    let document = json!({
        "id": 1, "publisher": "acme", "engine": "clamav",
        "sha256": analysis.sha256.to_string(), "state": IncidentState::Open,
        "state_at": now_at, "opened_at": now_at, "reopened_at": now_at,
        "detection": "Win.Test.FP", "detected": side(analysis, now),
        "before": side(analysis, before),
    });
    // Read from JSON, so that a field more does not matter here.
    serde_json::from_value(document).unwrap()
}
