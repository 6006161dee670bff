//! Uploads in parts: a session is opened for a file of a known length, each part goes on where the
//! last one ended, and the whole file is placed once.
//!
//! ```text
//! opened ──parts──→ whole ──placed──→ done: its answer is remembered for who did not hear it
//!    │                └── refused ──→ whole, to be placed again
//!    └── dropped, or nothing came for a day ──→ gone
//! ```
//!
//! What came before a connection broke counts: where the next part begins is the length of the
//! file on the disk. Only one request at a time adds to a session. Sessions survive a restart;
//! those that are done do not.

mod append;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::warn;

pub use append::{Appending, Hold};

use super::collection::Put;
use crate::model::{Analysis, EngineId, ItemPath, PublisherId, Reuse, Timestamp};
use crate::store::{Blobs, Found, IncomingError, Partial, Store};

/// How long a session waits for its next part.
pub const LIFETIME: Duration = Duration::from_secs(86400);
/// Sessions one caller has open at most.
pub const PER_OWNER: usize = 16;
/// Sessions all have open at most.
const IN_ALL: usize = 512;
/// How long nothing has come for a session that may make room for a new one.
const IDLE: Duration = Duration::from_secs(3600);
/// Sessions whose answer is remembered.
const DONE: usize = 256;

/// Why a session cannot be opened, or takes nothing.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It was dropped.
    #[error(
        "this upload session was dropped or has expired: open another, and send the file from its \
         beginning"
    )]
    Gone,
    /// The caller has as many as may be.
    #[error(
        "{PER_OWNER} upload sessions are open, which is as many as may be: finish or delete one"
    )]
    TooMany,
    /// All have as many as may be.
    #[error("too many upload sessions are open here; try again later")]
    Full,
    /// A part does not begin where the last one ended.
    #[error("the next part begins at byte {offset}")]
    Misplaced {
        /// Where it would.
        offset: u64,
    },
    /// Another request adds to the session.
    #[error("another request is adding to this upload session, so far to byte {offset}")]
    Busy {
        /// How far it is.
        offset: u64,
    },
    /// More came than was announced.
    #[error(
        "the part goes beyond the {size} bytes that were announced: for a longer file, open another \
         session"
    )]
    Beyond {
        /// What was announced.
        size: u64,
    },
    /// The part could not be stored.
    #[error(transparent)]
    Incoming(#[from] IncomingError),
}

/// What somebody wants to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Who sends it: `u:<user>` or `k:<key>`.
    pub owner: String,
    /// Bytes.
    pub size_bytes: u64,
    /// What becomes of it.
    pub target: Target,
    /// Since when.
    pub opened_at: Timestamp,
}

/// What becomes of a file once it is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Target {
    /// An item, or a new content of one.
    Item {
        /// Whose collection.
        publisher: PublisherId,
        /// Where in it.
        path: ItemPath,
    },
    /// It is scanned and belongs to no collection.
    Scan {
        /// The name it comes under.
        name: Option<String>,
        /// Which engines; all enabled ones if not given.
        engines: Option<BTreeSet<EngineId>>,
        /// Whether known answers count.
        reuse: Option<Reuse>,
    },
}

/// What became of a file.
#[derive(Debug)]
pub enum Placed {
    /// An item.
    Item(Box<Put>),
    /// An analysis.
    Scan(Box<Analysis>),
}

/// An upload in parts.
#[derive(Debug)]
pub struct Session {
    /// Its name, which nobody can guess.
    pub id: String,
    /// What is sent.
    pub draft: Draft,
    /// Bytes that are there.
    offset: AtomicU64,
    /// Milliseconds since 1970 when something was last done to it.
    touched: AtomicU64,
    /// Whether it was dropped.
    gone: AtomicBool,
    placed: OnceLock<Placed>,
    /// Held by the one who adds to it; nothing in it until the file was opened once.
    part: Arc<tokio::sync::Mutex<Option<Partial>>>,
}

