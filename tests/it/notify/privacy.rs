//! What a vendor is told: its own detections, as far as the owner lets it know, and as long.

use std::collections::BTreeMap;

use acquit::model::{
    About, AnalysisId, Audience, Detection, DetectionName, EngineVersions, EventKind, Incident,
    IncidentState, Item, ItemPath, Pace, PublisherId, Sha256, SharePolicy, Side, Standing, Vendor,
};
use acquit::store::{
    BLOB_ITEMS, HOLDERS, HoldRow, INCIDENTS, ITEMS, PUBLISHERS, STANDINGS, VENDORS,
};

use super::lab::{Lab, Peer, plain_mail, webhook};

const BLOB: Sha256 = Sha256::new([7; 32]);

/// A file of Acme's in `/secret-project/`, which engine `clamav` of vendor `cisco` detects.
async fn detected(lab: &Lab, policy: SharePolicy) -> (PublisherId, u64) {
    let id = lab.publisher("acme", &[]).await;
    let path: ItemPath = "/secret-project/setup.exe".parse().unwrap();
    let now = acquit::system::now();
    let side = Side {
        at: now,
        analysis: AnalysisId {
            sha256: BLOB,
            number: 1,
        },
        versions: EngineVersions {
            engine: Some("1.4".to_owned()),
            ..serde_json::from_value(serde_json::json!({ "image": "sha256:1" })).unwrap()
        },
    };
    let incident = Incident {
        id: 5,
        publisher: id.clone(),
        engine: "clamav".parse().unwrap(),
        sha256: BLOB,
        state: IncidentState::Open,
        state_at: now,
        opened_at: now,
        reopened_at: now,
        detection: DetectionName::new("Win.Test.FP"),
        detected: side.clone(),
        first: None,
        before: None,
        resolved: None,
        kept: None,
        reopened_count: 0,
        fixes: Vec::new(),
        owner: Some("internal-owner".to_owned()),
        deadline: None,
        overdue: false,
        fixed_in: None,
        entries: 0,
    };
    let item: Item = serde_json::from_value(serde_json::json!({
        "created_at": now, "modified_at": now, "creator": "k",
    }))
    .unwrap_or_else(|error| panic!("{error}"));
    let standing = Standing {
        detections: BTreeMap::from([(
            "clamav".parse().unwrap(),
            serde_json::from_value::<Detection>(serde_json::json!({
                "name": "Win.Test.FP", "since": now, "at": now, "versions": side.versions,
            }))
            .unwrap(),
        )]),
        ..Standing::default()
    };
    let owner = id.clone();
    let write = move |change: &mut acquit::store::Change<'_>| {
        let mut row = change.get(&PUBLISHERS, &owner)?.unwrap();
        row.policy = policy;
        row.card.product = Some("Acme Setup".to_owned());
        change.put(&PUBLISHERS, &owner, &row)?;
        let key = (owner.clone(), path.clone());
        change.put(&ITEMS, &key, &item)?;
        change.put(&BLOB_ITEMS, &(BLOB, owner.clone(), path), &())?;
        let hold = HoldRow {
            items: 1,
            since: now,
        };
        change.put(&HOLDERS, &(BLOB, owner), &hold)?;
        change.put(&STANDINGS, &BLOB, &standing)?;
        for (vendor, engine) in [("cisco", "clamav"), ("rival", "yara")] {
            let row = Vendor {
                id: vendor.parse().unwrap(),
                name: vendor.to_owned(),
                created_at: now,
                emails: vec![format!("fp@{vendor}.example")],
                engines: [engine.parse().unwrap()].into(),
            };
            change.put(&VENDORS, &row.id, &row)?;
        }
        change.put(&INCIDENTS, &5, &incident)
    };
    lab.store.write(write).await.unwrap();
    (id, 5)
}

