//! `GET /monitor/items`: which items are listed, and in which order.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::auth::Caller;
use super::super::envelope::{Base, Collection, Object, PageQuery, Paging};
use super::super::error::ApiError;
use super::super::{App, parallel, query};
use super::address::{check, missing};
use super::filter::Filter;
use super::object::{ItemAttributes, object};
use super::refusal;
use crate::flow::collection::{Order, OrderBy, Query as Wanted};
use crate::model::{Item, ItemId, ItemPath, PublisherId};

/// Which items are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ItemsQuery {
    /// `path:<file or folder>`, `item:<id of one>`, `tag:<tags>`, `engine:<engines that detect>`,
    /// or several, separated by spaces: all must fit. Engines' names and ids are tags, too.
    /// Besides: `detection:<part of its name>`, by one of the engines if some are named;
    /// `name:<part of the path below the folder>`; `after:` and `before:` of the last analysis,
    /// `YYYY-MM-DD` (UTC) or seconds since 1970; `is:` and words of `file`, `folder`, `detected`,
    /// `undetected`, `failed` (an engine failed or ran out of time when it was last asked) and
    /// `unscanned`. With these a page may be short, even empty, and have a cursor.
    filter: Option<String>,
    /// `true` also lists what is in the folders below.
    recursive: Option<String>,
    /// `name`, `size`, `modified` or `detections`; with `-` before it the last first.
    order: Option<String>,
    /// Whose collection, if not the caller's own.
    owner: Option<String>,
}

/// Lists items.
#[utoipa::path(
    get, path = "/api/v3/monitor/items", tag = "monitor", params(ItemsQuery, PageQuery),
    responses((status = 200, body = Collection<Object<ItemAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ItemsQuery>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<ItemAttributes>>>, ApiError> {
    let chosen = Chosen::read(&app, &caller, &query)?;
    let url = base.url(&format!("/monitor/items{}", repeated(&query)));
    let task = (Arc::clone(&app), base.clone());
    let read = tokio::task::spawn_blocking(move || {
        let (app, base) = task;
        let (data, next) = chosen.page(&app, &paging, &base)?;
        Ok(Collection::new(data, (url, &paging), next))
    });
    let read = read.await.map_err(|error| ApiError::internal(&error))?;
    read.map(Json)
}

type Rows = (Vec<(ItemPath, Item)>, Option<Vec<u8>>);

/// What a page has, and where the next one starts.
pub type Objects = (Vec<Object<ItemAttributes>>, Option<Vec<u8>>);

/// Items that were chosen by a query.
#[derive(Debug)]
pub struct Chosen {
    /// Whose collection.
    pub publisher: PublisherId,
    place: Option<ItemPath>,
    wanted: Wanted,
}

impl Chosen {
    /// Reads which items a caller chooses.
    ///
    /// # Errors
    /// If they cannot be chosen so, or are none of his.
    pub fn read(app: &App, caller: &Caller, query: &ItemsQuery) -> Result<Self, ApiError> {
        let filter: Filter = query.filter.as_deref().unwrap_or_default().parse()?;
        let (publisher, place) = place(caller, query, &filter)?;
        let wanted = wanted(app, query, (&filter, place.clone()))?;
        Ok(Self {
            publisher,
            place,
            wanted,
        })
    }

    /// Reads a page of them. Blocks.
    ///
    /// # Errors
    /// If the store fails, or the page is none of theirs.
    pub fn page(&self, app: &App, paging: &Paging, base: &Base) -> Result<Objects, ApiError> {
        let place = self.place.as_ref();
        let (rows, next) = page(app, (&self.publisher, place), (&self.wanted, paging))?;
        let data = parallel::each(rows, |(path, item)| {
            let publisher = self.publisher.clone();
            object(app, (&ItemId { publisher, path }, item), base)
        });
        Ok((data.into_iter().collect::<Result<_, _>>()?, next))
    }
}

fn page(
    app: &App,
    (publisher, place): (&PublisherId, Option<&ItemPath>),
    (wanted, paging): (&Wanted, &Paging),
) -> Result<Rows, ApiError> {
    let collections = &app.api.collections;
    let (publisher_of, refused) = (publisher.clone(), refusal::of_collection);
    if let Some(path) = place.filter(|path| !path.is_folder()).cloned() {
        let id = ItemId {
            publisher: publisher_of,
            path,
        };
        let item = collections.get(&id).map_err(|e| refused(e, publisher))?;
        if let Some(item) = item {
            let fits = collections.fits(&id, &item, wanted);
            let fits = fits.map_err(|e| refused(e, publisher))?;
            let rows = fits.then_some((id.path, item));
            return Ok((rows.into_iter().collect(), None));
        }
    }
    let span = (paging.cursor.as_deref(), paging.limit);
    let page = collections.list(publisher, wanted, span);
    let page = page.map_err(|error| refused(error, publisher))?;
    Ok((page.rows, page.next))
}

/// Returns whose collection it is about, and where in it.
fn place(
    caller: &Caller,
    query: &ItemsQuery,
    filter: &Filter,
) -> Result<(PublisherId, Option<ItemPath>), ApiError> {
    let path = filter.path.as_deref().map(str::parse::<ItemPath>);
    let path = path.transpose();
    let path = path.map_err(|error| ApiError::invalid_argument(error.to_string()))?;
    let Some(text) = &filter.item else {
        return Ok((caller.publisher(query.owner.as_deref())?, path));
    };
    // A plus sign that nobody escaped arrives as a space.
    let id = super::address::parse(&text.trim_end().replace(' ', "+"))?;
    check(caller, &id)?;
    if query
        .owner
        .as_deref()
        .is_some_and(|o| o != id.publisher.as_str())
    {
        return Err(missing(&id));
    }
    if path.is_some_and(|path| path != id.path) {
        let message = "filter: path: and item: name different items";
        return Err(ApiError::invalid_argument(message));
    }
    Ok((id.publisher, Some(id.path)))
}

fn wanted(
    app: &App,
    query: &ItemsQuery,
    (filter, place): (&Filter, Option<ItemPath>),
) -> Result<Wanted, ApiError> {
    let recursive = match query.recursive.as_deref() {
        None | Some("" | "false") => false,
        Some("true") => true,
        Some(_) => {
            let message = "recursive is either \"true\" or \"false\"";
            return Err(ApiError::invalid_argument(message));
        }
    };
    let words = [&filter.tags, &filter.engines].into_iter().flatten();
    let words = words.map(String::as_str).collect::<Vec<_>>().join(" ");
    Ok(Wanted {
        folder: place.map(|path| path.as_folder()),
        recursive,
        tags: tags(app, &words),
        sieve: filter.sieve(app)?,
        order: query
            .order
            .as_deref()
            .map(order)
            .transpose()?
            .unwrap_or_default(),
    })
}

fn order(text: &str) -> Result<Order, ApiError> {
    let (descending, name) = match text.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, text.strip_prefix('+').unwrap_or(text).trim()),
    };
    let by = match name {
        "" | "name" | "path" => OrderBy::Path,
        "size" => OrderBy::Size,
        "modified" => OrderBy::Modified,
        "detections" => OrderBy::Detections,
        _ => {
            let message = "order is one of name, size, modified, detections, or one of them \
                           with \"-\" before it";
            return Err(ApiError::invalid_argument(message));
        }
    };
    Ok(Order { by, descending })
}

