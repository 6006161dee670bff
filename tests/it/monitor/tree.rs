//! What VirusTotal's Monitor has no route for.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Lab, id, item, ok};
use crate::http::appliance::refused;

impl Lab {
    fn act(&self, method: Method, path: &str, attributes: &Value) -> reqwest::RequestBuilder {
        let request = self.acme().request(method, self.api(path));
        request.json(&json!({ "data": { "attributes": attributes } }))
    }
}

#[tokio::test]
async fn items_are_moved_copied_deleted_and_brought_back() {
    let lab = Lab::start().await;
    lab.file("/a/b/c.bin", b"abc").await;
    let act = |path: &str, what: &str, to: &str| {
        let url = format!("/acquit/items/{}/{what}", id(path));
        lab.act(Method::POST, &url, &json!({ "to": to }))
    };
    let moved = ok(act("/a/", "move", "/x")).await;
    assert_eq!(moved["data"]["id"], *id("/x/"));
    ok(lab.get(&item("/x/b/c.bin"))).await;
    let copied = ok(act("/x/b/c.bin", "copy", "/x/")).await;
    assert_eq!(copied["data"]["attributes"]["path"], "/x/c.bin");
    refused(
        act("/x/c.bin", "copy", "/x/b/c.bin"),
        409,
        "AlreadyExistsError",
    )
    .await;
    refused(act("/x/", "move", "/x/y/"), 400, "InvalidArgumentError").await;
    refused(act("/none", "move", "/y"), 404, "NotFoundError").await;
    let deleted = ok(lab.acme().delete(lab.api(&item("/x/")))).await;
    let number = deleted["meta"]["act"].as_str().unwrap();
    let trash = ok(lab.get("/acquit/trash")).await;
    assert!(
        trash["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|t| t["attributes"]["act"] == number)
    );
    let restore = lab
        .acme()
        .post(lab.api(&format!("/acquit/trash/{number}/restore")));
    ok(restore).await;
    ok(lab.get(&item("/x/b/c.bin"))).await;
    let again = lab.acme().post(lab.api("/acquit/trash/12345/restore"));
    refused(again, 404, "NotFoundError").await;
    ok(lab.acme().delete(lab.api(&item("/x/c.bin")))).await;
    ok(lab.acme().delete(lab.api("/acquit/trash"))).await;
    assert_eq!(ok(lab.get("/acquit/trash")).await["data"], json!([]));
    let used = ok(lab.get("/acquit/collection")).await;
    assert_eq!(
        (
            &used["data"]["id"],
            &used["data"]["attributes"]["storage_files"]
        ),
        (&json!("acme"), &json!(1))
    );
}

#[tokio::test]
async fn cards_and_policies_say_where_they_come_from() {
    let lab = Lab::start().await;
    lab.file("/p/a.bin", b"abc").await;
    let card = |path: &str| format!("/acquit/items/{}/card", id(path));
    let policy = |path: &str| format!("/acquit/items/{}/policy", id(path));
    let company = json!({ "company": "Acme", "product": "Tools" });
    ok(lab.act(Method::PATCH, &card("/p/"), &company)).await;
    let own = json!({ "product": "Editor", "release_date": "2026-11-24" });
    ok(lab.act(Method::PATCH, &card("/p/a.bin"), &own)).await;
    let none = json!({ "release_date": null });
    let seen = ok(lab.act(Method::PATCH, &card("/p/a.bin"), &none)).await;
    let effective = &seen["data"]["attributes"]["effective"];
    let expected = json!({
        "company": { "value": "Acme", "source": "inherited", "at": "/p/" },
        "product": { "value": "Editor", "source": "stated", "at": "/p/a.bin" },
    });
    assert_eq!(*effective, expected);
    for wrong in [
        json!({"colour": "red"}),
        json!({"release_date": "soon"}),
        json!({"homepage": "javascript:x"}),
        json!({"product": 1}),
    ] {
        let patch = lab.act(Method::PATCH, &card("/p/a.bin"), &wrong);
        refused(patch, 400, "InvalidArgumentError").await;
    }
    let said = async |path: &str| {
        let seen = ok(lab.get(&policy(path))).await["data"]["attributes"].clone();
        let text = |name: &str| seen[name].as_str().unwrap_or("-").to_owned();
        [text("policy"), text("said_at"), text("stated")]
    };
    assert_eq!(said("/p/a.bin").await, ["metadata-only", "/", "-"]);
    let file = json!({ "policy": "file" });
    ok(lab.act(Method::PATCH, &policy("/p/"), &file)).await;
    assert_eq!(said("/p/a.bin").await, ["file", "/p/", "-"]);
    let listed = ok(lab.get("/monitor/items")).await["data"][0]["attributes"].clone();
    assert_eq!(
        (&listed["path"], &listed["policy"]),
        (&json!("/p/"), &json!("file"))
    );
    let inherits = ok(lab.get(&item("/p/a.bin"))).await["data"]["attributes"].clone();
    assert_eq!(inherits["policy"], Value::Null);
    let never = json!({ "policy": "never" });
    ok(lab.act(Method::PATCH, &policy("/"), &never)).await;
    assert_eq!(said("/").await[0], "never");
    ok(lab.act(Method::PATCH, &policy("/p/"), &json!({ "policy": null }))).await;
    assert_eq!(said("/p/a.bin").await, ["never", "/", "-"]);
    let wrong = lab.act(Method::PATCH, &policy("/p/"), &json!({ "policy": "all" }));
    refused(wrong, 400, "InvalidArgumentError").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_of_the_collection_outlives_a_change_of_something_else_of_its_publisher() {
    let lab = Lab::start().await;
    let (admin, publisher) = (lab.appliance.admin(), lab.api("/acquit/publishers/acme"));
    let policy = format!("/acquit/items/{}/policy", id("/"));
    let set = |policy_is: &str| lab.act(Method::PATCH, &policy, &json!({ "policy": policy_is }));
    for round in 0..20 {
        ok(set("file")).await;
        let emails = json!([format!("{round}@acme.test")]);
        let body = json!({ "data": { "attributes": { "emails": emails } } });
        let other = admin.patch(&publisher).json(&body);
        tokio::join!(ok(other), ok(set("never")));
        let seen = ok(admin.get(&publisher)).await["data"]["attributes"].clone();
        let both = (&seen["policy"], &seen["emails"]);
        assert_eq!(both, (&json!("never"), &emails), "round {round}");
    }
}

#[tokio::test]
async fn moving_and_copying_never_show_vendors_more() {
    let lab = Lab::start().await;
    for path in ["/private/a", "/private/b", "/private/d/c", "/open/x"] {
        lab.file(path, path.as_bytes()).await;
    }
    let policy = |path: &str| format!("/acquit/items/{}/policy", id(path));
    for (folder, said) in [("/private/", "never"), ("/open/", "file")] {
        ok(lab.act(Method::PATCH, &policy(folder), &json!({ "policy": said }))).await;
    }
    let said = async |path: &str| {
        let seen = ok(lab.get(&policy(path))).await["data"]["attributes"].clone();
        let text = |name: &str| seen[name].as_str().unwrap_or("-").to_owned();
        [text("policy"), text("stated")]
    };
    let act = async |from: &str, what: &str, to: &str| {
        let url = format!("/acquit/items/{}/{what}", id(from));
        ok(lab.act(Method::POST, &url, &json!({ "to": to }))).await["meta"].clone()
    };
    let kept = json!({ "kept_policy": "never" });
    assert_eq!(act("/private/a", "move", "/open/a").await, kept);
    assert_eq!(said("/open/a").await, ["never", "never"]);
    assert_eq!(act("/private/b", "copy", "/open/new/b").await, kept);
    assert_eq!(said("/open/new/b").await, ["never", "never"]);
    assert_eq!(act("/private/d/", "copy", "/open/d/").await, kept);
    assert_eq!(said("/open/d/").await, ["never", "never"]);
    assert_eq!(said("/open/d/c").await, ["never", "-"]);
    assert_eq!(act("/private/d/", "move", "/open/e/").await, kept);
    assert_eq!(said("/open/e/c").await, ["never", "-"]);
    // Where as much or less is allowed, what is said there holds.
    assert_eq!(act("/open/x", "move", "/private/x").await, json!({}));
    assert_eq!(said("/private/x").await, ["never", "-"]);
    assert_eq!(act("/private/x", "move", "/private/y").await, json!({}));
    assert_eq!(said("/private/y").await, ["never", "-"]);
    // What is said of the item itself goes along, and is nothing new.
    assert_eq!(act("/open/a", "move", "/open/z").await, json!({}));
    assert_eq!(said("/open/z").await, ["never", "never"]);
    let page = ok(lab.get("/acquit/events?limit=40")).await;
    let told = page["data"].as_array().unwrap().iter();
    let told = told.filter(|event| {
        let text = event["attributes"]["text"].as_str().unwrap();
        text.contains("no more of it than before: never")
    });
    assert_eq!(told.count(), 4);
}
