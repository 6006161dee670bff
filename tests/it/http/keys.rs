//! Who may do what: keys, roles, rates, users, orders.

use acquit::model::{ApiKey, Control, KeyId, Reuse};
use reqwest::StatusCode;
use serde_json::json;

use super::appliance::{Appliance, answer, client, file, refused};

#[tokio::test]
async fn request_without_a_good_key_is_refused_without_a_hint() {
    let appliance = Appliance::start().await;
    let url = appliance.api("/metadata");
    let bare = reqwest::Client::builder().no_proxy().build().unwrap();
    let missing = refused(bare.get(&url), 401, "AuthenticationRequiredError").await;
    assert_eq!(missing, "X-Apikey header is missing");
    let mut wrong = appliance.publisher.clone();
    wrong.replace_range(63.., if wrong.ends_with('0') { "1" } else { "0" });
    let unknown = "0".repeat(64);
    let mut messages = Vec::new();
    for key in [&*wrong, &*unknown, "short", "not hexadecimal", "é"] {
        let request = bare.get(&url).header("x-apikey", key.as_bytes());
        let (status, body) = answer(request).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        messages.push(body.to_string());
    }
    messages.truncate(4);
    messages.dedup();
    assert_eq!(
        messages.len(),
        1,
        "a wrong key looks like an unknown one: {messages:?}"
    );
    let bearer = bare.get(&url).bearer_auth(&appliance.publisher);
    assert_eq!(bearer.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn key_is_shown_once_works_at_once_and_not_after_it_is_revoked() {
    let appliance = Appliance::start().await;
    let admin = appliance.admin();
    let keys = appliance.api("/acquit/keys");
    let order =
        json!({"data": {"type": "api_key", "attributes": {"name": "ci", "role": "publisher"}}});
    let (status, made) = answer(admin.post(&keys).json(&order)).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    let key = made["data"]["attributes"]["apikey"]
        .as_str()
        .unwrap()
        .to_owned();
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(key[..8], *id);
    let (status, _) = answer(client(&key).get(appliance.api("/users/me"))).await;
    assert_eq!(status, StatusCode::OK);
    let (_, list) = answer(admin.get(&keys)).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 3);
    assert!(
        !list.to_string().contains(&key),
        "a key is never shown again"
    );
    let url = format!("{keys}/{id}");
    let (status, gone) = answer(admin.delete(&url)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(gone["data"]["attributes"]["revocation_date"].is_u64());
    let request = client(&key).get(appliance.api("/users/me"));
    refused(request, 401, "UserNotActiveError").await;
}

#[tokio::test]
async fn upload_url_of_a_revoked_key_is_worth_nothing() {
    let appliance = Appliance::start().await;
    let url = appliance.json("/files/upload_url").await;
    let id = appliance.publisher.parse::<ApiKey>().unwrap().id();
    let revoke = appliance
        .admin()
        .delete(appliance.api(&format!("/acquit/keys/{id}")));
    assert_eq!(revoke.send().await.unwrap().status(), StatusCode::OK);
    let bare = reqwest::Client::builder().no_proxy().build().unwrap();
    let upload = bare.post(url["data"].as_str().unwrap());
    refused(upload.multipart(file("a", b"a")), 404, "NotFoundError").await;
}

#[tokio::test]
async fn last_admin_key_stays() {
    let appliance = Appliance::start().await;
    let admin = appliance.admin();
    let KeyId(first) = appliance.admin.parse::<ApiKey>().unwrap().id();
    let keys = appliance.api("/acquit/keys");
    let revoke = |id: &str| admin.delete(format!("{keys}/{id}"));
    refused(revoke(&first), 403, "ForbiddenError").await;
    refused(revoke("00000000"), 404, "NotFoundError").await;
    let order = json!({"name": "second", "role": "admin"});
    let (_, made) = answer(admin.post(&keys).json(&order)).await;
    let second = made["data"]["id"].as_str().unwrap();
    let both = tokio::join!(answer(revoke(&first)), answer(revoke(second)));
    let statuses = [both.0.0, both.1.0];
    assert!(statuses.contains(&StatusCode::OK), "{both:?}");
    assert!(!statuses.iter().all(StatusCode::is_success), "{both:?}");
}

#[tokio::test]
async fn publisher_may_not_give_orders() {
    let appliance = Appliance::start().await;
    for path in [
        "/acquit/keys",
        "/acquit/rescan",
        "/acquit/engines/yara/restart",
    ] {
        refused(appliance.post(path), 403, "ForbiddenError").await;
    }
    refused(appliance.get("/acquit/keys"), 403, "ForbiddenError").await;
}

#[tokio::test]
async fn bad_key_orders_are_refused() {
    let appliance = Appliance::start().await;
    let keys = appliance.api("/acquit/keys");
    let post = |body: &str| appliance.admin().post(&keys).body(body.to_owned());
    refused(post(""), 400, "InvalidArgumentError").await;
    refused(post("{\"name\": \"\"}"), 400, "InvalidArgumentError").await;
    refused(
        post("{\"name\": \"x\", \"role\": \"root\"}"),
        400,
        "InvalidArgumentError",
    )
    .await;
    refused(post("{\"name\": 1}"), 400, "BadRequestError").await;
    refused(post("{"), 400, "BadRequestError").await;
    refused(post(&"x".repeat(100_000)), 413, "InvalidArgumentError").await;
}

#[tokio::test]
async fn orders_reach_the_flow_and_a_full_queue_says_so() {
    let mut appliance = Appliance::start().await;
    let admin = appliance.admin();
    let rescan = appliance.api("/acquit/rescan");
    let order = json!({"engine": "yara", "reuse": "never"});
    let (status, body) = answer(admin.post(&rescan).json(&order)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    refused(admin.post(&rescan), 503, "TransientError").await;
    let engine = "yara".parse().unwrap();
    let expected = Control::Rescan {
        engine: Some(engine),
        reuse: Reuse::Never,
    };
    assert_eq!(appliance.orders.recv().await, Some(expected));
    let restart = appliance.api("/acquit/engines/clamav/restart");
    let (status, body) = answer(admin.post(restart)).await;
    assert_eq!(
        (status, &body["data"]["id"]),
        (StatusCode::OK, &json!("clamav"))
    );
    let engine = "clamav".parse().unwrap();
    assert_eq!(
        appliance.orders.recv().await,
        Some(Control::Restart { engine })
    );
    let unknown = admin.post(appliance.api("/acquit/engines/nobody/restart"));
    refused(unknown, 404, "NotFoundError").await;
    let typo = admin.post(&rescan).json(&json!({"engines": "yara"}));
    refused(typo, 400, "BadRequestError").await;
}

#[tokio::test]
async fn key_that_asks_too_often_is_told_when_to_come_back() {
    let appliance = Appliance::start_with(|config| config.http.requests_per_minute = 3).await;
    for _ in 0..3 {
        appliance.json("/users/me").await;
    }
    let response = appliance.get("/users/me").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=20).contains(&seconds), "{seconds}");
    refused(appliance.get("/users/me"), 429, "TooManyRequestsError").await;
    let other = appliance.admin().get(appliance.api("/users/me"));
    assert_eq!(other.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn publisher_sees_himself_and_nobody_else() {
    let appliance = Appliance::start().await;
    let own = appliance.publisher.parse::<ApiKey>().unwrap().id();
    let other = appliance.admin.parse::<ApiKey>().unwrap().id();
    for id in ["me", &own.0, &appliance.publisher] {
        let user = appliance.json(&format!("/users/{id}")).await;
        assert_eq!(user["data"]["id"], own.0);
        assert_eq!(
            user["data"]["attributes"]["privileges"]["admin"]["granted"],
            false
        );
        let quotas = appliance.json(&format!("/users/{id}/overall_quotas")).await;
        let daily = &quotas["data"]["api_requests_daily"];
        assert_eq!(daily["allowed"], 6000 * 60 * 24);
        assert_eq!(daily["user"]["used"], daily["used"]);
        assert!(daily["used"].as_u64() > Some(0));
    }
    for id in [&other.0, &appliance.admin] {
        let message = refused(appliance.get(&format!("/users/{id}")), 404, "NotFoundError").await;
        assert!(!message.contains(id.as_str()), "a secret is not repeated");
    }
    let seen = appliance
        .admin()
        .get(appliance.api(&format!("/users/{own}")));
    assert_eq!(answer(seen).await.1["data"]["id"], own.0);
}
