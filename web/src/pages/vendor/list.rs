//! What the vendor's engines detect now, by publisher.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::{Own, own};
use crate::backend::{Listing, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::pages::incidents::model::item_named;
use crate::session::Viewer;

#[derive(Template)]
#[template(path = "vendor/list.html")]
struct Page {
    frame: Frame,
    own: Own,
    wanted: Wanted,
    groups: Vec<Group>,
    /// Files on this page.
    files: usize,
    next: String,
    first: String,
}

/// Which detections are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// One of the vendor's engines; any if empty.
    engine: String,
    /// `ignored` for what the vendor stands by.
    tag: String,
    cursor: String,
}

/// The files of a publisher.
struct Group {
    publisher: String,
    rows: Vec<Row>,
}

/// A file, as one publisher has it.
struct Row {
    sha256: String,
    /// Where it is in that collection; nothing if that is not told.
    paths: Vec<String>,
    detections: Vec<(String, String)>,
    since: Option<u64>,
    size: u64,
    access: String,
    has_comment: bool,
    silent: u64,
}

/// A hash with what is related to it.
#[derive(Clone, Debug, Deserialize)]
struct Hash {
    id: String,
    attributes: Attributes,
    #[serde(default)]
    relationships: Relationships,
}

/// What a vendor is told of a hash.
#[derive(Clone, Debug, Deserialize)]
struct Attributes {
    size: u64,
    #[serde(default)]
    first_detection_date: Option<u64>,
    #[serde(default)]
    detections: BTreeMap<String, Detection>,
    #[serde(default)]
    other_engines_silent_count: u64,
    file_access: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Detection {
    result: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Relationships {
    items: Listing<Named>,
    comments: Listing<Named>,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    id: String,
}

impl Wanted {
    /// Returns the words of the API.
    fn words(&self) -> String {
        let mut words = Vec::new();
        words.extend((!self.engine.is_empty()).then(|| format!("engine:{}", self.engine)));
        words.extend((self.tag == "ignored").then(|| "tag:ignored".to_owned()));
        words.join(" ")
    }

    fn url(&self, tag: &str, cursor: &str) -> String {
        let query = query([("engine", &*self.engine), ("tag", tag), ("cursor", cursor)]);
        format!("/vendor{query}")
    }
}

/// Lists detections.
pub async fn page(viewer: Viewer, Query(wanted): Query<Wanted>) -> Result<Response, Fault> {
    let asked = query([
        ("filter", &*wanted.words()),
        ("relationships", "items,comments"),
        ("limit", "40"),
        ("cursor", &wanted.cursor),
    ]);
    let asked = format!("/monitor_partner/hashes{asked}");
    let own = own(&viewer).await?;
    let hashes: Listing<Hash> = viewer.api.get(&asked).await?;
    let next = hashes
        .cursor()
        .map(|cursor| wanted.url(&wanted.tag, cursor));
    let first = Some(wanted.url(&wanted.tag, "")).filter(|_| !wanted.cursor.is_empty());
    show(&Page {
        frame: Frame::new(&viewer, "Detections", "vendor"),
        own,
        files: hashes.data.len(),
        groups: groups(hashes.data),
        next: next.unwrap_or_default(),
        first: first.unwrap_or_default(),
        wanted,
    })
}

/// Puts hashes with their publishers; one that several have is in each.
fn groups(hashes: Vec<Hash>) -> Vec<Group> {
    let mut groups = BTreeMap::<String, Vec<Row>>::new();
    for hash in hashes {
        let mut places = BTreeMap::<String, Vec<String>>::new();
        for item in &hash.relationships.items.data {
            if let Some((publisher, path)) = item_named(&item.id) {
                places.entry(publisher).or_default().push(path);
            }
        }
        if places.is_empty() {
            places.insert(String::new(), Vec::new());
        }
        for (publisher, paths) in places {
            groups.entry(publisher).or_default().push(row(&hash, paths));
        }
    }
    let groups = groups.into_iter();
    let group = |(publisher, rows)| Group { publisher, rows };
    groups.map(group).collect()
}

fn row(hash: &Hash, paths: Vec<String>) -> Row {
    let it = &hash.attributes;
    let detections = it.detections.iter();
    Row {
        sha256: hash.id.clone(),
        paths,
        detections: detections
            .map(|(engine, detection)| (engine.clone(), detection.result.clone()))
            .collect(),
        since: it.first_detection_date,
        size: it.size,
        access: it.file_access.clone(),
        has_comment: !hash.relationships.comments.data.is_empty(),
        silent: it.other_engines_silent_count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::incidents::model::item_id;
    use serde_json::json;

    fn hash(items: &[String]) -> Hash {
        let items: Vec<_> = items.iter().map(|id| json!({ "id": id })).collect();
        serde_json::from_value(json!({
            "id": "00", "attributes": {"size": 1, "file_access": "available",
                "detections": {"YARA": {"result": "X"}}},
            "relationships": {"items": {"data": items}, "comments": {"data": []}},
        }))
        .unwrap()
    }

    #[test]
    fn file_is_with_each_of_its_publishers() {
        let ids = [item_id("b", "/x"), item_id("a", "/y"), item_id("a", "/z")];
        let groups = groups(vec![hash(&ids), hash(&ids[1..2])]);
        let names: Vec<_> = groups
            .iter()
            .map(|it| (&*it.publisher, it.rows.len()))
            .collect();
        assert_eq!(names, [("a", 2), ("b", 1)]);
        assert_eq!(groups[0].rows[0].paths, ["/y", "/z"]);
        assert_eq!(
            groups[0].rows[0].detections,
            [("YARA".to_owned(), "X".to_owned())]
        );
    }

    #[test]
    fn detection_of_nobody_named_is_not_lost() {
        let groups = groups(vec![hash(&["?".to_owned()])]);
        assert_eq!((groups.len(), groups[0].rows.len()), (1, 1));
    }
}
