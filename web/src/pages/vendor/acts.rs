//! What a vendor does from the page of a file: asks for it, and says what it thinks of a detection.

use axum::extract::Path;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::file::{self, Failed};
use crate::backend::part;
use crate::fault::Fault;
use crate::form::Posted;
use crate::session::go;

/// What is asked of the API, and what is said when it is done.
type Order = ((Method, String), Value, &'static str);

/// Does what a form of a file's page asks for.
pub async fn act(Path(sha256): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let ((method, place), body, said) = order(&sha256, &posted_fields(&posted))?;
    match posted.viewer.api.send((method, &place), &body).await {
        Ok(_) => Ok(go(&format!("/vendor/files/{}", part(&sha256)), said)),
        Err(fault) if fault.sign_in || fault.is_missing() => Err(fault),
        Err(fault) => {
            let failed = Failed {
                act: posted.get("act").to_owned(),
                comment: posted.get("comment").to_owned(),
                text: posted.raw("text").to_owned(),
                fixed: posted.get("fixed_in").to_owned(),
                message: fault.message,
            };
            let page = file::with(posted.viewer, &sha256, failed).await?;
            Ok((fault.status, page).into_response())
        }
    }
}

/// The fields of a file's forms.
#[derive(Clone, Debug, Default)]
struct Fields {
    act: String,
    comment: String,
    engine: String,
    text: String,
    fixed_in: String,
    confirmed: bool,
}

fn posted_fields(posted: &Posted) -> Fields {
    let field = |name| posted.get(name).to_owned();
    Fields {
        act: field("act"),
        comment: field("comment"),
        engine: field("engine"),
        text: field("text"),
        fixed_in: field("fixed_in"),
        confirmed: posted.ticked("confirmed"),
    }
}

fn order(sha256: &str, fields: &Fields) -> Result<Order, Fault> {
    let sha256 = part(sha256);
    let comment = format!("/monitor_partner/comments/{}", part(&fields.comment));
    Ok(match &*fields.act {
        "ask" => (
            (
                Method::POST,
                format!("/monitor_partner/files/{sha256}/request"),
            ),
            json!({ "reason": fields.text }),
            "The publisher was asked for the file.",
        ),
        "comment" => (
            (
                Method::POST,
                format!("/monitor_partner/hashes/{sha256}/comments"),
            ),
            said(fields),
            "The comment was sent to the publisher.",
        ),
        "edit" => (
            (Method::PATCH, comment),
            said(fields),
            "The comment was changed.",
        ),
        "delete" => (
            (Method::DELETE, comment),
            json!({}),
            "The comment was removed.",
        ),
        _ => {
            return Err(Fault::bad(
                "this form is none of this page: load the page again",
            ));
        }
    })
}

/// Returns what is said, as the API wants it; an empty field takes back what was there.
fn said(fields: &Fields) -> Value {
    let confirmed = fields.confirmed.then_some("confirmed");
    let fixed = Some(&*fields.fixed_in).filter(|text| !text.is_empty());
    let mut attributes = json!({
        "comment": fields.text,
        "detection": confirmed,
        "fixed_in": fixed,
    });
    if !fields.engine.is_empty() {
        attributes["engine"] = json!(fields.engine);
    }
    json!({ "data": { "type": "monitor_hash_comment", "attributes": attributes } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_take_back_what_was_said() {
        let fields = Fields {
            act: "edit".to_owned(),
            comment: "00-yara".to_owned(),
            text: "mended".to_owned(),
            ..Fields::default()
        };
        let ((method, place), body, _) = order("00", &fields).unwrap();
        assert_eq!(
            (method, &*place),
            (Method::PATCH, "/monitor_partner/comments/00-yara")
        );
        let expected = json!({"comment": "mended", "detection": null, "fixed_in": null});
        assert_eq!(body["data"]["attributes"], expected);
    }

    #[test]
    fn standing_by_a_detection_is_said_in_the_apis_word() {
        let fields = Fields {
            act: "comment".to_owned(),
            confirmed: true,
            engine: "YARA".to_owned(),
            ..Fields::default()
        };
        let (_, body, _) = order("00", &fields).unwrap();
        let attributes = &body["data"]["attributes"];
        assert_eq!(
            (&attributes["detection"], &attributes["engine"]),
            (&json!("confirmed"), &json!("YARA"))
        );
        assert!(order("00", &Fields::default()).is_err());
    }
}
