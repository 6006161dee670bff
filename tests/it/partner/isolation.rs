//! What a vendor obtains beyond its right, over every route, method, hash and id: nothing.
//!
//! What is hidden and what was never here take the same path through the handlers to the one place
//! that looks; that more rows are read there for what is hidden is not to be seen from the time it
//! takes, because such an answer comes at fixed moments only.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use acquit::http::{Rule, rules};
use acquit::model::{ItemId, KeyRole, Sha256, SharePolicy};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::lab::{Blob, Lab, PUBLISHERS_HERE, Plan, VENDORS_HERE, noon};
use crate::http::appliance::answer;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// An answer, as far as it can tell anything: status, headers, body.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Sends a request; what it names is taken out of the answer.
async fn look(client: &Client, (method, url): (&str, &str), named: &[String]) -> Seen {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = client.request(method.clone(), url);
    if method == Method::POST || method == Method::PATCH {
        request = request.json(&json!({
            "reason": "to fix it",
            "data": {"type": "monitor_hash_comment", "attributes": {"comment": "we look"}},
        }));
    }
    let mut response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    let mut headers: Vec<_> = headers.filter(|(name, _)| name != "date").collect();
    headers.sort();
    let body = match crate::roles::is_endless(&response) {
        true => response.chunk().await.unwrap().unwrap_or_default(),
        false => response.bytes().await.unwrap(),
    };
    let mut body = String::from_utf8_lossy(&body).into_owned();
    for name in named {
        body = body.replace(name, "<ID>");
    }
    Seen {
        status,
        headers,
        body,
    }
}

/// What an answer to a vendor must not have: all that is said of what it may not know of.
fn forbidden_words(blobs: &[Blob], engine: &str) -> Vec<String> {
    let mut words = vec!["creator-nobody-knows".to_owned()];
    for (_, other) in VENDORS_HERE.iter().filter(|(_, other)| *other != engine) {
        words.push(
            if *other == "clamav" {
                "Clam.Word"
            } else {
                "Yara.Word"
            }
            .to_owned(),
        );
    }
    for blob in blobs {
        if !blob.is_seen_by(engine) {
            words.extend([blob.sha256.to_string(), blob.md5.clone(), blob.sha1.clone()]);
        }
        if !blob.is_given_to(engine) {
            words.push(String::from_utf8(blob.content.clone()).unwrap());
        }
        for (id, (_, policy)) in blob.items.iter().zip(&blob.plan.owners) {
            if !blob.is_seen_by(engine) || *policy == SharePolicy::Never {
                words.extend([id.to_string(), id.path.to_string()]);
            }
        }
    }
    words
}

/// Checks an answer to a vendor for what it must not have.
#[track_caller]
fn check(seen: &Seen, words: &[String], place: &str) {
    for word in words {
        assert!(
            !seen.body.contains(word),
            "{place} tells of {word}: {}",
            seen.body
        );
        let told = seen
            .headers
            .iter()
            .find(|(_, value)| value.contains(word.as_str()));
        assert!(told.is_none(), "{place} tells of {word}: {told:?}");
    }
}

/// Ids by which a blob may be named, with one of each that was never here.
fn names(blob: &Blob, engine: &str) -> Vec<String> {
    let mut names = vec![
        blob.sha256.to_string(),
        format!("{}-{engine}", blob.sha256),
        format!("f-{}-1790000000000", blob.sha256),
        blob.md5.clone(),
        blob.sha1.clone(),
    ];
    names.extend(blob.items.iter().map(ToString::to_string));
    names
}

fn filled(route: &str, name: &str, engine: &str) -> String {
    let mut path = route.to_owned();
    for (hole, value) in [
        ("{sha256}", name),
        ("{id}", name),
        ("{engine}", engine),
        ("{relationship}", "items"),
        ("{vendor}", "clam"),
        ("{day}", "2020-01-01"),
        ("{number}", "1"),
        ("{set}", "0011223344556677"),
        ("{owner}", "acme"),
    ] {
        path = path.replace(hole, &value.replace('/', "%2F").replace('+', "%2B"));
    }
    // Whatever other parts have for names is filled with one too.
    while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
        path.replace_range(start..=end, &name.replace('/', "%2F").replace('+', "%2B"));
    }
    path
}

/// Requests under way at the same time: most of an answer's time is waiting for its moment.
const AT_ONCE: usize = 16;

/// A request of a vendor's, and what it names.
struct Asked {
    method: &'static str,
    path: String,
    named: [String; 2],
}

