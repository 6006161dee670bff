//! What is related to an item: its analyses, vendors' comments, its owner.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::App;
use super::super::envelope::{
    Answer, Base, Collection, Descriptor, Links, Object, Paging, invalid_cursor,
};
use super::super::error::ApiError;
use super::super::partner::display_name;
use super::super::results::{Coverage, EngineAnswer, answers, named};
use super::address::missing;
use super::object::url;
use crate::flow::policy;
use crate::flow::vendor::of_now;
use crate::model::{Analysis, Comment, EngineId, Item, ItemId, Sha256, Stats};
use crate::store::{COMMENTS, PUBLISHERS, StoreError};

/// How much of the related objects is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All.
    Whole,
    /// Only their names.
    Name,
}

/// What an analysis of an item's content found.
#[derive(Debug, Serialize, ToSchema)]
pub struct MonitorAnalysisAttributes {
    /// When it was completed, or opened if it is not.
    date: u64,
    sha256: String,
    /// `queued`, `in-progress` or `completed`.
    status: &'static str,
    /// Engines that detected it in this analysis; see `coverage` for how many were asked.
    detections_count: u32,
    tags: BTreeSet<String>,
    analysis_results: BTreeMap<String, EngineAnswer>,
    /// How many engines the count stands on: a rescan asks only those with something new.
    coverage: Coverage,
}

/// A vendor's comment on a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct CommentAttributes {
    comment: String,
    date: u64,
    /// `confirmed` if the vendor stands by its detection.
    detection: Option<&'static str>,
    /// The vendor's engine, by its display name.
    engine: String,
    sha256: String,
    /// Version or signatures the vendor says it is fixed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_in: Option<String>,
}

/// What is known of a publisher.
#[derive(Debug, Serialize, ToSchema)]
pub struct OwnerAttributes {
    organization: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_legal_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_iso: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    industry: Option<String>,
    contact_emails: Vec<String>,
}

/// A related object in the form that is wanted.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<A> {
    Whole(Object<A>),
    Name(Descriptor),
}

fn shown<A>(object: Object<A>, form: Form) -> Shown<A> {
    match form {
        Form::Whole => Shown::Whole(object),
        Form::Name => Shown::Name(Descriptor {
            kind: object.kind,
            id: object.id,
            links: Some(object.links),
        }),
    }
}

fn collection_url(id: &ItemId, (name, form): (&str, Form), base: &Base) -> String {
    match form {
        Form::Whole => format!("{}/{name}", url(id, base)),
        Form::Name => format!("{}/relationships/{name}", url(id, base)),
    }
}

/// Lists the analyses of an item's content, newest first.
///
/// # Errors
/// If the store fails.
pub fn analyses(
    app: &App,
    (id, item): (&ItemId, &Item),
    (paging, form): (&Paging, Form),
    base: &Base,
) -> Result<Response, ApiError> {
    let url = collection_url(id, ("analyses", form), base);
    let Some(file) = &item.file else {
        return Ok(Json(Collection::<Descriptor>::whole(Vec::new(), url)).into_response());
    };
    let sha256 = file.sha256;
    let ours = |key: &Vec<u8>| key.len() == 40 && key.starts_with(sha256.as_bytes());
    if paging.cursor.as_ref().is_some_and(|key| !ours(key)) {
        return Err(invalid_cursor());
    }
    let before = paging.cursor.as_deref();
    let page = app.api.store.analyses_of(&sha256, before, paging.limit)?;
    let data = page.rows.iter().map(|analysis| {
        let object = analysis_object(app, analysis, base)?;
        Ok(shown(object, form))
    });
    let data = data.collect::<Result<Vec<_>, ApiError>>()?;
    Ok(Json(Collection::new(data, (url, paging), page.next)).into_response())
}

