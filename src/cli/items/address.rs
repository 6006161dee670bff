//! `[COLLECTION:]/PATH`: where something is in a collection, and what is there.

use std::str::FromStr;

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::client::{Client, ClientError, segment};
use crate::cli::exit::UsageError;
use crate::cli::wire::{Envelope, Object};
use crate::model::{ItemId, ItemPath, PublisherId};

/// A place in a collection as it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whose collection, if not one's own.
    pub publisher: Option<PublisherId>,
    /// Where in it.
    pub path: ItemPath,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (publisher, path) = match text.split_once(":/") {
            Some((name, _)) if !text.starts_with('/') => {
                let publisher = name.parse::<PublisherId>().map_err(|e| e.to_string())?;
                (Some(publisher), &text[name.len() + 1..])
            }
            _ => (None, text),
        };
        if !path.starts_with('/') {
            return Err("a place in a collection is [COLLECTION:]/PATH".to_owned());
        }
        let path = path
            .parse::<ItemPath>()
            .map_err(|error| error.to_string())?;
        Ok(Self { publisher, path })
    }
}

/// An item as the API shows it.
pub type ItemObject = Object<Value>;

/// A collection on a server.
#[derive(Debug)]
pub struct Collection {
    /// Whom to ask.
    pub client: Client,
    /// Whose it is.
    pub publisher: PublisherId,
}

impl Collection {
    /// Finds out whose collection is meant.
    ///
    /// # Errors
    /// If the key has none and none is named.
    pub async fn open(client: Client, named: Option<&PublisherId>) -> anyhow::Result<Self> {
        let owner = named.map_or(String::new(), |named| format!("?owner={named}"));
        let path = format!("acquit/collection{owner}");
        let answer: Envelope<Object<Value>> = client.get(&path).await?;
        let publisher = answer.data.id.parse();
        let publisher = publisher.map_err(|_| client.garbled("the collection has no owner"))?;
        Ok(Self { client, publisher })
    }

    /// Returns the id of a path.
    pub fn id(&self, path: &ItemPath) -> ItemId {
        ItemId {
            publisher: self.publisher.clone(),
            path: path.clone(),
        }
    }

    /// Returns the resource of a path, below one of the API's two parts for items.
    pub fn resource(&self, part: &str, path: &ItemPath) -> String {
        format!(
            "{part}/items/{}",
            segment(&self.id(path).to_string()).replace('=', "%3D")
        )
    }

    /// Reads the item at exactly that path; nothing if there is none.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn get(&self, path: &ItemPath) -> Result<Option<ItemObject>, ClientError> {
        let answer = self.client.get(&self.resource("monitor", path)).await;
        match answer {
            Ok(Envelope { data, .. }) => Ok(Some(data)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns where an item really is: a folder may be named without its slash.
    ///
    /// # Errors
    /// If there is nothing.
    pub async fn find(&self, path: &ItemPath) -> anyhow::Result<ItemPath> {
        if path.is_root() || self.get(path).await?.is_some() {
            return Ok(path.clone());
        }
        let folder = path.as_folder();
        if folder != *path && self.get(&folder).await?.is_some() {
            return Ok(folder);
        }
        let message = format!("there is nothing at {}:{path}", self.publisher);
        Err(UsageError(message).into())
    }

    /// Sends a body and reads what comes back.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn send(
        &self,
        (method, resource): (Method, &str),
        attributes: Option<Value>,
    ) -> Result<Value, ClientError> {
        let url = self.client.url(resource);
        let mut request = self.client.request(method, &url);
        if let Some(attributes) = attributes {
            request = request.json(&json!({ "data": { "attributes": attributes } }));
        }
        // A folder of any size is done when the answer comes.
        self.client.answer(request).await
    }

    /// Reads a list page by page, however long it is.
    ///
    /// # Errors
    /// If a page is missing.
    pub async fn page(
        &self,
        resource: &str,
        cursor: Option<&str>,
    ) -> Result<(Vec<ItemObject>, Option<String>), ClientError> {
        let mark = if resource.contains('?') { '&' } else { '?' };
        let cursor = cursor.map_or(String::new(), |c| format!("&cursor={}", segment(c)));
        let page = format!("{resource}{mark}limit=40{cursor}");
        let page: Envelope<Vec<ItemObject>> = self.client.get(&page).await?;
        Ok((page.data, page.meta.cursor))
    }

    /// Reads all pages of a list.
    ///
    /// # Errors
    /// If a page is missing, or the list does not end.
    pub async fn all(&self, resource: &str) -> Result<Vec<ItemObject>, ClientError> {
        let (mut all, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let (objects, next) = self.page(resource, cursor.as_deref()).await?;
            let came = objects.len();
            all.extend(objects);
            match next {
                None => return Ok(all),
                Some(next) if came == 0 || Some(&next) == cursor.as_ref() => {
                    let _ = next;
                    return Err(self.client.garbled("the list does not end"));
                }
                next => cursor = next,
            }
        }
    }

    /// Returns the resource that lists items.
    pub fn listing(&self, filter: &str, more: &str) -> String {
        let (filter, owner) = (segment(filter), &self.publisher);
        format!("monitor/items?owner={owner}&filter={filter}{more}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(Option<&str>, &str)>) {
        let read = text.parse::<Address>().ok();
        let expected = expected.map(|(publisher, path)| Address {
            publisher: publisher.map(|id| id.parse().unwrap()),
            path: path.parse().unwrap(),
        });
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn collection_may_be_named_before_the_path() {
        check("/a b/", Some((None, "/a b/")));
        check("acme:/a:/b", Some((Some("acme"), "/a:/b")));
        check("/a:/b", Some((None, "/a:/b")));
        check("a", None);
        check("Acme:/a", None);
        check("acme:/a/../b", None);
    }
}
