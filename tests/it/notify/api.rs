//! Subscriptions and deliveries over HTTP: everybody has only his own.

use acquit::model::{ApiKey, Attempt, Delivery, DeliveryState, KeyRole, Seat, Timestamp};
use acquit::store::{DELIVERIES, KEYS, KeyRow, OUTBOX};
use reqwest::Client;
use serde_json::{Value, json};

use crate::http::appliance::{Appliance, answer, client, refused};

async fn key(appliance: &Appliance, role: KeyRole, party: Option<&str>) -> Client {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).unwrap();
    let key = ApiKey::new(bits);
    let mut seat = Seat::of(role);
    match role {
        KeyRole::Vendor => seat.vendor = party.map(|id| id.parse().unwrap()),
        _ => seat.publisher = party.map(|id| id.parse().unwrap()),
    }
    let row = KeyRow::new(&key, "k".to_owned(), seat, Timestamp::from_millis(1));
    let write = appliance
        .store
        .write(move |change| change.put(&KEYS, &row.id, &row));
    write.await.unwrap();
    client(&key.reveal())
}

async fn appliance() -> Appliance {
    Appliance::start_with(|config| {
        config.notifications.allowed_hosts = vec!["127.0.0.1".to_owned()];
        let command = vec!["true".to_owned()];
        config
            .notifications
            .commands
            .insert("page".to_owned(), command);
    })
    .await
}

