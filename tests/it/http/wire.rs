//! What every answer has in common, and what VirusTotal's clients rely on.

use std::collections::BTreeSet;

use acquit::model::{EngineState, Timestamp, Verdict};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::appliance::{Appliance, answer, client, malicious, refused};

/// Paths of every kind that answer something, with an analyzed file in the store.
async fn every_answer(appliance: &Appliance) -> Vec<String> {
    super::night::one_night(appliance).await;
    let id = appliance.upload("a.bin", b"abc").await;
    appliance.answer("clamav", malicious("X")).await;
    appliance.answer("yara", Verdict::Timeout).await;
    let file = "/files/900150983cd24fb0d6963f7d28e17f72";
    [
        file,
        &format!("{file}/analyses"),
        &format!("{file}/relationships/analyses"),
        &format!("{file}/download_url"),
        "/files/upload_url",
        &format!("/analyses/{id}"),
        &format!("/analyses/{id}/item"),
        &format!("/analyses/{id}/relationships/item"),
        "/search?query=900150983cd24fb0d6963f7d28e17f72",
        "/metadata",
        "/users/me",
        "/users/me/overall_quotas",
        "/acquit/engines",
        "/acquit/engines/yara",
        "/acquit/engines/clamav/signature_sets",
        "/acquit/engines/clamav/signature_sets/00000000000000a1",
        "/acquit/engines/clamav/updates",
        "/acquit/engines/clamav/updates/2",
        "/acquit/signatures/key",
        "/acquit/rescans",
        "/acquit/rescans/1",
        "/acquit/events",
        &format!("{file}/timeline"),
        "/openapi.json",
    ]
    .map(str::to_owned)
    .into()
}

