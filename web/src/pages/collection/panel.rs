//! The details beside a list: what is known of one item, and what can be changed of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::place::{Choice, Place, api_path, bytes_url, name, read_id};
use super::rows::{EngineAnswer, Item, Standing};
use crate::backend::{Answer, Client, Listing, Object, part};
use crate::fault::Fault;
use crate::pages::items::wire::VersionAttributes;

/// What vendors may have of an item, and how that is said to people.
const POLICIES: [(&str, &str); 4] = [
    ("never", "nothing"),
    ("metadata-only", "hashes and metadata, never the file"),
    ("file-on-request", "the file, when a request is granted"),
    ("file", "the file"),
];
/// The fields of a release card: name, what it is called, and the kind of its input.
const FIELDS: [(&str, &str, &str); 10] = [
    ("company", "Company", "text"),
    ("product", "Product", "text"),
    ("version", "Version", "text"),
    ("release_date", "Release date", "date"),
    ("suite", "Suite", "text"),
    ("purpose", "Purpose", "text"),
    ("main_files", "Main files, one a line", "lines"),
    ("homepage", "Home page", "url"),
    ("download_url", "Download page", "url"),
    ("contact", "Contact", "text"),
];

/// What is known of one item.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it is the collection itself, which cannot be moved or deleted.
    pub is_root: bool,
    /// How it stands with the engines.
    pub standing: Standing,
    /// Whether a publisher vouches for it, as for all that is in a collection.
    pub is_vouched: bool,
    /// Engines by name, those that detect it first.
    pub engines: Vec<(String, EngineAnswer)>,
    /// What else is known.
    pub item: Item,
    /// What vendors may have of it.
    pub policy: Policy,
    /// What is said of the release it is of.
    pub card: Vec<CardField>,
    /// Contents it had, the present one first.
    pub versions: Vec<VersionAttributes>,
    /// The folder it is in, or it is.
    pub open: String,
    /// Where its bytes are; a folder's are an archive.
    pub download: String,
    /// The item's own page.
    pub page: String,
    /// The page with these details, for forms to come back to.
    pub back: String,
    /// The page without.
    pub close: String,
}

/// What vendors may have of an item.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// One of [`POLICIES`].
    pub policy: String,
    /// Where that is said.
    pub said_at: String,
    /// What is said at the item itself.
    pub stated: Option<String>,
}

impl Policy {
    /// Returns what it means.
    pub fn meaning(&self) -> &str {
        let known = POLICIES.iter().find(|(name, _)| *name == self.policy);
        known.map_or(&self.policy, |(_, meaning)| meaning)
    }

    /// Returns what else can be stated.
    pub fn choices(&self) -> Vec<Choice> {
        let choices = POLICIES.into_iter().map(|(value, meaning)| Choice {
            value,
            label: format!("{value}: {meaning}"),
            is_chosen: value == self.policy,
        });
        choices.collect()
    }
}

