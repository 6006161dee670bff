//! Who may what: every route with every role, compared with a table written by hand.
//!
//! A part of the API that is new adds its lines to [`TABLE`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::collections::BTreeSet;

use acquit::http::rules;
use acquit::model::{ApiKey, KeyRole, Publisher, Seat, Timestamp, Vendor};
use acquit::store::{KEYS, KeyRow, PUBLISHERS, VENDORS};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::http::appliance::{Appliance, client};

/// Route, and who may: a(dmin), p(ublisher), w (viewer), v(endor).
const TABLE: &[(&str, &str)] = &[
    ("POST /files", "ap"),
    ("GET /files/upload_url", "ap"),
    ("GET /files/{id}", "apw"),
    ("POST /files/{id}/analyse", "ap"),
    ("GET /files/{id}/analyses", "apw"),
    ("GET /files/{id}/relationships/analyses", "apw"),
    ("GET /files/{id}/download", "ap"),
    ("GET /files/{id}/download_url", "ap"),
    ("GET /files/{id}/timeline", "apw"),
    ("PUT /files/{id}/reference", "a"),
    ("DELETE /files/{id}/reference", "a"),
    ("GET /analyses/{id}", "apw"),
    ("GET /analyses/{id}/item", "apw"),
    ("GET /analyses/{id}/relationships/item", "apw"),
    ("GET /acquit/analyses/{id}/raw/{engine}", "apw"),
    ("GET /search", "apw"),
    ("GET /metadata", "apwv"),
    ("GET /users/{id}", "apwv"),
    ("PATCH /users/{id}", "apwv"),
    ("GET /users/{id}/overall_quotas", "apwv"),
    ("GET /groups/{id}", "apwv"),
    ("GET /acquit/engines", "apw"),
    ("GET /acquit/engines/{id}", "apw"),
    ("GET /acquit/engines/{id}/signature_sets", "apw"),
    ("GET /acquit/engines/{id}/signature_sets/{set}", "apw"),
    ("GET /acquit/engines/{id}/updates", "apw"),
    ("GET /acquit/engines/{id}/updates/{number}", "apw"),
    ("GET /acquit/engines/{id}/updates/{number}/output", "apw"),
    ("POST /acquit/engines/{id}/restart", "a"),
    ("POST /acquit/engines/{id}/update", "a"),
    ("POST /acquit/engines/{id}/rollback", "a"),
    ("POST /acquit/engines/{id}/promote", "a"),
    ("POST /acquit/engines/{id}/hold", "a"),
    ("POST /acquit/engines/{id}/release", "a"),
    ("GET /acquit/signatures/export", "apw"),
    ("GET /acquit/signatures/key", "apw"),
    ("POST /acquit/signatures/import", "a"),
    ("GET /acquit/rescans", "apw"),
    ("GET /acquit/rescans/{number}", "apw"),
    ("POST /acquit/rescan", "a"),
    ("GET /acquit/events", "apw"),
    ("GET /acquit/references", "apw"),
    ("GET /acquit/keys", "a"),
    ("POST /acquit/keys", "a"),
    ("DELETE /acquit/keys/{id}", "a"),
    ("POST /acquit/session", "apwv"),
    ("POST /acquit/signout", "apwv"),
    ("GET /acquit/publishers", "apw"),
    ("POST /acquit/publishers", "a"),
    ("GET /acquit/publishers/{id}", "apw"),
    ("PATCH /acquit/publishers/{id}", "a"),
    ("DELETE /acquit/publishers/{id}", "a"),
    ("GET /acquit/vendors", "a"),
    ("POST /acquit/vendors", "a"),
    ("GET /acquit/vendors/{id}", "a"),
    ("PATCH /acquit/vendors/{id}", "a"),
    ("DELETE /acquit/vendors/{id}", "a"),
    ("GET /acquit/users", "a"),
    ("POST /acquit/users", "a"),
    ("GET /acquit/users/{id}", "a"),
    ("PATCH /acquit/users/{id}", "a"),
    ("GET /acquit/upload_sessions", "ap"),
    ("POST /acquit/upload_sessions", "ap"),
    ("GET /acquit/upload_sessions/{id}", "ap"),
    ("PATCH /acquit/upload_sessions/{id}", "ap"),
    ("DELETE /acquit/upload_sessions/{id}", "ap"),
    ("GET /monitor/items", "apw"),
    ("POST /monitor/items", "ap"),
    ("GET /monitor/items/upload_url", "ap"),
    ("GET /monitor/items/{*rest}", "apw"),
    ("DELETE /monitor/items/{*rest}", "ap"),
    ("PATCH /monitor/items/{*rest}", "ap"),
    ("GET /monitor/events", "apw"),
    ("GET /monitor/statistics", "apw"),
    ("GET /monitor/statistics/{id}", "apw"),
    ("GET /acquit/items/{*rest}", "apw"),
    ("PATCH /acquit/items/{*rest}", "ap"),
    ("POST /acquit/items/{*rest}", "ap"),
    ("GET /acquit/collection", "apw"),
    ("GET /acquit/trash", "apw"),
    ("DELETE /acquit/trash", "ap"),
    ("POST /acquit/trash/{act}/restore", "ap"),
    ("GET /acquit/incidents", "apw"),
    ("GET /acquit/incidents/statistics", "apw"),
    ("GET /acquit/overview", "apw"),
    ("GET /acquit/search", "apw"),
    ("GET /acquit/settings", "a"),
    ("GET /acquit/views", "apw"),
    ("POST /acquit/views", "apw"),
    ("DELETE /acquit/views/{id}", "apw"),
    ("POST /acquit/items", "ap"),
    ("GET /acquit/items/export", "apw"),
    ("GET /acquit/incidents/{id}", "apw"),
    ("PATCH /acquit/incidents/{id}", "ap"),
    ("GET /acquit/incidents/{id}/thread", "apw"),
    ("POST /acquit/incidents/{id}/notes", "ap"),
    ("POST /acquit/incidents/{id}/replies", "ap"),
    ("POST /acquit/incidents/{id}/acknowledge", "ap"),
    ("POST /acquit/incidents/{id}/close", "ap"),
    ("POST /acquit/incidents/{id}/reopen", "ap"),
    ("GET /acquit/disputes", "apw"),
    ("POST /acquit/disputes", "ap"),
    ("POST /acquit/disputes/preview", "ap"),
    ("POST /acquit/disputes/bounce", "a"),
    ("GET /acquit/disputes/{id}", "apw"),
    ("PATCH /acquit/disputes/{id}", "ap"),
    ("GET /acquit/disputes/{id}/package", "ap"),
    ("POST /acquit/disputes/{id}/send", "ap"),
    ("POST /acquit/disputes/{id}/ticket", "ap"),
    ("POST /acquit/disputes/{id}/bounce", "ap"),
    ("POST /acquit/disputes/{id}/withdraw", "ap"),
    ("GET /acquit/vendor_directory", "apw"),
    ("GET /acquit/vendor_directory/{id}", "apw"),
    ("GET /acquit/subscriptions", "apv"),
    ("POST /acquit/subscriptions", "apv"),
    ("GET /acquit/subscriptions/{id}", "apv"),
    ("PATCH /acquit/subscriptions/{id}", "apv"),
    ("DELETE /acquit/subscriptions/{id}", "apv"),
    ("POST /acquit/subscriptions/{id}/test", "apv"),
    ("POST /acquit/subscriptions/{id}/rotate", "apv"),
    ("GET /acquit/deliveries", "apv"),
    ("GET /acquit/deliveries/{id}", "apv"),
    ("POST /acquit/deliveries/{id}/replay", "apv"),
    ("GET /acquit/ledger", "apw"),
    ("GET /acquit/ledger/export", "a"),
    ("GET /acquit/ledger/verify", "a"),
    ("GET /acquit/file_requests", "ap"),
    ("POST /acquit/file_requests/{sha256}/{vendor}/grant", "ap"),
    ("POST /acquit/file_requests/{sha256}/{vendor}/refuse", "ap"),
    ("GET /monitor_partner/hashes", "v"),
    ("GET /monitor_partner/hashes/{sha256}", "v"),
    ("GET /monitor_partner/hashes/{sha256}/analyses", "v"),
    ("GET /monitor_partner/hashes/{sha256}/items", "v"),
    ("GET /monitor_partner/hashes/{sha256}/thread", "v"),
    ("GET /monitor_partner/hashes/{sha256}/comments", "v"),
    ("POST /monitor_partner/hashes/{sha256}/comments", "v"),
    ("GET /monitor_partner/hashes/{sha256}/comments/", "v"),
    ("POST /monitor_partner/hashes/{sha256}/comments/", "v"),
    (
        "GET /monitor_partner/hashes/{sha256}/relationships/{relationship}",
        "v",
    ),
    ("GET /monitor_partner/comments/{id}", "v"),
    ("PATCH /monitor_partner/comments/{id}", "v"),
    ("POST /monitor_partner/comments/{id}", "v"),
    ("DELETE /monitor_partner/comments/{id}", "v"),
    ("GET /monitor_partner/comments/{id}/", "v"),
    ("PATCH /monitor_partner/comments/{id}/", "v"),
    ("POST /monitor_partner/comments/{id}/", "v"),
    ("DELETE /monitor_partner/comments/{id}/", "v"),
    ("GET /monitor_partner/files/{sha256}/download", "v"),
    ("GET /monitor_partner/files/{sha256}/download_url", "v"),
    ("POST /monitor_partner/files/{sha256}/request", "v"),
    (
        "GET /monitor_partner/detections_bundle/{engine}/download",
        "v",
    ),
    (
        "GET /monitor_partner/detections_bundle/{engine}/download_url",
        "v",
    ),
    (
        "GET /monitor_partner/detections_bundle/{engine}/{day}/download",
        "v",
    ),
    (
        "GET /monitor_partner/detections_bundle/{engine}/{day}/download_url",
        "v",
    ),
    ("GET /monitor_partner/statistics", "v"),
    ("GET /acquit/stream", "apwv"),
];

