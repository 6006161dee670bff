//! Who wants a rescan, and why: requests wait here and become as few as can be.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::{EngineId, Reuse};

/// Longest reason kept when requests become one, in bytes.
const REASON: usize = 200;

/// One rescan that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Why, in one sentence.
    pub reason: String,
    /// By which engine; by all if not given.
    pub engine: Option<EngineId>,
    /// Whether known answers count.
    pub reuse: Reuse,
    /// Whether a person asked, and wants to see that there was nothing to do.
    pub ordered: bool,
}

/// The way to ask for rescans; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Rescans {
    waiting: Arc<Mutex<Vec<Request>>>,
    arrived: Arc<Notify>,
}

impl Rescans {
    /// Asks for a rescan of what was not yet looked at; never waits.
    ///
    /// What is asked for while one is planned becomes one rescan after it.
    pub fn request(&self, reason: String, engine: Option<EngineId>, reuse: Reuse) {
        self.add(Request {
            reason,
            engine,
            reuse,
            ordered: false,
        });
    }

    /// As [`Self::request`], for a person: leaves a row even if there is nothing to do.
    pub fn order(&self, engine: Option<EngineId>, reuse: Reuse) {
        self.add(Request {
            reason: "an administrator asked for it".to_owned(),
            engine,
            reuse,
            ordered: true,
        });
    }

    fn add(&self, request: Request) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |other: &&mut Request| {
            // Scans that need not be are made only by whom they were asked of.
            other.reuse == request.reuse
                && (request.reuse == Reuse::Known || other.engine == request.engine)
        };
        match waiting.iter_mut().find(same) {
            Some(other) => other.merge(request),
            None => waiting.push(request),
        }
        self.arrived.notify_one();
    }

    /// Takes the request that has waited longest.
    pub(super) fn take(&self) -> Option<Request> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        (!waiting.is_empty()).then(|| waiting.remove(0))
    }

    /// Waits until there may be a request.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl Request {
    fn merge(&mut self, other: Self) {
        if self.engine != other.engine {
            self.engine = None;
        }
        self.ordered |= other.ordered;
        if self.reason != other.reason && self.reason.len() + other.reason.len() < REASON {
            self.reason = format!("{}; {}", self.reason, other.reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(id: &str) -> Option<EngineId> {
        Some(id.parse().unwrap())
    }

    #[test]
    fn requests_become_one_but_no_engine_scans_in_vain() {
        let rescans = Rescans::default();
        rescans.request("a is new".to_owned(), engine("a"), Reuse::Known);
        rescans.order(engine("b"), Reuse::Never);
        rescans.request("b is new".to_owned(), engine("b"), Reuse::Known);
        rescans.order(engine("c"), Reuse::Never);
        let taken: Vec<_> = std::iter::from_fn(|| rescans.take()).collect();
        let short = |r: &Request| (r.engine.clone(), r.reuse, r.ordered);
        let expected = [
            (None, Reuse::Known, false),
            (engine("b"), Reuse::Never, true),
            (engine("c"), Reuse::Never, true),
        ];
        assert_eq!(taken.iter().map(short).collect::<Vec<_>>(), expected);
        assert_eq!(taken[0].reason, "a is new; b is new");
    }
}
