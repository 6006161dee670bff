//! Users and metadata: what VirusTotal's clients ask before they work.
//!
//! A user here is an API key, its id the key's public one, also in a session opened with it; or, in
//! a session of a user, that user. Its group is the publisher or the vendor it speaks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::envelope::{Answer, Base, Links, Object};
use super::error::{ApiError, ErrorBody};
use super::limit::PERIODS;
use super::people::signin::last_login;
use super::{App, now};
use crate::model::{ApiKey, KeyId, KeyRole, PublisherId, Seat, Sha256, Timestamp, Usage, User};
use crate::store::{KEYS, KeyRow, PUBLISHERS, Store, StoreError, USAGE, USERS};

/// What is answered as allowed where there is no limit: the largest number every client can read.
const UNLIMITED: u64 = (1 << 53) - 1;
/// Relations to a group that clients ask for.
const GROUP_RELATIONS: [&str; 3] = [
    "api_quota_group",
    "intelligence_quota_group",
    "monitor_quota_group",
];

/// What is known of the holder of a key.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserAttributes {
    /// The user's name, or what the operator calls the key.
    first_name: String,
    /// `admin`, `publisher`, `viewer` or `vendor`.
    role: &'static str,
    /// What its id is that of: `user` or `api_key`.
    holder: &'static str,
    /// Whether it is somebody in a session, who can sign out.
    session: bool,
    /// Id of the publisher it speaks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
    /// Id of the vendor it speaks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<String>,
    /// `active` or `inactive`.
    status: &'static str,
    user_since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_login: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    privileges: BTreeMap<&'static str, Privilege>,
    quotas: BTreeMap<&'static str, Used>,
    /// Whether a user has a password, which they can change.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_password: Option<bool>,
    /// When a session, or a key that does not last, ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_date: Option<u64>,
    /// The key of a session, only in the answer that opens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    apikey: Option<String>,
}

/// Whether something may be done, and by which group.
#[derive(Debug, Serialize, ToSchema)]
pub struct Privilege {
    granted: bool,
    /// Id of the group it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    inherited_from: Option<String>,
    /// `group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    inherited_via: Option<&'static str>,
}

impl Privilege {
    /// Makes a privilege that is one's own.
    pub const fn granted(granted: bool) -> Self {
        Self {
            granted,
            inherited_from: None,
            inherited_via: None,
        }
    }

    fn inherited(group: Option<String>) -> Self {
        Self {
            granted: group.is_some(),
            inherited_via: group.is_some().then_some("group"),
            inherited_from: group,
        }
    }
}

/// How much of what is allowed is used.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Used {
    allowed: u64,
    used: u64,
}

/// The same at each level clients look for it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Quota {
    allowed: u64,
    used: u64,
    user: Used,
    group: GroupUsed,
}

/// How much of what is allowed a group has used.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GroupUsed {
    allowed: u64,
    used: u64,
    /// Id of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    inherited_from: Option<String>,
}

/// A user, with what was asked for besides.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserObject {
    #[serde(flatten)]
    object: Object<UserAttributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    relationships: Option<BTreeMap<&'static str, Value>>,
}

/// What is asked for besides.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RelationsQuery {
    /// Names of relations, separated by commas: `groups`, `api_quota_group`, …
    relationships: Option<String>,
}

