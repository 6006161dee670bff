//! What real clients demand of items on the wire.

use acquit::model::{Quota, Verdict};
use bytes::Bytes;
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::{Lab, escaped, id, item, ok};
use crate::http::appliance::{answer, client, malicious, refused};

/// Paths that trip naive clients and servers.
const PATHS: [&str; 11] = [
    "/a b/c d.exe",
    "/q?x#y%41+z~.bin",
    "/日本.exe",
    "/深い/階層/の/ファイル.bin",
    "/😀/👩‍🚀.zip",
    "/e\u{301}/\u{e9}.txt",
    "/..hidden/...",
    "/back\\slash \"quote\" 'tick'",
    // The id of the second ends with a slash, and is that of the first without it; so does the
    // third's.
    "/abc",
    "/abc?",
    "/xшип",
];

#[tokio::test]
async fn every_path_is_reached_by_its_id_raw_and_escaped() {
    let lab = Lab::start().await;
    for path in PATHS {
        let put = lab.file(path, path.as_bytes()).await;
        assert_eq!(put["data"]["id"], *id(path), "{path}");
        assert_eq!(put["data"]["type"], "monitor_item");
        let (raw, url_safe) = (id(path), id(path).replace('+', "-").replace('/', "_"));
        let own = put["data"]["links"]["self"].as_str().unwrap();
        let own = own.strip_prefix(&lab.api("")).unwrap().to_owned();
        for name in [
            raw.clone(),
            escaped(&raw),
            url_safe,
            raw.trim_end_matches('=').to_owned(),
        ] {
            let seen = ok(lab.get(&format!("/monitor/items/{name}"))).await;
            assert_eq!(seen["data"]["attributes"]["path"], *path, "{name}");
        }
        assert_eq!(ok(lab.get(&own)).await["data"]["attributes"]["path"], *path);
        for part in ["analyses", "comments", "relationships/analyses"] {
            ok(lab.get(&format!("/monitor/items/{raw}/{part}"))).await;
        }
        let download = lab.get(&format!("/monitor/items/{raw}/download"));
        let bytes = download.send().await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes, path.as_bytes());
    }
    let all = ok(lab.get("/monitor/items?recursive=true&limit=40")).await;
    let all = all["data"].as_array().unwrap();
    let mut seen: Vec<_> = all
        .iter()
        .filter(|item| item["attributes"]["item_type"] == "file")
        .map(|item| item["attributes"]["path"].as_str().unwrap())
        .collect();
    let mut expected = PATHS.to_vec();
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn deleting_takes_the_item_that_is_named_and_no_other() {
    let lab = Lab::start().await;
    let escape = |raw: &str| escaped(raw);
    let as_it_is = |raw: &str| raw.to_owned();
    let forms: [&dyn Fn(&str) -> String; 2] = [&escape, &as_it_is];
    for form in forms {
        for path in PATHS {
            lab.file(path, path.as_bytes()).await;
        }
        for (index, path) in PATHS.into_iter().enumerate().rev() {
            let url = lab.api(&format!("/monitor/items/{}", form(&id(path))));
            ok(lab.acme().delete(url)).await;
            refused(lab.get(&item(path)), 404, "NotFoundError").await;
            for other in &PATHS[..index] {
                ok(lab.get(&item(other))).await;
            }
        }
    }
}

#[tokio::test]
async fn file_may_come_before_its_path_and_without_a_length() {
    let lab = Lab::start().await;
    let body = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"monitor_upload\"\r\n\
        Content-Type: application/octet-stream\r\n\r\nabc\r\n--B\r\nContent-Disposition: form-data; \
        name=\"path\"\r\n\r\n/folder/f.bin\r\n--B--\r\n";
    let chunks = body
        .as_bytes()
        .chunks(7)
        .map(|c| Ok::<_, std::io::Error>(Bytes::from(c)));
    let request = lab
        .acme()
        .post(lab.api("/monitor/items"))
        .header("content-type", "multipart/form-data; boundary=B")
        .body(Body::wrap_stream(stream::iter(chunks.collect::<Vec<_>>())));
    let put = ok(request).await;
    assert_eq!(put["data"]["id"], *id("/folder/f.bin"));
    let folder = ok(lab.get(&item("/folder/"))).await;
    assert_eq!(folder["data"]["attributes"]["item_type"], "folder");
    assert!(
        folder["data"]["attributes"]
            .get("last_detections_count")
            .is_none()
    );
}

