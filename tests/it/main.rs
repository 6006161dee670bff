//! Everything that is tested from outside, in one binary: linked once.

mod http;
mod tidy;
