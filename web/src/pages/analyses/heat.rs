//! The table of items by engines: what each engine said of each item, in few words.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::backend::{Object, part};
use crate::coverage::Coverage;
use crate::engine::Engine;

/// An item as the API lists it.
#[derive(Debug, Deserialize)]
pub struct Item {
    path: String,
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    last_analysis_date: Option<u64>,
    #[serde(default)]
    last_detections_count: Option<u64>,
    #[serde(default)]
    last_analysis_results: BTreeMap<String, Said>,
    #[serde(default)]
    coverage: Option<Coverage>,
}

/// What an engine said.
#[derive(Debug, Deserialize)]
pub struct Said {
    category: String,
    engine_id: String,
    #[serde(default)]
    result: Option<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Id of the engine.
    pub id: String,
    /// What it is called.
    pub name: String,
}

/// A row.
#[derive(Debug)]
pub struct Row {
    /// Page of the item.
    pub href: String,
    /// Where the item is.
    pub path: String,
    /// When it was last looked at, seconds since 1970.
    pub at: Option<u64>,
    /// Engines that detect it.
    pub detections: u64,
    /// How many answered.
    pub coverage: Option<Coverage>,
    /// One for each column.
    pub cells: Vec<Cell>,
}

/// What an engine says of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The file's page at the engine; empty without a file.
    pub href: String,
    /// Id of its picture on the page.
    pub icon: &'static str,
    /// Class of its colour.
    pub kind: &'static str,
    /// In words.
    pub words: String,
    /// Whether the words say more than the picture.
    pub says: bool,
}

/// Returns the columns: engines that take part, and those that said something of an item.
pub fn columns(engines: &[Object<Engine>], items: &[Object<Item>]) -> Vec<Column> {
    let said = |id: &str| {
        let mut results = items
            .iter()
            .flat_map(|it| it.attributes.last_analysis_results.values());
        results.any(|said| said.engine_id == id)
    };
    let shown = engines
        .iter()
        .filter(|it| it.attributes.takes_part() || said(&it.id));
    let mut columns: Vec<_> = shown
        .map(|it| Column {
            id: it.id.clone(),
            name: it.attributes.name.clone(),
        })
        .collect();
    columns.sort_by_key(|column| column.name.to_lowercase());
    columns
}

/// Returns the rows.
pub fn rows(items: Vec<Object<Item>>, columns: &[Column]) -> Vec<Row> {
    let rows = items.into_iter().map(
        |Object {
             id, attributes: it, ..
         }| {
            let cells = columns.iter().map(|column| {
                let mut results = it.last_analysis_results.values();
                let said = results.find(|said| said.engine_id == column.id);
                cell(&it, (column, said))
            });
            Row {
                href: format!("/items/{}", part(&id)),
                cells: cells.collect(),
                at: it.last_analysis_date,
                detections: it.last_detections_count.unwrap_or(0),
                coverage: it.coverage,
                path: it.path,
            }
        },
    );
    rows.collect()
}

fn cell(item: &Item, (column, said): (&Column, Option<&Said>)) -> Cell {
    let (icon, kind, words) = match said.map(|said| (&*said.category, said)) {
        None if item.last_analysis_date.is_none() => ("waiting", "", "Never scanned"),
        None => ("none", "", "No answer"),
        Some(("undetected" | "harmless", _)) => ("clean", "is-clean", "Undetected"),
        Some(("malicious", _)) => ("detected", "is-orange", "Detected"),
        Some(("suspicious", _)) => ("detected", "is-orange", "Suspicious"),
        Some(("type-unsupported", _)) => ("type", "is-none", "Not its type"),
        Some(("timeout" | "confirmed-timeout", _)) => ("waiting", "", "Timed out, no answer"),
        Some(("failure", _)) => ("none", "", "Failed, no answer"),
        Some((other, _)) => ("none", "", other),
    };
    let name = said.and_then(|said| said.result.as_deref());
    let words = match name.filter(|_| kind == "is-orange") {
        Some(name) => format!("{words}: {name}"),
        None => words.to_owned(),
    };
    let href = match item.sha256.is_empty() {
        true => String::new(),
        false => format!("/files/{}#engine-{}", part(&item.sha256), part(&column.id)),
    };
    Cell {
        says: !matches!(kind, "is-clean" | "is-none"),
        href,
        icon,
        kind,
        words,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item() -> Object<Item> {
        let said = |id: &str, category: &str, result: Option<&str>| json!({ "engine_id": id, "category": category, "result": result });
        let json = json!({
            "id": "a=", "attributes": {
                "path": "/a", "sha256": "00ff", "last_analysis_date": 5,
                "last_analysis_results": {
                    "A": said("a", "malicious", Some("Win.X")),
                    "B": said("b", "undetected", None),
                    "C": said("c", "failure", None),
                    "Off": said("off", "type-unsupported", None),
                },
                "coverage": { "answered": 3, "enabled": 4 },
            },
        });
        serde_json::from_value(json).unwrap()
    }

    fn engine(id: &str, state: &str) -> Object<Engine> {
        let json = json!({ "id": id, "attributes": { "name": id, "vendor": "v", "state": state } });
        serde_json::from_value(json).unwrap()
    }

    fn engines() -> Vec<Object<Engine>> {
        let on = ["d", "c", "b", "a"].map(|id| engine(id, "ready"));
        let off = ["off", "unused"].map(|id| engine(id, "disabled"));
        on.into_iter().chain(off).collect()
    }

    #[test]
    fn engine_that_is_off_has_a_column_if_it_said_something() {
        let columns = columns(&engines(), &[item()]);
        let ids: Vec<_> = columns.iter().map(|column| &*column.id).collect();
        assert_eq!(ids, ["a", "b", "c", "d", "off"]);
    }

    #[test]
    fn only_an_answer_is_shown_as_clean() {
        let columns = columns(&engines(), &[item()]);
        let rows = rows(vec![item()], &columns);
        let kinds: Vec<_> = rows[0]
            .cells
            .iter()
            .map(|it| (it.kind, &*it.words))
            .collect();
        let expected = [
            ("is-orange", "Detected: Win.X"),
            ("is-clean", "Undetected"),
            ("", "Failed, no answer"),
            ("", "No answer"),
            ("is-none", "Not its type"),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(rows[0].cells[0].href, "/files/00ff#engine-a");
        assert_eq!(rows[0].href, "/items/a%3D");
    }
}