const ROLES: [(char, KeyRole); 4] = [
    ('a', KeyRole::Admin),
    ('p', KeyRole::Publisher),
    ('w', KeyRole::Viewer),
    ('v', KeyRole::Vendor),
];

#[test]
fn every_rule_is_in_the_table_and_every_line_of_it_is_a_rule() {
    let letters = |who: &[KeyRole]| -> String {
        let ours = ROLES.iter().filter(|(_, role)| who.contains(role));
        ours.map(|(letter, _)| *letter).collect()
    };
    let mut ruled = BTreeSet::new();
    for rule in rules() {
        let route = format!("{} {}", rule.method, rule.path);
        let line = TABLE.iter().find(|(written, _)| *written == route);
        match line {
            Some((_, who)) => assert_eq!(letters(rule.who), *who, "{route}"),
            None => panic!("{route} is not in the table"),
        }
        assert!(ruled.insert(route.clone()), "{route} has two rules");
    }
    for (route, _) in TABLE {
        assert!(ruled.contains(*route), "{route} has no rule");
    }
}

/// Somebody who asks: a name, the letter of the role, a client.
struct Asker {
    name: &'static str,
    letter: char,
    client: Client,
}

/// Keeps a key of a seat.
pub async fn key_of(appliance: &Appliance, seat: Seat) -> String {
    key_with(appliance, seat, |_| ()).await
}

