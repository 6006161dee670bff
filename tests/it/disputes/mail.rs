//! What a vendor's mail server gets, when, and what becomes of it.

use acquit::model::{ApiKey, EventKind, IncidentState, SharePolicy, Verdict};
use acquit::store::{INCIDENTS, STANDINGS};
use serde_json::json;

use super::bench::{Bench, DAY};
use crate::http::appliance::{malicious, refused};

#[tokio::test]
async fn file_goes_in_the_archive_the_vendor_opens_and_the_ledger_knew_before() {
    let bench = Bench::start().await;
    bench.policy(SharePolicy::FileOnRequest).await;
    let order = json!({ "incident": 1, "file": "with", "send": true });
    assert_eq!(bench.create(order).await["state"], "queued");
    bench.step(0).await;
    let dispute = bench.dispute(1).await;
    assert_eq!(dispute["state"], "sent", "{dispute}");
    let mail = bench.mail(1);
    assert_eq!(mail["to"], "fp@example.org");
    assert_eq!(mail["reply-to"], "fp@acme.example");
    assert_eq!(mail["subject"], "False positive – Anvil 2.1 – Win.Test.FP");
    assert_eq!(mail["files"], json!({ "anvil_setup.exe": bench.sha256 }));
    // ZipCrypto and deflate: what every unzip opens.
    assert_eq!(
        (&mail["encrypted"], &mail["method"]),
        (&json!(true), &json!(8))
    );
    assert!(
        mail["text"]
            .as_str()
            .unwrap()
            .contains("its password is infected")
    );
    let line = &bench.lines("egress").await[0]["attributes"];
    assert_eq!(line["to"], "fp@example.org");
    assert_eq!(line["sha256"], *bench.sha256);
    assert!(
        line["rule"]
            .as_str()
            .unwrap()
            .contains("policy file-on-request of /; the file ordered")
    );
    assert!(line["bytes"].as_u64().unwrap() > mail["text"].as_str().unwrap().len() as u64);
    assert_eq!(
        bench.lines("admin").await.len(),
        1,
        "the order is the consent"
    );
    assert_eq!(bench.events("dispute-sent").await, 1);
    bench.step(1).await;
    assert_eq!(bench.mails(), 1, "a dispute is sent once");
}