/// Every way to ask by a route for a blob; the names that no route takes are tried with `all` only.
fn ways(rule: &Rule, (blob, all): (&Blob, bool), engine: &str) -> Vec<Asked> {
    let open = rule.who.contains(&KeyRole::Vendor);
    let fits =
        |method: &&str| *method == rule.method || (*method == "HEAD" && rule.method == "GET");
    let methods = METHODS.into_iter().filter(|method| !open || fits(method));
    let methods: Vec<_> = methods.collect();
    let names = names(blob, engine);
    let count = if !is_named(rule) {
        1
    } else if all {
        names.len()
    } else {
        2
    };
    let asked = names.into_iter().take(count).flat_map(|name| {
        let path = filled(rule.path, &name, engine);
        let named = [name, blob.sha256.to_string()];
        methods.clone().into_iter().map(move |method| Asked {
            method,
            path: path.clone(),
            named: named.clone(),
        })
    });
    asked.collect()
}

fn is_named(rule: &Rule) -> bool {
    rule.path.contains("{sha256}") || rule.path.contains("{id}")
}

#[tokio::test]
async fn no_route_tells_a_vendor_of_what_it_may_not_know() {
    let lab = Lab::start().await;
    let blobs = lab.add(&Plan::all()).await;
    // One of each kind stands for all where the role alone is refused.
    let few: Vec<_> = blobs.iter().step_by(13).collect();
    // Three is no divisor of any choice's number: this has every policy with every detection.
    let third: Vec<_> = blobs.iter().step_by(3).collect();
    for (vendor, engine) in VENDORS_HERE {
        let client = lab.client(vendor);
        let words = forbidden_words(&blobs, engine);
        for rule in rules() {
            let open = rule.who.contains(&KeyRole::Vendor);
            let chosen = if open && is_named(rule) { &third } else { &few };
            let chosen = &chosen[..if is_named(rule) { chosen.len() } else { 1 }];
            let numbered = chosen.iter().enumerate();
            let asked =
                numbered.flat_map(|(number, blob)| ways(rule, (blob, number % 13 == 0), engine));
            let (lab, client) = (&lab, &client);
            let look = |asked: Asked| async move {
                let seen = look(client, (asked.method, &lab.url(&asked.path)), &asked.named).await;
                (asked, seen)
            };
            let mut answers = stream::iter(asked).map(look).buffer_unordered(AT_ONCE);
            while let Some((Asked { method, path, .. }, seen)) = answers.next().await {
                check(&seen, &words, &format!("{vendor}: {method} {path}"));
                let open = open && [200, 400, 403, 404, 405, 409].contains(&seen.status);
                let shut = [403, 405].contains(&seen.status);
                assert!(open || shut, "{vendor}: {method} {path}: {seen:?}");
            }
        }
    }
}

/// What an answer names, in the ways of a route; none where it names nothing.
fn kinds(rule: &Rule) -> Vec<fn(&Sha256, &str) -> String> {
    match rule.path {
        path if path.contains("{sha256}") => vec![|sha256, _| sha256.to_string()],
        path if path.contains("{id}") => vec![|sha256, _| sha256.to_string(), |sha256, engine| {
            format!("{sha256}-{engine}")
        }],
        _ => Vec::new(),
    }
}

/// Asks for one and for another in the same ways, which must be answered alike.
async fn compare(
    (lab, client): (&Lab, &Client),
    rule: &Rule,
    engine: &str,
    names: [(&Sha256, String); 2],
) {
    let mut looks = Vec::new();
    for (sha256, name) in &names {
        let (url, named) = (
            lab.url(&filled(rule.path, name, engine)),
            [sha256.to_string()],
        );
        let methods = [rule.method, "HEAD"]
            .into_iter()
            .take(1 + usize::from(rule.method == "GET"));
        for method in methods {
            let (url, named) = (url.clone(), named.clone());
            looks.push(async move { look(client, (method, &url), &named).await });
        }
    }
    let answers = join_all(looks).await;
    let (one, other) = answers.split_at(answers.len() / 2);
    assert_eq!(one, other, "{engine}: {} {}", rule.method, rule.path);
}

#[tokio::test]
async fn what_is_hidden_is_answered_as_what_was_never_here() {
    let lab = Lab::start().await;
    let blobs = lab.add(&Plan::all()).await;
    let never = Sha256::new([0xab; 32]);
    let open: Vec<_> = rules()
        .filter(|rule| rule.who.contains(&KeyRole::Vendor))
        .collect();
    let mut compared = 0;
    for (vendor, engine) in VENDORS_HERE {
        let client = lab.client(vendor);
        for blob in blobs.iter().filter(|blob| !blob.is_seen_by(engine)) {
            let all = open
                .iter()
                .flat_map(|rule| kinds(rule).into_iter().map(move |kind| (rule, kind)));
            let all = all.map(|(rule, kind)| {
                let names = [&blob.sha256, &never].map(|sha256| (sha256, kind(sha256, engine)));
                compare((&lab, &client), rule, engine, names)
            });
            compared += stream::iter(all)
                .buffer_unordered(AT_ONCE / 4)
                .count()
                .await;
        }
    }
    assert!(compared > 1000, "only {compared} answers were compared");
}

