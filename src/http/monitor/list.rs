//! `GET /monitor/items`: which items are listed, and in which order.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::App;
use super::super::auth::Caller;
use super::super::envelope::{Base, Collection, Object, PageQuery, Paging};
use super::super::error::ApiError;
use super::address::{check, missing};
use super::object::{ItemAttributes, object};
use super::refusal;
use crate::flow::collection::{Order, OrderBy, Query as Wanted};
use crate::model::{Item, ItemId, ItemPath, PublisherId};

/// Keys a filter may have.
const KEYS: [&str; 4] = ["path:", "item:", "tag:", "engine:"];

/// Which items are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ItemsQuery {
    /// `path:<file or folder>`, `item:<id of one>`, `tag:<tags>`, `engine:<engines that detect>`,
    /// or several, separated by spaces: all must fit. Engines' names and ids are tags, too.
    filter: Option<String>,
    /// `true` also lists what is in the folders below.
    recursive: Option<String>,
    /// `name`, `size`, `modified` or `detections`; with `-` before it the last first.
    order: Option<String>,
    /// Whose collection, if not the caller's own.
    owner: Option<String>,
}

/// A filter as it is written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    path: Option<String>,
    item: Option<String>,
    tags: Option<String>,
    engines: Option<String>,
}

impl FromStr for Filter {
    type Err = ApiError;

    /// Reads a filter; a value goes on until the next key, so that paths may have spaces.
    fn from_str(text: &str) -> Result<Self, ApiError> {
        let mut filter = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let Some(key) = KEYS.into_iter().find(|key| rest.starts_with(key)) else {
                let word = rest.split_whitespace().next().unwrap_or_default();
                let message =
                    format!("filter: {word:?} is none of path:…, item:…, tag:…, engine:…");
                return Err(ApiError::invalid_argument(message));
            };
            let value = &rest[key.len()..];
            let ends = KEYS
                .into_iter()
                .filter_map(|key| value.find(&format!(" {key}")));
            let (value, after) = value.split_at(ends.min().unwrap_or(value.len()));
            rest = after.trim_start();
            let place = match key {
                "path:" => &mut filter.path,
                "item:" => &mut filter.item,
                "tag:" => &mut filter.tags,
                _ => &mut filter.engines,
            };
            // The last value may end with a space that is a part of the path.
            if place.replace(value.to_owned()).is_some() {
                let message = format!("filter: {key} is given more than once");
                return Err(ApiError::invalid_argument(message));
            }
        }
        Ok(filter)
    }
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
    let filter: Filter = query.filter.as_deref().unwrap_or_default().parse()?;
    let (publisher, place) = place(&caller, &query, &filter)?;
    let wanted = wanted(&app, &query, (&filter, place.clone()))?;
    let url = base.url(&format!("/monitor/items{}", repeated(&query)));
    let task = (Arc::clone(&app), base.clone());
    let read = tokio::task::spawn_blocking(move || {
        let (app, base) = task;
        let page = page(&app, (&publisher, place), (&wanted, &paging))?;
        let data = page.0.into_iter().map(|(path, item)| {
            let publisher = publisher.clone();
            object(&app, (&ItemId { publisher, path }, item), &base)
        });
        let data = data.collect::<Result<Vec<_>, _>>()?;
        Ok(Collection::new(data, (url, &paging), page.1))
    });
    let read = read.await.map_err(|error| ApiError::internal(&error))?;
    read.map(Json)
}

type Rows = (Vec<(ItemPath, Item)>, Option<Vec<u8>>);

fn page(
    app: &App,
    (publisher, place): (&PublisherId, Option<ItemPath>),
    (wanted, paging): (&Wanted, &Paging),
) -> Result<Rows, ApiError> {
    let collections = &app.api.collections;
    let (publisher_of, refused) = (publisher.clone(), refusal::of_collection);
    if let Some(path) = place.filter(|path| !path.is_folder()) {
        let id = ItemId {
            publisher: publisher_of,
            path,
        };
        let item = collections.get(&id).map_err(|e| refused(e, publisher))?;
        if let Some(item) = item {
            let fits = collections.has_tags(&id, &item, &wanted.tags);
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
    let parts = parts.into_iter().filter_map(|(name, value)| {
        let value = value.as_deref().filter(|value| !value.is_empty())?;
        Some(format!("{name}={}", escaped(value)))
    });
    let parts: Vec<_> = parts.collect();
    match parts.as_slice() {
        [] => String::new(),
        parts => format!("?{}", parts.join("&")),
    }
}

/// Escapes a query's value.
pub fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/".contains(&byte);
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, [path, item, tags, engines]: [&str; 4]) {
        let given = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        let expected = Filter {
            path: given(path),
            item: given(item),
            tags: given(tags),
            engines: given(engines),
        };
        assert_eq!(text.parse::<Filter>().unwrap(), expected, "{text}");
    }

    #[test]
    fn values_go_on_until_the_next_key() {
        check("", [""; 4]);
        check("path:/a b/", ["/a b/", "", "", ""]);
        check(
            "tag:detected new-detections",
            ["", "", "detected new-detections", ""],
        );
        check(
            "path:/a b/ tag:clamav yara",
            ["/a b/", "", "clamav yara", ""],
        );
        check("tag:clamav path:/x: y/z/", ["/x: y/z/", "", "clamav", ""]);
        check("item:abc= path:/a/", ["/a/", "abc=", "", ""]);
        check("engine:YARA tag:detected", ["", "", "detected", "YARA"]);
        for bad in ["x", "detected", "path:/a path:/b", "tags:a"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
    }

    #[test]
    fn order_is_read_with_its_direction() {
        let read = |text| order(text).map(|order| (order.by, order.descending));
        assert_eq!(read("-size").unwrap(), (OrderBy::Size, true));
        assert_eq!(read("detections").unwrap(), (OrderBy::Detections, false));
        assert!(read("colour").is_err());
    }
}
