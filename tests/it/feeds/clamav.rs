//! ClamAV by freshclam, with databases its vendor has really signed.

use std::fs;

use serde_json::{Value, json};

use super::Feed;
use super::mirror::{Mirror, clamav_databases};

const SEED: [&str; 3] = ["acquit.hsb", "acquit.ldb", "acquit.ndb"];
/// EICAR's digest, as a database of the house has it.
const HOUSE: &str =
    "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f:68:House.Eicar:73\n";

fn database(name: &str) -> Vec<u8> {
    fs::read(clamav_databases().join(name)).unwrap()
}

/// Serves one version of the database `test`, with the patches that lead to it.
fn serve(mirror: &Mirror, version: u32) {
    mirror.put("/test.cvd", &database(&format!("test-{version}.cvd")));
    for number in 2..=version {
        let name = format!("test-{number}.cdiff");
        mirror.put(&format!("/{name}"), &database(&name));
    }
}

fn of_mirror(mirror: &Mirror) -> Value {
    json!([{ "mirror": mirror.url("/#test") }])
}

#[test]
fn database_comes_whole_then_by_patches_then_not_at_all() {
    let (mirror, feed) = (Mirror::start(), Feed::new("clamav"));
    serve(&mirror, 1);
    feed.updates(&of_mirror(&mirror));
    assert_eq!(feed.names(), [SEED.as_slice(), &["test.cvd"]].concat());
    assert_eq!(feed.files()["test.cvd"], database("test-1.cvd"));

    mirror.requests();
    serve(&mirror, 6);
    feed.updates(&of_mirror(&mirror));
    assert_eq!(feed.names(), [SEED.as_slice(), &["test.cld"]].concat());
    let asked = mirror.requests();
    let whole = |request: &&Value| request["path"] == "/test.cvd" && request["status"] == 200;
    assert_eq!(asked.iter().filter(whole).count(), 0, "{asked:?}");
    assert!(
        asked
            .iter()
            .any(|request| request["path"] == "/test-6.cdiff")
    );

    let second = feed.files();
    feed.updates(&of_mirror(&mirror));
    assert_eq!(feed.files(), second);
    let asked = mirror.requests();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0]["asked"]["range"], "bytes=0-511");
    assert!(asked[0]["asked"]["if-modified-since"].is_string());
}

#[test]
fn freshclam_keeps_its_identity_in_the_cache_and_not_in_the_set() {
    let (mirror, feed) = (Mirror::start(), Feed::new("clamav"));
    serve(&mirror, 1);
    feed.updates(&of_mirror(&mirror));
    feed.updates(&of_mirror(&mirror));
    let agent = |request: &Value| request["asked"]["user-agent"].as_str().unwrap().to_owned();
    let mut agents: Vec<String> = mirror.requests().iter().map(agent).collect();
    agents.dedup();
    assert_eq!(agents.len(), 1, "{agents:?}");
    assert!(agents[0].contains("UUID: "));
}

#[test]
fn spoilt_database_is_never_taken() {
    let (mirror, feed) = (Mirror::start(), Feed::new("clamav"));
    serve(&mirror, 3);
    for (fault, words) in [
        ("corrupt", "Can't verify database integrity"),
        ("truncated", "Transferred a partial file"),
        ("down", "Server returned nothing"),
        ("503", "Unexpected response (503)"),
    ] {
        mirror.fault("/test.cvd", fault);
        feed.fails(&of_mirror(&mirror), words);
        assert!(!feed.names().iter().any(|name| name.starts_with("test.")));
    }
    mirror.heal();
    feed.updates(&of_mirror(&mirror));

    // A patch that is spoilt costs the whole database, nothing else.
    serve(&mirror, 6);
    mirror.fault("/test-5.cdiff", "corrupt");
    feed.updates(&of_mirror(&mirror));
    assert_eq!(feed.files()["test.cvd"], database("test-6.cvd"));
}

#[test]
fn database_is_never_replaced_by_an_older_one() {
    let (mirror, feed) = (Mirror::start(), Feed::new("clamav"));
    serve(&mirror, 5);
    feed.updates(&of_mirror(&mirror));
    mirror.put("/test.cvd", &database("test-1.cvd"));
    mirror.put("/test.cvd.advertised", &database("test-6.cvd"));
    mirror.put("/test-6.cdiff", b"no patch");
    feed.fails(&of_mirror(&mirror), "an older test than it advertises");
}

