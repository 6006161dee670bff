//! Everything that is tested from outside, in one binary: linked once.

mod broker;
mod cli;
mod engines;
mod faults;
mod flow;
mod http;
mod machine;
mod parsers;
mod runner;
mod sandbox;
mod support;
mod system;
mod tidy;
mod vt_py;
