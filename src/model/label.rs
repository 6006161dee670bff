//! One family name out of what several engines call a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DetectionName, EngineId, Timestamp};

/// What a labeler made of the engines' names for a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The family, e.g. `wannacry`.
    pub family: DetectionName,
    /// The names it was made of.
    pub names: BTreeMap<EngineId, DetectionName>,
    /// Who made it.
    pub labeler: EngineId,
    /// When.
    pub at: Timestamp,
}
