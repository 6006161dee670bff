//! What a dispute would tell the vendor, exactly, before anything leaves; and the order to send it.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::model::Incident;
use super::show::{File, file, incident};
use crate::backend::{Answer, Client, Listing, Object, part};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::pages::disputes::model::Consent;
use crate::session::{Viewer, go};

#[derive(Template)]
#[template(path = "incidents/dispute.html")]
struct Page {
    frame: Frame,
    id: String,
    it: Incident,
    wish: Wish,
    vendors: Vec<Object<Vendor>>,
    draft: Option<Draft>,
    file: Option<File>,
    /// Why nothing may leave, or why it did not.
    refused: Option<String>,
}

/// What is chosen of a dispute.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wish {
    /// `policy`, `with` or `without`; the policy if empty.
    file: String,
    /// Entry of the directory; that of the engine if empty.
    vendor: String,
    /// Whether it is this engine's alone.
    apart: String,
    /// A subject that was typed; only ever in a form, so that no link can bring one.
    #[serde(skip)]
    subject: Option<String>,
    /// Words that were typed.
    #[serde(skip)]
    words: Option<String>,
}

/// What would leave.
#[derive(Clone, Debug, Deserialize)]
struct Draft {
    vendor: String,
    vendor_name: String,
    to: String,
    by_mail: bool,
    subject: String,
    text: String,
    words: String,
    own_words: bool,
    with_file: bool,
    #[serde(default)]
    file_bytes: Option<u64>,
    #[serde(default)]
    archive: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    no_file: Option<String>,
    rule: String,
    #[serde(default)]
    missing: Vec<String>,
    #[serde(default)]
    remarks: String,
    #[serde(default)]
    last_verified: String,
}

/// An entry of the directory of vendors.
#[derive(Clone, Debug, Deserialize)]
struct Vendor {
    name: String,
    #[serde(default)]
    engines: Vec<String>,
    #[serde(default)]
    disabled: bool,
}

/// Shows what would leave.
pub async fn page(
    viewer: Viewer,
    Path(id): Path<String>,
    Query(wish): Query<Wish>,
) -> Result<Response, Fault> {
    if !viewer.may_write() {
        let message = "this account may look, not tell vendors".to_owned();
        return Err(Fault::api(StatusCode::FORBIDDEN, String::new(), message));
    }
    shown(viewer, (&id, wish), None).await
}

/// Shows what would leave in the words that were typed, or makes the dispute that was looked at, if
/// it is still the same.
pub async fn order(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let wish = Wish::typed(&posted);
    if posted.get("act") == "look" {
        return shown(posted.viewer, (&id, wish), None).await;
    }
    let api = &posted.viewer.api;
    let again = async |message: String, status: StatusCode| {
        let viewer = posted.viewer.clone();
        let page = shown(viewer, (&id, wish.clone()), Some(message)).await?;
        Ok((status, page).into_response())
    };
    let draft = match draft(api, (&id, &wish)).await {
        Ok(draft) => draft,
        Err(fault) if fault.sign_in || fault.is_missing() => return Err(fault),
        Err(fault) => return again(fault.message, fault.status).await,
    };
    if draft.seal() != posted.get("seal") {
        let message = "Nothing was sent: what would leave is not what you looked at. Here is how \
                       it is now.";
        return again(message.to_owned(), StatusCode::CONFLICT).await;
    }
    let send = posted.get("act") == "send" && draft.by_mail;
    let made = api
        .post("/acquit/disputes", &wish.body(&id, Some(send))?)
        .await;
    match made {
        Ok(made) => Ok(made_page(&made, send, &draft)),
        Err(fault) if fault.sign_in => Err(fault),
        Err(fault) => again(fault.message, fault.status).await,
    }
}

fn made_page(made: &Value, send: bool, draft: &Draft) -> Response {
    let number = made["data"]["id"].as_str().unwrap_or_default();
    let said = match (send, draft.by_mail) {
        (true, _) => format!("The dispute is on its way to {}.", draft.to),
        (false, true) => "The dispute is prepared; nothing has left yet.".to_owned(),
        (false, false) => format!("The dispute is prepared: take it to {}.", draft.to),
    };
    go(&format!("/disputes/{}", part(number)), &said)
}

async fn shown(
    viewer: Viewer,
    (id, wish): (&str, Wish),
    failed: Option<String>,
) -> Result<Response, Fault> {
    let it = incident(&viewer.api, id).await?;
    let place = (id, &wish);
    let (draft, file, vendors) = tokio::join!(
        draft(&viewer.api, place),
        file(&viewer.api, &it.sha256),
        viewer
            .api
            .get::<Listing<Object<Vendor>>>("/acquit/vendor_directory"),
    );
    let (draft, refused) = match draft {
        Ok(draft) => (Some(draft), failed),
        Err(fault) if fault.sign_in || fault.is_missing() => return Err(fault),
        Err(fault) => {
            // Where only the words are wrong, they can be mended beside what would leave without.
            let usual = wish.usual();
            let draft = self::draft(&viewer.api, (id, &usual)).await.ok();
            (draft, Some(failed.unwrap_or(fault.message)))
        }
    };
    let mut vendors = vendors?.data;
    vendors.retain(|entry| {
        let entry = &entry.attributes;
        !entry.disabled && entry.engines.contains(&it.engine)
    });
    show(&Page {
        frame: Frame::new(&viewer, format!("Dispute of incident {id}"), "incidents"),
        id: id.to_owned(),
        it,
        wish,
        vendors,
        draft,
        file: file?,
        refused,
    })
}

