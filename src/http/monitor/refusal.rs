//! Why something cannot be done to a collection, in VirusTotal's codes.

use axum::http::StatusCode;

use super::super::error::ApiError;
use super::address::missing;
use crate::flow::collection::CollectionError;
use crate::model::{ItemId, ItemPath, PublisherId};

/// Words a refusal of what was asked of an item.
pub fn of(error: CollectionError, id: &ItemId) -> ApiError {
    let message = error.to_string();
    match error {
        CollectionError::UnknownPublisher { .. } => missing(id),
        CollectionError::NotFound { path } => {
            let publisher = id.publisher.clone();
            missing(&ItemId { publisher, path })
        }
        CollectionError::NotInTrash { .. } => ApiError::not_found(message),
        CollectionError::Occupied { .. } => ApiError::new(StatusCode::CONFLICT, message),
        CollectionError::BytesExhausted { .. } | CollectionError::FilesExhausted { .. } => {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, message).coded("QuotaExceededError")
        }
        CollectionError::IntoItself { .. }
        | CollectionError::WrongKind { .. }
        | CollectionError::Path(_)
        | CollectionError::Invalid(_) => ApiError::invalid_argument(message),
        CollectionError::Busy { .. } => ApiError::conflict(message).retry_after(2),
        CollectionError::Ingest(error) => too_large(error.into()),
        CollectionError::Store(error) => error.into(),
    }
}

/// Words a refusal of what was asked of a whole collection.
pub fn of_collection(error: CollectionError, publisher: &PublisherId) -> ApiError {
    if matches!(error, CollectionError::UnknownPublisher { .. }) {
        let name = publisher.as_str();
        // The words of a publisher the caller may not see.
        return ApiError::not_found(format!("publisher {name:?} not found"));
    }
    let id = ItemId {
        publisher: publisher.clone(),
        path: ItemPath::root(),
    };
    of(error, &id)
}

/// Names the upload URL of collections to who sent too much.
pub fn too_large(error: ApiError) -> ApiError {
    if error.status() != StatusCode::PAYLOAD_TOO_LARGE {
        return error;
    }
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the file is larger than is taken here; larger ones may go to the URL that GET \
         /api/v3/monitor/items/upload_url answers",
    )
}
