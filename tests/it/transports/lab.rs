//! A server that plays a script, and the one question it is asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use acquit::engine::manifest::Manifest;
use acquit::engine::outside::{Files, Outside, Told};
use acquit::model::{Sha256, Verdict};
use sha2::Digest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

/// What a server does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// It waits until it has heard this.
    Hear(&'static str),
    /// It waits for so many bytes.
    Take(usize),
    /// It says something; `PATH` is the last word of the line it heard last.
    Say(Vec<u8>),
    /// It says nothing any more and stays.
    Hang,
}

pub fn say(text: &str) -> Step {
    Step::Say(text.as_bytes().to_vec())
}

/// A server that plays the same script to everybody, and what it heard from each.
pub struct Server {
    pub address: String,
    pub heard: Arc<Mutex<Vec<Vec<u8>>>>,
    _dir: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Listens over TCP.
    pub async fn tcp(script: Vec<Step>) -> Self {
        Self::tcp_scripts(vec![script]).await
    }

    /// Listens over TCP; each connection has the next script, the last one for all others.
    pub async fn tcp_scripts(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (mut tasks, log) = (JoinSet::new(), Arc::clone(&heard));
        tasks.spawn(async move {
            let mut players = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let script = scripts[number.min(scripts.len() - 1)].clone();
                players.spawn(play(stream, script, Arc::clone(&log)));
            }
        });
        Self {
            address: address.to_string(),
            heard,
            _dir: tempfile::tempdir().unwrap(),
            _tasks: tasks,
        }
    }

    /// Listens at a socket of this machine.
    pub async fn unix(script: Vec<Step>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (mut tasks, log) = (JoinSet::new(), Arc::clone(&heard));
        tasks.spawn(async move {
            let mut players = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                players.spawn(play(stream, script.clone(), Arc::clone(&log)));
            }
        });
        Self {
            address: path.display().to_string(),
            heard,
            _dir: dir,
            _tasks: tasks,
        }
    }

    /// Returns everything that was heard, of one connection after the other.
    pub fn all(&self) -> String {
        let heard = self.heard.lock().unwrap().concat();
        String::from_utf8_lossy(&heard).into_owned()
    }
}

async fn play(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Vec<Step>,
    log: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    let number = {
        let mut log = log.lock().unwrap();
        log.push(Vec::new());
        log.len() - 1
    };
    let (mut heard, mut from, mut path) = (Vec::new(), 0, String::new());
    for step in script {
        let end = |heard: &[u8], from: usize| match &step {
            Step::Hear(end) => find(&heard[from..], end.as_bytes()).map(|at| from + at + end.len()),
            Step::Take(length) => (heard.len() - from >= *length).then_some(from + length),
            Step::Say(_) | Step::Hang => Some(from),
        };
        let end = loop {
            if let Some(end) = end(&heard, from) {
                break end;
            }
            let read = stream.read_buf(&mut heard).await;
            log.lock().unwrap()[number].clone_from(&heard);
            if !matches!(read, Ok(1..)) {
                return;
            }
        };
        match &step {
            Step::Hear(_) => {
                let text = String::from_utf8_lossy(&heard[from..end]).into_owned();
                path = text
                    .split_whitespace()
                    .last()
                    .unwrap_or_default()
                    .to_owned();
            }
            Step::Take(_) => {}
            Step::Say(bytes) => {
                let _ = stream.write_all(&replaced(bytes, &path)).await;
            }
            Step::Hang => std::future::pending().await,
        }
        from = end;
    }
    let _ = stream.shutdown().await;
    // Who closes with bytes unread resets, and takes back what it said.
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
}

fn find(heard: &[u8], end: &[u8]) -> Option<usize> {
    heard.windows(end.len()).position(|window| window == end)
}

fn replaced(bytes: &[u8], path: &str) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.replace("PATH", path).into_bytes(),
        Err(_) => bytes.to_vec(),
    }
}

/// Reads a manifest in which `ADDRESS` stands for where the server is; it must be right.
#[track_caller]
pub fn manifest(text: &str, address: &str) -> Manifest {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("remote.toml");
    std::fs::write(&path, text.replace("ADDRESS", address)).unwrap();
    Manifest::load(&path).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Makes ready a server that is described so.
pub fn outside(text: &str, address: &str) -> Outside {
    outside_with(text, address, Files::default())
}

pub fn outside_with(text: &str, address: &str, files: Files) -> Outside {
    Outside::new(manifest(text, address).into(), files).unwrap()
}

/// Asks about a file with these bytes; what went wrong before is told as text.
pub async fn ask(outside: &Outside, bytes: &[u8]) -> Result<Verdict, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let versions = outside
        .versions()
        .await
        .map_err(|error| error.to_string())?;
    outside.approve(Some(versions));
    let door = outside.open().await.map_err(|error| error.to_string())?;
    let told = Told {
        blob: file.path().to_owned(),
        sha256: Sha256::new(sha2::Sha256::digest(bytes).into()),
        size_bytes: bytes.len() as u64,
        extension: None,
    };
    let asked = outside.ask(door, &told).await;
    Ok(asked.answers[0].verdict.clone())
}

/// Writes a verdict as its category, and the name or reason if there is one.
pub fn words(verdict: &Result<Verdict, String>) -> String {
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(reason) => return format!("closed: {reason}"),
    };
    let name = verdict.name().map(|name| name.as_str().to_owned());
    let more = name.or_else(|| verdict.reason().map(str::to_owned));
    [verdict.category(), &more.unwrap_or_default()]
        .join(" ")
        .trim()
        .to_owned()
}

/// Asks one server one question and compares the beginning of what comes of it.
pub async fn check(text: &str, script: Vec<Step>, bytes: &[u8], expected: &str) {
    let server = Server::tcp(script).await;
    let outside = outside(text, &server.address);
    let said = words(&ask(&outside, bytes).await);
    assert!(said.starts_with(expected), "{said:?} for {expected:?}");
}
