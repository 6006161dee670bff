//! The API of incidents, and VirusTotal's statistics.

use acquit::flow::incident::find::Wanted;
use acquit::flow::{standing, statistics};
use acquit::model::{
    ApiKey, IncidentState, KeyRole, Publisher, PublisherId, Seat, Sha256, Timestamp, Verdict,
};
use acquit::store::{
    BLOB_ITEMS, Change, HOLDERS, HoldRow, KEYS, KeyRow, PUBLISHERS, Store, TAGGED,
};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::scene::{self, Scene};
use crate::http::appliance::{Appliance, answer, client, malicious, refused};

async fn key(store: &Store, role: KeyRole, publisher: Option<&PublisherId>) -> Client {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).unwrap();
    let key = ApiKey::new(bits);
    let seat = Seat {
        publisher: publisher.cloned(),
        ..Seat::of(role)
    };
    let row = KeyRow::new(&key, "k".to_owned(), seat, Timestamp::from_millis(1));
    let write = store.write(move |change| change.put(&KEYS, &row.id, &row));
    write.await.unwrap();
    client(&key.reveal())
}

/// Puts a blob into a publisher's collection, as the tree does.
async fn hold(store: &Store, sha256: Sha256, publisher: &PublisherId, path: &str) {
    let (publisher, path) = (publisher.clone(), path.parse().unwrap());
    let now = Timestamp::from_millis(1_795_305_600_000);
    let row: Publisher = serde_json::from_value(json!({
        "id": publisher, "name": publisher, "created_at": 1
    }))
    .unwrap();
    let hold = move |change: &mut Change<'_>| {
        let held = HoldRow {
            items: 1,
            since: now,
        };
        change.put(&PUBLISHERS, &publisher, &row)?;
        change.put(&HOLDERS, &(sha256, publisher.clone()), &held)?;
        change.put(&BLOB_ITEMS, &(sha256, publisher.clone(), path), &())?;
        standing::held(change, sha256, &publisher, now)
    };
    store.write(hold).await.unwrap();
}

/// A file that two engines detect, in the collections of two publishers: four incidents.
async fn detected(appliance: &Appliance) -> (PublisherId, PublisherId) {
    let (ours, theirs) = ("ours".parse().unwrap(), "theirs".parse().unwrap());
    let id = appliance.upload("a.bin", b"good software").await;
    let sha256 = id_of(appliance, &id).await;
    hold(&appliance.store, sha256, &ours, "/release 1/a.bin").await;
    hold(&appliance.store, sha256, &theirs, "/b.bin").await;
    appliance.answer("clamav", malicious("Bad.A")).await;
    appliance.answer("yara", malicious("Bad.B")).await;
    (ours, theirs)
}

async fn id_of(appliance: &Appliance, analysis: &str) -> Sha256 {
    let body = appliance.json(&format!("/analyses/{analysis}")).await;
    let sha256 = body["meta"]["file_info"]["sha256"].as_str().unwrap();
    sha256.parse().unwrap()
}

