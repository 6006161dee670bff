//! A daemon without Docker: store, lanes, recorder and API, with engines whose
//! answers the test gives.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acquit::config::Config;
use acquit::engine::ask::Run;
use acquit::engine::manifest::Manifest;
use acquit::flow::analysis::{Answer, Recorder};
use acquit::flow::board::Board;
use acquit::flow::collection::Collections;
use acquit::flow::ingest::Ingest;
use acquit::flow::queue::{BatchLimit, Lanes};
use acquit::http::{Api, serve};
use acquit::metrics::Metrics;
use acquit::model::{
    ApiKey, Control, DetectionName, EngineId, EngineState, EngineVersions, KeyRole, Seat,
    SignatureSetId, Timestamp, Verdict,
};
use acquit::nightly::Desk;
use acquit::nightly::courses::Courses;
use acquit::nightly::desk::Order;
use acquit::store::{KEYS, KeyRow, Store};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The engines of every test appliance: ClamAV and YARA, by their real manifests.
const MANIFESTS: [&str; 2] = [
    include_str!("../../../engines/clamav.toml"),
    include_str!("../../../engines/yara.toml"),
];

pub struct Appliance {
    pub url: String,
    pub address: std::net::SocketAddr,
    pub admin: String,
    pub publisher: String,
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub board: Board,
    pub orders: mpsc::Receiver<Control>,
    /// Orders about ClamAV's signatures; YARA's are a part of its image.
    pub desk: mpsc::Receiver<Order>,
    /// Updates under way.
    pub courses: Courses,
    /// The way to the engines.
    pub ingest: Ingest,
    recorder: Recorder,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Appliance {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = dir.path().to_owned();
        config.storage.reserve_mb = 1;
        change(&mut config);
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let (admin, publisher) = (
            add_key(&store, KeyRole::Admin).await,
            add_key(&store, KeyRole::Publisher).await,
        );
        let manifests = MANIFESTS.map(|text| toml::from_str::<Manifest>(text).unwrap());
        let board = Board::new(manifests.iter().map(|m| (m, EngineState::Starting)));
        for manifest in &manifests {
            board.ready(&manifest.id, &versions());
        }
        let lanes = Lanes::open(store.clone()).unwrap();
        let metrics = Metrics::new().unwrap();
        let (completed, _) = broadcast::channel(64);
        let engines = board.subscribe();
        let ingest = Ingest::new(
            store.clone(),
            lanes.clone(),
            engines.clone(),
            config.storage.reserve_mb,
        );
        let (control, orders) = mpsc::channel(1);
        let recorder = Recorder {
            store: store.clone(),
            lanes,
            metrics: metrics.clone(),
            board: board.clone(),
            completed: completed.clone(),
        };
        let (to_desk, desk) = mpsc::channel(1);
        let workers = [("clamav", Some(to_desk)), ("yara", None)];
        let workers = workers.map(|(id, worker)| (id.parse().unwrap(), worker));
        let courses = Courses::default();
        let config = Arc::new(config);
        let collections = Collections::new(store.clone(), ingest.clone(), Arc::clone(&config));
        let api = Api {
            config,
            store: store.clone(),
            ingest: ingest.clone(),
            collections,
            metrics,
            engines,
            control,
            desk: Desk::new(workers.into(), courses.clone()),
            completed,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let stop = shutdown.clone();
        tasks.spawn(async move { serve(api, listener, stop).await.unwrap() });
        Self {
            url: format!("http://{address}"),
            address,
            admin,
            publisher,
            dir,
            store,
            board,
            orders,
            desk,
            courses,
            ingest,
            recorder,
            shutdown,
            tasks,
        }
    }

    /// Ends the API and waits for it.
    pub async fn stop(&mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    pub fn api(&self, path: &str) -> String {
        format!("{}/api/v3{path}", self.url)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        client(&self.publisher).get(self.api(path))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        client(&self.publisher).post(self.api(path))
    }

    /// Asks as an administrator.
    pub fn admin(&self) -> Client {
        client(&self.admin)
    }

    /// Gets what must be there.
    #[track_caller]
    pub fn json(&self, path: &str) -> impl Future<Output = Value> + use<> {
        let request = self.get(path);
        let path = path.to_owned();
        async move {
            let (status, body) = answer(request).await;
            assert_eq!(status, StatusCode::OK, "{path}: {body}");
            body
        }
    }

    /// Uploads a file and returns the id of its analysis.
    pub async fn upload(&self, name: &str, bytes: &[u8]) -> String {
        let (status, body) = answer(self.post("/files").multipart(file(name, bytes))).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body["data"]["type"], "analysis");
        body["data"]["id"].as_str().unwrap().to_owned()
    }

    /// Lets an engine give one answer to everything that waits for it; returns how many files.
    pub async fn answer(&self, engine: &str, verdict: Verdict) -> usize {
        let engine: EngineId = engine.parse().unwrap();
        let limit = BatchLimit {
            files: 100,
            bytes: u64::MAX,
            lease: Duration::from_secs(60),
        };
        let batch = self.recorder.lanes.lease(&engine, limit).unwrap();
        let count = batch.len();
        let answers = batch.into_iter().map(|leased| Answer {
            leased,
            verdict: verdict.clone(),
            staged: Some("0123456789abcdef".to_owned()),
        });
        let run = Run {
            versions: versions(),
            duration: Duration::from_millis(7),
            raw: b"exit 0\nwhat the engine said <script>\n".to_vec(),
        };
        let answers = answers.collect();
        self.recorder.record(answers, &run).await.unwrap();
        count
    }

    /// Lets both engines find nothing in all that waits.
    pub async fn settle(&self) {
        self.answer("clamav", Verdict::Undetected).await;
        self.answer("yara", Verdict::Undetected).await;
    }

    /// Names of all files kept below a directory of the data directory.
    pub fn kept(&self, name: &str) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.dir.path().join(name), &mut names);
        names.sort();
        names
    }
}

