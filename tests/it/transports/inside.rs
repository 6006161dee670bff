//! Daemons in containers that are asked in lines or by ICAP, and one asked for too long.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use acquit::config::Config;
use acquit::model::{EngineState, EngineStatus};

use crate::flow::Flow;
use crate::support;

const IMAGE: &str = "acquit-test-transports:local";

/// An engine of the test's own image; `run` is its `[run]` and what follows.
pub fn engine(id: &str, run: &str) -> (String, String) {
    let text = format!(
        "id = \"{id}\"\nname = \"{id}\"\nvendor = \"Nobody\"\ndescription = \"a test\"\n{run}"
    );
    (id.to_owned(), text)
}

/// Opens a flow with nothing but these engines, whose containers all have the test's own image.
pub async fn open(engines: &[(String, String)]) -> Flow {
    build();
    for (id, _) in engines {
        let tag = format!("acquit-engine-{id}:local");
        support::run(Command::new("docker").args(["tag", IMAGE, &tag]));
    }
    let engines = engines.to_vec();
    let flow = Flow::open_with(move |config: &mut Config| {
        let manifests = config.storage.data_dir.with_file_name("engines");
        std::fs::create_dir_all(&manifests).unwrap();
        for (id, text) in &engines {
            std::fs::write(manifests.join(format!("{id}.toml")), text).unwrap();
        }
        config.engines.manifests = vec![manifests];
        config.engines.attempts = 1;
    })
    .await;
    ready(&flow).await;
    flow
}

/// Waits until every engine scans. On a machine that is very busy a proof may fail, and is made
/// again after a minute.
async fn ready(flow: &Flow) {
    for _ in 0..2400 {
        let ready = |status: &EngineStatus| status.state == EngineState::Ready;
        if flow.engines.borrow().values().all(ready) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", flow.engines.borrow());
}

/// Builds the test's image; what is unchanged is not built again.
fn build() {
    let context = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transports");
    let build = ["build", "--quiet", "--tag", IMAGE];
    support::run(Command::new("docker").args(build).arg(context));
}

/// Shows a file to the one engine there is and compares the beginning of what it says.
pub async fn check(flow: &Flow, bytes: &str, expected: &str) {
    let analysis = flow.submit(bytes.as_bytes(), "file").await;
    let answers = flow.completed(&analysis).await;
    assert_eq!(answers.len(), 1);
    let said = super::lab::words(&Ok(answers[0].1.clone()));
    assert!(
        said.starts_with(expected),
        "{bytes}: {said:?} for {expected:?}"
    );
}

const LINES: &str = r#"
[run]
transport = "dialog"
daemon = ["python3", "/opt/product.py", "lines", "/tmp/engine.sock"]
socket = "/tmp/engine.sock"
[run.dialog]
greeting = '^220 '
request = "SCAN {path}\r\n"
until = '^200 done$'
[limits]
timeout_seconds = 5
output_kb = 64
[parse]
exit = { complete = [0] }
proof = { rule = "per-file" }
[[parse.lines]]
pattern = '^(?<path>\S+): OK$'
means = "undetected"
[[parse.lines]]
pattern = '^(?<path>\S+): (?<name>\S+) FOUND$'
means = "malicious"
[[parse.lines]]
pattern = '^200 done$'
means = "ignored"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn daemon_that_is_asked_in_lines_answers_for_each_file() {
    let flow = open(&[engine("test-lines", LINES)]).await;
    check(&flow, "harmless", "undetected").await;
    check(&flow, "a virus", "malicious Test.Virus").await;
    check(&flow, "other", "failure").await;
    check(&flow, "flood", "failure answered more than 64 KB").await;
    check(&flow, "hang", "timeout").await;
    check(&flow, "die", "failure").await;
    check(&flow, "harmless again", "undetected").await;
    flow.close().await;
}

const ICAP: &str = r#"
[run]
transport = "icap"
daemon = ["python3", "/opt/product.py", "icap", "/tmp/engine.sock"]
socket = "/tmp/engine.sock"
[run.icap]
service = "avscan"
[limits]
timeout_seconds = 20
[parse]
exit = { complete = [0] }
proof = { rule = "per-file" }
unknown = "ignored"
[[parse.lines]]
pattern = '^X-Infection-Found: Type=0; Resolution=\d+; Threat=(?<name>[^;]*);$'
means = "malicious"
[[parse.lines]]
pattern = '^ICAP/1\.0 204 .*$'
means = "undetected"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn icap_service_in_a_container_is_shown_each_file() {
    let flow = open(&[engine("test-icap", ICAP)]).await;
    check(&flow, "harmless and long enough", "undetected").await;
    check(&flow, "a virus", "malicious Test.Virus").await;
    check(&flow, "die", "failure").await;
    check(&flow, "tiny", "undetected").await;
    let engines = flow.engines.borrow().clone();
    let versions = engines.values().next().unwrap().versions.clone().unwrap();
    assert_eq!(versions.engine.as_deref(), Some("Product 2"));
    assert!(versions.image.starts_with("sha256:"));
    flow.close().await;
}
