//! What vendors say: comments and requests for files.

use acquit::model::{EventKind, Incident, IncidentState, SharePolicy};
use acquit::store::{EVENTS, INCIDENT_OF, INCIDENTS};
use serde_json::{Value, json};

use super::lab::{Lab, Plan, at};
use crate::http::appliance::{answer, refused};

fn comment(attributes: Value) -> Value {
    json!({"type": "monitor_hash_comment", "attributes": attributes})
}

async fn incident_of(lab: &Lab, sha256: acquit::model::Sha256, (id, owner): (u64, &str)) {
    let row = json!({
        "id": id, "publisher": owner, "engine": "clamav", "sha256": sha256, "state": "open",
        "state_at": 1, "opened_at": 1, "reopened_at": 1, "detection": "Clam.Word",
        "detected": {
            "at": 1, "analysis": format!("f-{sha256}-1"), "versions": {"image": "sha256:1"},
        },
    });
    let incident: Incident = serde_json::from_value(row).unwrap();
    let write = lab.appliance.store.write(move |change| {
        let key = (sha256, incident.engine.clone(), incident.publisher.clone());
        change.put(&INCIDENT_OF, &key, &id)?;
        change.put(&INCIDENTS, &id, &incident)
    });
    write.await.unwrap();
}

fn raised(lab: &Lab, kind: EventKind) -> Vec<acquit::model::Event> {
    let page = lab
        .appliance
        .store
        .list(&EVENTS, (&[], None), 1000)
        .unwrap();
    let events = page.rows.into_iter().map(|(_, event)| event);
    events.filter(|event| event.kind == kind).collect()
}

#[tokio::test]
async fn comment_is_made_once_changed_and_removed_in_the_shape_it_came_in() {
    let lab = Lab::start().await;
    let blobs = lab
        .add(&[Plan::of(
            "acme",
            SharePolicy::MetadataOnly,
            &["clamav", "yara"],
        )])
        .await;
    let sha256 = blobs[0].sha256;
    incident_of(&lab, sha256, (7, "acme")).await;
    let client = lab.client("clam");
    let url = lab.url(&format!("/monitor_partner/hashes/{sha256}/comments"));
    let said = json!({"comment": "we look\u{202e}\u{7}", "engine": "ClamAV", "sha256": sha256});
    let (status, made) = answer(client.post(&url).json(&json!({"data": [comment(said)]}))).await;
    assert_eq!(status, 200, "{made}");
    let made = made["data"].as_array().unwrap();
    assert_eq!(made[0]["id"], format!("{sha256}-clamav"));
    assert_eq!(
        made[0]["attributes"]["comment"], "we look",
        "nothing steers a terminal"
    );
    let again = json!({"data": comment(json!({"comment": "again"}))});
    refused(client.post(&url).json(&again), 409, "AlreadyExistsError").await;

    let one = lab.url(&format!("/monitor_partner/comments/{sha256}-clamav"));
    let edit = json!({"data": {"id": format!("{sha256}-clamav"), "type": "monitor_hash_comment",
        "attributes": {"detection": "confirmed", "fixed_in": "27001"}}});
    let (status, edited) = answer(client.patch(&one).json(&edit)).await;
    assert_eq!(status, 200, "{edited}");
    assert_eq!(edited["data"]["attributes"]["detection"], "confirmed");
    assert_eq!(
        edited["data"]["attributes"]["comment"], "we look",
        "what is absent stays"
    );
    let incident = lab.appliance.store.get(&INCIDENTS, &7).unwrap().unwrap();
    assert_eq!(incident.fixed_in.as_deref(), Some("27001"));
    let events = raised(&lab, EventKind::VendorCommented);
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].about.incident, Some(7));
    assert_eq!(events[1].about.publisher, Some("acme".parse().unwrap()));

    let hashes = lab.url("/monitor_partner/hashes");
    let (_, list) = answer(client.get(&hashes)).await;
    assert_eq!(list["data"], json!([]), "what it stands by is off its list");
    let (_, list) = answer(client.get(format!("{hashes}?filter=engine:clamav+tag:ignored"))).await;
    assert_eq!(list["data"][0]["id"], json!(sha256));
    let (_, other) = answer(lab.client("yarists").get(&hashes)).await;
    assert_eq!(
        other["data"][0]["id"],
        json!(sha256),
        "another's word hides nothing"
    );
    let (_, theirs) = answer(lab.client("yarists").get(&url)).await;
    assert_eq!(theirs["data"], json!([]), "nor is it told to another");
    refused(lab.client("yarists").get(&one), 404, "NotFoundError").await;
    refused(lab.client("yarists").delete(&one), 404, "NotFoundError").await;

    let (_, listed) = answer(client.get(format!("{one}/"))).await;
    assert!(
        listed["data"].is_array(),
        "as in VirusTotal's sample: {listed}"
    );
    let back = json!({"data": {"attributes": {"detection": null}}});
    assert_eq!(answer(client.patch(&one).json(&back)).await.0, 200);
    let (_, list) = answer(client.get(&hashes)).await;
    assert_eq!(list["data"][0]["id"], json!(sha256));
    assert_eq!(answer(client.delete(&one)).await.0, 200);
    refused(client.get(&one), 404, "NotFoundError").await;
    let incident = lab.appliance.store.get(&INCIDENTS, &7).unwrap().unwrap();
    assert_eq!(incident.fixed_in, None);
}