pub async fn key_with(
    appliance: &Appliance,
    seat: Seat,
    change: impl FnOnce(&mut KeyRow),
) -> String {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).unwrap();
    let key = ApiKey::new(bits);
    let at = Timestamp::from_millis(1_700_000_000_000);
    let mut row = KeyRow::new(&key, "test".to_owned(), seat, at);
    change(&mut row);
    let write = appliance
        .store
        .write(move |change| change.put(&KEYS, &row.id, &row));
    write.await.unwrap();
    key.reveal()
}

pub fn publisher(id: &str) -> Publisher {
    serde_json::from_value(serde_json::json!({
        "id": id, "name": id.to_uppercase(), "created_at": 1_700_000_000_000_u64,
    }))
    .unwrap()
}

pub fn vendor(id: &str, engine: &str) -> Vendor {
    serde_json::from_value(serde_json::json!({
        "id": id, "name": id.to_uppercase(), "created_at": 1_700_000_000_000_u64,
        "engines": [engine],
    }))
    .unwrap()
}

pub fn of_publisher(role: KeyRole, id: &str) -> Seat {
    Seat {
        publisher: Some(id.parse().unwrap()),
        ..Seat::of(role)
    }
}

pub fn of_vendor(id: &str) -> Seat {
    Seat {
        vendor: Some(id.parse().unwrap()),
        ..Seat::of(KeyRole::Vendor)
    }
}