/// Reads tags separated by spaces; VirusTotal's are engines' names, which may have spaces
/// themselves, where ours are their ids.
fn tags(app: &App, text: &str) -> Vec<String> {
    let table = app.api.engines.borrow();
    let named = |words: &[&str]| {
        let name = words.join(" ");
        let mut engines = table.values();
        let engine = engines.find(|status| status.name.eq_ignore_ascii_case(&name));
        engine.map(|status| status.id.to_string())
    };
    let words: Vec<_> = text.split_whitespace().collect();
    let (mut tags, mut at) = (Vec::new(), 0);
    while at < words.len() {
        let mut ends = (at + 1..=words.len().min(at + 6)).rev();
        let engine = ends.find_map(|end| Some((named(&words[at..end])?, end)));
        let (tag, end) = engine.unwrap_or_else(|| (words[at].to_lowercase(), at + 1));
        tags.push(tag);
        at = end;
    }
    tags
}

/// Writes the query again, without its page.
fn repeated(query: &ItemsQuery) -> String {
    let parts = [
        ("filter", &query.filter),
        ("recursive", &query.recursive),
        ("order", &query.order),
        ("owner", &query.owner),
    ];
    let parts = parts.map(|(name, value)| (name, value.as_deref().unwrap_or("")));
    query::of(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_read_with_its_direction() {
        let read = |text| order(text).map(|order| (order.by, order.descending));
        assert_eq!(read("-size").unwrap(), (OrderBy::Size, true));
        assert_eq!(read("detections").unwrap(), (OrderBy::Detections, false));
        assert!(read("colour").is_err());
    }
}
