//! How fast the parsers read: each engine's recorded output of several files,
//! repeated until it is a few mebibytes. Prints one JSON object.
//!
//! `cargo run --release --example parsers-bench [MIB]`

use std::path::Path;
use std::time::Instant;

use acquit::engine::manifest::{Catalog, Manifest};
use acquit::engine::parser::{Format, Output, Parser};

fn main() -> anyhow::Result<()> {
    let mebibytes: usize = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 8,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let catalog = Catalog::load(&[root.join("engines")]);
    let mut speeds = serde_json::Map::new();
    for manifest in catalog.engines.values() {
        // A document ends with its batch: it cannot be made long by repeating it.
        let mut formats = manifest.parse.records.iter().map(|record| record.format);
        if formats.any(|format| matches!(format, Format::Json | Format::Xml)) {
            continue;
        }
        if let Some((stdout, files)) = several(root, manifest) {
            let speed = measure(manifest, &stdout, &files, mebibytes)?;
            speeds.insert(manifest.id.to_string(), speed);
        }
    }
    println!("{}", serde_json::to_string_pretty(&speeds)?);
    Ok(())
}

/// Returns what an engine printed of several files, and how often each line of it can be had.
fn several(root: &Path, manifest: &Manifest) -> Option<(String, Vec<String>)> {
    let path = root
        .join("tests/fixtures/engines")
        .join(manifest.id.as_str());
    let text = std::fs::read(path.join("several.out")).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, rest) = text.split_once("--- stdout\n")?;
    let stdout = rest.split("--- stderr\n").next()?.to_owned();
    let files = head.lines().find_map(|line| line.strip_prefix("files: "))?;
    let files = files.split_whitespace().map(str::to_owned).collect();
    Some((stdout, files))
}

/// Reads the same lines over and over, as of one very large batch.
fn measure(
    manifest: &Manifest,
    stdout: &str,
    files: &[String],
    mebibytes: usize,
) -> anyhow::Result<serde_json::Value> {
    let parser = Parser::new(&manifest.parse)?;
    let (text, staged) = repeated(stdout, files, mebibytes << 20);
    let staged: Vec<&str> = staged.iter().map(String::as_str).collect();
    let output = Output {
        exit_code: Some(0),
        stdout: text.as_bytes(),
        stderr: b"",
    };
    let mut best = f64::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        let parsed = parser.parse(output, &staged, None);
        anyhow::ensure!(parsed.len() == staged.len());
        best = best.min(began.elapsed().as_secs_f64());
    }
    let speed = text.len() as f64 / best / 1e6;
    let format = if manifest.parse.records.is_empty() {
        "lines"
    } else {
        "records"
    };
    Ok(serde_json::json!({ "mb_per_second": speed.round(), "format": format }))
}

/// Repeats the output, each time with other staged names.
fn repeated(stdout: &str, files: &[String], bytes: usize) -> (String, Vec<String>) {
    let (mut text, mut staged) = (String::with_capacity(bytes + stdout.len()), Vec::new());
    let mut round = 0_u64;
    while text.len() < bytes && !stdout.is_empty() {
        let mut copy = stdout.to_owned();
        for file in files {
            let name = format!("{file}-{round:016x}");
            copy = copy.replace(file.as_str(), &name);
            staged.push(name);
        }
        text.push_str(&copy);
        round += 1;
    }
    (text, staged)
}
