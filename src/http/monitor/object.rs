//! Items as VirusTotal's clients see them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::super::App;
use super::super::envelope::{Base, Links, Object};
use super::super::error::ApiError;
use super::super::files::{LastAnalysis, last_analysis};
use super::super::partner::display_name;
use super::super::results::{Coverage, EngineAnswer};
use crate::model::{Item, ItemFile, ItemId, SharePolicy, Standing};
use crate::store::{BLOBS, STANDINGS};

/// VirusTotal's name of the type.
pub const KIND: &str = "monitor_item";

/// What is known of an item.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemAttributes {
    /// Where it is in its collection; a folder's ends with a slash.
    path: String,
    /// `file` or `folder`.
    item_type: &'static str,
    creation_date: u64,
    /// When its content was last replaced.
    last_modification_date: u64,
    /// Id of the key or user that made it.
    creator_id: String,
    tags: BTreeSet<String>,
    /// What the publisher tells vendors of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<String>,
    /// What vendors may have of it, if that is said of itself and not of a folder around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    policy: Option<SharePolicy>,
    #[serde(flatten)]
    content: Option<Content>,
}

/// What is known of the file an item points at; a folder has none of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Content {
    /// Bytes.
    size: u64,
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
    /// When an engine first detected it.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_detection_date: Option<u64>,
    /// When some engine's next update is due, after which it is looked at again.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_analysis_date: Option<u64>,
    #[serde(flatten)]
    analyzed: Option<Analyzed>,
}

/// What the engines say of it; absent as a whole until an analysis was completed, so that nothing
/// reads as clean that nobody has looked at.
#[derive(Debug, Serialize, ToSchema)]
pub struct Analyzed {
    last_analysis_date: u64,
    /// Engines that detect it now; one that failed since keeps its last word.
    last_detections_count: usize,
    last_analysis_results: BTreeMap<String, EngineAnswer>,
    /// How many engines the count stands on.
    coverage: Coverage,
}

/// Returns the URL of an item, with its id escaped.
pub fn link(id: &ItemId, base: &Base) -> Links {
    Links::to(url(id, base))
}

/// Returns the URL of an item, with its id escaped.
pub fn url(id: &ItemId, base: &Base) -> String {
    let id = id.to_string();
    let id = id.replace('/', "%2F").replace('+', "%2B");
    base.url(&format!("/monitor/items/{}", id.replace('=', "%3D")))
}

/// Returns an item as an object.
///
/// # Errors
/// If the store fails.
pub fn object(
    app: &App,
    (id, item): (&ItemId, Item),
    base: &Base,
) -> Result<Object<ItemAttributes>, ApiError> {
    let standing = match &item.file {
        Some(file) => app.api.store.get(&STANDINGS, &file.sha256)?,
        None => None,
    };
    let content = item.file.as_ref();
    let content = content.map(|file| content_of(app, file, standing.as_ref()));
    let attributes = ItemAttributes {
        path: id.path.to_string(),
        item_type: if id.path.is_folder() {
            "folder"
        } else {
            "file"
        },
        creation_date: item.created_at.seconds(),
        last_modification_date: item.modified_at.seconds(),
        creator_id: item.creator,
        tags: standing.map(|s| tags(app, &s)).unwrap_or_default(),
        details: item.details,
        policy: item.policy,
        content: content.transpose()?,
    };
    Ok(Object {
        kind: KIND,
        id: id.to_string(),
        links: link(id, base),
        attributes,
    })
}

/// Returns the tags of a standing, engines by the names they have in results.
fn tags(app: &App, standing: &Standing) -> BTreeSet<String> {
    let engine = |tag: &String| {
        let mut detecting = standing.detections.keys();
        detecting.find(|id| id.as_str() == tag)
    };
    let tags = standing.tags().into_iter();
    tags.map(|tag| engine(&tag).map_or_else(|| tag.clone(), |id| display_name(app, id)))
        .collect()
}

fn content_of(
    app: &App,
    file: &ItemFile,
    standing: Option<&Standing>,
) -> Result<Content, ApiError> {
    let blob = app.api.store.get(&BLOBS, &file.sha256)?;
    let last = blob.as_ref().map(|blob| last_analysis(app, blob));
    let last = last.transpose()?.flatten();
    let first = standing.and_then(|standing| standing.first_detection_at);
    let digests = blob.map(|blob| blob.digests);
    Ok(Content {
        size: file.size_bytes,
        sha256: file.sha256.to_string(),
        sha1: digests.as_ref().map(|digests| digests.sha1.to_string()),
        md5: digests.as_ref().map(|digests| digests.md5.to_string()),
        first_detection_date: first.map(|at| at.seconds()),
        next_analysis_date: next_analysis(app),
        analyzed: last.map(|last| analyzed(last, standing)),
    })
}

fn analyzed(last: LastAnalysis, standing: Option<&Standing>) -> Analyzed {
    let results = last.last_analysis_results;
    let seen = results.values().filter(|answer| answer.is_detection());
    // Neither a failure in the last analysis nor a standing that is not written yet hides one.
    let count = standing.map_or(0, |standing| standing.detections.len());
    Analyzed {
        last_analysis_date: last.last_analysis_date,
        last_detections_count: match standing {
            Some(standing) if standing.analysis.is_some() => count,
            Some(_) | None => count.max(seen.count()),
        },
        last_analysis_results: results,
        coverage: last.coverage,
    }
}

/// Returns when the first engine's next update is due.
fn next_analysis(app: &App) -> Option<u64> {
    let table = app.api.engines.borrow();
    let enabled = table.values().filter(|status| status.state.takes_part());
    let due = enabled.filter_map(|status| status.signatures.as_ref()?.next_update_at);
    due.min().map(|at| at.seconds())
}
