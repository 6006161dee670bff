//! The filters of the page of analyses, the order of detections, and lists written as files.

use acquit::model::Verdict;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Lab, ok};
use crate::http::appliance::{malicious, refused};

impl Lab {
    /// Four files: detected by one engine, by the other, by none as one ran out of time, and one
    /// that nobody has looked at.
    async fn analyzed(&self) {
        for (path, clamav, yara) in [
            ("/a/one.exe", malicious("Win.Test.A-1"), Verdict::Undetected),
            ("/a/Two.exe", Verdict::Undetected, malicious("Rule_Äx")),
            ("/b/three.exe", Verdict::Timeout, Verdict::Undetected),
        ] {
            self.file(path, path.as_bytes()).await;
            assert_eq!(self.appliance.answer("clamav", clamav).await, 1);
            assert_eq!(self.appliance.answer("yara", yara).await, 1);
        }
        self.file("/b/=four,\"4\".txt", b"four").await;
    }

    /// Paths of all pages of a list, one on each, in its order.
    pub(super) async fn paths(&self, query: &str) -> Vec<String> {
        let (mut paths, mut cursor) = (Vec::new(), String::new());
        loop {
            let url = format!("/monitor/items?limit=1&cursor={cursor}&{query}");
            let page = ok(self.get(&url)).await;
            let found = page["data"].as_array().unwrap().iter();
            paths.extend(found.map(|it| it["attributes"]["path"].as_str().unwrap().to_owned()));
            match page["meta"]["cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return paths,
            }
        }
    }

    #[track_caller]
    fn filtered(&self, filter: &str) -> impl Future<Output = Vec<String>> {
        let query = format!("recursive=true&filter={}", filter.replace(' ', "%20"));
        async move {
            let mut paths = self.paths(&query).await;
            paths.sort();
            paths
        }
    }
}

const ONE: &str = "/a/one.exe";
const TWO: &str = "/a/Two.exe";
const THREE: &str = "/b/three.exe";
const FOUR: &str = "/b/=four,\"4\".txt";

#[tokio::test]
async fn filters_find_what_they_say_all_of_them_together() {
    let lab = Lab::start().await;
    lab.analyzed().await;
    let none: &[&str] = &[];
    let expected: [(&str, &[&str]); 25] = [
        ("is:file", &[TWO, ONE, FOUR, THREE]),
        ("is:folder", &["/a/", "/b/"]),
        ("is:folder name:a", &["/a/"]),
        ("is:folder detected", none),
        ("is:detected", &[TWO, ONE]),
        ("is:undetected", &[THREE]),
        ("is:failed", &[THREE]),
        ("is:unscanned", &[FOUR]),
        ("is:undetected failed", &[THREE]),
        ("is:detected failed", none),
        ("is:unscanned detected", none),
        ("detection:win.test", &[ONE]),
        ("detection:RULE_ä", &[TWO]),
        ("detection:es", &[ONE]),
        ("detection:win.test engine:YARA", none),
        ("detection:rule engine:yara", &[TWO]),
        ("name:EXE", &[TWO, ONE, THREE]),
        ("name:exe is:detected path:/a/", &[TWO, ONE]),
        // The folder's own path is no part of what is in it.
        ("path:/a/ name:a", none),
        ("name:a/", &["/a/", TWO, ONE]),
        ("after:2020-01-01", &[TWO, ONE, THREE]),
        ("after:4000000000", none),
        ("before:4000000000 is:undetected", &[THREE]),
        ("before:2020-01-01", none),
        ("path:/a/one.exe is:detected name:one", &[ONE]),
    ];
    for (filter, paths) in expected {
        assert_eq!(lab.filtered(filter).await, paths, "{filter}");
    }
    assert_eq!(lab.filtered("path:/a/one.exe is:failed").await, none);
    for bad in ["is:clean", "after:soon", "before:2026-02-30", "colour:red"] {
        let url = format!("/monitor/items?filter={bad}");
        refused(lab.get(&url), 400, "InvalidArgumentError").await;
    }
}

#[tokio::test]
async fn filtered_pages_go_on_backwards_too() {
    let lab = Lab::start().await;
    lab.analyzed().await;
    let forwards = lab.paths("recursive=true&filter=name:exe").await;
    let mut backwards = lab
        .paths("recursive=true&order=-name&filter=name:exe")
        .await;
    assert_eq!(backwards.len(), 3);
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let sizes = lab
        .paths("recursive=true&order=size&filter=is:detected")
        .await;
    assert_eq!(sizes, [TWO, ONE]);
}

