//! How many engines a count stands on, as several pages show it.

use serde::Deserialize;

/// What became of the engines that were asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Coverage {
    /// Said something of the content.
    pub answered: u64,
    /// Do not look into such files.
    #[serde(default)]
    pub unsupported: u64,
    /// Were asked.
    pub enabled: u64,
}

impl Coverage {
    /// Returns how many failed, or have not answered.
    pub fn owed(self) -> u64 {
        self.enabled
            .saturating_sub(self.answered + self.unsupported)
    }

    /// Returns of how many engines so many detect it: of those that said something, and of those
    /// whose detection still stands although they have not answered since.
    pub fn of(self, found: u64) -> u64 {
        self.answered.max(found)
    }
}
