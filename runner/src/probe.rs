//! Tries to break out, and reports what held.
pub mod memory;
use crate::args::Limits;
use std::process::ExitCode;
/// x
pub fn run(_limits: &Limits) -> ExitCode {
    ExitCode::SUCCESS
}