/// Ten milliseconds are the first moment at which a vendor hears that something is not there.
const MOMENT: Duration = Duration::from_millis(10);

#[tokio::test]
async fn what_is_hidden_takes_no_longer_than_what_was_never_here() {
    let lab = Lab::start().await;
    let plan = Plan::of("acme", SharePolicy::Never, &["clamav"]);
    let hidden = lab.add(&[plan]).await.remove(0);
    for number in 0..60 {
        let id = ItemId {
            publisher: "acme".parse().unwrap(),
            path: format!("/a/b/c/d/e/f/{number}.exe").parse().unwrap(),
        };
        let item = (hidden.sha256, SharePolicy::Never);
        lab.put_item(&id, item).await;
    }
    let client = lab.client("clam");
    let names = [hidden.sha256, Sha256::new([0xab; 32])];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..60 {
        for (name, times) in names.iter().zip(&mut times) {
            let url = lab.url(&format!("/monitor_partner/hashes/{name}"));
            let began = Instant::now();
            let response = client.get(url).send().await.unwrap();
            times.push(began.elapsed());
            assert_eq!(response.status(), 404);
        }
    }
    // Whatever else this machine does only adds to a time: the quick ones tell.
    let quick = times.map(|mut times| {
        times.sort_unstable();
        assert!(times[0] >= MOMENT, "{:?}", times[0]);
        times[times.len() / 4]
    });
    let apart = quick[0].abs_diff(quick[1]);
    assert!(apart < MOMENT, "{quick:?}");
}

#[tokio::test]
async fn vendor_is_shown_all_of_its_own_and_each_owner_only_as_it_consents() {
    let lab = Lab::start().await;
    let blobs = lab.add(&Plan::all()).await;
    for (vendor, engine) in VENDORS_HERE {
        let client = lab.client(vendor);
        let (mut listed, mut url) = (
            Vec::new(),
            lab.url("/monitor_partner/hashes?limit=7&relationships=items"),
        );
        loop {
            let (status, page) = answer(client.get(&url)).await;
            assert_eq!(status, 200, "{page}");
            let data = page["data"].as_array().unwrap();
            assert!(!data.is_empty(), "never an empty page");
            listed.extend(data.iter().cloned());
            match page["links"]["next"].as_str() {
                Some(next) => url = next.to_owned(),
                None => break,
            }
        }
        let ids: Vec<_> = listed
            .iter()
            .map(|hash| hash["id"].as_str().unwrap().to_owned())
            .collect();
        let expected = blobs.iter().filter(|blob| blob.is_seen_by(engine));
        let expected: BTreeSet<_> = expected.map(|blob| blob.sha256.to_string()).collect();
        assert_eq!(
            ids,
            expected.into_iter().collect::<Vec<_>>(),
            "each once, in order"
        );
        for hash in &listed {
            let blob = blobs
                .iter()
                .find(|b| hash["id"] == b.sha256.to_string())
                .unwrap();
            check_hash(hash, blob, engine);
            let path = format!("/monitor_partner/hashes/{}/items", blob.sha256);
            let (_, items) = answer(client.get(lab.url(&path))).await;
            check_items(&items, blob);
        }
    }
}

fn check_hash(hash: &Value, blob: &Blob, engine: &str) {
    let attributes = &hash["attributes"];
    assert_eq!(attributes["last_detections_count"], 1, "only its own count");
    let results = attributes["last_analysis_results"].as_object().unwrap();
    let engines: Vec<_> = results
        .values()
        .map(|result| &result["engine_id"])
        .collect();
    assert_eq!(engines, [engine]);
    // That it began is told of its own engine, not of whoever was first.
    assert_eq!(attributes["first_detection_date"], 1_790_000_100);
    let silent = usize::from(blob.plan.engines.len() == 1);
    assert_eq!(attributes["other_engines_silent_count"], silent);
    let named = blob.is_given_to(engine);
    assert_eq!(
        attributes.get("other_engines_silent").is_some(),
        named,
        "{hash}"
    );
    let related = hash["relationships"]["items"]["data"].as_array().unwrap();
    let related: BTreeSet<_> = related
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(related, consenting(blob));
}

fn consenting(blob: &Blob) -> BTreeSet<String> {
    let items = blob.items.iter().zip(&blob.plan.owners);
    let items = items.filter(|(_, (_, policy))| *policy != SharePolicy::Never);
    items.map(|(id, _)| id.to_string()).collect()
}

