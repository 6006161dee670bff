//! `GET /acquit/items/export`: everything a list of items would show, as one file.
//!
//! It is written while it is read, page by page ([`written`]).

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::super::App;
use super::super::auth::Caller;
use super::super::envelope::{Base, Object, Paging};
use super::super::error::{ApiError, ErrorBody};
use super::super::written::{self, Outlet};
use super::list::{Chosen, ItemsQuery, Objects};
use super::object::ItemAttributes;
use crate::flow::statistics::date_and_time;
use crate::model::Timestamp;

/// Items read at a time.
const STEP: usize = 100;
/// Columns before those of the engines.
const COLUMNS: [&str; 10] = [
    "path",
    "item_type",
    "size",
    "sha256",
    "md5",
    "last_modification_date",
    "last_analysis_date",
    "last_detections_count",
    "engines_answered",
    "engines_enabled",
];
/// Columns that are times.
const TIMES: [&str; 2] = ["last_modification_date", "last_analysis_date"];

/// How the file is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FormatQuery {
    /// `csv`, with a column for each engine, or `json`, the objects of the list.
    format: Option<String>,
}

/// A way to write items.
#[derive(Clone, Debug)]
enum Format {
    /// With these engines, by display name.
    Csv(Vec<String>),
    Json,
}

/// Writes all items of a list into one file. In CSV no cell is a formula to a spreadsheet: one that
/// would begin like one begins with an apostrophe; control characters are escaped.
#[utoipa::path(
    get, path = "/api/v3/acquit/items/export", tag = "monitor", params(ItemsQuery, FormatQuery),
    responses(
        (status = 200, content_type = "text/csv", description = "The items"),
        (status = 503, body = ErrorBody, description = "Too many are being written"),
    )
)]
pub async fn export(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ItemsQuery>,
    Query(FormatQuery { format }): Query<FormatQuery>,
    base: Base,
) -> Result<Response, ApiError> {
    let format = match format.as_deref() {
        None | Some("" | "csv") => Format::Csv(engines(&app)),
        Some("json") => Format::Json,
        Some(_) => return Err(ApiError::invalid_argument("format is either csv or json")),
    };
    let chosen = Chosen::read(&app, &caller, &query)?;
    let place = written::place(&app)?;
    let kind = match &format {
        Format::Csv(_) => ("text/csv; charset=utf-8", "csv"),
        Format::Json => ("application/json", "json"),
    };
    let name = format!(
        "attachment; filename=\"{}-items.{}\"",
        chosen.publisher, kind.1
    );
    let mut writer = Writer::new(app, (chosen, format), base);
    // What cannot be listed at all is refused before anything is sent.
    let first = tokio::task::spawn_blocking(move || writer.page().map(|page| (writer, page)));
    let first = first.await.map_err(|error| ApiError::internal(&error))?;
    let (writer, page) = first?;
    let body = written::body(place, move |outlet| writer.write(page, &outlet));
    let headers = [
        (header::CONTENT_TYPE, kind.0.to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, body).into_response())
}

