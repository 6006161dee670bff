//! An engine taken over by the files it is given, in the daemon's own flow.
//!
//! Alone, in batches with good files, and as an engine that is silent about
//! clean ones: whatever it does, no file is called clean that was not looked at,
//! and no other file gets a wrong answer.

use std::path::Path;

use acquit::model::{Analysis, Verdict};

use super::engine::{Evil, Style};
use crate::flow::Flow;
use crate::machine::docker;
use crate::support;

/// What a mode must lead to: the category, and what the name or the reason must hold.
const EXPECTED: &[(&str, &str, &str)] = &[
    ("flood", "failure", "printed more than"),
    ("flood-after-answer", "failure", "printed more than"),
    ("names-10k", "malicious", "Name0"),
    ("hang", "timeout", ""),
    ("hang-term", "timeout", ""),
    ("hang-stop", "timeout", ""),
    ("hang-children", "timeout", ""),
    ("slow", "timeout", ""),
    ("leave-children", "malicious", "Left.Children"),
    ("forkbomb", "", ""),
    ("oom", "failure", "memory"),
    ("oom-child", "failure", "memory"),
    ("crash", "failure", "signal 11"),
    ("abort", "failure", "signal 6"),
    ("kill-runner", "", ""),
    ("exit-2", "failure", "exit code 2"),
    ("exit0-empty", "failure", ""),
    ("exit0-truncated", "failure", ""),
    ("exit0-cut", "failure", ""),
    ("other-file-name", "failure", ""),
    ("forged-ok", "malicious", "Forged"),
    ("forged-twice", "failure", ""),
    ("ansi", "malicious", "Ansi"),
    ("html", "malicious", "<script>"),
    ("rtl", "malicious", "Rtl\u{fffd}cod"),
    ("nul", "", ""),
    ("latin1", "malicious", "Latin\u{fffd}"),
    ("long-name", "malicious", "LongLong"),
    ("fill-tmp", "malicious", "Filled"),
    ("need-tmp", "malicious", "Needed"),
    ("pose", "malicious", "Posed"),
    ("write-scan", "malicious", "Blocked"),
    ("write-root", "malicious", "Blocked"),
    ("exec-tmp", "malicious", "Blocked"),
    ("memfd", "malicious", "Blocked"),
    ("io-uring", "malicious", "Blocked"),
    ("unshare", "malicious", "Blocked"),
    ("ptrace", "malicious", "Blocked"),
    ("setuid", "malicious", "Blocked"),
    ("dial", "malicious", "Blocked"),
    ("loot", "malicious", "Blocked"),
    ("sig-write", "malicious", "Blocked"),
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_engine_never_makes_a_file_clean_and_harms_no_other() {
    let mut evil = Evil::new();
    evil.add(Style::Loud, 1);
    evil.add(Style::Loud, 8);
    evil.add(Style::Silent, 8);
    evil.build().await;
    let flow = Flow::open_with(|config| evil.configure(config)).await;
    // They wait in the lanes while the sandbox is proven, so that the batches are full.
    let mut submitted = Vec::new();
    for (number, mode) in EXPECTED.iter().enumerate() {
        let file = format!("evil: {}\n", mode.0);
        let evil = flow.submit(file.as_bytes(), "evil").await;
        let good = flow
            .submit(format!("good {number}").as_bytes(), "good")
            .await;
        let mut eicar = support::eicar();
        eicar.extend(format!("\n{number}\n").bytes());
        let eicar = flow.submit(&eicar, "eicar").await;
        submitted.push((mode, evil, good, eicar));
    }
    let mut wrong = Vec::new();
    for (mode, evil, good, eicar) in &submitted {
        wrong.extend(unlike(&flow, evil, **mode).await);
        wrong.extend(unlike(&flow, good, ("good", "undetected", "")).await);
        wrong.extend(unlike(&flow, eicar, ("eicar", "malicious", "Eicar")).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    check_nothing_left(&flow);
    flow.close().await;
}

/// Says what is wrong with the answers about one file.
async fn unlike(flow: &Flow, analysis: &Analysis, expected: (&str, &str, &str)) -> Vec<String> {
    let (mode, category, text) = expected;
    let verdicts = flow.completed(analysis).await;
    assert_eq!(verdicts.len(), 3, "{mode}: {verdicts:?}");
    let right = |verdict: &Verdict| {
        let name = verdict.name().map(|name| name.as_str());
        let said = name.or_else(|| verdict.reason()).unwrap_or_default();
        let clean = *verdict == Verdict::Undetected && category != "undetected";
        let tame = !said.chars().any(char::is_control) && said.chars().count() <= 600;
        let fits = category.is_empty() || verdict.category() == category && said.contains(text);
        !clean && tame && fits
    };
    let wrong = verdicts.iter().filter(|(_, verdict)| !right(verdict));
    wrong
        .map(|(engine, verdict)| format!("{mode}: {engine}: {verdict:?}, not {category} {text}"))
        .collect()
}

/// Checks that no process, container or staged file is left but the idle containers.
fn check_nothing_left(flow: &Flow) {
    let containers = flow.containers();
    assert!(containers.len() <= 3, "{containers:?}");
    for container in containers {
        let top = docker(&["top", &container, "-o", "pid,args"]);
        assert_eq!(top.lines().count(), 2, "{top}");
    }
    let staging = flow.config.storage.data_dir.join("staging");
    for engine in std::fs::read_dir(staging).unwrap() {
        assert_eq!(names_in(&engine.unwrap().path()), Vec::<String>::new());
    }
    let incoming = flow.config.storage.data_dir.join("incoming");
    assert_eq!(names_in(&incoming), Vec::<String>::new());
}

/// Names of what is in a directory.
pub fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}
