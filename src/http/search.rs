//! `GET /acquit/search`: one box that finds whatever has a name here.
//!
//! What is asked for by its whole name (a hash, a path, a number) is looked up; what is asked for
//! by a part of it is looked for as long as a request may take, and the answer says whether that
//! was everything. What a caller may not see is not found.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::App;
use super::access::{Area, READERS, Rule, rule};
use super::auth::Caller;
use super::envelope::{Base, Links, Object, PageLinks};
use super::error::ApiError;
use super::monitor::{item_url, refused};
use super::query::escaped;
use crate::flow::collection::{Query as Wanted, Sieve};
use crate::flow::incident::path;
use crate::flow::overview::{self, Figures, Held};
use crate::model::{EngineStatus, FileHash, Incident, ItemId, ItemPath, PublisherId, Sha256};
use crate::store::{BLOB_ITEMS, BLOBS, INCIDENTS, PUBLISHERS, Read};

/// Finds of a search, unless asked otherwise, and at most.
const LIMIT: (usize, usize) = (20, 40);
/// Finds of one kind that are not items: those have the rest.
const OF_A_KIND: usize = 5;
/// Longest text that is searched for, in characters.
const TEXT_CHARS: usize = 500;
/// Fewest digits of a SHA-256 by which a file is found.
const DIGITS: usize = 6;
/// Rows that are looked at for one kind.
const LOOKS: usize = 200;
/// Publishers there may be.
const PUBLISHERS_MOST: usize = 1000;
/// How long is looked before what is left is left out.
const TIME: Duration = Duration::from_millis(20);
/// How long a search waits for detection names that are being counted.
const PATIENCE: Duration = Duration::from_millis(10);

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[rule("GET", "/acquit/search", READERS)];

#[derive(OpenApi)]
#[openapi(paths(search))]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new().route("/acquit/search", get(search))
}

/// What is searched for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// A hash, the first six or more digits of a SHA-256, a path or a part of one, a tag, a
    /// detection name or a part of one, an engine, a publisher, or an incident as `#12`.
    query: Option<String>,
    /// Finds, 1 to 40; 20 if absent.
    #[param(value_type = Option<u64>)]
    limit: Option<String>,
    /// In this publisher's collection; in all the key may see if absent.
    owner: Option<String>,
}

/// What was found, the surest first, those of a kind together.
#[derive(Debug, Serialize, ToSchema)]
pub struct Finds {
    data: Vec<Object<FindAttributes>>,
    meta: FindsMeta,
    links: PageLinks,
}

/// How the search went.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindsMeta {
    /// Whether there may be more than was found.
    partial: bool,
}

/// What a find is called. Its type is `incident`, `file`, `monitor_item`, `engine`, `publisher`,
/// `tag` or `detection`; the link of the last two is that of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindAttributes {
    title: String,
    subtitle: String,
    /// Whose it is, if that is one publisher.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Where it is in a collection.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// How many items it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<u64>,
}

/// Finds files, items, incidents, engines, publishers, tags and detections.
#[utoipa::path(
    get, path = "/api/v3/acquit/search", tag = "monitor", params(SearchQuery),
    responses((status = 200, body = Finds))
)]
pub async fn search(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<SearchQuery>,
    base: Base,
) -> Result<Json<Finds>, ApiError> {
    let text = query.query.as_deref().unwrap_or("").trim().to_owned();
    if text.is_empty() || text.chars().count() > TEXT_CHARS {
        let message = format!("query is a text of 1 to {TEXT_CHARS} characters");
        return Err(ApiError::invalid_argument(message));
    }
    let limit = query.limit.as_deref().filter(|limit| !limit.is_empty());
    let limit = limit.map_or(Ok(LIMIT.0), str::parse);
    let limit = limit.map_err(|_| ApiError::invalid_argument("limit is no number"))?;
    let owners = owners(&app, &caller, query.owner.as_deref())?;
    let counted = app.overview.get((&app.api.store, &app.shutdown), PATIENCE);
    let names = counted.await.0;
    let this = base.url(&format!("/acquit/search?query={}", escaped(&text)));
    let search = Search {
        lower: text.to_lowercase(),
        text,
        app,
        caller,
        base,
        owners,
        names,
        limit: limit.clamp(1, LIMIT.1),
        until: Instant::now() + TIME,
        finds: Vec::new(),
        partial: false,
    };
    let found = tokio::task::spawn_blocking(move || search.run());
    let found = found.await.map_err(|error| ApiError::internal(&error))?;
    let (data, partial) = found?;
    Ok(Json(Finds {
        data,
        meta: FindsMeta { partial },
        links: PageLinks { this, next: None },
    }))
}