#[tokio::test]
async fn folder_is_made_by_either_form_and_paths_without_a_slash_are_taken() {
    let lab = Lab::start().await;
    let url = lab.api("/monitor/items");
    let form = [("path", "/made+by plain/")];
    let post = lab.acme().post(&url);
    let body = "path=%2Fmade%2Bby+plain%2F";
    let kind = "application/x-www-form-urlencoded";
    let made = ok(post.header("content-type", kind).body(body)).await;
    assert_eq!(made["data"]["id"], *id(form[0].1));
    let made = ok(lab
        .acme()
        .post(&url)
        .multipart(Form::new().text("path", "/b/")))
    .await;
    assert_eq!(made["data"]["attributes"]["item_type"], "folder");
    let put = lab.file("vendor/x.cab", b"x").await;
    assert_eq!(put["data"]["attributes"]["path"], "/vendor/x.cab");
}

#[tokio::test]
async fn content_is_replaced_by_item_and_contradictions_are_refused() {
    let lab = Lab::start().await;
    lab.file("/a.bin", b"one").await;
    let url = lab.api("/monitor/items");
    let form = |fields: &[(&'static str, String)]| {
        let part = Part::bytes(b"two".to_vec()).file_name("x");
        let form = Form::new().part("file", part);
        let form = fields
            .iter()
            .fold(form, |f, (name, value)| f.text(*name, value.clone()));
        lab.acme().post(&url).multipart(form)
    };
    let put = ok(form(&[("item", id("/a.bin"))])).await;
    assert_eq!(put["data"]["id"], *id("/a.bin"));
    assert_eq!(put["data"]["attributes"]["size"], 3);
    let history = ok(lab.get(&format!("/acquit/items/{}/history", id("/a.bin")))).await;
    assert_eq!(history["data"].as_array().unwrap().len(), 2, "{history}");
    ok(form(&[
        ("item", id("/a.bin")),
        ("path", "/a.bin".to_owned()),
    ]))
    .await;
    let both = [("item", id("/a.bin")), ("path", "/b.bin".to_owned())];
    refused(form(&both), 400, "BadRequestError").await;
    refused(form(&[]), 400, "BadRequestError").await;
    for (field, value) in [("item", "x y"), ("path", "/../x"), ("path", "/a//b")] {
        let form = form(&[(field, value.to_owned())]);
        refused(form, 400, "InvalidArgumentError").await;
    }
    let no_file = Form::new().text("path", "/no/file");
    let no_file = lab.acme().post(&url).multipart(no_file);
    refused(no_file, 400, "BadRequestError").await;
    let as_folder = form(&[("path", "/a.bin/".to_owned())]);
    refused(as_folder, 400, "InvalidArgumentError").await;
    let below = form(&[("path", "/a.bin/b".to_owned())]);
    refused(below, 409, "AlreadyExistsError").await;
}

#[tokio::test]
async fn item_of_another_publisher_is_as_one_that_is_not_there() {
    let lab = Lab::start().await;
    lab.file("/secret.exe", b"secret").await;
    lab.file("/a/secret.exe", b"secret").await;
    let rival = client(&lab.rival);
    let (there, not_there) = (id("/secret.exe"), id("/nothing.ex"));
    let parts = [
        "",
        "/download",
        "/download_url",
        "/analyses",
        "/owner",
        "/comments",
    ];
    for part in parts.iter().chain(&["/relationships/owner"]) {
        let ask = |id: &str| rival.get(lab.api(&format!("/monitor/items/{id}{part}")));
        let seen = refused(ask(&there), 404, "NotFoundError").await;
        let unseen = refused(ask(&not_there), 404, "NotFoundError").await;
        assert_eq!(seen.replace(&there, "X"), unseen.replace(&not_there, "X"));
    }
    for part in ["card", "policy", "history"] {
        let path = format!("/acquit/items/{there}/{part}");
        refused(rival.get(lab.api(&path)), 404, "NotFoundError").await;
    }
    let config = format!("/monitor/items/{there}/config");
    let patch = rival
        .patch(lab.api(&config))
        .json(&json!({"data": {"attributes": {}}}));
    refused(patch, 404, "NotFoundError").await;
    let to = json!({"data": {"attributes": {"to": "/mine"}}});
    let path = format!("/acquit/items/{there}/copy");
    refused(rival.post(lab.api(&path)).json(&to), 404, "NotFoundError").await;
    let delete = rival.delete(lab.api(&format!("/monitor/items/{there}")));
    refused(delete, 404, "NotFoundError").await;
    let part = Part::bytes(b"x".to_vec()).file_name("x");
    let form = Form::new().part("file", part).text("item", there.clone());
    let put = rival.post(lab.api("/monitor/items")).multipart(form);
    refused(put, 404, "NotFoundError").await;
    for query in ["filter=item:", "owner=acme&filter=path:/"] {
        let query = if query.ends_with("item:") {
            format!("{query}{}", id("/a/"))
        } else {
            query.to_owned()
        };
        let list = rival.get(lab.api(&format!("/monitor/items?{query}")));
        refused(list, 404, "NotFoundError").await;
    }
    for path in ["/monitor/items", "/monitor/events", "/acquit/trash"] {
        let own = ok(rival.get(lab.api(path))).await;
        assert_eq!(own["data"], json!([]), "{path}");
    }
    ok(lab.get(&item("/secret.exe"))).await;
}

#[tokio::test]
async fn viewer_reads_and_neither_changes_nor_has_bytes() {
    let lab = Lab::start().await;
    lab.file("/a.bin", b"abc").await;
    let viewer = client(&lab.viewer);
    ok(viewer.get(lab.api(&item("/a.bin")))).await;
    for part in ["download", "download_url"] {
        let get = viewer.get(lab.api(&format!("{}/{part}", item("/a.bin"))));
        refused(get, 403, "ForbiddenError").await;
    }
    refused(
        viewer.delete(lab.api(&item("/a.bin"))),
        403,
        "ForbiddenError",
    )
    .await;
    refused(
        viewer.get(lab.api("/monitor/items/upload_url")),
        403,
        "ForbiddenError",
    )
    .await;
}

#[tokio::test]
async fn administrator_names_the_collection_and_every_download_is_in_the_ledger_as_it_was() {
    let lab = Lab::start().await;
    lab.file("/a.bin", b"abc").await;
    let admin = lab.appliance.admin();
    refused(admin.get(lab.api("/monitor/items")), 400, "BadRequestError").await;
    let list = ok(admin.get(lab.api("/monitor/items?owner=acme"))).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let nobody = admin.get(lab.api("/monitor/items?owner=nobody"));
    refused(nobody, 404, "NotFoundError").await;
    let download = format!("{}/download", item("/a.bin"));
    let ledger = lab.appliance.dir.path().join("ledger");
    let lines = || -> String {
        let parts = std::fs::read_dir(&ledger).unwrap();
        let parts = parts.map(|part| part.unwrap().path());
        let parts = parts.filter(|part| part.extension().is_some_and(|end| end == "jsonl"));
        parts
            .map(|part| std::fs::read_to_string(part).unwrap())
            .collect()
    };
    // What was looked at before is written once, however often it is looked at.
    ok(admin.get(lab.api("/monitor/items?owner=acme"))).await;
    let looks = lines().matches("reads /monitor/items\"").count();
    assert_eq!(
        looks,
        3,
        "without an owner, of acme, of nobody: {}",
        lines()
    );
    let left = || -> Vec<u64> {
        let lines = lines();
        let lines = lines.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["entry"].clone()
        });
        let left = lines.filter(|line| line["kind"] == "egress");
        left.map(|line| {
            assert!(line["text"].as_str().unwrap().contains("/a.bin"), "{line}");
            line["bytes"].as_u64().unwrap()
        })
        .collect()
    };
    let bytes = async |request: RequestBuilder| request.send().await.unwrap().bytes().await;
    assert_eq!(bytes(lab.get(&download)).await.unwrap(), "abc");
    assert_eq!(left(), [3], "the publisher's own");
    // An URL is no download, and neither is what has no body.
    let by_url = format!("{}/download_url", item("/a.bin"));
    let url = ok(admin.get(lab.api(&by_url))).await;
    bytes(admin.head(lab.api(&download))).await.unwrap();
    assert_eq!(left(), [3]);
    bytes(admin.get(lab.api(&download))).await.unwrap();
    let part = admin.get(lab.api(&download)).header("range", "bytes=1-1");
    assert_eq!(bytes(part).await.unwrap(), "b");
    assert_eq!(left(), [3, 3, 1]);
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let url = url["data"].as_str().unwrap();
    for request in [admin.head(url), admin.get(url)] {
        bytes(request).await.unwrap();
    }
    let named = lines().matches(&format!("file {hash}")).count();
    assert_eq!(named, 1, "{}", lines());
}

