//! Starts the engine's own daemon and ends the container when it ends.
//!
//! Starting it again is not done here: a new container is the only clean start.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::exec::prepare;
use crate::reaper::{Exit, Reaper, Started};
use crate::serve::thread;

/// Bytes kept of what the daemon printed last.
const TAIL: usize = 16 << 10;
/// Bytes of it that go into a refusal.
const WORDS: usize = 1 << 10;
/// How long requests are still refused with the daemon's last words after its end.
const FAREWELL: Duration = Duration::from_millis(500);

/// The engine's daemon.
#[derive(Debug)]
pub struct Supervisor {
    started: Mutex<Started>,
    tail: Mutex<VecDeque<u8>>,
}

impl Supervisor {
    /// Starts the daemon.
    pub fn start(command: &[String], reaper: &Reaper) -> io::Result<Arc<Self>> {
        let (output, input) = io::pipe()?;
        let mut prepared = prepare(command, &[]);
        prepared
            .stdin(Stdio::null())
            .stderr(input.try_clone()?)
            .stdout(input);
        let started = reaper.spawn_daemon(&mut prepared)?;
        // Or the runner's own copies would keep the pipe open for ever.
        drop(prepared);
        let supervisor = Arc::new(Self {
            started: Mutex::new(started),
            tail: Mutex::default(),
        });
        let listener = Arc::clone(&supervisor);
        thread("output", move || listener.listen(output))?;
        Ok(supervisor)
    }

    /// Waits for the daemon's end, prints why, and returns a code that is never success.
    pub fn wait(&self) -> ExitCode {
        let exit = {
            let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
            Exit::read(&mut started.exit)
        };
        std::thread::sleep(FAREWELL);
        eprintln!("acquit-runner: {}", ended(exit));
        eprintln!("{}", self.tail(TAIL));
        let code = exit.code.and_then(|code| u8::try_from(code).ok());
        ExitCode::from(code.filter(|code| *code != 0).unwrap_or(1))
    }

    /// Returns what the daemon printed last, in one line.
    pub fn last_words(&self) -> String {
        let tail = self.tail(WORDS);
        tail.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn tail(&self, bytes: usize) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = tail.len().saturating_sub(bytes);
        let last: Vec<u8> = tail.iter().skip(skip).copied().collect();
        String::from_utf8_lossy(&last).into_owned()
    }

    fn listen(&self, mut output: PipeReader) {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut chunk) {
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend(&chunk[..length]);
            let excess = tail.len().saturating_sub(TAIL);
            tail.drain(..excess);
        }
    }
}

fn ended(exit: Exit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("the engine's daemon ended with code {code}"),
        (None, Some(signal)) => format!("the engine's daemon was killed by signal {signal}"),
        (None, None) => "the engine's daemon ended".to_owned(),
    }
}
