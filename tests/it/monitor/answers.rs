//! What every answer of the Monitor has in common with all others.

use acquit::model::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Lab, id, item, ok};
use crate::http::appliance::{client, malicious};
use crate::http::wire::{good_answer, good_objects};

impl Lab {
    /// A collection with something of every kind in it; returns the paths that show it.
    async fn everything(&self) -> Vec<String> {
        self.file("/a/b.bin", b"one").await;
        self.file("/a/b.bin", b"two").await;
        self.file("/gone.bin", b"gone").await;
        ok(self.acme().delete(self.api(&item("/gone.bin")))).await;
        self.appliance.answer("clamav", malicious("Win.Test")).await;
        self.appliance.settle().await;
        let day = Timestamp::from_millis(86_400_000);
        let closed = acquit::flow::statistics::close(&self.appliance.store, day);
        closed.await.unwrap();
        let incidents = ok(self.get("/acquit/incidents")).await;
        let incident = incidents["data"][0]["id"].as_str().unwrap().to_owned();
        let (file, folder) = (item("/a/b.bin"), item("/a/"));
        let ours = format!("/acquit/items/{}", id("/a/b.bin"));
        let subscription = self.subscribe().await;
        let parts = ["", "/analyses", "/comments", "/owner", "/download_url"];
        let related = ["analyses", "comments", "owner"];
        let related = related.map(|name| format!("{file}/relationships/{name}"));
        let mut paths: Vec<String> = parts.map(|part| format!("{file}{part}")).into();
        paths.extend(related);
        paths.extend(["card", "policy", "history"].map(|part| format!("{ours}/{part}")));
        paths.extend([
            folder,
            format!("/acquit/incidents/{incident}"),
            format!("/acquit/incidents/{incident}/thread"),
            format!("/acquit/subscriptions/{subscription}"),
        ]);
        let others = [
            "/monitor/items",
            "/monitor/items?recursive=true",
            "/monitor/items/upload_url",
            "/monitor/events",
            "/monitor/statistics",
            "/monitor/statistics/acme-day-1970-01-02",
            "/groups/acme",
            "/users/me?relationships=groups,api_quota_group,monitor_quota_group",
            "/acquit/collection",
            "/acquit/overview",
            "/acquit/views",
            "/acquit/search?query=a",
            "/acquit/trash",
            "/acquit/incidents",
            "/acquit/incidents/statistics",
            "/acquit/disputes",
            "/acquit/file_requests",
            "/acquit/subscriptions",
            "/acquit/deliveries",
            "/acquit/publishers/acme",
            "/acquit/references",
        ];
        paths.extend(others.map(str::to_owned));
        paths
    }

    async fn subscribe(&self) -> String {
        let attributes = json!({"channel": "mail", "target": "a@acme.test"});
        let body = json!({ "data": { "attributes": attributes } });
        let url = self.api("/acquit/subscriptions");
        let made = self.acme().request(Method::POST, url).json(&body);
        ok(made).await["data"]["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn every_answer_is_as_all_others_and_its_objects_are_as_needed() {
    let lab = Lab::start().await;
    let (mut objects, mut kinds) = (0, std::collections::BTreeSet::new());
    for path in lab.everything().await {
        let answer = good_answer(&lab.acme(), &lab.api(&path)).await;
        objects += good_objects(&answer, &lab.appliance.url);
        let data = answer["data"].as_array().cloned();
        let data = data.unwrap_or_else(|| vec![answer["data"].clone()]);
        kinds.extend(
            data.iter()
                .filter_map(|object: &Value| object["type"].as_str().map(str::to_owned)),
        );
    }
    assert!(objects >= 20, "{objects}");
    for kind in [
        "monitor_item",
        "monitor_analysis",
        "monitor_event",
        "monitor_statistics",
        "monitor_policy",
        "monitor_item_version",
        "monitor_collection",
        "trashed_item",
        "group",
        "user",
        "incident",
        "subscription",
    ] {
        assert!(kinds.contains(kind), "no {kind} among {kinds:?}");
    }
}

#[tokio::test]
async fn parameters_of_lists_mean_nothing_elsewhere_and_a_day_is_a_cursor_of_statistics() {
    let lab = Lab::start().await;
    lab.file("/a.bin", b"abc").await;
    for part in ["", "/download", "/owner", "/download_url"] {
        let url = lab.api(&format!("{}{part}?limit=x&cursor=!", item("/a.bin")));
        let answer = lab.acme().get(&url).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}");
    }
    let list = lab.get(&format!("{}/analyses?limit=x", item("/a.bin")));
    crate::http::appliance::refused(list, 400, "InvalidArgumentError").await;
    for day in 1..4 {
        let day = Timestamp::from_millis(day * 86_400_000);
        let closed = acquit::flow::statistics::close(&lab.appliance.store, day);
        closed.await.unwrap();
    }
    let days = async |query: &str| {
        let page = ok(lab.get(&format!("/monitor/statistics?{query}"))).await;
        let days = page["data"].as_array().unwrap().clone();
        let id = |day: &Value| day["id"].as_str().unwrap()[9..].to_owned();
        days.iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(days("limit=1").await, ["1970-01-04"]);
    let older = ["1970-01-03", "1970-01-02"];
    assert_eq!(days("cursor=1970-01-04").await, older);
    assert_eq!(days("cursor=1970-01-03&limit=1").await, older[1..]);
    let foreign =
        client(&lab.rival).get(lab.api("/monitor/statistics?cursor=1970-01-04&owner=acme"));
    crate::http::appliance::refused(foreign, 404, "NotFoundError").await;
}

#[tokio::test]
async fn days_on_which_the_daemon_was_down_at_midnight_have_their_figures() {
    use acquit::flow::statistics::close_due;
    let lab = Lab::start().await;
    let at = |hours: u64| Timestamp::from_millis(hours * 3_600_000);
    let days = async || {
        let page = ok(lab.get("/monitor/statistics")).await;
        page["data"].as_array().unwrap().len()
    };
    let store = &lab.appliance.store;
    close_due(store, at(20_000 * 24 + 12)).await.unwrap();
    assert_eq!(days().await, 0, "nothing is known of before");
    close_due(store, at(20_000 * 24 + 23)).await.unwrap();
    assert_eq!(days().await, 0, "the day is not over");
    close_due(store, at(20_003 * 24 + 1)).await.unwrap();
    assert_eq!(days().await, 3);
    close_due(store, at(20_003 * 24 + 2)).await.unwrap();
    assert_eq!(days().await, 3);
}
