//! What a folder has: items of the API as rows of a list.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::place::{Place, name};
use crate::backend::{Client, Listing, Object, query};
use crate::coverage::Coverage;
use crate::fault::Fault;

/// Most rows of a page: the API's own limit.
const LIMIT: &str = "40";

/// What the API knows of an item.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Item {
    /// Where it is; a folder's ends with a slash.
    pub path: String,
    /// When it was made.
    pub creation_date: u64,
    /// When its content was last replaced.
    pub last_modification_date: u64,
    /// Who made it.
    pub creator_id: String,
    /// Engines that detect it, and how that changed.
    pub tags: Vec<String>,
    /// What vendors are told of it.
    pub details: Option<String>,
    /// Bytes; a folder has none.
    pub size: Option<u64>,
    /// Its hashes.
    pub sha256: String,
    /// Its hashes.
    pub sha1: Option<String>,
    /// Its hashes.
    pub md5: Option<String>,
    /// When an engine first detected it.
    pub first_detection_date: Option<u64>,
    /// When it is looked at again.
    pub next_analysis_date: Option<u64>,
    /// When engines last looked at it.
    pub last_analysis_date: Option<u64>,
    /// Engines that detect it.
    pub last_detections_count: u64,
    /// What each engine says.
    pub last_analysis_results: BTreeMap<String, EngineAnswer>,
    /// How many engines the count stands on.
    pub coverage: Coverage,
    /// What is said at it of what vendors may have; nothing if it inherits.
    pub policy: Option<String>,
}

/// What one engine says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EngineAnswer {
    /// VirusTotal's category.
    pub category: String,
    /// What it calls what it detects.
    pub result: Option<String>,
}

/// How an item stands with the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A folder: engines look at files.
    Folder,
    /// No engine has looked at it yet.
    Unscanned,
    /// Engines were asked, and none answered.
    Silent(Coverage),
    /// So many engines detect it.
    Detected(u64, Coverage),
    /// None that answered detects it.
    Undetected(Coverage),
}

impl Item {
    /// Tells whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.path.ends_with('/')
    }

    /// Returns how it stands with the engines; what nobody looked at is never clean.
    pub fn standing(&self) -> Standing {
        if self.is_folder() {
            return Standing::Folder;
        }
        match (self.last_detections_count, self.last_analysis_date) {
            (count @ 1.., _) => Standing::Detected(count, self.coverage),
            (0, None) => Standing::Unscanned,
            (0, Some(_)) if self.coverage.answered == 0 => Standing::Silent(self.coverage),
            (0, Some(_)) => Standing::Undetected(self.coverage),
        }
    }
}

/// A row of a list.
#[derive(Clone, Debug)]
pub struct Row {
    /// The item's id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Where it opens: a folder, or a file's details.
    pub href: String,
    /// Where its details and what can be done with it are.
    pub details: String,
    /// How it stands with the engines.
    pub standing: Standing,
    /// Bytes.
    pub size: Option<u64>,
    /// When it was last changed.
    pub modified: u64,
    /// What is said at it of what vendors may have, if that is not what holds around it.
    pub policy: Option<String>,
    /// Changes when what is shown does.
    pub stamp: String,
}

impl Row {
    fn new(place: &Place, (id, item): (String, Item), around: &str) -> Self {
        let is_folder = item.is_folder();
        let details = place.with_item(&id).url();
        let standing = item.standing();
        let policy = item.policy.filter(|policy| policy != around);
        let stamp = format!(
            "{} {standing:?} {:?} {:?}",
            item.last_modification_date, item.size, policy
        );
        Self {
            name: name(&item.path).to_owned(),
            href: if is_folder {
                place.at(&item.path).url()
            } else {
                details.clone()
            },
            details,
            standing,
            size: item.size,
            modified: item.last_modification_date,
            policy,
            stamp,
            id,
            is_folder,
        }
    }
}

/// Rows of a folder, and where more of them are.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where the page itself is, as rows alone.
    pub here: String,
    /// Where the next page is, as rows alone; empty on the last one.
    pub more: String,
    /// The same as a page.
    pub next: String,
    /// Whether the API looked for the name; otherwise only these rows were looked at.
    pub is_filtered: bool,
}

