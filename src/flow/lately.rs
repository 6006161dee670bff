//! Figures that take longer to make than a request may: kept, and made again behind its back.
//!
//! ```text
//! nothing yet ──asked──→ being made ──→ made ──asked, and old enough──→ being made ──→ …
//!                             └─ whoever asks waits a moment, then takes what there was
//! ```
//!
//! What is made quickly is made anew for everybody who asks; what takes a while costs at most a
//! twentieth of one processor, and is made once a minute however long it takes.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::error;

use crate::store::StoreError;

/// What takes no longer is made whenever somebody asks, if nothing else is said.
pub const QUICK: Duration = Duration::from_millis(25);
/// How many times as long as making it took it may be kept, and how long at most.
const KEPT: (u32, Duration) = (20, Duration::from_secs(60));

/// The figures; clones share them.
pub struct Lately<T>(Arc<Inner<T>>);

struct Inner<T> {
    made: watch::Sender<Option<Arc<T>>>,
    state: Mutex<State>,
    quick: Duration,
}

/// How making them fares.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Whether they are being made now.
    busy: bool,
    /// When they were last begun, and how long that took; nothing if it was never done.
    last: Option<(Instant, Duration)>,
}

impl State {
    /// Tells whether what was made last will do for somebody who came at that time.
    fn is_fresh(&self, asked: Instant, quick: Duration) -> bool {
        self.last.is_some_and(|(began, took)| match took > quick {
            true => began + took + (took * KEPT.0).min(KEPT.1) > asked,
            false => began >= asked,
        })
    }
}

impl<T> Inner<T> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Lately<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Self::new(QUICK)
    }
}

impl<T> Lately<T> {
    /// Keeps only what takes longer to make than that.
    fn new(quick: Duration) -> Self {
        Self(Arc::new(Inner {
            made: watch::Sender::new(None),
            state: Mutex::default(),
            quick,
        }))
    }
}

impl<T> fmt::Debug for Lately<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lately").field(&*self.0.state()).finish()
    }
}

impl<T: Send + Sync + 'static> Lately<T> {
    /// Returns the figures, as new as they are to be had within `patience`; nothing if there are
    /// none by then. `make` blocks; it may make nothing when it is told to end.
    pub async fn get<F>(&self, make: F, patience: Duration) -> Option<Arc<T>>
    where
        F: Fn() -> Result<Option<T>, StoreError> + Clone + Send + 'static,
    {
        let (asked, mut made) = (Instant::now(), self.0.made.subscribe());
        while self.begin(asked, &make) {
            if timeout_at(asked + patience, made.changed()).await.is_err() {
                break;
            }
        }
        let made = self.0.made.borrow();
        made.clone()
    }

    /// Returns what was made last, of any age, and makes it anew behind the caller's back if it is
    /// old; what was quick, or never was made, is made now. For those who may block, on a thread
    /// of the runtime's.
    ///
    /// # Errors
    /// Those of `make`, if it is called now.
    pub fn get_blocking<F>(&self, make: F) -> Result<Arc<T>, StoreError>
    where
        F: Fn() -> Result<T, StoreError> + Clone + Send + 'static,
    {
        if let Some(kept) = self.kept() {
            self.begin(Instant::now(), &move || make().map(Some));
            return Ok(kept);
        }
        let mut work = Work::begin(&self.0);
        let made = Arc::new(make()?);
        work.made = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Returns what was made last, if that took a while.
    fn kept(&self) -> Option<Arc<T>> {
        let last = self.0.state().last;
        let (_, took) = last?;
        let made = self.0.made.borrow();
        made.clone().filter(|_| took > self.0.quick)
    }

    /// Begins to make them if nobody does; tells whether they are worth waiting for.
    fn begin<F>(&self, asked: Instant, make: &F) -> bool
    where
        F: Fn() -> Result<Option<T>, StoreError> + Clone + Send + 'static,
    {
        let mut state = self.0.state();
        if state.is_fresh(asked, self.0.quick) {
            return false;
        }
        if !std::mem::replace(&mut state.busy, true) {
            let work = Work::begin(&self.0);
            let make = make.clone();
            tokio::task::spawn_blocking(move || work.run(make));
        }
        true
    }
}

/// Figures of each of many, as far as anybody asks for them.
#[derive(Debug)]
pub struct LatelyBy<K, T> {
    all: Mutex<HashMap<K, Lately<T>>>,
    most: usize,
    quick: Duration,
}

