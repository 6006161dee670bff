//! The way of a file: taken in, queued, scanned, recorded.

pub mod analysis;
pub mod ingest;
pub mod queue;
