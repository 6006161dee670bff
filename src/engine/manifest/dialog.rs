//! What a manifest says of a dialogue in lines, `[run.dialog]`, and of ICAP, `[run.icap]`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check::Problem;
use super::placeholder::words;
use super::web::of_headers;
use crate::engine::dialog::Dialog;

/// A dialogue in lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialogSpec {
    /// Pattern of the line with which the server greets.
    #[serde(default)]
    pub greeting: Option<String>,
    /// What is said before anything is asked.
    #[serde(default)]
    pub hello: Vec<Hello>,
    /// What is sent for a file, with `{path}`, `{size}` and `{sha256}`.
    pub request: String,
    /// Whether the file's bytes follow the request.
    #[serde(default)]
    pub content: bool,
    /// Whether each piece of the file has its length before it, four bytes with the highest first,
    /// and a length of 0 ends it: clamd's INSTREAM.
    #[serde(default)]
    pub framed: bool,
    /// Pattern of the line that must come before the bytes are sent.
    #[serde(default)]
    pub ready: Option<String>,
    /// Pattern of the line that ends an answer; without it the end of the connection does.
    #[serde(default)]
    pub until: Option<String>,
    /// What is sent after an answer.
    #[serde(default)]
    pub bye: Option<String>,
}

/// One thing that is said before anything is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// What is sent, with its end.
    pub send: String,
    /// Pattern of the line that must answer it.
    #[serde(default)]
    pub expect: Option<String>,
}

/// A service of an ICAP server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IcapSpec {
    /// Its path, where no address has it.
    pub service: String,
    /// Fields of the request beside those that ICAP needs.
    pub headers: BTreeMap<String, String>,
}

/// Finds what is wrong with a dialogue.
pub fn problems(dialog: &DialogSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Err((key, error)) = Dialog::new(dialog) {
        let text = error.to_string();
        let what = text.lines().last().unwrap_or_default().to_owned();
        let remedy = "write it in the syntax of Rust's regex crate";
        problems.push(Problem::new(&key, what, remedy));
    }
    let hello = dialog.hello.iter().enumerate();
    let mut sent: Vec<(String, &str)> = hello
        .map(|(number, hello)| (format!("run.dialog.hello.{number}.send"), &*hello.send))
        .collect();
    sent.push(("run.dialog.request".to_owned(), &dialog.request));
    sent.extend(
        dialog
            .bye
            .as_deref()
            .map(|bye| ("run.dialog.bye".to_owned(), bye)),
    );
    let open = sent
        .iter()
        .filter(|(_, text)| !text.ends_with(['\n', '\r', '\0']));
    problems.extend(open.map(|(key, _)| {
        let what = "the other side cannot know where it ends";
        Problem::new(key, what, r#"end it with "\r\n", "\n" or "\u0000""#)
    }));
    problems.extend(of_request(dialog));
    problems
}

fn of_request(dialog: &DialogSpec) -> Vec<Problem> {
    let (key, mut problems) = ("run.dialog.request", Vec::new());
    let known = ["{path}", "{size}", "{sha256}"];
    for word in words(&dialog.request) {
        if !known.contains(&word) {
            let what = format!("`{word}` is no placeholder");
            problems.push(Problem::new(key, what, "use {path}, {size} or {sha256}"));
        }
    }
    let has = |word: &str| dialog.request.contains(word);
    if dialog.framed && !dialog.content {
        let key = "run.dialog.framed";
        let what = "no bytes follow the request";
        problems.push(Problem::new(key, what, "set content = true, or remove it"));
    }
    if dialog.content && !dialog.framed && !has("{size}") {
        let what = "the server cannot know how many bytes follow";
        problems.push(Problem::new(key, what, "add {size}, or remove content"));
    }
    if !dialog.content && !has("{path}") && !has("{sha256}") {
        let what = "it does not say which file is meant";
        problems.push(Problem::new(key, what, "add {path}, or set content = true"));
    }
    if dialog.ready.is_some() && !dialog.content {
        let what = "nothing follows for which the server could be ready";
        problems.push(Problem::new(
            "run.dialog.ready",
            what,
            "set content = true, or remove it",
        ));
    }
    problems
}

/// Finds what is wrong with a service of ICAP; `outside` if an address has its path.
pub fn of_icap(icap: &IcapSpec, outside: bool) -> Vec<Problem> {
    let mut problems = of_headers("run.icap.headers", &icap.headers, &[]);
    let key = "run.icap.service";
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.~/?=&".contains(c);
    if outside && !icap.service.is_empty() {
        let what = "the address names the service already";
        problems.push(Problem::new(key, what, "remove it"));
    }
    if !outside && (icap.service.is_empty() || !icap.service.chars().all(legal)) {
        let what = "there is no service to ask";
        let remedy = "name the path of the service, e.g. \"avscan\"";
        problems.push(Problem::new(key, what, remedy));
    }
    problems
}
