//! What every answer to a vendor has in common with all others.

use acquit::model::SharePolicy;
use serde_json::json;

use super::lab::{self, Lab, Plan};
use crate::http::appliance::answer;
use crate::http::wire::{good_answer, good_objects};

#[tokio::test]
async fn every_answer_to_a_vendor_is_as_all_others_and_its_objects_are_as_needed() {
    let lab = Lab::start().await;
    let plan = Plan::of("acme", SharePolicy::File, &["clamav"]);
    let sha256 = lab.add(&[plan]).await[0].sha256.to_string();
    let (store, dir) = (&lab.appliance.store, lab.appliance.dir.path());
    let made = acquit::flow::vendor::daily::make_due(store, dir, lab::noon());
    made.await.unwrap();
    let vendor = lab.client("clam");
    let hash = format!("/monitor_partner/hashes/{sha256}");
    let attributes = json!({"comment": "we look", "engine": "ClamAV", "sha256": sha256});
    let comment = json!({"data": {"type": "monitor_hash_comment", "attributes": attributes}});
    let url = lab.url(&format!("{hash}/comments"));
    let (status, body) = answer(vendor.post(url).json(&comment)).await;
    assert!(status.is_success(), "{body}");
    let parts = ["", "/analyses", "/items", "/comments"];
    let mut paths: Vec<String> = parts.map(|part| format!("{hash}{part}")).into();
    let related = ["analyses", "items", "comments"];
    paths.extend(related.map(|name| format!("{hash}/relationships/{name}")));
    paths.extend([
        format!("/monitor_partner/comments/{sha256}-clamav"),
        format!("/monitor_partner/files/{sha256}/download_url"),
        format!("{hash}?relationships=items,analyses,comments"),
    ]);
    let others = [
        "/monitor_partner/hashes",
        "/monitor_partner/hashes?filter=engine:ClamAV&relationships=items",
        "/monitor_partner/detections_bundle/ClamAV/download_url",
        "/monitor_partner/statistics",
        "/groups/clam",
        "/groups/acme",
        "/users/me",
    ];
    paths.extend(others.map(str::to_owned));
    let mut objects = 0;
    for path in paths {
        let answer = good_answer(&vendor, &lab.url(&path)).await;
        objects += good_objects(&answer, &lab.appliance.url);
    }
    assert!(objects >= 14, "{objects}");
}
