//! Disputes over the API and a real mail server; only the engines are played.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod bench;
mod mail;
mod words;

use acquit::model::SharePolicy;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::http::appliance::{answer, malicious, refused};
use bench::{Bench, DAY, order};

#[tokio::test]
async fn policy_decides_what_leaves_and_an_order_can_be_the_consent() {
    use SharePolicy::{File, FileOnRequest, MetadataOnly};
    let bench = Bench::start().await;
    let cases = [
        (MetadataOnly, "policy", Some(false)),
        (MetadataOnly, "with", None),
        (FileOnRequest, "policy", Some(false)),
        (FileOnRequest, "with", Some(true)),
        (File, "policy", Some(true)),
        (File, "without", Some(false)),
    ];
    for (policy, file, expected) in cases {
        bench.policy(policy).await;
        let preview = bench.preview(json!({ "incident": 1, "file": file })).await;
        let with_file = preview.map(|it| it["with_file"].as_bool().unwrap());
        assert_eq!(with_file.ok(), expected, "{policy:?} {file}");
    }
    bench.policy(SharePolicy::Never).await;
    let never = bench.preview(json!({ "incident": 1 })).await.unwrap_err();
    assert!(never.contains("never"), "{never}");
    assert_eq!(bench.mails(), 0);
    assert_eq!(
        bench.lines("egress").await.len(),
        0,
        "a preview lets nothing leave"
    );
}

#[tokio::test]
async fn preview_is_what_the_dispute_says() {
    let bench = Bench::start().await;
    let preview = bench.preview(json!({ "incident": 1 })).await.unwrap();
    let dispute = bench.create(json!({ "incident": 1 })).await;
    for key in [
        "subject",
        "text",
        "to",
        "rule",
        "with_file",
        "by_mail",
        "vendor",
    ] {
        assert_eq!(preview[key], dispute[key], "{key}");
    }
    let text = dispute["text"].as_str().unwrap();
    for part in [
        "Win.Test.FP",
        "Anvil",
        "2.1",
        &bench.sha256,
        "Other engines: 1 find nothing, 0 detect it too; 2 of 2 engines answered",
        "Last called clean by your engine: 2026-11-20",
        "27000",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("/secret folder/"),
        "a path is nobody's business: {text}"
    );
    let subject = &dispute["subject"];
    assert_eq!(*subject, "False positive – Anvil 2.1 – Win.Test.FP");
}

