//! The page of what went wrong.

use askama::Template;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::fault::Fault;
use crate::frame::{Frame, show};

#[derive(Template)]
#[template(path = "fault.html")]
struct Page<'a> {
    frame: Frame,
    fault: &'a Fault,
}

/// Makes the page of a fault.
pub fn page(frame: Frame, fault: &Fault) -> Response {
    let status = fault.status;
    match show(&Page { frame, fault }) {
        Ok(response) => (status, response).into_response(),
        Err(_) => status.into_response(),
    }
}

/// Answers for a path that is none of ours; a program that is here by mistake, in its own words.
pub async fn nothing(uri: Uri, headers: HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    let fault = Fault::missing(&format!("the page {}", uri.path()));
    if accepted.any(|accepted| accepted.contains("text/html")) {
        return fault.into_response();
    }
    crate::relay::refused(&fault)
}
