//! `acquit engines parse`: recorded output, read through a manifest.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::super::Context;
use super::super::exit::{Exit, UsageError};
use super::super::text::{Color, Paint, emit, emit_json, padded, visible};
use super::catalog;
use crate::engine::manifest::Manifest;
use crate::engine::parser::{Means, Output, Parser, Recorded, Trace, TraceLine};

/// What stands below the help.
pub const HELP: &str = "\
Every path that the output names is taken for a file that was scanned. A result without
a path is about the one file that the output does not name, or about the run as a whole.
Without --exit-code nothing is concluded from it; a scan always knows it.

The command ends with 0 whatever the results are.";

/// Most bytes of recorded output.
const MAX_OUTPUT: u64 = 64 << 20;
/// Longest line that is shown.
const SHOWN: usize = 100;

/// What to read, and as whose output.
#[derive(Debug, clap::Args)]
pub struct ParseArguments {
    /// The engine, or its manifest
    #[arg(value_name = "ID")]
    engine: String,
    /// What it printed to standard output; - is standard input
    #[arg(value_name = "FILE")]
    output: PathBuf,
    /// The code it ended with
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    exit_code: Option<i32>,
    /// What it printed to standard error
    #[arg(long, value_name = "FILE")]
    stderr: Option<PathBuf>,
    /// A file that was scanned, as the engine was told; then only these get results, as in a scan
    #[arg(long, value_name = "PATH")]
    scanned: Vec<String>,
    /// The EICAR file that was scanned with them
    #[arg(long, value_name = "PATH", requires = "scanned")]
    sentinel: Option<String>,
    /// Read it as what Acquit's own command or driver prints, not the engine's plain command line
    #[arg(long)]
    driver: bool,
}

/// Reads recorded output and shows what each line means and what it says of which file.
///
/// # Errors
/// If there is no such engine or file.
pub fn run(context: &Context, arguments: &ParseArguments) -> anyhow::Result<Exit> {
    let manifest = catalog::find(context, &arguments.engine)?;
    let parser = parser(&manifest, arguments.driver)?;
    let stdout = bytes(&arguments.output)?;
    let stderr = match &arguments.stderr {
        Some(path) => bytes(path)?,
        None => Vec::new(),
    };
    let mut trace = parser.parse_recorded(arguments.exit_code, &stdout, &stderr);
    if !arguments.scanned.is_empty() {
        trace.doubts.clear();
        trace.results = scanned(&parser, arguments, (&stdout, &stderr));
    }
    if context.json {
        let results: Vec<Value> = trace.results.iter().map(document).collect();
        emit_json(&results)?;
    } else {
        emit(&shown(context.paint, &trace))?;
    }
    Ok(Exit::Fine)
}

/// The engine's own command line, unless Acquit's is meant or is the same.
fn parser(manifest: &Manifest, driver: bool) -> anyhow::Result<Parser> {
    let plain = manifest.plain.as_ref().filter(|_| !driver);
    let spec = plain.map_or(&manifest.parse, |plain| &plain.parse);
    Ok(Parser::new(spec)?)
}

/// Reads the output as that of a scan of known files.
fn scanned(
    parser: &Parser,
    arguments: &ParseArguments,
    (stdout, stderr): (&[u8], &[u8]),
) -> Vec<Recorded> {
    let files: Vec<&str> = arguments.scanned.iter().map(String::as_str).collect();
    let output = Output {
        exit_code: arguments.exit_code,
        stdout,
        stderr,
    };
    let parsed = parser.parse(output, &files, arguments.sentinel.as_deref());
    let paired = arguments.scanned.iter().zip(parsed);
    let results = paired.map(|(path, parsed)| Recorded {
        path: Some(path.clone()),
        member: None,
        verdict: parsed.verdict,
    });
    results.collect()
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin()
            .take(MAX_OUTPUT + 1)
            .read_to_end(&mut bytes),
        false => {
            let file = std::fs::File::open(path);
            file.and_then(|file| file.take(MAX_OUTPUT + 1).read_to_end(&mut bytes))
        }
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > MAX_OUTPUT {
        let message = format!(
            "{} is larger than 64 MiB; no engine's answer is",
            path.display()
        );
        return Err(UsageError(message).into());
    }
    Ok(bytes)
}

/// Returns a result as a JSON object.
pub fn document(recorded: &Recorded) -> Value {
    let verdict = &recorded.verdict;
    json!({
        "path": recorded.path,
        "member": recorded.member,
        "category": verdict.category(),
        "result": verdict.name().map(|name| name.as_str()),
        "reason": verdict.reason(),
    })
}

/// Shows a reading: lines with their rules, what speaks against the whole, the results.
pub fn shown(paint: Paint, trace: &Trace) -> String {
    let mut text = String::new();
    for line in &trace.lines {
        text.push_str(&shown_line(paint, line));
    }
    for doubt in &trace.doubts {
        let doubt = format!("-- {}", visible(doubt));
        text.push_str(&format!("{}\n", paint.paint(Color::Yellow, &doubt)));
    }
    text.push('\n');
    for recorded in &trace.results {
        text.push_str(&shown_result(paint, recorded));
    }
    text
}

fn shown_line(paint: Paint, line: &TraceLine) -> String {
    let rule = line.rule.as_deref().unwrap_or("no rule");
    let means = line
        .means
        .map_or(String::new(), |means| word(means).to_owned());
    let color = match (&line.rule, line.means) {
        (None, _) | (_, Some(Means::Failure)) => Color::Yellow,
        (_, Some(Means::Malicious | Means::Suspicious)) => Color::Red,
        (_, Some(Means::Undetected)) => Color::Green,
        (_, Some(Means::TypeUnsupported | Means::Subject | Means::Ignored) | None) => Color::Dim,
    };
    let about = paint.paint(color, &padded(&format!("{rule} {means}"), 36));
    let text: String = visible(&line.text).chars().take(SHOWN).collect();
    format!("{about}  {text}\n")
}

fn shown_result(paint: Paint, recorded: &Recorded) -> String {
    let verdict = &recorded.verdict;
    let path = recorded.path.as_deref().unwrap_or("(no file named)");
    let member = recorded.member.as_deref();
    let member = member.map_or(String::new(), |member| format!(" → {}", visible(member)));
    let name = verdict.name().map(|name| name.as_str());
    let more = name.or_else(|| verdict.reason()).unwrap_or_default();
    let color = match (verdict.is_detection(), verdict.is_answer()) {
        (true, _) => Color::Red,
        (false, true) => Color::Green,
        (false, false) => Color::Yellow,
    };
    let category = paint.paint(color, &padded(verdict.category(), 16));
    let line = format!("{category}  {}{member}  {}", visible(path), visible(more));
    format!("{}\n", line.trim_end())
}

fn word(means: Means) -> &'static str {
    match means {
        Means::Malicious => "malicious",
        Means::Suspicious => "suspicious",
        Means::Undetected => "undetected",
        Means::TypeUnsupported => "type-unsupported",
        Means::Failure => "failure",
        Means::Subject => "subject",
        Means::Ignored => "ignored",
    }
}
