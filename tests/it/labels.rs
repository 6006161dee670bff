//! One family name out of what engines call a file, by the real AVClass in its container.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use acquit::config::Config;
use acquit::engine::sandbox::Sandbox;
use acquit::model::{EngineId, Label, Sha256};
use acquit::store::{LABELS, UNLABELED};

use crate::flow::Flow;
use crate::support;

/// Two engines that call every file something else; their images go with the value.
struct Callers {
    ids: Vec<EngineId>,
    dir: tempfile::TempDir,
}

impl Callers {
    async fn build(names: [&str; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut callers = Self {
            ids: Vec::new(),
            dir,
        };
        let context = callers.path("containers/caller");
        fs::create_dir_all(&context).unwrap();
        fs::create_dir_all(callers.path("engines")).unwrap();
        fs::write(
            context.join("Dockerfile"),
            "ARG BASE=acquit-base:local\nFROM ${BASE}\nUSER 65534:65534\n",
        )
        .unwrap();
        for name in names {
            callers.add(name);
        }
        let avclass = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/avclass.toml");
        fs::copy(avclass, callers.path("engines/avclass.toml")).unwrap();
        let mut config = Config::default();
        callers.configure(&mut config);
        config.storage.data_dir = callers.path("data");
        fs::create_dir_all(&config.storage.data_dir).unwrap();
        let sandbox = Sandbox::direct(config).unwrap();
        for id in &callers.ids {
            sandbox.build(id, drop).await.unwrap();
        }
        callers
    }

    fn add(&mut self, name: &str) {
        let mut random = [0; 4];
        getrandom::fill(&mut random).unwrap();
        let id = format!("caller-{}", hex::encode(random));
        let manifest = MANIFEST.replace("{id}", &id).replace("{name}", name);
        fs::write(self.path("engines").join(format!("{id}.toml")), manifest).unwrap();
        self.ids.push(id.parse().unwrap());
    }

    fn configure(&self, config: &mut Config) {
        config.engines.manifests = vec![self.path("engines")];
        config.engines.containers = self.path("containers");
        config.docker.runner = support::runner();
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.dir.path().join(below)
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        for id in &self.ids {
            let tag = format!("acquit-engine-{id}:local");
            let _ = Command::new("docker").args(["rmi", &tag]).output();
        }
    }
}

const MANIFEST: &str = r#"
id = "{id}"
name = "{id}"
vendor = "Nobody"
description = "Calls every file the same"
[image]
context = "caller"
[run]
transport = "command"
command = ["sh", "-c", 'for f; do echo "$f: {name} FOUND"; done', "sh", "{files}"]
[limits]
memory_mb = 64
tmp_mb = 8
[parse.exit]
complete = [0]
[parse.proof]
rule = "per-file"
[[parse.lines]]
pattern = '^(?<path>/\S+): (?<name>.+) FOUND$'
means = "malicious"
[[parse.lines]]
pattern = '^(?<path>/\S+): OK$'
means = "undetected"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_engines_call_a_file_becomes_one_family() {
    let callers = Callers::build([
        "Win.Ransomware.WannaCry-6313787-0",
        "Ransom:Win32/WannaCrypt.A!rsm",
    ])
    .await;
    let flow = Flow::open_with(|config| callers.configure(config)).await;
    let analysis = flow.submit(b"a file that everybody minds", "x.exe").await;
    let verdicts = flow.completed(&analysis).await;
    // The labeler answers no job: it looks at no file.
    assert_eq!(verdicts.len(), 2, "{verdicts:?}");
    let label = label(&flow, &analysis.id.sha256).await;
    assert_eq!(label.family.as_str(), "wannacry");
    assert_eq!(label.names.len(), 2);
    assert_eq!(label.labeler.as_str(), "avclass");
    let due = flow.store.get(&UNLABELED, &analysis.id.sha256).unwrap();
    assert!(due.is_none());
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_agree_on_nothing_give_no_label() {
    let callers = Callers::build(["EICAR-Test-File", "Acquit_Eicar_Test_File"]).await;
    let flow = Flow::open_with(|config| callers.configure(config)).await;
    let analysis = flow.submit(b"another file", "y.exe").await;
    flow.completed(&analysis).await;
    let sha256 = analysis.id.sha256;
    let done = || flow.store.get(&UNLABELED, &sha256).unwrap().is_none();
    wait_until(done).await;
    assert!(flow.store.get(&LABELS, &sha256).unwrap().is_none());
    flow.close().await;
}

async fn label(flow: &Flow, sha256: &Sha256) -> Label {
    wait_until(|| flow.store.get(&LABELS, sha256).unwrap().is_some()).await;
    flow.store.get(&LABELS, sha256).unwrap().unwrap()
}

async fn wait_until(holds: impl Fn() -> bool) {
    for _ in 0..1200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not happen within a minute");
}
