//! A dispute in a person's own words: what is shown is what leaves, and the facts stay.

use acquit::model::SharePolicy;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::bench::{Bench, order};
use crate::http::appliance::{answer, client, refused};

async fn reword(bench: &Bench, id: u64, attributes: Value) -> (StatusCode, Value) {
    let url = bench.appliance.api(&format!("/acquit/disputes/{id}"));
    let patch = client(&bench.appliance.publisher).request(Method::PATCH, url);
    answer(patch.json(&order(attributes))).await
}

#[tokio::test]
async fn own_words_leave_as_they_were_shown_and_the_facts_below_them() {
    let bench = Bench::start().await;
    let own = json!({
        "incident": 1, "subject": "  Please look ", "words": "Dear all,\r\n\r\nSHA-256: 00 is not it.\n",
        "send": true,
    });
    let preview = bench.preview(own.clone()).await.unwrap();
    assert_eq!(preview["subject"], "Please look");
    assert_eq!(preview["words"], "Dear all,\n\nSHA-256: 00 is not it.");
    assert_eq!(preview["own_words"], true);
    let facts = preview["facts"].as_str().unwrap();
    for fact in [
        "Detection: Win.Test.FP\n",
        "Engine: clamav\n",
        &bench.sha256,
        "MD5: ",
    ] {
        assert!(facts.contains(fact), "{fact}: {facts}");
    }
    let text = preview["text"].as_str().unwrap();
    assert_eq!(
        text,
        format!("Dear all,\n\nSHA-256: 00 is not it.\n\n{facts}")
    );
    assert_eq!(bench.lines("admin").await.len(), 0, "nothing was done yet");
    let dispute = bench.create(own).await;
    assert_eq!(
        (&dispute["text"], &dispute["subject"]),
        (&preview["text"], &preview["subject"])
    );
    assert_eq!(dispute["worded_by"], dispute["author"]);
    let noted = &bench.lines("admin").await[0]["attributes"];
    assert_eq!(noted["text"], "worded a dispute of incident 1 for clamav");
    assert_eq!(noted["sha256"], *bench.sha256);
    bench.step(0).await;
    let mail = bench.mail(1);
    let sent = mail["text"].as_str().unwrap().replace("\r\n", "\n");
    assert_eq!(
        (sent.trim_end(), &mail["subject"]),
        (text.trim_end(), &preview["subject"])
    );
    let line = &bench.lines("egress").await[0]["attributes"];
    assert_eq!(
        line["text"],
        "dispute 1 to clamav: text in a person's words"
    );
}

#[tokio::test]
async fn acquits_own_words_sent_back_are_nobody_elses() {
    let bench = Bench::start().await;
    let usual = bench.preview(json!({ "incident": 1 })).await.unwrap();
    assert_eq!(usual["own_words"], false);
    let same = json!({ "incident": 1, "subject": usual["subject"], "words": usual["words"] });
    let again = bench.preview(same.clone()).await.unwrap();
    assert_eq!(
        (&again["text"], &again["own_words"]),
        (&usual["text"], &json!(false))
    );
    assert!(bench.create(same).await.get("worded_by").is_none());
    assert_eq!(bench.lines("admin").await.len(), 0);
}

#[tokio::test]
async fn words_that_cannot_be_sent_are_refused_and_open_no_door() {
    let bench = Bench::start().await;
    let order = |words: &str| json!({ "incident": 1, "words": words });
    let long = "x".repeat(10_001);
    for wrong in [" ", "a\u{0}b", "a\u{1b}[2Jb", "\u{202e}cod", long.as_str()] {
        let said = bench.preview(order(wrong)).await.unwrap_err();
        assert!(said.starts_with("the text "), "{said}");
    }
    let header = json!({ "incident": 1, "subject": "x\r\nBcc: all@example.org" });
    bench.preview(header).await.unwrap_err();
    bench.policy(SharePolicy::Never).await;
    let never = bench.preview(order("Hello")).await.unwrap_err();
    assert!(never.contains("never"), "{never}");
    bench.policy(SharePolicy::MetadataOnly).await;
    let mut with = order("The file is attached.");
    with["file"] = "with".into();
    bench.preview(with).await.unwrap_err();
}

#[tokio::test]
async fn prepared_dispute_is_reworded_until_it_leaves() {
    let bench = Bench::start().await;
    let first = bench.create(json!({ "incident": 1 })).await;
    assert_eq!(first["revision"], 0);
    let own = json!({ "words": "Hello,\nit is ours.", "revision": 0 });
    let (status, body) = reword(&bench, 1, own.clone()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let second = &body["data"]["attributes"];
    assert_eq!(second["words"], "Hello,\nit is ours.");
    assert_eq!(
        (&second["facts"], &second["subject"]),
        (&first["facts"], &first["subject"])
    );
    assert_eq!(
        (&second["revision"], &second["state"]),
        (&json!(1), &json!("prepared"))
    );
    assert_eq!(bench.lines("admin").await.len(), 1);
    // Somebody else looks at what is not there any more.
    let (status, _) = reword(&bench, 1, own).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let old = bench.appliance.post("/acquit/disputes/1/send?revision=0");
    let said = refused(old, 409, "ConflictError").await;
    assert!(said.contains("changed meanwhile"), "{said}");
    assert_eq!(
        bench.lines("admin").await.len(),
        1,
        "what was refused is not on record"
    );
    for wrong in [
        json!({}),
        json!({ "words": "" }),
        json!({ "facts": "none" }),
    ] {
        let (status, body) = reword(&bench, 1, wrong).await;
        assert!(status.is_client_error(), "{body}");
    }
    let send = bench.appliance.post("/acquit/disputes/1/send?revision=1");
    assert_eq!(answer(send).await.0, StatusCode::OK);
    let (status, body) = reword(&bench, 1, json!({ "words": "too late" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    bench.step(0).await;
    let text = bench.mail(1)["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("Hello,") && text.contains(&bench.sha256),
        "{text}"
    );
}