/// All sessions.
#[derive(Debug)]
pub struct Uploads {
    blobs: Blobs,
    reserve_bytes: u64,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    open: BTreeMap<String, Arc<Session>>,
    done: VecDeque<Arc<Session>>,
}

impl Session {
    fn new(id: String, draft: Draft) -> Self {
        Self {
            offset: AtomicU64::new(0),
            touched: AtomicU64::new(draft.opened_at.millis()),
            gone: AtomicBool::new(false),
            placed: OnceLock::new(),
            part: Arc::default(),
            id,
            draft,
        }
    }

    /// Reads what is left of one; nothing if it makes no sense.
    fn restore(found: Found) -> Option<Self> {
        let draft: Draft = serde_json::from_slice(&found.note).ok()?;
        let modified = found.modified_at.duration_since(UNIX_EPOCH).ok()?;
        let session = Self::new(found.name, draft);
        session.offset.store(found.size_bytes, Ordering::Relaxed);
        let modified = modified.as_millis().try_into().ok()?;
        session.touched.store(modified, Ordering::Relaxed);
        (found.size_bytes <= session.draft.size_bytes).then_some(session)
    }

    /// Returns where the next part begins.
    pub fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// Notes that something was done to it.
    pub fn touch(&self, now: Timestamp) {
        self.touched.store(now.millis(), Ordering::Relaxed);
    }

    /// Returns when it goes if nothing more comes.
    pub fn expires_at(&self) -> Timestamp {
        self.touched_at().after(LIFETIME)
    }

    /// Returns what became of the file, once it was placed.
    pub fn placed(&self) -> Option<&Placed> {
        self.placed.get()
    }

    fn touched_at(&self) -> Timestamp {
        Timestamp::from_millis(self.touched.load(Ordering::Relaxed))
    }

