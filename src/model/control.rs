//! What an administrator asks of the running daemon.

use serde::{Deserialize, Serialize};

use super::EngineId;

/// Whether an answer that is known already may stand for a new scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// The same engine, image and signature set have answered on the same bytes: that is the answer.
    Known,
    /// Scan again, whatever is known.
    Never,
}

/// One order of an administrator, carried out by the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Analyze every blob again, with the priority of the night.
    Rescan {
        /// By this engine only; by all enabled ones if not given.
        engine: Option<EngineId>,
        /// Whether known answers count.
        reuse: Reuse,
    },
    /// Replace an engine's container.
    Restart {
        /// Which.
        engine: EngineId,
    },
}
