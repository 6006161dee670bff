//! The integration tests, in one binary because each further one links the crate again.

mod runner;
mod support;