/// Returns in whose collections is searched.
fn owners(app: &App, caller: &Caller, named: Option<&str>) -> Result<Vec<PublisherId>, ApiError> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return Ok(vec![caller.publisher(Some(named))?]);
    }
    if caller.sees_all() {
        let rows = app.api.store.keys_after(&PUBLISHERS, None, PUBLISHERS_MOST);
        return Ok(rows?);
    }
    Ok(caller.0.seat.publisher.iter().cloned().collect())
}

/// A search under way.
struct Search {
    app: Arc<App>,
    caller: Caller,
    base: Base,
    text: String,
    /// The text in lower case.
    lower: String,
    owners: Vec<PublisherId>,
    names: Option<Arc<Figures<Held>>>,
    limit: usize,
    until: Instant,
    finds: Vec<Object<FindAttributes>>,
    /// Whether something was left out.
    partial: bool,
}

type Found = (Vec<Object<FindAttributes>>, bool);

impl Search {
    fn run(mut self) -> Result<Found, ApiError> {
        self.incident()?;
        self.files()?;
        self.engines();
        self.publishers()?;
        self.tags()?;
        self.detections();
        self.paths()?;
        Ok((self.finds, self.partial))
    }

    /// Adds a find, unless there are enough or it is there.
    fn add(&mut self, find: Object<FindAttributes>) {
        let is_there = |other: &Object<_>| other.kind == find.kind && other.id == find.id;
        if self.finds.iter().any(is_there) {
            return;
        }
        let of_a_kind = self.finds.iter().filter(|other| other.kind == find.kind);
        let is_full = find.kind != "monitor_item" && of_a_kind.count() >= OF_A_KIND;
        if is_full || self.finds.len() >= self.limit {
            self.partial = true;
        } else {
            self.finds.push(find);
        }
    }

