//! Files of anybody's, looked at once: they come into no collection.

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Request};
use axum::http::{Method, Uri, header};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use tokio::try_join;

use crate::Web;
use crate::backend::{Answer, Listing, Object, bytes, failure, part};
use crate::coverage::Coverage;
use crate::fault::Fault;
use crate::form::fields;
use crate::frame::{Frame, show};
use crate::pages::items::Running;
use crate::pages::items::verdict::{Row, Summary, by_id, engines, is_opinion, rows};
use crate::pages::items::wire::{AnalysisAttributes, EngineBrief};
use crate::session::{Viewer, go, is_ours, is_same_site};

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/scan", get(form).post(send))
        .route("/scan/{id}", get(result))
        .layer(DefaultBodyLimit::disable())
}

#[derive(Template)]
#[template(path = "scan/form.html")]
struct Form {
    frame: Frame,
}

async fn form(viewer: Viewer) -> Result<Response, Fault> {
    let frame = Frame::new(&viewer, "Scan a file", "scan");
    show(&Form { frame })
}

/// Takes a file from a form without a script, whatever its size: it streams on to the API.
///
/// No field of the form can be read before it is passed on, so that the session's token is in the
/// query.
async fn send(viewer: Viewer, request: Request) -> Result<Response, Fault> {
    let token = query_token(request.uri());
    if !(is_ours(&viewer, &token) && is_same_site(request.method(), request.headers())) {
        return Err(Fault::forged());
    }
    let url: Answer<String> = viewer.api.get("/files/upload_url").await?;
    let mut passed = Request::new(Body::empty());
    *passed.method_mut() = Method::POST;
    *passed.uri_mut() = upload_path(&url.data).ok_or_else(|| Fault::missing("the upload URL"))?;
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        if let Some(value) = request.headers().get(&name) {
            passed.headers_mut().insert(name, value.clone());
        }
    }
    *passed.body_mut() = request.into_body();
    let response = viewer.api.pass(passed).await;
    let status = response.status();
    let body = bytes(response).await?;
    if !status.is_success() {
        return Err(failure(status, &body));
    }
    let opened: Answer<Opened> =
        serde_json::from_slice(&body).map_err(|error| Fault::internal(&error))?;
    Ok(go(&format!("/scan/{}", part(&opened.data.id)), ""))
}

/// The name of an analysis that was opened.
#[derive(Debug, Deserialize)]
struct Opened {
    id: String,
}

fn query_token(uri: &Uri) -> String {
    let pairs = fields(uri.query().unwrap_or("").as_bytes());
    let token = pairs.into_iter().find(|(name, _)| name == "csrf");
    token.map(|(_, token)| token).unwrap_or_default()
}

/// Returns the path of an upload URL, whatever host the appliance calls itself.
fn upload_path(url: &str) -> Option<Uri> {
    let at = url.find("/api/v3/")?;
    url[at..].parse().ok()
}

/// What is said beside an analysis.
#[derive(Debug, Deserialize)]
struct Found {
    data: Object<AnalysisAttributes>,
    meta: Meta,
}

#[derive(Debug, Deserialize)]
struct Meta {
    file_info: FileInfo,
}

/// The file an analysis is of.
#[derive(Debug, Deserialize)]
struct FileInfo {
    sha256: String,
    #[serde(default)]
    size: u64,
}

#[derive(Template)]
#[template(path = "scan/result.html")]
struct Page {
    frame: Frame,
    file: FileInfo,
    analysis: AnalysisAttributes,
    /// Until every engine has answered.
    running: Option<Running>,
    /// What they all say, or said so far.
    say: Say,
    vouched: bool,
    sees_all: bool,
    rows: Vec<Row>,
    took: Option<u64>,
}

async fn result(viewer: Viewer, Path(id): Path<String>) -> Result<Response, Fault> {
    let path = format!("/analyses/{}", part(&id));
    let api = &viewer.api;
    let (found, engines) = try_join!(
        api.get::<Found>(&path),
        api.get::<Listing<Object<EngineBrief>>>("/acquit/engines"),
    )?;
    let Object { id, attributes, .. } = found.data;
    let vouched = attributes.known_distributors.is_some();
    show(&Page {
        frame: Frame::new(&viewer, "Result of a scan", "scan"),
        running: (!attributes.is_complete()).then(|| Running::of(&attributes)),
        say: Say::of(&attributes),
        rows: result_rows(&attributes, &id, by_id(engines.data)),
        took: took(&id, &attributes),
        sees_all: viewer.sees_all(),
        vouched,
        file: found.meta.file_info,
        analysis: attributes,
    })
}

/// Returns a row for each engine; only while the analysis is under way some may be still asked.
fn result_rows(
    analysis: &AnalysisAttributes,
    id: &str,
    mut engines: std::collections::BTreeMap<String, EngineBrief>,
) -> Vec<Row> {
    if analysis.is_complete() {
        for engine in engines.values_mut() {
            // It takes part now, perhaps, but was not asked then.
            "disabled".clone_into(&mut engine.state);
        }
    }
    let mut rows = rows(&analysis.results, &engines);
    for row in rows.iter_mut().filter(|row| row.answer.duration_ms > 0) {
        let (id, engine) = (part(id), part(&row.engine));
        row.raw = Some(format!("/acquit/analyses/{id}/raw/{engine}"));
    }
    rows
}

