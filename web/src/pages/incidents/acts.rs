//! What people do with an incident, from its page.

use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::show::{self, Failed};
use crate::backend::part;
use crate::fault::Fault;
use crate::form::Posted;
use crate::session::go;

/// What is asked of the API, and what is said when it is done.
#[derive(Debug, PartialEq)]
struct Order {
    method: Method,
    place: &'static str,
    body: Value,
    done: &'static str,
}

/// Does what a form of an incident's page asks for.
pub async fn act(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let typed = posted.raw("text").to_owned();
    let order = order(posted.get("act"), posted.raw("text"), &posted.viewer.name);
    let order = match order {
        Ok(order) => order,
        Err(fault) => return again(posted, (&id, typed), fault).await,
    };
    let place = format!("/acquit/incidents/{}{}", part(&id), order.place);
    let to = (order.method, &*place);
    match posted.viewer.api.send(to, &order.body).await {
        Ok(_) => Ok(go(&format!("/incidents/{}", part(&id)), order.done)),
        Err(fault) if fault.sign_in || fault.is_missing() => Err(fault),
        Err(fault) => again(posted, (&id, typed), fault).await,
    }
}

/// Shows the page again, with what was typed and why it was not done.
async fn again(
    posted: Posted,
    (id, text): (&str, String),
    fault: Fault,
) -> Result<Response, Fault> {
    let failed = Failed {
        act: posted.get("act").to_owned(),
        text,
        message: fault.message,
    };
    let response = show::with(posted.viewer, (id, ""), failed).await?;
    Ok((fault.status, response).into_response())
}

/// Returns what a form asks for; `me` is who looks after it if "me" is meant.
fn order(act: &str, text: &str, me: &str) -> Result<Order, Fault> {
    let post = |place, body, done| Order {
        method: Method::POST,
        place,
        body,
        done,
    };
    let patch = |body, done| Order {
        method: Method::PATCH,
        place: "",
        body,
        done,
    };
    let reason = || json!({ "reason": text });
    Ok(match act {
        "acknowledge" => post("/acknowledge", json!({}), "The incident is acknowledged."),
        "note" => post("/notes", json!({ "text": text }), "The note was added."),
        "reply" => post(
            "/replies",
            json!({ "text": text }),
            "The reply is there for the vendor to see.",
        ),
        "close" => post("/close", reason(), "The detection is let be."),
        "reopen" => post("/reopen", reason(), "The incident is open again."),
        "take" => patch(json!({ "owner": me }), "You look after this incident now."),
        "owner" if text.trim().is_empty() => patch(
            json!({ "owner": null }),
            "Nobody looks after this incident now.",
        ),
        "owner" => patch(json!({ "owner": text.trim() }), "The change was saved."),
        "deadline" => patch(
            json!({ "deadline_date": end_of(text)? }),
            "The deadline was saved.",
        ),
        _ => {
            return Err(Fault::api(
                StatusCode::BAD_REQUEST,
                String::new(),
                unknown(),
            ));
        }
    })
}

fn unknown() -> String {
    "this form is none of this page: load the page again".to_owned()
}

/// Returns the last second of a day, in UTC.
fn end_of(day: &str) -> Result<i64, Fault> {
    let end = day.trim().parse::<Date>().ok().and_then(|day| {
        let end = day.at(23, 59, 59, 0).to_zoned(TimeZone::UTC).ok()?;
        Some(end.timestamp().as_second()).filter(|at| *at > 0)
    });
    end.ok_or_else(|| Fault::bad("the deadline is no day: write it as 2026-12-31"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_is_the_end_of_its_day() {
        assert_eq!(end_of(" 1970-01-01 ").unwrap(), 86_399);
        for bad in ["", "1969-01-01", "soon", "2026-02-30"] {
            assert!(end_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nobody_looks_after_it_if_the_field_is_empty() {
        let none = order("owner", "  ", "me").unwrap();
        assert_eq!(none.body, json!({ "owner": null }));
        let me = order("take", "", "Paula").unwrap();
        assert_eq!(
            (me.method, me.body),
            (Method::PATCH, json!({ "owner": "Paula" }))
        );
    }

    #[test]
    fn unknown_act_is_refused() {
        assert!(order("", "x", "me").is_err());
        assert!(order("delete", "x", "me").is_err());
        assert_eq!(order("note", "x", "me").unwrap().place, "/notes");
    }
}
