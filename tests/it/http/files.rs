//! Files and analyses: look-up, answers, paging, download.

use std::time::{Duration, Instant};

use acquit::model::{AnalysisId, Verdict};
use acquit::store::{RESULTS, ResultKey};
use reqwest::StatusCode;
use serde_json::json;
use sha2::Digest;

use super::appliance::{Appliance, answer, client, malicious, refused};

fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}

#[tokio::test]
async fn file_is_found_by_every_hash_with_what_the_engines_answered() {
    let appliance = Appliance::start().await;
    appliance.upload("setup.exe", b"hello").await;
    appliance.answer("clamav", malicious("Win.Test")).await;
    appliance
        .answer("yara", Verdict::failure("it printed nothing"))
        .await;
    for hash in [
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "AAF4C61DDCC5E8A2DABEDE0F3B482CD9AEA9434D",
        "5d41402abc4b2a76b9719d911017c592",
    ] {
        let file = appliance.json(&format!("/files/{hash}")).await;
        let attributes = &file["data"]["attributes"];
        assert_eq!(file["data"]["id"], sha256(b"hello"));
        assert_eq!(attributes["names"], json!(["setup.exe"]));
        assert_eq!(attributes["size"], 5);
        let stats = &attributes["last_analysis_stats"];
        assert_eq!(
            (&stats["malicious"], &stats["failure"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(stats["undetected"], 0);
        assert_eq!(attributes["coverage"], json!({"answered": 1, "enabled": 2}));
        let results = &attributes["last_analysis_results"];
        assert_eq!(
            results["ClamAV"],
            json!({
                "category": "malicious", "engine_name": "ClamAV", "engine_version": "1.2.3",
                "engine_update": "20261122", "method": "blacklist", "result": "Win.Test",
                "engine_id": "clamav", "duration_ms": 7, "signature_set": "0011223344556677",
                "reason": null,
            })
        );
        assert_eq!(results["YARA"]["category"], "failure");
        assert_eq!(results["YARA"]["reason"], "it printed nothing");
        assert_eq!(results["YARA"]["result"], json!(null));
    }
}

#[tokio::test]
async fn file_nobody_has_answered_on_shows_no_counts_that_look_clean() {
    let appliance = Appliance::start().await;
    appliance.upload("a", b"a").await;
    let file = appliance.json(&format!("/files/{}", sha256(b"a"))).await;
    let attributes = file["data"]["attributes"].as_object().unwrap();
    assert!(
        !attributes
            .keys()
            .any(|key| key.starts_with("last_analysis"))
    );
}

#[tokio::test]
async fn analysis_goes_from_queued_over_in_progress_to_completed() {
    let appliance = Appliance::start().await;
    let id = appliance.upload("a.bin", b"abc").await;
    let path = format!("/analyses/{id}");
    let queued = appliance.json(&path).await;
    assert_eq!(queued["data"]["attributes"]["status"], "queued");
    assert_eq!(queued["data"]["attributes"]["results"], json!({}));
    appliance.answer("yara", Verdict::Undetected).await;
    let half = appliance.json(&path).await;
    let attributes = &half["data"]["attributes"];
    assert_eq!(attributes["status"], "in-progress");
    assert_eq!(attributes["coverage"], json!({"answered": 1, "enabled": 2}));
    assert!(attributes["results"]["ClamAV"].is_null());
    appliance.answer("clamav", Verdict::Timeout).await;
    let done = appliance.json(&path).await;
    let attributes = &done["data"]["attributes"];
    assert_eq!(attributes["status"], "completed");
    assert_eq!(attributes["results"]["ClamAV"]["category"], "timeout");
    assert_eq!(
        attributes["stats"],
        json!({
            "malicious": 0, "suspicious": 0, "undetected": 1, "harmless": 0, "timeout": 1,
            "confirmed-timeout": 0, "failure": 0, "type-unsupported": 0,
        })
    );
    assert_eq!(
        done["meta"]["file_info"],
        json!({
            "sha256": sha256(b"abc"), "md5": "900150983cd24fb0d6963f7d28e17f72",
            "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d", "size": 3,
        })
    );
    let item = done["data"]["links"]["item"].as_str().unwrap();
    assert_eq!(item, appliance.api(&format!("/files/{}", sha256(b"abc"))));
    let file = appliance.json(&format!("{path}/item")).await;
    assert_eq!(file["data"]["id"], sha256(b"abc"));
    let named = appliance.json(&format!("{path}/relationships/item")).await;
    assert_eq!(named["data"]["type"], "file");
}

#[tokio::test]
async fn answer_that_is_lost_is_a_failure_and_not_absent() {
    let appliance = Appliance::start().await;
    let id = appliance.upload("a.bin", b"abc").await;
    appliance.settle().await;
    let key = ResultKey {
        analysis: id.parse().unwrap(),
        engine: "clamav".parse().unwrap(),
    };
    let lose = appliance.store.write(move |change| {
        change.remove(&RESULTS, &key);
        Ok(())
    });
    lose.await.unwrap();
    let analysis = appliance.json(&format!("/analyses/{id}")).await;
    let attributes = &analysis["data"]["attributes"];
    assert_eq!(attributes["results"]["ClamAV"]["category"], "failure");
    assert_eq!(attributes["coverage"], json!({"answered": 1, "enabled": 2}));
}

#[tokio::test]
async fn both_forms_of_an_analysis_id_are_understood() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let appliance = Appliance::start().await;
    let id = appliance.upload("a.bin", b"abc").await;
    let number = id.parse::<AnalysisId>().unwrap().number;
    for number in [number, number / 1000] {
        let text = format!("900150983cd24fb0d6963f7d28e17f72:{number}");
        let analysis = appliance.json(&format!("/analyses/{}", STANDARD.encode(text)));
        assert_eq!(analysis.await["data"]["id"], id);
    }
    let never = STANDARD.encode("900150983cd24fb0d6963f7d28e17f72:1234");
    refused(
        appliance.get(&format!("/analyses/{never}")),
        404,
        "NotFoundError",
    )
    .await;
    let none = id.replace(&number.to_string(), "1");
    refused(
        appliance.get(&format!("/analyses/{none}")),
        404,
        "NotFoundError",
    )
    .await;
    refused(appliance.get("/analyses/what"), 400, "InvalidArgumentError").await;
}

#[tokio::test]
async fn waiting_request_is_answered_at_completion_and_not_later() {
    let appliance = Appliance::start().await;
    let id = appliance.upload("a.bin", b"abc").await;
    let waiting = answer(appliance.get(&format!("/analyses/{id}?wait=30")));
    let started = Instant::now();
    let answering = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        appliance.settle().await;
    };
    let ((status, body), ()) = tokio::join!(waiting, answering);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["data"]["attributes"]["status"], "completed");
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn waiting_request_is_answered_at_its_end_and_when_the_daemon_ends() {
    let mut appliance = Appliance::start().await;
    let id = appliance.upload("a.bin", b"abc").await;
    let brief = appliance.json(&format!("/analyses/{id}?wait=1")).await;
    assert_eq!(brief["data"]["attributes"]["status"], "queued");
    let waiting = answer(appliance.get(&format!("/analyses/{id}?wait=60")));
    let started = Instant::now();
    let ending = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        appliance.stop().await;
    };
    let ((status, _), ()) = tokio::join!(waiting, ending);
    assert_eq!(status, StatusCode::OK);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn analyses_are_paged_by_cursor_and_by_link() {
    let appliance = Appliance::start().await;
    let mut ids = vec![appliance.upload("a.bin", b"abc").await];
    let path = format!("/files/{}", sha256(b"abc"));
    for _ in 0..4 {
        let (_, opened) = answer(appliance.post(&format!("{path}/analyse"))).await;
        ids.insert(0, opened["data"]["id"].as_str().unwrap().to_owned());
    }
    for list in ["analyses", "relationships/analyses"] {
        let mut seen = Vec::new();
        let mut next = Some(appliance.api(&format!("{path}/{list}?limit=2")));
        while let Some(url) = next {
            let (status, page) = answer(client(&appliance.publisher).get(url)).await;
            assert_eq!(status, StatusCode::OK);
            let data = page["data"].as_array().unwrap();
            assert!((1..=2).contains(&data.len()), "no page is empty");
            let named = |object: &serde_json::Value| object["id"].as_str().unwrap().to_owned();
            seen.extend(data.iter().map(named));
            next = page["links"]["next"].as_str().map(str::to_owned);
            assert_eq!(page["meta"]["cursor"].is_string(), next.is_some());
        }
        assert_eq!(seen, ids);
    }
    let most = appliance
        .json(&format!("{path}/analyses?limit=100000"))
        .await;
    assert_eq!(most["data"].as_array().unwrap().len(), 5);
    let least = appliance.json(&format!("{path}/analyses?limit=-3")).await;
    assert_eq!(least["data"].as_array().unwrap().len(), 1);
    for bad in ["limit=x", "cursor=!", "cursor=AAAA"] {
        let request = appliance.get(&format!("{path}/analyses?{bad}"));
        refused(request, 400, "InvalidArgumentError").await;
    }
}

#[tokio::test]
async fn known_answers_stand_and_are_not_asked_for_again() {
    let appliance = Appliance::start().await;
    appliance.upload("a.bin", b"abc").await;
    appliance.settle().await;
    let path = format!("/files/{}/analyse", sha256(b"abc"));
    let (_, known) = answer(appliance.post(&path)).await;
    let id = known["data"]["id"].as_str().unwrap();
    let analysis = appliance.json(&format!("/analyses/{id}")).await;
    assert_eq!(analysis["data"]["attributes"]["status"], "completed");
    let (_, fresh) = answer(appliance.post(&format!("{path}?reuse=never&engines=yara"))).await;
    let id = fresh["data"]["id"].as_str().unwrap();
    let analysis = appliance.json(&format!("/analyses/{id}")).await;
    assert_eq!(analysis["data"]["attributes"]["status"], "queued");
    appliance.answer("yara", malicious("X")).await;
    let file = appliance.json(&format!("/files/{}", sha256(b"abc"))).await;
    let coverage = &file["data"]["attributes"]["coverage"];
    assert_eq!(
        *coverage,
        json!({"answered": 2, "enabled": 2}),
        "one engine was asked, and the other's last word still holds"
    );
}

#[tokio::test]
async fn download_sends_the_bytes_whole_or_in_part() {
    let appliance = Appliance::start().await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    appliance.upload("a.bin", &bytes).await;
    let hash = sha256(&bytes);
    let url = appliance.json(&format!("/files/{hash}/download_url")).await;
    let ticket = url["data"].as_str().unwrap().to_owned();
    let bare = reqwest::Client::builder().no_proxy().build().unwrap();
    for request in [
        appliance.get(&format!("/files/{hash}/download")),
        bare.get(&ticket),
    ] {
        let range = request
            .try_clone()
            .unwrap()
            .header("range", "bytes=199990-");
        let part = range.send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(
            part.headers()["content-range"],
            "bytes 199990-199999/200000"
        );
        assert_eq!(part.bytes().await.unwrap(), bytes[199_990..]);
        let gzip = request
            .try_clone()
            .unwrap()
            .header("accept-encoding", "gzip");
        let whole = gzip.send().await.unwrap();
        let headers = whole.headers().clone();
        assert_eq!(whole.status(), StatusCode::OK);
        assert!(
            headers.get("content-encoding").is_none(),
            "files are not compressed"
        );
        assert_eq!(headers["content-length"], "200000");
        assert_eq!(headers["accept-ranges"], "bytes");
        assert_eq!(headers["content-type"], "application/octet-stream");
        let disposition = headers["content-disposition"].to_str().unwrap();
        assert_eq!(disposition, format!("attachment; filename=\"{hash}\""));
        assert!(
            headers["content-security-policy"]
                .to_str()
                .unwrap()
                .starts_with("sandbox")
        );
        assert_eq!(whole.bytes().await.unwrap(), bytes);
        let beyond = request
            .header("range", "bytes=200000-")
            .send()
            .await
            .unwrap();
        assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(beyond.headers()["content-range"], "bytes */200000");
    }
    let head = bare.head(&ticket).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], "200000");
    let other = bare.get(format!("{ticket}0"));
    refused(other, 404, "NotFoundError").await;
}

