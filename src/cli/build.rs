//! `acquit engines build` and the broker: what talks to Docker, as root, without the daemon.

use super::Context;
use super::exit::Exit;
use crate::model::EngineId;

/// Which images to build.
#[derive(Debug, clap::Args)]
pub struct BuildArguments {
    /// Engines to build
    #[arg(value_name = "ID", required_unless_present_any = ["all", "missing"])]
    ids: Vec<EngineId>,
    /// Build every engine's image
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Build those that have no image yet
    #[arg(long)]
    missing: bool,
}

/// How the broker is reached.
#[derive(Debug, clap::Args)]
pub struct BrokerArguments {
    /// Serve the socket that is standard input
    #[arg(long)]
    stdin: bool,
}

/// Builds images.
///
/// # Errors
/// If there is no Docker or no such engine.
pub fn run(context: &Context, arguments: BuildArguments) -> anyhow::Result<Exit> {
    let _ = context;
    anyhow::bail!("cannot build {arguments:?}: this build has no broker")
}

/// Serves the broker's verbs until its client goes.
///
/// # Errors
/// If it cannot start.
pub fn broker(context: &Context, arguments: &BrokerArguments) -> anyhow::Result<Exit> {
    let _ = context;
    anyhow::bail!("cannot serve {arguments:?}: this build has no broker")
}
