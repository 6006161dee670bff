//! Where somebody is in a collection, and the URLs that lead elsewhere in it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::backend::{part, query};

/// What an item's id is made of, before it is encoded.
const SCHEME: &str = "vtmonitor-v1://";
/// Orders a list may have, and what they are called; with `-` before it the last first.
const ORDERS: [(&str, &str); 8] = [
    ("name", "Name, A first"),
    ("-name", "Name, Z first"),
    ("-modified", "Modified, newest first"),
    ("modified", "Modified, oldest first"),
    ("-size", "Size, largest first"),
    ("size", "Size, smallest first"),
    ("-detections", "Detections, most first"),
    ("detections", "Detections, fewest first"),
];

/// What a URL asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Whose collection.
    pub owner: String,
    /// Path of the open folder, or its id.
    pub folder: String,
    /// One of [`ORDERS`].
    pub order: String,
    /// `grid` or `list`, to remember.
    pub view: String,
    /// Part of names that is looked for.
    pub name: String,
    /// Where the page starts.
    pub cursor: String,
    /// Id of the item whose details are shown.
    pub item: String,
}

/// Where somebody is in a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Whose collection.
    pub owner: String,
    /// Path of the open folder; begins and ends with a slash.
    pub folder: String,
    /// One of [`ORDERS`], empty for the first.
    pub order: String,
    /// Part of names that is looked for.
    pub name: String,
    /// Where the page starts; empty for the first one.
    pub cursor: String,
    /// Id of the item whose details are shown; empty for none.
    pub item: String,
}

/// A folder on the way to the open one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crumb {
    /// What it is called.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Where it is shown.
    pub href: String,
}

/// A column that a list can be ordered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Where the list is ordered by it, or the other way round if it is already.
    pub href: String,
    /// As `aria-sort` has it.
    pub sort: &'static str,
}

/// Something that can be chosen in a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What the form sends.
    pub value: &'static str,
    /// What it is called.
    pub label: String,
    /// Whether it is what holds now.
    pub is_chosen: bool,
}

impl Place {
    /// Returns the place a URL asks for in somebody's collection.
    pub fn new(owner: &str, asked: &Asked) -> Self {
        let is_known = ORDERS.iter().any(|(order, _)| *order == asked.order);
        let order = if is_known && asked.order != "name" {
            asked.order.clone()
        } else {
            String::new()
        };
        Self {
            owner: owner.to_owned(),
            folder: folder_of(&asked.folder),
            order,
            name: asked.name.trim().to_owned(),
            cursor: asked.cursor.clone(),
            item: asked.item.clone(),
        }
    }

    fn pairs(&self) -> [(&str, &str); 6] {
        [
            ("owner", self.owner.as_str()),
            ("folder", if self.folder == "/" { "" } else { &self.folder }),
            ("order", &self.order),
            ("name", &self.name),
            ("cursor", &self.cursor),
            ("item", &self.item),
        ]
    }

    /// Returns the URL of this place.
    pub fn url(&self) -> String {
        format!("/collection{}", query(self.pairs()))
    }

    /// Returns the URL of this place's rows alone.
    pub fn rows(&self) -> String {
        let bare = self.without_item();
        format!("/collection/rows{}", query(bare.pairs()))
    }

    /// Returns the same place with an item's details.
    pub fn with_item(&self, item: &str) -> Self {
        Self {
            item: item.to_owned(),
            ..self.clone()
        }
    }

    /// Returns the same place without details.
    pub fn without_item(&self) -> Self {
        self.with_item("")
    }

    /// Returns the URL of the details of the open folder.
    pub fn about(&self) -> String {
        self.with_item(&self.folder_id()).url()
    }

    /// Returns the same list from another row on.
    pub fn from(&self, cursor: &str) -> Self {
        Self {
            cursor: cursor.to_owned(),
            ..self.without_item()
        }
    }

    /// Returns another folder, in the same order.
    pub fn at(&self, folder: &str) -> Self {
        Self {
            owner: self.owner.clone(),
            folder: as_folder(folder),
            order: self.order.clone(),
            ..Self::default()
        }
    }