#[tokio::test]
async fn text_has_the_whole_card_and_who_signed() {
    let bench = Bench::start().await;
    bench.fill_card().await;
    let preview = bench.preview(json!({ "incident": 1 })).await.unwrap();
    let text = preview["text"].as_str().unwrap();
    for line in [
        "Released: 2026-11-01\n",
        "Suite: Forge\n",
        "Main files: anvil.exe, hammer.dll\n",
        "Signed by: CN=Acme; the signature fits the file.\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[tokio::test]
async fn only_who_looked_and_found_nothing_speaks_for_a_file() {
    let bench = Bench::start().await;
    let again = format!("/files/{}/analyse?reuse=never", bench.sha256);
    let (status, _) = answer(bench.appliance.post(&again)).await;
    assert_eq!(status, StatusCode::OK);
    let unsupported = acquit::model::Verdict::TypeUnsupported {
        reason: "no document".to_owned(),
    };
    assert_eq!(bench.appliance.answer("yara", unsupported).await, 1);
    let preview = bench.preview(json!({ "incident": 1 })).await.unwrap();
    let text = preview["text"].as_str().unwrap();
    assert!(
        text.contains("Other engines: 0 find nothing, 0 detect it too; 1 of 2 engines answered"),
        "{text}"
    );
    let again = malicious("Win.Test.FP");
    assert_eq!(bench.appliance.answer("clamav", again).await, 1);
    let file = format!("/files/{}", bench.sha256);
    let file = bench.appliance.json(&file).await;
    assert_eq!(
        file["data"]["attributes"]["coverage"],
        json!({ "answered": 1, "unsupported": 1, "enabled": 2 }),
        "the pages count as the letter does"
    );
}

#[tokio::test]
async fn what_a_vendor_wants_to_know_is_named_before_anything_is_made() {
    let bench = Bench::start().await;
    bench.forget_card().await;
    let preview = bench.preview(json!({ "incident": 1 })).await.unwrap();
    assert_eq!(preview["missing"], json!(["product", "version"]));
    let post = bench.appliance.post("/acquit/disputes");
    let said = refused(
        post.json(&order(json!({ "incident": 1 }))),
        400,
        "InvalidArgumentError",
    );
    let said = said.await;
    assert!(
        said.contains("product, version, which the release card does not say"),
        "{said}"
    );
    // The same sentence is read on a page and in a terminal.
    assert!(!said.contains("acquit "), "{said}");
    assert_eq!(preview["subject"], "False positive – Win.Test.FP");
}

#[tokio::test]
async fn one_dispute_of_an_incident_is_under_way_at_a_time() {
    let bench = Bench::start().await;
    let first = bench.create(json!({ "incident": 1 })).await;
    assert_eq!(first["state"], "prepared");
    let post = || {
        let post = bench.appliance.post("/acquit/disputes");
        post.json(&order(json!({ "incident": 1 })))
    };
    refused(post(), 409, "ConflictError").await;
    let (status, body) = bench.act(1, "withdraw", Value::Null).await;
    assert_eq!(
        (status, &body["data"]["attributes"]["state"]),
        (StatusCode::OK, &json!("withdrawn"))
    );
    assert_eq!(answer(post()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn engines_that_share_signatures_have_one_dispute_unless_it_is_ordered_apart() {
    let bench = Bench::start().await;
    bench.kin().await;
    let second = json!({ "incident": 2 });
    let named = bench.preview(second.clone()).await.unwrap_err();
    assert!(named.contains("dispute incident 1"), "{named}");
    let post = || {
        let post = bench.appliance.post("/acquit/disputes");
        post.json(&order(second.clone()))
    };
    let named = refused(post(), 409, "ConflictError").await;
    assert!(named.contains("clamav: dispute incident 1"), "{named}");
    let first = bench.create(json!({ "incident": 1 })).await;
    let text = first["text"].as_str().unwrap();
    assert!(text.contains(", 0 detect it too"), "one opinion: {text}");
    let named = refused(post(), 409, "ConflictError").await;
    assert!(named.contains("dispute 1 of incident 1"), "{named}");
    let apart = bench.create(json!({ "incident": 2, "apart": true })).await;
    assert_eq!(apart["incident"], 2);
    let list = bench.appliance.json("/acquit/incidents?group=family").await;
    let listed = list["data"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!("1")), "{list}");
    let shown = &listed[0]["attributes"];
    assert_eq!(
        (&shown["leading"], &shown["opinions"]),
        (&json!("1"), &json!(1))
    );
    assert_eq!(shown["propagation"][0]["incident"], "2");
    let all = bench.appliance.json("/acquit/incidents").await;
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn form_gets_a_package_and_its_ticket_is_recorded() {
    let bench = Bench::start_with("form").await;
    bench.policy(SharePolicy::File).await;
    let dispute = bench.create(json!({ "incident": 1, "send": true })).await;
    assert_eq!(
        (&dispute["state"], &dispute["by_mail"], &dispute["to"]),
        (
            &json!("prepared"),
            &json!(false),
            &json!("https://fp.example.org/form")
        )
    );
    let (status, _) = bench.act(1, "send", Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let package = bench.appliance.get("/acquit/disputes/1/package");
    let package = package.send().await.unwrap().bytes().await.unwrap();
    assert_eq!(&package[..2], b"PK");
    let lines = bench.lines("egress").await;
    assert_eq!(lines.len(), 1);
    let line = &lines[0]["attributes"];
    assert_eq!(line["bytes"].as_u64().unwrap(), package.len() as u64);
    assert_eq!(line["to"], "https://fp.example.org/form");
    assert_eq!(line["rule"], "policy file of /");
    let (_, body) = bench.act(1, "ticket", json!({ "ticket": "FP-77" })).await;
    let sent = &body["data"]["attributes"];
    assert_eq!(
        (&sent["state"], &sent["ticket"]),
        (&json!("sent"), &json!("FP-77"))
    );
    // A person is not reminded by mail: after the days the publisher is told.
    bench.step(4 * DAY).await;
    assert_eq!(bench.events("dispute-unanswered").await, 1);
    assert_eq!(bench.mails(), 0);
}

#[tokio::test]
async fn others_find_neither_dispute_nor_incident() {
    let bench = Bench::start().await;
    bench.create(json!({ "incident": 1 })).await;
    bench.seat("globex").await;
    let hidden = bench.appliance.get("/acquit/disputes/1");
    let absent = bench.appliance.get("/acquit/disputes/9");
    let hidden = refused(hidden, 404, "NotFoundError").await;
    let absent = refused(absent, 404, "NotFoundError").await;
    assert_eq!(hidden.replace('1', "9"), absent);
    for what in ["send", "withdraw"] {
        let (status, _) = bench.act(1, what, Value::Null).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    let of_hidden = bench.preview(json!({ "incident": 1 })).await.unwrap_err();
    let of_absent = bench.preview(json!({ "incident": 9 })).await.unwrap_err();
    assert_eq!(of_hidden.replace('1', "9"), of_absent);
    let list = bench.appliance.json("/acquit/disputes").await;
    assert_eq!(list["data"], json!([]));
}

#[tokio::test]
async fn directory_is_read_again_when_it_was_changed() {
    let bench = Bench::start().await;
    let entry = bench
        .appliance
        .json("/acquit/vendor_directory/clamav")
        .await;
    assert_eq!(
        entry["data"]["attributes"]["mail"],
        json!(["fp@example.org"])
    );
    let all = bench.appliance.json("/acquit/vendor_directory").await;
    assert!(all["data"].as_array().unwrap().len() > 50);
    bench.write_vendors("form");
    let entry = bench
        .appliance
        .json("/acquit/vendor_directory/clamav")
        .await;
    assert_eq!(entry["data"]["attributes"]["channel"], "form");
}
