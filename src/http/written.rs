//! Answers that are written while they are read: they take no more memory for a million rows than
//! for ten. What fails on the way cuts the answer off: a client sees that it is not whole.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::error;

use super::App;
use super::error::ApiError;

/// Blocks that wait for a client that is slow to take them.
const AHEAD: usize = 4;

/// Where an answer is written to; what comes after an error is not sent.
#[derive(Clone, Debug)]
pub struct Outlet(mpsc::Sender<io::Result<Bytes>>);

impl Outlet {
    /// Sends a block; tells whether anybody still takes them. Blocks.
    pub fn send(&self, block: Bytes) -> bool {
        self.0.blocking_send(Ok(block)).is_ok()
    }

    /// Ends an answer that is not whole so that the client sees it. Blocks.
    pub fn cut_off(&self, why: &dyn std::fmt::Display) {
        error!(error = %why, "An answer was cut off");
        let _ = self.0.blocking_send(Err(io::Error::other(why.to_string())));
    }
}

impl io::Write for Outlet {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        match self.send(Bytes::copy_from_slice(block)) {
            true => Ok(block.len()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a place among the few answers that are written at the same time.
///
/// # Errors
/// If there is none.
pub fn place(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    let place = Arc::clone(&app.exports).try_acquire_owned();
    place.map_err(|_| {
        ApiError::unavailable("too many exports are being written; try again").retry_after(10)
    })
}

/// Returns the body of an answer that `write` writes on a thread where it may block.
pub fn body(place: OwnedSemaphorePermit, write: impl FnOnce(Outlet) + Send + 'static) -> Body {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        write(Outlet(sender));
        drop(place);
    });
    let blocks = futures_util::stream::unfold(receiver, |mut receiver| async {
        let block = receiver.recv().await?;
        Some((block, receiver))
    });
    Body::from_stream(blocks)
}
