//! What a manifest says of a server that is asked over HTTP, `[run.http]`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check::Problem;
use super::placeholder::words;

/// How a server is asked over HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// The method.
    #[serde(default)]
    pub method: Method,
    /// The path, with `{sha256}` and `{size}`.
    pub path: String,
    /// Fields of the request; `{key}` is the key that the operator keeps in a file.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What the body is.
    #[serde(default)]
    pub body: Body,
    /// The body that is `json`, with `{base64}`, `{sha256}`, `{size}`, `{path}` and `{key}`.
    #[serde(default)]
    pub json: Option<String>,
    /// How the answer is waited for, if the first one is not it.
    #[serde(default)]
    pub poll: Option<HttpPoll>,
}

impl HttpSpec {
    /// Tells whether it has a place for a key.
    pub fn wants_key(&self) -> bool {
        let mut texts = self.headers.values().chain(&self.json);
        texts.any(|text| text.contains("{key}"))
    }
}

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Ask.
    Get,
    /// Hand in.
    #[default]
    Post,
    /// Put down.
    Put,
}

impl Method {
    /// Returns its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// The file.
    File,
    /// A template.
    Json,
}

/// How a server that works on a file for a while is asked again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpPoll {
    /// Where the first answer has the id of the work, e.g. `data_id`.
    pub id: String,
    /// The path that is asked, with `{id}`.
    pub path: String,
    /// How an answer shows that the work is done.
    pub done: HttpDone,
    /// Seconds between two questions.
    #[serde(default = "one_second")]
    pub interval_seconds: f64,
}

/// How an answer shows that the work is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpDone {
    /// Where it stands, e.g. `scan_results.progress_percentage`.
    pub path: String,
    /// What must stand there.
    pub value: String,
}

const fn one_second() -> f64 {
    1.0
}

/// Finds what is wrong with how a server is asked.
pub fn problems(http: &HttpSpec, outside: bool) -> Vec<Problem> {
    let mut problems = of_path("run.http.path", &http.path, &["{sha256}", "{size}"]);
    let key: &[&str] = if outside { &["{key}"] } else { &[] };
    problems.extend(of_headers("run.http.headers", &http.headers, key));
    problems.extend(of_body(http, key));
    let Some(poll) = &http.poll else {
        return problems;
    };
    problems.extend(of_path("run.http.poll.path", &poll.path, &["{id}"]));
    if !poll.path.contains("{id}") {
        let what = "it does not say which work is meant";
        problems.push(Problem::new("run.http.poll.path", what, "add {id}"));
    }
    problems.extend(of_interval(
        "run.http.poll.interval_seconds",
        poll.interval_seconds,
    ));
    for (key, place) in [("id", &poll.id), ("done.path", &poll.done.path)] {
        if place.is_empty() || place.split('.').any(str::is_empty) {
            let key = format!("run.http.poll.{key}");
            let remedy = "write names with dots between them, e.g. \"scan_results.progress\"";
            problems.push(Problem::new(&key, "not a place in JSON", remedy));
        }
    }
    problems
}

/// Finds what is wrong with the pause between two questions.
pub fn of_interval(key: &str, seconds: f64) -> Option<Problem> {
    let fits = (0.05..=600.0).contains(&seconds);
    let what = format!("{seconds} is out of range");
    (!fits).then(|| Problem::new(key, what, "write a number from 0.05 to 600"))
}

fn of_body(http: &HttpSpec, key: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    match (http.body, &http.json) {
        (Body::Json, None) => {
            let remedy = "write the text of the body, with {base64} where the file is to be";
            problems.push(Problem::new(
                "run.http.json",
                "there is no template",
                remedy,
            ));
        }
        (Body::Json, Some(json)) => {
            let known = [&["{base64}", "{sha256}", "{size}", "{path}"], key].concat();
            problems.extend(of_words("run.http.json", json, &known));
            if json.matches("{base64}").count() > 1 {
                let what = "the file stands there twice";
                problems.push(Problem::new("run.http.json", what, "use {base64} once"));
            }
        }
        (Body::None | Body::File, Some(_)) => {
            let remedy = "set body = \"json\", or remove it";
            problems.push(Problem::new("run.http.json", "the body is another", remedy));
        }
        (Body::None | Body::File, None) => {}
    }
    if http.method == Method::Get && http.body != Body::None {
        let what = "a request that gets something has no body";
        problems.push(Problem::new("run.http.body", what, "set method = \"POST\""));
    }
    problems
}

fn of_path(key: &str, path: &str, known: &[&str]) -> Vec<Problem> {
    let mut problems = of_words(key, path, known);
    let legal = |c: char| c.is_ascii_graphic() && !"\"<>\\^`|#".contains(c);
    if !path.starts_with('/') || !path.chars().all(legal) {
        let remedy = "begin it with / and write nothing in it that a URL must encode";
        problems.push(Problem::new(key, "not a path", remedy));
    }
    problems
}

fn of_words(key: &str, text: &str, known: &[&str]) -> Vec<Problem> {
    let unknown = words(text).into_iter().filter(|word| !known.contains(word));
    let problem = |word| {
        let what = format!("`{word}` is no placeholder here");
        let remedy = match known {
            [] => "remove it".to_owned(),
            known => format!("use {}", known.join(" or ")),
        };
        Problem::new(key, what, remedy)
    };
    unknown.map(problem).collect()
}

/// Finds fields of a request that cannot be sent.
pub fn of_headers(key: &str, headers: &BTreeMap<String, String>, known: &[&str]) -> Vec<Problem> {
    const OURS: [&str; 9] = [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "encapsulated",
        "preview",
        "allow",
        "expect",
        "te",
    ];
    let mut problems = Vec::new();
    for (name, value) in headers {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || !name.chars().all(legal) {
            let what = format!("`{name}` is no name of a field");
            problems.push(Problem::new(key, what, "use letters, digits and -"));
        }
        if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            let what = format!("`{name}` is not a manifest's to set");
            problems.push(Problem::new(key, what, "remove it"));
        }
        if value.chars().any(|c| c.is_control() || !c.is_ascii()) {
            let what = format!("the value of `{name}` is no line of ASCII");
            problems.push(Problem::new(key, what, "write what can be sent"));
        }
        problems.extend(of_words(key, value, known));
    }
    problems
}