fn check_items(items: &Value, blob: &Blob) {
    let data = items["data"].as_array().unwrap();
    let ids: BTreeSet<_> = data
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, consenting(blob));
    let text = items.to_string();
    for owner in PUBLISHERS_HERE {
        let policy = blob.plan.owners.iter().find(|(name, _)| *name == owner);
        let told = policy.is_some_and(|(_, policy)| *policy != SharePolicy::Never);
        assert_eq!(
            text.contains(&format!("details of {owner}")),
            told,
            "{text}"
        );
        assert_eq!(text.contains(&format!("stated by {owner}")), told, "{text}");
        assert_eq!(text.contains(&format!("=Company {owner}")), told, "{text}");
    }
    for item in data {
        for hidden in ["item_type", "creator_id", "tags"] {
            assert!(item["attributes"].get(hidden).is_none(), "{item}");
        }
    }
}

#[tokio::test]
async fn bytes_that_a_vendor_obtains_beyond_its_right_are_none() {
    let lab = Lab::start().await;
    let blobs = lab.add(&Plan::all()).await;
    let (mut beyond, mut within) = (0, 0);
    for (vendor, engine) in VENDORS_HERE {
        let client = lab.client(vendor);
        for blob in &blobs {
            let file = format!("/monitor_partner/files/{}", blob.sha256);
            let direct = client
                .get(lab.url(&format!("{file}/download")))
                .send()
                .await
                .unwrap();
            let (_, url) = answer(client.get(lab.url(&format!("{file}/download_url")))).await;
            let mut answers = vec![direct];
            if let Some(url) = url["data"].as_str() {
                answers.push(client.get(url).send().await.unwrap());
            }
            for response in answers {
                let status = response.status().as_u16();
                let body = response.bytes().await.unwrap();
                if status == 200 && blob.is_given_to(engine) {
                    assert_eq!(*body, blob.content);
                    within += 1;
                } else if status == 200 {
                    beyond += body.len();
                } else {
                    assert_eq!(status, if blob.is_seen_by(engine) { 403 } else { 404 });
                    assert!(!blob.is_given_to(engine));
                }
            }
        }
    }
    assert_eq!(beyond, 0);
    let due = |engine| blobs.iter().filter(|blob| blob.is_given_to(engine)).count() * 2;
    assert_eq!(within, due("clamav") + due("yara"));
    let lines = lab.ledger();
    assert_eq!(
        lines.matches("downloads a file").count(),
        within,
        "each is accounted for"
    );
}

#[tokio::test]
async fn bundle_and_figures_have_what_the_vendor_may_know_and_nothing_else() {
    let lab = Lab::start().await;
    let blobs = lab.add(&Plan::all()).await;
    let client = lab.client("clam");
    let url = lab.url("/monitor_partner/detections_bundle/ClamAV/download");
    let (status, early) = answer(client.get(&url)).await;
    assert_eq!(
        (status.as_u16(), &early["error"]["code"]),
        (400, &json!("NotAvailableYet"))
    );
    let store = &lab.appliance.store;
    acquit::flow::vendor::daily::make_due(store, lab.appliance.dir.path(), noon())
        .await
        .unwrap();
    let response = client.get(&url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["content-type"],
        "text/csv; charset=utf-8"
    );
    let table = response.text().await.unwrap();
    for word in forbidden_words(&blobs, "clamav") {
        assert!(!table.contains(&word), "{table}");
    }
    let mut expected = 0;
    for blob in blobs.iter().filter(|blob| blob.is_seen_by("clamav")) {
        assert!(table.contains(&blob.sha256.to_string()));
        expected += consenting(blob).len();
    }
    assert_eq!(table.lines().count(), expected + 1);
    assert!(
        table
            .lines()
            .skip(1)
            .all(|line| line.starts_with("\"'=Company ")),
        "{table}"
    );
    let ledger = lab.ledger();
    for blob in &blobs {
        for (owner, policy) in &blob.plan.owners {
            let sha256 = blob.sha256.to_string();
            let accounted = ledger.lines().any(|line| {
                let said = |part: &str| line.contains(part);
                said("is shown what") && said(&sha256) && said(&format!("\"{owner}\""))
            });
            let told = *policy != SharePolicy::Never && blob.is_seen_by("clamav");
            assert_eq!(accounted, told, "{owner}: {blob:?}");
        }
    }
    let (_, figures) = answer(client.get(lab.url("/monitor_partner/statistics"))).await;
    let figures = figures["data"].as_array().unwrap();
    assert_eq!(figures.len(), 1, "only of its own engine");
    assert_eq!(figures[0]["attributes"]["items_count"], expected);
    assert_eq!(figures[0]["attributes"]["engine"], "ClamAV");
}