#[tokio::test]
async fn word_reaches_those_who_let_the_vendor_know_and_nobody_else() {
    let lab = Lab::start().await;
    let plan = Plan {
        owners: vec![
            ("acme", SharePolicy::MetadataOnly),
            ("beta", SharePolicy::Never),
        ],
        engines: vec!["clamav"],
    };
    let blobs = lab.add(&[plan]).await;
    let sha256 = blobs[0].sha256;
    incident_of(&lab, sha256, (7, "acme")).await;
    incident_of(&lab, sha256, (8, "beta")).await;
    let row = |id| lab.appliance.store.get(&INCIDENTS, &id).unwrap().unwrap();
    let untouched = row(8);
    let client = lab.client("clam");
    let url = lab.url(&format!("/monitor_partner/hashes/{sha256}/comments"));
    let said = json!({"data": comment(json!({"detection": "confirmed", "fixed_in": "27001"}))});
    assert_eq!(answer(client.post(&url).json(&said)).await.0, 200);
    assert_eq!(
        (row(7).state, row(8)),
        (IncidentState::Kept, untouched.clone())
    );
    for (owner, count) in [("acme", 1), ("beta", 0)] {
        let id = blobs[0].item_of(owner).unwrap().to_string();
        let id = id
            .replace('/', "%2F")
            .replace('+', "%2B")
            .replace('=', "%3D");
        for part in ["comments", "relationships/comments"] {
            let url = lab.url(&format!("/monitor/items/{id}/{part}"));
            let (status, listed) = answer(lab.client(owner).get(url)).await;
            assert_eq!(status, 200, "{listed}");
            let listed = listed["data"].as_array().unwrap().len();
            assert_eq!(listed, count, "{owner}: {part}");
        }
    }
    let back = json!({"data": {"attributes": {"detection": null}}});
    let one = lab.url(&format!("/monitor_partner/comments/{sha256}-clamav"));
    assert_eq!(answer(client.patch(&one).json(&back)).await.0, 200);
    assert_eq!((row(7).state, row(8)), (IncidentState::Open, untouched));
    let told = raised(&lab, EventKind::VendorCommented);
    let acme = Some("acme".parse().unwrap());
    assert!(told.iter().all(|event| event.about.publisher == acme));
}

