//! Release cards: what is stated here, what is inherited, what the file says, each with its source.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::App;
use super::super::envelope::{Answer, Base, Links, Object};
use super::super::error::ApiError;
use super::refusal;
use super::tree::{Fields, acquit_url};
use crate::model::{FileFacts, Item, ItemId, ItemPath, ReleaseCard};
use crate::store::FACTS;

/// Longest text of a field, in characters.
const FIELD_CHARS: usize = 2000;
/// Most names of main files.
const MAIN_FILES: usize = 100;

/// What is known of a release, field by field.
#[derive(Debug, Serialize, ToSchema)]
pub struct CardAttributes {
    /// What is stated of the item itself.
    #[schema(value_type = Object)]
    stated: Fields<Value>,
    /// What holds: the nearest statement, else the file's own word.
    effective: Fields<Field>,
    /// What the file says of itself, with its signer; absent until it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    file: Option<FileFacts>,
}

/// A field and where it comes from.
#[derive(Debug, Serialize, ToSchema)]
pub struct Field {
    #[schema(value_type = Object)]
    value: Value,
    /// `stated`: of the item itself; `inherited`: of a folder above it; `file`: from the file.
    source: &'static str,
    /// Where it is stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

/// Shows the card of an item, or of the whole collection.
///
/// # Errors
/// If the store fails.
pub fn show(app: &App, (id, item): (&ItemId, &Item), base: &Base) -> Result<Response, ApiError> {
    let file = match &item.file {
        Some(file) => app.api.store.get(&FACTS, &file.sha256)?,
        None => None,
    };
    let (mut effective, mut at) = (Fields::new(), Some(id.path.clone()));
    while let Some(path) = at {
        at = path.parent();
        let card = stated(app, id, &path)?;
        let source = if path == id.path {
            "stated"
        } else {
            "inherited"
        };
        for (name, value) in fields(&card)? {
            let at = Some(path.to_string());
            effective.entry(name).or_insert(Field { value, source, at });
        }
    }
    for (name, value) in file.iter().flat_map(said_by_file) {
        effective.entry(name).or_insert(Field {
            value,
            source: "file",
            at: None,
        });
    }
    let data = Object {
        kind: "monitor_card",
        id: id.to_string(),
        links: Links::to(format!("{}/card", acquit_url(id, base))),
        attributes: CardAttributes {
            stated: fields(&card_of(item.clone()))?.into_iter().collect(),
            effective,
            file,
        },
    };
    Ok(Json(Answer { data }).into_response())
}

/// Returns what is stated at one path.
fn stated(app: &App, id: &ItemId, path: &ItemPath) -> Result<ReleaseCard, ApiError> {
    let at = ItemId {
        publisher: id.publisher.clone(),
        path: path.clone(),
    };
    let item = app.api.collections.get(&at);
    let item = item.map_err(|error| refusal::of(error, &at))?;
    Ok(item.map(card_of).unwrap_or_default())
}

fn card_of(item: Item) -> ReleaseCard {
    item.card.map(|card| *card).unwrap_or_default()
}

fn fields(card: &ReleaseCard) -> Result<Map<String, Value>, ApiError> {
    let value = serde_json::to_value(card).map_err(|error| ApiError::internal(&error))?;
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

fn said_by_file(facts: &FileFacts) -> Vec<(String, Value)> {
    let original = facts.original_name.clone();
    let said = [
        ("company", facts.company.clone().map(Value::from)),
        ("product", facts.product.clone().map(Value::from)),
        ("version", facts.version.clone().map(Value::from)),
        ("purpose", facts.description.clone().map(Value::from)),
        ("homepage", facts.homepage.clone().map(Value::from)),
        ("main_files", original.map(|name| vec![name].into())),
    ];
    let said = said.into_iter();
    said.filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Returns the card of an item with some fields replaced and others, that are null, taken back.
///
/// # Errors
/// If a field is none of a card's, or its value cannot be.
pub fn merged(item: &Item, given: &Map<String, Value>) -> Result<ReleaseCard, ApiError> {
    let mut card = fields(&card_of(item.clone()))?;
    for (name, value) in given {
        match value {
            Value::Null => drop(card.remove(name)),
            value => drop(card.insert(name.clone(), value.clone())),
        }
        check(name, value)?;
    }
    serde_json::from_value(Value::Object(card)).map_err(|error| {
        ApiError::invalid_argument(format!("the card is not as it should be: {error}"))
    })
}

fn check(name: &str, value: &Value) -> Result<(), ApiError> {
    const NAMES: [&str; 10] = [
        "company",
        "contact",
        "product",
        "version",
        "release_date",
        "suite",
        "main_files",
        "homepage",
        "download_url",
        "purpose",
    ];
    let wrong = |message: String| Err(ApiError::invalid_argument(message));
    if !NAMES.contains(&name) {
        return wrong(format!(
            "{name:?} is no field of a card; there are: {}",
            NAMES.join(", ")
        ));
    }
    let is_text = |value: &Value| {
        let text = value.as_str();
        text.is_some_and(|text| !text.is_empty() && text.chars().count() <= FIELD_CHARS)
    };
    match (name, value) {
        (_, Value::Null) => Ok(()),
        ("main_files", Value::Array(names))
            if names.len() <= MAIN_FILES && names.iter().all(is_text) =>
        {
            Ok(())
        }
        ("main_files", _) => wrong(format!(
            "main_files is a list of at most {MAIN_FILES} names"
        )),
        ("release_date", value) => match value.as_str().map(str::parse::<chrono::NaiveDate>) {
            Some(Ok(_)) => Ok(()),
            _ => wrong("release_date is a day, YYYY-MM-DD".to_owned()),
        },
        ("homepage" | "download_url", value) => match value.as_str() {
            Some(url)
                if is_text(value)
                    && (url.starts_with("https://") || url.starts_with("http://")) =>
            {
                Ok(())
            }
            _ => wrong(format!(
                "{name} is an address that begins with http:// or https://"
            )),
        },
        (_, value) if is_text(value) => Ok(()),
        _ => wrong(format!(
            "{name} is a text of 1 to {FIELD_CHARS} characters, or null"
        )),
    }
}