/// Two publishers, `acme` and `other`, and two vendors, `clam` and `yara`.
pub async fn parties(appliance: &Appliance) {
    let write = appliance.store.write(|change| {
        for id in ["acme", "other"] {
            let row = publisher(id);
            change.put(&PUBLISHERS, &row.id, &row)?;
        }
        for (id, engine) in [("clam", "clamav"), ("yara", "yara")] {
            let row = vendor(id, engine);
            change.put(&VENDORS, &row.id, &row)?;
        }
        Ok(())
    });
    write.await.unwrap();
}

async fn askers(appliance: &Appliance) -> Vec<Asker> {
    let mut askers = Vec::new();
    for (name, letter, seat) in [
        ("admin", 'a', Seat::ADMIN),
        ("publisher", 'p', of_publisher(KeyRole::Publisher, "acme")),
        (
            "foreign publisher",
            'p',
            of_publisher(KeyRole::Publisher, "other"),
        ),
        ("publisher of nobody", 'p', Seat::of(KeyRole::Publisher)),
        ("viewer", 'w', of_publisher(KeyRole::Viewer, "acme")),
        ("viewer of all", 'w', Seat::of(KeyRole::Viewer)),
        ("vendor", 'v', of_vendor("clam")),
        ("foreign vendor", 'v', of_vendor("yara")),
    ] {
        askers.push(Asker {
            name,
            letter,
            client: client(&key_of(appliance, seat).await),
        });
    }
    askers
}

/// Fills a route's names with what is nowhere.
fn nowhere(path: &str) -> String {
    let hash = "ab".repeat(32);
    let first = match path.split('/').nth(1) {
        Some("files") => hash.clone(),
        Some("analyses") => format!("f-{hash}-1700000000000"),
        _ if path.starts_with("/acquit/analyses") => format!("f-{hash}-1700000000000"),
        _ => "nobody".to_owned(),
    };
    let path = path.replace("{id}", &first).replace("{number}", "1");
    let mut filled = String::new();
    let mut within = false;
    for character in path.chars() {
        match character {
            '{' => {
                within = true;
                filled.push_str("nothing");
            }
            '}' => within = false,
            _ if within => {}
            character => filled.push(character),
        }
    }
    filled
}

async fn ask(asker: &Client, appliance: &Appliance, route: (&str, &str)) -> (u16, String) {
    let (method, path) = route;
    let method: Method = method.parse().unwrap();
    let request = asker.request(method, appliance.api(&nowhere(path)));
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if is_endless(&response) {
        return (status, String::new());
    }
    (status, response.text().await.unwrap_or_default())
}

/// Tells whether an answer is a stream of events, which nobody reads to its end.
pub fn is_endless(response: &reqwest::Response) -> bool {
    let kind = response.headers().get("content-type");
    kind.is_some_and(|kind| kind == "text/event-stream")
}

/// Tells whether an answer refuses the role, and not only what is asked for.
fn refuses_role((status, text): &(u16, String)) -> bool {
    *status == 403 && (text.contains("only a key of") || text.contains("nobody may"))
}