/// Gets what must be there, and checks what every answer has in common.
pub async fn good_answer(client: &Client, url: &str) -> Value {
    let response = client.get(url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{url}");
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/json", "{url}");
    assert_eq!(headers["x-content-type-options"], "nosniff", "{url}");
    assert_eq!(headers["cache-control"], "no-store", "{url}");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{url}: {policy}");
    response.json().await.unwrap()
}

/// Checks that the objects of an answer are as clients need them; returns how many they are.
pub fn good_objects(answer: &Value, base: &str) -> usize {
    let objects = match &answer["data"] {
        Value::Array(list) => list.clone(),
        data if data["type"].is_string() => vec![data.clone()],
        _ => Vec::new(),
    };
    for object in &objects {
        good_object(object, base);
    }
    objects.len()
}

fn good_object(object: &Value, base: &str) {
    let (id, kind) = (&object["id"], &object["type"]);
    assert!(id.is_string() && kind.is_string(), "{object}");
    let link = object["links"]["self"].as_str();
    // VirusTotal's events are no objects, and what only names an object may do without.
    let has_none = object["attributes"].is_null() || kind == "monitor_event";
    let link = link.or_else(|| has_none.then_some(base));
    let link = link.unwrap_or_else(|| panic!("no link to itself: {object}"));
    assert!(link.starts_with(base), "links are absolute: {link}");
    for (name, value) in object["attributes"].as_object().into_iter().flatten() {
        let taken = ["id", "type", "error", "relationships", "context_attributes"];
        assert!(
            !taken.contains(&name.as_str()),
            "vt-py cannot read {name} of {object}"
        );
        let date = name.ends_with("_date") || name == "date" || name == "user_since";
        assert!(!date || value.is_u64(), "{name} is {value}");
    }
}

#[tokio::test]
async fn every_answer_is_json_with_status_200_and_guarded_headers_and_its_objects_are_as_needed() {
    let appliance = Appliance::start().await;
    let (client, mut objects) = (client(&appliance.publisher), 0);
    for path in every_answer(&appliance).await {
        let answer = good_answer(&client, &appliance.api(&path)).await;
        objects += good_objects(&answer, &appliance.url);
    }
    assert!(objects >= 10);
}

#[tokio::test]
async fn every_failure_is_in_the_envelope() {
    let appliance = Appliance::start().await;
    refused(appliance.get("/nothing"), 404, "NotFoundError").await;
    let outside = appliance.admin().get(format!("{}/else", appliance.url));
    refused(outside, 404, "NotFoundError").await;
    refused(appliance.post("/metadata"), 405, "BadRequestError").await;
    let odd = Method::from_bytes(b"FOO").unwrap();
    let odd = appliance.admin().request(odd, appliance.api("/metadata"));
    refused(odd, 405, "BadRequestError").await;
    refused(appliance.get("/files/xyz"), 400, "InvalidArgumentError").await;
    refused(appliance.get("/files/%ff"), 400, "BadRequestError").await;
    let unknown = "0".repeat(64);
    let message = refused(
        appliance.get(&format!("/files/{unknown}")),
        404,
        "NotFoundError",
    );
    assert_eq!(message.await, format!("File \"{unknown}\" not found"));
    refused(
        appliance.get("/analyses/x?wait=soon"),
        400,
        "BadRequestError",
    )
    .await;
    let traversal = appliance.get("/files/..%2f..%2fetc%2fpasswd/download");
    refused(traversal, 400, "InvalidArgumentError").await;
    let long = appliance.get(&format!("/files/{}", "a".repeat(5000)));
    let message = refused(long, 400, "InvalidArgumentError").await;
    assert!(message.len() <= 500, "what is quoted is bounded");
}

#[tokio::test]
async fn only_our_hosts_are_answered() {
    let appliance = Appliance::start_with(|config| {
        config.http.allowed_hosts = vec!["scanner.lan".to_owned()];
    });
    let appliance = appliance.await;
    let ask = |host: &str| appliance.get("/metadata").header("host", host);
    refused(ask("evil.test"), 421, "BadRequestError").await;
    refused(ask("127.0.0.1.evil.test"), 421, "BadRequestError").await;
    for host in ["scanner.lan", "localhost:1234", "[::1]:8440"] {
        assert_eq!(answer(ask(host)).await.0, StatusCode::OK, "{host}");
    }
    let url = answer(
        appliance
            .get("/files/upload_url")
            .header("host", "scanner.lan:8440"),
    );
    let (_, url) = url.await;
    assert!(
        url["data"]
            .as_str()
            .unwrap()
            .starts_with("http://scanner.lan:8440/")
    );
}

#[tokio::test]
async fn links_follow_the_public_url() {
    let public = "https://acquit.example.org/";
    let appliance =
        Appliance::start_with(|config| config.http.public_url = public.to_owned()).await;
    let url = appliance.json("/files/upload_url").await;
    let url = url["data"].as_str().unwrap();
    assert!(
        url.starts_with("https://acquit.example.org/api/v3/acquit/uploads/"),
        "{url}"
    );
}

#[tokio::test]
async fn large_json_is_compressed_for_those_who_ask() {
    let appliance = Appliance::start().await;
    let request = appliance
        .get("/openapi.json")
        .header("accept-encoding", "gzip");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let small = appliance
        .get("/files/upload_url")
        .header("accept-encoding", "gzip");
    let small = small.send().await.unwrap();
    assert!(small.headers().get("content-encoding").is_none());
}

#[tokio::test]
async fn description_and_routes_agree() {
    let appliance = Appliance::start().await;
    let api = appliance.json("/openapi.json").await;
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut documented = BTreeSet::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(
                operation["responses"]["default"].is_object(),
                "{method} {path}"
            );
            documented.insert(format!("{} {path}", method.to_uppercase()));
            let concrete = path.replace("{id}", "x").replace("{engine}", "x");
            let url = format!("{}{}", appliance.url, concrete.replace("{secret}", "x"));
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let (status, body) = match answer_of(&appliance, method, url).await {
                Some(answer) => answer,
                None => continue,
            };
            let message = body["error"]["message"].as_str().unwrap_or_default();
            assert!(
                !message.starts_with("URL "),
                "{path} is no route: {message}"
            );
            assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
    }
    // The same thing at a second place, for clients that write it otherwise.
    let alias = |rule: &&acquit::http::Rule| {
        let edits = rule.method == "POST" && rule.path == "/monitor_partner/comments/{id}";
        edits || rule.path.ends_with('/')
    };
    let ruled = acquit::http::rules().filter(|rule| !alias(rule));
    let ruled: BTreeSet<_> = ruled
        .map(|rule| format!("{} /api/v3{}", rule.method, described(rule.path)))
        .collect();
    let silent: Vec<_> = ruled.difference(&documented).collect();
    assert!(silent.is_empty(), "not described: {silent:#?}");
    let open: Vec<_> = documented.difference(&ruled).map(String::as_str).collect();
    let expected = [
        "GET /api/v3/acquit/downloads/{secret}",
        "GET /api/v3/acquit/oidc/callback",
        "GET /api/v3/acquit/oidc/login",
        "GET /livez",
        "GET /metrics",
        "GET /readyz",
        "POST /api/v3/acquit/monitor_uploads/{secret}",
        "POST /api/v3/acquit/oidc/session",
        "POST /api/v3/acquit/uploads/{secret}",
        "POST /api/v3/ui/signin",
    ];
    assert_eq!(open, expected, "what needs no key");
    assert_no_dangling_references(&api);
}

/// Returns how the description writes a route: an item's id may have slashes, so that its routes
/// take all that follows.
fn described(path: &str) -> String {
    let item = path.replace("/monitor/items/{*rest}", "/monitor/items/{id}");
    item.replace("/acquit/items/{*rest}", "/acquit/items/{id}/{part}")
}

