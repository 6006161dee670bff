//! The way from a broker to the Docker Engine, through a socket of the test's, which can be cut.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// A socket behind which the Docker Engine is, as long as the value lives.
pub struct Cable {
    path: PathBuf,
    _relay: JoinSet<()>,
}

impl Cable {
    /// Plugs it in at a path.
    pub fn plug(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
        let mut relay = JoinSet::new();
        relay.spawn(relay_all(listener));
        Self {
            path: path.to_owned(),
            _relay: relay,
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}

async fn relay_all(listener: UnixListener) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut docker = UnixStream::connect("/var/run/docker.sock").await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut docker).await;
        });
    }
}
