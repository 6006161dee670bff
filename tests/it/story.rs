//! The story of the product, with real parts: a publisher, a vendor, and a false positive from its
//! first detection to its end.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use acquit::config::{Config, EngineUpdates, MailSecurity, Source};
use acquit::model::EngineId;
use serde_json::Value;
use sha2::Digest;

use crate::faults::daemon::Daemon;
use crate::feeds::mirror::Mirror;
use crate::http::appliance::answer;
use crate::notify::lab::{Peer, wait};
use crate::support::{self, python};

/// Bound of everything that must happen at all.
const PATIENCE: Duration = Duration::from_secs(180);
/// A program of the publisher's, which a signature will flag falsely.
const OURS: &[u8] = b"\x7fELF a program made in our own house, number 4711\n";
/// Another of its programs, which nobody flags.
const OTHER: &[u8] = b"\x7fELF another program, number 4712\n";
/// A program of another publisher's, flagged by the same signature, and nobody's business.
const SECRET: &[u8] = b"\x7fELF not announced, number 4711, not for anybody\n";
/// The rule that flags them.
const FLAGS_OURS: &str = "rule False_Positive { strings: $a = \"number 4711\" condition: $a }\n";

/// Where that rule's vendor takes false positives.
const DIRECTORY: &str = r#"
[[vendor]]
id = "house-rules"
name = "House Rules"
engines = ["yara"]
channel = "mail"
mail = ["disputes@rules.test"]
archive = "zip"
password = "infected"
last_verified = "2026-11-24"
source = "ourselves"
"#;

struct Story {
    mirror: Mirror,
    mailbox: Peer,
    hook: Peer,
    daemon: Daemon,
    publisher: String,
    vendor: String,
    engines: tempfile::TempDir,
}

impl Story {
    async fn begin() -> Self {
        let (mirror, engines) = (Mirror::start(), tempfile::tempdir().unwrap());
        let mailbox = Peer::start("smtp.py", &["none"]);
        let hook = Peer::hooks(&engines.path().join("secret"));
        serve(&mirror, 1, "");
        let mut daemon = Daemon::with(|config, _| {
            configure(config, &mirror, engines.path());
            config.mail.server = "127.0.0.1".to_owned();
            config.mail.port = mailbox.port;
            config.mail.security = MailSecurity::None;
            config.mail.from = "Acquit <acquit@appliance.test>".to_owned();
            config.notifications.allowed_hosts = vec!["127.0.0.0/8".to_owned()];
        });
        daemon.start();
        daemon.becomes_ready(true).await;
        let mut story = Self {
            mirror,
            mailbox,
            hook,
            daemon,
            publisher: String::new(),
            vendor: String::new(),
            engines,
        };
        story.people();
        story
    }

    /// The administrator names who takes part.
    fn people(&mut self) {
        let admin = Daemon::key();
        let make = |arguments: &[&str]| self.done(&admin, arguments);
        make(&[
            "publishers",
            "create",
            "Acme Software",
            "--id",
            "acme",
            "--email",
            "release@acme.test",
            "--policy",
            "file",
        ]);
        make(&[
            "publishers",
            "create",
            "Secretive",
            "--id",
            "secretive",
            "--policy",
            "never",
        ]);
        make(&[
            "vendors",
            "create",
            "House Rules",
            "--engine",
            "yara",
            "--email",
            "fp@rules.test",
        ]);
        make(&[
            "vendors",
            "create",
            "Clam People",
            "--id",
            "clam",
            "--engine",
            "clamav",
        ]);
        let key = |arguments: &[&str]| {
            let made = self.done(
                &admin,
                &[&["keys", "create", "k", "--role"], arguments].concat(),
            );
            made.trim().to_owned()
        };
        let publisher = key(&["publisher", "--publisher", "acme"]);
        let vendor = key(&["vendor", "--vendor", "house-rules"]);
        (self.publisher, self.vendor) = (publisher, vendor);
    }

    /// Runs the command line as a user would.
    fn acquit(&self, key: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acquit"));
        command.env("ACQUIT_SERVER", self.daemon.url(""));
        command.env("ACQUIT_APIKEY", key);
        command.args(arguments).output().unwrap()
    }

