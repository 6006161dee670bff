//! Engines: what they are, the sandbox they run in, how they are asked and how
//! their answers are read.

pub mod clamd;
pub mod manifest;
pub mod parser;
pub mod runner;
pub mod sandbox;
