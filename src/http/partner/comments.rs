//! Comments: what the vendor says of its detections, one for each hash and engine.
//!
//! VirusTotal's samples send and get lists, its `vt-py` sends and needs single
//! objects: an answer has the shape of the request. A comment by itself is an
//! object; with a slash at the end of its URL, as in VirusTotal's sample, a list
//! of one.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{MethodRouter, patch};
use axum::{Extension, Json};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::App;
use super::super::auth::Caller;
use super::super::envelope::{Answer, Base, Collection, Links, Object};
use super::super::error::{ApiError, ErrorBody};
use super::{Asking, asking, display_name, failed, own_engine, see};
use crate::flow::policy::Sight;
use crate::flow::vendor::comments::{Detected, Said};
use crate::flow::vendor::{self, VendorError, comments};
use crate::model::{Comment, EngineId, Sha256};
use crate::store::{COMMENTS, StoreError};

const KIND: &str = "monitor_hash_comment";
/// Most comments in one request.
const AT_ONCE: usize = 20;

/// A comment.
#[derive(Debug, Serialize, ToSchema)]
pub struct CommentAttributes {
    comment: String,
    date: u64,
    /// `confirmed` if the vendor stands by the detection.
    detection: Option<&'static str>,
    /// Display name of the engine.
    engine: String,
    /// The engine's id here.
    engine_id: String,
    sha256: String,
    /// In which version or set the vendor says it is fixed.
    fixed_in: Option<String>,
}

/// What a vendor sends.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CommentBody {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    attributes: Sent,
}

/// What a vendor says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    #[serde(default)]
    comment: Option<String>,
    /// `confirmed`, or null.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    detection: Option<Option<String>>,
    /// Name of the vendor's engine; needed if several of its engines detect the hash.
    #[serde(default)]
    engine: Option<String>,
    #[serde(default)]
    sha256: Option<String>,
    /// In which version or set it is fixed, or null.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    fixed_in: Option<Option<String>>,
}

/// What a request carries: one, or a list of them.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only described: it is read by hand")]
pub struct CommentRequest {
    data: Vec<CommentBody>,
}

fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Returns the routes that change one comment.
pub fn routes_of_one() -> MethodRouter<Arc<App>> {
    patch(edit).post(edit).delete(remove)
}

/// Lists the comments of the vendor on a hash: one for each of its engines at most.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/hashes/{sha256}/comments", tag = "partner",
    params(("sha256" = String, Path, description = "SHA-256")),
    responses(
        (status = 200, body = Collection<Object<CommentAttributes>>),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Collection<Object<CommentAttributes>>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let (sha256, sight) = see(&app, &asking, &id).await?;
    let own = own(&app, &sha256, &sight)?.into_iter();
    let objects = own.map(|(engine, comment)| object(&app, ((sha256, engine), comment), &base));
    let url = base.url(&format!("/monitor_partner/hashes/{sha256}/comments"));
    Ok(Json(Collection::whole(objects.collect(), url)))
}

/// Comments on a detection; a second comment on the same hash and engine is refused.
#[utoipa::path(
    post, path = "/api/v3/monitor_partner/hashes/{sha256}/comments", tag = "partner",
    params(("sha256" = String, Path, description = "SHA-256")),
    request_body = CommentRequest,
    responses(
        (status = 200, body = Answer<Vec<Object<CommentAttributes>>>),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "There is one already: PATCH it"),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Value>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let (sha256, sight) = see(&app, &asking, &id).await?;
    let (bodies, shape) = read(&body)?;
    let mut said = Vec::new();
    for body in bodies {
        let engine = engine_of(&app, &asking, (&body, &sight))?;
        check(&body, (None, &sha256))?;
        said.push(((sha256, engine), says(body.attributes)?));
    }
    let made = comments::post(&app.api.store, asking.analyst, said).await;
    let made = made.map_err(|error| failed(error, &id))?.into_iter();
    let objects: Vec<_> = made.map(|made| object(&app, made, &base)).collect();
    shape.answer(objects)
}

