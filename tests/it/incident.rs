//! Standings and incidents follow what engines say, whatever order it comes in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod api;
mod follow;
mod list;
pub mod scene;