impl<K: Clone + Eq + Hash, T> LatelyBy<K, T> {
    /// Keeps those of so many; when there are more, all are made anew.
    #[must_use]
    pub fn new(most: usize, quick: Duration) -> Self {
        let all = Mutex::default();
        Self { all, most, quick }
    }

    /// Returns those of one.
    pub fn of(&self, key: &K) -> Lately<T> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= self.most && !all.contains_key(key) {
            all.clear();
        }
        let lately = all.entry(key.clone());
        lately.or_insert_with(|| Lately::new(self.quick)).clone()
    }
}

/// Figures that are being made; however that ends, others may try.
struct Work<T> {
    inner: Arc<Inner<T>>,
    began: Instant,
    made: Option<Arc<T>>,
}

impl<T> Work<T> {
    fn begin(inner: &Arc<Inner<T>>) -> Self {
        Self {
            inner: Arc::clone(inner),
            began: Instant::now(),
            made: None,
        }
    }

    fn run(mut self, make: impl Fn() -> Result<Option<T>, StoreError>) {
        // It may have waited for a thread; nothing was read before now.
        self.began = Instant::now();
        match make() {
            Ok(made) => self.made = made.map(Arc::new),
            Err(error) => error!(%error, "Cannot make figures anew"),
        }
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        state.busy = false;
        // A failure, too, is not tried again at once.
        state.last = Some((self.began, self.began.elapsed()));
        drop(state);
        let made = self.made.take();
        // Who waits is woken in any case.
        self.inner.made.send_modify(|last| {
            if made.is_some() {
                *last = made;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// Figures that count how often they were made, and take so long.
    fn counting(took: Duration) -> impl Fn() -> Result<Option<u64>, StoreError> + Clone {
        let count = Arc::new(AtomicU64::new(0));
        move || {
            std::thread::sleep(took);
            Ok(Some(count.fetch_add(1, Ordering::Relaxed) + 1))
        }
    }

    #[tokio::test]
    async fn what_is_quick_is_new_for_everybody_who_asks() {
        let (lately, make) = (Lately::new(LONG), counting(Duration::ZERO));
        assert_eq!(lately.get(make.clone(), LONG).await.as_deref(), Some(&1));
        assert_eq!(lately.get(make, LONG).await.as_deref(), Some(&2));
    }

    #[tokio::test]
    async fn what_takes_a_while_is_kept_and_nobody_waits_for_it_for_long() {
        let (lately, make) = (Lately::default(), counting(QUICK * 8));
        let short = Duration::from_millis(1);
        assert_eq!(lately.get(make.clone(), short).await, None);
        assert_eq!(lately.get(make.clone(), LONG).await.as_deref(), Some(&1));
        assert_eq!(lately.get(make, LONG).await.as_deref(), Some(&1));
    }

    #[tokio::test]
    async fn who_may_block_gets_what_there_is_and_it_is_made_anew_behind_them() {
        let (lately, count) = (Lately::new(Duration::ZERO), counting(QUICK));
        let make = move || Ok(count()?.unwrap_or_default());
        assert_eq!(*lately.get_blocking(make.clone()).unwrap(), 1);
        assert_eq!(*lately.get_blocking(make.clone()).unwrap(), 1);
        let mut made = lately.0.made.subscribe();
        // Twenty times as long as it took, it is old.
        tokio::time::sleep(QUICK * (KEPT.0 + 4)).await;
        assert_eq!(*lately.get_blocking(make.clone()).unwrap(), 1);
        made.changed().await.unwrap();
        assert_eq!(*lately.get_blocking(make).unwrap(), 2);
    }

    #[tokio::test]
    async fn what_was_quick_is_made_anew_for_those_who_may_block() {
        let (lately, count) = (Lately::new(LONG), counting(Duration::ZERO));
        let make = move || Ok(count()?.unwrap_or_default());
        assert_eq!(*lately.get_blocking(make.clone()).unwrap(), 1);
        assert_eq!(*lately.get_blocking(make).unwrap(), 2);
    }

    #[tokio::test]
    async fn failure_leaves_what_there_was_and_is_tried_again() {
        let lately = Lately::new(LONG);
        let failed = || {
            Err(StoreError::Failed {
                reason: "the disk".to_owned(),
            })
        };
        assert_eq!(lately.get(failed, LONG).await, None);
        let make = counting(Duration::ZERO);
        assert_eq!(lately.get(make, LONG).await.as_deref(), Some(&1));
        assert_eq!(lately.get(failed, LONG).await.as_deref(), Some(&1));
    }
}
