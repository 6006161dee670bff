//! Sessions opened with a key: they are the key, for a while, and over when it is.

use acquit::model::{ApiKey, KeyRole, Seat, Timestamp};
use acquit::store::{KEYS, KeyRow};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::appliance::{Appliance, answer, client, file, refused};
use crate::people::{done, ledger};
use crate::roles::{key_of, key_with, of_publisher, of_vendor, parties};

/// Opens a session with a key; returns the session's key, and what was answered.
async fn opened(appliance: &Appliance, key: &str) -> (String, Value) {
    let request = client(key).post(appliance.api("/acquit/session"));
    let seen = done(request).await;
    let session = seen["data"]["attributes"]["apikey"].as_str().unwrap();
    (session.to_owned(), seen["data"].clone())
}

#[tokio::test]
async fn session_is_the_key_it_was_opened_with_until_it_is_signed_out() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let me = appliance.api("/users/me?relationships=groups");
    for (seat, publisher, vendor) in [
        (Seat::ADMIN, json!(null), json!(null)),
        (
            of_publisher(KeyRole::Publisher, "acme"),
            json!("acme"),
            json!(null),
        ),
        (
            of_publisher(KeyRole::Viewer, "acme"),
            json!("acme"),
            json!(null),
        ),
        (of_vendor("clam"), json!(null), json!("clam")),
    ] {
        let key = key_of(&appliance, seat).await;
        let id = key.parse::<ApiKey>().unwrap().id();
        let (session, shown) = opened(&appliance, &key).await;
        assert_ne!(session, key);
        let mut own = done(client(&key).get(&me)).await["data"].clone();
        let mut seen = done(client(&session).get(&me)).await["data"].clone();
        let attributes = &seen["attributes"];
        assert_eq!(attributes["publisher"], publisher);
        assert_eq!(attributes["vendor"], vendor);
        assert_eq!(attributes["holder"], "api_key");
        assert_eq!((&seen["id"], &shown["id"]), (&json!(id.0), &json!(id.0)));
        assert_eq!(
            attributes["expiration_date"],
            shown["attributes"]["expiration_date"]
        );
        assert_eq!(
            (&attributes["session"], &own["attributes"]["session"]),
            (&json!(true), &json!(false))
        );
        // But for when it was made, when it ends and what has been asked since they are the same.
        for of in [&mut own, &mut seen] {
            let attributes = of["attributes"].as_object_mut().unwrap();
            for apart in ["session", "user_since", "expiration_date", "quotas"] {
                attributes.remove(apart);
            }
        }
        assert_eq!(seen, own);
        let by_id = appliance.api(&format!("/users/{id}"));
        assert_eq!(done(client(&session).get(by_id)).await["data"]["id"], id.0);
        let again = client(&session).post(appliance.api("/acquit/session"));
        refused(again, 403, "ForbiddenError").await;
        done(client(&session).post(appliance.api("/acquit/signout"))).await;
        refused(client(&session).get(&me), 401, "UserNotActiveError").await;
        done(client(&key).get(&me)).await;
        let text = ledger(&appliance);
        assert!(text.contains(&format!("key {id} signs in from 127.0.0.1")));
        assert!(!text.contains(&key) && !text.contains(&session));
    }
    let (session, _) = opened(&appliance, &appliance.admin).await;
    let keys = appliance.api("/acquit/keys?limit=40");
    let own = done(client(&session).get(keys)).await;
    let id = appliance.admin.parse::<ApiKey>().unwrap().id();
    let own = own["data"].as_array().unwrap().iter();
    let own = own.filter(|row| row["attributes"]["session_of"] == id.0);
    assert_eq!(own.count(), 1, "a list tells sessions from keys");
}

