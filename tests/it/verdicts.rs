//! What the shipped engines say, and how they share a machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use acquit::config::Config;
use acquit::flow::ingest::Submission;
use acquit::model::{Analysis, EngineId, EngineState, EngineTable, Priority, Reuse};
use acquit::system::now;

use crate::flow::Flow;
use crate::machine::docker;
use crate::support;

/// More than an engine needs to start, and to be looked at.
const PATIENCE: Duration = Duration::from_secs(120);

/// Opens a flow with the shipped manifests of some engines, each changed by `change`.
async fn open(engines: &[&str], change: impl Fn(&str) -> String, memory_mb: u64) -> Flow {
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("engines");
    let put = |config: &mut Config| {
        let manifests = config.storage.data_dir.with_file_name("engines");
        std::fs::create_dir_all(&manifests).unwrap();
        for engine in engines {
            let file = format!("{engine}.toml");
            let text = std::fs::read_to_string(shipped.join(&file)).unwrap();
            std::fs::write(manifests.join(&file), change(&text)).unwrap();
        }
        config.engines.manifests = vec![manifests];
        config.engines.memory_mb = memory_mb;
    };
    Flow::open_with(put).await
}

async fn submit(flow: &Flow, bytes: &[u8], reuse: Reuse) -> Analysis {
    let mut incoming = flow.ingest.receive(1 << 30).unwrap();
    incoming.write(bytes.to_vec().into()).await.unwrap();
    let submission = Submission {
        name: Some("file".to_owned()),
        engines: None,
        priority: Priority::Interactive,
        reuse,
        now: now(),
    };
    flow.ingest.accept(incoming, submission).await.unwrap().0
}

/// Waits for an analysis and returns each engine's category with the name, if there is one.
async fn verdicts(flow: &Flow, analysis: &Analysis) -> BTreeMap<String, String> {
    let answered = flow.completed(analysis).await;
    let shown = answered.into_iter().map(|(engine, verdict)| {
        let name = verdict
            .name()
            .map_or(String::new(), |name| format!(" {name}"));
        (engine, verdict.category().to_owned() + &name)
    });
    shown.collect()
}

#[track_caller]
fn check(verdicts: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    let owned = |(engine, verdict): &(&str, &str)| (engine.to_string(), verdict.to_string());
    assert_eq!(*verdicts, expected.iter().map(owned).collect());
}

const ALL: &[&str] = &[
    "clamav",
    "guarddog",
    "kicomav",
    "oletools",
    "pdfid",
    "picklescan",
    "yara",
    "yara-x",
];

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_an_engine_uses_is_told_as_long_as_it_runs() {
    let flow = open(&["yara"], str::to_owned, 0).await;
    let mut engines = flow.engines.clone();
    let status = |table: &EngineTable| table[&"yara".parse::<EngineId>().unwrap()].clone();
    let told = engines.wait_for(|table| status(table).memory_used_mb.is_some());
    let told = status(&tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap());
    assert_eq!(told.state, EngineState::Ready);
    assert!(told.memory_used_mb.unwrap() < told.memory_mb, "{told:?}");
    for container in flow.containers() {
        docker(&["kill", &container]);
    }
    let gone = engines.wait_for(|table| status(table).memory_used_mb.is_none());
    tokio::time::timeout(PATIENCE, gone).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_engine_answers_for_every_file() {
    let flow = open(ALL, str::to_owned, 0).await;
    let eicar = submit(&flow, &support::eicar(), Reuse::Known).await;
    let clean = submit(&flow, b"nothing to see here\n", Reuse::Known).await;
    let macros = b"Sub AutoOpen()\nShell \"cmd.exe /c calc\"\nEnd Sub\n";
    let macros = submit(&flow, macros, Reuse::Known).await;
    let expected = [
        ("clamav", "malicious Acquit.Eicar-Test-File"),
        ("guarddog", "type-unsupported"),
        ("kicomav", "malicious EICAR-Test-File (not a virus)"),
        ("oletools", "type-unsupported"),
        ("pdfid", "type-unsupported"),
        ("picklescan", "type-unsupported"),
        ("yara", "malicious Acquit_Eicar_Test_File"),
        ("yara-x", "malicious Acquit_Eicar_Test_File"),
    ];
    check(&verdicts(&flow, &eicar).await, &expected);
    let clean = verdicts(&flow, &clean).await;
    for engine in ["clamav", "kicomav", "yara", "yara-x"] {
        assert_eq!(clean[engine], "undetected", "{clean:?}");
    }
    let macros = verdicts(&flow, &macros).await;
    assert!(
        macros["oletools"].starts_with("suspicious MacroRaptor"),
        "{macros:?}"
    );
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn known_answer_is_taken_over_and_a_new_scan_is_made_on_demand() {
    let flow = open(&["yara"], str::to_owned, 0).await;
    let first = submit(&flow, b"same bytes", Reuse::Known).await;
    verdicts(&flow, &first).await;
    let second = submit(&flow, b"same bytes", Reuse::Known).await;
    assert!(second.pending.is_empty(), "{second:?}");
    assert_ne!(first.id, second.id);
    let results = |analysis: &Analysis| flow.store.results(&analysis.id).unwrap();
    assert_eq!(results(&first), results(&second));
    let third = submit(&flow, b"same bytes", Reuse::Never).await;
    assert!(!third.pending.is_empty());
    verdicts(&flow, &third).await;
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_isolation_gives_each_job_a_container_of_its_own() {
    let fresh = |text: &str| text.replace("[run]\n", "[run]\nisolation = \"fresh\"\n");
    let flow = open(&["yara"], fresh, 0).await;
    let mut generations = BTreeSet::new();
    for number in 0..3 {
        let analysis = submit(&flow, format!("file {number}").as_bytes(), Reuse::Known).await;
        while flow.store.results(&analysis.id).unwrap().is_empty() {
            let listed = flow.sandbox.list().await.unwrap();
            generations.extend(listed.into_iter().map(|container| container.generation));
        }
        check(&verdicts(&flow, &analysis).await, &[("yara", "undetected")]);
    }
    assert!(generations.len() >= 3, "{generations:?}");
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_that_do_not_fit_together_take_turns() {
    let on_demand = |text: &str| {
        let kept = text.lines().filter(|line| !line.starts_with("residency"));
        let text = kept.fold(String::new(), |text, line| text + line + "\n");
        text.replace("[run]\n", "[run]\nresidency = \"on-demand\"\n")
    };
    // Less than the two may use together, enough for the larger one.
    let flow = open(&["yara", "pdfid"], on_demand, 1100).await;
    for number in 0..2 {
        let analysis = submit(&flow, format!("file {number}").as_bytes(), Reuse::Known).await;
        let expected = [("pdfid", "type-unsupported"), ("yara", "undetected")];
        check(&verdicts(&flow, &analysis).await, &expected);
    }
    flow.close().await;
}