#[tokio::test]
async fn every_route_refuses_the_roles_it_is_not_for_and_no_other() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    for asker in askers(&appliance).await {
        for rule in rules() {
            let route = format!("{} {}", rule.method, rule.path);
            let line = TABLE.iter().find(|(written, _)| *written == route);
            let role = ROLES.iter().find(|(letter, _)| *letter == asker.letter);
            let may = match line {
                Some((_, who)) => who.contains(asker.letter),
                None => rule.who.contains(&role.unwrap().1),
            };
            let seen = ask(&asker.client, &appliance, (rule.method, rule.path)).await;
            assert_eq!(
                refuses_role(&seen),
                !may,
                "{}: {route}: {seen:?}",
                asker.name
            );
            assert_ne!(seen.0, 401, "{}: {route}: {seen:?}", asker.name);
        }
    }
}

#[tokio::test]
async fn key_that_ended_and_no_key_open_nothing() {
    let appliance = Appliance::start().await;
    let past = Some(Timestamp::from_millis(1_700_000_000_001));
    let revoked = key_with(&appliance, Seat::ADMIN, |row| row.revoked_at = past).await;
    let expired = key_with(&appliance, Seat::ADMIN, |row| row.expires_at = past).await;
    let nobody = Client::builder().no_proxy().build().unwrap();
    for (asker, word) in [
        (client(&revoked), "revoked"),
        (client(&expired), "expired"),
        (nobody, "missing"),
    ] {
        for rule in rules() {
            let seen = ask(&asker, &appliance, (rule.method, rule.path)).await;
            assert_eq!(seen.0, 401, "{} {}: {seen:?}", rule.method, rule.path);
            assert!(seen.1.contains(word), "{seen:?}");
        }
    }
}

/// Status, headers but the date, and body of an answer.
async fn whole(asker: &Client, url: String, method: &str) -> (u16, Vec<String>, String) {
    let method: Method = method.parse().unwrap();
    let response = asker.request(method, url).send().await.unwrap();
    let headers = response.headers().iter();
    let headers = headers.filter(|(name, _)| *name != "date");
    let mut headers: Vec<_> = headers.map(|header| format!("{header:?}")).collect();
    headers.sort();
    (
        response.status().as_u16(),
        headers,
        response.text().await.unwrap(),
    )
}

