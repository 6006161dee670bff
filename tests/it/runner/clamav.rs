//! The real clamd, reached through the runner, with the signatures that are shipped.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use acquit::engine::clamd;
use acquit::engine::runner::DialError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::container::{Container, Image};

const SOCKET: &str = "/tmp/clamd.sock";
const WAIT: Duration = Duration::from_secs(20);
const ROUNDS: usize = 200;

fn start() -> Container {
    let arguments = ["--connections", "4", "--daemon", "--", "clamd"];
    Container::start_image(Image::CLAMAV, &arguments)
}

async fn dial(container: &Container) -> UnixStream {
    for _ in 0..500 {
        match container.session().await.dial(SOCKET).await {
            Ok(stream) => return stream,
            Err(DialError::Refused { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("clamd does not listen");
}
