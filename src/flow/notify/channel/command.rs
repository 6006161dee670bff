//! A program of the operator's: what happened comes as JSON on standard input.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::{Outcome, Parcel};

/// Returns what a command reads.
pub fn input(parcel: &Parcel) -> String {
    let mut body = parcel.json();
    body["id"] = parcel.id.clone().into();
    body.to_string()
}

/// Runs a command without a shell; exit code 0 means that it took the event.
pub async fn run(command: &[String], (id, input): (&str, &str), patience: Duration) -> Outcome {
    let Some((program, arguments)) = command.split_first() else {
        return Outcome::Later("the command is empty".to_owned(), None);
    };
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("ACQUIT_DELIVERY", id)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Outcome::Later(format!("it cannot be started: {error}"), None),
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let ended = tokio::time::timeout(patience, finish(&mut child, input)).await;
    match ended {
        Ok(outcome) => outcome,
        Err(_) => {
            if let Some(group) = group {
                // It may have ended just now.
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            let _ = child.wait().await;
            Outcome::Later("it took too long and was killed".to_owned(), None)
        }
    }
}

async fn finish(child: &mut Child, input: &str) -> Outcome {
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read it may have no need to.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    match child.wait().await {
        Ok(status) if status.success() => Outcome::Accepted("exit code 0".to_owned()),
        Ok(status) => Outcome::Later(status.to_string(), None),
        Err(error) => Outcome::Later(format!("it cannot be waited for: {error}"), None),
    }
}