/// Shows a comment of the vendor's.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/comments/{id}", tag = "partner",
    params(("id" = String, Path, description = "`<sha256>-<engine>`")),
    responses(
        (status = 200, body = Answer<Object<CommentAttributes>>),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Value>>, ApiError> {
    Shape::Object.answer(vec![one(&app, &caller, (&id, &base)).await?])
}

/// Shows a comment as VirusTotal's sample does: in a list of one.
pub async fn show_in_list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Value>>, ApiError> {
    Shape::List.answer(vec![one(&app, &caller, (&id, &base)).await?])
}

/// Changes a comment; `"detection": null` takes back that the vendor stands by it.
#[utoipa::path(
    patch, path = "/api/v3/monitor_partner/comments/{id}", tag = "partner",
    params(("id" = String, Path, description = "`<sha256>-<engine>`")),
    request_body = CommentRequest,
    responses(
        (status = 200, body = Answer<Object<CommentAttributes>>),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn edit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Value>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let (detected, _) = find(&app, &asking, &id).await?;
    let (mut bodies, shape) = read(&body)?;
    let (Some(body), true) = (bodies.pop(), bodies.is_empty()) else {
        return Err(ApiError::bad_request("a comment is changed by itself"));
    };
    check(&body, (Some(&detected.1), &detected.0))?;
    if let Some(name) = &body.attributes.engine
        && own_engine(&app, &asking.vendor, name)? != detected.1
    {
        return Err(ApiError::invalid_argument(
            "engine is not that of the comment",
        ));
    }
    let said = (detected.clone(), says(body.attributes)?);
    let comment = comments::patch(&app.api.store, asking.analyst, said).await;
    let comment = comment.map_err(|error| lost(error, &id))?;
    shape.answer(vec![object(&app, (detected, comment), &base)])
}

/// Removes a comment; with it the vendor does not stand by the detection any more.
#[utoipa::path(
    delete, path = "/api/v3/monitor_partner/comments/{id}", tag = "partner",
    params(("id" = String, Path, description = "`<sha256>-<engine>`")),
    responses((status = 200, description = "It is gone"), (status = 404, body = ErrorBody))
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, ApiError> {
    let asking = asking(&app, &caller)?;
    let (detected, _) = find(&app, &asking, &id).await?;
    let removed = comments::delete(&app.api.store, asking.analyst, detected).await;
    removed.map_err(|error| lost(error, &id))?;
    Ok(Json(serde_json::json!({"data": {}})))
}

/// Returns the comments on a hash of those engines of the vendor's that detect it.
///
/// # Errors
/// If the store fails.
pub fn own(
    app: &App,
    sha256: &Sha256,
    sight: &Sight,
) -> Result<Vec<(EngineId, Comment)>, StoreError> {
    let mut own = Vec::new();
    for engine in &sight.engines {
        let detected = (*sha256, engine.clone());
        if let Some(comment) = app.api.store.get(&COMMENTS, &detected)? {
            let comment = vendor::of_now(&app.api.store, &detected, comment)?;
            own.push((detected.1, comment));
        }
    }
    Ok(own)
}

/// Returns the id of a comment.
pub fn id(sha256: &Sha256, engine: &EngineId) -> String {
    format!("{sha256}-{engine}")
}

async fn one(
    app: &App,
    caller: &Caller,
    (id, base): (&str, &Base),
) -> Result<Object<CommentAttributes>, ApiError> {
    let asking = asking(app, caller)?;
    Ok(object(app, find(app, &asking, id).await?, base))
}

/// Finds a comment of an engine of the vendor's that detects its hash now.
async fn find(app: &App, asking: &Asking, id: &str) -> Result<(Detected, Comment), ApiError> {
    let none = || no_comment(id);
    let (sha256, engine) = id.split_once('-').ok_or_else(none)?;
    let engine = own_engine(app, &asking.vendor, engine).map_err(|_| none())?;
    let sha256: Sha256 = sha256.parse().map_err(|_| none())?;
    let store = &app.api.store;
    let sight = vendor::see(store, &asking.vendor, &sha256);
    let sight = sight.map_err(|error| lost(error, id))?;
    if !sight.engines.contains(&engine) {
        return Err(none());
    }
    let detected = (sha256, engine);
    let comment = store.get(&COMMENTS, &detected)?.ok_or_else(none)?;
    let comment = vendor::of_now(store, &detected, comment)?;
    app.shown
        .note(app, &asking.analyst, &[(&sha256, &sight)])
        .await?;
    Ok((detected, comment))
}

fn no_comment(id: &str) -> ApiError {
    ApiError::not_found(format!("comment {id:?} not found"))
}

fn lost(error: VendorError, id: &str) -> ApiError {
    match error {
        VendorError::Hidden => no_comment(id),
        error => failed(error, id),
    }
}

/// The shape of a request, and of its answer.
#[derive(Clone, Copy)]
enum Shape {
    Object,
    List,
}

impl Shape {
    fn answer(
        self,
        objects: Vec<Object<CommentAttributes>>,
    ) -> Result<Json<Answer<Value>>, ApiError> {
        let list = serde_json::to_value(objects).map_err(|error| ApiError::internal(&error))?;
        let data = match self {
            Self::List => list,
            Self::Object => list.get(0).cloned().unwrap_or(Value::Null),
        };
        Ok(Json(Answer { data }))
    }
}

fn read(body: &[u8]) -> Result<(Vec<CommentBody>, Shape), ApiError> {
    let malformed = |error: serde_json::Error| {
        ApiError::bad_request(format!(
            "the body is no comment in {{\"data\": …}}: {error}"
        ))
    };
    let mut body: Value = serde_json::from_slice(body).map_err(malformed)?;
    let (list, shape) = match body.get_mut("data").map(Value::take) {
        Some(Value::Array(list)) => (list, Shape::List),
        Some(one @ Value::Object(_)) => (vec![one], Shape::Object),
        _ => {
            return Err(ApiError::bad_request(
                "the body needs `data`, a comment or a list",
            ));
        }
    };
    if list.is_empty() || list.len() > AT_ONCE {
        let message = format!("a request has 1 to {AT_ONCE} comments");
        return Err(ApiError::bad_request(message));
    }
    let invalid = |error: serde_json::Error| {
        ApiError::invalid_argument(format!("the comment cannot be read: {error}"))
    };
    let bodies = list.into_iter().map(serde_json::from_value);
    Ok((bodies.collect::<Result<_, _>>().map_err(invalid)?, shape))
}

/// Refuses a body that names something else than its URL.
fn check(
    body: &CommentBody,
    (engine, sha256): (Option<&EngineId>, &Sha256),
) -> Result<(), ApiError> {
    if body.kind.as_deref().is_some_and(|kind| kind != KIND) {
        return Err(ApiError::invalid_argument(format!("type is not {KIND:?}")));
    }
    let named = body.attributes.sha256.as_deref();
    if named.is_some_and(|named| !named.eq_ignore_ascii_case(&sha256.to_string())) {
        return Err(ApiError::invalid_argument("sha256 is not that of the URL"));
    }
    let id = engine.map(|engine| id(sha256, engine));
    if let (Some(id), Some(named)) = (&id, &body.id)
        && !named.eq_ignore_ascii_case(id)
    {
        return Err(ApiError::invalid_argument("id is not that of the URL"));
    }
    Ok(())
}

fn says(sent: Sent) -> Result<Said, ApiError> {
    let confirmed = match sent.detection.as_ref().map(Option::as_deref) {
        None => None,
        Some(None | Some("")) => Some(false),
        Some(Some("confirmed")) => Some(true),
        Some(Some(_)) => {
            return Err(ApiError::invalid_argument(
                "detection is \"confirmed\" or null",
            ));
        }
    };
    Ok(Said {
        text: sent.comment,
        confirmed,
        fixed_in: sent.fixed_in,
    })
}

/// Returns which engine a new comment is about; it must detect the hash.
fn engine_of(
    app: &App,
    asking: &Asking,
    (body, sight): (&CommentBody, &Sight),
) -> Result<EngineId, ApiError> {
    if let Some(name) = &body.attributes.engine {
        let engine = own_engine(app, &asking.vendor, name)?;
        return if sight.engines.contains(&engine) {
            Ok(engine)
        } else {
            let message = format!("your engine {engine} does not detect this hash now");
            Err(ApiError::invalid_argument(message))
        };
    }
    let mut engines = sight.engines.iter();
    match (engines.next(), engines.next()) {
        (Some(engine), None) => Ok(engine.clone()),
        _ => Err(ApiError::invalid_argument(
            "several of your engines detect this hash: name one as `engine`",
        )),
    }
}

fn object(
    app: &App,
    ((sha256, engine), comment): (Detected, Comment),
    base: &Base,
) -> Object<CommentAttributes> {
    let id = id(&sha256, &engine);
    Object {
        kind: KIND,
        links: Links::to(base.url(&format!("/monitor_partner/comments/{id}"))),
        id,
        attributes: CommentAttributes {
            comment: comment.text,
            date: comment.at.seconds(),
            detection: comment.confirmed.then_some("confirmed"),
            engine: display_name(app, &engine),
            engine_id: engine.to_string(),
            sha256: sha256.to_string(),
            fixed_in: comment.fixed_in,
        },
    }
}
