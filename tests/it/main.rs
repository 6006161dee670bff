//! Every integration test, in one binary.

mod engines;
mod parsers;
