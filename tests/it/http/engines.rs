//! What the API tells of an engine while it works, and of its update while that runs.

use serde_json::json;

use super::appliance::{Appliance, refused};
use super::night::{clamav, one_night, update};

#[tokio::test]
async fn engine_tells_its_license_and_what_it_got_done() {
    let appliance = Appliance::start().await;
    let idle = appliance.json("/acquit/engines/clamav").await;
    let idle = &idle["data"]["attributes"];
    assert_eq!(idle["license"], "GPL-2.0-only");
    let nothing = json!({
        "files": 0, "bytes": 0, "seconds": 300, "files_per_second": 0.0, "bytes_per_second": 0.0,
    });
    assert_eq!(idle["throughput"], nothing);
    appliance.board.answered(&clamav(), (0, 0), (3, 6000));
    appliance.board.update(&clamav(), |status| {
        let versions = status.versions.as_mut().unwrap();
        versions.license_expires = Some("20270131".to_owned());
    });
    let busy = appliance.json("/acquit/engines/clamav").await;
    let busy = &busy["data"]["attributes"];
    let done = &busy["throughput"];
    assert_eq!((&done["files"], &done["bytes"]), (&json!(3), &json!(6000)));
    let seconds = done["seconds"].as_f64().unwrap();
    assert!((10.0..=300.0).contains(&seconds), "{done}");
    assert_eq!(done["bytes_per_second"].as_f64(), Some(6000.0 / seconds));
    assert_eq!(busy["versions"]["license_expires"], "20270131");
}

#[tokio::test]
async fn what_an_update_prints_is_shown_while_it_runs() {
    let appliance = Appliance::start().await;
    one_night(&appliance).await;
    let path = "/acquit/engines/clamav/updates/2/output";
    refused(appliance.get(path), 404, "NotFoundError").await;
    let course = appliance.courses.begin(&update(2));
    refused(appliance.get(path), 404, "NotFoundError").await;
    course.heard(b"<script>half a li", b"");
    course.heard(b"ne\n", b"a warning\n");
    let live = appliance.get(path).send().await.unwrap();
    assert_eq!(live.headers()["content-type"], "text/plain; charset=utf-8");
    let live = live.text().await.unwrap();
    assert_eq!(live, "<script>half a line\na warning\n");
    // What is kept of another is what there is of it.
    let kept = appliance.get("/acquit/engines/clamav/updates/1/output");
    let kept = kept.send().await.unwrap().text().await.unwrap();
    assert!(kept.starts_with("exit 1\n"), "{kept}");
    appliance.courses.end(&clamav());
    refused(appliance.get(path), 404, "NotFoundError").await;
}
