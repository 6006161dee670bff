//! The daemon: opens, wires, supervises and drains everything.

use std::path::Path;

/// Runs the daemon until it is told to end.
///
/// # Errors
/// If it cannot start.
pub fn serve(config_path: &Path) -> anyhow::Result<()> {
    anyhow::bail!(
        "cannot serve {}: this build has no daemon",
        config_path.display()
    )
}
