//! Failures as the wire shows them: VirusTotal's codes in VirusTotal's envelope.
//!
//! `vt-py` does not read the body of a 5xx answer, so whatever a client could
//! react to is a 4xx.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use crate::flow::ingest::IngestError;
use crate::nightly::Refusal;
use crate::nightly::bundle::BundleError;
use crate::store::{IncomingError, StoreError};

/// Longest message sent, in characters; parts of a request may be quoted in it.
const MESSAGE_CHARS: usize = 500;

/// A request that failed, ready to be sent.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after_seconds: Option<u64>,
}

/// The envelope of every failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorDetail,
}

/// What failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// VirusTotal's word for the kind of failure.
    #[schema(example = "NotFoundError")]
    code: &'static str,
    /// What failed, for a person.
    message: String,
}

impl ApiError {
    /// Makes a failure with the code that fits its status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code(status),
            message: message.into().chars().take(MESSAGE_CHARS).collect(),
            retry_after_seconds: None,
        }
    }

    /// A request that is malformed as a whole.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// An argument with a value that cannot be.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message).coded("InvalidArgumentError")
    }

    /// Something asked for that is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Something the caller's key may not do.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// A file that is larger than is taken here.
    pub fn too_large(limit_bytes: u64) -> Self {
        let limit_mb = limit_bytes >> 20;
        let message = format!(
            "the file is larger than the {limit_mb} MB taken here; larger ones may go to the URL \
             that GET /api/v3/files/upload_url answers"
        );
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// Something that cannot be done as things stand.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message).coded("ConflictError")
    }

    /// Something that may work later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(5)
    }

    /// A fault of ours; the cause goes to the log, not to the client.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        error!(error = %cause, "A request failed");
        let message = "the request failed by a fault of the server; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// Replaces the code.
    pub const fn coded(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// Tells when to try again.
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Returns the status the failure is sent with.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns in how many seconds it may work, if that is known.
    pub const fn again_seconds(&self) -> Option<u64> {
        self.retry_after_seconds
    }

    /// Returns what is sent of it.
    pub fn into_body(self) -> ErrorBody {
        let error = ErrorDetail {
            code: self.code,
            message: self.message,
        };
        ErrorBody { error }
    }
}

/// Returns VirusTotal's code for a status.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "AuthenticationRequiredError",
        StatusCode::FORBIDDEN => "ForbiddenError",
        StatusCode::NOT_FOUND => "NotFoundError",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "DeadlineExceededError",
        StatusCode::CONFLICT => "AlreadyExistsError",
        StatusCode::PAYLOAD_TOO_LARGE => "InvalidArgumentError",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequestsError",
        status if status.is_server_error() => "TransientError",
        _ => "BadRequestError",
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, again) = (self.status, self.retry_after_seconds);
        let mut response = (status, Json(self.into_body())).into_response();
        if let Some(seconds) = again {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::DiskFull { .. } => no_room("the disk is full".to_owned()),
            StoreError::Behind { .. } | StoreError::Row { .. } | StoreError::Failed { .. } => {
                Self::internal(&error)
            }
        }
    }
}

impl From<IncomingError> for ApiError {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::DiskFull => no_room(error.to_string()),
            IncomingError::TooLarge { limit } => Self::too_large(limit),
            IncomingError::Io(cause) => Self::internal(&cause),
        }
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::NoRoom { .. } => no_room(error.to_string()),
            IngestError::UnknownEngine { .. } => Self::invalid_argument(error.to_string()),
            IngestError::NoEngine => Self::unavailable(error.to_string()),
            IngestError::Incoming(error) => error.into(),
            IngestError::Store(error) => error.into(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::UnknownEngine { .. } | Refusal::UnknownSet { .. } => Self::not_found(message),
            Refusal::Busy { .. } => Self::conflict(message).retry_after(10),
            Refusal::NoSignatures { .. } | Refusal::Held { .. } | Refusal::Impossible(_) => {
                Self::conflict(message)
            }
            Refusal::Store(error) => error.into(),
        }
    }
}

impl From<BundleError> for ApiError {
    fn from(error: BundleError) -> Self {
        let message = error.to_string();
        match error {
            BundleError::Malformed(_) | BundleError::Altered { .. } | BundleError::Forged => {
                Self::invalid_argument(message)
            }
            BundleError::Untrusted { .. } => Self::forbidden(message),
            BundleError::UnknownEngines(_) | BundleError::NotExportable { .. } => {
                Self::conflict(message)
            }
            BundleError::TooLarge { .. } => no_room(message),
            BundleError::Store(error) => error.into(),
            BundleError::Key(_) | BundleError::Io { .. } => Self::internal(&message),
        }
    }
}

/// There is no room for what would be kept.
pub fn no_room(message: String) -> ApiError {
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, message).retry_after(60)
}