async fn answer_of(
    appliance: &Appliance,
    method: Method,
    url: String,
) -> Option<(StatusCode, Value)> {
    let response = appliance.admin().request(method, url).send().await.unwrap();
    let status = response.status();
    if crate::roles::is_endless(&response) {
        return None;
    }
    let text = response.text().await.unwrap();
    Some((status, serde_json::from_str(&text).ok()?))
}

fn assert_no_dangling_references(api: &Value) {
    let text = api.to_string();
    for (at, start) in text.match_indices("#/components/schemas/") {
        let name = text[at + start.len()..].split('"').next().unwrap();
        assert!(
            api["components"]["schemas"][name].is_object(),
            "{name} is not described"
        );
    }
}

#[tokio::test]
async fn page_of_the_description_loads_only_from_us_and_runs_nothing_inline() {
    let appliance = Appliance::start().await;
    let page = appliance.get("/docs").send().await.unwrap();
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let html = page.text().await.unwrap();
    assert!(!html.contains("<style") && !html.contains("http:") && !html.contains("https:"));
    assert!(!html.contains("<script>") && !html.contains(" on"));
    for (part, kind) in [("page.js", "text/javascript"), ("page.css", "text/css")] {
        assert!(html.contains(&format!("/api/v3/docs/{part}")));
        let part = appliance
            .get(&format!("/docs/{part}"))
            .send()
            .await
            .unwrap();
        assert!(
            part.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with(kind)
        );
        assert!(!part.text().await.unwrap().contains("innerHTML"));
    }
}

#[tokio::test]
async fn engines_are_shown_with_state_and_last_error() {
    let appliance = Appliance::start().await;
    let engine = "yara".parse().unwrap();
    let now = Timestamp::from_millis(1_700_000_000_500);
    appliance
        .board
        .trouble(&engine, EngineState::BackingOff, ("it died", now));
    let engine = appliance.json("/acquit/engines/yara").await;
    let attributes = &engine["data"]["attributes"];
    assert_eq!(attributes["state"], "backing-off");
    assert_eq!(attributes["can_scan"], false);
    assert_eq!(attributes["last_error"], "it died");
    assert_eq!(attributes["versions"]["signatures_date"], "20261122");
    assert_eq!(attributes["queued_nightly"], 0);
    assert_eq!(attributes["last_error_date"], 1_700_000_000);
    let list = appliance.json("/acquit/engines").await;
    let ids = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|engine| &engine["id"]);
    assert_eq!(ids.collect::<Vec<_>>(), ["clamav", "yara"]);
    refused(
        appliance.get("/acquit/engines/nobody"),
        404,
        "NotFoundError",
    )
    .await;
    let metadata = appliance.json("/metadata").await;
    assert!(metadata["data"]["engines"]["ClamAV"].is_object());
}

#[tokio::test]
async fn readiness_follows_the_engines_and_the_disk() {
    let appliance = Appliance::start().await;
    let ready =
        || async { answer(appliance.admin().get(format!("{}/readyz", appliance.url))).await };
    let (status, body) = ready().await;
    assert_eq!(
        (status, &body["ready"]),
        (StatusCode::OK, &Value::Bool(true)),
        "{body}"
    );
    appliance
        .board
        .state(&"yara".parse().unwrap(), EngineState::Unproven);
    assert_eq!(ready().await.0, StatusCode::OK, "one engine is enough");
    appliance
        .board
        .state(&"clamav".parse().unwrap(), EngineState::BackingOff);
    let (status, body) = ready().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["checks"]["engines"]["ok"], false);
    assert_eq!(body["engines"]["yara"], "unproven");
    let full = Appliance::start_with(|config| config.storage.reserve_mb = 1 << 40).await;
    let (status, body) = answer(full.admin().get(format!("{}/readyz", full.url))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["checks"]["disk"]["ok"], false);
}

#[tokio::test]
async fn metrics_name_routes_and_never_what_is_in_them() {
    let appliance = Appliance::start().await;
    appliance.upload("secret-name.bin", b"abc").await;
    appliance
        .json("/files/900150983cd24fb0d6963f7d28e17f72")
        .await;
    appliance.get("/no/such/route").send().await.unwrap();
    let text = reqwest::get(format!("{}/metrics", appliance.url))
        .await
        .unwrap();
    assert!(
        text.headers()["content-type"]
            .to_str()
            .unwrap()
            .contains("version=0.0.4")
    );
    let text = text.text().await.unwrap();
    for line in [
        "acquit_http_requests_total{method=\"GET\",route=\"/api/v3/files/{id}\",status=\"200\"} 1",
        "acquit_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
        "acquit_uploads_total{outcome=\"stored\"} 1",
        "acquit_upload_bytes_total 3",
        "acquit_engine_up{engine=\"yara\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
    for secret in [
        "900150983cd24fb0d6963f7d28e17f72",
        "secret-name",
        "ba7816bf",
        "no/such",
    ] {
        assert!(!text.contains(secret), "{secret} is in the metrics");
    }
}