/// Reads a page of a folder's items. `around` is what vendors may have of what says nothing.
///
/// # Errors
/// What the API says.
pub async fn read(api: &Client, place: &Place, around: &str) -> Result<Rows, Fault> {
    let (listing, is_filtered) = list(api, place).await?;
    let cursor = listing.cursor().unwrap_or("").to_owned();
    let is_whole = cursor.is_empty() && place.cursor.is_empty();
    let named = place.name.to_lowercase();
    let rows = listing
        .data
        .into_iter()
        .filter(|item| is_filtered || name(&item.attributes.path).to_lowercase().contains(&named));
    let rows = rows.map(|item| Row::new(place, (item.id, item.attributes), around));
    let mut rows: Vec<_> = rows.collect();
    // A list that has pages stays as the API orders it, or pages would not fit each other.
    if is_whole {
        rows.sort_by_key(|row| !row.is_folder);
    }
    let next = place.from(&cursor);
    let to = |url: String| {
        if cursor.is_empty() {
            String::new()
        } else {
            url
        }
    };
    Ok(Rows {
        rows,
        here: place.rows(),
        more: to(next.rows()),
        next: to(next.url()),
        is_filtered,
    })
}

async fn list(api: &Client, place: &Place) -> Result<(Listing<Object<Item>>, bool), Fault> {
    let id = place.folder_id();
    let ask = |filter: String| {
        let pairs = [
            ("owner", place.owner.as_str()),
            ("filter", &filter),
            ("order", &place.order),
            ("cursor", &place.cursor),
            ("limit", LIMIT),
        ];
        format!("/monitor/items{}", query(pairs))
    };
    // A folder is named by its id: any text can be in a path.
    let plain = format!("item:{id}");
    if place.name.is_empty() {
        return Ok((api.get(&ask(plain)).await?, true));
    }
    match api.get(&ask(format!("{plain} name:{}", place.name))).await {
        Ok(listing) => Ok((listing, true)),
        Err(fault) if fault.status.as_u16() == 400 => Ok((api.get(&ask(plain)).await?, false)),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(json: &str) -> Standing {
        serde_json::from_str::<Item>(json).unwrap().standing()
    }

    #[test]
    fn only_what_engines_looked_at_is_undetected() {
        let coverage = |answered, enabled| Coverage {
            answered,
            unsupported: 0,
            enabled,
        };
        assert_eq!(standing(r#"{"path": "/a/"}"#), Standing::Folder);
        assert_eq!(standing(r#"{"path": "/a"}"#), Standing::Unscanned);
        let silent = r#"{"path": "/a", "last_analysis_date": 1, "last_detections_count": 0,
            "coverage": {"answered": 0, "enabled": 8}}"#;
        assert_eq!(standing(silent), Standing::Silent(coverage(0, 8)));
        let part = r#"{"path": "/a", "last_analysis_date": 1, "last_detections_count": 0,
            "coverage": {"answered": 7, "enabled": 8}}"#;
        assert_eq!(standing(part), Standing::Undetected(coverage(7, 8)));
        let kept = r#"{"path": "/a", "last_analysis_date": 1, "last_detections_count": 2,
            "coverage": {"answered": 0, "enabled": 8}}"#;
        assert_eq!(standing(kept), Standing::Detected(2, coverage(0, 8)));
    }

    #[test]
    fn row_of_a_folder_opens_it_and_that_of_a_file_its_details() {
        let place = Place {
            owner: "acme".to_owned(),
            folder: "/".to_owned(),
            ..Place::default()
        };
        let row = |path: &str, policy: Option<&str>| {
            let item = Item {
                path: path.to_owned(),
                policy: policy.map(str::to_owned),
                ..Item::default()
            };
            Row::new(&place, ("id=".to_owned(), item), "file")
        };
        let folder = row("/a b/", Some("never"));
        assert_eq!(folder.href, "/collection?owner=acme&folder=%2Fa%20b%2F");
        assert_eq!((&*folder.name, folder.is_folder), ("a b", true));
        assert_eq!(folder.policy.as_deref(), Some("never"));
        let file = row("/x.exe", Some("file"));
        assert_eq!(file.href, "/collection?owner=acme&item=id%3D");
        assert_eq!(file.policy, None);
    }
}
