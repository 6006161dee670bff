//! Tries to break out of the container, and reports what held.
//!
//! Flags that Docker silently ignores are found only this way. Every attempt is
//! total and bounded: what cannot be tried has not been proven, and so has not
//! held.

mod files;
pub mod memory;
mod network;
mod privileges;
mod processes;

use std::process::ExitCode;

use serde::Serialize;

use crate::args::Limits;

/// One attempt, in the daemon's words.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was tried.
    pub name: String,
    /// Whether the sandbox held.
    pub held: bool,
    /// What was seen, in one sentence.
    pub seen: String,
}

impl Check {
    /// Makes a check of its three parts.
    pub fn new(name: &str, held: bool, seen: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            held,
            seen: seen.into(),
        }
    }
}

/// Tries everything and prints one JSON array.
pub fn run(limits: &Limits) -> ExitCode {
    let mut checks = network::checks();
    checks.extend(files::checks());
    checks.extend(privileges::checks());
    checks.push(processes::check(limits.pids));
    checks.extend(memory::checks(limits.memory_mb));
    match serde_json::to_string(&checks) {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("acquit-runner: {error}");
            ExitCode::FAILURE
        }
    }
}
