//! One dispute: what it says, where it stands, and what can be done with it.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;

use super::model::Dispute;
use crate::backend::{Answer, Object, part};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::Viewer;

#[derive(Template)]
#[template(path = "disputes/show.html")]
struct Page {
    frame: Frame,
    id: String,
    it: Dispute,
    vendor: Option<Vendor>,
    may_write: bool,
    failed: Failed,
}

/// What was typed into a form that could not be done; empty if nothing was.
#[derive(Clone, Debug, Default)]
pub struct Failed {
    /// Which form.
    pub act: String,
    /// What was typed.
    pub text: String,
    /// What was typed as its subject.
    pub subject: String,
    /// Why it was not done.
    pub message: String,
}

/// An entry of the directory of vendors.
#[derive(Clone, Debug, Deserialize)]
struct Vendor {
    name: String,
    #[serde(default)]
    turnaround: String,
    #[serde(default)]
    remarks: String,
    #[serde(default)]
    bounce_count: u64,
    #[serde(default)]
    archive: String,
    #[serde(default)]
    password: String,
}

/// Shows a dispute.
pub async fn page(viewer: Viewer, Path(id): Path<String>) -> Result<Response, Fault> {
    with(viewer, &id, Failed::default()).await
}

/// Shows a dispute, with what could not be done.
///
/// # Errors
/// What the API says.
pub async fn with(viewer: Viewer, id: &str, failed: Failed) -> Result<Response, Fault> {
    let place = format!("/acquit/disputes/{}", part(id));
    let found: Answer<Object<Dispute>> = viewer.api.get(&place).await?;
    let it = found.data.attributes;
    let place = format!("/acquit/vendor_directory/{}", part(&it.vendor));
    let vendor: Option<Answer<Object<Vendor>>> = viewer.api.find(&place).await?;
    show(&Page {
        frame: Frame::new(&viewer, format!("Dispute {id}"), "incidents"),
        id: id.to_owned(),
        it,
        vendor: vendor.map(|found| found.data.attributes),
        may_write: viewer.may_write(),
        failed,
    })
}

impl Page {
    /// Returns what was typed into a form that failed.
    fn typed(&self, act: &str) -> &str {
        match self.failed.act == act {
            true => &self.failed.text,
            false => "",
        }
    }
}
