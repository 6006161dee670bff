//! x
use std::process::ExitCode;
/// x
pub fn touch(_mebibytes: u64) -> ExitCode {
    ExitCode::SUCCESS
}
