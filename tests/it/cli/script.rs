//! A server that answers what the test has written down.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What is answered, by `METHOD path?query`; the last answer is given again and again.
type Answers = HashMap<String, VecDeque<(u16, Vec<u8>)>>;

#[derive(Default)]
struct Shared {
    answers: Mutex<Answers>,
    asked: Mutex<Vec<(String, Vec<u8>)>>,
}

pub struct Script {
    pub url: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl Script {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .fallback(reply)
            .layer(DefaultBodyLimit::disable())
            .with_state(shared.clone());
        runtime.spawn(async { axum::serve(listener, router).await });
        Self {
            url,
            shared,
            _runtime: runtime,
        }
    }

    /// Writes an answer down, after those there are for the same request.
    pub fn say(&self, request: &str, answer: &Value) -> &Self {
        self.raw(request, 200, answer.to_string().as_bytes())
    }

    pub fn refuse(&self, request: &str, status: u16, message: &str) -> &Self {
        let error = json!({ "error": { "code": "ConflictError", "message": message } });
        self.raw(request, status, error.to_string().as_bytes())
    }

    pub fn raw(&self, request: &str, status: u16, bytes: &[u8]) -> &Self {
        let mut answers = self.shared.answers.lock().unwrap();
        let answers = answers.entry(request.to_owned()).or_default();
        answers.push_back((status, bytes.to_vec()));
        self
    }

    /// Returns the bodies a request came with.
    pub fn bodies(&self, request: &str) -> Vec<Vec<u8>> {
        let asked = self.shared.asked.lock().unwrap();
        let fits = asked.iter().filter(|(seen, _)| seen == request);
        fits.map(|(_, body)| body.clone()).collect()
    }
}

async fn reply(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().unwrap().as_str();
    let request = format!("{method} {}", path.strip_prefix("/api/v3/").unwrap_or(path));
    let mut answers = shared.answers.lock().unwrap();
    let answer = answers
        .get_mut(&request)
        .map(|answers| match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        });
    let missing = || {
        let error = json!({ "error": { "code": "NotFoundError", "message": request.clone() } });
        (404, error.to_string().into_bytes())
    };
    let (status, bytes) = answer.unwrap_or_else(missing);
    shared.asked.lock().unwrap().push((request, body.to_vec()));
    (StatusCode::from_u16(status).unwrap(), bytes).into_response()
}