    /// Tells whether nothing has been done to it for a while, and nothing is.
    fn is_idle(&self, (span, now): (Duration, Timestamp)) -> bool {
        now.since(self.touched_at()) >= span && self.part.try_lock().is_ok()
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

impl Uploads {
    /// Takes up the sessions there were, and removes what is of none. Blocks.
    pub fn open(store: &Store, reserve_mb: u64) -> Self {
        let blobs = store.blobs().clone();
        let found = blobs.uploads().unwrap_or_else(|error| {
            warn!(%error, "Cannot read which uploads are under way");
            Vec::new()
        });
        let mut open = BTreeMap::new();
        for found in found {
            let name = found.name.clone();
            match Session::restore(found) {
                Some(session) => drop(open.insert(name, Arc::new(session))),
                None => forget(&blobs, &name),
            }
        }
        let done = VecDeque::new();
        Self {
            blobs,
            reserve_bytes: reserve_mb << 20,
            sessions: Mutex::new(Sessions { open, done }),
        }
    }

    /// Opens a session under a name nobody can guess. If the caller has too many open, the one for
    /// which nothing came for longest makes room, unless that is not long.
    ///
    /// # Errors
    /// If there are too many, or it cannot be noted.
    pub async fn begin(&self, id: String, draft: Draft) -> Result<Arc<Session>, UploadError> {
        let now = draft.opened_at;
        self.sweep(now).await;
        let note = serde_json::to_vec(&draft).map_err(|error| IncomingError::Io(error.into()))?;
        let session = Arc::new(Session::new(id, draft));
        let displaced = self.admit(&session, now)?;
        if let Some(displaced) = displaced {
            self.discard(displaced).await;
        }
        let (blobs, name) = (self.blobs.clone(), session.id.clone());
        let noted = blocking(move || blobs.note_upload(&name, &note)).await;
        if let Err(error) = noted {
            self.remove(&session).await;
            return Err(error.into());
        }
        Ok(session)
    }

    /// Puts a session among the others; returns one that makes room for it.
    fn admit(
        &self,
        session: &Arc<Session>,
        now: Timestamp,
    ) -> Result<Option<Arc<Session>>, UploadError> {
        let mut sessions = self.lock();
        let open = &mut sessions.open;
        let is_own = |other: &&Arc<Session>| other.draft.owner == session.draft.owner;
        let (rivals, error): (Vec<_>, _) = if open.values().filter(is_own).count() >= PER_OWNER {
            let own = open.values().filter(is_own);
            (own.cloned().collect(), UploadError::TooMany)
        } else if open.len() >= IN_ALL {
            (open.values().cloned().collect(), UploadError::Full)
        } else {
            open.insert(session.id.clone(), Arc::clone(session));
            return Ok(None);
        };
        let idle = rivals
            .into_iter()
            .filter(|rival| rival.is_idle((IDLE, now)));
        let displaced = idle.min_by_key(|rival| rival.touched_at());
        let displaced = displaced.ok_or(error)?;
        open.remove(&displaced.id);
        open.insert(session.id.clone(), Arc::clone(session));
        Ok(Some(displaced))
    }

    /// Finds a session of somebody, also one that is done.
    pub fn find(&self, id: &str, owner: &str, now: Timestamp) -> Option<Arc<Session>> {
        let sessions = self.lock();
        let done = || sessions.done.iter().find(|session| session.id == id);
        let session = sessions.open.get(id).or_else(done);
        let session = session.filter(|session| session.draft.owner == owner);
        let session = session.filter(|session| !session.is_idle((LIFETIME, now)));
        session.cloned()
    }

    /// Returns the open sessions of somebody.
    pub fn of(&self, owner: &str, now: Timestamp) -> Vec<Arc<Session>> {
        let sessions = self.lock();
        let own = sessions.open.values();
        let own = own.filter(|session| session.draft.owner == owner);
        let own = own.filter(|session| !session.is_idle((LIFETIME, now)));
        own.cloned().collect()
    }

    /// Drops a session and what came of it. Who adds to it is told with the next part.
    pub async fn remove(&self, session: &Session) {
        let removed = {
            let mut sessions = self.lock();
            sessions.done.retain(|other| other.id != session.id);
            sessions.open.remove(&session.id)
        };
        if let Some(removed) = removed {
            self.discard(removed).await;
        }
    }

    /// Ends a session whose file was placed. The one who holds it is the one who placed it.
    pub async fn finish(&self, session: &Arc<Session>, placed: Placed) {
        // Only its holder gets here, and only once.
        let _ = session.placed.set(placed);
        let removed = {
            let mut sessions = self.lock();
            let removed = sessions.open.remove(&session.id);
            if let Some(session) = &removed {
                sessions.done.push_back(Arc::clone(session));
            }
            if sessions.done.len() > DONE {
                sessions.done.pop_front();
            }
            removed
        };
        if let Some(removed) = removed {
            self.discard(removed).await;
        }
    }

    /// Drops the sessions for which nothing came for too long.
    pub async fn sweep(&self, now: Timestamp) {
        let old = {
            let mut sessions = self.lock();
            let old = sessions.open.values();
            let old = old.filter(|session| session.is_idle((LIFETIME, now)));
            let old: Vec<_> = old.cloned().collect();
            for session in &old {
                sessions.open.remove(&session.id);
            }
            old
        };
        for session in old {
            self.discard(session).await;
        }
    }

    /// Removes the files of a session that is none any more.
    async fn discard(&self, session: Arc<Session>) {
        session.gone.store(true, Ordering::Relaxed);
        let blobs = self.blobs.clone();
        let removed = tokio::task::spawn_blocking(move || forget(&blobs, &session.id));
        if let Err(error) = removed.await {
            warn!(%error, "Cannot remove an upload");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(blobs: &Blobs, name: &str) {
    if let Err(error) = blobs.forget_upload(name) {
        warn!(name, %error, "Cannot remove an upload; it goes at the next start");
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IncomingError> + Send + 'static,
) -> Result<T, IncomingError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(IncomingError::Io(std::io::Error::other(error))))
}
