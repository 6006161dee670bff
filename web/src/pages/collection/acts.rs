//! What can be done with items: move, copy, rename, delete, download, and what is said of them.

use askama::Template;
use axum::http::Method;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};

use super::panel::card_of;
use super::place::{
    Asked, Place, api_path, as_folder, bytes_url, folder_of, name, parent, read_id,
};
use super::tree::{self, Node};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{go, local};
use crate::text::visible;

/// Something that is to be done with an item.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub path: String,
    /// Where its bytes are; a folder's are an archive.
    pub download: String,
}

/// Where to move or copy items.
#[derive(Template)]
#[template(path = "collection/choose.html")]
struct Choose {
    frame: Frame,
    act: String,
    items: Vec<Chosen>,
    place: Place,
    nodes: Vec<Node>,
    back: String,
}

/// What to download, one by one.
#[derive(Template)]
#[template(path = "collection/take.html")]
struct Take {
    frame: Frame,
    items: Vec<Chosen>,
    back: String,
}

/// How far an act on several items came.
#[derive(Debug, Default)]
struct Done {
    count: usize,
    failed: Option<(String, Fault)>,
    failures: usize,
}

/// Does something with the items that a form names.
///
/// # Errors
/// What the API says, or that the form asks for nothing.
pub async fn act(posted: Posted) -> Result<Response, Fault> {
    let items = chosen(&posted)?;
    match posted.get("act") {
        "trash" => delete(&posted, &items).await,
        "rename" => rename(&posted, &items).await,
        "download" => take(&posted, items),
        act @ ("move" | "copy") => relocate(&posted, act, items).await,
        _ => Err(Fault::bad("choose what to do with the items")),
    }
}

fn chosen(posted: &Posted) -> Result<Vec<Chosen>, Fault> {
    let items = posted.all("item").map(|id| {
        let (_, path) =
            read_id(id).ok_or_else(|| Fault::bad("this is no item: load the page again"))?;
        let download = bytes_url(id, &path);
        let id = id.to_owned();
        Ok(Chosen { id, path, download })
    });
    let items: Vec<_> = items.collect::<Result<_, Fault>>()?;
    if items.is_empty() {
        return Err(Fault::bad(
            "no item is selected: tick some, then choose what to do with them",
        ));
    }
    Ok(items)
}

/// Returns the page a form came from.
fn back(posted: &Posted) -> &str {
    let page = local(posted.get("back")).filter(|page| page.starts_with("/collection"));
    page.unwrap_or("/collection")
}

impl Done {
    fn add(&mut self, path: &str, done: Result<(), Fault>) {
        match done {
            Ok(()) => self.count += 1,
            Err(fault) => {
                self.failures += 1;
                self.failed.get_or_insert_with(|| (path.to_owned(), fault));
            }
        }
    }

    /// Goes back and says what was done, or makes a page of what was not.
    fn finish(self, to: &str, what: &str) -> Result<Response, Fault> {
        let things = |count: usize| match count {
            1 => "1 item".to_owned(),
            count => format!("{count} items"),
        };
        let Some((path, fault)) = self.failed else {
            let said = format!("{} {what}.", things(self.count));
            return Ok(go(to, &said));
        };
        let total = self.count + self.failures;
        let message = match total {
            1 => fault.message,
            _ => format!(
                "{} of {} {what}. {}: {}",
                self.count,
                things(total),
                path,
                fault.message
            ),
        };
        Err(Fault { message, ..fault })
    }
}

async fn delete(posted: &Posted, items: &[Chosen]) -> Result<Response, Fault> {
    let mut done = Done::default();
    for item in items {
        let to = (Method::DELETE, &*api_path(&item.id, ""));
        let deleted = posted.viewer.api.send(to, &json!({})).await;
        done.add(&item.path, deleted.map(drop));
    }
    done.finish(back(posted), "moved to the trash")
}

async fn rename(posted: &Posted, items: &[Chosen]) -> Result<Response, Fault> {
    let [item] = items else {
        return Err(Fault::bad("one item at a time can be renamed"));
    };
    let new = posted.get("name");
    if new.is_empty() || new.contains('/') {
        return Err(Fault::bad("a name has at least one character and no slash"));
    }
    // A name is shown with its hidden characters: one that is sent as it was shown stays.
    if new == visible(name(&item.path)) {
        return Ok(go(back(posted), ""));
    }
    let to = joined(parent(&item.path), new, &item.path);
    let renamed = send(posted, (&item.id, "move"), &json!({ "to": to })).await;
    let mut done = Done::default();
    done.add(&item.path, renamed);
    done.finish(back(posted), "renamed")
}

/// Returns a path in a folder; a folder's, if what goes there is one.
fn joined(folder: &str, name: &str, what: &str) -> String {
    let end = if what.ends_with('/') { "/" } else { "" };
    format!("{}{name}{end}", as_folder(folder))
}