#[tokio::test]
async fn nothing_is_sent_once_the_engine_is_silent_or_the_owner_refuses() {
    let bench = Bench::start().await;
    let sha256 = bench.sha256.parse().unwrap();
    bench.create(json!({ "incident": 1, "send": true })).await;
    bench.policy(SharePolicy::Never).await;
    bench.step(0).await;
    let refused = bench.dispute(1).await;
    assert_eq!(refused["state"], "withdrawn");
    bench.policy(SharePolicy::File).await;
    bench.create(json!({ "incident": 1, "send": true })).await;
    // The order was for the file; the policy now keeps it here.
    bench.policy(SharePolicy::MetadataOnly).await;
    bench.step(0).await;
    assert_eq!(bench.dispute(2).await["state"], "withdrawn");
    bench.create(json!({ "incident": 1, "send": true })).await;
    let silence = bench.appliance.store.write(move |change| {
        let mut standing = change.get(&STANDINGS, &sha256)?.unwrap();
        standing.detections.clear();
        change.put(&STANDINGS, &sha256, &standing)
    });
    silence.await.unwrap();
    bench.step(0).await;
    let dispute = bench.dispute(3).await;
    assert_eq!(dispute["state"], "withdrawn");
    assert!(
        dispute["problem"]
            .as_str()
            .unwrap()
            .contains("does not detect the file any more")
    );
    assert_eq!((bench.mails(), bench.lines("egress").await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dispute_taken_back_while_it_is_packed_does_not_leave() {
    let bench = Bench::start().await;
    bench.policy(SharePolicy::File).await;
    bench.create(json!({ "incident": 1, "send": true })).await;
    let blocked = bench.block_vendors();
    let withdraw = async {
        let (status, _) = bench.act(1, "withdraw", json!(null)).await;
        assert_eq!(status, 200);
    };
    let sending = bench.step_aside();
    blocked.meanwhile(withdraw).await;
    sending.join_all().await;
    assert_eq!(bench.dispute(1).await["state"], "withdrawn");
    assert_eq!((bench.mails(), bench.lines("egress").await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn package_that_may_leave_no_more_once_it_is_made_does_not() {
    let bench = Bench::start_with("form").await;
    bench.policy(SharePolicy::File).await;
    bench.create(json!({ "incident": 1 })).await;
    let blocked = bench.block_vendors();
    let package = bench.appliance.get("/acquit/disputes/1/package");
    let forbid = blocked.meanwhile(bench.policy(SharePolicy::Never));
    let (reason, ()) = tokio::join!(refused(package, 409, "ConflictError"), forbid);
    assert!(reason.contains("`never` now"), "{reason}");
    assert_eq!(bench.lines("egress").await.len(), 0);
}

#[tokio::test]
async fn folder_with_a_name_that_reads_like_an_order_orders_nothing() {
    let bench = Bench::start().await;
    let folder = "/the file ordered with love/";
    bench.move_to(folder, SharePolicy::File).await;
    let order = json!({ "incident": 1, "send": true });
    let dispute = bench.create(order).await;
    assert_eq!(dispute["with_file"], true, "{dispute}");
    assert!(dispute["rule"].as_str().unwrap().contains(folder));
    bench.move_to(folder, SharePolicy::FileOnRequest).await;
    bench.step(0).await;
    assert_eq!(bench.dispute(1).await["state"], "withdrawn");
    assert_eq!((bench.mails(), bench.lines("egress").await.len()), (0, 0));
}

#[tokio::test]
async fn whoever_did_it_is_on_record_and_not_whoever_made_the_dispute() {
    let bench = Bench::start().await;
    let maker = bench.create(json!({ "incident": 1 })).await["author"].clone();
    let admin: ApiKey = bench.appliance.admin.parse().unwrap();
    let admin = admin.id().to_string();
    assert_ne!(maker, *admin);
    let url = bench.appliance.api("/acquit/disputes/1/send");
    let sent = bench.appliance.admin().post(url).send().await.unwrap();
    assert_eq!(sent.status(), 200);
    bench.step(0).await;
    assert_eq!(
        bench.lines("egress").await[0]["attributes"]["actor"],
        *admin
    );
    bench.step(3 * DAY + 1000).await;
    assert_eq!(
        bench.lines("egress").await[0]["attributes"]["actor"],
        "acquit"
    );
    bench.act(1, "withdraw", json!(null)).await;
    let thread = bench.appliance.json("/acquit/incidents/1/thread").await;
    let said = |number: usize| {
        let it = &thread["data"][number]["attributes"];
        (
            it["text"].as_str().unwrap().to_owned(),
            it["author"].clone(),
        )
    };
    let whose = |text: &str| {
        let all = (0..thread["data"].as_array().unwrap().len()).map(said);
        all.into_iter().find(|(it, _)| it.contains(text)).unwrap().1
    };
    for (text, author) in [
        ("is prepared", &maker),
        ("is on its way", &json!(admin)),
        ("was sent", &json!(admin)),
        ("was reminded", &json!("acquit")),
        ("was withdrawn", &maker),
    ] {
        assert_eq!(whose(text), *author, "{text}");
    }
}

#[tokio::test]
async fn incident_is_notified_by_what_was_sent_and_by_nothing_before() {
    let bench = Bench::start_with("later").await;
    let state = || {
        let store = &bench.appliance.store;
        store.get(&INCIDENTS, &1).unwrap().unwrap().state
    };
    bench.create(json!({ "incident": 1 })).await;
    assert_eq!(state(), IncidentState::Open, "prepared");
    bench.act(1, "withdraw", json!(null)).await;
    assert_eq!(state(), IncidentState::Open, "withdrawn");
    bench.create(json!({ "incident": 1, "send": true })).await;
    bench.step(0).await;
    assert_eq!(state(), IncidentState::Open, "put off");
    std::fs::write(bench.office().join("open"), "").unwrap();
    bench.step(60_000).await;
    assert_eq!(bench.dispute(2).await["state"], "sent");
    assert_eq!(state(), IncidentState::Notified);
}

#[tokio::test]
async fn engine_with_newer_signatures_is_asked_again_before_anything_leaves() {
    for (verdict, state) in [
        (malicious("Win.Test.FP"), "sent"),
        (Verdict::Undetected, "withdrawn"),
    ] {
        let bench = Bench::start().await;
        bench.promote().await;
        bench.create(json!({ "incident": 1, "send": true })).await;
        bench.step(0).await;
        let waiting = bench.dispute(1).await;
        assert_eq!((&waiting["state"], bench.mails()), (&json!("queued"), 0));
        let why = waiting["problem"].as_str().unwrap();
        assert!(why.contains("newer signatures"), "{why}");
        assert_eq!(bench.appliance.answer("clamav", verdict).await, 1);
        bench.step(60_000).await;
        assert_eq!(bench.dispute(1).await["state"], state);
        assert_eq!(bench.mails(), usize::from(state == "sent"));
    }
}

#[tokio::test]
async fn refusal_is_a_bounce_and_a_delay_is_tried_again_as_the_same_letter() {
    let bench = Bench::start_with("refuse").await;
    bench.create(json!({ "incident": 1, "send": true })).await;
    bench.step(0).await;
    let dispute = bench.dispute(1).await;
    assert_eq!(dispute["state"], "bounced", "{dispute}");
    assert!(
        dispute["problem"]
            .as_str()
            .unwrap()
            .contains("no such user")
    );
    assert_eq!(bench.events("dispute-bounced").await, 1);
    let entry = bench
        .appliance
        .json("/acquit/vendor_directory/clamav")
        .await;
    assert_eq!(entry["data"]["attributes"]["bounce_count"], 1);
    bench.write_vendors("later");
    bench.create(json!({ "incident": 1, "send": true })).await;
    bench.step(0).await;
    let dispute = bench.dispute(2).await;
    assert_eq!(
        (&dispute["state"], &dispute["attempts"]),
        (&json!("queued"), &json!(1))
    );
    bench.step(1000).await;
    assert_eq!(bench.dispute(2).await["attempts"], 1, "not before its time");
    std::fs::write(bench.office().join("open"), "").unwrap();
    bench.step(60_000).await;
    assert_eq!(bench.dispute(2).await["state"], "sent");
    let id = bench.mail(1)["message-id"].clone();
    assert!(id.as_str().unwrap().starts_with("<dispute-2-"), "{id}");
}

#[tokio::test]
async fn people_are_told_once_that_a_dispute_cannot_be_sent() {
    let bench = Bench::start_with("later").await;
    bench.create(json!({ "incident": 1, "send": true })).await;
    for (tries, told) in [(5, 0), (1, 1), (4, 1)] {
        for _ in 0..tries {
            let due = bench.dispute(1).await["attempts"].as_u64().unwrap();
            bench.step(due * DAY).await;
        }
        assert_eq!(bench.events("dispute-delayed").await, told);
    }
    assert_eq!(bench.dispute(1).await["state"], "queued");
}

#[tokio::test]
async fn message_that_comes_back_finds_its_dispute() {
    let bench = Bench::start().await;
    bench.create(json!({ "incident": 1, "send": true })).await;
    bench.step(0).await;
    let id = bench.mail(1)["message-id"].as_str().unwrap().to_owned();
    let notice = format!(
        "Subject: failed\r\n\r\nDiagnostic-Code: smtp; 552 full\r\n\r\nMessage-ID: {id}\r\n"
    );
    let appliance = &bench.appliance;
    let post = || {
        appliance
            .admin()
            .post(appliance.api("/acquit/disputes/bounce"))
    };
    let other = notice.replace("<dispute-1-1", "<dispute-1-2");
    refused(post().body(other), 404, "NotFoundError").await;
    let answer = post().body(notice).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let dispute = bench.dispute(1).await;
    assert_eq!(dispute["state"], "bounced");
    assert!(dispute["problem"].as_str().unwrap().contains("552 full"));
}

#[tokio::test]
async fn vendor_is_reminded_and_then_the_publisher_is_told() {
    let bench = Bench::start().await;
    bench.policy(SharePolicy::File).await;
    bench.create(json!({ "incident": 1, "send": true })).await;
    bench.step(0).await;
    for day in 1..=5 {
        bench.step(day * 3 * DAY + 1000 * day).await;
    }
    assert_eq!(bench.mails(), 4, "the dispute and three reminders");
    let reminder = bench.mail(3);
    assert!(
        reminder["subject"]
            .as_str()
            .unwrap()
            .starts_with("Re: False positive")
    );
    assert_eq!(reminder["attachments"], json!([]), "the file goes once");
    assert_eq!(bench.events("dispute-unanswered").await, 1);
    assert_eq!(bench.lines("egress").await.len(), 4);
}

#[tokio::test]
async fn incident_that_opens_is_disputed_by_itself_and_closed_when_it_is_over() {
    let bench = Bench::start_automatic().await;
    bench.step(0).await;
    bench.raise(EventKind::IncidentOpened, (1, 5)).await;
    bench.step(10).await;
    assert_eq!(bench.dispute(1).await["state"], "sent");
    bench.step(20).await;
    assert_eq!(bench.mails(), 1);
    let resolve = bench.appliance.store.write(|change| {
        let mut incident = change.get(&INCIDENTS, &1)?.unwrap();
        incident.state = IncidentState::Resolved;
        change.put(&INCIDENTS, &1, &incident)
    });
    resolve.await.unwrap();
    bench.raise(EventKind::IncidentResolved, (1, 30)).await;
    bench.step(40).await;
    assert_eq!(bench.dispute(1).await["state"], "closed");
}

#[tokio::test]
async fn of_engines_that_share_signatures_one_disputes_by_itself() {
    let bench = Bench::start_automatic().await;
    bench.kin().await;
    bench.step(0).await;
    for incident in [2, 1] {
        bench.raise(EventKind::IncidentOpened, (incident, 5)).await;
    }
    bench.step(10).await;
    assert_eq!(bench.dispute(1).await["incident"], 1);
    bench.raise(EventKind::IncidentReopened, (2, 20)).await;
    bench.step(30).await;
    assert_eq!(bench.mails(), 1);
    let list = bench.appliance.json("/acquit/disputes").await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
}
