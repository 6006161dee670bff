//! Which containers have an owner in this process; any other of ours is a leftover.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Generations of containers that somebody here looks after; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Led {
    generations: Arc<Mutex<HashSet<String>>>,
}

impl Led {
    /// Takes a container under an owner, before it is made.
    pub fn add(&self, generation: &str) {
        self.lock().insert(generation.to_owned());
    }

    /// Gives it up, after it was removed.
    pub fn remove(&self, generation: &str) {
        self.lock().remove(generation);
    }

    /// Tells whether a container has an owner.
    pub fn contains(&self, generation: &str) -> bool {
        self.lock().contains(generation)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