async fn page(client: &Client, url: &str) -> Vec<Value> {
    let (status, body) = answer(client.get(url)).await;
    assert_eq!(status, StatusCode::OK, "{url}: {body}");
    body["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn publisher_sees_its_own_incidents_and_no_others() {
    let appliance = Appliance::start().await;
    let (ours, _) = detected(&appliance).await;
    let all = appliance.api("/acquit/incidents");
    let seen = page(&appliance.admin(), &all).await;
    assert_eq!(seen.len(), 4);
    let mine = key(&appliance.store, KeyRole::Publisher, Some(&ours)).await;
    let own = page(&mine, &all).await;
    assert_eq!(own.len(), 2);
    assert!(own.iter().all(|it| it["attributes"]["publisher"] == "ours"));
    assert_eq!(own[0]["attributes"]["paths"], json!(["/release 1/a.bin"]));
    assert_eq!(own[0]["attributes"]["detections"], 2);
    let foreign = seen
        .iter()
        .find(|it| it["attributes"]["publisher"] == "theirs");
    let foreign = foreign.unwrap()["id"].as_str().unwrap();
    let acts = [
        (Method::GET, "", json!({})),
        (Method::GET, "/thread", json!({})),
        (Method::PATCH, "", json!({ "owner": "me" })),
        (Method::POST, "/notes", json!({ "text": "x" })),
        (Method::POST, "/replies", json!({ "text": "x" })),
        (Method::POST, "/acknowledge", json!({})),
        (Method::POST, "/close", json!({ "reason": "x" })),
        (Method::POST, "/reopen", json!({ "reason": "x" })),
    ];
    for (method, act, body) in acts {
        let ask = |id: &str| {
            let url = appliance.api(&format!("/acquit/incidents/{id}{act}"));
            refused(
                mine.request(method.clone(), url).json(&body),
                404,
                "NotFoundError",
            )
        };
        let there = ask(foreign).await;
        let nowhere = ask("99").await;
        assert_eq!(there.replace(foreign, "99"), nowhere, "{method} {act}");
    }
    let filter = appliance.api("/acquit/incidents?filter=publisher:theirs");
    refused(mine.get(filter), 404, "NotFoundError").await;
    // A key of no publisher has no collection, so nothing.
    let (_, body) = answer(appliance.get("/acquit/incidents")).await;
    assert_eq!(body["data"], json!([]));
}

#[tokio::test]
async fn list_is_filtered_and_paged_without_loss() {
    let appliance = Appliance::start().await;
    detected(&appliance).await;
    let admin = appliance.admin();
    for (filter, count) in [
        ("state:open", 4),
        ("state:resolved", 0),
        ("engine:clamav", 2),
        ("engine:clamav%20publisher:ours", 1),
        ("path:%22/release%201/%22", 2),
        ("path:/b.bin", 2),
        ("path:/c.bin", 0),
        ("owner:alice", 0),
    ] {
        let url = appliance.api(&format!("/acquit/incidents?filter={filter}"));
        assert_eq!(page(&admin, &url).await.len(), count, "{filter}");
    }
    let (mut url, mut ids) = (appliance.api("/acquit/incidents?limit=3"), Vec::new());
    loop {
        let (_, body) = answer(admin.get(&url)).await;
        let data = body["data"].as_array().unwrap();
        assert!(!data.is_empty());
        ids.extend(data.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        match body["links"]["next"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(ids, ["4", "3", "2", "1"]);
    for wrong in ["state:gone", "what:x", "path:%22/a", "word"] {
        let url = appliance.api(&format!("/acquit/incidents?filter={wrong}"));
        refused(admin.get(url), 400, "InvalidArgumentError").await;
    }
}

#[tokio::test]
async fn incident_is_worked_on_and_its_thread_says_by_whom() {
    let appliance = Appliance::start().await;
    let (ours, _) = detected(&appliance).await;
    let mine = key(&appliance.store, KeyRole::Publisher, Some(&ours)).await;
    let all = page(&mine, &appliance.api("/acquit/incidents")).await;
    let id = all[0]["id"].as_str().unwrap();
    let url = |act: &str| appliance.api(&format!("/acquit/incidents/{id}{act}"));
    let set = json!({ "owner": "alice", "deadline_date": 1_000 });
    let (status, body) = answer(mine.patch(url("")).json(&set)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["data"]["attributes"]["owner"], "alice");
    assert_eq!(body["data"]["attributes"]["overdue"], true);
    let late = appliance.api("/acquit/incidents?filter=overdue:true%20owner:alice");
    assert_eq!(page(&mine, &late).await.len(), 1);
    for (act, body, state) in [
        ("/notes", json!({ "text": "looked at it" }), "open"),
        ("/acknowledge", json!({}), "acknowledged"),
        ("/close", json!({ "reason": "ours" }), "kept"),
        ("/reopen", json!({ "reason": "no" }), "open"),
    ] {
        let (status, body) = answer(mine.post(url(act)).json(&body)).await;
        assert_eq!(status, StatusCode::OK, "{act}: {body}");
        assert_eq!(body["data"]["attributes"]["state"], state, "{act}");
    }
    refused(
        mine.post(url("/reopen")).json(&json!({ "reason": "x" })),
        409,
        "ConflictError",
    )
    .await;
    refused(
        mine.post(url("/close")).json(&json!({})),
        400,
        "InvalidArgumentError",
    )
    .await;
    refused(
        mine.patch(url("")).json(&json!({ "state": "kept" })),
        400,
        "InvalidArgumentError",
    )
    .await;
    let viewer = key(&appliance.store, KeyRole::Viewer, Some(&ours)).await;
    refused(viewer.post(url("/acknowledge")), 403, "ForbiddenError").await;
    let thread = page(&viewer, &url("/thread?limit=40")).await;
    let notes = thread
        .iter()
        .filter(|it| it["attributes"]["kind"] == "note");
    let notes: Vec<_> = notes.collect();
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0]["attributes"]["text"], "looked at it");
    assert_ne!(notes[0]["attributes"]["author"], "acquit");
}

#[tokio::test]
async fn statistics_are_true_now_and_kept_by_day() {
    let appliance = Appliance::start().await;
    let (ours, theirs) = detected(&appliance).await;
    let mine = key(&appliance.store, KeyRole::Viewer, Some(&ours)).await;
    let url = appliance.api("/monitor/statistics");
    let (_, body) = answer(mine.get(&url)).await;
    assert_eq!(body["data"], json!([]));
    let now = &body["meta"]["realtime"];
    assert_eq!(now["items_detected_count"], 1, "{now}");
    assert_eq!(now["new_detections_count"], 1, "{now}");
    let day = Timestamp::from_millis(1_795_305_600_000);
    statistics::close(&appliance.store, day).await.unwrap();
    let (_, body) = answer(mine.get(&url)).await;
    let one = &body["data"][0];
    assert_eq!(one["id"], "ours-day-2026-11-22");
    let figures = &one["attributes"];
    assert_eq!(figures["date"], 1_795_305_600);
    assert_eq!(figures["top_engines"][0]["count"], 1);
    assert_eq!(figures["top_signatures"][1]["signature"], "Bad.B");
    assert_eq!(figures["top_detected_items"][0]["detections_count"], 2);
    let shown = appliance.api("/monitor/statistics/ours-day-2026-11-22");
    assert_eq!(answer(mine.get(shown)).await.1["data"], *one);
    let foreign = format!("/monitor/statistics/{theirs}-day-2026-11-22");
    refused(mine.get(appliance.api(&foreign)), 404, "NotFoundError").await;
    let (_, body) = answer(mine.get(appliance.api("/acquit/incidents/statistics"))).await;
    let clamav = &body["data"]["attributes"]["engines"]["clamav"];
    assert_eq!(
        (&clamav["incidents"], &clamav["open"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        body["data"]["attributes"]["vendors"]["Cisco Talos"]["open"],
        1
    );
}

#[tokio::test]
async fn tags_of_a_change_fade_after_a_day_without_one() {
    let mut scene = Scene::new(1).await;
    scene.hold(1).await;
    scene.says(0, malicious("Bad.A"), 1).await;
    let row: Publisher = serde_json::from_value(json!({
        "id": scene::publisher(1), "name": "one", "created_at": 1
    }))
    .unwrap();
    let write = scene
        .store
        .write(move |change| change.put(&PUBLISHERS, &row.id, &row));
    write.await.unwrap();
    let key = (
        scene::publisher(1),
        "new-detections".to_owned(),
        scene::BLOB,
    );
    let tagged = |scene: &Scene| scene.store.get(&TAGGED, &key).unwrap().is_some();
    // The day of the change itself leaves it, the day after takes it.
    statistics::close(&scene.store, scene.at()).await.unwrap();
    assert!(tagged(&scene));
    let next = Timestamp::from_millis(scene.now + 24 * 60 * 60 * 1000);
    statistics::close(&scene.store, next).await.unwrap();
    assert!(!tagged(&scene));
    scene.says(0, Verdict::Undetected, 2).await;
    let fixes = statistics::fixes(&scene.store, &Wanted::default(), scene.at())
        .unwrap()
        .0;
    assert_eq!(fixes[&scene::engine(0)].seconds, [1]);
    let resolved = scene.incidents().remove(0).state;
    assert_eq!(resolved, IncidentState::Resolved);
    // A regression does not take back how long the fix had taken.
    for (verdict, set) in [(malicious("Bad.A"), 3), (Verdict::Undetected, 4)] {
        scene.says(0, verdict, set).await;
        let fixes = statistics::fixes(&scene.store, &Wanted::default(), scene.at());
        let seconds = &fixes.unwrap().0[&scene::engine(0)].seconds;
        assert_eq!(seconds.len(), if set == 3 { 1 } else { 2 });
    }
}
