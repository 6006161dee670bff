//! Where an item is: its id, its owner, its path, and the folders above it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::backend::{part, query};
use crate::text;

/// What ids of items begin with.
const SCHEME: &str = "vtmonitor-v1://";

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose collection.
    pub owner: String,
    /// Where in it.
    pub path: String,
}

/// A step from the collection to an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crumb {
    /// What it is called.
    pub name: String,
    /// Where it is shown.
    pub href: String,
}

impl Place {
    /// Reads an item's id; nothing if it is none.
    pub fn of(id: &str) -> Option<Self> {
        let bare = id.trim_end_matches('=');
        let bytes = STANDARD_NO_PAD.decode(bare);
        let bytes = bytes.or_else(|_| URL_SAFE_NO_PAD.decode(bare)).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (owner, path) = text.strip_prefix(SCHEME)?.split_once('/')?;
        Some(Self {
            owner: owner.to_owned(),
            path: format!("/{path}"),
        })
    }

    /// Returns the item's id.
    pub fn id(&self) -> String {
        STANDARD.encode(format!("{SCHEME}{}{}", self.owner, self.path))
    }

    /// Returns where the item is shown.
    pub fn url(&self) -> String {
        format!("/items/{}", part(&self.id()))
    }

    /// Returns its name in its folder.
    pub fn name(&self) -> &str {
        text::name(&self.path)
    }

    /// Returns the folder it is in.
    pub fn folder(&self) -> &str {
        let bare = self.path.trim_end_matches('/');
        bare.rfind('/').map_or("/", |at| &bare[..=at])
    }

    /// Returns where its folder is shown.
    pub fn folder_url(&self) -> String {
        collection_url(&self.owner, self.folder())
    }

    /// Returns the steps from the collection to its folder.
    pub fn crumbs(&self) -> Vec<Crumb> {
        let folder = self.folder();
        let ends = folder.char_indices().filter(|(_, c)| *c == '/');
        let step = |(at, _): (usize, char)| {
            let path = &folder[..=at];
            let name = match at {
                0 => &self.owner,
                _ => text::name(path),
            };
            Crumb {
                name: name.to_owned(),
                href: collection_url(&self.owner, path),
            }
        };
        ends.map(step).collect()
    }
}

/// Returns where a folder of a collection is shown.
pub fn collection_url(owner: &str, folder: &str) -> String {
    let folder = if folder == "/" { "" } else { folder };
    format!(
        "/collection{}",
        query([("owner", owner), ("folder", folder)])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_names_owner_and_path_whatever_is_in_it() {
        let place = Place {
            owner: "acme".to_owned(),
            path: "/a b/<c>?\u{202e}.exe".to_owned(),
        };
        assert_eq!(Place::of(&place.id()), Some(place.clone()));
        assert!(!place.url().contains('='), "{}", place.url());
        let vt = "dnRtb25pdG9yLXYxOi8vYWNtZS9yZWxlYXNlcy9hY21lLTEuMC9iaW4vYWNtZQ==";
        let path = Place::of(vt).map(|place| place.path);
        assert_eq!(path.as_deref(), Some("/releases/acme-1.0/bin/acme"));
        assert_eq!((Place::of("acme"), Place::of("%%")), (None, None));
    }

    #[test]
    fn folders_above_lead_back_to_the_collection() {
        let place = Place {
            owner: "acme".to_owned(),
            path: "/a/b c/d.exe".to_owned(),
        };
        assert_eq!((place.name(), place.folder()), ("d.exe", "/a/b c/"));
        let crumbs = place.crumbs();
        let seen: Vec<_> = crumbs.iter().map(|it| (&*it.name, &*it.href)).collect();
        let expected = [
            ("acme", "/collection?owner=acme"),
            ("a", "/collection?owner=acme&folder=%2Fa%2F"),
            ("b c", "/collection?owner=acme&folder=%2Fa%2Fb%20c%2F"),
        ];
        assert_eq!(seen, expected);
    }
}
