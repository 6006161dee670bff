//! Any bytes through any engine's parser: no panic, a result for every file, bounded
//! evidence, and no clean file unless a rule of that engine says so.
//!
//! The first byte chooses the engine, the second the exit code, the third where
//! stdout ends and stderr begins.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use acquit::engine::manifest::{Catalog, Manifest};
use acquit::engine::parser::{EVIDENCE_BYTES, Means, Output, Parser, Rule};
use acquit::model::Verdict;
use libfuzzer_sys::fuzz_target;

/// Staged names that no recorded output has.
const FILES: [&str; 2] = ["/scan/5eed5eed5eed5eed/c0ffee00c0ffee00", "/scan/5eed5eed5eed5eed/c0ffee00c0ffee01"];
const SENTINEL: &str = "/scan/5eed5eed5eed5eed/c0ffee00c0ffeeff";
/// What inputs may call the two files, so that findings about them can be made up.
const ALIASES: [&str; 2] = ["@A", "@B"];

static ENGINES: LazyLock<Vec<(Manifest, Parser)>> = LazyLock::new(|| {
    let engines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engines");
    let catalog = Catalog::load(&[engines]);
    let ready = catalog.engines.into_values().map(|manifest| {
        let parser = Parser::new(&manifest.parse).expect("manifests are checked by the tests");
        (manifest, parser)
    });
    ready.collect()
});

fuzz_target!(|data: &[u8]| {
    let [engine, exit, cut, text @ ..] = data else {
        return;
    };
    let (manifest, parser) = &ENGINES[usize::from(*engine) % ENGINES.len()];
    let (stdout, stderr) = text.split_at(text.len() * usize::from(*cut) / 256);
    let (stdout, stderr) = (named(stdout), named(stderr));
    let exit_code = Some(i32::from(*exit)).filter(|code| *code < 255);
    let output = Output {
        exit_code,
        stdout: &stdout,
        stderr: &stderr,
    };
    let most = if parser.needs_single_file() { 1 } else { FILES.len() };
    let sentinel = parser.needs_sentinel().then_some(SENTINEL);
    let parsed = parser.parse(output, &FILES[..most], sentinel);
    assert_eq!(parsed.len(), most);
    let says_clean = says_clean(manifest, parser, output);
    for (file, parsed) in FILES.iter().zip(&parsed) {
        assert!(parsed.evidence.len() <= EVIDENCE_BYTES);
        if parsed.verdict == Verdict::Undetected {
            assert!(says_clean, "{}: {file} is clean by no rule", manifest.id);
        }
    }
    // Recorded output is read by the same rules and must not panic either.
    parser.parse_recorded(exit_code, &stdout, &stderr);
});

/// Gives the files their staged names.
fn named(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text).into_owned();
    let named = ALIASES.iter().zip(FILES).fold(text, |text, (alias, file)| text.replace(alias, file));
    named.replace("@S", SENTINEL).into_bytes()
}

/// Tells whether any rule of the engine speaks of a clean file in this output.
fn says_clean(manifest: &Manifest, parser: &Parser, output: Output<'_>) -> bool {
    let exit = &manifest.parse.exit;
    let by_exit = output.exit_code.and_then(|code| exit.verdict(code));
    let by_exit = by_exit.is_some_and(|verdict| verdict.means == Means::Undetected);
    let by_rule = manifest.parse.proof.rule != Rule::PerFile;
    let trace = parser.parse_recorded(output.exit_code, output.stdout, output.stderr);
    let by_line = trace.lines.iter().any(|line| line.means == Some(Means::Undetected));
    by_exit || by_rule || by_line
}