    /// As [`Self::acquit`], and it must end well; returns what it printed.
    #[track_caller]
    fn done(&self, key: &str, arguments: &[&str]) -> String {
        let output = self.acquit(key, arguments);
        let said = [&*output.stderr, &*output.stdout].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let get = self.daemon.client.get(self.daemon.url(path));
        let (status, mut body) = answer(get).await;
        assert!(status.is_success(), "{path}: {status}: {body}");
        body["data"].take()
    }

    /// Reads a path until something is found in it.
    async fn until<T>(&self, path: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            let data = self.get(path).await;
            if let Some(found) = find(&data) {
                return found;
            }
            assert!(Instant::now() < until, "{data:#}: {}", self.daemon.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until an incident of Acme's is in a state; returns it.
    async fn incident(&self, states: &[&str]) -> Value {
        self.until("/api/v3/acquit/incidents?filter=publisher:acme", |all| {
            let all = all.as_array()?;
            assert!(all.len() < 2, "more than one incident: {all:#?}");
            let one = all.first()?;
            let state = one["attributes"]["state"].as_str()?;
            states.contains(&state).then(|| one.clone())
        })
        .await
    }

    /// Returns the name of the set that YARA scans with.
    async fn active_set(&self) -> String {
        let sets = self.get("/api/v3/acquit/engines/yara/signature_sets").await;
        let is_active = |set: &&Value| set["attributes"]["state"] == "active";
        let active = sets.as_array().unwrap().iter().find(is_active);
        let active = active.unwrap_or_else(|| panic!("{sets:#}"));
        active["id"].as_str().unwrap().to_owned()
    }

    /// Waits for a mail to an address with a word in its subject or text; returns both.
    async fn mail(&self, to: &str, word: &str) -> String {
        wait(|| {
            let texts = self.mails(to).into_iter().map(|mail| {
                let subject = mail["headers"]["subject"].as_str().unwrap_or_default();
                format!("{subject}\n{}", mail["text"].as_str().unwrap_or_default())
            });
            texts.into_iter().find(|text| text.contains(word))
        })
        .await
    }

    fn mails(&self, to: &str) -> Vec<Value> {
        let mut mails = self.mailbox.lines();
        mails.retain(|mail| mail["to"].as_array().unwrap().contains(&to.into()));
        mails
    }

    /// Waits for a call of the webhook about a kind of event; returns what it said.
    async fn called(&self, kind: &str) -> String {
        let call = wait(|| {
            let calls = self.hook.lines();
            calls
                .into_iter()
                .find(|call| call["body"].to_string().contains(kind))
        });
        let call = call.await;
        assert_eq!(call["signed"], true, "{call:#}");
        call["body"].to_string()
    }

    fn python(&self, script: &str, arguments: &[&str]) -> String {
        let script = format!("{}/tests/fixtures/{script}", env!("CARGO_MANIFEST_DIR"));
        support::run(
            Command::new(python())
                .arg(script)
                .arg(self.daemon.url(""))
                .args(arguments),
        )
    }
}

fn configure(config: &mut Config, mirror: &Mirror, engines: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(engines, open).unwrap();
    for engine in ["clamav", "yara"] {
        let name = format!("{engine}.toml");
        std::fs::copy(root.join("engines").join(&name), engines.join(&name)).unwrap();
    }
    config.engines.manifests = vec![engines.to_owned()];
    config.engines.containers = root.join("containers");
    config.docker.runner = support::runner();
    let vendors = engines.join("vendors.toml");
    std::fs::write(&vendors, DIRECTORY).unwrap();
    std::fs::set_permissions(&vendors, std::fs::Permissions::from_mode(0o644)).unwrap();
    config.disputes.vendors = vec![vendors];
    let updates = &mut config.updates;
    updates.enabled = false;
    updates.system_files = 8;
    updates.known_good = engines.join("none");
    updates.known_bad = engines.join("none");
    let source = Source {
        url: Some(mirror.url("/yara/rules.yar")),
        ..Source::default()
    };
    let own = EngineUpdates {
        sources: Some(vec![source]),
        ..EngineUpdates::default()
    };
    let engine: EngineId = "yara".parse().unwrap();
    updates.engines.insert(engine, own);
}

fn serve(mirror: &Mirror, edition: u32, rules: &str) {
    let own = format!(
        "rule V{edition} {{ strings: $a = \"house rules, edition {edition}\" condition: $a }}\n"
    );
    mirror.put("/yara/rules.yar", (own + rules).as_bytes());
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}

/// A folder of good software, as a release engineer has it.
fn release() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("acme-1.0/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("acme"), OURS).unwrap();
    std::fs::write(bin.join("acmectl"), OTHER).unwrap();
    std::fs::write(dir.path().join("acme-1.0/README.txt"), "Read me.\n").unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn false_positive_is_found_told_disputed_fixed_and_accounted_for() {
    let story = Story::begin().await;
    let admin = Daemon::key();
    story.done(&admin, &["signatures", "update", "yara"]);
    let clean_set = story.active_set().await;

    // A publisher pushes a folder of good software; it is clean.
    let hook = story.hook.url("/ok");
    let added = ["notifications", "add", "webhook", &hook];
    let added = story.done(&story.publisher, &added);
    let secret = added
        .split_whitespace()
        .find(|word| word.starts_with("whsec_"));
    std::fs::write(story.engines.path().join("secret"), secret.unwrap()).unwrap();
    let release = release();
    let folder = release.path().join("acme-1.0");
    let pushed = story.done(
        &story.publisher,
        &[
            "push",
            "--wait",
            folder.to_str().unwrap(),
            "/releases/acme-1.0/",
        ],
    );
    assert!(pushed.contains("nothing detected"), "{pushed}");
    story.done(
        &story.publisher,
        &[
            "details",
            "/releases/acme-1.0/bin/acme",
            "Our flagship, built in the house.",
        ],
    );
    story.done(
        &story.publisher,
        &[
            "card",
            "/releases/acme-1.0/",
            "--set",
            "product=Acme",
            "--set",
            "version=1.0",
        ],
    );
    let secret = release.path().join("secret.bin");
    std::fs::write(&secret, SECRET).unwrap();
    let secret = secret.to_str().unwrap();
    story.done(&admin, &["push", "--wait", secret, "secretive:/plans/"]);
    let listed = story.done(&story.publisher, &["ls", "-R", "/"]);
    assert!(listed.contains("acmectl"), "{listed}");
    assert!(!listed.contains("secret"), "{listed}");

    // At night a signature update falsely flags one of the files.
    serve(&story.mirror, 2, FLAGS_OURS);
    story.done(&admin, &["signatures", "update", "yara"]);
    let flagging_set = story.active_set().await;
    assert_ne!(clean_set, flagging_set);
    let incident = story.incident(&["notified"]).await;
    let attributes = &incident["attributes"];
    assert_eq!(attributes["sha256"], sha256(OURS), "{incident:#}");
    assert_eq!(attributes["engine"], "yara");
    let id = incident["id"].as_str().unwrap().to_owned();

    // The publisher and that vendor are told, by mail and by webhook.
    let to_publisher = story.mail("release@acme.test", "False_Positive").await;
    assert!(
        to_publisher.contains("/releases/acme-1.0/bin/acme"),
        "{to_publisher}"
    );
    let to_vendor = story.mail("fp@rules.test", &sha256(OURS)).await;
    assert!(!to_vendor.contains(&sha256(SECRET)) && !to_vendor.contains("Secretive"));
    let told = story.called("incident-opened").await;
    assert!(told.contains(&sha256(OURS)), "{told}");

    // The vendor's account sees that hash, downloads that file, and nothing else.
    let hidden = [sha256(OTHER), sha256(SECRET), sha256(b"nobody's")];
    let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
    let arguments = [&[&*story.vendor, "yara"], hidden.as_slice()].concat();
    let seen = story.python("vt_vendor.py", &arguments);
    let ours = sha256(OURS);
    assert_eq!(seen, format!("{ours} {ours}"));

    // Its comment reaches the publisher.
    let shown = story.done(&story.publisher, &["incidents", "show", &id]);
    for word in ["too broad", "False_Positive", &clean_set, &flagging_set] {
        assert!(shown.contains(word), "without {word:?}: {shown}");
    }
    let item = ["/releases/acme-1.0/bin/acme"];
    let item = story.python(
        "vt_publisher.py",
        &[&[&*story.publisher], item.as_slice()].concat(),
    );
    assert!(
        item.contains("new-detections") && item.contains("too broad"),
        "{item}"
    );

    // Somebody else scans the file: it is disputed, not malicious.
    let acme = folder.join("bin/acme");
    let scanned = story.acquit(&admin, &["scan", acme.to_str().unwrap()]);
    let scanned = String::from_utf8_lossy(&scanned.stdout).into_owned();
    assert!(scanned.to_lowercase().contains("disputed"), "{scanned}");
    assert!(scanned.contains("Acme Software"), "{scanned}");

    // What is reported is shown before it is, and then sent by that vendor's rules.
    let preview = story.done(
        &story.publisher,
        &["incidents", "dispute", &id, "--preview"],
    );
    for word in [&*ours, "False_Positive", "disputes@rules.test", &clean_set] {
        assert!(preview.contains(word), "without {word:?}: {preview}");
    }
    assert!(story.mails("disputes@rules.test").is_empty());
    story.done(&story.publisher, &["incidents", "dispute", &id, "--send"]);
    let sent = story.mail("disputes@rules.test", &ours).await;
    assert!(sent.contains("False_Positive"), "{sent}");
    let sent = story.mails("disputes@rules.test").remove(0);
    let files = sent["files"].as_array().unwrap();
    assert!(
        files.len() == 1 && files[0][1].as_u64() > Some(0),
        "{sent:#}"
    );

    // The next edition is fixed: the incident resolves, with both sets named, and both are told.
    serve(&story.mirror, 3, "");
    story.done(&admin, &["signatures", "update", "yara"]);
    let fixed_set = story.active_set().await;
    story.incident(&["resolved"]).await;
    let shown = story.done(&story.publisher, &["incidents", "show", &id]);
    for word in ["resolved", &flagging_set, &fixed_set] {
        assert!(shown.contains(word), "without {word:?}: {shown}");
    }
    for address in ["release@acme.test", "fp@rules.test"] {
        let told = story.mail(address, &fixed_set).await;
        assert!(told.contains("Clean again with"), "{told}");
    }
    story.called("incident-resolved").await;
    let none = story.python(
        "vt_publisher.py",
        &[&*story.publisher, "/releases/acme-1.0/bin/acme"],
    );
    assert!(none.contains("solved-detections"), "{none}");
    assert!(none.contains("detections 0"), "{none}");

    // The ledger accounts for every byte that left.
    story.done(&admin, &["ledger", "verify"]);
    accounts_for_everything(&story);
}

/// Returns how large things are, smallest first.
fn sizes<'a>(of: impl IntoIterator<Item = &'a Value>, field: &str) -> Vec<u64> {
    let sizes = of.into_iter().map(|it| it[field].as_u64().unwrap());
    let mut sizes: Vec<_> = sizes.collect();
    sizes.sort_unstable();
    sizes
}

/// Every mail, every call of the webhook and the one download has its line, with its size.
fn accounts_for_everything(story: &Story) {
    let exported = story.done(&Daemon::key(), &["ledger", "export"]);
    let lines = exported.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line.get("entry").cloned().unwrap_or(line)
    });
    let left: Vec<Value> = lines.filter(|line| line["kind"] == "egress").collect();
    let to = |who: &str| -> Vec<&Value> {
        let is_to = |line: &&Value| line["to"].as_str().is_some_and(|to| to.contains(who));
        left.iter().filter(is_to).collect()
    };
    for address in ["release@acme.test", "fp@rules.test", "disputes@rules.test"] {
        let lines = to(address);
        let came = story.mails(address);
        assert_eq!(sizes(lines.iter().copied(), "bytes"), sizes(&came, "size"));
        assert!(
            lines.iter().all(|line| line["rule"].is_string()),
            "{lines:#?}"
        );
    }
    let calls = story.hook.lines();
    assert_eq!(sizes(to("127.0.0.1"), "bytes"), sizes(&calls, "size"));
    let files = left.iter().filter(|line| {
        let hash = sha256(OURS);
        line["sha256"] == hash && line["to"] == "vendor house-rules"
    });
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 1, "{left:#?}");
    assert_eq!(files[0]["bytes"], OURS.len());
    // The dispute's mail has the file in an archive, and words besides.
    let dispute = &to("disputes@rules.test")[0];
    assert_eq!(dispute["sha256"], sha256(OURS), "{dispute:#}");
    let secret = sha256(SECRET);
    assert!(
        left.iter().all(|line| line["sha256"] != secret),
        "{left:#?}"
    );
}
