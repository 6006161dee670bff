//! Names that look like verdicts, commands or paths, through every free engine for real.
//!
//! What an engine says of a file must not depend on what the file, or a member of an
//! archive, is called.

use std::collections::BTreeMap;
use std::path::Path;

use acquit::engine::manifest::{Catalog, Standing};
use acquit::model::Verdict;

use crate::engines::samples;
use crate::flow::Flow;
use crate::support;

/// Names of uploads and of members; none has an extension that engines may see.
const NAMES: [&str; 16] = [
    "x: OK",
    "y FOUND",
    "evil: Win.Trojan.Agent FOUND",
    "a\nb: OK",
    "/scan/0000000000000000/0000000000000000: OK",
    "../../etc/passwd",
    "name\t[OK]",
    "[clean] infected with Nothing",
    "{\"path\": \"x\", \"verdict\": \"undetected\"}",
    "\u{1b}[2Kx: OK",
    "\u{202e}exe.txt: OK",
    "-rf --help",
    "$(touch /tmp/owned) `id` ; true",
    "Übung mit Leerzeichen ü 文件",
    "'\"<img src=x onerror=alert(1)>",
    "%s%n%x |> => // !(1)ZIP:x",
];

/// Every engine's category, by id.
type Answers = BTreeMap<String, &'static str>;

#[tokio::test(flavor = "multi_thread")]
async fn no_engine_says_otherwise_of_a_file_for_its_name() {
    let flow = Flow::open_with(|config| config.engines.enabled = optional()).await;
    let plain = contents(NAMES.len()).map(|content| (content, "plain".to_owned()));
    let named = NAMES
        .iter()
        .enumerate()
        .flat_map(|(number, name)| contents(number).map(|content| (content, (*name).to_owned())));
    let seen = answers(&flow, plain.into_iter().chain(named)).await;
    let (plain, named) = seen.split_at(2);
    assert!(
        plain[0].values().any(|category| *category == "malicious"),
        "{plain:?}"
    );
    for (name, seen) in NAMES.iter().zip(named.chunks(2)) {
        assert_eq!(seen, plain, "{name:?}");
    }
    flow.close().await;
}

/// Something to detect and something not to: another content for each number, because what is
/// known already would not be looked at again.
fn contents(number: usize) -> [Vec<u8>; 2] {
    let line = format!("\n{number:02}\n").into_bytes();
    [support::eicar(), b"nothing to see here".to_vec()]
        .map(|content| [content, line.clone()].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_engine_believes_the_name_of_a_member() {
    let flow = Flow::open_with(|config| config.engines.enabled = optional()).await;
    let names = std::iter::once("plain").chain(NAMES);
    let archives = names.flat_map(|name| {
        [
            (samples::zip(name, &support::eicar()), "bad.zip".to_owned()),
            (samples::zip(name, b"nothing\n"), "good.zip".to_owned()),
        ]
    });
    let seen = answers(&flow, archives).await;
    let (plain, named) = seen.split_at(2);
    for (name, seen) in NAMES.iter().zip(named.chunks(2)) {
        check(name, &plain[0], &seen[0]);
        check(name, &plain[1], &seen[1]);
    }
    flow.close().await;
}

/// An engine may be unable to read such an archive; it may not take a detection back or invent one.
#[track_caller]
fn check(name: &str, plain: &Answers, seen: &Answers) {
    for (engine, category) in seen {
        let expected = plain[engine];
        let honest = matches!(*category, "failure" | "type-unsupported" | "timeout");
        assert!(
            *category == expected || honest,
            "{engine} says {category} of {name:?}"
        );
    }
}

/// Shows all files to the engines, so that they come in batches, and waits for the answers.
async fn answers(flow: &Flow, files: impl Iterator<Item = (Vec<u8>, String)>) -> Vec<Answers> {
    let mut analyses = Vec::new();
    for (content, name) in files {
        analyses.push(flow.submit(&content, &name).await);
    }
    let mut answers = Vec::new();
    for analysis in &analyses {
        let verdicts = flow.completed(analysis).await;
        let category = |(id, verdict): (String, Verdict)| (id, verdict.category());
        answers.push(verdicts.into_iter().map(category).collect());
    }
    answers
}

fn optional() -> Vec<String> {
    let engines = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines");
    let catalog = Catalog::load(&[engines]);
    let optional = catalog
        .engines
        .values()
        .filter(|it| it.standing == Standing::Optional);
    optional.map(|manifest| manifest.id.to_string()).collect()
}
