//! One file that the vendor's engines detect: what its publishers state of it, what was said.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;

use super::own;
use crate::backend::{Answer, Listing, Object, part};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::Viewer;

#[derive(Template)]
#[template(path = "vendor/file.html")]
struct Page {
    frame: Frame,
    it: Hash,
    items: Vec<Object<Item>>,
    words: Vec<Object<Word>>,
    comments: Vec<Object<Comment>>,
    analyses: Vec<Object<Analysis>>,
    failed: Failed,
}

/// What was typed into a form that could not be done; empty if nothing was.
#[derive(Clone, Debug, Default)]
pub struct Failed {
    /// Which form.
    pub act: String,
    /// Which comment, if it was one's.
    pub comment: String,
    /// What was typed.
    pub text: String,
    /// Where it is said to be fixed.
    pub fixed: String,
    /// Why it was not done.
    pub message: String,
}

/// What a vendor is told of a hash.
#[derive(Clone, Debug, Deserialize)]
struct Hash {
    sha256: String,
    sha1: String,
    md5: String,
    size: u64,
    #[serde(default)]
    last_analysis_date: Option<u64>,
    #[serde(default)]
    detections: BTreeMap<String, Detection>,
    #[serde(default)]
    other_engines_silent_count: u64,
    #[serde(default)]
    other_engines_silent: Option<Vec<String>>,
    file_access: String,
}

/// A detection of one of the vendor's engines.
#[derive(Clone, Debug, Deserialize)]
struct Detection {
    result: String,
    since_date: u64,
    #[serde(default)]
    engine_version: Option<String>,
    #[serde(default)]
    signature_set: Option<String>,
    #[serde(default)]
    confirmed: bool,
}

/// Where the file is in a collection, and what its publisher states.
#[derive(Clone, Debug, Deserialize)]
struct Item {
    path: String,
    organization: String,
    #[serde(default)]
    details: Option<String>,
    #[serde(default)]
    release_card: Card,
    #[serde(default)]
    file_facts: Option<Facts>,
    share_policy: String,
}

/// A release card.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Card {
    company: Option<String>,
    contact: Option<String>,
    product: Option<String>,
    version: Option<String>,
    release_date: Option<String>,
    suite: Option<String>,
    main_files: Option<Vec<String>>,
    homepage: Option<String>,
    download_url: Option<String>,
    purpose: Option<String>,
}

/// What the file says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Facts {
    format: Option<String>,
    company: Option<String>,
    product: Option<String>,
    version: Option<String>,
    description: Option<String>,
    original_name: Option<String>,
}

/// What was said.
#[derive(Clone, Debug, Deserialize)]
struct Word {
    date: u64,
    from: String,
    organization: String,
    engine: String,
    text: String,
}

/// What the vendor says of a detection.
#[derive(Clone, Debug, Deserialize)]
struct Comment {
    comment: String,
    date: u64,
    #[serde(default)]
    detection: Option<String>,
    engine: String,
    #[serde(default)]
    fixed_in: Option<String>,
}

/// An analysis, as far as it is of the vendor's engines.
#[derive(Clone, Debug, Deserialize)]
struct Analysis {
    date: u64,
    #[serde(default)]
    analysis_results: BTreeMap<String, Given>,
}

/// What an engine said in an analysis.
#[derive(Clone, Debug, Deserialize)]
struct Given {
    category: String,
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    signature_set: Option<String>,
}

/// Shows a file.
pub async fn page(viewer: Viewer, Path(sha256): Path<String>) -> Result<Response, Fault> {
    with(viewer, &sha256, Failed::default()).await
}

