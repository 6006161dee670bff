//! Views that somebody keeps for himself: a page, a query, a name.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{delete, get};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};

use super::access::{Area, READERS, Rule, rule};
use super::auth::Caller;
use super::engines::parse_body;
use super::envelope::{Answer, Base, Collection, Links, Object};
use super::error::{ApiError, ErrorBody};
use super::{App, now, random};
use crate::model::{KeyId, View, ViewPage};
use crate::store::{Change, Read, RowKey, StoreError, VIEWS};

/// Views that one may keep.
const VIEWS_MOST: usize = 100;
/// Longest name, in characters.
const NAME_CHARS: usize = 100;
/// Longest query, in characters.
const QUERY_CHARS: usize = 2000;
/// Bytes of a view's id.
const ID_BYTES: usize = 8;

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[
    rule("GET", "/acquit/views", READERS),
    rule("POST", "/acquit/views", READERS),
    rule("DELETE", "/acquit/views/{id}", READERS),
];

#[derive(OpenApi)]
#[openapi(paths(list, create, remove))]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/acquit/views", get(list).post(create))
        .route("/acquit/views/{id}", delete(remove))
}

/// A view as it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViewAttributes {
    name: String,
    /// `analyses`, `collection` or `incidents`.
    page: &'static str,
    /// The page's query, without the question mark.
    query: String,
    creation_date: u64,
}

/// A view to be kept.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewView {
    /// 1 to 100 characters.
    name: String,
    /// `analyses`, `collection` or `incidents`.
    page: String,
    /// At most 2000 characters, without the question mark.
    query: String,
}

/// Lists the caller's views, by name.
#[utoipa::path(
    get, path = "/api/v3/acquit/views", tag = "users",
    responses((status = 200, body = Collection<Object<ViewAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Collection<Object<ViewAttributes>>>, ApiError> {
    let mut views = own(&app.api.store, &keeper(&caller))?;
    views.sort_by(|one, other| {
        let name = |view: &View| view.name.to_lowercase();
        name(&one.1)
            .cmp(&name(&other.1))
            .then_with(|| one.0.cmp(&other.0))
    });
    let data = views.into_iter().map(|(id, view)| object(id, view, &base));
    Ok(Json(Collection::whole(
        data.collect(),
        base.url("/acquit/views"),
    )))
}

/// Keeps a view.
#[utoipa::path(
    post, path = "/api/v3/acquit/views", tag = "users",
    request_body = NewView,
    responses(
        (status = 200, body = Answer<Object<ViewAttributes>>),
        (status = 409, body = ErrorBody, description = "There are too many, or one of this name"),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Object<ViewAttributes>>>, ApiError> {
    let view = read(&body)?;
    let (keeper, id) = (keeper(&caller), hex::encode(&random()?[..ID_BYTES]));
    let (row, key) = (view.clone(), (keeper.clone(), id.clone()));
    // Whether there is room is found out in the change itself: two may come at the same time.
    let put = move |change: &mut Change<'_>| {
        let others = own(change, &keeper)?;
        let same = |(_, other): &(String, View)| other.page == row.page && other.name == row.name;
        if others.len() >= VIEWS_MOST {
            return Ok(Some(format!(
                "there are {VIEWS_MOST} views already: remove one first"
            )));
        }
        if others.iter().any(same) {
            return Ok(Some(format!(
                "there is a view called {:?} already",
                row.name
            )));
        }
        change.put(&VIEWS, &key, &row)?;
        Ok::<_, StoreError>(None)
    };
    match app.api.store.write(put).await? {
        Some(refusal) => Err(ApiError::conflict(refusal)),
        None => Ok(Json(Answer {
            data: object(id, view, &base),
        })),
    }
}

/// Removes a view.
#[utoipa::path(
    delete, path = "/api/v3/acquit/views/{id}", tag = "users",
    params(("id" = String, Path, description = "Id of the view")),
    responses(
        (status = 200, body = Answer<Object<ViewAttributes>>, description = "What was removed"),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<ViewAttributes>>>, ApiError> {
    let key = (keeper(&caller), id.clone());
    let remove = move |change: &mut Change<'_>| {
        let view = change.get(&VIEWS, &key)?;
        if view.is_some() {
            change.remove(&VIEWS, &key);
        }
        Ok::<_, StoreError>(view)
    };
    let view = app.api.store.write(remove).await?;
    let view = view.ok_or_else(|| ApiError::not_found(format!("view {id:?} not found")))?;
    Ok(Json(Answer {
        data: object(id, view, &base),
    }))
}

/// Removes what a key has kept that works no more.
///
/// # Errors
/// If the store fails.
pub fn forget(change: &mut Change<'_>, key: &KeyId) -> Result<(), StoreError> {
    let keeper = of_key(key);
    for (id, _) in own(change, &keeper)? {
        change.remove(&VIEWS, &(keeper.clone(), id));
    }
    Ok(())
}

/// Names whose views they are: a session's are its user's.
fn keeper(caller: &Caller) -> String {
    match &caller.0.user {
        Some(user) => format!("u:{user}"),
        None => of_key(caller.0.holder()),
    }
}

fn of_key(key: &KeyId) -> String {
    format!("k:{key}")
}

fn own(read: &impl Read, keeper: &str) -> Result<Vec<(String, View)>, StoreError> {
    let prefix = (keeper.to_owned(), String::new()).to_bytes();
    let rows = read.rows(&VIEWS, (&prefix, None), VIEWS_MOST)?;
    Ok(rows.into_iter().map(|((_, id), view)| (id, view)).collect())
}

/// Reads a view from a body, with or without VirusTotal's envelope.
fn read(body: &Bytes) -> Result<View, ApiError> {
    let body: Value = parse_body(body)?;
    let inner = body.pointer("/data/attributes").cloned().unwrap_or(body);
    let new: NewView = serde_json::from_value(inner).map_err(|error| {
        ApiError::invalid_argument(format!("the view is not as it should be: {error}"))
    })?;
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS {
        let message = format!("name is a text of 1 to {NAME_CHARS} characters");
        return Err(ApiError::invalid_argument(message));
    }
    let query = new.query.strip_prefix('?').unwrap_or(&new.query);
    if query.chars().count() > QUERY_CHARS {
        let message = format!("query has more than {QUERY_CHARS} characters");
        return Err(ApiError::invalid_argument(message));
    }
    let mut pages = ViewPage::ALL.into_iter();
    let page = pages.find(|page| page.as_str() == new.page);
    let page = page.ok_or_else(|| {
        let all = ViewPage::ALL.map(ViewPage::as_str).join(", ");
        ApiError::invalid_argument(format!("page is one of {all}"))
    })?;
    Ok(View {
        name: name.to_owned(),
        page,
        query: query.to_owned(),
        created_at: now(),
    })
}

fn object(id: String, view: View, base: &Base) -> Object<ViewAttributes> {
    Object {
        kind: "view",
        links: Links::to(base.url(&format!("/acquit/views/{id}"))),
        id,
        attributes: ViewAttributes {
            name: view.name,
            page: view.page.as_str(),
            query: view.query,
            creation_date: view.created_at.seconds(),
        },
    }
}