#[tokio::test]
async fn search_finds_by_hash_and_finds_nothing_without_failing() {
    let appliance = Appliance::start().await;
    appliance.upload("a.bin", b"abc").await;
    let found = appliance
        .json("/search?query=900150983cd24fb0d6963f7d28e17f72")
        .await;
    assert_eq!(found["data"][0]["id"], sha256(b"abc"));
    let none = appliance
        .json(&format!("/search?query={}", sha256(b"other")))
        .await;
    assert_eq!(none["data"], json!([]));
    assert!(none["meta"].get("cursor").is_none());
    refused(
        appliance.get("/search?query=evil.test"),
        400,
        "InvalidArgumentError",
    )
    .await;
    refused(appliance.get("/search"), 400, "BadRequestError").await;
}

#[tokio::test]
async fn raw_output_is_an_attachment_of_plain_text() {
    let appliance = Appliance::start().await;
    let id = appliance.upload("a.bin", b"abc").await;
    let path = format!("/acquit/analyses/{id}/raw");
    refused(appliance.get(&format!("{path}/yara")), 404, "NotFoundError").await;
    appliance.settle().await;
    // Lines that do not name the file may be of another one in the batch.
    let own = appliance.get(&format!("{path}/yara")).send().await.unwrap();
    assert_eq!(own.text().await.unwrap(), "exit 0\n");
    let url = appliance.api(&format!("{path}/yara"));
    let raw = appliance.admin().get(url).send().await.unwrap();
    assert_eq!(raw.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(raw.headers()["x-content-type-options"], "nosniff");
    assert_eq!(raw.headers()["x-acquit-staged-name"], "0123456789abcdef");
    let disposition = raw.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment"), "{disposition}");
    assert!(raw.text().await.unwrap().ends_with("<script>\n"));
    refused(
        appliance.get(&format!("{path}/..%2fyara")),
        404,
        "NotFoundError",
    )
    .await;
}
