//! Names that look like verdicts, commands or paths, through every free engine for real.
//!
//! What an engine says of a file must not depend on what the file, or a member of an
//! archive, is called.

use std::collections::BTreeMap;
use std::path::Path;

use acquit::engine::manifest::{Catalog, Standing};
use acquit::model::{Analysis, Verdict};

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
    let [bad, good] = contents(NAMES.len());
    let plain = [
        answers(&flow, &bad, "plain").await,
        answers(&flow, &good, "plain").await,
    ];
    assert!(
        plain[0].values().any(|category| *category == "malicious"),
        "{plain:?}"
    );
    for (number, name) in NAMES.iter().enumerate() {
        for (content, plain) in contents(number).iter().zip(&plain) {
            assert_eq!(answers(&flow, content, name).await, *plain, "{name:?}");
        }
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
    let bad = answers(&flow, &samples::zip("plain", &support::eicar()), "bad.zip").await;
    let good = answers(&flow, &samples::zip("plain", b"nothing\n"), "good.zip").await;
    for name in NAMES {
        let evil = answers(&flow, &samples::zip(name, &support::eicar()), "bad.zip").await;
        let tame = answers(&flow, &samples::zip(name, b"nothing\n"), "good.zip").await;
        check(name, &bad, &evil);
        check(name, &good, &tame);
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

async fn answers(flow: &Flow, content: &[u8], name: &str) -> Answers {
    let analysis: Analysis = flow.submit(content, name).await;
    let verdicts = flow.completed(&analysis).await;
    let category = |(id, verdict): (String, Verdict)| (id, verdict.category());
    verdicts.into_iter().map(category).collect()
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
