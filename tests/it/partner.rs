//! What vendors are shown, may say and may have: over real sockets and a real store; the rows of
//! collections are written directly.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod answers;
mod ends;
mod isolation;
mod lab;
mod words;

use std::process::Command;

use crate::support::{python, run};
use lab::{Lab, Plan};

#[tokio::test]
async fn real_vt_py_works_as_virustotals_partner_script_does() {
    let lab = Lab::start().await;
    lab.add(&Plan::all()).await;
    let (url, key) = (lab.appliance.url.clone(), lab.keys["clam"].clone());
    acquit::flow::vendor::daily::make_due(
        &lab.appliance.store,
        lab.appliance.dir.path(),
        lab::noon(),
    )
    .await
    .unwrap();
    let client = tokio::task::spawn_blocking(move || {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/vt_py_partner.py"
        );
        run(Command::new(python()).arg(script).args([url, key]))
    });
    let printed = client.await.unwrap();
    assert!(printed.ends_with("done"), "{printed}");
}
