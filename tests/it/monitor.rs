//! VirusTotal's Monitor for publishers: the wire, its extensions, and the command line on it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod answers;
mod archive;
mod batch;
mod command;
mod events;
mod filters;
mod looks;
mod overview;
mod search;
mod tree;
mod views;
mod wire;

use std::process::Command;
use std::time::Duration;

use acquit::config::Config;
use acquit::model::{
    ApiKey, ItemId, KeyRole, Publisher, PublisherId, Quota, Seat, SharePolicy, Timestamp, Verdict,
};
use acquit::store::{KEYS, KeyRow, PUBLISHERS, Store};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::http::appliance::{Appliance, answer, client, malicious};
use crate::support::{python, run};

/// An appliance with two publishers, and a viewer of the first.
struct Lab {
    appliance: Appliance,
    acme: String,
    rival: String,
    viewer: String,
}

impl Lab {
    async fn start() -> Self {
        Self::start_with(Quota::default(), |_| ()).await
    }

    async fn start_with(quota: Quota, change: impl FnOnce(&mut Config)) -> Self {
        let appliance = Appliance::start_with(change).await;
        add_publisher(&appliance.store, "acme", quota).await;
        add_publisher(&appliance.store, "rival", Quota::default()).await;
        let store = &appliance.store;
        let acme = seat(store, KeyRole::Publisher, Some("acme")).await;
        let rival = seat(store, KeyRole::Publisher, Some("rival")).await;
        let viewer = seat(store, KeyRole::Viewer, Some("acme")).await;
        Self {
            appliance,
            acme,
            rival,
            viewer,
        }
    }

    fn api(&self, path: &str) -> String {
        self.appliance.api(path)
    }

    fn acme(&self) -> Client {
        client(&self.acme)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.acme().get(self.api(path))
    }

    fn put(&self, path: &str, bytes: &[u8]) -> RequestBuilder {
        let part = Part::bytes(bytes.to_vec()).file_name("filepath");
        let form = Form::new().part("file", part).text("path", path.to_owned());
        self.acme().post(self.api("/monitor/items")).multipart(form)
    }

    /// Puts a file that must get there, and returns the answer.
    async fn file(&self, path: &str, bytes: &[u8]) -> Value {
        ok(self.put(path, bytes)).await
    }
}

async fn ok(request: RequestBuilder) -> Value {
    let (status, body) = answer(request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

fn id(path: &str) -> String {
    let (publisher, path) = ("acme".parse().unwrap(), path.parse().unwrap());
    ItemId { publisher, path }.to_string()
}

/// Returns the URL of an item with its id escaped.
fn item(path: &str) -> String {
    format!("/monitor/items/{}", escaped(&id(path)))
}

fn escaped(id: &str) -> String {
    id.replace('/', "%2F")
        .replace('+', "%2B")
        .replace('=', "%3D")
}

async fn add_publisher(store: &Store, name: &str, quota: Quota) {
    let id: PublisherId = name.parse().unwrap();
    let row = Publisher {
        id: id.clone(),
        name: format!("{name} Ltd"),
        created_at: Timestamp::from_millis(1),
        emails: Vec::new(),
        policy: SharePolicy::default(),
        quota,
        profile: Default::default(),
        card: Default::default(),
    };
    let put = store.write(move |change| change.put(&PUBLISHERS, &id, &row));
    put.await.unwrap();
}

async fn seat(store: &Store, role: KeyRole, publisher: Option<&str>) -> String {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).unwrap();
    let key = ApiKey::new(bits);
    let seat = Seat {
        publisher: publisher.map(|name| name.parse().unwrap()),
        ..Seat::of(role)
    };
    let at = Timestamp::from_millis(1_700_000_000_000);
    let row = KeyRow::new(&key, "k".to_owned(), seat, at);
    let put = store.write(move |change| change.put(&KEYS, &row.id, &row));
    put.await.unwrap();
    key.reveal()
}

#[tokio::test(flavor = "multi_thread")]
async fn real_vt_py_runs_the_whole_surface() {
    let lab = Lab::start().await;
    for day in [1, 2, 3] {
        let day = Timestamp::from_millis(day * 86_400_000);
        let closed = acquit::flow::statistics::close(&lab.appliance.store, day);
        closed.await.unwrap();
    }
    let (url, key, rival) = (
        lab.appliance.url.clone(),
        lab.acme.clone(),
        lab.rival.clone(),
    );
    let script = tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vt_monitor.py");
        run(Command::new(python()).arg(script).args([url, key, rival]))
    });
    let engines = async {
        loop {
            lab.appliance.answer("clamav", malicious("Win.Test")).await;
            lab.appliance.answer("yara", Verdict::Undetected).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let printed = tokio::select! {
        printed = script => printed.expect("the client ends well"),
        () = engines => unreachable!("the engines never end"),
    };
    assert!(printed.ends_with("done"), "{printed}");
}