/// Returns the engines that have a column, by display name.
fn engines(app: &App) -> Vec<String> {
    let table = app.api.engines.borrow();
    let asked = table.values().filter(|status| !status.labeler);
    let asked = asked.filter(|status| status.state.takes_part());
    let mut names: Vec<_> = asked.map(|status| status.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Writes items, page by page.
struct Writer {
    app: Arc<App>,
    chosen: Chosen,
    format: Format,
    base: Base,
    paging: Paging,
    /// Whether an item was written before.
    begun: bool,
}

impl Writer {
    fn new(app: Arc<App>, (chosen, format): (Chosen, Format), base: Base) -> Self {
        let paging = Paging {
            limit: STEP,
            cursor: None,
        };
        Self {
            app,
            chosen,
            format,
            base,
            paging,
            begun: false,
        }
    }

    fn page(&mut self) -> Result<Objects, ApiError> {
        self.chosen.page(&self.app, &self.paging, &self.base)
    }

    /// Sends all pages; ends early if nobody takes them any more. Blocks.
    fn write(mut self, mut page: Objects, outlet: &Outlet) {
        let mut text = self.head();
        loop {
            for object in page.0 {
                match self.item(&object) {
                    Ok(line) => text.push_str(&line),
                    Err(error) => return outlet.cut_off(&error),
                }
            }
            self.paging.cursor = page.1;
            let is_last = self.paging.cursor.is_none() || self.app.shutdown.is_cancelled();
            if self.paging.cursor.is_none() && matches!(self.format, Format::Json) {
                text.push_str("]}\n");
            }
            let block = std::mem::take(&mut text);
            if !block.is_empty() && !outlet.send(block.into()) {
                return;
            }
            if is_last {
                if self.paging.cursor.is_some() {
                    outlet.cut_off(&"the daemon is ending");
                }
                return;
            }
            page = match self.page() {
                Ok(page) => page,
                Err(error) => return outlet.cut_off(&error),
            };
        }
    }

    fn head(&self) -> String {
        match &self.format {
            Format::Csv(engines) => {
                let columns = COLUMNS.into_iter();
                line(columns.chain(engines.iter().map(String::as_str)))
            }
            Format::Json => "{\"data\":[".to_owned(),
        }
    }

    fn item(&mut self, item: &Object<ItemAttributes>) -> serde_json::Result<String> {
        let comma = std::mem::replace(&mut self.begun, true);
        match &self.format {
            Format::Csv(engines) => Ok(row(&serde_json::to_value(&item.attributes)?, engines)),
            Format::Json => {
                let comma = if comma { ",\n" } else { "\n" };
                Ok(format!("{comma}{}", serde_json::to_string(item)?))
            }
        }
    }
}

fn row(attributes: &Value, engines: &[String]) -> String {
    let fixed = COLUMNS.into_iter().map(|column| {
        let coverage = |key| &attributes["coverage"][key];
        match column {
            "engines_answered" => plain(coverage("answered")),
            "engines_enabled" => plain(coverage("enabled")),
            column if TIMES.contains(&column) => {
                let seconds = attributes[column].as_u64();
                let at = seconds.map(|seconds| Timestamp::from_millis(seconds * 1000));
                at.map(date_and_time).unwrap_or_default()
            }
            column => plain(&attributes[column]),
        }
    });
    let said = engines.iter().map(|engine| {
        let answer = &attributes["last_analysis_results"][engine];
        let category = plain(&answer["category"]);
        match answer["result"].as_str() {
            Some(name) => format!("{category}: {name}"),
            None => category,
        }
    });
    let cells: Vec<_> = fixed.chain(said).collect();
    line(cells.iter().map(String::as_str))
}

/// Writes a value without the quotes of JSON; what is not there is empty.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<_> = cells.map(cell).collect();
    format!("{}\r\n", cells.join(","))
}

/// Writes a cell that is nothing but text to whatever opens it.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len() + 2);
    cell.push('"');
    if text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) {
        cell.push('\'');
    }
    for character in text.chars() {
        match character {
            '"' => cell.push_str("\"\""),
            character if steers(character) => cell.extend(character.escape_unicode()),
            character => cell.push(character),
        }
    }
    cell.push('"');
    cell
}

/// Tells whether a character steers a program or the direction of text.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_ends_early() {
        assert_eq!(cell("/a b.exe"), "\"/a b.exe\"");
        assert_eq!(cell("a,\"b\";c"), "\"a,\"\"b\"\";c\"");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "＝1"] {
            assert_eq!(cell(formula), format!("\"'{formula}\""));
        }
        assert_eq!(cell("a\r\n=b\u{202e}"), "\"a\\u{d}\\u{a}=b\\u{202e}\"");
        // A tab or a line end at the start is no way round the apostrophe.
        assert_eq!(cell("\t=1"), "\"\\u{9}=1\"");
    }

    #[test]
    fn row_has_a_cell_for_each_column() {
        let attributes = serde_json::json!({
            "path": "/a", "item_type": "file", "size": 3, "last_analysis_date": 86_400,
            "coverage": { "answered": 1, "enabled": 2 },
            "last_analysis_results": {
                "ClamAV": { "category": "malicious", "result": "=cmd" },
                "YARA": { "category": "timeout", "result": null },
            },
        });
        let engines = ["ClamAV", "Other", "YARA"].map(str::to_owned);
        let row = row(&attributes, &engines);
        let expected = "\"/a\",\"file\",\"3\",\"\",\"\",\"\",\"1970-01-02T00:00:00Z\",\"\",\"1\",\
                        \"2\",\"malicious: =cmd\",\"\",\"timeout\"\r\n";
        assert_eq!(row, expected);
    }
}