fn collect(dir: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else {
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
}

pub fn client(key: &str) -> Client {
    let mut headers = HeaderMap::new();
    headers.insert("x-apikey", HeaderValue::from_str(key).unwrap());
    let client = Client::builder().default_headers(headers).no_proxy();
    client.build().unwrap()
}

/// Sends a request and reads its answer as JSON.
pub async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text:?}"));
    (status, json)
}

/// Checks that a request fails with a status and VirusTotal's code; returns the message.
pub async fn refused(request: RequestBuilder, status: u16, code: &str) -> String {
    let (seen, body) = answer(request).await;
    assert_eq!(
        (seen.as_u16(), body["error"]["code"].as_str()),
        (status, Some(code)),
        "{body}"
    );
    let message = body["error"]["message"].as_str().unwrap();
    assert!(!message.is_empty());
    message.to_owned()
}

pub fn file(name: &str, bytes: &[u8]) -> Form {
    Form::new().part(
        "file",
        Part::bytes(bytes.to_vec()).file_name(name.to_owned()),
    )
}

pub fn malicious(name: &str) -> Verdict {
    Verdict::Malicious {
        name: DetectionName::new(name),
    }
}

pub fn versions() -> EngineVersions {
    EngineVersions {
        engine: Some("1.2.3".to_owned()),
        signatures: Some("27000".to_owned()),
        signatures_date: Some("20261122".to_owned()),
        license_expires: None,
        image: "sha256:1".to_owned(),
        signature_set: Some(SignatureSetId("0011223344556677".to_owned())),
    }
}

async fn add_key(store: &Store, role: KeyRole) -> String {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).unwrap();
    let key = ApiKey::new(bits);
    let at = Timestamp::from_millis(1_700_000_000_000);
    let row = KeyRow::new(&key, format!("{role:?}"), Seat::of(role), at);
    let write = store.write(move |change| change.put(&KEYS, &row.id, &row));
    write.await.unwrap();
    key.reveal()
}
