//! What the configuration sets, as administrators see it.

use serde_json::{Value, json};

use super::appliance::{Appliance, client, refused};
use crate::people::done;

#[tokio::test]
async fn settings_are_told_with_their_defaults_and_without_secrets() {
    let appliance = Appliance::start_with(|config| {
        config.collections.trash_days = 7;
        config.updates.proxy = "http://user:hunter2@proxy.example:3128".to_owned();
    })
    .await;
    let path = "/acquit/settings";
    let publisher = client(&appliance.publisher).get(appliance.api(path));
    refused(publisher, 403, "ForbiddenError").await;
    let all = done(appliance.admin().get(appliance.api(path))).await;
    assert!(!all.to_string().contains("hunter2"), "{all}");
    let all = all["data"].as_array().unwrap();
    let get = |key: &str| -> &Value {
        let found = all.iter().find(|row| row["id"] == key);
        &found.unwrap()["attributes"]
    };
    let days = get("collections.trash_days");
    let seen = ["value", "standard", "changed"].map(|name| days[name].clone());
    assert_eq!(seen, [json!(7), json!(30), json!(true)]);
    let proxy = get("updates.proxy");
    let seen = ["value", "changed", "hidden"].map(|name| proxy[name].clone());
    assert_eq!(seen, [json!("set"), json!(true), json!(true)]);
    assert_eq!(get("http.upload_mb")["changed"], false);
}
