//! The socket all containers of one engine dial.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acquit_runner::wire::{Hello, PROTOCOL, SOCKET_NAME};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::pool::{Connection, Pool};
use super::session::Session;
use super::wire;

/// Connections open at the same time, those at work included.
const MAX_CONNECTIONS: usize = 64;
/// How long a runner may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait when the socket cannot accept, e.g. for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The daemon's end: a socket all containers of one engine dial.
#[derive(Debug)]
pub struct RunnerPort {
    listener: UnixListener,
    places: Arc<Semaphore>,
    pool: Arc<Pool>,
}

impl RunnerPort {
    /// Listens in a directory that the engine's containers see read-only.
    ///
    /// The directory is made if needed, but never replaced: running containers
    /// hold on to it, and would not see the socket in a new one.
    ///
    /// # Errors
    /// If the directory or the socket cannot be made.
    pub fn bind(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        fs::set_permissions(dir, Permissions::from_mode(0o755))?;
        let path = dir.join(SOCKET_NAME);
        remove_stale(&path)?;
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        Ok(Self {
            listener,
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            pool: Arc::default(),
        })
    }

    /// Accepts for ever; dropping the future loses no idle connection.
    pub async fn serve(&self) {
        let mut greetings = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.admit(stream, &mut greetings),
                    Err(error) => {
                        warn!(%error, "Cannot accept a runner");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = greetings.join_next() => {}
            }
        }
    }

    /// Waits for an idle connection of that generation.
    pub async fn session(&self, generation: &str) -> Session {
        let connection = self.pool.take(generation).await;
        Session::new(connection, Arc::clone(&self.pool))
    }

    /// Closes the idle connections of a replaced container, and those it still dials.
    pub fn forget(&self, generation: &str) {
        self.pool.forget(generation);
    }

    fn admit(&self, stream: UnixStream, greetings: &mut JoinSet<()>) {
        let free = || Arc::clone(&self.places).try_acquire_owned().ok();
        let place = free().or_else(|| {
            self.pool.prune();
            free()
        });
        let Some(place) = place else {
            debug!("Too many runner connections, one was closed");
            return;
        };
        greetings.spawn(greet(stream, place, Arc::clone(&self.pool)));
    }
}

/// Hears who it is and takes the connection into the pool.
async fn greet(mut stream: UnixStream, place: OwnedSemaphorePermit, pool: Arc<Pool>) {
    let hello: Hello = match timeout(HELLO_TIMEOUT, wire::read(&mut stream)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => return debug!(%error, "A runner did not say who it is"),
        Err(_) => return debug!("A runner did not say in time who it is"),
    };
    if hello.protocol != PROTOCOL || hello.generation.len() > 64 {
        return warn!(
            protocol = hello.protocol,
            "A runner speaks another protocol than this daemon's {PROTOCOL}"
        );
    }
    pool.put(Connection {
        stream,
        place,
        generation: hello.generation,
    });
}

/// Removes the socket of a daemon that is gone, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something at the socket's path that is no socket",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
