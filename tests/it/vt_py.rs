//! VirusTotal's own Python client against the API.

use std::process::Command;
use std::time::Duration;

use acquit::model::Verdict;

use crate::http::appliance::{Appliance, malicious};
use crate::support::{python, run};

#[tokio::test]
async fn real_vt_py_scans_polls_looks_up_and_downloads() {
    let appliance = Appliance::start().await;
    crate::http::night::one_night(&appliance).await;
    let (url, key) = (appliance.url.clone(), appliance.publisher.clone());
    let client = tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vt_py.py");
        run(Command::new(python()).arg(script).args([url, key]))
    });
    let engines = async {
        loop {
            appliance.answer("clamav", malicious("Win.Test")).await;
            appliance.answer("yara", Verdict::Undetected).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let printed = tokio::select! {
        printed = client => printed.expect("the client ends well"),
        () = engines => unreachable!("the engines never end"),
    };
    assert!(printed.ends_with("done"), "{printed}");
}