#[tokio::test]
async fn file_of_another_is_answered_as_one_that_does_not_exist() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let owner = client(&key_of(&appliance, of_publisher(KeyRole::Publisher, "acme")).await);
    let form = crate::http::appliance::file("secret-product.exe", b"abc");
    let sent = owner.post(appliance.api("/files")).multipart(form);
    assert_eq!(sent.send().await.unwrap().status(), 200);
    appliance.settle().await;
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let (sha1, md5) = (
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "900150983cd24fb0d6963f7d28e17f72",
    );
    let listed = whole(
        &owner,
        appliance.api(&format!("/files/{sha256}/analyses")),
        "GET",
    )
    .await;
    let listed: Value = serde_json::from_str(&listed.2).unwrap();
    let analysis = listed["data"][0]["id"].as_str().unwrap().to_owned();
    let number = analysis.rsplit('-').next().unwrap();
    let base64 = |text: String| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(text)
    };
    let (real, false_md5) = (base64(format!("{md5}:{number}")), "f".repeat(32));
    // Pairs of the same length: what is there, and what is nowhere.
    let mut pairs = vec![(real, base64(format!("{false_md5}:{number}")))];
    pairs.push((analysis.clone(), analysis.replace(sha256, &"f".repeat(64))));
    let mut urls = Vec::new();
    for (real, unreal) in pairs {
        for (method, before, after) in [
            ("GET", "/analyses/", ""),
            ("GET", "/analyses/", "/item"),
            ("GET", "/analyses/", "/relationships/item"),
            ("GET", "/acquit/analyses/", "/raw/clamav"),
        ] {
            urls.push((
                method,
                format!("{before}{real}{after}"),
                real.clone(),
                unreal.clone(),
            ));
        }
    }
    for hash in [sha256, sha1, md5] {
        let unreal = "f".repeat(hash.len());
        for (method, before, after) in [
            ("GET", "/files/", ""),
            ("POST", "/files/", "/analyse"),
            ("GET", "/files/", "/analyses"),
            ("GET", "/files/", "/relationships/analyses"),
            ("GET", "/files/", "/download"),
            ("HEAD", "/files/", "/download"),
            ("GET", "/files/", "/download_url"),
            ("GET", "/files/", "/timeline"),
            ("GET", "/search?query=", ""),
        ] {
            let url = format!("{before}{hash}{after}");
            urls.push((method, url, hash.to_owned(), unreal.clone()));
        }
    }
    for seat in [
        of_publisher(KeyRole::Publisher, "other"),
        of_publisher(KeyRole::Viewer, "other"),
        Seat::of(KeyRole::Publisher),
        of_vendor("clam"),
    ] {
        let name = format!("{seat:?}");
        let asker = client(&key_of(&appliance, seat).await);
        for (method, url, real, unreal) in &urls {
            let there = whole(&asker, appliance.api(url), method).await;
            let nowhere = url.replace(real.as_str(), unreal);
            let nowhere = whole(&asker, appliance.api(&nowhere), method).await;
            let there = (there.0, there.1, there.2.replace(real.as_str(), unreal));
            assert_eq!(there, nowhere, "{name}: {method} {url}");
            assert!(!there.2.contains("secret-product"), "{name}: {url}");
        }
    }
    for seat in [
        of_publisher(KeyRole::Viewer, "acme"),
        Seat::of(KeyRole::Viewer),
        Seat::ADMIN,
    ] {
        let asker = client(&key_of(&appliance, seat).await);
        for url in [format!("/files/{sha256}"), format!("/analyses/{analysis}")] {
            let seen = whole(&asker, appliance.api(&url), "GET").await;
            assert_eq!(seen.0, 200, "{url}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn who_brings_the_same_bytes_learns_nothing_of_who_brought_them_before() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let send = async |id: &str, name: &str| {
        let key = key_of(&appliance, of_publisher(KeyRole::Publisher, id)).await;
        let form = crate::http::appliance::file(name, b"abc");
        let sent = client(&key).post(appliance.api("/files")).multipart(form);
        assert_eq!(sent.send().await.unwrap().status(), 200);
        client(&key)
    };
    let _acme = send("acme", "unannounced-product.exe").await;
    let other = send("other", "mine.exe").await;
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let seen = whole(&other, appliance.api(&format!("/files/{sha256}")), "GET").await;
    assert_eq!(seen.0, 200);
    assert!(!seen.2.contains("unannounced"), "{}", seen.2);
    let file: Value = serde_json::from_str(&seen.2).unwrap();
    assert_eq!(file["data"]["attributes"]["times_submitted"], 1);
}

#[tokio::test]
async fn download_url_is_worth_what_its_key_is_worth_when_it_is_used() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let key = key_of(&appliance, of_publisher(KeyRole::Publisher, "acme")).await;
    let id = key.parse::<ApiKey>().unwrap().id();
    let asker = client(&key);
    let form = crate::http::appliance::file("a", b"abc");
    let sent = asker.post(appliance.api("/files")).multipart(form);
    assert_eq!(sent.send().await.unwrap().status(), 200);
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let url = appliance.api(&format!("/files/{sha256}/download_url"));
    let url: Value = asker.get(url).send().await.unwrap().json().await.unwrap();
    let url = url["data"].as_str().unwrap().to_owned();
    let nobody = Client::builder().no_proxy().build().unwrap();
    assert_eq!(nobody.get(&url).send().await.unwrap().status(), 200);
    let past = Some(Timestamp::from_millis(1));
    let nowhere = appliance.api(&format!("/acquit/downloads/{}", "0".repeat(64)));
    let unknown = whole(&nobody, nowhere, "GET").await;
    let alter: [fn(&mut KeyRow, Option<Timestamp>); 3] = [
        |row, at| row.expires_at = at,
        |row, at| row.revoked_at = at,
        |row, _| row.seat = Seat::of(KeyRole::Viewer),
    ];
    let good = appliance.store.get(&KEYS, &id).unwrap().unwrap();
    for alter in alter {
        let mut row = good.clone();
        alter(&mut row, past);
        let write = appliance
            .store
            .write(move |change| change.put(&KEYS, &row.id, &row));
        write.await.unwrap();
        assert_eq!(whole(&nobody, url.clone(), "GET").await, unknown);
    }
}