/// Shows the holder of a key: by the key's id, by the key itself, or `me`.
#[utoipa::path(
    get, path = "/api/v3/users/{id}", tag = "users",
    params(("id" = String, Path, description = "Key id, key, user id, or `me`"), RelationsQuery),
    responses((status = 200, body = Answer<UserObject>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<RelationsQuery>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<UserObject>>, ApiError> {
    let row = find(&app, &id, caller)?;
    let wanted = query.relationships.as_deref();
    let relationships = wanted.map(|wanted| relationships(&row, wanted, &base));
    let object = object(&app, (row, None), &base)?;
    let data = UserObject {
        object,
        relationships,
    };
    Ok(Json(Answer { data }))
}

/// Names the groups that are asked for; names that are not known are passed over.
fn relationships(row: &KeyRow, wanted: &str, base: &Base) -> BTreeMap<&'static str, Value> {
    let group = group(&row.seat);
    let descriptor = group.map(|id| {
        let link = base.url(&format!("/groups/{id}"));
        json!({ "type": "group", "id": id, "links": { "self": link } })
    });
    let wanted: Vec<_> = wanted.split(',').map(str::trim).collect();
    let mut relations = BTreeMap::new();
    if wanted.contains(&"groups") {
        let groups: Vec<_> = descriptor.iter().collect();
        relations.insert("groups", json!({ "data": groups }));
    }
    for name in GROUP_RELATIONS {
        if wanted.contains(&name) {
            relations.insert(name, json!({ "data": descriptor }));
        }
    }
    relations
}

/// Returns the id of the group a seat belongs to.
fn group(seat: &Seat) -> Option<String> {
    let publisher = seat.publisher.as_ref().map(ToString::to_string);
    publisher.or_else(|| seat.vendor.as_ref().map(ToString::to_string))
}

/// Returns the holder of a key as an object, with the key where it is shown.
///
/// # Errors
/// If the store fails.
pub fn object(
    app: &App,
    (row, key): (KeyRow, Option<&ApiKey>),
    base: &Base,
) -> Result<Object<UserAttributes>, ApiError> {
    let store = &app.api.store;
    let mut quotas: BTreeMap<_, _> = used(app, row.holder()).collect();
    if let Some(publisher) = &row.seat.publisher {
        quotas.extend(monitor_quotas(store, publisher)?);
    }
    let user = row.user.as_ref().map(|id| store.get(&USERS, id));
    let user: Option<User> = user.transpose()?.flatten();
    let id = match &row.user {
        Some(user) => user.to_string(),
        None => row.holder().to_string(),
    };
    let over = row.expires_at.is_some_and(|at| at <= now());
    let is_active = row.revoked_at.is_none() && !over;
    let login = row.user.as_ref().map(|user| last_login(store, user));
    let name = user.as_ref().map(|user| user.name.clone());
    Ok(Object {
        kind: "user",
        links: Links::to(base.url(&format!("/users/{id}"))),
        id,
        attributes: UserAttributes {
            role: row.seat.role.as_str(),
            holder: if row.user.is_some() {
                "user"
            } else {
                "api_key"
            },
            session: row.is_session() && row.expires_at.is_some(),
            publisher: row.seat.publisher.as_ref().map(ToString::to_string),
            vendor: row.seat.vendor.as_ref().map(ToString::to_string),
            status: if is_active { "active" } else { "inactive" },
            user_since: row.created_at.seconds(),
            last_login: login.transpose()?.flatten().map(Timestamp::seconds),
            has_password: user.as_ref().map(|user| user.password.is_some()),
            email: user.and_then(|user| user.email),
            privileges: privileges(&row.seat),
            quotas,
            expiration_date: row.expires_at.map(Timestamp::seconds),
            apikey: key.map(ApiKey::reveal),
            first_name: name.unwrap_or(row.name),
        },
    })
}

fn privileges(seat: &Seat) -> BTreeMap<&'static str, Privilege> {
    let own = Privilege::granted;
    let writes = matches!(seat.role, KeyRole::Admin | KeyRole::Publisher);
    let publisher = seat.publisher.as_ref().map(ToString::to_string);
    let vendor = seat.vendor.as_ref().map(ToString::to_string);
    [
        ("file-upload", own(writes)),
        ("admin", own(seat.role == KeyRole::Admin)),
        ("monitor", Privilege::inherited(publisher)),
        ("monitor-partner", Privilege::inherited(vendor)),
    ]
    .into()
}

/// Returns what a publisher keeps and has uploaded, and what it may.
///
/// # Errors
/// If the store fails.
pub fn monitor_quotas(
    store: &Store,
    publisher: &PublisherId,
) -> Result<[(&'static str, Used); 4], StoreError> {
    let usage: Usage = store.get(&USAGE, publisher)?.unwrap_or_default();
    let quota = store.get(&PUBLISHERS, publisher)?;
    let quota = quota.map(|publisher| publisher.quota).unwrap_or_default();
    let of = |allowed: Option<u64>, used| Used {
        allowed: allowed.unwrap_or(UNLIMITED),
        used,
    };
    Ok([
        ("monitor_storage_bytes", of(quota.bytes, usage.bytes)),
        ("monitor_storage_files", of(quota.files, usage.files)),
        ("monitor_uploaded_bytes", of(None, usage.uploaded_bytes)),
        ("monitor_uploaded_files", of(None, usage.uploaded_files)),
    ])
}

/// Shows how many requests a key may make and has made, and what its publisher keeps.
#[utoipa::path(
    get, path = "/api/v3/users/{id}/overall_quotas", tag = "users",
    params(("id" = String, Path, description = "Key id, key, user id, or `me`")),
    responses((status = 200, body = Answer<BTreeMap<String, Quota>>), (status = 404, body = ErrorBody))
)]
pub async fn quotas(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Answer<BTreeMap<&'static str, Quota>>>, ApiError> {
    let row = find(&app, &id, caller)?;
    let group = group(&row.seat);
    let mut data: BTreeMap<_, _> = used(&app, row.holder())
        .map(|(name, used)| (name, quota(used, None)))
        .collect();
    if let Some(publisher) = &row.seat.publisher {
        let quotas = monitor_quotas(&app.api.store, publisher)?.into_iter();
        data.extend(quotas.map(|(name, used)| (name, quota(used, group.clone()))));
    }
    Ok(Json(Answer { data }))
}

