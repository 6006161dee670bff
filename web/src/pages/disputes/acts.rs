//! What people do with a dispute, from its page.

use axum::extract::Path;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::show::{self, Failed};
use crate::backend::part;
use crate::fault::Fault;
use crate::form::Posted;
use crate::session::go;

/// Does what a form of a dispute's page asks for.
pub async fn act(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let typed = Typed {
        text: posted.get("text").to_owned(),
        subject: posted.get("subject").to_owned(),
        revision: posted.get("revision").parse().ok(),
    };
    let order = order(posted.get("act"), &typed)?;
    let place = format!("/acquit/disputes/{}{}", part(&id), order.place);
    let to = (order.method, &*place);
    match posted.viewer.api.send(to, &order.body).await {
        Ok(_) => Ok(go(&format!("/disputes/{}", part(&id)), order.done)),
        Err(fault) if fault.sign_in || fault.is_missing() => Err(fault),
        Err(fault) => {
            let failed = Failed {
                act: posted.get("act").to_owned(),
                text: typed.text,
                subject: typed.subject,
                message: fault.message,
            };
            let page = show::with(posted.viewer, &id, failed).await?;
            Ok((fault.status, page).into_response())
        }
    }
}

/// What a form had in it.
#[derive(Debug, Default)]
struct Typed {
    text: String,
    subject: String,
    /// The revision of the words that were seen.
    revision: Option<u32>,
}

/// What is asked of the API, and what is said when it is done.
#[derive(Debug)]
struct Order {
    method: Method,
    place: String,
    body: Value,
    done: &'static str,
}

/// Returns what a form asks for.
fn order(act: &str, typed: &Typed) -> Result<Order, Fault> {
    let of = |attributes: Value| json!({ "data": { "attributes": attributes } });
    let post = |place: &str, body, done| Order {
        method: Method::POST,
        place: place.to_owned(),
        body,
        done,
    };
    let text = &typed.text;
    Ok(match act {
        "send" => post(&send(typed), json!({}), "The dispute is on its way."),
        "withdraw" => post("/withdraw", json!({}), "The dispute was withdrawn."),
        "ticket" => post(
            "/ticket",
            of(json!({ "ticket": text })),
            "The vendor's number was noted.",
        ),
        "bounce" => post(
            "/bounce",
            of(json!({ "reason": text })),
            "It is noted that the dispute came back.",
        ),
        "reword" => Order {
            method: Method::PATCH,
            place: String::new(),
            body: of(json!({
                "subject": typed.subject, "words": text, "revision": typed.revision,
            })),
            done: "The words are saved; nothing has left yet.",
        },
        _ => {
            return Err(Fault::bad(
                "this form is none of this page: load the page again",
            ));
        }
    })
}

/// Lets leave what was seen, and nothing else.
fn send(typed: &Typed) -> String {
    let revision = typed.revision.map(|seen| format!("?revision={seen}"));
    format!("/send{}", revision.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_as_the_api_wants_it() {
        let typed = Typed {
            text: "A-1".to_owned(),
            subject: "S".to_owned(),
            revision: Some(2),
        };
        let ticket = order("ticket", &typed).unwrap();
        assert_eq!(
            (&*ticket.place, &ticket.body["data"]["attributes"]["ticket"]),
            ("/ticket", &json!("A-1"))
        );
        let words = order("reword", &typed).unwrap();
        let expected = json!({ "subject": "S", "words": "A-1", "revision": 2 });
        assert_eq!(words.method, Method::PATCH);
        assert_eq!(words.body["data"]["attributes"], expected);
        assert_eq!(order("send", &typed).unwrap().place, "/send?revision=2");
        assert!(order("package", &typed).is_err());
    }
}
