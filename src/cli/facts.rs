//! `acquit read-facts`: reads one file for what it says of itself, in a process of its own.

use std::path::PathBuf;

use super::exit::Exit;
use super::text::emit_json_line;
use crate::daemon::facts;

/// By whom signers are trusted.
#[derive(Debug, clap::Args)]
pub struct FactsArguments {
    /// PEM file, or directory of them, with certificates of trusted authorities
    #[arg(long, value_name = "PATH")]
    roots: Vec<PathBuf>,
}

/// Reads the file on standard input; prints one JSON document.
///
/// # Errors
/// If the answer cannot be printed.
pub fn run(arguments: &FactsArguments) -> anyhow::Result<Exit> {
    match facts::read(&arguments.roots) {
        Ok(found) => emit_json_line(&found).map(|()| Exit::Fine),
        Err(error) => {
            eprintln!("acquit: {error:#}");
            Ok(Exit::Unconfined)
        }
    }
}
