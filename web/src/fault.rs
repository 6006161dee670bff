//! What went wrong, for a person: a page that says what happened and what to do next.
//!
//! A handler returns a [`Fault`]; [`crate::session::enter`] makes a page of it, with the frame of
//! whoever looks.

use std::fmt::Display;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// A failure that becomes a page.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The page's status.
    pub status: StatusCode,
    /// VirusTotal's code, if the API said so.
    pub code: String,
    /// What happened, in a sentence.
    pub message: String,
    /// Whether the way on is to sign in.
    pub sign_in: bool,
}

impl Fault {
    /// Makes a fault of what the API said.
    pub fn api(status: StatusCode, code: String, message: String) -> Self {
        let sign_in = status == StatusCode::UNAUTHORIZED;
        Self {
            status,
            code,
            message,
            sign_in,
        }
    }

    /// Nobody is signed in.
    pub fn stranger() -> Self {
        let message = "sign in to see this page".to_owned();
        Self::api(StatusCode::UNAUTHORIZED, String::new(), message)
    }

    /// There is no such thing.
    pub fn missing(what: &str) -> Self {
        let message = format!("{what} was not found");
        Self::api(StatusCode::NOT_FOUND, String::new(), message)
    }

    /// What was sent cannot be understood; the message says what to do.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::api(StatusCode::BAD_REQUEST, String::new(), message.into())
    }

    /// The form is not one that was given to this session.
    pub fn forged() -> Self {
        let message = "this form is out of date: go back, load the page again, and send it again";
        Self::api(
            StatusCode::FORBIDDEN,
            "CsrfError".to_owned(),
            message.to_owned(),
        )
    }

    /// Something of ours failed; the cause goes to the log, not to the page.
    pub fn internal(cause: &dyn Display) -> Self {
        tracing::error!(%cause, "Cannot make a page");
        let message = "the appliance failed to make this page; its log says why".to_owned();
        Self::api(StatusCode::INTERNAL_SERVER_ERROR, String::new(), message)
    }

    /// Tells whether it does not exist, or not for who asks.
    pub fn is_missing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// Tells whether the role does not allow it.
    pub fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    /// Returns a heading.
    pub fn title(&self) -> &'static str {
        match self.status.as_u16() {
            400 | 413 | 415 | 422 => "That could not be understood",
            401 => "Please sign in",
            403 => "Not for this account",
            404 => "Nothing here",
            409 => "Something is in the way",
            429 => "Too many requests",
            503 => "Not available right now",
            _ => "Something failed",
        }
    }

    /// Returns what can be done.
    pub fn advice(&self) -> &'static str {
        match self.status.as_u16() {
            400 | 413 | 415 | 422 => "Go back, change what the message names, and send it again.",
            401 => "Your session may have ended. Nothing that was saved is lost.",
            403 => "Ask an administrator of this appliance if you need it.",
            404 => {
                "It may have been moved, deleted, or it belongs to somebody else. Search finds \
                    files by hash, path or detection."
            }
            409 => "Load the page again to see how things stand now.",
            429 => "Wait a moment, then load the page again.",
            503 => "Load the page again in a moment. The engines page shows what is starting.",
            _ => {
                "Load the page again. If it stays, an administrator finds the reason in the \
                  daemon's log (journalctl -u acquit)."
            }
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<askama::Error> for Fault {
    fn from(error: askama::Error) -> Self {
        Self::internal(&error)
    }
}