#[test]
fn mirror_that_refuses_is_left_alone_and_the_update_fails() {
    for fault in ["429", "403"] {
        let (mirror, feed) = (Mirror::start(), Feed::new("clamav"));
        serve(&mirror, 1);
        mirror.fault("*", fault);
        feed.fails(&of_mirror(&mirror), "left alone until");
        assert_eq!(mirror.requests().len(), 1, "{fault}");
        mirror.heal();
        feed.fails(&of_mirror(&mirror), "it was not asked again");
        // freshclam remembers too, and then says nothing is wrong.
        for entry in fs::read_dir(feed.path("cache")).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_str().unwrap().starts_with("wait-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        feed.fails(&of_mirror(&mirror), "refuses freshclam");
        assert_eq!(mirror.requests().len(), 0, "{fault}");
    }
}

#[test]
fn own_signatures_go_when_the_vendors_are_there() {
    let (mirror, feed) = (Mirror::start(), Feed::new("clamav"));
    for name in ["main", "daily", "bytecode"] {
        mirror.put(&format!("/clam/{name}.cvd"), &database("test-5.cvd"));
    }
    let sources = json!([{ "mirror": mirror.url("/clam") }]);
    feed.updates(&sources);
    assert_eq!(feed.names(), ["bytecode.cvd", "daily.cvd", "main.cvd"]);
    assert_eq!(feed.version().as_deref(), Some("5"));
    mirror.remove("/clam/main.cvd");
    mirror.remove("/clam/daily.cvd");
    feed.fails(&sources, "does not have all databases");
}

#[test]
fn mirror_of_another_freshclam_is_understood() {
    let (mirror, feed) = (Mirror::start(), Feed::new("clamav"));
    let made = Feed::new("clamav");
    serve(&mirror, 1);
    made.updates(&of_mirror(&mirror));
    serve(&mirror, 6);
    made.updates(&of_mirror(&mirror));
    let other = Mirror::start();
    other.put("/test.cld", &made.files()["test.cld"]);
    feed.updates(&of_mirror(&other));
    assert_eq!(feed.files()["test.cld"], made.files()["test.cld"]);
}

#[test]
fn single_databases_come_by_url() {
    let (mirror, feed) = (Mirror::start(), Feed::new("clamav"));
    mirror.put("/house.hsb", HOUSE.as_bytes());
    mirror.put("/test.cvd", &database("test-3.cvd"));
    let sources = json!([{ "url": mirror.url("/house.hsb") }, { "url": mirror.url("/test.cvd") }]);
    feed.updates(&sources);
    assert_eq!(
        feed.names(),
        [SEED.as_slice(), &["house.hsb", "test.cvd"]].concat()
    );
    mirror.requests();
    feed.updates(&sources);
    let asked = mirror.requests();
    assert!(
        asked.iter().all(|request| request["status"] == 304),
        "{asked:?}"
    );
    mirror.put("/house.hsb", b"this is no database\n");
    feed.fails(&sources, "house.hsb is no database that ClamAV takes");
    mirror.put("/house.hsb", HOUSE.as_bytes());
    feed.updates(&json!([sources[0]]));
    // What no source names any more goes.
    assert_eq!(feed.names(), [SEED.as_slice(), &["house.hsb"]].concat());
}

#[test]
fn digest_of_a_single_database_is_checked() {
    let (mirror, feed) = (Mirror::start(), Feed::new("clamav"));
    mirror.put("/house.hsb", HOUSE.as_bytes());
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(HOUSE.as_bytes()));
    let source = |sha256: &str| json!([{ "url": mirror.url("/house.hsb"), "sha256": sha256 }]);
    feed.fails(&source(&"0".repeat(64)), "not 00000000");
    assert_eq!(feed.names(), SEED);
    feed.updates(&source(&digest));
    assert_eq!(feed.files()["house.hsb"], HOUSE.as_bytes());
}

#[test]
fn downloaded_tree_is_taken_and_its_signatures_are_checked() {
    let feed = Feed::new("clamav");
    let (source, sources) = (feed.path("source"), json!([{ "directory": "/sources/0" }]));
    feed.fails(&sources, "has no database of ClamAV");
    fs::write(source.join("daily.cvd"), database("test-6.cvd")).unwrap();
    fs::write(source.join("daily-6.cdiff"), database("test-6.cdiff")).unwrap();
    fs::write(source.join("dns.txt"), "0.103").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", source.join("link.ndb")).unwrap();
    let said = feed.updates(&sources);
    assert!(said.contains("left out link.ndb"), "{said}");
    assert_eq!(feed.names(), ["daily.cvd"]);
    let mut forged = database("test-6.cvd");
    let last = forged.len() - 1;
    forged[last] ^= 1;
    fs::write(source.join("daily.cvd"), forged).unwrap();
    feed.fails(&sources, "Can't verify database integrity");
    assert_eq!(feed.files()["daily.cvd"], database("test-6.cvd"));
}
