//! The way of a file: taken in, queued, scanned, recorded, compared, told to those it concerns.

pub mod analysis;
pub mod board;
pub mod collection;
pub mod dispute;
pub mod doom;
pub mod events;
pub mod facts;
pub mod gate;
pub mod incident;
pub mod ingest;
pub mod keeper;
pub mod known;
pub mod label;
pub mod leftovers;
pub mod lookout;
pub mod mail;
pub mod notify;
pub mod policy;
pub mod queue;
pub mod raw;
pub mod scan;
pub mod standing;
pub mod statistics;
pub mod tally;
pub mod timeline;
pub mod vendor;
