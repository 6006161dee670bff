//! Where administrators' orders about signatures are given: the API's way in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::courses::Courses;
use crate::model::{EngineId, SignatureSet, SignatureSetId, Update};
use crate::store::StoreError;

/// Why an order is not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such engine, or it is disabled.
    #[error("there is no enabled engine {engine}; `acquit engines list` shows those there are")]
    UnknownEngine {
        /// Its id.
        engine: EngineId,
    },
    /// The engine's signatures are a part of its image.
    #[error(
        "the signatures of {engine} are a part of its image: build it again with \
         `acquit engines build {engine}`"
    )]
    NoSignatures {
        /// Its id.
        engine: EngineId,
    },
    /// Another order for the engine is under way.
    #[error("an update of {engine} is under way; wait for its end")]
    Busy {
        /// Its id.
        engine: EngineId,
    },
    /// The active set is held.
    #[error(
        "the signatures of {engine} are held; release them with `acquit signatures release {engine}`"
    )]
    Held {
        /// Its id.
        engine: EngineId,
    },
    /// There is no such set.
    #[error(
        "{engine} has no signature set {set}; `acquit signatures list {engine}` shows those it has"
    )]
    UnknownSet {
        /// Its id.
        engine: EngineId,
        /// The set's id.
        set: SignatureSetId,
    },
    /// The set's files were removed, or there is no set before the active one.
    #[error("{0}")]
    Impossible(String),
    /// The rows could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One order for one engine.
#[derive(Debug)]
pub enum Order {
    /// Update now.
    Update(oneshot::Sender<Result<Update, Refusal>>),
    /// Go back to the set before, and hold it.
    Rollback(oneshot::Sender<Result<SignatureSet, Refusal>>),
    /// Put a set into service whatever the canary said.
    Promote(
        SignatureSetId,
        oneshot::Sender<Result<SignatureSet, Refusal>>,
    ),
    /// Keep the active set in service.
    Hold(oneshot::Sender<Result<SignatureSet, Refusal>>),
    /// Let updates go on.
    Release(oneshot::Sender<Result<SignatureSet, Refusal>>),
    /// Take an unpacked set as a candidate.
    Import {
        /// The directory with its files; the worker's once the order is accepted.
        work: PathBuf,
        /// The key that signed the bundle it came in.
        key: String,
        /// The update as it begins.
        answer: oneshot::Sender<Result<Update, Refusal>>,
    },
}

impl Order {
    /// Answers that it is not carried out.
    pub fn refuse(self, refusal: Refusal) {
        // Nobody may be waiting any more; that is no error.
        match self {
            Self::Update(answer) | Self::Import { answer, .. } => drop(answer.send(Err(refusal))),
            Self::Rollback(answer) | Self::Promote(_, answer) => drop(answer.send(Err(refusal))),
            Self::Hold(answer) | Self::Release(answer) => drop(answer.send(Err(refusal))),
        }
    }
}

/// The way in; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    engines: Arc<BTreeMap<EngineId, Option<mpsc::Sender<Order>>>>,
    courses: Courses,
}

impl Desk {
    /// Makes the desk of all enabled engines; those without signatures have no one to give orders to.
    pub fn new(engines: BTreeMap<EngineId, Option<mpsc::Sender<Order>>>, courses: Courses) -> Self {
        Self {
            engines: Arc::new(engines),
            courses,
        }
    }

    /// Returns the end of what an update has printed so far; nothing of one that is not under way.
    pub fn log(&self, engine: &EngineId, number: u64) -> Option<Vec<u8>> {
        self.courses.log(engine, number)
    }

    /// Begins an update; returns it as it begins.
    ///
    /// # Errors
    /// [`Refusal`], if it cannot begin.
    pub async fn update(&self, engine: &EngineId) -> Result<Update, Refusal> {
        self.order(engine, Order::Update).await
    }

    /// Goes back to the set before the active one, and holds it; returns it in service.
    ///
    /// # Errors
    /// [`Refusal`], if there is none or it does not start.
    pub async fn rollback(&self, engine: &EngineId) -> Result<SignatureSet, Refusal> {
        self.order(engine, Order::Rollback).await
    }

    /// Puts a set into service, whatever the canary said; returns it in service.
    ///
    /// # Errors
    /// [`Refusal`], if its files are gone or it does not start.
    pub async fn promote(
        &self,
        engine: &EngineId,
        set: SignatureSetId,
    ) -> Result<SignatureSet, Refusal> {
        self.order(engine, |answer| Order::Promote(set, answer))
            .await
    }

    /// Keeps the active set in service until released; returns it.
    ///
    /// # Errors
    /// [`Refusal`], if the engine has none.
    pub async fn hold(&self, engine: &EngineId) -> Result<SignatureSet, Refusal> {
        self.order(engine, Order::Hold).await
    }

    /// Lets updates go on; returns the active set.
    ///
    /// # Errors
    /// [`Refusal`], if the engine has none.
    pub async fn release(&self, engine: &EngineId) -> Result<SignatureSet, Refusal> {
        self.order(engine, Order::Release).await
    }

    /// Begins an update with the set in a directory; returns it as it begins.
    ///
    /// # Errors
    /// [`Refusal`], if it cannot begin; the directory is the caller's then.
    pub async fn import(
        &self,
        engine: &EngineId,
        work: PathBuf,
        key: String,
    ) -> Result<Update, Refusal> {
        let order = |answer| Order::Import { work, key, answer };
        self.order(engine, order).await
    }

    async fn order<T>(
        &self,
        engine: &EngineId,
        order: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Order,
    ) -> Result<T, Refusal> {
        let known = self.engines.get(engine);
        let engine = || engine.clone();
        let known = known.ok_or_else(|| Refusal::UnknownEngine { engine: engine() })?;
        let known = known.as_ref();
        let worker = known.ok_or_else(|| Refusal::NoSignatures { engine: engine() })?;
        let (answer, answered) = oneshot::channel();
        // A worker in the middle of something does not read: whoever waits is told so at once.
        if worker.try_send(order(answer)).is_err() {
            return Err(Refusal::Busy { engine: engine() });
        }
        answered.await.unwrap_or_else(|_| {
            let reason = "the daemon is ending".to_owned();
            Err(Refusal::Impossible(reason))
        })
    }
}
