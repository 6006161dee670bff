//! `acquit engines try`: an engine's raw output, the rules that read it, and its verdicts.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::Context;
use super::super::block_on;
use super::super::exit::{Exit, UsageError};
use super::super::text::{emit, emit_json, visible_lines, visible_name};
use super::{catalog, parse};
use crate::engine::ask::{Asked, Said};
use crate::engine::parser::{Parser, Recorded, Trace};
use crate::engine::trial::Trial;

/// What to try on which files.
#[derive(Debug, clap::Args)]
pub struct TryArguments {
    /// The engine, or its manifest
    #[arg(value_name = "ID")]
    engine: String,
    /// Files to show it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs an engine over files, without the daemon, in the sandbox of every scan.
///
/// # Errors
/// If there is no root, no Docker, no such engine or no such file.
pub fn run(context: &Context, arguments: &TryArguments) -> anyhow::Result<Exit> {
    if !crate::system::is_root() {
        let message = "starting a container needs root; run it with sudo".to_owned();
        return Err(UsageError(message).into());
    }
    let manifest = catalog::find(context, &arguments.engine)?;
    let mut config = catalog::config(context)?;
    if let Some(dir) = own_directory(&arguments.engine)? {
        config.engines.manifests.push(dir);
    }
    let parser = Parser::new(&manifest.parse)?;
    let answered = block_on(async {
        let trial = Trial::open(config, manifest).await?;
        let most = usize::try_from(trial.most_files()).unwrap_or(usize::MAX);
        let mut answered = true;
        for batch in arguments.files.chunks(most.max(1)) {
            let asked = trial.ask(batch).await?;
            print(context, &parser, (batch, &asked))?;
            answered &= asked.answers.iter().all(|said| said.verdict.is_answer());
        }
        anyhow::Ok(answered)
    })?;
    Ok(if answered {
        Exit::Fine
    } else {
        Exit::Incomplete
    })
}

/// Returns the directory of a manifest that is named by its path.
fn own_directory(engine: &str) -> anyhow::Result<Option<PathBuf>> {
    let path = Path::new(engine);
    if path.extension().is_none_or(|extension| extension != "toml") {
        return Ok(None);
    }
    let path = std::path::absolute(path)?;
    Ok(path.parent().map(Path::to_owned))
}

fn print(
    context: &Context,
    parser: &Parser,
    (files, asked): (&[PathBuf], &Asked),
) -> anyhow::Result<()> {
    let raw = Raw::split(&asked.run.raw);
    let trace = Trace {
        results: results(files, &asked.answers),
        doubts: Vec::new(),
        lines: parser
            .parse_recorded(raw.exit, raw.stdout, raw.stderr)
            .lines,
    };
    if context.json {
        return emit_json(&document(&raw, &trace));
    }
    let output = String::from_utf8_lossy(&asked.run.raw);
    let milliseconds = asked.run.duration.as_millis();
    emit(&format!("{}\n\n", visible_lines(output.trim_end())))?;
    emit(&parse::shown(context.paint, &trace))?;
    emit(&format!("\nin {milliseconds} ms\n"))
}

fn results(files: &[PathBuf], answers: &[Said]) -> Vec<Recorded> {
    let paired = files.iter().zip(answers);
    let results = paired.map(|(file, said)| Recorded {
        path: Some(visible_name(file.as_os_str())),
        member: None,
        verdict: said.verdict.clone(),
    });
    results.collect()
}

fn document(raw: &Raw<'_>, trace: &Trace) -> Value {
    let lines = trace
        .lines
        .iter()
        .map(|line| json!({ "text": line.text, "rule": line.rule, "means": line.means }));
    json!({
        "exit_code": raw.exit,
        "stdout": String::from_utf8_lossy(raw.stdout),
        "stderr": String::from_utf8_lossy(raw.stderr),
        "lines": lines.collect::<Vec<_>>(),
        "results": trace.results.iter().map(parse::document).collect::<Vec<_>>(),
    })
}

/// What a run left behind, taken apart again.
struct Raw<'a> {
    exit: Option<i32>,
    stdout: &'a [u8],
    stderr: &'a [u8],
}

impl<'a> Raw<'a> {
    fn split(raw: &'a [u8]) -> Self {
        // A driver's answer is kept as it came; its last line was its exit code.
        if !raw.starts_with(b"exit: ") && !raw.starts_with(b"signal: ") {
            return Self {
                exit: Some(0),
                stdout: raw,
                stderr: b"",
            };
        }
        let marker: &[u8] = b"\n--- stdout\n";
        let head = raw
            .windows(marker.len())
            .position(|window| window == marker);
        let (head, rest) = raw.split_at(head.unwrap_or(raw.len()));
        let rest = rest.get(marker.len()..).unwrap_or_default();
        let (stdout, stderr) = cut(rest, b"\n--- stderr\n");
        let head = String::from_utf8_lossy(head);
        let exit = head.strip_prefix("exit: ");
        Self {
            exit: exit.and_then(|code| code.trim().parse().ok()),
            stdout,
            stderr,
        }
    }
}

/// Cuts bytes at the last place where a marker stands.
fn cut<'a>(bytes: &'a [u8], marker: &[u8]) -> (&'a [u8], &'a [u8]) {
    let mut places = bytes.windows(marker.len());
    match places.rposition(|window| window == marker) {
        Some(at) => (&bytes[..at], &bytes[at + marker.len()..]),
        None => (bytes, &[]),
    }
}