const fn quota(both: Used, inherited_from: Option<String>) -> Quota {
    let Used { allowed, used } = both;
    Quota {
        allowed,
        used,
        user: both,
        group: GroupUsed {
            allowed,
            used,
            inherited_from,
        },
    }
}

fn used(app: &App, key: &KeyId) -> impl Iterator<Item = (&'static str, Used)> {
    let counts = app.limiter.allowed().into_iter();
    let counts = counts.zip(app.limiter.used(key, now()));
    let quotas = PERIODS.into_iter().zip(counts);
    quotas.map(|((name, _), (allowed, used))| (name, Used { allowed, used }))
}

/// Finds whom an id means; only an administrator sees others than himself.
fn find(app: &App, id: &str, caller: Caller) -> Result<KeyRow, ApiError> {
    let named = id.parse::<ApiKey>().map(|key| (key.id(), Some(key)));
    let (wanted, key) = named.unwrap_or_else(|_| (KeyId(id.to_owned()), None));
    let is_own_key = key
        .as_ref()
        .is_none_or(|key| key.digest() == caller.0.digest);
    let is_own_user = caller
        .0
        .user
        .as_ref()
        .is_some_and(|user| user.as_str() == id);
    let is_own = wanted == caller.0.id || wanted == *caller.0.holder();
    if id == "me" || is_own_user || (is_own && is_own_key) {
        return Ok(caller.0);
    }
    // What was asked for may be a secret, so it is not repeated.
    let none = || ApiError::not_found("user not found");
    if !caller.is_admin() {
        return Err(none());
    }
    let store = &app.api.store;
    match (store.get(&KEYS, &wanted)?, key) {
        (Some(row), Some(key)) if key.digest() != row.digest => Err(none()),
        (Some(row), _) => Ok(row),
        (None, _) => {
            let user = id.parse().ok().map(|id| store.get(&USERS, &id));
            let user = user.transpose()?.flatten();
            user.map(seated).ok_or_else(none)
        }
    }
}

/// Makes of a user what a key of theirs would be.
fn seated(user: User) -> KeyRow {
    KeyRow {
        id: KeyId(String::new()),
        digest: Sha256::new([0; 32]),
        name: user.name,
        seat: user.seat,
        created_at: user.created_at,
        revoked_at: user.disabled_at,
        expires_at: None,
        last_used_at: None,
        user: Some(user.id),
        parent: None,
    }
}

/// What this server knows of.
#[derive(Debug, Serialize, ToSchema)]
pub struct Metadata {
    /// Display names of the engines.
    #[schema(value_type = Object)]
    engines: BTreeMap<String, BTreeMap<String, String>>,
    privileges: Vec<&'static str>,
    /// What can be asked for of each type of object.
    relationships: BTreeMap<&'static str, Vec<Relationship>>,
}

/// One thing that can be asked for of an object.
#[derive(Debug, Serialize, ToSchema)]
pub struct Relationship {
    name: &'static str,
    description: &'static str,
}

/// Shows what this server knows of.
#[utoipa::path(
    get, path = "/api/v3/metadata", tag = "users",
    responses((status = 200, body = Answer<Metadata>))
)]
pub async fn metadata(State(app): State<Arc<App>>) -> Json<Answer<Metadata>> {
    let table = app.api.engines.borrow();
    let engines = table
        .values()
        .map(|status| (status.name.clone(), BTreeMap::new()));
    let data = Metadata {
        engines: engines.collect(),
        privileges: vec!["file-upload", "admin", "monitor", "monitor-partner"],
        relationships: RELATIONSHIPS.map(relations).into(),
    };
    Json(Answer { data })
}

/// What can be asked for of each type of object; `vt-cli` makes its commands of it.
const RELATIONSHIPS: [(&str, &[(&str, &str)]); 4] = [
    ("file", &[("analyses", "Analyses of the file")]),
    ("analysis", &[("item", "The file the analysis is of")]),
    (
        "monitor_item",
        &[
            ("analyses", "Analyses of the item"),
            ("comments", "Comments of vendors on the item"),
            ("owner", "The publisher who owns the item"),
        ],
    ),
    (
        "monitor_hash",
        &[
            ("analyses", "Analyses of the file"),
            ("comments", "Comments of vendors on the file"),
            ("items", "Items that point at the file"),
        ],
    ),
];

fn relations(
    (kind, relations): (&'static str, &'static [(&'static str, &'static str)]),
) -> (&'static str, Vec<Relationship>) {
    let relations = relations.iter();
    let relations = relations.map(|&(name, description)| Relationship { name, description });
    (kind, relations.collect())
}