/// Shows a file, with what could not be done.
///
/// # Errors
/// What the API says.
pub async fn with(viewer: Viewer, sha256: &str, failed: Failed) -> Result<Response, Fault> {
    own(&viewer).await?;
    let place = format!("/monitor_partner/hashes/{}", part(sha256));
    let below = |name: &str| format!("{place}/{name}");
    let (items, thread) = (below("items"), below("thread"));
    let (comments, analyses) = (below("comments"), below("analyses?limit=10"));
    let api = &viewer.api;
    let (hash, items, words, comments, analyses) = tokio::try_join!(
        api.get::<Answer<Object<Hash>>>(&place),
        api.get::<Listing<Object<Item>>>(&items),
        api.get::<Listing<Object<Word>>>(&thread),
        api.get::<Listing<Object<Comment>>>(&comments),
        api.get::<Listing<Object<Analysis>>>(&analyses),
    )?;
    show(&Page {
        frame: Frame::new(&viewer, "Detected file", "vendor"),
        it: hash.data.attributes,
        items: items.data,
        words: words.data,
        comments: comments.data,
        analyses: analyses.data,
        failed,
    })
}

impl Page {
    /// Returns what the file is called: its name with the first publisher, or its hash.
    fn name(&self) -> &str {
        let first = self.items.first();
        first.map_or(&self.it.sha256, |item| {
            crate::text::name(&item.attributes.path)
        })
    }

    /// Returns the vendor's engines that detect it and have no comment yet.
    fn silent(&self) -> Vec<&str> {
        let said = |engine: &str| {
            self.comments
                .iter()
                .any(|it| it.attributes.engine == engine)
        };
        let engines = self.it.detections.keys().map(String::as_str);
        engines.filter(|engine| !said(engine)).collect()
    }

    /// Tells whether the form of a comment is shown again since it could not be done.
    fn is_again(&self, comment: &str) -> bool {
        self.failed.act == "edit" && self.failed.comment == comment
    }

    fn text<'a>(&'a self, comment: &'a Object<Comment>) -> &'a str {
        match self.is_again(&comment.id) {
            true => &self.failed.text,
            false => &comment.attributes.comment,
        }
    }

    fn fixed<'a>(&'a self, comment: &'a Object<Comment>) -> &'a str {
        match self.is_again(&comment.id) {
            true => &self.failed.fixed,
            false => comment.attributes.fixed_in.as_deref().unwrap_or(""),
        }
    }

    /// Returns what was typed into a form that failed.
    fn typed(&self, act: &str) -> &str {
        match self.failed.act == act {
            true => &self.failed.text,
            false => "",
        }
    }
}

impl Card {
    /// Returns what is filled in, with its name.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let files = self.main_files.as_ref().map(|files| files.join(", "));
        let all = [
            ("Product", &self.product),
            ("Version", &self.version),
            ("Company", &self.company),
            ("Released", &self.release_date),
            ("Suite", &self.suite),
            ("Main files", &files),
            ("Purpose", &self.purpose),
            ("Contact", &self.contact),
            ("Homepage", &self.homepage),
            ("Download", &self.download_url),
        ];
        filled(&all)
    }
}

impl Facts {
    /// Returns what the file says, with its name.
    fn lines(&self) -> Vec<(&'static str, String)> {
        filled(&[
            ("Format", &self.format),
            ("Product", &self.product),
            ("Version", &self.version),
            ("Company", &self.company),
            ("Description", &self.description),
            ("Original name", &self.original_name),
        ])
    }
}

fn filled(all: &[(&'static str, &Option<String>)]) -> Vec<(&'static str, String)> {
    let filled = all.iter().filter_map(|(name, value)| {
        let value = value.as_ref().filter(|value| !value.is_empty())?;
        Some((*name, value.clone()))
    });
    filled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_shows_what_is_filled_in() {
        let card = Card {
            product: Some("Acme".to_owned()),
            version: Some(String::new()),
            main_files: Some(vec!["a".to_owned(), "b".to_owned()]),
            ..Card::default()
        };
        let expected = [
            ("Product", "Acme".to_owned()),
            ("Main files", "a, b".to_owned()),
        ];
        assert_eq!(card.lines(), expected);
        assert!(Facts::default().lines().is_empty());
    }
}
