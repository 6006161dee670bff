//! How users change their own passwords.

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::json;

use super::appliance::{Appliance, client, refused};
use crate::people::{done, ledger};
use crate::roles::parties;

const OLD: &str = "correct horse battery";
const NEW: &str = "another long secret";

/// An appliance with the user `ann` of a publisher.
async fn with_ann(attempts: u32) -> Appliance {
    let appliance =
        Appliance::start_with(|config| config.login.attempts_per_minute = attempts).await;
    parties(&appliance).await;
    let ann = json!({"id": "ann", "name": "Ann", "publisher": "acme", "password": OLD});
    let users = appliance.api("/acquit/users");
    done(appliance.admin().post(users).json(&ann)).await;
    appliance
}

fn sign_in(appliance: &Appliance, password: &str) -> RequestBuilder {
    let nobody = Client::builder().no_proxy().build().unwrap();
    let order = json!({"user_id": "ann", "password": password});
    nobody.post(appliance.api("/ui/signin")).json(&order)
}

async fn enter(appliance: &Appliance, password: &str) -> Client {
    let seen = done(sign_in(appliance, password)).await;
    client(seen["data"]["attributes"]["apikey"].as_str().unwrap())
}

fn change(appliance: &Appliance, client: &Client, (old, new): (&str, &str)) -> RequestBuilder {
    let order = json!({"old_password": old, "password": new});
    let url = appliance.api("/users/me");
    client.patch(url).json(&order)
}

#[tokio::test]
async fn own_password_is_changed_with_the_old_one_and_ends_other_sessions() {
    let appliance = with_ann(10).await;
    let me = appliance.api("/users/me");
    let (own, other) = (enter(&appliance, OLD).await, enter(&appliance, OLD).await);
    let refusal = change(&appliance, &own, (NEW, NEW));
    refused(refusal, 403, "WrongCredentialsError").await;
    let short = change(&appliance, &own, (OLD, "short"));
    refused(short, 400, "InvalidArgumentError").await;
    done(other.get(&me)).await;
    let changed = done(change(&appliance, &own, (OLD, NEW))).await;
    assert_eq!(changed["data"]["id"], "ann");
    assert_eq!(changed["data"]["attributes"]["has_password"], true);
    done(own.get(&me)).await;
    refused(other.get(&me), 401, "UserNotActiveError").await;
    refused(sign_in(&appliance, OLD), 401, "WrongCredentialsError").await;
    enter(&appliance, NEW).await;
    let text = ledger(&appliance);
    assert!(text.contains("user ann fails to change their password from 127.0.0.1"));
    assert!(text.contains("user ann changes their password from 127.0.0.1"));
    assert!(!text.contains(OLD) && !text.contains(NEW));
}

#[tokio::test]
async fn nobody_changes_the_password_of_another_or_of_a_key() {
    let appliance = with_ann(10).await;
    let order = json!({"old_password": OLD, "password": NEW});
    for asker in [appliance.admin(), client(&appliance.publisher)] {
        let url = appliance.api("/users/ann");
        refused(asker.patch(url).json(&order), 404, "NotFoundError").await;
        refused(
            change(&appliance, &asker, (OLD, NEW)),
            403,
            "ForbiddenError",
        )
        .await;
    }
    let own = enter(&appliance, OLD).await;
    let more = json!({"old_password": OLD, "password": NEW, "role": "admin"});
    let more = own.patch(appliance.api("/users/me")).json(&more);
    refused(more, 400, "BadRequestError").await;
    done(own.patch(appliance.api("/users/ann")).json(&order)).await;
    enter(&appliance, NEW).await;
}

#[tokio::test]
async fn wrong_old_passwords_are_heard_only_so_often() {
    let appliance = with_ann(2).await;
    let own = enter(&appliance, OLD).await;
    for _ in 0..2 {
        let refusal = change(&appliance, &own, ("wrong horse battery", NEW));
        refused(refusal, 403, "WrongCredentialsError").await;
    }
    // Neither the right one is heard now, nor a sign-in.
    for request in [
        change(&appliance, &own, (OLD, NEW)),
        sign_in(&appliance, OLD),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(response.headers().contains_key("retry-after"));
    }
}