/// Returns where an item goes; a copy beside itself gets a name of its own.
fn target(act: &str, path: &str, folder: &str) -> String {
    let to = joined(folder, name(path), path);
    if act == "move" || to != path {
        return to;
    }
    let old = name(path);
    let new = match old.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() && !path.ends_with('/') => {
            format!("{stem} (copy).{end}")
        }
        _ => format!("{old} (copy)"),
    };
    joined(folder, &new, path)
}

fn take(posted: &Posted, items: Vec<Chosen>) -> Result<Response, Fault> {
    if let [Chosen { download, .. }] = items.as_slice() {
        return Ok(Redirect::to(download).into_response());
    }
    show(&Take {
        frame: Frame::new(&posted.viewer, "Download", "collection"),
        items,
        back: back(posted).to_owned(),
    })
}

async fn relocate(posted: &Posted, act: &str, items: Vec<Chosen>) -> Result<Response, Fault> {
    let Some(folder) = posted.filled("to").map(folder_of) else {
        return choose(posted, act, items).await;
    };
    let mut done = Done::default();
    for item in &items {
        let to = target(act, &item.path, &folder);
        let relocated = if to == item.path {
            Ok(())
        } else {
            send(posted, (&item.id, act), &json!({ "to": to })).await
        };
        done.add(&item.path, relocated);
    }
    let what = if act == "move" { "moved" } else { "copied" };
    let what = format!("{what} to {folder}");
    done.finish(back(posted), &what)
}

/// Shows folders to move or copy to; `open` is the one that is looked into.
async fn choose(posted: &Posted, act: &str, items: Vec<Chosen>) -> Result<Response, Fault> {
    let owner = posted.get("owner");
    let owner = posted.viewer.owner(Some(owner)).unwrap_or(owner);
    let first = items.first().map_or("/", |item| parent(&item.path));
    let asked = Asked {
        folder: posted.filled("open").unwrap_or(first).to_owned(),
        ..Asked::default()
    };
    let place = Place::new(owner, &asked);
    let nodes = tree::read(&posted.viewer.api, &place).await?;
    let title = if act == "move" { "Move" } else { "Copy" };
    show(&Choose {
        frame: Frame::new(&posted.viewer, title, "collection"),
        act: act.to_owned(),
        items,
        place,
        nodes,
        back: back(posted).to_owned(),
    })
}

async fn send(posted: &Posted, (id, what): (&str, &str), attributes: &Value) -> Result<(), Fault> {
    let body = json!({ "data": { "attributes": attributes } });
    let method = match what {
        "move" | "copy" => Method::POST,
        _ => Method::PATCH,
    };
    let to = (method, &*api_path(id, what));
    posted.viewer.api.send(to, &body).await.map(drop)
}

/// Changes what is said of one item: its note to vendors, its release card, its policy.
///
/// # Errors
/// What the API says.
pub async fn edit(posted: Posted) -> Result<Response, Fault> {
    let id = posted.get("item");
    let (what, attributes, said) = match posted.get("part") {
        "details" => {
            let note = posted
                .filled("details")
                .map(|note| note.replace("\r\n", "\n"));
            (
                "",
                json!({ "details": note }),
                "The note to vendors is saved.",
            )
        }
        "card" => {
            let card = card_of(|name| posted.raw(name));
            ("card", card, "The release card is saved.")
        }
        "policy" => {
            let policy = posted.filled("policy");
            let said = match policy {
                Some(_) => "What vendors may have is stated here now.",
                None => "What vendors may have is inherited again.",
            };
            ("policy", json!({ "policy": policy }), said)
        }
        _ => return Err(Fault::bad("the form names nothing to change")),
    };
    send(&posted, (id, what), &attributes).await?;
    Ok(go(back(&posted), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_names_where_they_go() {
        assert_eq!(target("move", "/a/x.exe", "/b"), "/b/x.exe");
        assert_eq!(target("copy", "/a/x/", "/b/"), "/b/x/");
        assert_eq!(target("move", "/a/x.exe", "/a/"), "/a/x.exe");
    }

    #[test]
    fn copy_beside_itself_has_another_name() {
        assert_eq!(target("copy", "/a/x.tar.gz", "/a/"), "/a/x.tar (copy).gz");
        assert_eq!(target("copy", "/a/.rc", "/a/"), "/a/.rc (copy)");
        assert_eq!(target("copy", "/a/v1.0/", "/a/"), "/a/v1.0 (copy)/");
    }

    #[test]
    fn failure_says_how_far_it_came() {
        let mut done = Done::default();
        done.add("/a", Ok(()));
        done.add("/b", Err(Fault::bad("something is at /b")));
        done.add("/c", Err(Fault::bad("and at /c")));
        let fault = done.finish("/collection", "moved").unwrap_err();
        assert_eq!(fault.message, "1 of 3 items moved. /b: something is at /b");
    }
}
