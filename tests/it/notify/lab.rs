//! A store with a notifier, and the peers it tells.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acquit::config::{Config, Mail, MailSecurity};
use acquit::flow::events::{Draft, raise};
use acquit::flow::notify::{Notifier, subscriptions};
use acquit::metrics::Metrics;
use acquit::model::{
    About, Audience, Channel, Delivery, Event, EventKind, Pace, Publisher, PublisherId,
    Subscription,
};
use acquit::store::{DELIVERIES, PUBLISHERS, Store};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support;

/// A program that says a JSON object a line.
pub struct Peer {
    child: Child,
    pub port: u16,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Peer {
    pub fn hooks(secret: &Path) -> Self {
        Self::start("hooks.py", &[secret.to_str().unwrap()])
    }

    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(script);
        let mut child = Command::new(support::python())
            .arg(script)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&reader.next().unwrap().unwrap()).unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in reader.map_while(Result::ok) {
                kept.lock()
                    .unwrap()
                    .push(serde_json::from_str(&line).unwrap());
            }
        });
        let port = first["port"].as_u64().unwrap().try_into().unwrap();
        Self { child, port, lines }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until so many lines came.
    pub async fn said(&self, count: usize) -> Vec<Value> {
        wait(|| (self.lines().len() >= count).then(|| self.lines())).await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Waits for something that comes within a minute.
pub async fn wait<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come");
}

pub struct Lab {
    pub dir: tempfile::TempDir,
    pub config: Arc<Config>,
    pub store: Store,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

pub fn allow_local(config: &mut Config) {
    config.notifications.allowed_hosts = vec!["127.0.0.1".to_owned()];
    config.notifications.timeout_seconds = 3;
}

/// Settings of mail by an unprotected server on this machine.
pub fn plain_mail(port: u16) -> Mail {
    Mail {
        server: "127.0.0.1".to_owned(),
        port,
        security: MailSecurity::None,
        from: "Acquit <acquit@example.org>".to_owned(),
        timeout_seconds: 3,
        ..Mail::default()
    }
}

impl Lab {
    pub fn new(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let mut config = Config::default();
        config.storage.data_dir = dir.path().to_owned();
        allow_local(&mut config);
        change(&mut config);
        Self {
            dir,
            config: Arc::new(config),
            store,
            shutdown: CancellationToken::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Starts to route and to send.
    pub fn run(&mut self) {
        let metrics = Metrics::new().unwrap();
        let config = Arc::clone(&self.config);
        let notifier = Notifier::open(config, self.store.clone(), metrics).unwrap();
        let shutdown = self.shutdown.clone();
        self.tasks
            .spawn(async move { notifier.run(&shutdown).await });
    }

    pub async fn stop(&mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.shutdown = CancellationToken::new();
    }

    pub async fn publisher(&self, id: &str, emails: &[&str]) -> PublisherId {
        let row = Publisher {
            id: id.parse().unwrap(),
            name: format!("The {id} Company"),
            created_at: acquit::system::now(),
            emails: emails.iter().map(|&email| email.to_owned()).collect(),
            policy: Default::default(),
            quota: Default::default(),
            profile: Default::default(),
            card: Default::default(),
        };
        let id = row.id.clone();
        let write = self
            .store
            .write(move |change| change.put(&PUBLISHERS, &row.id, &row));
        write.await.unwrap();
        id
    }

    pub async fn subscribe(&self, channel: Channel) -> Subscription {
        self.subscribe_as(Audience::Admin, channel, Pace::Immediate)
            .await
    }

    pub async fn subscribe_as(
        &self,
        audience: Audience,
        channel: Channel,
        pace: Pace,
    ) -> Subscription {
        let wanted = subscriptions::Wanted {
            audience,
            channel,
            kinds: Default::default(),
            pace,
            quiet: None,
            creator: "test".to_owned(),
        };
        let now = acquit::system::now();
        let made = subscriptions::create(&self.store, &self.config, wanted, now).await;
        made.unwrap()
    }

    pub async fn raise(&self, kind: EventKind, about: About, text: &str) -> Event {
        let draft = Draft::about(acquit::system::now(), kind, about, text.to_owned());
        self.store
            .write(move |change| raise(change, draft))
            .await
            .unwrap()
    }

    /// Raises what administrators are told of.
    pub async fn overdue(&self, text: &str) -> Event {
        self.raise(EventKind::IncidentOverdue, About::default(), text)
            .await
    }

    /// Waits for what becomes of a delivery.
    pub async fn delivery(
        &self,
        (event, row): (&Event, &Subscription),
        fits: impl Fn(&Delivery) -> bool,
    ) -> Delivery {
        let key = (event.number, row.id);
        let look = || self.store.get(&DELIVERIES, &key).unwrap().filter(&fits);
        wait(look).await
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// All lines of the ledger, whatever file they are in.
    pub fn ledger(&self) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(self.path("ledger")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "jsonl") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
        text
    }
}

pub fn webhook(url: String) -> Channel {
    Channel::Webhook {
        url,
        secrets: Vec::new(),
    }
}
