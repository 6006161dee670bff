//! Orders about signatures: update, roll back, promote, hold, release, export, import.

use std::path::PathBuf;

use acquit::config::Config;
use acquit::engine::signatures;
use acquit::model::{SetState, SignatureSetId, Timestamp};
use acquit::nightly::Refusal;
use acquit::nightly::desk::Order;
use acquit::store::{SIGNATURE_SETS, SignatureSetRow};
use reqwest::StatusCode;
use serde_json::json;

use super::appliance::{Appliance, answer, refused};
use super::night::{clamav, set, update};

/// Plays the worker for one order.
async fn serve(appliance: &mut Appliance, answer: impl FnOnce(Order)) {
    answer(appliance.desk.recv().await.expect("an order comes"));
}

#[tokio::test]
async fn update_is_answered_as_it_begins() {
    let mut appliance = Appliance::start().await;
    let post = appliance
        .admin()
        .post(appliance.api("/acquit/engines/clamav/update"));
    let worker = serve(&mut appliance, |order| match order {
        Order::Update(answer) => answer.send(Ok(update(7))).unwrap(),
        other => panic!("{other:?}"),
    });
    let ((status, body), ()) = tokio::join!(answer(post), worker);
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["data"]["id"], "clamav-7");
    assert_eq!(body["data"]["attributes"]["phase"], "download");
}

#[tokio::test]
async fn every_order_reaches_the_engines_worker() {
    let mut appliance = Appliance::start().await;
    for what in ["rollback", "promote", "hold", "release"] {
        let path = format!("/acquit/engines/clamav/{what}");
        let post = appliance.admin().post(appliance.api(&path));
        let post = post.json(&json!({ "data": { "signature_set": "00000000000000a2" } }));
        let worker = serve(&mut appliance, |order| {
            let (seen, answer) = match order {
                Order::Rollback(answer) => ("rollback", answer),
                Order::Promote(set, answer) => {
                    assert_eq!(set, SignatureSetId("00000000000000a2".to_owned()));
                    ("promote", answer)
                }
                Order::Hold(answer) => ("hold", answer),
                Order::Release(answer) => ("release", answer),
                other => panic!("{other:?}"),
            };
            assert_eq!(seen, what);
            answer.send(Ok(set(2, SetState::Active))).unwrap();
        });
        let ((status, body), ()) = tokio::join!(answer(post), worker);
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body["data"]["type"], "signature_set");
        assert_eq!(body["data"]["attributes"]["state"], "active");
    }
}

#[tokio::test]
async fn refusals_say_what_is_in_the_way() {
    let mut appliance = Appliance::start().await;
    let url = |path: &str| appliance.api(&format!("/acquit/engines/{path}"));
    let (held, image) = (url("clamav/update"), url("yara/update"));
    let (none, unnamed) = (url("none/update"), url("clamav/promote"));
    let admin = appliance.admin();
    let said = refused(admin.post(&image), 409, "ConflictError").await;
    assert!(said.contains("part of its image"), "{said}");
    refused(admin.post(&none), 404, "NotFoundError").await;
    refused(admin.post(&unnamed), 400, "BadRequestError").await;
    let key = appliance.post("/acquit/engines/clamav/update");
    refused(key, 403, "ForbiddenError").await;
    let engine = clamav();
    let worker = serve(&mut appliance, |order| match order {
        Order::Update(answer) => answer.send(Err(Refusal::Held { engine })).unwrap(),
        other => panic!("{other:?}"),
    });
    let (said, ()) = tokio::join!(refused(admin.post(&held), 409, "ConflictError"), worker);
    assert!(said.contains("acquit signatures release clamav"), "{said}");
}

/// Gives ClamAV a signature set; returns its name.
pub async fn give_set(appliance: &Appliance) -> SignatureSetId {
    let seed = tempfile::tempdir().unwrap();
    std::fs::create_dir(seed.path().join("sub")).unwrap();
    std::fs::write(seed.path().join("sub/main.db"), vec![3; 700_000]).unwrap();
    let sets = appliance.dir.path().join("signatures/clamav");
    let id = signatures::import(seed.path(), &sets).unwrap().id;
    let row = SignatureSetRow {
        id: id.clone(),
        created_at: Timestamp::from_millis(1),
        source: "seed".to_owned(),
        previous: None,
        held: false,
    };
    let write = appliance
        .store
        .write(move |change| change.put(&SIGNATURE_SETS, &clamav(), &row));
    write.await.unwrap();
    // What the lock of a running daemon makes.
    std::fs::write(appliance.dir.path().join("instance"), "ab".repeat(16)).unwrap();
    id
}