#[tokio::test]
async fn upload_url_works_once_and_only_for_its_collection() {
    let lab = Lab::start_with(Quota::default(), |config| config.http.direct_upload_mb = 1).await;
    let large = vec![7; 2 << 20];
    let message = refused(lab.put("/large", &large), 413, "InvalidArgumentError").await;
    assert!(message.contains("/monitor/items/upload_url"), "{message}");
    let url = ok(lab.get("/monitor/items/upload_url")).await;
    let url = url["data"].as_str().unwrap();
    let bare = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = |field: &'static str, value: String| {
        let part = Part::bytes(large.clone()).file_name("filepath");
        let form = Form::new().part("file", part).text(field, value);
        bare.post(url).multipart(form)
    };
    let put = ok(send("path", "/large".to_owned())).await;
    assert_eq!(put["data"]["attributes"]["size"], large.len());
    refused(send("path", "/large".to_owned()), 404, "NotFoundError").await;
    refused(bare.get(url), 405, "BadRequestError").await;
    let all = ok(lab.get("/monitor/items")).await;
    assert_eq!(all["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn quotas_are_told_apart() {
    let quota = Quota {
        bytes: Some(5),
        files: Some(2),
    };
    let lab = Lab::start_with(quota, |_| ()).await;
    let bytes = refused(lab.put("/a", b"123456"), 429, "QuotaExceededError").await;
    assert!(bytes.contains("storage quota"), "{bytes}");
    assert_eq!(lab.appliance.kept("blobs"), [""; 0]);
    lab.file("/a", b"1").await;
    lab.file("/b", b"2").await;
    let files = refused(lab.put("/c", b"3"), 429, "QuotaExceededError").await;
    assert!(files.contains("quota of 2 files"), "{files}");
    let over = refused(lab.put("/a", b"1234"), 429, "QuotaExceededError").await;
    assert!(over.contains("2 are used and 4 more"), "{over}");
    assert_eq!(lab.appliance.kept("blobs").len(), 2);
    // What was refused goes with its request, which ends a moment after its answer.
    crate::notify::lab::wait(|| lab.appliance.kept("incoming").is_empty().then_some(())).await;
}

#[tokio::test]
async fn downloads_have_ranges_and_heads_also_by_url() {
    let lab = Lab::start().await;
    lab.file("/a.bin", b"0123456789").await;
    let path = format!("{}/download", item("/a.bin"));
    let url = ok(lab.get(&format!("{}/download_url", item("/a.bin")))).await;
    let url = url["data"].as_str().unwrap().to_owned();
    for url in [lab.api(&path), url] {
        let head = lab.acme().head(&url).send().await.unwrap();
        assert_eq!(head.headers()["content-length"], "10");
        assert_eq!(head.headers()["accept-ranges"], "bytes");
        let part = lab.acme().get(&url).header("range", "bytes=4-");
        let part = part.header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert!(!part.headers().contains_key("content-encoding"));
        assert_eq!(part.bytes().await.unwrap(), "456789");
    }
    ok(lab
        .acme()
        .post(lab.api("/monitor/items"))
        .multipart(Form::new().text("path", "/f/")))
    .await;
    let folder = lab.get(&format!("{}/download", item("/f/")));
    refused(folder, 400, "InvalidArgumentError").await;
}

#[tokio::test]
async fn nothing_reads_as_clean_before_engines_have_answered() {
    let lab = Lab::start().await;
    let put = lab.file("/a.bin", b"abc").await;
    let attributes = &put["data"]["attributes"];
    for absent in [
        "last_analysis_date",
        "last_detections_count",
        "first_detection_date",
        "details",
    ] {
        assert!(attributes.get(absent).is_none(), "{absent}");
    }
    lab.appliance.answer("clamav", malicious("Win.Test")).await;
    lab.appliance
        .answer("yara", Verdict::failure("it fell over"))
        .await;
    let seen = ok(lab.get(&item("/a.bin"))).await;
    let attributes = &seen["data"]["attributes"];
    assert_eq!(attributes["last_detections_count"], 1);
    assert_eq!(attributes["coverage"], json!({"answered": 1, "enabled": 2}));
    assert!(attributes["last_analysis_date"].is_u64());
    let analyses = ok(lab.get(&format!("{}/analyses", item("/a.bin")))).await;
    let analysis = &analyses["data"][0];
    assert_eq!(analysis["type"], "monitor_analysis");
    assert_eq!(analysis["attributes"]["detections_count"], 1);
    assert_eq!(
        analysis["attributes"]["tags"],
        json!(["ClamAV", "detected"])
    );
    no_forbidden_key(&seen);
    no_forbidden_key(&analyses);
}

/// Names that break `vt-py`, and dates that are no numbers.
fn no_forbidden_key(answer: &Value) {
    let objects = answer["data"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![answer["data"].clone()]);
    for object in objects {
        for (name, value) in object["attributes"].as_object().unwrap() {
            assert!(
                ![
                    "id",
                    "type",
                    "error",
                    "relationships",
                    "context_attributes",
                    "get"
                ]
                .contains(&name.as_str())
            );
            assert!(
                !(name.ends_with("_date") || name == "date") || value.is_u64(),
                "{name}: {value}"
            );
        }
    }
}

#[tokio::test]
async fn pages_have_cursor_and_link_and_the_last_has_neither() {
    let lab = Lab::start().await;
    for number in 0..4 {
        lab.file(&format!("/d e/{number}"), &[number]).await;
    }
    let mut page = ok(lab.get("/monitor/items?filter=path:/d%20e/&limit=2")).await;
    let (mut seen, mut next) = (0, true);
    while next {
        let data = page["data"].as_array().unwrap();
        assert!(!data.is_empty());
        seen += data.len();
        next = page["links"].get("next").is_some();
        assert_eq!(next, page["meta"].get("cursor").is_some());
        if next {
            let url = page["links"]["next"].as_str().unwrap().to_owned();
            page = ok(lab.acme().get(url)).await;
        }
    }
    assert_eq!(seen, 4);
}

#[tokio::test]
async fn filters_are_combined_and_what_is_none_is_refused() {
    let lab = Lab::start().await;
    lab.file("/x y/a", b"aa").await;
    lab.file("/x y/b", b"b").await;
    lab.file("/z/c", b"c").await;
    lab.appliance.settle().await;
    let names = async |query: &str| {
        let page = ok(lab.get(&format!("/monitor/items?{query}"))).await;
        let items = page["data"].as_array().unwrap().clone();
        let path = |item: &Value| item["attributes"]["path"].as_str().unwrap().to_owned();
        items.iter().map(path).collect::<Vec<_>>()
    };
    assert_eq!(names("filter=path:/x+y/").await, ["/x y/a", "/x y/b"]);
    assert_eq!(names("filter=path:/x+y").await, ["/x y/a", "/x y/b"]);
    assert_eq!(names("filter=path:/x+y/a").await, ["/x y/a"]);
    assert_eq!(
        names("filter=path:/x+y/&order=-name").await,
        ["/x y/b", "/x y/a"]
    );
    assert_eq!(
        names("filter=path:/x+y/&order=size").await,
        ["/x y/b", "/x y/a"]
    );
    let by_id = format!("filter=item:{}", escaped(&id("/z/")));
    assert_eq!(names(&by_id).await, ["/z/c"]);
    assert_eq!(names("filter=tag:detected+path:/x+y/").await, [""; 0]);
    assert_eq!(names("filter=tag:detected+path:/x+y/a").await, [""; 0]);
    for bad in [
        "filter=colour:red",
        "filter=path:/../",
        "filter=item:xyz",
        "order=colour",
        "recursive=maybe",
        "limit=x",
        "cursor=!",
    ] {
        let list = lab.get(&format!("/monitor/items?{bad}"));
        refused(list, 400, "InvalidArgumentError").await;
    }
    refused(
        lab.get("/monitor/items?filter=path:/none/"),
        404,
        "NotFoundError",
    )
    .await;
    for bad in [
        "xyz",
        "YWJj",
        &escaped("dnRtb25pdG9yLXYxOi8vYWNtZS9hLy4uL2I="),
    ] {
        let get = lab.get(&format!("/monitor/items/{bad}"));
        refused(get, 400, "InvalidArgumentError").await;
    }
}

#[tokio::test]
async fn tags_and_engines_are_filtered_with_any_place() {
    let lab = Lab::start().await;
    lab.file("/x/clean", b"clean").await;
    lab.appliance.settle().await;
    lab.file("/x/by both", b"both").await;
    lab.appliance.answer("clamav", malicious("Win.Test")).await;
    lab.appliance.answer("yara", malicious("Rule")).await;
    lab.file("/y/by one", b"one").await;
    lab.appliance.answer("clamav", malicious("Win.Test")).await;
    lab.appliance.answer("yara", Verdict::Undetected).await;
    let names = async |filter: &str| {
        let page = ok(lab.get("/monitor/items").query(&[("filter", filter)])).await;
        let items = page["data"].as_array().unwrap().clone();
        let path = |item: &Value| item["attributes"]["path"].as_str().unwrap().to_owned();
        let mut names: Vec<_> = items.iter().map(path).collect();
        names.sort();
        names
    };
    let (both, one) = ("/x/by both", "/y/by one");
    assert_eq!(names("tag:detected").await, [both, one]);
    assert_eq!(names("tag:new-detections").await, [both, one]);
    assert_eq!(names("engine:yara").await, [both]);
    assert_eq!(names("engine:ClamAV YARA").await, [both]);
    assert_eq!(names("engine:ClamAV tag:detected").await, [both, one]);
    assert_eq!(names("tag:detected engine:ClamAV path:/y/").await, [one]);
    assert_eq!(names("tag:yara path:/y/").await, [""; 0]);
    assert_eq!(names("engine:nobody").await, [""; 0]);
    for (file, engine, fits) in [
        ("/x/by both", "yara", true),
        ("/y/by one", "yara", false),
        ("/y/by one", "clamav", true),
        ("/x/clean", "clamav", false),
    ] {
        let expected = Vec::from_iter(fits.then_some(file));
        assert_eq!(
            names(&format!("path:{file} engine:{engine}")).await,
            expected
        );
        let by_id = format!("engine:{engine} item:{}", id(file));
        assert_eq!(names(&by_id).await, expected, "{by_id}");
    }
}

#[tokio::test]
async fn details_are_set_by_either_url_and_unknown_attributes_are_refused() {
    let lab = Lab::start().await;
    lab.file("/a.bin", b"abc").await;
    ok(lab
        .acme()
        .post(lab.api("/monitor/items"))
        .multipart(Form::new().text("path", "/f/")))
    .await;
    let patch = |path: String, body: Value| lab.acme().patch(lab.api(&path)).json(&body);
    for (end, kind) in [
        ("/config", "monitoritem"),
        ("", "monitor_item"),
        ("/config", "monitor_item"),
    ] {
        let text = json!(format!("details by {end}"));
        let body =
            json!({"data": {"id": id("/a.bin"), "type": kind, "attributes": {"details": text}}});
        let set = ok(patch(format!("{}{end}", item("/a.bin")), body)).await;
        assert_eq!(set["data"]["attributes"]["details"], text);
    }
    let none = json!({"data": {"attributes": {"details": null}}});
    let set = ok(patch(item("/a.bin"), none)).await;
    assert!(set["data"]["attributes"].get("details").is_none());
    let wrong = [
        json!({"data": {"attributes": {"size": 1}}}),
        json!({"data": {"attributes": {"details": 1}}}),
        json!({"data": {"type": "file", "attributes": {}}}),
        json!({"data": {"id": id("/b.bin"), "attributes": {}}}),
    ];
    for body in wrong {
        refused(patch(item("/a.bin"), body), 400, "InvalidArgumentError").await;
    }
    refused(patch(item("/a.bin"), json!({})), 400, "BadRequestError").await;
    let folder = json!({"data": {"attributes": {"details": "x"}}});
    refused(patch(item("/f/"), folder), 400, "InvalidArgumentError").await;
}

#[tokio::test]
async fn delete_answers_with_json_and_owner_is_the_group() {
    let lab = Lab::start().await;
    lab.file("/d/a.bin", b"abc").await;
    let owner = ok(lab.get(&format!("{}/owner", item("/d/a.bin")))).await;
    assert_eq!(
        (&owner["data"]["type"], &owner["data"]["id"]),
        (&json!("group"), &json!("acme"))
    );
    let name = ok(lab.get(&format!("{}/relationships/owner", item("/d/a.bin")))).await;
    assert!(name["data"].get("attributes").is_none());
    let (status, body) = answer(lab.acme().delete(lab.api(&item("/d/")))).await;
    assert_eq!((status, &body["data"]), (StatusCode::OK, &json!({})));
    refused(lab.get(&item("/d/a.bin")), 404, "NotFoundError").await;
    let metadata = ok(lab.get("/metadata")).await;
    let relations = metadata["data"]["relationships"]["monitor_item"]
        .as_array()
        .unwrap()
        .clone();
    let names: Vec<_> = relations.iter().map(|relation| &relation["name"]).collect();
    assert_eq!(names, ["analyses", "comments", "owner"]);
}