/// What an analysis says, in one sentence.
#[derive(Debug, PartialEq, Eq)]
struct Say {
    summary: Summary,
    /// What it means for who scanned the file.
    means: &'static str,
}

impl Say {
    fn of(analysis: &AnalysisAttributes) -> Self {
        let vouched = analysis.known_distributors.is_some();
        let answers = analysis.results.values();
        let found = answers.filter(|it| super::items::verdict::is_detection(&it.category));
        let found = found.count() as u64;
        let summary = Summary::new(found, analysis.coverage, vouched);
        let means = match (summary.tone, analysis.is_complete()) {
            (_, false) => "The last word is not said yet.",
            ("orange", _) => {
                "A publisher here vouches for this file, so this is most likely a false positive."
            }
            ("red", _) => "Nobody here vouches for this file. Treat it as dangerous.",
            ("clean", _) => {
                "That is no proof that the file is harmless: engines only know what their \
                 signatures know."
            }
            _ if analysis.coverage.unsupported == analysis.coverage.enabled => {
                "No engine here looks into such files, so nothing is known of this one."
            }
            _ => "Not every engine could say. Scan it again before you rely on this.",
        };
        Self {
            summary: so_far(summary, analysis),
            means,
        }
    }
}

/// Says of an analysis under way what is known so far; nothing is clean before its end.
fn so_far(summary: Summary, analysis: &AnalysisAttributes) -> Summary {
    if analysis.is_complete() {
        return summary;
    }
    let Coverage { enabled, .. } = analysis.coverage;
    let answers = analysis.results.values();
    let answered = answers.filter(|it| is_opinion(&it.category)).count() as u64;
    let headline = match summary.detections {
        0 => format!(
            "No detection so far, from {} of {}",
            answered,
            engines(enabled)
        ),
        found => format!("Detected by {found} so far, of {}", engines(enabled)),
    };
    Summary {
        tone: if summary.detections == 0 {
            "grey"
        } else {
            summary.tone
        },
        note: String::new(),
        headline,
        ..summary
    }
}

/// Returns how long an analysis took, in seconds: its number is when it was opened.
fn took(id: &str, analysis: &AnalysisAttributes) -> Option<u64> {
    let opened: u64 = id.rsplit('-').next()?.parse().ok()?;
    let is_complete = analysis.is_complete();
    is_complete.then(|| analysis.date.saturating_sub(opened / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::items::wire::{EngineAnswer, KnownDistributors};

    fn analysis(status: &str, categories: &[&str], enabled: u64) -> AnalysisAttributes {
        let answer = |(at, category): (usize, &&str)| {
            let name = at.to_string();
            let answer = EngineAnswer {
                category: (*category).to_owned(),
                engine_id: name.clone(),
                engine_name: name.clone(),
                ..EngineAnswer::default()
            };
            (name, answer)
        };
        let answered = categories.iter().filter(|it| is_opinion(it)).count() as u64;
        AnalysisAttributes {
            status: status.to_owned(),
            date: 1_795_718_520,
            results: categories.iter().enumerate().map(answer).collect(),
            coverage: Coverage {
                answered,
                enabled,
                ..Coverage::default()
            },
            ..AnalysisAttributes::default()
        }
    }

    #[test]
    fn nothing_is_clean_before_the_end() {
        let under_way = Say::of(&analysis("in-progress", &["undetected"], 2));
        assert_eq!(under_way.summary.tone, "grey");
        let over = Say::of(&analysis("completed", &["undetected", "undetected"], 2));
        assert_eq!(over.summary.tone, "clean");
        let partial = Say::of(&analysis("completed", &["undetected", "failure"], 2));
        assert_eq!(partial.summary.tone, "grey");
    }

    #[test]
    fn detection_is_an_objection_where_somebody_vouches() {
        let mut found = analysis("completed", &["malicious", "undetected"], 2);
        assert_eq!(Say::of(&found).summary.tone, "red");
        found.known_distributors = Some(KnownDistributors::default());
        assert_eq!(Say::of(&found).summary.tone, "orange");
    }

    #[test]
    fn engine_that_was_not_asked_does_not_wait_for_ever() {
        let engine = EngineBrief {
            name: "Later".to_owned(),
            state: "ready".to_owned(),
            ..EngineBrief::default()
        };
        let engines = || [("later".to_owned(), engine.clone())].into();
        let complete = analysis("completed", &["undetected"], 1);
        assert_eq!(result_rows(&complete, "f-a-1", engines()).len(), 1);
        let under_way = analysis("in-progress", &["undetected"], 2);
        assert_eq!(result_rows(&under_way, "f-a-1", engines()).len(), 2);
    }

    #[test]
    fn length_is_from_opening_to_completion() {
        let complete = analysis("completed", &[], 0);
        assert_eq!(took("f-aa-1795718516786", &complete), Some(4));
        assert_eq!(took("soon", &complete), None);
        let under_way = analysis("queued", &[], 0);
        assert_eq!(took("f-aa-1795718516786", &under_way), None);
    }

    #[test]
    fn upload_url_is_used_in_process_whatever_its_host() {
        let path = upload_path("https://av.example/api/v3/acquit/uploads/ab");
        assert_eq!(path.unwrap(), "/api/v3/acquit/uploads/ab");
        assert_eq!(upload_path("https://av.example/"), None);
    }
}
