//! Vendors: who makes which engine, what they see, and where false positives are reported.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::forms::{Typed, addresses, again, kept};
use super::parties::{self, Engine, Publisher, Vendor};
use crate::Web;
use crate::backend::{Answer, Client, Listing, Object, part};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go};

/// Fields of the form.
const FIELDS: [&str; 4] = ["id", "name", "emails", "engines"];

/// How a vendor is told of a false positive.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    name: String,
    engines: Vec<String>,
    channel: String,
    mail: Vec<String>,
    url: String,
    archive: String,
    max_mb: u64,
    turnaround: String,
    text: String,
    remarks: String,
    last_verified: String,
    source: String,
    bounce_count: u64,
    disabled: bool,
}

impl Entry {
    fn channel_name(&self) -> &str {
        match self.channel.as_str() {
            "mail" => "Mail",
            "form" => "Form",
            "login-form" => "Form behind a login",
            other => other,
        }
    }

    fn archive_name(&self) -> &str {
        match self.archive.as_str() {
            "zip" => "In a zip archive",
            "7z" => "In a 7z archive",
            "plain" => "As it is",
            "none" => "Not at all",
            other => other,
        }
    }

    /// Tells whether all words are somewhere in it.
    fn has(&self, id: &str, words: &str) -> bool {
        let text = format!(
            "{id} {} {} {} {}",
            self.name,
            self.engines.join(" "),
            self.mail.join(" "),
            self.url
        );
        let text = text.to_lowercase();
        let words = words.to_lowercase();
        words.split_whitespace().all(|word| text.contains(word))
    }
}

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/admin/vendors", get(list).post(create))
        .route("/admin/vendors/{id}", get(one).post(edit))
        .route("/admin/vendors/{id}/delete", post(remove))
        .route("/admin/directory", get(directory))
}

#[derive(Template)]
#[template(path = "admin/vendors.html")]
struct ListPage {
    frame: Frame,
    vendors: Vec<Object<Vendor>>,
    engines: Vec<Object<Engine>>,
    typed: Typed,
    error: Option<Fault>,
}

#[derive(Template)]
#[template(path = "admin/vendor.html")]
struct OnePage {
    frame: Frame,
    vendor: Object<Vendor>,
    engines: Vec<Object<Engine>>,
    publishers: Vec<Object<Publisher>>,
    entries: Vec<Object<Entry>>,
    typed: Typed,
    error: Option<Fault>,
}

#[derive(Template)]
#[template(path = "admin/directory.html")]
struct DirectoryPage {
    frame: Frame,
    entries: Vec<Object<Entry>>,
    all: usize,
    words: String,
}

async fn list(viewer: Viewer) -> Result<Response, Fault> {
    show(&list_page(&viewer, Typed::default(), None).await?)
}

async fn list_page(viewer: &Viewer, typed: Typed, error: Option<Fault>) -> Result<ListPage, Fault> {
    let api = &viewer.api;
    let (vendors, engines) = tokio::try_join!(parties::vendors(api), parties::engines(api))?;
    Ok(ListPage {
        frame: Frame::new(viewer, "Vendors", "admin"),
        vendors,
        engines,
        typed,
        error,
    })
}

fn order(posted: &Posted, known: &Typed) -> Value {
    let engines: Vec<_> = posted.all("engines").collect();
    json!({
        "name": kept(posted, known, "name"),
        "emails": addresses(posted.raw("emails")),
        "engines": engines,
    })
}

async fn create(posted: Posted) -> Result<Response, Fault> {
    let mut order = order(&posted, &Typed::default());
    if let Some(id) = posted.filled("id") {
        order["id"] = json!(id);
    }
    match posted.viewer.api.post("/acquit/vendors", &order).await {
        Ok(made) => {
            let id = made["data"]["id"].as_str().unwrap_or_default();
            let saying = format!("{} is a vendor now.", posted.get("name"));
            Ok(go(&format!("/admin/vendors/{}", part(id)), &saying))
        }
        Err(fault) => {
            let typed = Typed::posted(&posted, &FIELDS);
            let page = list_page(&posted.viewer, typed, Some(fault.clone())).await?;
            again(&fault, &page)
        }
    }
}

async fn entries(api: &Client) -> Result<Vec<Object<Entry>>, Fault> {
    let listing: Listing<Object<Entry>> = api.get("/acquit/vendor_directory").await?;
    Ok(listing.data)
}

async fn one(viewer: Viewer, Path(id): Path<String>) -> Result<Response, Fault> {
    show(&one_page(&viewer, &id).await?)
}

async fn one_page(viewer: &Viewer, id: &str) -> Result<OnePage, Fault> {
    let api = &viewer.api;
    let path = format!("/acquit/vendors/{}", part(id));
    let (vendor, engines, publishers, mut entries) = tokio::try_join!(
        api.get::<Answer<Object<Vendor>>>(&path),
        parties::engines(api),
        parties::publishers(api),
        entries(api),
    )?;
    let vendor = vendor.data;
    let Vendor {
        name,
        emails,
        engines: own,
        ..
    } = &vendor.attributes;
    entries.retain(|entry| {
        let engines = entry.attributes.engines.iter();
        entry.id == vendor.id || engines.clone().any(|engine| own.contains(engine))
    });
    let mut typed = Typed::of([("name", name.clone()), ("emails", emails.join("\n"))]);
    typed.all("engines", own.iter().cloned());
    Ok(OnePage {
        frame: Frame::new(viewer, name.clone(), "admin"),
        vendor,
        engines,
        publishers,
        entries,
        typed,
        error: None,
    })
}

async fn edit(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let path = format!("/acquit/vendors/{}", part(&id));
    let vendor: Answer<Object<Vendor>> = viewer.api.get(&path).await?;
    let known = Typed::of([("name", vendor.data.attributes.name)]);
    let order = order(&posted, &known);
    let changed = viewer.api.send((Method::PATCH, &path), &order).await;
    match changed {
        Ok(_) => Ok(go(&format!("/admin/vendors/{}", part(&id)), "Saved.")),
        Err(fault) => {
            let page = one_page(viewer, &id).await?;
            let page = OnePage {
                typed: Typed::posted(&posted, &FIELDS),
                error: Some(fault.clone()),
                ..page
            };
            again(&fault, &page)
        }
    }
}

async fn remove(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let path = format!("/acquit/vendors/{}", part(&id));
    let api = &posted.viewer.api;
    api.send((Method::DELETE, &path), &json!({})).await?;
    let saying = format!("{id} is removed: its keys are revoked, its people disabled.");
    Ok(go("/admin/vendors", &saying))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Words {
    words: String,
}

/// The whole directory; it is in files, so that it is only shown here.
async fn directory(viewer: Viewer, Query(asked): Query<Words>) -> Result<Response, Fault> {
    let mut entries = entries(&viewer.api).await?;
    let all = entries.len();
    let words = asked.words.trim().to_owned();
    entries.retain(|entry| entry.attributes.has(&entry.id, &words));
    show(&DirectoryPage {
        frame: Frame::new(&viewer, "Directory of vendors", "admin"),
        entries,
        all,
        words,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_is_searched_for_all_words() {
        let entry = Entry {
            name: "Clam People".to_owned(),
            engines: vec!["clamav".to_owned()],
            mail: vec!["fp@clam.example".to_owned()],
            ..Entry::default()
        };
        for (words, found) in [
            ("", true),
            ("CLAM fp@", true),
            ("clam other", false),
            ("id-1", true),
        ] {
            assert_eq!(entry.has("id-1", words), found, "{words}");
        }
    }
}
