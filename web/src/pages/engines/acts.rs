//! Orders about an engine: each is a form, and the API decides whether it may be.

use axum::extract::Path;
use axum::response::Response;
use serde_json::{Value, json};

use super::Update;
use crate::backend::{Answer, part};
use crate::fault::Fault;
use crate::form::Posted;
use crate::session::{go, local};

/// Gives an order to an engine, and goes on to where it can be seen at work.
pub async fn order(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let engine = part(&id);
    let page = format!("/engines/{engine}");
    let act = posted.get("act");
    let (body, said) = wording(act, posted.get("set")).ok_or_else(unknown)?;
    let path = format!("/acquit/engines/{engine}/{act}");
    let answer = posted.viewer.api.post(&path, &body).await?;
    if act == "update" {
        let begun: Answer<Update> =
            serde_json::from_value(answer).map_err(|error| Fault::internal(&error))?;
        let number = begun.data.attributes.number;
        return Ok(go(&format!("{page}/updates/{number}"), said));
    }
    Ok(go(local(posted.get("next")).unwrap_or(&page), said))
}

fn unknown() -> Fault {
    Fault::bad("the form names no order that an engine knows")
}

/// Returns what an order sends and what is said when it is given; nothing if there is no such.
fn wording(act: &str, set: &str) -> Option<(Value, &'static str)> {
    let none = json!({});
    Some(match act {
        "update" => (none, "The update has begun."),
        "restart" => (none, "The engine's container is replaced."),
        "hold" => (none, "The active set is held: no update takes its place."),
        "release" => (none, "Updates go on."),
        "rollback" => (
            none,
            "The set before is in service again, and is held there.",
        ),
        "promote" => (
            json!({ "signature_set": set }),
            "The set is in service now.",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_orders_of_engines_are_passed_on() {
        for act in ["", "../../keys", "signature_sets", "delete"] {
            assert_eq!(wording(act, "x"), None, "{act}");
        }
        let (body, _) = wording("promote", "x").unwrap();
        assert_eq!(body, json!({ "signature_set": "x" }));
        assert_eq!(wording("hold", "x").unwrap().0, json!({}));
    }
}
