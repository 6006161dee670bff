//! Several files in one form: each has a fate of its own.

use acquit::model::Quota;
use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use serde_json::json;

use super::{Lab, id, ok};
use crate::http::appliance::{client, refused};

/// Every item, in the order of the list.
const ALL: &str = "recursive=true";

impl Lab {
    fn several(&self, form: Form) -> RequestBuilder {
        self.acme().post(self.api("/acquit/items")).multipart(form)
    }

    /// Tells how many files lie where those that come in do.
    fn coming_in(&self) -> usize {
        let incoming = self.appliance.dir.path().join("incoming");
        std::fs::read_dir(incoming).unwrap().count()
    }
}

/// Returns the part of a file.
fn part(bytes: &[u8]) -> Part {
    Part::bytes(bytes.to_vec()).file_name("file")
}

fn form(files: &[(&str, &[u8])]) -> Form {
    let pair = |form: Form, (path, bytes): &(&str, &[u8])| {
        let form = form.text("path", (*path).to_owned());
        form.part("file", part(bytes))
    };
    files.iter().fold(Form::new(), pair)
}

#[tokio::test]
async fn files_come_together_and_each_is_told_of() {
    let lab = Lab::start().await;
    let all: [(&str, &[u8]); 3] = [
        ("/a/one.bin", b"1"),
        ("two.bin", b""),
        ("/a/日本.exe", b"1"),
    ];
    let answer = ok(lab.several(form(&all))).await;
    let data = answer["data"].as_array().unwrap();
    for ((path, bytes), told) in all.iter().zip(data) {
        assert_eq!(told["path"], *path);
        assert_eq!(told["data"]["id"], *id(path));
        assert_eq!(told["data"]["attributes"]["size"], bytes.len());
        assert_eq!(told["meta"]["replaced"], false);
        let analysis = told["meta"]["analysis"].as_str().unwrap();
        ok(lab.get(&format!("/analyses/{analysis}"))).await;
    }
    assert_eq!(data.len(), all.len());
    assert_eq!(
        lab.paths(ALL).await,
        ["/a/", "/two.bin", "/a/one.bin", "/a/日本.exe"]
    );
    let events = ok(lab.get("/monitor/events?limit=40")).await;
    assert_eq!(events["data"].as_array().unwrap().len(), 3, "{events}");
    assert_eq!(lab.coming_in(), 0);
}

#[tokio::test]
async fn what_takes_the_place_of_another_content_says_so() {
    let lab = Lab::start().await;
    lab.file("/same.bin", b"same").await;
    let put = lab.file("/other.bin", b"old").await;
    assert_eq!(put["meta"]["replaced"], false);
    let all: [(&str, &[u8]); 2] = [("/same.bin", b"same"), ("/other.bin", b"new")];
    let answer = ok(lab.several(form(&all))).await;
    let replaced = answer["data"].as_array().unwrap().iter();
    let replaced: Vec<_> = replaced.map(|it| &it["meta"]["replaced"]).collect();
    assert_eq!(replaced, [&json!(false), &json!(true)]);
    assert_eq!(
        lab.file("/other.bin", b"newer").await["meta"]["replaced"],
        true
    );
}

#[tokio::test]
async fn one_that_is_refused_keeps_no_other_out() {
    let quota = Quota {
        files: Some(3),
        ..Quota::default()
    };
    let lab = Lab::start_with(quota, |_| ()).await;
    lab.file("/folder/file", b"x").await;
    let long = "x".repeat(5000);
    let all: [(&str, &[u8]); 6] = [
        ("/folder", b"in the way"),
        ("/a/../b", b"hostile"),
        (&long, b"long"),
        ("/fits", b"fits"),
        ("/folder/file/below", b"no folder"),
        ("/folder/", b"a folder has no content"),
    ];
    let answer = ok(lab.several(form(&all))).await;
    let told = answer["data"].as_array().unwrap().iter();
    let told: Vec<_> = told
        .map(|it| (it["status"].as_u64(), it["error"]["code"].as_str()))
        .collect();
    let invalid = (Some(400), Some("InvalidArgumentError"));
    let occupied = (Some(409), Some("AlreadyExistsError"));
    let expected = [occupied, invalid, invalid, (None, None), occupied, invalid];
    assert_eq!(told, expected, "{answer}");
    let all: [(&str, &[u8]); 3] = [("/1", b"1"), ("/2", b"2"), ("/3", b"3")];
    let answer = ok(lab.several(form(&all))).await;
    let told = answer["data"].as_array().unwrap();
    let (put, refused): (Vec<_>, Vec<_>) = told.iter().partition(|it| it["data"].is_object());
    assert_eq!(put.len(), 1, "{answer}");
    for it in refused {
        assert_eq!(it["status"], 429);
        assert_eq!(it["error"]["code"], "QuotaExceededError");
    }
    assert_eq!(lab.coming_in(), 0);
}

#[tokio::test]
async fn form_that_is_not_in_pairs_puts_nothing_anywhere() {
    let lab = Lab::start().await;
    let good = || form(&[("/a", b"a")]);
    let many: Vec<_> = (0..33).map(|number| format!("/{number}")).collect();
    let many: Vec<_> = many.iter().map(|path| (path.as_str(), &b"m"[..])).collect();
    let cases = [
        Form::new(),
        good().text("path", "/b"),
        good().part("file", part(b"b")),
        Form::new().part("file", part(b"b")).text("path", "/b"),
        good().text("other", "b"),
        form(&[("/a", b"a"), ("a", b"b")]),
        form(&many),
    ];
    for form in cases {
        refused(lab.several(form), 400, "BadRequestError").await;
    }
    let cut = "--B\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n/a\r\n--B\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\r\nabc";
    let cut = lab
        .acme()
        .post(lab.api("/acquit/items"))
        .header("content-type", "multipart/form-data; boundary=B")
        .body(cut);
    refused(cut, 400, "BadRequestError").await;
    let short = lab
        .acme()
        .post(lab.api("/acquit/items"))
        .form(&[("path", "/a")]);
    refused(short, 400, "BadRequestError").await;
    assert!(lab.paths(ALL).await.is_empty());
    assert_eq!(lab.coming_in(), 0);
}

#[tokio::test]
async fn together_they_are_no_larger_than_one_may_be() {
    let small = |config: &mut acquit::config::Config| config.http.direct_upload_mb = 1;
    let lab = Lab::start_with(Quota::default(), small).await;
    let half = vec![7; 600 << 10];
    let all: [(&str, &[u8]); 2] = [("/a", &half), ("/b", &half)];
    refused(lab.several(form(&all)), 413, "InvalidArgumentError").await;
    assert!(lab.paths(ALL).await.is_empty());
    ok(lab.several(form(&all[..1]))).await;
    assert_eq!(lab.coming_in(), 0);
}

#[tokio::test]
async fn collection_is_the_callers_or_the_one_that_is_named() {
    let lab = Lab::start().await;
    let to = |key: &str, query: &str| {
        let url = lab.api(&format!("/acquit/items{query}"));
        client(key).post(url).multipart(form(&[("/a", b"a")]))
    };
    refused(to(&lab.viewer, ""), 403, "ForbiddenError").await;
    refused(to(&lab.rival, "?owner=acme"), 404, "NotFoundError").await;
    refused(to(&lab.appliance.admin, ""), 400, "BadRequestError").await;
    assert!(lab.paths(ALL).await.is_empty());
    ok(to(&lab.appliance.admin, "?owner=acme")).await;
    assert_eq!(lab.paths(ALL).await, ["/a"]);
}
