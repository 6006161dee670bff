//! Publishers, vendors, users, their keys and how they come in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use acquit::model::{ApiKey, KeyRole, Seat, Usage};
use acquit::store::{
    BLOB_ITEMS, HOLDERS, HoldRow, ITEMS, KEYS, PUBLISHERS, STANDINGS, TAGGED, USAGE, USERS,
};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::http::appliance::{Appliance, answer, client, refused};
use crate::roles::{key_of, of_publisher, of_vendor, parties};

pub async fn done(request: reqwest::RequestBuilder) -> Value {
    let (status, body) = answer(request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

pub fn ledger(appliance: &Appliance) -> String {
    crate::people::ledger_below(&appliance.dir.path().join("ledger"))
}

fn ledger_below(dir: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        text += &std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
    }
    text
}

#[tokio::test]
async fn key_has_a_party_an_end_and_a_last_use() {
    let mut appliance = Appliance::start().await;
    parties(&appliance).await;
    let keys = appliance.api("/acquit/keys");
    let make = |order: Value| appliance.admin().post(&keys).json(&order);
    let order = json!({"name": "ci", "publisher": "acme", "expires": "90d"});
    let made = done(make(order)).await;
    let attributes = &made["data"]["attributes"];
    assert_eq!(attributes["publisher"], "acme");
    let lasts = attributes["expiration_date"].as_u64().unwrap()
        - attributes["creation_date"].as_u64().unwrap();
    assert!((90 * 86400 - 1..=90 * 86400).contains(&lasts), "{lasts}");
    assert!(attributes["last_use_date"].is_null());
    let key = attributes["apikey"].as_str().unwrap();
    done(client(key).get(appliance.api("/users/me"))).await;
    let listed = done(appliance.admin().get(&keys)).await;
    let listed = listed["data"].as_array().unwrap().iter();
    let mut listed = listed.filter(|row| row["id"] == made["data"]["id"]);
    assert!(listed.next().unwrap()["attributes"]["last_use_date"].is_u64());
    for order in [
        json!({"name": "x", "role": "vendor"}),
        json!({"name": "x", "role": "vendor", "vendor": "nobody"}),
        json!({"name": "x", "role": "vendor", "vendor": "clam", "publisher": "acme"}),
        json!({"name": "x", "role": "admin", "publisher": "acme"}),
        json!({"name": "x", "role": "publisher", "vendor": "clam"}),
        json!({"name": "x", "publisher": "nobody"}),
        json!({"name": "x", "expires": "2001-01-01T00:00:00Z"}),
        json!({"name": "x", "expires": "soon"}),
    ] {
        refused(make(order), 400, "InvalidArgumentError").await;
    }
    let typo = json!({"name": "x", "expire": "90d"});
    refused(make(typo), 400, "BadRequestError").await;
    let id = key.parse::<ApiKey>().unwrap().id();
    let text = ledger(&appliance);
    assert!(text.contains(&format!("key {id} is made: publisher of publisher acme")));
    assert!(!text.contains(key), "no ledger holds a key");
    appliance.stop().await;
    let row = appliance.store.get(&KEYS, &id).unwrap().unwrap();
    assert!(
        row.last_used_at.is_some(),
        "uses are written when the daemon ends"
    );
}

#[tokio::test]
async fn publisher_is_made_changed_and_removed_only_when_its_collection_is_empty() {
    let appliance = Appliance::start().await;
    let admin = appliance.admin();
    let all = appliance.api("/acquit/publishers");
    let order = json!({"name": "Acme Software, Inc.", "emails": ["a@acme.example"]});
    let made = done(admin.post(&all).json(&order)).await;
    let id = made["data"]["id"].as_str().unwrap();
    assert_eq!(id, "acme-software-inc");
    assert_eq!(made["data"]["attributes"]["policy"], "metadata-only");
    refused(admin.post(&all).json(&order), 409, "AlreadyExistsError").await;
    let url = format!("{all}/{id}");
    let order = json!({"policy": "file", "quota_bytes": 7, "country": "Utopia"});
    let shown = done(admin.patch(&url).json(&order)).await;
    let attributes = &shown["data"]["attributes"];
    assert_eq!(
        (
            &attributes["policy"],
            &attributes["quota_bytes"],
            &attributes["country"]
        ),
        (&json!("file"), &json!(7), &json!("Utopia"))
    );
    let shown = done(admin.patch(&url).json(&json!({"quota_bytes": null}))).await;
    assert!(shown["data"]["attributes"]["quota_bytes"].is_null());
    assert_eq!(shown["data"]["attributes"]["policy"], "file");
    let events = appliance.api("/acquit/events?filter=kind:policy-changed");
    let events = done(admin.get(events)).await;
    assert_eq!(events["data"].as_array().unwrap().len(), 1);
    for bad in [
        json!({"policy": "everything"}),
        json!({"emails": ["a@b\r\nBcc: c@d"]}),
        json!({"name": "a\nb"}),
        json!({"id": "other"}),
    ] {
        let (status, body) = answer(admin.patch(&url).json(&bad)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
    let key = key_of(&appliance, of_publisher(KeyRole::Publisher, id)).await;
    let item = json!({"created_at": 1, "modified_at": 1, "creator": "x"});
    let item: acquit::model::Item = serde_json::from_value(item).unwrap();
    let at = (id.parse().unwrap(), "/folder/".parse().unwrap());
    let (row, kept) = (at.clone(), item.clone());
    let write = appliance.store.write(move |c| c.put(&ITEMS, &row, &kept));
    write.await.unwrap();
    refused(admin.delete(&url), 409, "ConflictError").await;
    assert!(appliance.store.get(&PUBLISHERS, &at.0).unwrap().is_some());
    let gone = at.clone();
    let write = appliance.store.write(move |c| {
        c.remove(&ITEMS, &gone);
        Ok(())
    });
    write.await.unwrap();
    done(admin.delete(&url)).await;
    refused(admin.get(&url), 404, "NotFoundError").await;
    let asked = client(&key).get(appliance.api("/users/me"));
    refused(asked, 401, "UserNotActiveError").await;
    // What the old one was granted must not come to a new one.
    let again = json!({"name": "Acme", "id": id});
    refused(admin.post(&all).json(&again), 409, "AlreadyExistsError").await;
}

#[tokio::test]
async fn engine_of_a_vendor_is_known_and_nobody_elses() {
    let appliance = Appliance::start().await;
    let admin = appliance.admin();
    let all = appliance.api("/acquit/vendors");
    let make = |order: Value| admin.post(&all).json(&order);
    let unknown = make(json!({"name": "Clam", "engines": ["clam"]}));
    let message = refused(unknown, 400, "InvalidArgumentError").await;
    assert!(message.contains("clamav, yara"), "{message}");
    refused(make(json!({"name": "Clam"})), 400, "InvalidArgumentError").await;
    let made = done(make(json!({"name": "Clam", "engines": ["clamav"]}))).await;
    assert_eq!(made["data"]["id"], "clam");
    let shared = make(json!({"name": "Other", "engines": ["yara", "clamav"]}));
    let message = refused(shared, 409, "ConflictError").await;
    assert!(message.contains("belongs to vendor clam"), "{message}");
    done(make(json!({"name": "Other", "engines": ["yara"]}))).await;
    let edit = admin.patch(format!("{all}/other"));
    let edit = edit.json(&json!({"engines": ["clamav"]}));
    refused(edit, 409, "ConflictError").await;
    let key = key_of(&appliance, of_vendor("other")).await;
    done(admin.delete(format!("{all}/other"))).await;
    let asked = client(&key).get(appliance.api("/users/me"));
    refused(asked, 401, "UserNotActiveError").await;
}

#[tokio::test]
async fn user_object_shows_groups_privileges_and_quotas() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let usage = Usage {
        bytes: 5,
        files: 2,
        uploaded_bytes: 9,
        uploaded_files: 3,
    };
    let id = "acme".parse().unwrap();
    let write = appliance.store.write(move |c| c.put(&USAGE, &id, &usage));
    write.await.unwrap();
    let key = key_of(&appliance, of_publisher(KeyRole::Publisher, "acme")).await;
    let asker = client(&key);
    let path = "/users/me?relationships=groups,api_quota_group,intelligence_quota_group,\
                monitor_quota_group";
    let user = done(asker.get(appliance.api(path))).await;
    let privilege = &user["data"]["attributes"]["privileges"]["monitor"];
    assert_eq!(
        privilege,
        &json!({"granted": true, "inherited_from": "acme", "inherited_via": "group"})
    );
    let relations = &user["data"]["relationships"];
    assert_eq!(relations["groups"]["data"][0]["id"], "acme");
    assert_eq!(relations["monitor_quota_group"]["data"]["type"], "group");
    let quotas = user["data"]["attributes"]["quotas"].clone();
    assert_eq!(quotas["monitor_storage_bytes"]["used"], 5);
    assert_eq!(quotas["monitor_uploaded_files"]["used"], 3);
    let path = format!("/users/{key}/overall_quotas");
    let quotas = done(asker.get(appliance.api(&path))).await;
    let files = &quotas["data"]["monitor_storage_files"];
    assert_eq!(
        (
            &files["used"],
            &files["user"]["used"],
            &files["group"]["inherited_from"]
        ),
        (&json!(2), &json!(2), &json!("acme"))
    );
    let vendor = client(&key_of(&appliance, of_vendor("clam")).await);
    let user = done(vendor.get(appliance.api("/users/me"))).await;
    let privileges = &user["data"]["attributes"]["privileges"];
    assert_eq!(privileges["monitor-partner"]["inherited_from"], "clam");
    assert_eq!(privileges["monitor"]["granted"], false);
    let group = done(vendor.get(appliance.api("/groups/clam"))).await;
    let preferences = &group["data"]["attributes"]["preferences"];
    assert_eq!(preferences["monitor_partner"]["engines"], json!(["clamav"]));
}

/// Puts a blob into a publisher's collection that an engine detects now.
pub async fn detected(appliance: &Appliance, publisher: &str, engine: &str) {
    let sha256 = "ab".repeat(32).parse().unwrap();
    let publisher: acquit::model::PublisherId = publisher.parse().unwrap();
    let path: acquit::model::ItemPath = "/a.exe".parse().unwrap();
    let item: acquit::model::Item = serde_json::from_value(json!({
        "created_at": 1, "modified_at": 1, "creator": "x",
        "file": {"sha256": sha256, "size_bytes": 1},
    }))
    .unwrap();
    let standing: acquit::model::Standing = serde_json::from_value(json!({
        "analysis": null, "at": 1, "answered": 1,
        "detections": {engine: {"name": "Win.Test", "since": 1, "versions": crate::http::appliance::versions()}},
    }))
    .unwrap();
    let hold = HoldRow {
        items: 1,
        since: standing.at,
    };
    let engine = engine.to_owned();
    let write = appliance.store.write(move |change| {
        change.put(&ITEMS, &(publisher.clone(), path.clone()), &item)?;
        change.put(&BLOB_ITEMS, &(sha256, publisher.clone(), path), &())?;
        change.put(&HOLDERS, &(sha256, publisher.clone()), &hold)?;
        change.put(&STANDINGS, &sha256, &standing)?;
        change.put(&TAGGED, &(publisher, engine, sha256), &())
    });
    write.await.unwrap();
}

#[tokio::test]
async fn vendor_sees_the_group_of_a_publisher_only_while_it_detects_its_file() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let vendor = client(&key_of(&appliance, of_vendor("clam")).await);
    let foreign = client(&key_of(&appliance, of_vendor("yara")).await);
    let other = key_of(&appliance, of_publisher(KeyRole::Publisher, "other")).await;
    let other = client(&other);
    let acme = appliance.api("/groups/acme");
    let nowhere = refused(
        vendor.get(appliance.api("/groups/nope")),
        404,
        "NotFoundError",
    )
    .await;
    let hidden = refused(vendor.get(&acme), 404, "NotFoundError").await;
    assert_eq!(hidden, nowhere.replace("nope", "acme"));
    detected(&appliance, "acme", "clamav").await;
    let group = done(vendor.get(&acme)).await;
    let attributes = group["data"]["attributes"].as_object().unwrap();
    assert_eq!(attributes["organization"], "ACME");
    for secret in ["contact_emails", "quotas", "privileges", "preferences"] {
        assert!(!attributes.contains_key(secret), "{secret}");
    }
    refused(foreign.get(&acme), 404, "NotFoundError").await;
    refused(other.get(&acme), 404, "NotFoundError").await;
    let never = appliance.api("/acquit/publishers/acme");
    let never = appliance
        .admin()
        .patch(never)
        .json(&json!({"policy": "never"}));
    done(never).await;
    refused(vendor.get(&acme), 404, "NotFoundError").await;
    let own = client(&key_of(&appliance, of_publisher(KeyRole::Viewer, "acme")).await);
    let group = done(own.get(&acme)).await;
    assert!(group["data"]["attributes"]["quotas"]["monitor_storage_bytes"].is_object());
}

#[tokio::test]
async fn user_signs_in_has_a_session_and_signs_out() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let admin = appliance.admin();
    let users = appliance.api("/acquit/users");
    let order = json!({
        "name": "Ann", "role": "publisher", "publisher": "acme", "email": "ann@acme.example",
        "password": "correct horse battery",
    });
    let made = done(admin.post(&users).json(&order)).await;
    assert_eq!(made["data"]["id"], "ann");
    assert!(!made.to_string().contains("argon2"), "{made}");
    let kept = appliance
        .store
        .get(&USERS, &"ann".parse().unwrap())
        .unwrap();
    assert!(kept.unwrap().password.unwrap().starts_with("$argon2id$"));
    let nobody = Client::builder().no_proxy().build().unwrap();
    let signin = appliance.api("/ui/signin");
    let sign = |user: &str, password: &str| {
        let data = json!({"user_id": user, "password": password, "remember_me": true});
        nobody.post(&signin).json(&json!({ "data": data }))
    };
    let mut messages = Vec::new();
    for (user, password) in [
        ("ann", "wrong horse battery"),
        ("nobody", "correct horse battery"),
        ("", ""),
    ] {
        messages.push(refused(sign(user, password), 401, "WrongCredentialsError").await);
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let seen = done(sign("ANN@acme.example", "correct horse battery")).await;
    let (id, attributes) = (&seen["data"]["id"], &seen["data"]["attributes"]);
    assert_eq!(
        (id, &attributes["role"]),
        (&json!("ann"), &json!("publisher"))
    );
    let session = client(attributes["apikey"].as_str().unwrap());
    let me = done(session.get(appliance.api("/users/ann"))).await;
    assert!(me["data"]["attributes"]["last_login"].is_u64());
    assert_eq!(
        me["data"]["attributes"]["privileges"]["monitor"]["inherited_from"],
        "acme"
    );
    refused(session.get(&users), 403, "ForbiddenError").await;
    let own = appliance.post("/acquit/signout");
    refused(own, 403, "ForbiddenError").await;
    done(session.post(appliance.api("/acquit/signout"))).await;
    refused(
        session.get(appliance.api("/users/me")),
        401,
        "UserNotActiveError",
    )
    .await;
    let text = ledger(&appliance);
    for line in [
        "sign-in as \\\"nobody\\\"",
        "user ann signs in by password",
        "user ann is made",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("horse"), "no ledger holds a password");
}

#[tokio::test]
async fn session_ends_with_the_password_and_with_the_user_and_has_the_seat_of_now() {
    let appliance = Appliance::start().await;
    let admin = appliance.admin();
    let users = appliance.api("/acquit/users");
    let order = json!({"name": "Bob", "role": "admin", "password": "correct horse battery"});
    done(admin.post(&users).json(&order)).await;
    let nobody = Client::builder().no_proxy().build().unwrap();
    let signin = appliance.api("/ui/signin");
    let enter = async |password: &str| {
        let order = json!({"user_id": "bob", "password": password});
        let seen = done(nobody.post(&signin).json(&order)).await;
        client(seen["data"]["attributes"]["apikey"].as_str().unwrap())
    };
    let bob = format!("{users}/bob");
    let session = enter("correct horse battery").await;
    done(session.get(&users)).await;
    done(admin.patch(&bob).json(&json!({"role": "viewer"}))).await;
    refused(session.get(&users), 403, "ForbiddenError").await;
    done(
        admin
            .patch(&bob)
            .json(&json!({"password": "another long secret"})),
    )
    .await;
    let me = appliance.api("/users/me");
    refused(session.get(&me), 401, "UserNotActiveError").await;
    let session = enter("another long secret").await;
    done(session.get(&me)).await;
    done(admin.patch(&bob).json(&json!({"disabled": true}))).await;
    refused(session.get(&me), 401, "UserNotActiveError").await;
    let order = json!({"user_id": "bob", "password": "another long secret"});
    let refusal = nobody.post(&signin).json(&order);
    refused(refusal, 401, "WrongCredentialsError").await;
    let short = admin.patch(&bob).json(&json!({"password": "short"}));
    refused(short, 400, "InvalidArgumentError").await;
}

#[tokio::test]
async fn publishers_are_listed_to_those_who_see_them() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    for (seat, expected) in [
        (Seat::ADMIN, vec!["acme", "other"]),
        (Seat::of(KeyRole::Viewer), vec!["acme", "other"]),
        (of_publisher(KeyRole::Viewer, "other"), vec!["other"]),
        (of_publisher(KeyRole::Publisher, "acme"), vec!["acme"]),
        (Seat::of(KeyRole::Publisher), vec![]),
    ] {
        let key = client(&key_of(&appliance, seat).await);
        let listed = done(key.get(appliance.api("/acquit/publishers"))).await;
        let ids = listed["data"].as_array().unwrap().iter();
        let ids: Vec<_> = ids.map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected);
    }
    let key = key_of(&appliance, of_vendor("clam")).await;
    let vendor = client(&key).get(appliance.api("/acquit/publishers"));
    refused(vendor, 403, "ForbiddenError").await;
}

