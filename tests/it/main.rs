//! Everything that is tested from outside, in one binary: linked once.

mod broker;
mod machine;
mod sandbox;
mod system;
mod tidy;