    /// Returns how a column orders the list.
    pub fn column(&self, by: &str) -> Column {
        let current = if self.order.is_empty() {
            "name"
        } else {
            &self.order
        };
        let last_first = format!("-{by}");
        // Names are looked for from A, all else for what is most.
        let (next, sort) = match (current == by, current == last_first) {
            (true, _) => (last_first, "ascending"),
            (_, true) => (by.to_owned(), "descending"),
            _ if by == "name" => (by.to_owned(), "none"),
            _ => (last_first, "none"),
        };
        let order = if next == "name" { String::new() } else { next };
        let there = Self {
            order,
            ..self.from("")
        };
        Column {
            href: there.url(),
            sort,
        }
    }

    /// Returns the orders a list may have.
    pub fn orders(&self) -> Vec<Choice> {
        let orders = ORDERS.into_iter().map(|(order, label)| Choice {
            value: if order == "name" { "" } else { order },
            label: label.to_owned(),
            is_chosen: order == self.order || (order == "name" && self.order.is_empty()),
        });
        orders.collect()
    }

    /// Returns the URL of the first page, if this is another one.
    pub fn first(&self) -> String {
        if self.cursor.is_empty() {
            return String::new();
        }
        self.from("").url()
    }

    /// Returns the folders on the way to the open one, the collection first.
    pub fn crumbs(&self) -> Vec<Crumb> {
        let ways = ways(&self.folder).into_iter();
        let crumbs = ways.map(|path| Crumb {
            name: match name(&path) {
                "" => self.owner.clone(),
                name => name.to_owned(),
            },
            href: self.at(&path).url(),
            id: item_id(&self.owner, &path),
        });
        crumbs.collect()
    }

    /// Returns the id of the open folder.
    pub fn folder_id(&self) -> String {
        item_id(&self.owner, &self.folder)
    }

    /// Returns what the open folder is called.
    pub fn title(&self) -> &str {
        match name(&self.folder) {
            "" => &self.owner,
            name => name,
        }
    }

    /// Returns where files of a form without a script go.
    pub fn upload(&self, csrf: &str) -> String {
        let pairs = [
            ("owner", self.owner.as_str()),
            ("folder", &self.folder),
            ("csrf", csrf),
        ];
        format!("/collection/upload{}", query(pairs))
    }

    /// Returns the URL of the trash.
    pub fn trash(&self) -> String {
        format!("/collection/trash{}", query([("owner", &*self.owner)]))
    }
}

/// Returns the path of each folder on the way to one, that of the collection first.
pub fn ways(folder: &str) -> Vec<String> {
    let ends = folder.match_indices('/').map(|(at, _)| at);
    ends.map(|end| folder[..=end].to_owned()).collect()
}

/// Returns the path of a folder that is named by its path, or by its id: a page shows hidden
/// characters of a path, so its forms do not send them as they are.
pub fn folder_of(text: &str) -> String {
    let by_id = (!text.starts_with('/')).then(|| read_id(text)).flatten();
    as_folder(by_id.as_ref().map_or(text, |(_, path)| path))
}

/// Returns a path as a folder's.
pub fn as_folder(path: &str) -> String {
    let inner = path.trim_matches('/');
    if inner.is_empty() {
        "/".to_owned()
    } else {
        format!("/{inner}/")
    }
}

/// Returns the last part of a path, without a slash; empty for the collection itself.
pub fn name(path: &str) -> &str {
    let bare = path.strip_suffix('/').unwrap_or(path);
    bare.rsplit('/').next().unwrap_or("")
}

/// Returns the path of the folder something is in.
pub fn parent(path: &str) -> &str {
    let bare = path.strip_suffix('/').unwrap_or(path);
    bare.rfind('/').map_or("/", |end| &path[..=end])
}

/// Returns the id of what is at a path of somebody's collection.
pub fn item_id(owner: &str, path: &str) -> String {
    STANDARD.encode(format!("{SCHEME}{owner}{path}"))
}

