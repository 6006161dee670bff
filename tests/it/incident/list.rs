//! Lists of incidents by name and by day, in both orders, however many there are.

use acquit::flow::overview::{self, day};
use acquit::model::{Incident, Timestamp};
use acquit::store::{Change, INCIDENT_INDEX, INCIDENTS};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::http::appliance::{Appliance, answer, refused};

/// 2026-11-22, 00:00.
const START: u64 = 1_795_305_600_000;
const DAY: u64 = 24 * 60 * 60 * 1000;

/// An incident as rows have it, opened so many days after the start.
fn incident(id: u64, (name, days): (&str, u64)) -> Incident {
    let at = START + days * DAY;
    let side = json!({
        "at": at, "analysis": format!("f-{}-1", "07".repeat(32)), "versions": { "image": "i" },
    });
    serde_json::from_value(json!({
        "id": id, "publisher": if id.is_multiple_of(2) { "even" } else { "odd" },
        "engine": "clamav", "sha256": "07".repeat(32), "state": "open", "state_at": at,
        "opened_at": at, "reopened_at": at, "detection": name, "detected": side,
    }))
    .unwrap()
}

async fn put(appliance: &Appliance, incidents: Vec<Incident>) {
    let write = move |change: &mut Change<'_>| {
        for it in &incidents {
            let state = it.state.as_str().to_owned();
            change.put(&INCIDENT_INDEX, &(it.publisher.clone(), state, it.id), &())?;
            change.put(&INCIDENTS, &it.id, it)?;
        }
        Ok(())
    };
    appliance.store.write(write).await.unwrap();
}

/// Follows a list to its end; returns the numbers of what is in it, and of how many pages it was.
async fn all(appliance: &Appliance, query: &str) -> (Vec<u64>, usize) {
    let (mut url, mut ids) = (
        appliance.api(&format!("/acquit/incidents?{query}")),
        Vec::new(),
    );
    for pages in 1..1000 {
        let (status, body) = answer(appliance.admin().get(&url)).await;
        assert_eq!(status, StatusCode::OK, "{url}: {body}");
        let data = body["data"].as_array().unwrap().iter();
        ids.extend(data.map(|it| it["id"].as_str().unwrap().parse::<u64>().unwrap()));
        match body["links"]["next"].as_str() {
            Some(next) => url = next.to_owned(),
            None => return (ids, pages),
        }
    }
    panic!("the list does not end");
}

fn filter(words: &str) -> String {
    let hex = words.bytes().map(|byte| format!("%{byte:02X}"));
    format!("filter={}", hex.collect::<String>())
}

async fn several(appliance: &Appliance) {
    let mut reopened = incident(2, ("Trojan.B", 0));
    reopened.reopened_at = Timestamp::from_millis(START + 3 * DAY + 5);
    reopened.reopened_count = 1;
    let mut twice = incident(4, ("trojan.b \"x\"", 3));
    (twice.reopened_at, twice.reopened_count) = (twice.opened_at, 1);
    let mut over = incident(3, ("Trojan.BC", 1));
    over.state = acquit::model::IncidentState::Resolved;
    over.state_at = Timestamp::from_millis(START + 4 * DAY - 1);
    let first = incident(1, ("Eicar", 0));
    put(appliance, vec![first, reopened, over, twice]).await;
}

#[tokio::test]
async fn incidents_are_found_by_name_and_day_in_both_orders() {
    let appliance = Appliance::start().await;
    several(&appliance).await;
    for (words, expected) in [
        ("detection:trojan.b", vec![4, 3, 2]),
        ("detection:=Trojan.B", vec![2]),
        ("detection:\"=trojan.b \"\"x\"\"\"", vec![4]),
        ("opened_from:2026-11-22 opened_until:2026-11-22", vec![2, 1]),
        ("opened_from:2026-11-25", vec![4, 2]),
        ("opened_until:2026-11-21", vec![]),
        ("closed_from:2026-11-25 closed_until:2026-11-25", vec![3]),
        ("closed_from:2026-11-26", vec![]),
        ("closed_until:2026-12-31 publisher:odd", vec![3]),
        (
            "detection:trojan publisher:even opened_from:2026-11-25",
            vec![4, 2],
        ),
    ] {
        let query = filter(words);
        assert_eq!(all(&appliance, &query).await.0, expected, "{words}");
        let mut oldest = expected;
        oldest.reverse();
        let query = format!("{query}&order=opened&limit=1");
        assert_eq!(all(&appliance, &query).await.0, oldest, "{words}");
    }
    for wrong in ["filter=opened_from:soon", "filter=detection:", "order=name"] {
        let url = appliance.api(&format!("/acquit/incidents?{wrong}"));
        refused(appliance.admin().get(url), 400, "InvalidArgumentError").await;
    }
}

#[tokio::test]
async fn each_bar_leads_to_as_many_incidents_as_it_counts() {
    let appliance = Appliance::start().await;
    several(&appliance).await;
    let now = Timestamp::from_millis(START + 9 * DAY);
    let cases = overview::cases(&appliance.store, now, &|| false);
    let days = cases.unwrap().unwrap().all.days;
    for at in 0..9 {
        let at = Timestamp::from_millis(START + at * DAY);
        let figures = days.get(&day(at)).copied().unwrap_or_default();
        let date = acquit::flow::statistics::date(at);
        let opened = filter(&format!("opened_from:{date} opened_until:{date}"));
        let solved = filter(&format!(
            "state:resolved closed_from:{date} closed_until:{date}"
        ));
        let found = |list: (Vec<u64>, usize)| list.0.len() as u64;
        assert_eq!(
            found(all(&appliance, &opened).await),
            figures.opened,
            "{date}"
        );
        assert_eq!(
            found(all(&appliance, &solved).await),
            figures.solved,
            "{date}"
        );
    }
}

#[tokio::test]
async fn one_among_many_is_found_and_no_request_looks_at_all() {
    let appliance = Appliance::start().await;
    let name = |id: u64| if id == 7000 { "Rare" } else { "Common" };
    put(
        &appliance,
        (1..=20_000)
            .map(|id| incident(id, (name(id), id / 1000)))
            .collect(),
    )
    .await;
    for query in ["", "&order=opened"] {
        for words in ["detection:=Rare", "detection:=Rare publisher:even"] {
            let (ids, pages) = all(&appliance, &format!("{}{query}", filter(words))).await;
            assert_eq!(ids, [7000], "{words}");
            assert!(pages > 1, "one request looked at {pages} pages' worth");
        }
    }
    let (status, body) = answer(
        appliance
            .admin()
            .get(appliance.api("/acquit/incidents?limit=40")),
    )
    .await;
    assert_eq!(
        (status, body["data"].as_array().map(Vec::len)),
        (StatusCode::OK, Some(40))
    );
    let first: &Value = &body["data"][0]["id"];
    assert_eq!(first, "20000");
}
