//! What the configuration sets: each key with the value in force, and the one it would have.

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;

use crate::Web;
use crate::backend::{Client, Listing, Object};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::Viewer;

/// What is known of a key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Setting {
    /// What it means.
    pub meaning: String,
    /// What its section is about.
    pub section: String,
    /// The value in force, without what may be a secret.
    pub value: Value,
    /// The value unless the file says otherwise.
    pub standard: Value,
    /// Whether the value in force is another.
    pub changed: bool,
    /// Whether some of the value is not shown.
    pub hidden: bool,
}

/// The route.
pub fn routes() -> Router<Web> {
    Router::new().route("/admin/settings", get(page))
}

/// Reads the settings.
///
/// # Errors
/// What the API says.
pub async fn read(api: &Client) -> Result<Vec<Object<Setting>>, Fault> {
    let listed: Listing<Object<Setting>> = api.get("/acquit/settings").await?;
    Ok(listed.data)
}

/// Writes a value as people read it; nothing of one that is empty.
pub fn words(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(true) => Some("yes".to_owned()),
        Value::Bool(false) => Some("no".to_owned()),
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Array(values) => {
            let parts: Vec<_> = values.iter().filter_map(words).collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        }
        Value::Object(fields) => {
            let pair = |(name, value)| Some(format!("{name} {}", words(value)?));
            let parts: Vec<_> = fields.iter().filter_map(pair).collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        }
        Value::Number(number) => Some(number.to_string()),
    }
}

#[derive(Template)]
#[template(path = "admin/settings.html")]
struct Page {
    frame: Frame,
    sections: Vec<Section>,
    changed: usize,
}

/// Keys of one part of the configuration.
#[derive(Debug)]
struct Section {
    name: String,
    meaning: String,
    rows: Vec<Object<Setting>>,
}

fn sections(settings: Vec<Object<Setting>>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for row in settings {
        let name = row.id.split('.').next().unwrap_or_default();
        match sections.last_mut() {
            Some(last) if last.name == name => last.rows.push(row),
            _ => sections.push(Section {
                name: name.to_owned(),
                meaning: row.attributes.section.clone(),
                rows: vec![row],
            }),
        }
    }
    sections
}

async fn page(viewer: Viewer) -> Result<Response, Fault> {
    let settings = read(&viewer.api).await?;
    show(&Page {
        frame: Frame::new(&viewer, "Settings", "admin"),
        changed: settings.iter().filter(|it| it.attributes.changed).count(),
        sections: sections(settings),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_by_people() {
        for (value, expected) in [
            (json!(30), Some("30")),
            (json!(true), Some("yes")),
            (json!("0 3 * * *"), Some("0 3 * * *")),
            (json!(""), None),
            (json!([]), None),
            (json!({}), None),
            (json!(null), None),
            (json!(["/a", "/b"]), Some("/a, /b")),
            (
                json!([{ "url": "set" }, { "directory": "/x" }]),
                Some("url set, directory /x"),
            ),
        ] {
            assert_eq!(words(&value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn keys_are_shown_by_their_section() {
        let row = |id: &str| Object {
            kind: "setting".to_owned(),
            id: id.to_owned(),
            attributes: Setting::default(),
        };
        let found = sections(["a.x", "a.y.z", "b.x"].map(row).into());
        let found: Vec<_> = found.iter().map(|it| (&*it.name, it.rows.len())).collect();
        assert_eq!(found, [("a", 2), ("b", 1)]);
    }
}
