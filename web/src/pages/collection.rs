//! A drive for software: folders, files, what can be done with them.
//!
//! ```text
//! /collection          the page: tree, list, details     /collection/rows   a page of rows alone
//! /collection/act      move, copy, rename, delete        /collection/panel  details alone
//! /collection/upload   files of a form without scripts   /collection/trash  what was deleted
//! ```
//!
//! Scripts use the same routes: they send the forms and put in place what has changed.

mod acts;
mod bring;
mod panel;
mod place;
mod rows;
mod trash;
mod tree;

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Query};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::Web;
use crate::backend::{Answer, Client, Listing, Object, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::{Viewer, cookie, set_cookie};
use panel::{Panel, Policy};
use place::{Asked, Crumb, Place, api_path};
use rows::{Rows, Standing};
use tree::Node;

/// Name of the cookie that remembers list or grid.
const VIEW: &str = "acquit_view";
/// Most bytes of a form that names items.
const FORM_BYTES: usize = 8 << 20;

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/collection", get(page))
        .route("/collection/rows", get(part_of_list))
        .route("/collection/panel", get(details))
        .route("/collection/act", post(acts::act))
        .route("/collection/edit", post(acts::edit))
        .route("/collection/folder", post(bring::folder))
        .route("/collection/trash", get(trash::page))
        .route("/collection/trash/restore", post(bring::restore))
        .route("/collection/trash/empty", post(bring::empty))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .merge(
            Router::new()
                .route("/collection/upload", post(bring::upload))
                .layer(DefaultBodyLimit::disable()),
        )
}

/// The page.
#[derive(Template)]
#[template(path = "collection/page.html")]
struct Page {
    frame: Frame,
    place: Place,
    crumbs: Vec<Crumb>,
    nodes: Vec<Node>,
    list: Rows,
    usage: Usage,
    policy: Policy,
    panel: Option<Panel>,
    is_grid: bool,
    sees_all: bool,
}

/// A page of rows alone.
#[derive(Template)]
#[template(path = "collection/part.html")]
struct Part {
    list: Rows,
}

/// Details alone.
#[derive(Template)]
#[template(path = "collection/panel.html")]
struct Details {
    frame: Frame,
    place: Place,
    panel: Option<Panel>,
}

/// Which collection, for those who see all.
#[derive(Template)]
#[template(path = "collection/owners.html")]
struct Owners {
    frame: Frame,
    owners: Vec<Object<Owner>>,
    next: String,
}

/// How full a collection is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    storage_bytes: u64,
    storage_bytes_allowed: Option<u64>,
    storage_files: u64,
    storage_files_allowed: Option<u64>,
}

/// A publisher, as the list of them has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    name: String,
    used_bytes: u64,
    used_files: u64,
}

async fn page(
    viewer: Viewer,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let Some(owner) = viewer.owner(Some(&asked.owner)).map(str::to_owned) else {
        return owners(&viewer, &asked).await;
    };
    let place = Place::new(&owner, &asked);
    let view = match asked.view.as_str() {
        view @ ("grid" | "list") => view.to_owned(),
        _ => cookie(&headers, VIEW).unwrap_or_default(),
    };
    let page = read(&viewer, place, &view).await?;
    let mut response = show(&page)?;
    if !asked.view.is_empty() && ["grid", "list"].contains(&&*view) {
        let kept = format!("{VIEW}={view}; Path=/; Max-Age=31536000; SameSite=Strict");
        set_cookie(&mut response, kept);
    }
    Ok(response)
}

async fn read(viewer: &Viewer, place: Place, view: &str) -> Result<Page, Fault> {
    let api = &viewer.api;
    let usage = format!("/acquit/collection{}", query([("owner", &*place.owner)]));
    let (policy, nodes, usage, panel) = tokio::try_join!(
        policy(api, &place),
        tree::read(api, &place),
        api.get::<Answer<Object<Usage>>>(&usage),
        panel::read(api, &place),
    )?;
    let list = rows::read(api, &place, &policy.policy).await?;
    Ok(Page {
        frame: Frame::new(viewer, place.title(), "collection"),
        crumbs: place.crumbs(),
        nodes,
        list,
        usage: usage.data.attributes,
        policy,
        panel,
        is_grid: view == "grid",
        sees_all: viewer.sees_all(),
        place,
    })
}

/// Reads what vendors may have of what is in the open folder and says nothing of itself.
async fn policy(api: &Client, place: &Place) -> Result<Policy, Fault> {
    let policy = api_path(&place.folder_id(), "policy");
    let policy: Answer<Object<Policy>> = api.get(&policy).await?;
    Ok(policy.data.attributes)
}

async fn part_of_list(viewer: Viewer, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let owner = viewer.owner(Some(&asked.owner)).unwrap_or("").to_owned();
    let place = Place::new(&owner, &asked);
    let policy = policy(&viewer.api, &place).await?;
    let list = rows::read(&viewer.api, &place, &policy.policy).await?;
    show(&Part { list })
}

async fn details(viewer: Viewer, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let owner = viewer.owner(Some(&asked.owner)).unwrap_or("").to_owned();
    let place = Place::new(&owner, &asked);
    let panel = panel::read(&viewer.api, &place).await?;
    let frame = Frame::new(&viewer, "Details", "collection");
    show(&Details {
        frame,
        place,
        panel,
    })
}

/// Shows whose collections there are.
async fn owners(viewer: &Viewer, asked: &Asked) -> Result<Response, Fault> {
    let pairs = [("limit", "40"), ("cursor", &*asked.cursor)];
    let path = format!("/acquit/publishers{}", query(pairs));
    let listing: Listing<Object<Owner>> = viewer.api.get(&path).await?;
    let next = listing.cursor();
    let next = next.map(|cursor| format!("/collection{}", query([("cursor", cursor)])));
    show(&Owners {
        frame: Frame::new(viewer, "Collections", "collection"),
        next: next.unwrap_or_default(),
        owners: listing.data,
    })
}