    fn find(
        &self,
        (kind, id): (&'static str, String),
        (title, subtitle): (String, String),
        url: String,
    ) -> Object<FindAttributes> {
        Object {
            kind,
            id,
            links: Links::to(self.base.url(&url)),
            attributes: FindAttributes {
                title,
                subtitle,
                owner: None,
                path: None,
                items: None,
            },
        }
    }

    /// Tells whether there is no time left, and remembers that something is left out then.
    fn is_late(&mut self) -> bool {
        let is_late = Instant::now() > self.until;
        self.partial |= is_late;
        is_late
    }

    fn is_ours(&self, publisher: &PublisherId) -> bool {
        self.owners.contains(publisher)
    }

    fn incident(&mut self) -> Result<(), ApiError> {
        let number = self.text.strip_prefix('#').unwrap_or(&self.text);
        let Ok(number) = number.parse::<u64>() else {
            return Ok(());
        };
        let incident: Option<Incident> = self.app.api.store.get(&INCIDENTS, &number)?;
        let Some(incident) = incident.filter(|it| self.is_ours(&it.publisher)) else {
            return Ok(());
        };
        let at = path(&self.app.api.store, &incident.sha256, &incident.publisher)?;
        let at = at.map(|path| path.to_string());
        let file = at.clone().unwrap_or_else(|| incident.sha256.to_string());
        let title = format!("#{number}: {} detects {file}", incident.engine);
        let subtitle = format!("{}, {}", incident.state.as_str(), incident.detection);
        let url = format!("/acquit/incidents/{number}");
        let mut find = self.find(("incident", number.to_string()), (title, subtitle), url);
        find.attributes.owner = Some(incident.publisher.into());
        find.attributes.path = at;
        self.add(find);
        Ok(())
    }

    /// Finds files by a whole hash, with the items that point at them, or by the first digits.
    fn files(&mut self) -> Result<(), ApiError> {
        let store = self.app.api.store.clone();
        if let Ok(hash) = self.lower.parse::<FileHash>() {
            let Some(blob) = store.blob(&hash)? else {
                return Ok(());
            };
            let sha256 = blob.digests.sha256;
            self.file(sha256)?;
            return self.items_of(sha256);
        }
        let is_hex = self.lower.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !(DIGITS..64).contains(&self.lower.len()) {
            return Ok(());
        }
        let whole = hex::decode(&self.lower[..self.lower.len() / 2 * 2]).unwrap_or_default();
        let page = store.keys(&BLOBS, (&whole, None), LOOKS)?;
        self.partial |= page.next.is_some();
        for sha256 in page.rows {
            if sha256.to_string().starts_with(&self.lower) {
                self.file(sha256)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, sha256: Sha256) -> Result<(), ApiError> {
        let store = &self.app.api.store;
        if !self.caller.sees_blob(store, &sha256)? {
            return Ok(());
        }
        let prefix = sha256.as_bytes();
        let items = store.rows(&BLOB_ITEMS, (prefix, None), LOOKS)?;
        let at = items
            .into_iter()
            .find(|((_, owner, _), ())| self.is_ours(owner));
        let at = at.map(|((_, _, path), ())| path.to_string());
        let title = at.clone().unwrap_or_else(|| sha256.to_string());
        let texts = (title, format!("SHA-256 {sha256}"));
        let url = format!("/files/{sha256}");
        let mut find = self.find(("file", sha256.to_string()), texts, url);
        find.attributes.path = at;
        self.add(find);
        Ok(())
    }

    fn items_of(&mut self, sha256: Sha256) -> Result<(), ApiError> {
        let store = self.app.api.store.clone();
        let page = store.keys(&BLOB_ITEMS, (sha256.as_bytes(), None), LOOKS)?;
        self.partial |= page.next.is_some();
        for (_, publisher, path) in page.rows {
            if self.is_ours(&publisher) {
                self.item(ItemId { publisher, path });
            }
        }
        Ok(())
    }

    fn item(&mut self, id: ItemId) {
        let kind = if id.path.is_folder() {
            "folder"
        } else {
            "file"
        };
        let texts = (id.path.to_string(), format!("{kind} of {}", id.publisher));
        let mut find = self.find(("monitor_item", id.to_string()), texts, String::new());
        find.links = Links::to(item_url(&id, &self.base));
        find.attributes.path = Some(id.path.to_string());
        find.attributes.owner = Some(id.publisher.into());
        self.add(find);
    }

    fn engines(&mut self) {
        let table = self.app.api.engines.borrow().clone();
        let is_meant = |status: &&EngineStatus| {
            status.id.as_str().contains(&self.lower)
                || status.name.to_lowercase().contains(&self.lower)
        };
        let meant: Vec<_> = table.values().filter(is_meant).collect();
        for status in meant {
            let texts = (status.name.clone(), format!("engine of {}", status.vendor));
            let url = format!("/acquit/engines/{}", status.id);
            let find = self.find(("engine", status.id.to_string()), texts, url);
            self.add(find);
        }
    }

    fn publishers(&mut self) -> Result<(), ApiError> {
        for (at, owner) in self.owners.clone().into_iter().enumerate() {
            if at > 0 && self.is_late() {
                break;
            }
            let Some(row) = self.app.api.store.get(&PUBLISHERS, &owner)? else {
                continue;
            };
            let is_meant = row.id.as_str().contains(&self.lower)
                || row.name.to_lowercase().contains(&self.lower);
            if is_meant {
                let texts = (row.name, format!("publisher {owner}"));
                let url = format!("/acquit/publishers/{owner}");
                let mut find = self.find(("publisher", owner.to_string()), texts, url);
                find.attributes.owner = Some(owner.into());
                self.add(find);
            }
        }
        Ok(())
    }

    fn tags(&mut self) -> Result<(), ApiError> {
        for (at, owner) in self.owners.clone().into_iter().enumerate() {
            if at > 0 && self.is_late() {
                break;
            }
            let counts = overview::tags(&self.app.api.store, Some(&owner))?;
            if let Some(count) = counts.get(&self.lower).copied() {
                let texts = (self.lower.clone(), format!("{count} files of {owner}"));
                self.list_of(("tag", &owner), texts, None);
            }
        }
        Ok(())
    }

    fn detections(&mut self) {
        let Some(names) = self.names.clone() else {
            self.partial = true;
            return;
        };
        for (at, owner) in self.owners.clone().into_iter().enumerate() {
            if at > 0 && self.is_late() {
                break;
            }
            let Some(held) = names.publishers.get(&owner) else {
                continue;
            };
            let meant = held.names.iter();
            let meant = meant.filter(|(name, _)| name.to_lowercase().contains(&self.lower));
            let mut meant: Vec<_> = meant.collect();
            meant.sort_by_key(|(_, items)| std::cmp::Reverse(**items));
            for (name, items) in meant {
                let texts = (name.clone(), format!("{items} items of {owner}"));
                self.list_of(("detection", &owner), texts, Some(*items));
            }
        }
    }

    /// Adds what stands for a list of items: its title is the value of the filter.
    fn list_of(
        &mut self,
        (kind, owner): (&'static str, &PublisherId),
        (title, subtitle): (String, String),
        items: Option<u64>,
    ) {
        let filter = escaped(&format!("{kind}:{title}"));
        let url = format!("/monitor/items?recursive=true&owner={owner}&filter={filter}");
        let id = format!("{owner}:{title}");
        let mut find = self.find((kind, id), (title, subtitle), url);
        find.attributes.owner = Some(owner.to_string());
        find.attributes.items = items;
        self.add(find);
    }

    /// Finds items by their path, or by a part of it as long as there is time.
    fn paths(&mut self) -> Result<(), ApiError> {
        let collections = self.app.api.collections.clone();
        let path = self.text.parse::<ItemPath>().ok();
        let Some(path) = path.filter(|path| !path.is_root()) else {
            return Ok(());
        };
        let paths: BTreeSet<_> = path.twin().into_iter().chain([path]).collect();
        for (at, (publisher, path)) in product(&self.owners, &paths).into_iter().enumerate() {
            if at > 1 && self.is_late() {
                break;
            }
            let id = ItemId { publisher, path };
            let there = collections
                .get(&id)
                .map_err(|e| refused(e, &id.publisher))?;
            if there.is_some() {
                self.item(id);
            }
        }
        let name = self.lower.trim_start_matches('/').to_owned();
        let wanted = Wanted {
            recursive: true,
            sieve: Sieve {
                name: Some(name),
                ..Sieve::default()
            },
            ..Wanted::default()
        };
        for (at, publisher) in self.owners.clone().into_iter().enumerate() {
            if self.finds.len() >= self.limit || (at > 0 && self.is_late()) {
                self.partial = true;
                break;
            }
            let span = (None, self.limit - self.finds.len());
            let page = collections.list(&publisher, &wanted, span);
            let page = page.map_err(|error| refused(error, &publisher))?;
            self.partial |= page.next.is_some();
            for (path, _) in page.rows {
                let publisher = publisher.clone();
                self.item(ItemId { publisher, path });
            }
        }
        Ok(())
    }
}

/// Returns every publisher with every path.
fn product(publishers: &[PublisherId], paths: &BTreeSet<ItemPath>) -> Vec<(PublisherId, ItemPath)> {
    let all = publishers.iter().flat_map(|publisher| {
        let with = |path: &ItemPath| (publisher.clone(), path.clone());
        paths.iter().map(with).collect::<Vec<_>>()
    });
    all.collect()
}
