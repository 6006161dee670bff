//! The way of a file: taken in, queued, scanned, recorded.

pub mod analysis;
pub mod board;
pub mod events;
pub mod gate;
pub mod ingest;
pub mod keeper;
pub mod leftovers;
pub mod queue;
pub mod raw;
pub mod scan;
pub mod timeline;
