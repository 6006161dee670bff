//! Everything that is tested from outside, in one binary: linked once.

mod broker;
mod cli;
mod flow;
mod http;
mod machine;
mod runner;
mod sandbox;
mod support;
mod tidy;
mod vt_py;