#[tokio::test]
async fn vendor_and_publisher_talk_and_nobody_else_hears() {
    let lab = Lab::start().await;
    let plan = Plan {
        owners: vec![
            ("acme", SharePolicy::MetadataOnly),
            ("beta", SharePolicy::Never),
        ],
        engines: vec!["clamav", "yara"],
    };
    let blobs = lab.add(&[plan]).await;
    let sha256 = blobs[0].sha256;
    incident_of(&lab, sha256, (7, "acme")).await;
    incident_of(&lab, sha256, (8, "beta")).await;
    let client = lab.client("clam");
    let comments = lab.url(&format!("/monitor_partner/hashes/{sha256}/comments"));
    let said = json!({"data": comment(json!({"comment": "which installer is it?"}))});
    assert_eq!(answer(client.post(&comments).json(&said)).await.0, 200);
    let act = |id: u64, what: &str| lab.url(&format!("/acquit/incidents/{id}/{what}"));
    let (acme, beta) = (lab.client("acme"), lab.client("beta"));
    let words = |text: &str| json!({ "text": text });
    let note = acme.post(act(7, "notes")).json(&words("between us"));
    assert_eq!(answer(note).await.0, 200);
    let reply = acme
        .post(act(7, "replies"))
        .json(&words("our own, built today"));
    assert_eq!(answer(reply).await.0, 200);
    let reply = || beta.post(act(8, "replies")).json(&words("it is ours too"));
    refused(reply(), 403, "ForbiddenError").await;
    refused(
        beta.post(act(7, "replies")).json(&words("x")),
        404,
        "NotFoundError",
    )
    .await;
    let thread = lab.url(&format!("/monitor_partner/hashes/{sha256}/thread"));
    let (status, shown) = answer(client.get(&thread)).await;
    assert_eq!(status, 200, "{shown}");
    let heard: std::collections::BTreeSet<_> = shown["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| {
            let word = &word["attributes"];
            (
                word["from"].as_str().unwrap(),
                word["text"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("publisher", "our own, built today"),
        ("vendor", "which installer is it?"),
    ];
    assert_eq!(heard, expected.into());
    let (_, others) = answer(lab.client("yarists").get(&thread)).await;
    assert_eq!(others["data"], json!([]));
    let ledger = lab.ledger();
    let lines: Vec<_> = ledger
        .lines()
        .filter(|line| line.contains("a reply for"))
        .collect();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("policy metadata-only") && lines[0].contains("acme"));
}

#[tokio::test]
async fn confirmation_of_an_earlier_detection_does_not_hide_a_new_one() {
    let lab = Lab::start().await;
    let blobs = lab
        .add(&[Plan::of("acme", SharePolicy::MetadataOnly, &["clamav"])])
        .await;
    let sha256 = blobs[0].sha256;
    let comment = serde_json::from_value(json!({
        "text": "", "author": "x", "confirmed": true, "at": at(1_780_000_000).millis(),
        "fixed_in": "27002",
    }));
    let comment: acquit::model::Comment = comment.unwrap();
    let key = (sha256, "clamav".parse().unwrap());
    let write = lab
        .appliance
        .store
        .write(move |c| c.put(&acquit::store::COMMENTS, &key, &comment));
    write.await.unwrap();
    let (_, list) = answer(lab.client("clam").get(lab.url("/monitor_partner/hashes"))).await;
    assert_eq!(list["data"][0]["id"], json!(sha256));
    incident_of(&lab, sha256, (7, "acme")).await;
    let one = lab.url(&format!("/monitor_partner/comments/{sha256}-clamav"));
    let (_, shown) = answer(lab.client("clam").get(&one)).await;
    assert_eq!(shown["data"]["attributes"]["detection"], json!(null));
    // Saying it again of the new one counts, though the comment said so before.
    let again = json!({"data": {"attributes": {"detection": "confirmed", "fixed_in": "27002"}}});
    assert_eq!(
        answer(lab.client("clam").patch(&one).json(&again)).await.0,
        200
    );
    let incident = lab.appliance.store.get(&INCIDENTS, &7).unwrap().unwrap();
    assert_eq!(incident.state, IncidentState::Kept);
    assert_eq!(incident.fixed_in.as_deref(), Some("27002"));
    let (_, list) = answer(lab.client("clam").get(lab.url("/monitor_partner/hashes"))).await;
    assert_eq!(list["data"], json!([]));
}

#[tokio::test]
async fn malformed_comments_and_filters_are_refused_with_the_reason() {
    let lab = Lab::start().await;
    let blobs = lab
        .add(&[Plan::of("acme", SharePolicy::MetadataOnly, &["clamav"])])
        .await;
    let sha256 = blobs[0].sha256;
    let client = lab.client("clam");
    let url = lab.url(&format!("/monitor_partner/hashes/{sha256}/comments"));
    for (said, status, code) in [
        (json!({"comment": " "}), 400, "InvalidArgumentError"),
        (
            json!({"comment": "x", "detection": "maybe"}),
            400,
            "InvalidArgumentError",
        ),
        (
            json!({"comment": "x", "mood": "good"}),
            400,
            "InvalidArgumentError",
        ),
        (
            json!({"comment": "x", "sha256": "0"}),
            400,
            "InvalidArgumentError",
        ),
        (
            json!({"comment": "x", "engine": "YARA"}),
            403,
            "ForbiddenError",
        ),
        (
            json!({"comment": "x", "engine": "nobody"}),
            403,
            "ForbiddenError",
        ),
    ] {
        let body = json!({"data": comment(said)});
        refused(client.post(&url).json(&body), status, code).await;
    }
    refused(client.post(&url).body("{"), 400, "BadRequestError").await;
    refused(
        client.post(&url).json(&json!({"data": []})),
        400,
        "BadRequestError",
    )
    .await;
    let list = |query: &str| client.get(lab.url(&format!("/monitor_partner/hashes?{query}")));
    let foreign = refused(list("filter=engine:yara"), 403, "ForbiddenError").await;
    let unknown = refused(list("filter=engine:nobo"), 403, "ForbiddenError").await;
    assert_eq!(foreign.replace("yara", ""), unknown.replace("nobo", ""));
    refused(list("filter=tag:detected"), 400, "InvalidArgumentError").await;
    refused(list("relationships=owner"), 400, "InvalidArgumentError").await;
    refused(list("cursor=%21"), 400, "InvalidArgumentError").await;
    assert_eq!(
        answer(list("limit=5000")).await.0,
        200,
        "limits are clamped"
    );
}

#[tokio::test]
async fn file_on_request_is_had_once_its_owner_grants_it_and_until_it_refuses() {
    let lab = Lab::start().await;
    let blobs = lab
        .add(&[Plan::of(
            "acme",
            SharePolicy::FileOnRequest,
            &["clamav", "yara"],
        )])
        .await;
    let (sha256, client) = (blobs[0].sha256, lab.client("clam"));
    let file = format!("/monitor_partner/files/{sha256}");
    let (ask, get) = (
        lab.url(&format!("{file}/request")),
        lab.url(&format!("{file}/download")),
    );
    refused(client.get(&get), 403, "ForbiddenError").await;
    refused(
        client.post(&ask).json(&json!({"reason": " "})),
        400,
        "InvalidArgumentError",
    )
    .await;
    let (status, asked) = answer(client.post(&ask).json(&json!({"reason": "to fix it"}))).await;
    assert_eq!(status, 200, "{asked}");
    assert_eq!(asked["data"]["attributes"]["file_access"], "requested");
    refused(
        client.post(&ask).json(&json!({"reason": "again"})),
        409,
        "AlreadyExistsError",
    )
    .await;
    assert_eq!(raised(&lab, EventKind::FileRequested).len(), 1);
    refused(client.get(&get), 403, "ForbiddenError").await;

    let requests = lab.url("/acquit/file_requests");
    let (_, listed) = answer(lab.client("acme").get(&requests)).await;
    assert_eq!(
        listed["data"][0]["attributes"]["reason"], "to fix it",
        "{listed}"
    );
    let (_, others) = answer(lab.client("beta").get(&requests)).await;
    assert_eq!(others["data"], json!([]));
    let grant = format!("{requests}/{sha256}/clam/grant");
    refused(lab.client("beta").post(&grant), 404, "NotFoundError").await;
    refused(
        lab.client("beta").post(format!("{grant}?owner=acme")),
        404,
        "NotFoundError",
    )
    .await;
    refused(client.post(&grant), 403, "ForbiddenError").await;
    let (status, granted) = answer(lab.client("acme").post(&grant)).await;
    assert_eq!(status, 200, "{granted}");
    let response = client.get(&get).send().await.unwrap();
    assert_eq!(*response.bytes().await.unwrap(), blobs[0].content);
    let part = client
        .get(&get)
        .header("range", "bytes=2-5")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(*part.bytes().await.unwrap(), blobs[0].content[2..6]);
    let head = client.head(&get).send().await.unwrap();
    assert_eq!(
        head.headers()["content-length"],
        blobs[0].content.len().to_string()
    );
    assert_eq!(head.headers()["accept-ranges"], "bytes");
    let lines = lab.ledger();
    assert_eq!(
        lines.matches("downloads a").count(),
        2,
        "one look is no download: {lines}"
    );
    assert!(
        lines.contains("policy file-on-request of /acme FileOnRequest/"),
        "{lines}"
    );
    assert!(!raised(&lab, EventKind::FileDownloaded).is_empty());
    refused(lab.client("yarists").get(&get), 403, "ForbiddenError").await;

    let refuse = format!("{requests}/{sha256}/clam/refuse");
    assert_eq!(answer(lab.client("acme").post(&refuse)).await.0, 200);
    refused(client.get(&get), 403, "ForbiddenError").await;
    refused(
        client.post(&ask).json(&json!({"reason": "please"})),
        409,
        "AlreadyExistsError",
    )
    .await;
    assert_eq!(raised(&lab, EventKind::FileAnswered).len(), 2);
}

#[tokio::test]
async fn ledger_says_once_a_day_that_a_hash_was_shown() {
    let lab = Lab::start().await;
    let blobs = lab
        .add(&[Plan::of("acme", SharePolicy::MetadataOnly, &["clamav"])])
        .await;
    let client = lab.client("clam");
    let url = lab.url(&format!("/monitor_partner/hashes/{}", blobs[0].sha256));
    assert!(!lab.ledger().contains(&blobs[0].sha256.to_string()));
    for _ in 0..3 {
        assert_eq!(answer(client.get(&url)).await.0, 200);
        assert_eq!(
            answer(client.get(lab.url("/monitor_partner/hashes")))
                .await
                .0,
            200
        );
    }
    assert_eq!(lab.ledger().matches("is shown what is known").count(), 1);
}
