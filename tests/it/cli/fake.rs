//! A server that speaks just enough of the wire, and stumbles when told to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use sha2::Digest;

/// How the server answers an upload other than well.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Unavailable,
    Hangup,
    TooMany,
    TooLarge,
    Elsewhere,
}

type Verdicts = fn(&[u8]) -> Value;

#[derive(Default)]
struct Seen {
    replies: VecDeque<Reply>,
    pending: usize,
    names: Vec<String>,
    fields: Vec<(String, String)>,
    uploads: (usize, usize),
    files: HashMap<String, Value>,
}

struct Shared {
    verdicts: Verdicts,
    url: String,
    seen: Mutex<Seen>,
}

type App = State<Arc<Shared>>;

pub struct Fake {
    pub url: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

pub fn field((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

impl Fake {
    pub fn start(verdicts: Verdicts) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            verdicts,
            url: url.clone(),
            seen: Mutex::default(),
        });
        let router = Router::new()
            .route("/api/v3/files", post(direct))
            .route("/api/v3/files/upload_url", get(upload_url))
            .route("/upload/{token}", post(large))
            .route("/api/v3/analyses/{id}", get(analysis))
            .route("/api/v3/acquit/engines", get(engines))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared.clone());
        runtime.spawn(async { axum::serve(listener, router).await });
        Self {
            url,
            shared,
            _runtime: runtime,
        }
    }

    /// What the next uploads get.
    pub fn next(&self, replies: &[Reply]) {
        self.shared.seen.lock().unwrap().replies.extend(replies);
    }

    /// How often an analysis is not complete yet.
    pub fn pending(&self, times: usize) {
        self.shared.seen.lock().unwrap().pending = times;
    }

    pub fn names(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().names.clone()
    }

    pub fn fields(&self) -> Vec<(String, String)> {
        self.shared.seen.lock().unwrap().fields.clone()
    }

    /// Files that came directly and by upload URL.
    pub fn uploads(&self) -> (usize, usize) {
        self.shared.seen.lock().unwrap().uploads
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": message } });
    (status, axum::Json(body)).into_response()
}

fn stumble(reply: Reply) -> Response {
    match reply {
        Reply::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE, "TransientError", "later"),
        Reply::Hangup => panic!("the connection breaks"),
        Reply::TooMany => {
            let refusal = error(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequestsError",
                "slowly",
            );
            ([("retry-after", "1")], refusal).into_response()
        }
        Reply::TooLarge => error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BadRequestError",
            "at most 1 MB",
        ),
        Reply::Elsewhere => {
            let location = [("location", "http://127.0.0.1:9/")];
            (StatusCode::TEMPORARY_REDIRECT, location).into_response()
        }
    }
}

async fn direct(state: App, headers: HeaderMap, form: Multipart) -> Response {
    if !headers.contains_key("x-apikey") {
        return missing_key();
    }
    upload(state, form, false).await
}

async fn large(state: App, _: Path<String>, form: Multipart) -> Response {
    upload(state, form, true).await
}

async fn upload(State(app): App, mut form: Multipart, large: bool) -> Response {
    let reply = app.seen.lock().unwrap().replies.pop_front();
    if let Some(reply) = reply {
        return stumble(reply);
    }
    let mut id = String::new();
    while let Some(part) = form.next_field().await.unwrap() {
        if part.name() != Some("file") {
            let pair = (part.name().unwrap().to_owned(), part.text().await.unwrap());
            app.seen.lock().unwrap().fields.push(pair);
            continue;
        }
        let name = part.file_name().unwrap().to_owned();
        let content = part.bytes().await.unwrap();
        let sha256 = hex::encode(sha2::Sha256::digest(&content));
        id = format!("f-{sha256}-1");
        let mut seen = app.seen.lock().unwrap();
        seen.names.push(name);
        seen.files.insert(id.clone(), (app.verdicts)(&content));
        match large {
            true => seen.uploads.1 += 1,
            false => seen.uploads.0 += 1,
        }
    }
    axum::Json(json!({ "data": { "type": "analysis", "id": id } })).into_response()
}

/// Hands out a URL on a host that must not be believed.
async fn upload_url(State(app): App) -> Response {
    assert!(app.url.starts_with("http://127.0.0.1"));
    axum::Json(json!({ "data": "http://upload.example/upload/token" })).into_response()
}

async fn analysis(State(app): App, Path(id): Path<String>) -> Response {
    let mut seen = app.seen.lock().unwrap();
    let Some(results) = seen.files.get(&id).cloned() else {
        return error(StatusCode::NOT_FOUND, "NotFoundError", "no such analysis");
    };
    let (status, results) = match seen.pending {
        0 => ("completed", results),
        _ => {
            seen.pending -= 1;
            ("queued", json!({}))
        }
    };
    let sha256 = &id[2..66];
    axum::Json(json!({
        "data": {
            "type": "analysis",
            "id": id,
            "attributes": { "status": status, "results": results },
        },
        "meta": { "file_info": { "sha256": sha256 } },
    }))
    .into_response()
}

async fn engines(headers: HeaderMap) -> Response {
    if !headers.contains_key("x-apikey") {
        return missing_key();
    }
    let engine = |id: &str, name: &str| {
        let attributes = json!({ "name": name, "state": "ready", "versions": { "engine": "1.0" } });
        json!({ "type": "engine", "id": id, "attributes": attributes })
    };
    let list = [engine("alpha", "Alpha"), engine("beta", "Beta")];
    axum::Json(json!({ "data": list, "meta": {} })).into_response()
}

fn missing_key() -> Response {
    let code = "AuthenticationRequiredError";
    error(StatusCode::UNAUTHORIZED, code, "X-Apikey header is missing")
}