/// Asks what would leave.
async fn draft(api: &Client, (id, wish): (&str, &Wish)) -> Result<Draft, Fault> {
    let order = wish.body(id, None)?;
    let asked = api.post("/acquit/disputes/preview", &order);
    let answer: Answer<Object<Draft>> =
        serde_json::from_value(asked.await?).map_err(|error| Fault::internal(&error))?;
    Ok(answer.data.attributes)
}

impl Wish {
    /// Reads what was chosen and typed.
    fn typed(posted: &Posted) -> Self {
        Self {
            file: posted.get("file").to_owned(),
            vendor: posted.get("vendor").to_owned(),
            apart: posted.get("apart").to_owned(),
            subject: posted.all("subject").next().map(str::to_owned),
            words: posted.all("words").next().map(str::to_owned),
        }
    }

    /// Returns what was chosen, in Acquit's words.
    fn usual(&self) -> Self {
        Self {
            subject: None,
            words: None,
            ..self.clone()
        }
    }

    /// Returns the order, as the API wants it.
    fn body(&self, incident: &str, send: Option<bool>) -> Result<Value, Fault> {
        let incident: u64 = incident
            .parse()
            .map_err(|_| Fault::missing("the incident"))?;
        let file = match &*self.file {
            word @ ("with" | "without") => word,
            _ => "policy",
        };
        let mut order = json!({
            "incident": incident,
            "file": file,
            "apart": !self.apart.is_empty(),
        });
        if !self.vendor.is_empty() {
            order["vendor"] = json!(self.vendor);
        }
        for (name, typed) in [("subject", &self.subject), ("words", &self.words)] {
            if let Some(typed) = typed {
                order[name] = json!(typed);
            }
        }
        if let Some(send) = send {
            order["send"] = json!(send);
        }
        Ok(json!({ "data": { "attributes": order } }))
    }
}

impl Draft {
    /// Returns what tells this draft from any other: so that only what was looked at is sent.
    fn seal(&self) -> String {
        let bytes = self.file_bytes.unwrap_or(0).to_string();
        let with = if self.with_file { "with" } else { "without" };
        let password = self.password.as_deref().unwrap_or("");
        let parts = [
            &*self.vendor,
            &self.to,
            &self.subject,
            &self.text,
            &self.rule,
            &bytes,
            with,
            password,
        ];
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        hex::encode(digest.finalize())
    }

    /// Returns by whose consent it may leave.
    fn consent(&self) -> Consent<'_> {
        Consent::of(&self.rule)
    }
}

impl Page {
    /// Returns the subject for the form: what was typed, or what would leave.
    fn subject<'a>(&'a self, draft: &'a Draft) -> &'a str {
        self.wish.subject.as_deref().unwrap_or(&draft.subject)
    }

    /// Returns the words for the form: what was typed, or what would leave.
    fn words<'a>(&'a self, draft: &'a Draft) -> &'a str {
        self.wish.words.as_deref().unwrap_or(&draft.words)
    }

    /// Tells whether the words are at hand to be changed.
    fn is_worded(&self, draft: &Draft) -> bool {
        draft.own_words || (self.refused.is_some() && self.wish.words.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &str) -> Draft {
        let draft = json!({
            "vendor": "v", "vendor_name": "V", "to": "a@b.test", "by_mail": true,
            "subject": "S", "text": text, "words": text, "own_words": false,
            "with_file": false, "rule": "policy file of /",
        });
        serde_json::from_value(draft).unwrap()
    }

    #[test]
    fn seal_is_that_of_what_would_leave() {
        assert_eq!(draft("a").seal(), draft("a").seal());
        assert_ne!(draft("a").seal(), draft("b").seal());
        let mut with = draft("a");
        with.with_file = true;
        assert_ne!(draft("a").seal(), with.seal());
    }

    #[test]
    fn order_names_what_was_chosen() {
        let wish = Wish {
            file: "with".to_owned(),
            vendor: "v".to_owned(),
            apart: "1".to_owned(),
            ..Wish::default()
        };
        let body = wish.body("7", Some(true)).unwrap();
        let expected =
            json!({"incident": 7, "file": "with", "apart": true, "vendor": "v", "send": true});
        assert_eq!(body["data"]["attributes"], expected);
        let usual = Wish::default().body("7", None).unwrap();
        let expected = json!({"incident": 7, "file": "policy", "apart": false});
        assert_eq!(usual["data"]["attributes"], expected);
        assert!(Wish::default().body("7/..", None).is_err());
        let own = Wish {
            words: Some("Hello".to_owned()),
            ..Wish::default()
        };
        let body = own.body("7", None).unwrap();
        assert_eq!(body["data"]["attributes"]["words"], "Hello");
        assert_eq!(own.usual().body("7", None).unwrap(), usual);
    }
}