async fn opened(lab: &Lab, (publisher, incident): (PublisherId, u64), kind: EventKind) {
    let now = acquit::system::now();
    let about = About {
        publisher: Some(publisher),
        path: Some("/secret-project/setup.exe".parse().unwrap()),
        sha256: Some(BLOB),
        incident: Some(incident),
        actor: None,
    };
    let text = "clamav detects /secret-project/setup.exe, noted internally".to_owned();
    let mut draft = acquit::flow::events::Draft::about(now, kind, about, text);
    draft.engine = Some("clamav".parse().unwrap());
    draft.details = serde_json::json!({ "note": "noted internally" });
    let write =
        move |change: &mut acquit::store::Change<'_>| acquit::flow::events::raise(change, draft);
    lab.store.write(write).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vendor_is_told_of_its_own_detection_what_the_policy_lets_out() {
    let post = Peer::start("smtp.py", &["none"]);
    let mut lab = Lab::new(|config| config.mail = plain_mail(post.port));
    let acme = detected(&lab, SharePolicy::MetadataOnly).await;
    lab.run();
    opened(&lab, acme, EventKind::IncidentOpened).await;
    let said = post.said(1).await;
    let text = said[0]["text"].as_str().unwrap();
    assert_eq!(said[0]["to"], serde_json::json!(["fp@cisco.example"]));
    for shared in [
        "The acme Company",
        "Win.Test.FP",
        &BLOB.to_string(),
        "Acme Setup",
    ] {
        assert!(text.contains(shared), "{shared}: {text}");
    }
    let whole = said[0].to_string();
    assert!(!whole.contains("internal"), "{whole}");
    assert!(
        lab.ledger().contains("policy metadata-only of acme"),
        "{}",
        lab.ledger()
    );
    lab.stop().await;
    assert_eq!(post.lines().len(), 1, "the rival is told nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn vendor_is_told_nothing_of_what_its_owner_never_shares_or_it_no_more_detects() {
    let post = Peer::start("smtp.py", &["none"]);
    let mut lab = Lab::new(|config| config.mail = plain_mail(post.port));
    let hooks = Peer::hooks(&lab.path("secret"));
    let acme = detected(&lab, SharePolicy::Never).await;
    let vendor = Audience::Vendor("cisco".parse().unwrap());
    lab.subscribe_as(vendor, webhook(hooks.url("/ok?vendor")), Pace::Immediate)
        .await;
    lab.subscribe(webhook(hooks.url("/ok?admin"))).await;
    lab.run();
    for kind in [EventKind::IncidentOpened, EventKind::IncidentResolved] {
        opened(&lab, acme.clone(), kind).await;
    }
    hooks.said(2).await;
    // With leave, but without a detection, it is none of the vendor's business either.
    let write = move |change: &mut acquit::store::Change<'_>| {
        let mut row = change.get(&PUBLISHERS, &"acme".parse().unwrap())?.unwrap();
        row.policy = SharePolicy::File;
        change.put(&STANDINGS, &BLOB, &Standing::default())?;
        change.put(&PUBLISHERS, &row.id, &row)
    };
    lab.store.write(write).await.unwrap();
    opened(&lab, acme.clone(), EventKind::IncidentReopened).await;
    hooks.said(3).await;
    lab.stop().await;
    assert!(hooks.lines().iter().all(|line| line["path"] == "/ok?admin"));
    assert!(post.lines().is_empty());
    // What it did detect and does not any more it is told with leave.
    lab.run();
    opened(&lab, acme, EventKind::IncidentResolved).await;
    assert_eq!(
        post.said(1).await[0]["to"],
        serde_json::json!(["fp@cisco.example"])
    );
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn digest_comes_once_with_all_that_happened() {
    use acquit::store::{DELIVERIES, OUTBOX};
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let pace = Pace::Daily { hour: 8 };
    let row = lab
        .subscribe_as(Audience::Admin, webhook(hooks.url("/ok")), pace)
        .await;
    let mut events = Vec::new();
    for number in 0..3 {
        events.push(lab.overdue(&number.to_string()).await);
    }
    lab.run();
    for event in &events {
        lab.delivery((event, &row), |d| d.due_at.is_some()).await;
    }
    lab.stop().await;
    assert!(hooks.lines().is_empty(), "it is not time yet");
    // As if it had happened two days ago.
    let (id, numbers) = (row.id, events.iter().map(|e| e.number).collect::<Vec<_>>());
    let write = move |change: &mut acquit::store::Change<'_>| {
        for number in numbers {
            let mut delivery = change.get(&DELIVERIES, &(number, id))?.unwrap();
            let ago = |at: acquit::model::Timestamp| {
                acquit::model::Timestamp::from_millis(at.millis() - 48 * 3_600_000)
            };
            let due = delivery.due_at.unwrap();
            change.remove(&OUTBOX, &(due.millis(), number, id));
            delivery.created_at = ago(delivery.created_at);
            delivery.due_at = Some(ago(due));
            change.put(&OUTBOX, &(ago(due).millis(), number, id), &())?;
            change.put(&DELIVERIES, &(number, id), &delivery)?;
        }
        Ok(())
    };
    lab.store.write(write).await.unwrap();
    lab.run();
    let said = hooks.said(1).await;
    assert_eq!(said[0]["body"]["type"], "digest");
    assert_eq!(
        said[0]["body"]["data"]["events"].as_array().unwrap().len(),
        3
    );
    for event in &events {
        let done = acquit::model::DeliveryState::Delivered;
        lab.delivery((event, &row), |d| d.state == done).await;
    }
    lab.stop().await;
    assert_eq!(hooks.lines().len(), 1);
}
