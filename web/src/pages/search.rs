//! Finds whatever has a name; a hash leads straight to its file.

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::Web;
use crate::backend::{Listing, Object, part, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::Viewer;

/// Most finds the API gives.
const FINDS: &str = "40";
/// Kinds of finds: the API's word, the heading, the picture; in the order they are shown.
const KINDS: [(&str, &str, &str); 7] = [
    ("incident", "Incidents", "incidents"),
    ("file", "Files", "file"),
    ("monitor_item", "Items and folders", "collection"),
    ("engine", "Engines", "engines"),
    ("publisher", "Publishers", "people"),
    ("tag", "Tags", "tag"),
    ("detection", "Detections", "detected"),
];

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new().route("/search", get(page))
}

/// What is searched for.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    query: String,
}

#[derive(Template)]
#[template(path = "search/page.html")]
struct Page {
    frame: Frame,
    query: String,
    groups: Vec<Group>,
    /// Whether there may be more than was found.
    partial: bool,
    /// What the API says of a text it does not search for.
    refused: Option<String>,
}

/// Finds of a kind.
struct Group {
    heading: &'static str,
    icon: &'static str,
    finds: Vec<Find>,
}

/// A find as it is shown.
struct Find {
    href: String,
    title: String,
    subtitle: String,
}

/// A find as the API tells it.
#[derive(Debug, Deserialize)]
struct Found {
    title: String,
    subtitle: String,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    path: Option<String>,
}

async fn page(viewer: Viewer, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let text = asked.query.trim();
    let mut page = Page {
        frame: Frame::new(&viewer, "Search", ""),
        query: text.to_owned(),
        groups: Vec::new(),
        partial: false,
        refused: None,
    };
    page.frame.search = text.to_owned();
    if text.is_empty() {
        return show(&page);
    }
    let path = query([("query", text), ("limit", FINDS)]);
    let found = viewer.api.get(&format!("/acquit/search{path}")).await;
    let found: Listing<Object<Found>> = match found {
        Ok(found) => found,
        Err(fault) if fault.status == StatusCode::BAD_REQUEST => {
            page.refused = Some(fault.message);
            return show(&page);
        }
        Err(fault) => return Err(fault),
    };
    if let Some(file) = only_file(text, &found.data) {
        return Ok(Redirect::to(&format!("/files/{}", part(file))).into_response());
    }
    page.partial = found.meta.more.get("partial") == Some(&true.into());
    page.groups = groups(found.data);
    show(&page)
}

/// Returns the one file that a hash is of.
fn only_file<'a>(text: &str, found: &'a [Object<Found>]) -> Option<&'a str> {
    let is_hash = matches!(text.len(), 32 | 40 | 64) && text.bytes().all(|c| c.is_ascii_hexdigit());
    let mut files = found.iter().filter(|it| is_hash && it.kind == "file");
    match (files.next(), files.next()) {
        (Some(file), None) => Some(&file.id),
        _ => None,
    }
}

fn groups(found: Vec<Object<Found>>) -> Vec<Group> {
    let groups = KINDS.into_iter().map(|(kind, heading, icon)| {
        let finds = found.iter().filter(|it| it.kind == kind);
        Group {
            heading,
            icon,
            finds: finds.map(find).collect(),
        }
    });
    groups.filter(|group| !group.finds.is_empty()).collect()
}

fn find(found: &Object<Found>) -> Find {
    let it = &found.attributes;
    Find {
        href: href(found),
        title: it.title.clone(),
        subtitle: it.subtitle.clone(),
    }
}

/// Returns the page of a find.
fn href(found: &Object<Found>) -> String {
    let (id, it) = (part(&found.id), &found.attributes);
    let owner = it.owner.as_deref().unwrap_or("");
    let path = it.path.as_deref().unwrap_or("");
    match &*found.kind {
        "incident" => format!("/incidents/{id}"),
        "file" => format!("/files/{id}"),
        "engine" => format!("/engines/{id}"),
        "publisher" => format!("/collection?owner={id}"),
        "tag" => format!("/analyses{}", query([("owner", owner), ("tag", &it.title)])),
        "detection" => {
            let query = query([("owner", owner), ("detection", &it.title)]);
            format!("/analyses{query}")
        }
        _ if path.ends_with('/') => {
            format!("/collection{}", query([("owner", owner), ("folder", path)]))
        }
        _ => format!("/items/{id}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(kind: &str, id: &str, path: Option<&str>) -> Object<Found> {
        let json = json!({
            "type": kind, "id": id,
            "attributes": { "title": "a&b", "subtitle": "", "owner": "acme", "path": path },
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn finds_lead_to_their_pages() {
        for (kind, id, path, expected) in [
            ("incident", "7", Some("/a"), "/incidents/7"),
            ("file", "00ff", None, "/files/00ff"),
            ("monitor_item", "a=", Some("/a"), "/items/a%3D"),
            (
                "monitor_item",
                "a=",
                Some("/a b/"),
                "/collection?owner=acme&folder=%2Fa%20b%2F",
            ),
            ("engine", "x/y", None, "/engines/x%2Fy"),
            ("publisher", "acme", None, "/collection?owner=acme"),
            ("tag", "acme:t", None, "/analyses?owner=acme&tag=a%26b"),
            (
                "detection",
                "acme:d",
                None,
                "/analyses?owner=acme&detection=a%26b",
            ),
        ] {
            assert_eq!(href(&found(kind, id, path)), expected);
        }
    }

    #[test]
    fn only_a_whole_hash_leads_straight_to_a_file() {
        let file = [
            found("file", "00ff", None),
            found("monitor_item", "a", None),
        ];
        assert_eq!(only_file(&"a".repeat(64), &file), Some("00ff"));
        assert_eq!(only_file(&"a".repeat(10), &file), None);
        assert_eq!(only_file(&"z".repeat(64), &file), None);
        let two = [found("file", "00", None), found("file", "ff", None)];
        assert_eq!(only_file(&"a".repeat(32), &two), None);
    }

    #[test]
    fn kinds_stand_in_their_order() {
        let groups = groups(vec![found("tag", "t", None), found("incident", "1", None)]);
        let headings: Vec<_> = groups.iter().map(|group| group.heading).collect();
        assert_eq!(headings, ["Incidents", "Tags"]);
    }
}
