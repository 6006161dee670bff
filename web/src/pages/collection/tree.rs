//! The folders beside a list: those on the way to the open one, and what is next to them.

use futures_util::future::try_join_all;

use super::place::{Place, item_id, name, ways};
use super::rows::Item;
use crate::backend::{Client, Listing, Object, query};
use crate::fault::Fault;

/// Most levels that are read: of a very deep path the deepest ones.
const LEVELS: usize = 8;

/// A folder in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is called.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its path.
    pub path: String,
    /// Where it is shown.
    pub href: String,
    /// Folders above it that are in the tree.
    pub depth: usize,
    /// Whether the open folder is it or in it.
    pub is_open: bool,
    /// Whether it is the open folder.
    pub is_current: bool,
    /// Whether it only stands for more folders than are shown.
    pub is_rest: bool,
}

/// Folders of one level, and whether there may be more.
type Level = (Vec<String>, bool);

/// Reads the tree.
///
/// # Errors
/// What the API says.
pub async fn read(api: &Client, place: &Place) -> Result<Vec<Node>, Fault> {
    let ways = shown_ways(&place.folder);
    let levels = ways.iter().map(|path| folders(api, &place.owner, path));
    let levels = try_join_all(levels).await?;
    Ok(nodes(place, (&ways, &levels)))
}

/// Returns the folders on the way that are shown.
fn shown_ways(folder: &str) -> Vec<String> {
    let mut ways = ways(folder);
    if ways.len() > LEVELS {
        ways.drain(1..=ways.len() - LEVELS);
    }
    ways
}

/// Reads the folders in a folder.
async fn folders(api: &Client, owner: &str, path: &str) -> Result<Level, Fault> {
    let filter = format!("item:{} is:folder", item_id(owner, path));
    let pairs = [("owner", owner), ("filter", &filter), ("limit", "40")];
    let asked = format!("/monitor/items{}", query(pairs));
    let listing: Listing<Object<Item>> = api.get(&asked).await?;
    let has_more = listing.cursor().is_some();
    let paths = listing.data.into_iter().map(|item| item.attributes.path);
    Ok((paths.filter(|path| path.ends_with('/')).collect(), has_more))
}

/// Puts levels into each other, each below the folder it is of.
fn nodes(place: &Place, (ways, levels): (&[String], &[Level])) -> Vec<Node> {
    let mut nodes = Vec::new();
    let node = |path: &str, depth: usize| Node {
        name: match name(path) {
            "" => place.owner.clone(),
            name => name.to_owned(),
        },
        href: place.at(path).url(),
        id: item_id(&place.owner, path),
        path: path.to_owned(),
        depth,
        is_open: place.folder.starts_with(path),
        is_current: place.folder == path,
        is_rest: false,
    };
    nodes.push(node("/", 0));
    let mut at = 1;
    for (depth, (way, (folders, has_more))) in ways.iter().zip(levels).enumerate() {
        let next = ways.get(depth + 1);
        // The way on may be behind the first page.
        let missing = next.filter(|next| !folders.contains(next));
        let level = folders.iter().chain(missing);
        let mut level: Vec<_> = level.map(|path| node(path, depth + 1)).collect();
        if *has_more {
            level.push(Node {
                name: "More…".to_owned(),
                is_open: false,
                is_current: false,
                is_rest: true,
                ..node(way, depth + 1)
            });
        }
        let opened = level
            .iter()
            .position(|it| next == Some(&it.path) && !it.is_rest);
        nodes.splice(at..at, level);
        match opened {
            Some(opened) => at += opened + 1,
            None => break,
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(folder: &str, levels: &[(&[&str], bool)]) -> Vec<(usize, String, bool)> {
        let place = Place {
            owner: "acme".to_owned(),
            folder: folder.to_owned(),
            ..Place::default()
        };
        let levels: Vec<Level> = levels
            .iter()
            .map(|(paths, more)| (paths.iter().map(|it| (*it).to_owned()).collect(), *more))
            .collect();
        let nodes = nodes(&place, (&ways(folder), &levels));
        nodes
            .into_iter()
            .map(|it| (it.depth, it.name, it.is_current))
            .collect()
    }

    #[test]
    fn levels_are_in_each_other() {
        let levels: [(&[&str], bool); 2] = [(&["/a/", "/b/", "/c/"], false), (&["/b/x/"], false)];
        let expected = [
            (0, "acme".to_owned(), false),
            (1, "a".to_owned(), false),
            (1, "b".to_owned(), true),
            (2, "x".to_owned(), false),
            (1, "c".to_owned(), false),
        ];
        assert_eq!(shown("/b/", &levels), expected);
    }

    #[test]
    fn way_to_the_open_folder_is_shown_behind_a_page_of_others() {
        let levels: [(&[&str], bool); 2] = [(&["/a/"], true), (&[], false)];
        let expected = [
            (0, "acme".to_owned(), false),
            (1, "a".to_owned(), false),
            (1, "z".to_owned(), true),
            (1, "More…".to_owned(), false),
        ];
        assert_eq!(shown("/z/", &levels), expected);
    }

    #[test]
    fn deep_paths_ask_for_few_levels() {
        let deep = format!("/{}", "d/".repeat(30));
        let ways = shown_ways(&deep);
        assert_eq!((ways.len(), &*ways[0]), (LEVELS, "/"));
        assert_eq!(ways.last(), Some(&deep));
    }
}
