//! Keeps connections to the daemon and does what it asks there.
//!
//! ```text
//! dial ─ Hello ─→ idle ─ request ─→ at work ─ answer ─→ idle
//!  ↑               │ closed           │ hung up: the command is killed
//!  └─ pause ←──────┴──────────────────┘
//! ```

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use acquit_runner::wire::{
    GENERATION_VARIABLE, Hello, PROTOCOL, Reply, Request, SOCKET_DIR, SOCKET_NAME,
};
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::args::Settings;
use crate::cgroup::used_bytes;
use crate::exec::{self, Finished, Order};
use crate::reaper::Reaper;
use crate::supervise::Supervisor;
use crate::{frame, relay};

const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How long the daemon may take to read an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// No request can make the runner keep more of either output.
const MAX_OUTPUT: u64 = 64 << 20;
const STACK: usize = 128 << 10;

/// What all connections share.
#[derive(Debug)]
struct Shared {
    hello: Hello,
    reaper: Arc<Reaper>,
    supervisor: Option<Arc<Supervisor>>,
}

/// Serves until the engine's daemon ends, or for ever if it has none.
pub fn run(settings: &Settings) -> ExitCode {
    match start(settings) {
        Ok(Some(supervisor)) => supervisor.wait(),
        Ok(None) => loop {
            thread::park();
        },
        Err(error) => {
            eprintln!("acquit-runner: cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(settings: &Settings) -> io::Result<Option<Arc<Supervisor>>> {
    end_when_told();
    give_memory_back();
    // What runs here has the runner's user id. It must not read the generation out of the
    // runner's environment, or it could pose as the runner.
    let _ = nix::sys::prctl::set_dumpable(false);
    // Commands inherit it. An image may lack it, which is the image's affair.
    let _ = std::env::set_current_dir("/tmp");
    let reaper = Reaper::start()?;
    let supervisor = match settings.daemon.as_slice() {
        [] => None,
        command => Some(Supervisor::start(command, &reaper)?),
    };
    let hello = Hello {
        protocol: PROTOCOL,
        generation: generation(),
    };
    let shared = Arc::new(Shared {
        hello,
        reaper,
        supervisor: supervisor.clone(),
    });
    for _ in 0..settings.connections {
        let shared = Arc::clone(&shared);
        thread("connection", move || shared.keep_connection())?;
    }
    Ok(supervisor)
}

/// Starts a thread with a stack that fits a process of few mebibytes.
pub fn thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(body)
}

fn generation() -> String {
    std::env::var_os(GENERATION_VARIABLE)
        .map(|value| value.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Ends on SIGTERM, which the kernel keeps from a first process without a handler.
fn end_when_told() {
    extern "C" fn end(number: i32) {
        // SAFETY: `_exit` is async-signal-safe and does not return.
        unsafe { libc::_exit(128 + number) }
    }
    for number in [Signal::SIGTERM, Signal::SIGINT] {
        // SAFETY: the handler calls nothing that is not async-signal-safe.
        let _ = unsafe { signal(number, SigHandler::Handler(end)) };
    }
}

/// Keeps the C library from holding on to the memory of an output that was answered.
fn give_memory_back() {
    // SAFETY: mallopt is called before any other thread is started.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        // A fixed threshold: by default it grows with what was freed, up to 32 MiB.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 64 << 10);
    }
}

impl Shared {
    fn keep_connection(&self) {
        let path = Path::new(SOCKET_DIR).join(SOCKET_NAME);
        let mut pause = SHORTEST_PAUSE;
        loop {
            let served = UnixStream::connect(&path).and_then(|daemon| self.serve(daemon));
            if served.is_ok_and(|requests| requests > 0) {
                pause = SHORTEST_PAUSE;
                continue;
            }
            thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Serves one connection to its end and counts what was asked.
    fn serve(&self, mut daemon: UnixStream) -> io::Result<u64> {
        daemon.set_write_timeout(Some(WRITE_TIMEOUT))?;
        frame::write(&mut daemon, &self.hello, [b"", b""])?;
        let mut requests = 0;
        while let Ok(Some(request)) = frame::read(&mut daemon) {
            requests += 1;
            let answered = match request {
                Request::Ping => {
                    let memory_bytes = used_bytes();
                    answer(&mut daemon, &Reply::Pong { memory_bytes })
                }
                Request::Dial { path } => match self.dial(&path) {
                    Ok(engine) => {
                        answer(&mut daemon, &Reply::Dialed)?;
                        relay::join(daemon, engine)?;
                        return Ok(requests);
                    }
                    Err(reason) => answer(&mut daemon, &Reply::Refused { reason }),
                },
                Request::Exec {
                    command,
                    env,
                    timeout_ms,
                    output_bytes,
                    live,
                } => {
                    let order = Order {
                        command,
                        env,
                        timeout: Duration::from_millis(timeout_ms),
                        output_bytes: usize::try_from(output_bytes.min(MAX_OUTPUT)).unwrap_or(0),
                        live,
                    };
                    self.exec(&order, &mut daemon)
                }
            };
            if answered.is_err() {
                break;
            }
        }
        Ok(requests)
    }

    fn dial(&self, path: &str) -> Result<UnixStream, String> {
        UnixStream::connect(path).map_err(|error| {
            let last = self.supervisor.as_ref().map(|daemon| daemon.last_words());
            match last.filter(|words| !words.is_empty()) {
                None => format!("cannot connect to {path}: {error}"),
                Some(words) => format!("cannot connect to {path}: {error}; last output: {words}"),
            }
        })
    }

    fn exec(&self, order: &Order, daemon: &mut UnixStream) -> io::Result<()> {
        let reason = match exec::run(order, daemon, &self.reaper) {
            Ok(Some(finished)) => return report(daemon, finished),
            Ok(None) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Err(error) => format!("cannot start the command: {error}"),
        };
        answer(daemon, &Reply::Refused { reason })
    }
}

fn report(daemon: &mut UnixStream, finished: Finished) -> io::Result<()> {
    let tails = [finished.stdout.as_slice(), finished.stderr.as_slice()];
    frame::write(daemon, &Reply::Exited(finished.exited), tails)
}

fn answer(daemon: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    frame::write(daemon, reply, [b"", b""])
}