#[tokio::test]
async fn session_is_over_when_its_key_is_revoked_or_has_another_seat_or_an_end() {
    let appliance = Appliance::start().await;
    let me = appliance.api("/users/me");
    let key = key_of(&appliance, Seat::of(KeyRole::Publisher)).await;
    let id = key.parse::<ApiKey>().unwrap().id();
    let (session, _) = opened(&appliance, &key).await;
    let session = client(&session);
    done(session.get(&me)).await;
    let good = appliance.store.get(&KEYS, &id).unwrap().unwrap();
    let alter = async |change: fn(&mut KeyRow)| {
        let mut row = good.clone();
        change(&mut row);
        let write = appliance.store.write(move |c| c.put(&KEYS, &row.id, &row));
        write.await.unwrap();
    };
    alter(|row| row.seat = Seat::of(KeyRole::Viewer)).await;
    refused(
        session.get(appliance.api("/files/upload_url")),
        403,
        "ForbiddenError",
    )
    .await;
    alter(|row| row.expires_at = Some(Timestamp::from_millis(1))).await;
    refused(session.get(&me), 401, "UserNotActiveError").await;
    alter(|_| ()).await;
    done(session.get(&me)).await;
    done(
        appliance
            .admin()
            .delete(appliance.api(&format!("/acquit/keys/{id}"))),
    )
    .await;
    refused(session.get(&me), 401, "UserNotActiveError").await;
    let again = client(&key).post(appliance.api("/acquit/session"));
    refused(again, 401, "UserNotActiveError").await;
    let soon = acquit::model::Timestamp::from_millis(u64::MAX / 1_000_000);
    let short = key_with(&appliance, Seat::ADMIN, |row| row.expires_at = Some(soon)).await;
    let (_, shown) = opened(&appliance, &short).await;
    let ends = shown["attributes"]["expiration_date"].as_u64().unwrap();
    assert!(ends < soon.seconds(), "a session ends by itself: {ends}");
}

#[tokio::test]
async fn session_lasts_no_longer_than_its_key() {
    let appliance = Appliance::start().await;
    let order = json!({"name": "short", "role": "viewer", "expires": "1h"});
    let made = done(
        appliance
            .admin()
            .post(appliance.api("/acquit/keys"))
            .json(&order),
    )
    .await;
    let attributes = &made["data"]["attributes"];
    let (_, shown) = opened(&appliance, attributes["apikey"].as_str().unwrap()).await;
    assert_eq!(
        shown["attributes"]["expiration_date"],
        attributes["expiration_date"]
    );
}

#[tokio::test]
async fn what_comes_in_a_session_is_the_key_s() {
    let appliance = Appliance::start().await;
    let (session, _) = opened(&appliance, &appliance.publisher).await;
    let sent = client(&session).post(appliance.api("/files"));
    done(sent.multipart(file("mine.exe", b"abc"))).await;
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let path = format!("/files/{sha256}");
    done(client(&session).post(appliance.api("/acquit/signout"))).await;
    appliance.json(&path).await;
    let (other, _) = opened(&appliance, &appliance.publisher).await;
    done(client(&other).get(appliance.api(&path))).await;
    let foreign = key_of(&appliance, Seat::of(KeyRole::Publisher)).await;
    let (foreign, _) = opened(&appliance, &foreign).await;
    refused(
        client(&foreign).get(appliance.api(&path)),
        404,
        "NotFoundError",
    )
    .await;
}

#[tokio::test]
async fn wrong_keys_are_heard_only_so_often_and_together_with_wrong_passwords() {
    let appliance = Appliance::start_with(|config| config.login.attempts_per_minute = 3).await;
    let url = appliance.api("/acquit/session");
    // Good ones do not count.
    for _ in 0..5 {
        opened(&appliance, &appliance.publisher).await;
    }
    let unknown = "5".repeat(64);
    refused(client(&unknown).post(&url), 401, "WrongCredentialsError").await;
    let nobody = Client::builder().no_proxy().build().unwrap();
    refused(nobody.post(&url), 401, "AuthenticationRequiredError").await;
    let order = json!({"user_id": "a", "password": "wrong horse battery"});
    let signin = nobody.post(appliance.api("/ui/signin")).json(&order);
    refused(signin, 401, "WrongCredentialsError").await;
    let (status, _) = answer(client(&unknown).post(&url)).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let good = client(&appliance.publisher).post(&url);
    refused(good, 429, "TooManyRequestsError").await;
    // Elsewhere a good key works on.
    appliance.json("/users/me").await;
    let text = ledger(&appliance);
    assert!(text.contains("sign-in by key 55555555 from 127.0.0.1 failed"));
    assert!(!text.contains(&unknown));
}