/// A field of a release card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardField {
    /// Its name in the API.
    pub name: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// `text`, `date`, `url` or `lines`.
    pub kind: &'static str,
    /// What is stated of the item itself.
    pub stated: String,
    /// What holds.
    pub value: String,
    /// Where that comes from, if not from the item.
    pub source: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Card {
    stated: BTreeMap<String, Value>,
    effective: BTreeMap<String, Effective>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Effective {
    value: Value,
    source: String,
    at: String,
}

/// Reads what is known of the item a place names; nothing if it is gone.
///
/// # Errors
/// What the API says.
pub async fn read(api: &Client, place: &Place) -> Result<Option<Panel>, Fault> {
    let id = place.item.as_str();
    if id.is_empty() || read_id(id).is_none() {
        return Ok(None);
    }
    let (item, policy, card, history) = (
        api_path(id, ""),
        api_path(id, "policy"),
        api_path(id, "card"),
        api_path(id, "history"),
    );
    let (item, policy, card, history) = tokio::try_join!(
        api.find::<Answer<Object<Item>>>(&item),
        api.find::<Answer<Object<Policy>>>(&policy),
        api.find::<Answer<Object<Card>>>(&card),
        api.find::<Listing<Object<VersionAttributes>>>(&history),
    )?;
    let (Some(item), Some(policy), Some(card)) = (item, policy, card) else {
        return Ok(None);
    };
    let versions = history.unwrap_or_default().data.into_iter();
    Ok(Some(Panel {
        policy: policy.data.attributes,
        card: fields(&card.data.attributes),
        versions: versions.map(|it| it.attributes).collect(),
        ..of_item(place, item.data)
    }))
}

fn of_item(place: &Place, item: Object<Item>) -> Panel {
    let (id, mut item) = (item.id, item.attributes);
    let is_folder = item.is_folder();
    let results = std::mem::take(&mut item.last_analysis_results);
    let mut engines: Vec<_> = results.into_iter().collect();
    engines.sort_by_key(|(_, answer)| rank(&answer.category));
    Panel {
        name: match name(&item.path) {
            "" => place.owner.clone(),
            name => name.to_owned(),
        },
        is_vouched: true,
        is_root: item.path == "/",
        open: if is_folder {
            place.at(&item.path).url()
        } else {
            String::new()
        },
        download: bytes_url(&id, &item.path),
        page: format!("/items/{}", part(&id)),
        back: place.with_item(&id).url(),
        close: place.without_item().url(),
        standing: item.standing(),
        policy: Policy::default(),
        card: Vec::new(),
        versions: Vec::new(),
        id,
        is_folder,
        engines,
        item,
    }
}

/// What is read first: detections, then those that say nothing is there, then no answers.
fn rank(category: &str) -> usize {
    match category {
        "malicious" | "suspicious" => 0,
        "undetected" | "harmless" => 1,
        "type-unsupported" => 3,
        _ => 2,
    }
}

fn fields(card: &Card) -> Vec<CardField> {
    let fields = FIELDS.into_iter().map(|(name, label, kind)| {
        let effective = card.effective.get(name);
        CardField {
            name,
            label,
            kind,
            stated: card.stated.get(name).map(shown).unwrap_or_default(),
            value: effective.map(|it| shown(&it.value)).unwrap_or_default(),
            source: effective.map(source).unwrap_or_default(),
        }
    });
    fields.collect()
}

fn source(field: &Effective) -> String {
    match field.source.as_str() {
        "inherited" => format!("inherited from {}", field.at),
        "file" => "said by the file itself".to_owned(),
        _ => String::new(),
    }
}

/// Shows a field's value: a list has a line for each.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(shown).collect::<Vec<_>>().join("\n"),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Returns what a card's form says as the API wants it: an empty field is taken back.
pub fn card_of<'a>(get: impl Fn(&str) -> &'a str) -> Value {
    let fields = FIELDS.into_iter().map(|(name, _, kind)| {
        let text = get(name).trim();
        let value = match (text, kind) {
            ("", _) => Value::Null,
            (text, "lines") => {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                lines.map(Value::from).collect()
            }
            (text, _) => text.into(),
        };
        (name.to_owned(), value)
    });
    Value::Object(fields.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn field_says_where_it_comes_from() {
        let card: Card = serde_json::from_value(json!({
            "stated": { "version": "2.0" },
            "effective": {
                "version": { "value": "2.0", "source": "stated", "at": "/a/" },
                "company": { "value": "Acme", "source": "inherited", "at": "/" },
                "main_files": { "value": ["a", "b"], "source": "file" },
            },
        }))
        .unwrap();
        let fields = fields(&card);
        let of = |name| {
            let field = fields.iter().find(|it| it.name == name).unwrap();
            (&*field.stated, &*field.value, &*field.source)
        };
        assert_eq!(of("version"), ("2.0", "2.0", ""));
        assert_eq!(of("company"), ("", "Acme", "inherited from /"));
        assert_eq!(of("main_files"), ("", "a\nb", "said by the file itself"));
        assert_eq!(of("suite"), ("", "", ""));
    }

    #[test]
    fn empty_field_is_taken_back() {
        let typed = |name: &str| match name {
            "company" => " Acme ",
            "main_files" => "a\r\n\r\n b ",
            _ => "",
        };
        let card = card_of(typed);
        assert_eq!(card["company"], "Acme");
        assert_eq!(card["main_files"], json!(["a", "b"]));
        assert_eq!(card["version"], Value::Null);
        assert_eq!(
            card.as_object().map(serde_json::Map::len),
            Some(FIELDS.len())
        );
    }

    #[test]
    fn detections_are_read_first() {
        let mut all = ["type-unsupported", "failure", "undetected", "malicious"];
        all.sort_by_key(|category| rank(category));
        assert_eq!(
            all,
            ["malicious", "undetected", "failure", "type-unsupported"]
        );
    }
}