pub fn shipped(config: &mut Config) {
    config.engines.manifests = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("engines")];
}

#[tokio::test]
async fn bundle_goes_from_one_appliance_to_another() {
    let source = Appliance::start_with(shipped).await;
    let set = give_set(&source).await;
    let key = source.json("/acquit/signatures/key").await;
    let key = key["data"]["attributes"]["public_key"]
        .as_str()
        .unwrap()
        .to_owned();
    let export = source
        .get("/acquit/signatures/export?engines=clamav")
        .send()
        .await
        .unwrap();
    assert_eq!(export.status(), StatusCode::OK);
    assert_eq!(export.headers()["content-type"], "application/octet-stream");
    let bundle = export.bytes().await.unwrap();

    let stranger = Appliance::start().await;
    let post = stranger
        .admin()
        .post(stranger.api("/acquit/signatures/import"));
    let said = refused(post.body(bundle.clone()), 403, "ForbiddenError").await;
    assert!(
        said.contains(&key) && said.contains("updates.trusted_keys"),
        "{said}"
    );

    let trusted = key.clone();
    let trusting = |config: &mut Config| config.updates.trusted_keys = vec![trusted];
    let mut target = Appliance::start_with(trusting).await;
    let import = |bytes: Vec<u8>| {
        let post = target.admin().post(target.api("/acquit/signatures/import"));
        post.body(bytes)
    };
    let (good, mut bad) = (import(bundle.to_vec()), bundle.to_vec());
    bad[300_000] ^= 1;
    refused(import(bad), 400, "InvalidArgumentError").await;
    refused(
        import(bundle[..400_000].to_vec()),
        400,
        "InvalidArgumentError",
    )
    .await;
    assert!(
        !target.dir.path().join("updates").exists(),
        "nothing was unpacked"
    );
    let mut work = None;
    let worker = serve(&mut target, |order| match order {
        Order::Import {
            work: dir,
            key: by,
            answer,
        } => {
            assert_eq!(by, key);
            work = Some(dir);
            answer.send(Ok(update(1))).unwrap();
        }
        other => panic!("{other:?}"),
    });
    let ((status, body), ()) = tokio::join!(answer(good), worker);
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["data"][0]["id"], "clamav-1");
    assert_eq!(body["meta"]["appliance"], "ab".repeat(16));
    let again = signatures::import(&work.unwrap(), &target.dir.path().join("again")).unwrap();
    assert_eq!(again.id, set, "the candidate is the set that was exported");
    assert!(target.kept("incoming").is_empty());
}

#[tokio::test]
async fn refused_candidate_leaves_nothing() {
    let mut appliance = Appliance::start_with(shipped).await;
    give_set(&appliance).await;
    let bundle = appliance
        .get("/acquit/signatures/export?engines=clamav")
        .send()
        .await
        .unwrap();
    let bundle = bundle.bytes().await.unwrap();
    let post = appliance
        .admin()
        .post(appliance.api("/acquit/signatures/import"))
        .body(bundle);
    let engine = clamav();
    let worker = serve(&mut appliance, |order| match order {
        Order::Import { answer, .. } => answer.send(Err(Refusal::Busy { engine })).unwrap(),
        other => panic!("{other:?}"),
    });
    let (_, ()) = tokio::join!(refused(post, 409, "ConflictError"), worker);
    assert!(appliance.kept("updates").is_empty());
    let key = appliance.post("/acquit/signatures/import").body("x");
    refused(key, 403, "ForbiddenError").await;
    let none = appliance.get("/acquit/signatures/export?engines=yara");
    let said = refused(none, 409, "ConflictError").await;
    assert!(said.contains("no signature set"), "{said}");
}

#[tokio::test]
async fn import_is_bounded_by_the_configuration() {
    let small = |config: &mut Config| {
        config.http.direct_upload_mb = 1;
        config.http.upload_mb = 1;
    };
    let appliance = Appliance::start_with(small).await;
    let post = appliance
        .admin()
        .post(appliance.api("/acquit/signatures/import"));
    let large = post.body(vec![0; (1 << 20) + 1]);
    refused(large, 413, "InvalidArgumentError").await;
    assert!(appliance.kept("incoming").is_empty());
}