#[tokio::test]
async fn most_detected_comes_first_and_everything_comes_once() {
    let lab = Lab::start().await;
    lab.analyzed().await;
    lab.file("/c/both.exe", b"both").await;
    lab.appliance.answer("clamav", malicious("X")).await;
    lab.appliance.answer("yara", malicious("Y")).await;
    let all = lab.paths("recursive=true&order=-detections").await;
    // What nobody had looked at was looked at with it.
    let expected = [FOUR, "/c/both.exe", TWO, ONE];
    assert_eq!(all[..4], expected);
    let mut rest = lab.paths("recursive=true").await;
    rest.retain(|path| !expected.contains(&path.as_str()));
    assert_eq!(all[4..], rest);
    let detected = lab.paths("recursive=true&order=-detections&filter=is:detected");
    assert_eq!(detected.await, expected);
    let folder = lab.paths("order=-detections&filter=path:/a/");
    assert_eq!(folder.await, [TWO, ONE]);
    let by_engine = lab.paths("recursive=true&order=-detections&filter=engine:yara");
    assert_eq!(by_engine.await, [FOUR, "/c/both.exe", TWO]);
}

#[tokio::test]
async fn every_result_says_what_the_heat_map_shows() {
    let lab = Lab::start().await;
    lab.analyzed().await;
    let page = ok(lab.get("/monitor/items?recursive=true&filter=is:failed")).await;
    let results = &page["data"][0]["attributes"]["last_analysis_results"];
    assert_eq!(results["ClamAV"]["category"], "timeout");
    let yara = &results["YARA"];
    let seen = ["category", "result", "engine_version", "engine_update"].map(|key| &yara[key]);
    let expected = [
        json!("undetected"),
        Value::Null,
        json!("1.2.3"),
        json!("20261122"),
    ];
    assert_eq!(seen, expected.each_ref());
}

#[tokio::test]
async fn list_is_written_as_a_file_that_is_safe_to_open() {
    let lab = Lab::start().await;
    lab.analyzed().await;
    lab.file("=cmd.txt", b"=").await;
    let export = |query: &str| {
        let request = lab.get(&format!("/acquit/items/export?recursive=true{query}"));
        async move {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let headers = response.headers().clone();
            (headers, response.text().await.unwrap())
        }
    };
    let (headers, text) = export("&filter=is:file").await;
    assert_eq!(headers["content-type"], "text/csv; charset=utf-8");
    let name = &headers["content-disposition"];
    assert_eq!(name, "attachment; filename=\"acme-items.csv\"");
    let lines: Vec<_> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[0].starts_with("\"path\",\"item_type\",\"size\""));
    assert!(lines[0].ends_with("\"ClamAV\",\"YARA\""), "{}", lines[0]);
    let line = |start: &str| {
        let found = lines.iter().find(|line| line.starts_with(start));
        *found.unwrap_or_else(|| panic!("{start} is not in {text}"))
    };
    let one = line("\"/a/one.exe\",\"file\",\"10\"");
    assert!(
        one.ends_with(",\"1\",\"2\",\"2\",\"malicious: Win.Test.A-1\",\"undetected\""),
        "{one}"
    );
    let four = line("\"/b/=four,\"\"4\"\".txt\",\"file\",\"4\"");
    assert!(four.ends_with(",\"\",\"\",\"\",\"\",\"\",\"\""), "{four}");
    line("\"/=cmd.txt\"");
    let (headers, text) = export("&filter=is:detected&format=json").await;
    assert_eq!(headers["content-type"], "application/json");
    let json: Value = serde_json::from_str(&text).unwrap();
    let data = json["data"].as_array().unwrap();
    assert_eq!(data.len(), 2);
    let listed = ok(lab.get("/monitor/items?recursive=true&filter=is:detected")).await;
    assert_eq!(json["data"], listed["data"]);
    let (_, text) = export("&filter=name:nothing&format=json").await;
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({ "data": [] })
    );
    let url = "/acquit/items/export?format=xls";
    refused(lab.get(url), 400, "InvalidArgumentError").await;
    let url = "/acquit/items/export?owner=rival";
    refused(lab.get(url), 404, "NotFoundError").await;
}

#[tokio::test]
async fn export_has_every_page() {
    let lab = Lab::start().await;
    let many = 205;
    for number in 0..many {
        lab.file(&format!("/m/{number:03}.bin"), b"same").await;
    }
    let response = lab.get("/acquit/items/export?recursive=true&filter=is:file");
    let text = response.send().await.unwrap().text().await.unwrap();
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(lines.len(), many);
    for (number, line) in lines.iter().enumerate() {
        assert!(
            line.starts_with(&format!("\"/m/{number:03}.bin\"")),
            "{line}"
        );
    }
}
