//! One item of a collection, and one file by its hash: what the engines say, since when, and why.

pub mod place;
mod subject;
mod tabs;
mod timeline;
pub mod verdict;
pub mod wire;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Web;
use crate::backend::{Listing, Object, part};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go, local};
use place::collection_url;
use subject::{Progress, Subject};
use tabs::{Body, Tab};
use verdict::{Row, Summary};

pub use subject::Progress as Running;

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/items/{id}", get(item))
        .route("/files/{hash}", get(file))
        .route("/files/{hash}/rescan", post(rescan))
        .route("/files/{hash}/reference", post(reference))
}

/// What is looked at.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    tab: String,
}

#[derive(Template)]
#[template(path = "items/page.html")]
struct Page {
    frame: Frame,
    vouched: bool,
    summary: Option<Summary>,
    running: Option<Progress>,
    rows: Vec<Row>,
    reference: Reference,
    sees_all: bool,
    tab: Tab,
    tabs: Vec<Tab>,
    body: Body,
    subject: Subject,
}

/// Whether every new signature set must be silent on the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    /// It must.
    Yes,
    /// It need not.
    No,
    /// There are more references than were looked at.
    Unknown,
}

async fn item(
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    match Subject::item(&viewer, &id).await? {
        (_, Some(subject)) => page(&viewer, subject, Tab::of(&asked.tab)).await,
        (place, None) => {
            let folder = collection_url(&place.owner, &place.path);
            Ok(Redirect::to(&folder).into_response())
        }
    }
}

async fn file(
    viewer: Viewer,
    Path(hash): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let subject = Subject::file(&viewer, &hash).await?;
    page(&viewer, subject, Tab::of(&asked.tab)).await
}

async fn page(viewer: &Viewer, subject: Subject, tab: Tab) -> Result<Response, Fault> {
    let is_item = subject.item.is_some();
    let active = if is_item { "collection" } else { "" };
    let body = tabs::read(viewer, &subject, tab);
    let reference = is_reference(viewer, &subject.file.sha256);
    let (body, reference) = tokio::try_join!(body, reference)?;
    show(&Page {
        frame: Frame::new(viewer, subject.name.clone(), active),
        vouched: subject.is_vouched(),
        summary: subject.summary(),
        running: subject.running(),
        rows: subject.rows(),
        reference,
        sees_all: viewer.sees_all(),
        tab,
        tabs: Tab::of_page(is_item).collect(),
        body,
        subject,
    })
}

async fn is_reference(viewer: &Viewer, sha256: &str) -> Result<Reference, Fault> {
    let references: Listing<Object<Value>> = viewer.api.get("/acquit/references?limit=40").await?;
    let is_there = references.data.iter().any(|it| it.id == sha256);
    Ok(match (is_there, references.cursor()) {
        (true, _) => Reference::Yes,
        (false, None) => Reference::No,
        (false, Some(_)) => Reference::Unknown,
    })
}

/// Asks every engine again, also those that have nothing new to look with.
async fn rescan(Path(hash): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let path = format!("/files/{}/analyse?reuse=never", part(&hash));
    posted.viewer.api.post(&path, &json!({})).await?;
    let back = back(&posted, &hash);
    Ok(go(&back, "The engines are asked again."))
}

async fn reference(Path(hash): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let path = format!("/files/{}/reference", part(&hash));
    let (method, said) = match posted.get("act") {
        "unmark" => (Method::DELETE, "The file is no reference any more."),
        _ => (
            Method::PUT,
            "The file is a reference now: no new signature set may detect it.",
        ),
    };
    posted.viewer.api.send((method, &path), &json!({})).await?;
    Ok(go(&back(&posted, &hash), said))
}

/// Returns the page a form was on.
fn back(posted: &Posted, hash: &str) -> String {
    let next = local(posted.get("next"));
    next.map_or_else(|| format!("/files/{}", part(hash)), str::to_owned)
}