fn analysis_object(
    app: &App,
    analysis: &Analysis,
    base: &Base,
) -> Result<Object<MonitorAnalysisAttributes>, ApiError> {
    let given = answers(&app.api.store, analysis)?;
    let stats = Stats::of_results(&given);
    let detecting = given
        .iter()
        .filter(|(_, result)| matches!(result.verdict.category(), "malicious" | "suspicious"));
    let mut tags: BTreeSet<_> = detecting
        .map(|(engine, _)| display_name(app, engine))
        .collect();
    let detections_count = stats.malicious + stats.suspicious;
    if detections_count > 0 {
        tags.insert("detected".to_owned());
    }
    let date = analysis.completed_at.unwrap_or(analysis.created_at);
    let sha256 = analysis.id.sha256.to_string();
    Ok(Object {
        kind: "monitor_analysis",
        id: format!("{sha256}-{}", analysis.id.number),
        links: Links::to(base.url(&format!("/analyses/{}", analysis.id))),
        attributes: MonitorAnalysisAttributes {
            date: date.seconds(),
            sha256,
            status: analysis.status().as_str(),
            detections_count,
            tags,
            analysis_results: named(app, given),
            coverage: Coverage::of(&stats, analysis.engines.len()),
        },
    })
}

/// Lists vendors' comments on an item's content: those of a publisher who lets vendors know of it.
/// To the others a comment would tell that somebody else has the same file.
///
/// # Errors
/// If the store fails.
pub fn comments(
    app: &App,
    (id, item): (&ItemId, &Item),
    (paging, form): (&Paging, Form),
    base: &Base,
) -> Result<Response, ApiError> {
    let url = collection_url(id, ("comments", form), base);
    let none = || Json(Collection::<Descriptor>::whole(Vec::new(), url.clone())).into_response();
    let Some(file) = &item.file else {
        return Ok(none());
    };
    if policy::consent(&app.api.store, &file.sha256, &id.publisher)?.is_none() {
        return Ok(none());
    }
    let prefix = file.sha256.as_bytes().as_slice();
    let from = paging.cursor.as_deref();
    if from.is_some_and(|key| !key.starts_with(prefix)) {
        return Err(invalid_cursor());
    }
    let page = app
        .api
        .store
        .list(&COMMENTS, (prefix, from), paging.limit)?;
    let data = page.rows.into_iter().map(|(key, comment)| {
        let comment = of_now(&app.api.store, &key, comment)?;
        Ok(shown(comment_object(app, (&key, comment), base), form))
    });
    let data = data.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Json(Collection::new(data, (url, paging), page.next)).into_response())
}

fn comment_object(
    app: &App,
    ((sha256, engine), comment): (&(Sha256, EngineId), Comment),
    base: &Base,
) -> Object<CommentAttributes> {
    let id = format!("{sha256}-{engine}");
    Object {
        kind: "monitor_hash_comment",
        links: Links::to(base.url(&format!("/monitor_partner/comments/{id}"))),
        id,
        attributes: CommentAttributes {
            comment: comment.text,
            date: comment.at.seconds(),
            detection: comment.confirmed.then_some("confirmed"),
            engine: display_name(app, engine),
            sha256: sha256.to_string(),
            fixed_in: comment.fixed_in,
        },
    }
}

/// Shows the publisher who owns an item.
///
/// # Errors
/// If the store fails.
pub fn owner(app: &App, id: &ItemId, form: Form, base: &Base) -> Result<Response, ApiError> {
    let row = app.api.store.get(&PUBLISHERS, &id.publisher)?;
    let row = row.ok_or_else(|| missing(id))?;
    let group = row.id.to_string();
    let object = Object {
        kind: "group",
        links: Links::to(base.url(&format!("/groups/{group}"))),
        id: group,
        attributes: OwnerAttributes {
            organization: row.name,
            organization_legal_name: row.profile.legal_name,
            country: row.profile.country,
            country_iso: row.profile.country_iso,
            domain_name: row.profile.domain,
            industry: row.profile.industry,
            contact_emails: row.emails,
        },
    };
    let data = shown(object, form);
    Ok(Json(Answer { data }).into_response())
}