/// Reads whose an item is, and its path; nothing if it is no id.
pub fn read_id(id: &str) -> Option<(String, String)> {
    let plain = id.trim_end_matches('=').replace('+', "-").replace('/', "_");
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(plain).ok()?).ok()?;
    let rest = text.strip_prefix(SCHEME)?;
    let (owner, path) = rest.split_at(rest.find('/')?);
    Some((owner.to_owned(), path.to_owned()))
}

/// Returns the API's path of what is known of an item, or does something with it.
pub fn api_path(id: &str, what: &str) -> String {
    let id = part(id);
    match what {
        "" => format!("/monitor/items/{id}"),
        "download" => format!("/monitor/items/{id}/download"),
        what => format!("/acquit/items/{id}/{what}"),
    }
}

/// Returns where the browser finds the bytes of an item: a folder's as an archive.
pub fn bytes_url(id: &str, path: &str) -> String {
    let what = match path.ends_with('/') {
        true => "archive",
        false => "download",
    };
    format!("/ui/api{}", api_path(id, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &str, order: &str) -> Place {
        let asked = Asked {
            folder: folder.to_owned(),
            order: order.to_owned(),
            ..Asked::default()
        };
        Place::new("acme", &asked)
    }

    #[test]
    fn url_escapes_whatever_is_in_a_name() {
        let place = place("/a & b/#?/", "-size");
        assert_eq!(
            place.url(),
            "/collection?owner=acme&folder=%2Fa%20%26%20b%2F%23%3F%2F&order=-size"
        );
        assert_eq!(place.at("/").url(), "/collection?owner=acme&order=-size");
        assert_eq!(
            place.from("x").rows().rsplit('&').next(),
            Some("cursor=x"),
            "{}",
            place.from("x").rows()
        );
    }

    #[test]
    fn crumbs_lead_up_to_the_collection() {
        let crumbs = place("/a/b/", "").crumbs();
        let shown: Vec<_> = crumbs
            .iter()
            .map(|it| (&*it.name, read_id(&it.id).unwrap().1))
            .collect();
        let expected = [("acme", "/"), ("a", "/a/"), ("b", "/a/b/")];
        assert_eq!(shown, expected.map(|(name, path)| (name, path.to_owned())));
    }

    #[test]
    fn column_turns_round_when_it_is_chosen_again() {
        let check = |order, by, href: &str, sort| {
            let column = place("", order).column(by);
            assert_eq!((&*column.href, column.sort), (href, sort));
        };
        check(
            "",
            "name",
            "/collection?owner=acme&order=-name",
            "ascending",
        );
        check("-name", "name", "/collection?owner=acme", "descending");
        check("", "size", "/collection?owner=acme&order=-size", "none");
        check(
            "-size",
            "size",
            "/collection?owner=acme&order=size",
            "descending",
        );
        check(
            "nonsense",
            "name",
            "/collection?owner=acme&order=-name",
            "ascending",
        );
    }

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!((name("/a/b/"), parent("/a/b/")), ("b", "/a/"));
        assert_eq!((name("/a/b"), parent("/a/b")), ("b", "/a/"));
        assert_eq!((name("/"), parent("/a")), ("", "/"));
        assert_eq!(as_folder("a/b"), "/a/b/");
        assert_eq!(ways("/a/"), ["/", "/a/"]);
    }

    #[test]
    fn folder_is_named_by_path_or_by_id() {
        assert_eq!(folder_of("/a/b"), "/a/b/");
        assert_eq!(folder_of(&item_id("acme", "/a\u{202E}b/")), "/a\u{202E}b/");
        assert_eq!(folder_of(""), "/");
    }

    #[test]
    fn id_is_read_as_it_is_written() {
        let id = item_id("acme", "/docs/");
        assert_eq!(id, "dnRtb25pdG9yLXYxOi8vYWNtZS9kb2NzLw==");
        let read = Some(("acme".to_owned(), "/docs/".to_owned()));
        assert_eq!(read_id(&id), read);
        assert_eq!(read_id("bm90IG9uZQ"), None);
        assert_eq!(read_id("%"), None);
    }
}
