//! Acquit: a self-hosted VirusTotal Monitor. This page is the map of the code.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod flow;
pub mod http;
pub mod metrics;
pub mod model;
pub mod nightly;
pub mod store;
pub mod system;