async fn made(appliance: &Appliance, who: &Client, order: Value) -> Value {
    let request = who
        .post(appliance.api("/acquit/subscriptions"))
        .json(&order);
    let (status, body) = answer(request).await;
    assert_eq!(status, 200, "{body}");
    body["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_has_his_own_subscriptions_and_nobody_sees_another_s() {
    let appliance = appliance().await;
    let acme = key(&appliance, KeyRole::Publisher, Some("acme")).await;
    let other = key(&appliance, KeyRole::Publisher, Some("other")).await;
    let vendor = key(&appliance, KeyRole::Vendor, Some("cisco")).await;
    let viewer = key(&appliance, KeyRole::Viewer, Some("acme")).await;
    let order = json!({ "channel": "webhook", "target": "https://1.1.1.1/T0K3N" });
    let row = made(&appliance, &acme, order).await;
    let (id, attributes) = (row["id"].as_str().unwrap(), &row["attributes"]);
    assert_eq!(attributes["audience_id"], "acme");
    assert!(attributes["secret"].as_str().unwrap().starts_with("whsec_"));
    let path = appliance.api(&format!("/acquit/subscriptions/{id}"));
    let (_, shown) = answer(acme.get(&path)).await;
    let text = shown.to_string();
    assert!(
        !text.contains("T0K3N") && !text.contains("whsec_"),
        "{text}"
    );
    for stranger in [&other, &vendor] {
        let message = refused(stranger.get(&path), 404, "NotFoundError").await;
        let none = appliance.api("/acquit/subscriptions/1");
        let unknown = refused(stranger.get(none), 404, "NotFoundError").await;
        assert_eq!(message.replace(id, "1"), unknown);
        refused(stranger.delete(&path), 404, "NotFoundError").await;
        refused(stranger.post(format!("{path}/test")), 404, "NotFoundError").await;
        refused(
            stranger.post(format!("{path}/rotate")),
            404,
            "NotFoundError",
        )
        .await;
        let (_, list) = answer(stranger.get(appliance.api("/acquit/subscriptions"))).await;
        assert_eq!(list["data"], json!([]));
    }
    refused(viewer.get(&path), 403, "ForbiddenError").await;
    let list = appliance
        .admin()
        .get(appliance.api("/acquit/subscriptions"));
    assert_eq!(answer(list).await.1["data"][0]["id"], id);
    let rotated = answer(acme.post(format!("{path}/rotate"))).await.1;
    assert_ne!(
        rotated["data"]["attributes"]["secret"],
        attributes["secret"]
    );
    let body = json!({ "pace": { "pace": "daily", "hour": 8 }, "enabled": false,
        "quiet": { "from": 22, "until": 7, "zone": "Europe/Berlin" } });
    let changed = answer(acme.patch(&path).json(&body)).await.1;
    assert_eq!(
        changed["data"]["attributes"]["pace"]["hour"], 8,
        "{changed}"
    );
    assert!(changed["data"]["attributes"]["disabled_date"].is_u64());
    assert_eq!(answer(acme.delete(&path)).await.0, 200);
    refused(acme.get(&path), 404, "NotFoundError").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_refused_with_what_to_do() {
    let appliance = appliance().await;
    let acme = key(&appliance, KeyRole::Publisher, Some("acme")).await;
    let url = appliance.api("/acquit/subscriptions");
    for (order, part) in [
        (
            json!({ "channel": "mail", "target": "nobody" }),
            "no mail address",
        ),
        (
            json!({ "channel": "mail", "target": "a@b.example\r\nBcc: c@d.example" }),
            "no mail address",
        ),
        (
            json!({ "channel": "webhook", "target": "https://10.0.0.1/" }),
            "allowed_hosts",
        ),
        (
            json!({ "channel": "slack", "target": "http://1.1.1.1/" }),
            "https://",
        ),
        (json!({ "channel": "pigeon", "target": "x" }), "one of mail"),
        (
            json!({ "channel": "mail", "target": "a@b.example", "pace": { "pace": "daily", "hour": 24 } }),
            "0 to 23",
        ),
        (
            json!({ "channel": "mail", "target": "a@b.example", "quiet": { "from": 1, "until": 2, "zone": "Mars/Base" } }),
            "time zone",
        ),
    ] {
        let message = refused(acme.post(&url).json(&order), 400, "InvalidArgumentError").await;
        assert!(message.contains(part), "{message}");
    }
    let order = json!({ "channel": "command", "target": "page" });
    refused(acme.post(&url).json(&order), 403, "ForbiddenError").await;
    let row = made(&appliance, &appliance.admin(), order).await;
    let id = row["id"].as_str().unwrap();
    let test = appliance.api(&format!("/acquit/subscriptions/{id}/test"));
    let (_, body) = answer(appliance.admin().post(&test)).await;
    assert_eq!(body["data"]["attributes"]["result"], "accepted", "{body}");
    let again = appliance.admin().post(&test).send().await.unwrap();
    assert_eq!(again.status(), 429, "once a minute");
    assert!(again.headers().contains_key("retry-after"));
    let order = json!({ "channel": "mail", "target": "a@b.example", "publisher": "other" });
    refused(acme.post(&url).json(&order), 404, "NotFoundError").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_with_their_tries_and_made_again_on_request() {
    let appliance = appliance().await;
    let acme = key(&appliance, KeyRole::Publisher, Some("acme")).await;
    let other = key(&appliance, KeyRole::Publisher, Some("other")).await;
    let order = json!({ "channel": "mail", "target": "a@acme.example" });
    let row = made(&appliance, &acme, order).await;
    let id: u64 = row["id"].as_str().unwrap().parse().unwrap();
    let at = Timestamp::from_millis(1_700_000_000_000);
    let write = move |change: &mut acquit::store::Change<'_>| {
        for event in 1..=45 {
            let state = match event {
                45 => DeliveryState::Failed,
                _ => DeliveryState::Delivered,
            };
            let delivery = Delivery {
                event,
                subscription: id,
                created_at: at,
                state,
                due_at: None,
                attempts: vec![Attempt {
                    at,
                    outcome: "550 no".to_owned(),
                }],
                replayed_at: None,
            };
            change.put(&DELIVERIES, &(event, id), &delivery)?;
        }
        Ok(())
    };
    appliance.store.write(write).await.unwrap();
    let list = async |who: &Client, query: &str| {
        let url = appliance.api(&format!("/acquit/deliveries?{query}"));
        answer(who.get(url)).await.1
    };
    let failed = list(&acme, "state=failed").await;
    let name = format!("45-{id}");
    assert_eq!(failed["data"][0]["id"], name, "{failed}");
    assert_eq!(
        failed["data"][0]["attributes"]["attempts"][0]["outcome"],
        "550 no"
    );
    assert!(failed["meta"]["cursor"].is_null());
    let first = list(&acme, "limit=40").await;
    let cursor = first["meta"]["cursor"].as_str().unwrap();
    let second = list(&acme, &format!("limit=40&cursor={cursor}")).await;
    assert_eq!(second["data"].as_array().unwrap().len(), 5);
    assert!(second["meta"]["cursor"].is_null());
    assert_eq!(list(&other, "limit=40").await["data"], json!([]));
    let path = appliance.api(&format!("/acquit/deliveries/{name}"));
    refused(other.get(&path), 404, "NotFoundError").await;
    refused(other.post(format!("{path}/replay")), 404, "NotFoundError").await;
    let again = answer(acme.post(format!("{path}/replay"))).await.1;
    assert_eq!(again["data"]["attributes"]["state"], "pending", "{again}");
    let waiting = appliance.store.keys_after(&OUTBOX, None, 9).unwrap();
    assert_eq!(waiting.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_delivery_is_found_behind_thousands_that_were_made() {
    let appliance = appliance().await;
    let acme = key(&appliance, KeyRole::Publisher, Some("acme")).await;
    let other = key(&appliance, KeyRole::Publisher, Some("other")).await;
    let order = |to: &str| json!({ "channel": "mail", "target": to });
    let mut ids = Vec::new();
    for (who, to) in [(&acme, "a@acme.example"), (&other, "o@other.example")] {
        let row = made(&appliance, who, order(to)).await;
        ids.push(row["id"].as_str().unwrap().parse::<u64>().unwrap());
    }
    let (ours, theirs) = (ids[0], ids[1]);
    let write = move |change: &mut acquit::store::Change<'_>| {
        let rows = (2..=5002).map(|event| (event, theirs, DeliveryState::Delivered));
        let failed = (1, ours, DeliveryState::Failed);
        for (event, subscription, state) in rows.chain([failed]) {
            let delivery = Delivery {
                event,
                subscription,
                created_at: Timestamp::from_millis(1),
                state,
                due_at: None,
                attempts: Vec::new(),
                replayed_at: None,
            };
            change.put(&DELIVERIES, &(event, subscription), &delivery)?;
        }
        Ok(())
    };
    appliance.store.write(write).await.unwrap();
    let name = format!("1-{ours}");
    for query in ["", "state=failed"] {
        let url = appliance.api(&format!("/acquit/deliveries?{query}"));
        let (_, found) = answer(acme.get(url)).await;
        assert_eq!(found["data"][0]["id"], name, "{found}");
        assert!(found["meta"]["cursor"].is_null(), "{found}");
    }
}
