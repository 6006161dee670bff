//! Files that vendors ask a publisher for: each is granted or refused by the publisher.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use crate::backend::{Listing, Object, part, query};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go};

#[derive(Template)]
#[template(path = "incidents/requests.html")]
struct Page {
    frame: Frame,
    requests: Vec<Object<Asked>>,
    /// Whose files; nobody's yet if an administrator has not said.
    owner: Option<String>,
    publishers: Vec<Object<Publisher>>,
    next: String,
    first: String,
}

/// A vendor's request for a file.
#[derive(Clone, Debug, Deserialize)]
struct Asked {
    sha256: String,
    vendor_id: String,
    asked_date: u64,
    reason: String,
    file_access: String,
    #[serde(default)]
    answered_date: Option<u64>,
    #[serde(default)]
    answered_by: Option<String>,
}

/// A publisher, for the choice of an administrator.
#[derive(Clone, Debug, Deserialize)]
struct Publisher {
    name: String,
}

/// Whose requests are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Whose {
    owner: String,
    cursor: String,
}

/// Lists requests.
pub async fn page(viewer: Viewer, Query(whose): Query<Whose>) -> Result<Response, Fault> {
    let owner = viewer.owner(Some(&whose.owner)).map(str::to_owned);
    let asked = query([
        ("owner", owner.as_deref().unwrap_or("")),
        ("cursor", &whose.cursor),
    ]);
    let requests = async {
        match &owner {
            Some(_) => {
                let place = format!("/acquit/file_requests{asked}");
                viewer.api.get::<Listing<Object<Asked>>>(&place).await
            }
            None => Ok(Listing::default()),
        }
    };
    let publishers = async {
        match viewer.is_admin() {
            true => viewer.api.get("/acquit/publishers?limit=40").await,
            false => Ok(Listing::default()),
        }
    };
    let (requests, publishers) = tokio::try_join!(requests, publishers)?;
    let url = |cursor: &str| {
        let owner = owner.as_deref().unwrap_or("");
        let query = query([("owner", owner), ("cursor", cursor)]);
        format!("/incidents/requests{query}")
    };
    let next = requests.cursor().map(url).unwrap_or_default();
    let first = Some(url("")).filter(|_| !whose.cursor.is_empty());
    show(&Page {
        frame: Frame::new(&viewer, "Files asked for", "incidents"),
        next,
        first: first.unwrap_or_default(),
        requests: requests.data,
        publishers: publishers.data,
        owner,
    })
}

/// Grants or refuses a file.
pub async fn answer(posted: Posted) -> Result<Response, Fault> {
    let (act, said) = match posted.get("act") {
        "grant" => ("grant", "The vendor may download the file now."),
        "refuse" => ("refuse", "The vendor does not get the file."),
        _ => return Err(Fault::bad("say whether the file is granted or refused")),
    };
    let owner = query([("owner", posted.get("owner"))]);
    let (sha256, vendor) = (part(posted.get("sha256")), part(posted.get("vendor")));
    let place = format!("/acquit/file_requests/{sha256}/{vendor}/{act}{owner}");
    posted.viewer.api.post(&place, &json!({})).await?;
    Ok(go(&format!("/incidents/requests{owner}"), said))
}
