//! Items by engines: who says what of what, as a table that can be read at a glance.

mod asked;
mod heat;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::Web;
use crate::backend::{Client, Listing, Object, part, query};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::owners::Owners;
use crate::session::{Viewer, go};
use asked::{Asked, STATES};
use heat::{Column, Item, Row};

/// Items on a page: each has a cell for every engine.
const ROWS: usize = 25;
/// Tags that the changes of a day bring.
const TAGS: [&str; 6] = [
    "detected",
    "new-detections",
    "increasing-detections",
    "decreasing-detections",
    "swapped-detections",
    "solved-detections",
];
/// What cells look like, for the legend.
const LEGEND: [(&str, &str, &str); 4] = [
    ("detected", "is-orange", "Detected"),
    ("clean", "is-clean", "Undetected"),
    ("none", "", "No answer: failed, timed out or not asked"),
    ("type", "is-none", "Not its type"),
];

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/analyses", get(page))
        .route("/analyses/views", post(keep))
        .route("/analyses/views/{id}/remove", post(remove))
}

#[derive(Template)]
#[template(path = "analyses/page.html")]
struct Page {
    frame: Frame,
    owners: Owners,
    asked: Asked,
    engines: Vec<Object<Engine>>,
    columns: Vec<Column>,
    rows: Vec<Row>,
    next: String,
    /// What the API says of a filter that it cannot read.
    refused: Option<String>,
    /// Nothing if the API keeps none.
    views: Option<Vec<Object<View>>>,
}

/// A view that somebody keeps.
#[derive(Debug, Deserialize)]
struct View {
    name: String,
    page: String,
    query: String,
}

async fn page(viewer: Viewer, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let mut asked = asked.clean();
    let mut owners = Owners::read(&viewer, Some(&asked.owner)).await?;
    owners.settle();
    if owners.open {
        asked.owner.clone_from(&owners.owner);
    }
    let api = &viewer.api;
    let engines = api.get::<Listing<Object<Engine>>>("/acquit/engines?limit=40");
    let views = api.find::<Listing<Object<View>>>("/acquit/views");
    let (engines, views, listed) = tokio::join!(engines, views, items(api, (&owners, &asked)));
    let (engines, views) = (engines?.data, views?);
    let (listed, refused) = match listed {
        Ok(listed) => (listed, None),
        Err(fault) if fault.status == StatusCode::BAD_REQUEST => {
            (Listing::default(), Some(fault.message))
        }
        // A folder that is not there has no items: the page stays, with its way to another one.
        Err(fault) if fault.is_missing() && !asked.path.is_empty() => (Listing::default(), None),
        Err(fault) => return Err(fault),
    };
    let next = listed.cursor().map(|cursor| asked.next(cursor));
    let columns = heat::columns(&engines, &listed.data);
    show(&Page {
        frame: Frame::new(&viewer, "Analyses", "analyses"),
        rows: heat::rows(listed.data, &columns),
        next: next.unwrap_or_default(),
        views: views.map(own),
        owners,
        asked,
        engines,
        columns,
        refused,
    })
}

/// Asks for a page of items; there is none before somebody's collection is chosen.
async fn items(
    api: &Client,
    (owners, asked): (&Owners, &Asked),
) -> Result<Listing<Object<Item>>, Fault> {
    if owners.owner.is_empty() {
        return Ok(Listing::default());
    }
    let (filter, rows) = (asked.filter(), ROWS.to_string());
    let query = query([
        ("owner", &*owners.owner),
        ("recursive", "true"),
        ("filter", &filter),
        ("limit", &rows),
        ("cursor", &asked.cursor),
    ]);
    api.get(&format!("/monitor/items{query}")).await
}

fn own(views: Listing<Object<View>>) -> Vec<Object<View>> {
    let views = views.data.into_iter();
    views
        .filter(|it| it.attributes.page == "analyses")
        .collect()
}

/// Keeps the page under a name.
async fn keep(posted: Posted) -> Result<Response, Fault> {
    let query = posted.get("query");
    let back = format!("/analyses?{query}");
    let body = json!({ "name": posted.get("name"), "page": "analyses", "query": query });
    posted.viewer.api.post("/acquit/views", &body).await?;
    let saying = format!("The view {} is saved.", posted.get("name"));
    Ok(go(local(&back), &saying))
}

async fn remove(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let path = format!("/acquit/views/{}", part(&id));
    let order = (Method::DELETE, &*path);
    posted.viewer.api.send(order, &json!({})).await?;
    let back = format!("/analyses?{}", posted.get("query"));
    Ok(go(local(&back), "The view is deleted."))
}

/// Returns a page of ours to go back to, the plain one if it cannot be gone to.
fn local(back: &str) -> &str {
    crate::session::local(back).unwrap_or("/analyses")
}

impl Page {
    /// Returns the file of all items that are chosen.
    fn export(&self, format: &str) -> String {
        let filter = self.asked.filter();
        let query = query([
            ("owner", &*self.owners.owner),
            ("recursive", "true"),
            ("filter", &filter),
            ("format", format),
        ]);
        format!("/ui/api/acquit/items/export{query}")
    }

    /// Says how many items the page has.
    fn shown(&self) -> String {
        match (self.rows.len(), self.next.is_empty()) {
            (1, true) => "1 item".to_owned(),
            (1, false) => "1 item on this page, and more to look through".to_owned(),
            (number, true) => format!("{number} items"),
            (number, false) => format!("{number} items on this page, and more to look through"),
        }
    }

    /// Returns the way to the first page; empty on it.
    fn first(&self) -> String {
        match self.asked.cursor.is_empty() {
            true => String::new(),
            false => self.asked.url(),
        }
    }
}