#[tokio::test]
async fn wrong_passwords_are_heard_only_so_often() {
    let appliance = Appliance::start_with(|config| config.login.attempts_per_minute = 2).await;
    let nobody = Client::builder().no_proxy().build().unwrap();
    let signin = appliance.api("/ui/signin");
    let sign = |user: &str| {
        let order = json!({"user_id": user, "password": "wrong horse battery"});
        nobody.post(&signin).json(&order)
    };
    refused(sign("a"), 401, "WrongCredentialsError").await;
    refused(sign("b"), 401, "WrongCredentialsError").await;
    let response = sign("c").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn behind_a_proxy_of_ours_one_person_s_wrong_passwords_lock_nobody_else_out() {
    for (trusted, locked) in [(vec!["127.0.0.1".parse().unwrap()], false), (vec![], true)] {
        let appliance = Appliance::start_with(|config| {
            config.login.attempts_per_minute = 2;
            config.http.trusted_proxies = trusted;
        })
        .await;
        let proxy = Client::builder().no_proxy().build().unwrap();
        let signin = appliance.api("/ui/signin");
        let sign = |user: &str, from: &str| {
            let order = json!({"user_id": user, "password": "wrong horse battery"});
            let request = proxy.post(&signin).json(&order);
            request.header("x-forwarded-for", format!("203.0.113.9, {from}"))
        };
        for user in ["a", "b"] {
            refused(sign(user, "192.0.2.1"), 401, "WrongCredentialsError").await;
        }
        let same = sign("c", "192.0.2.1").send().await.unwrap();
        assert_eq!(same.status(), StatusCode::TOO_MANY_REQUESTS);
        let other = sign("d", "192.0.2.2").send().await.unwrap();
        let refused = other.status() == StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(refused, locked);
    }
}

#[tokio::test]
async fn event_of_a_publisher_is_shown_to_no_other() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let edit = appliance.api("/acquit/publishers/acme");
    let edit = appliance
        .admin()
        .patch(edit)
        .json(&json!({"policy": "never"}));
    done(edit).await;
    for (seat, count) in [
        (of_publisher(KeyRole::Publisher, "acme"), 1),
        (of_publisher(KeyRole::Viewer, "acme"), 1),
        (Seat::of(KeyRole::Viewer), 1),
        (of_publisher(KeyRole::Publisher, "other"), 0),
        (of_publisher(KeyRole::Viewer, "other"), 0),
        (Seat::of(KeyRole::Publisher), 0),
    ] {
        let name = format!("{seat:?}");
        let asker = client(&key_of(&appliance, seat).await);
        let seen = done(asker.get(appliance.api("/acquit/events"))).await;
        assert_eq!(
            seen["data"].as_array().unwrap().len(),
            count,
            "{name}: {seen}"
        );
    }
}
