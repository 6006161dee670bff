//! The right ends at once: when the engine falls silent, the policy changes, the item is gone.

use acquit::model::SharePolicy;
use serde_json::json;

use super::lab::{Blob, Lab, Plan, noon};
use crate::http::appliance::{answer, refused};

/// What a vendor gets of a blob while it has every right.
struct Held {
    ticket: String,
    comment: String,
    places: Vec<String>,
}

async fn hold(lab: &Lab, blob: &Blob) -> Held {
    let client = lab.client("clam");
    let hash = format!("/monitor_partner/hashes/{}", blob.sha256);
    let file = format!("/monitor_partner/files/{}", blob.sha256);
    let body = json!({"data": {"type": "monitor_hash_comment", "attributes": {"comment": "hm"}}});
    let (status, made) = answer(
        client
            .post(lab.url(&format!("{hash}/comments")))
            .json(&body),
    )
    .await;
    assert_eq!(status, 200, "{made}");
    let comment = made["data"]["id"].as_str().unwrap().to_owned();
    let (_, url) = answer(client.get(lab.url(&format!("{file}/download_url")))).await;
    let ticket = url["data"].as_str().unwrap().to_owned();
    assert_eq!(client.get(&ticket).send().await.unwrap().status(), 200);
    let places = vec![
        hash.clone(),
        format!("{hash}/items"),
        format!("{hash}/analyses"),
        format!("{hash}/comments"),
        format!("{hash}/relationships/items"),
        format!("{file}/download_url"),
        format!("/monitor_partner/comments/{comment}"),
    ];
    for place in &places {
        let (status, body) = answer(client.get(lab.url(place))).await;
        assert_eq!(status, 200, "{place}: {body}");
    }
    Held {
        ticket,
        comment,
        places,
    }
}

async fn all_is_gone(lab: &Lab, blob: &Blob, held: &Held) {
    let client = lab.client("clam");
    for place in &held.places {
        refused(client.get(lab.url(place)), 404, "NotFoundError").await;
    }
    refused(client.get(&held.ticket), 404, "NotFoundError").await;
    let bare = reqwest::Client::builder().no_proxy().build().unwrap();
    refused(bare.get(&held.ticket), 404, "NotFoundError").await;
    let comment = lab.url(&format!("/monitor_partner/comments/{}", held.comment));
    let body = json!({"data": {"attributes": {"comment": "more"}}});
    refused(client.patch(&comment).json(&body), 404, "NotFoundError").await;
    refused(client.delete(&comment), 404, "NotFoundError").await;
    let list = client
        .get(lab.url("/monitor_partner/hashes"))
        .send()
        .await
        .unwrap();
    assert!(
        !list
            .text()
            .await
            .unwrap()
            .contains(&blob.sha256.to_string())
    );
    let bundle = lab.url("/monitor_partner/detections_bundle/clamav/download");
    let bundle = client
        .get(bundle)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(!bundle.contains(&blob.sha256.to_string()), "{bundle}");
}

async fn lab_with_one() -> (Lab, Blob, Held) {
    let lab = Lab::start().await;
    let blobs = lab
        .add(&[Plan::of("acme", SharePolicy::File, &["clamav"])])
        .await;
    let blob = blobs.into_iter().next().unwrap();
    let held = hold(&lab, &blob).await;
    let store = &lab.appliance.store;
    acquit::flow::vendor::daily::make_due(store, lab.appliance.dir.path(), noon())
        .await
        .unwrap();
    let bundle = lab.url("/monitor_partner/detections_bundle/clamav/download");
    let bundle = lab
        .client("clam")
        .get(bundle)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(bundle.contains(&blob.sha256.to_string()), "{bundle}");
    (lab, blob, held)
}

#[tokio::test]
async fn silence_of_the_engine_ends_every_right() {
    let (lab, blob, held) = lab_with_one().await;
    lab.detect(&blob, &["yara"]).await;
    all_is_gone(&lab, &blob, &held).await;
}

#[tokio::test]
async fn stricter_policy_ends_every_right() {
    let (lab, blob, held) = lab_with_one().await;
    let id = blob.item_of("acme").unwrap();
    lab.put_item(id, (blob.sha256, SharePolicy::MetadataOnly))
        .await;
    refused(lab.client("clam").get(&held.ticket), 404, "NotFoundError").await;
    let (status, _) = answer(lab.client("clam").get(lab.url(&held.places[0]))).await;
    assert_eq!(status, 200, "the metadata stays");
    lab.put_item(id, (blob.sha256, SharePolicy::Never)).await;
    all_is_gone(&lab, &blob, &held).await;
}

#[tokio::test]
async fn item_that_is_gone_ends_every_right() {
    let (lab, blob, held) = lab_with_one().await;
    lab.remove_item(blob.item_of("acme").unwrap(), blob.sha256)
        .await;
    all_is_gone(&lab, &blob, &held).await;
}
