//! Whom a scanner asks: an engine in a container of its own, or a server outside.
//!
//! The two share what they are asked and how their answers are read, and nothing
//! else: only the first has a container, an image and a proof that its sandbox
//! holds; only of the second it is written down what leaves.

use std::sync::Arc;
use std::time::Duration;

use super::ask::Engine;
use super::manifest::Manifest;
use super::outside::Outside;

/// Whom a scanner asks.
#[derive(Clone, Debug)]
pub enum Respondent {
    /// An engine in a container of its own.
    Contained(Arc<Engine>),
    /// A server somewhere else.
    Outside(Arc<Outside>),
}

impl Respondent {
    /// Returns what describes it.
    pub fn manifest(&self) -> &Manifest {
        match self {
            Self::Contained(engine) => &engine.manifest,
            Self::Outside(outside) => &outside.manifest,
        }
    }

    /// Returns how many files a batch may have. Outside it is one, so that a line of the ledger is
    /// written for each when it goes, and not before.
    pub fn most_files(&self) -> u64 {
        match self {
            Self::Contained(engine) => engine.most_files(),
            Self::Outside(_) => 1,
        }
    }

    /// Returns how long a batch of so many files may take.
    pub fn deadline(&self, files: u64) -> Duration {
        match self {
            Self::Contained(engine) => engine.deadline(files),
            Self::Outside(outside) => outside.deadline(),
        }
    }
}
