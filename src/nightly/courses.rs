//! The updates under way, as those see them who watch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::updater::Course;
use crate::model::{EngineId, Update};

/// The update under way of each engine; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Courses {
    // Never held across an await.
    under_way: Arc<Mutex<BTreeMap<EngineId, (u64, Course)>>>,
}

impl Courses {
    /// Begins to show an update; returns where is written how it goes.
    pub fn begin(&self, update: &Update) -> Course {
        let course = Course::default();
        let entry = (update.number, course.clone());
        self.lock().insert(update.engine.clone(), entry);
        course
    }

    /// Ends it: from here on its row says all.
    pub fn end(&self, engine: &EngineId) {
        self.lock().remove(engine);
    }

    /// Returns the end of what an update under way has printed; nothing if there is nothing.
    pub fn log(&self, engine: &EngineId, number: u64) -> Option<Vec<u8>> {
        let under_way = self.lock();
        let (of, course) = under_way.get(engine)?;
        let log = (*of == number).then(|| course.log())?;
        (!log.is_empty()).then_some(log)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EngineId, (u64, Course)>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
