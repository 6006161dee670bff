//! Idle connections, by the generation of the container they come from.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// Generations remembered as replaced; their runners may still be dialing.
const MAX_FORGOTTEN: usize = 256;

/// A connection that said who it is, and its place among those that may be open.
#[derive(Debug)]
pub struct Connection {
    pub stream: UnixStream,
    pub place: OwnedSemaphorePermit,
    pub generation: String,
}

impl Connection {
    /// Tells whether the runner is still there and has said nothing unasked.
    fn is_idle(&self) -> bool {
        let mut byte = [0];
        match self.stream.try_read(&mut byte) {
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// The idle connections of one engine.
#[derive(Debug, Default)]
pub struct Pool {
    // Never held across an await.
    idle: Mutex<Idle>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Idle {
    by_generation: HashMap<String, Vec<Connection>>,
    forgotten: VecDeque<String>,
}

impl Pool {
    /// Takes a connection in, unless its container was replaced.
    pub fn put(&self, connection: Connection) {
        let mut idle = self.lock();
        if idle.forgotten.contains(&connection.generation) {
            return;
        }
        let generation = connection.generation.clone();
        idle.by_generation
            .entry(generation)
            .or_default()
            .push(connection);
        drop(idle);
        self.changed.notify_waiters();
    }

    /// Waits for a live connection of a generation.
    pub async fn take(&self, generation: &str) -> Connection {
        loop {
            // Registered before looking, so that one put in between is not missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(connection) = self.take_now(generation) {
                return connection;
            }
            changed.await;
        }
    }

    /// Closes the connections of a replaced container, now and later.
    pub fn forget(&self, generation: &str) {
        let mut idle = self.lock();
        idle.by_generation.remove(generation);
        if idle.forgotten.len() == MAX_FORGOTTEN {
            idle.forgotten.pop_front();
        }
        idle.forgotten.push_back(generation.to_owned());
    }

    /// Drops connections whose runner is gone.
    pub fn prune(&self) {
        let mut idle = self.lock();
        idle.by_generation.retain(|_, connections| {
            connections.retain(Connection::is_idle);
            !connections.is_empty()
        });
    }

    fn take_now(&self, generation: &str) -> Option<Connection> {
        let mut idle = self.lock();
        let connections = idle.by_generation.get_mut(generation)?;
        while let Some(connection) = connections.pop() {
            if connection.is_idle() {
                return Some(connection);
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
