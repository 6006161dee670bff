//! How many streams of a key are open: each holds a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;

use crate::http::App;
use crate::http::error::ApiError;
use crate::model::KeyId;

/// Most streams of one key.
const MOST: usize = 32;
/// After how many seconds one who has too many may try again.
const AGAIN_SECONDS: u64 = 5;

/// The streams that are open, by whose they are.
#[derive(Debug, Default)]
pub struct Streams(Mutex<HashMap<KeyId, usize>>);

/// One stream's place among them, free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    app: Arc<App>,
    holder: KeyId,
}

impl Place {
    /// Takes a place.
    ///
    /// # Errors
    /// If there is none left.
    pub fn take(app: &Arc<App>, holder: &KeyId) -> Result<Self, ApiError> {
        let mut open = app.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(holder.clone()).or_default();
        if *count >= MOST {
            let message = format!("{MOST} streams of this key are open; close one first");
            let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, message);
            return Err(error.retry_after(AGAIN_SECONDS));
        }
        *count += 1;
        Ok(Self {
            app: Arc::clone(app),
            holder: holder.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let streams = &self.app.streams.0;
        let mut open = streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.holder);
            }
        }
    }
}
