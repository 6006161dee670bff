//! Views: each has its own, and not too many.

use acquit::model::ApiKey;
use acquit::store::VIEWS;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::{Lab, ok};
use crate::http::appliance::{answer, client, refused};

fn keep(lab: &Lab, client: &Client, view: &Value) -> RequestBuilder {
    client.post(lab.api("/acquit/views")).json(view)
}

async fn names(lab: &Lab, client: &Client) -> Vec<String> {
    let views = ok(client.get(lab.api("/acquit/views"))).await;
    let views = views["data"].as_array().unwrap().iter();
    views
        .map(|view| view["attributes"]["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn views_are_kept_listed_and_removed_by_whose_they_are() {
    let lab = Lab::start().await;
    let acme = lab.acme();
    let view =
        json!({ "name": " Détections ", "page": "analyses", "query": "?filter=is:detected" });
    let kept = ok(keep(&lab, &acme, &view)).await;
    let attributes = &kept["data"]["attributes"];
    let seen = ["name", "page", "query"].map(|key| attributes[key].as_str().unwrap());
    assert_eq!(seen, ["Détections", "analyses", "filter=is:detected"]);
    let wrapped = json!({ "data": { "attributes": { "name": "b", "page": "incidents" } } });
    ok(keep(&lab, &acme, &wrapped)).await;
    assert_eq!(names(&lab, &acme).await, ["b", "Détections"]);
    // Another key of the same publisher has its own.
    let viewer = client(&lab.viewer);
    assert_eq!(names(&lab, &viewer).await, [""; 0]);
    let url = kept["data"]["links"]["self"].as_str().unwrap();
    refused(viewer.delete(url), 404, "NotFoundError").await;
    let removed = ok(acme.delete(url)).await;
    assert_eq!(removed["data"], kept["data"]);
    refused(acme.delete(url), 404, "NotFoundError").await;
    assert_eq!(names(&lab, &acme).await, ["b"]);
}

#[tokio::test]
async fn views_of_a_key_go_with_it() {
    let lab = Lab::start().await;
    let (acme, viewer) = (lab.acme(), client(&lab.viewer));
    let view = json!({ "name": "a", "page": "collection" });
    ok(keep(&lab, &acme, &view)).await;
    ok(keep(&lab, &viewer, &view)).await;
    let rows = || {
        lab.appliance
            .store
            .list(&VIEWS, (&[], None), 10)
            .unwrap()
            .rows
    };
    assert_eq!(rows().len(), 2);
    let gone = lab.viewer.parse::<ApiKey>().unwrap().id();
    let admin = lab.appliance.admin();
    ok(admin.delete(lab.api(&format!("/acquit/keys/{gone}")))).await;
    let left: Vec<_> = rows().into_iter().map(|((keeper, _), _)| keeper).collect();
    assert!(
        left.len() == 1 && left[0] != format!("k:{gone}"),
        "{left:?}"
    );
    assert_eq!(names(&lab, &acme).await, ["a"]);
}

#[tokio::test]
async fn views_are_bounded_and_refused_with_a_reason() {
    let lab = Lab::start().await;
    let acme = lab.acme();
    let long = |count| "ä".repeat(count);
    let good = json!({ "name": long(100), "page": "collection", "query": long(2000) });
    ok(keep(&lab, &acme, &good)).await;
    refused(keep(&lab, &acme, &good), 409, "ConflictError").await;
    for bad in [
        json!({ "name": "", "page": "collection" }),
        json!({ "name": long(101), "page": "collection" }),
        json!({ "name": "a", "page": "collection", "query": long(2001) }),
        json!({ "name": "a", "page": "disputes" }),
        json!({ "name": "a", "page": "collection", "colour": "red" }),
        json!({ "name": 1, "page": "collection" }),
    ] {
        refused(keep(&lab, &acme, &bad), 400, "InvalidArgumentError").await;
    }
    for number in 1..100 {
        let view = json!({ "name": number.to_string(), "page": "collection" });
        ok(keep(&lab, &acme, &view)).await;
    }
    let view = json!({ "name": "one more", "page": "collection" });
    let (status, body) = answer(keep(&lab, &acme, &view)).await;
    assert_eq!(status, 409, "{body}");
    assert_eq!(names(&lab, &acme).await.len(), 100);
}
