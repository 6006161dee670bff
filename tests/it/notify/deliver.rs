//! Webhooks and commands: signed, tried again, given up, switched off.

use acquit::flow::notify::subscriptions;
use acquit::model::{Channel, DeliveryState, EventKind};
use acquit::store::{DELIVERIES, SUBSCRIPTIONS};

use super::lab::{Lab, Peer, wait, webhook};

fn secret(channel: &Channel) -> String {
    let Channel::Webhook { secrets, .. } = channel else {
        panic!("it is a webhook");
    };
    secrets.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_is_signed_as_an_independent_library_expects_also_while_secrets_change() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let row = lab.subscribe(webhook(hooks.url("/ok"))).await;
    std::fs::write(lab.path("secret"), secret(&row.channel)).unwrap();
    lab.run();
    let event = lab.overdue("größer <than> \"life\"").await;
    let said = hooks.said(1).await;
    assert_eq!(said[0]["signed"], true, "{said:?}");
    assert_eq!(said[0]["body"]["type"], "incident-overdue");
    assert_eq!(said[0]["body"]["data"]["text"], event.text);
    assert_eq!(said[0]["id"], format!("msg_{}_{}", event.number, row.id));
    let done = lab.delivery((&event, &row), |d| d.state == DeliveryState::Delivered);
    assert_eq!(done.await.attempts[0].outcome, "HTTP 200");
    // The receiver knows the old secret only.
    let rotated = acquit::flow::notify::subscriptions::rotate(&lab.store, row.id).await;
    assert_ne!(rotated.unwrap().1, secret(&row.channel));
    lab.overdue("again").await;
    let said = hooks.said(2).await;
    assert_eq!(said[1]["signed"], true);
    assert_eq!(said[1]["signatures"].as_array().unwrap().len(), 2);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_that_fails_is_tried_again_with_the_same_id_and_not_before_it_wants() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let once = lab.subscribe(webhook(hooks.url("/once"))).await;
    let busy = lab.subscribe(webhook(hooks.url("/busy"))).await;
    lab.run();
    let event = lab.overdue("late").await;
    let first = lab
        .delivery((&event, &busy), |d| !d.attempts.is_empty())
        .await;
    assert_eq!(first.attempts[0].outcome, "HTTP 429");
    let pause = first.due_at.unwrap().since(first.attempts[0].at);
    assert!(pause.as_secs() >= 7, "{pause:?}");
    for row in [&once, &busy] {
        let done = lab.delivery((&event, row), |d| d.state == DeliveryState::Delivered);
        assert_eq!(done.await.attempts.len(), 2);
    }
    let said = hooks.said(4).await;
    let ids = |path: &str| -> Vec<_> {
        let ours = said.iter().filter(|line| line["path"] == path);
        ours.map(|line| line["id"].clone()).collect()
    };
    for path in ["/once", "/busy"] {
        let ids = ids(path);
        assert_eq!((ids.len(), &ids[0]), (2, &ids[1]), "{path}");
    }
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_that_is_gone_is_switched_off_and_its_owner_told() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let gone = lab.subscribe(webhook(hooks.url("/gone"))).await;
    let other = lab.subscribe(webhook(hooks.url("/ok"))).await;
    lab.run();
    let event = lab.overdue("late").await;
    lab.delivery((&event, &gone), |d| d.state == DeliveryState::Failed)
        .await;
    let row = lab.store.get(&SUBSCRIPTIONS, &gone.id).unwrap().unwrap();
    assert!(row.disabled.is_some());
    let told = |said: &[serde_json::Value]| {
        let kinds = said.iter().filter(|line| line["path"] == "/ok");
        kinds
            .map(|line| line["body"]["type"].clone())
            .any(|kind| kind == EventKind::SubscriptionDisabled.as_str())
    };
    wait(|| told(&hooks.lines()).then_some(())).await;
    let event = lab.overdue("again").await;
    lab.delivery((&event, &other), |d| d.state == DeliveryState::Delivered)
        .await;
    assert_eq!(
        lab.store
            .get(&DELIVERIES, &(event.number, gone.id))
            .unwrap(),
        None
    );
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_endpoint_holds_nobody_back_and_no_redirect_is_followed() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let slow = lab.subscribe(webhook(hooks.url("/slow"))).await;
    let redirect = lab.subscribe(webhook(hooks.url("/redirect"))).await;
    let huge = lab.subscribe(webhook(hooks.url("/huge"))).await;
    let mut events = Vec::new();
    for number in 0..20 {
        events.push(lab.overdue(&number.to_string()).await);
    }
    lab.run();
    for event in &events {
        lab.delivery((event, &huge), |d| d.state == DeliveryState::Delivered)
            .await;
    }
    let tried = lab
        .delivery((&events[0], &slow), |d| !d.attempts.is_empty())
        .await;
    assert_eq!(tried.attempts[0].outcome, "it did not answer in time");
    let refused = lab
        .delivery((&events[0], &redirect), |d| !d.attempts.is_empty())
        .await;
    assert!(refused.attempts[0].outcome.contains("302"), "{refused:?}");
    assert!(
        hooks
            .lines()
            .iter()
            .all(|line| line["got"] != true && line["path"] != "/ok")
    );
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_address_is_refused_also_if_it_was_allowed_once() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let row = lab.subscribe(webhook(hooks.url("/ok"))).await;
    let mut config = (*lab.config).clone();
    config.notifications.allowed_hosts.clear();
    lab.config = config.into();
    lab.run();
    let event = lab.overdue("late").await;
    let tried = lab
        .delivery((&event, &row), |d| !d.attempts.is_empty())
        .await;
    assert_eq!(tried.state, DeliveryState::Pending);
    assert!(hooks.lines().is_empty());
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn command_gets_the_event_on_standard_input_and_its_exit_code_counts() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let command = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let mut lab = Lab::new(|config| {
        let commands = &mut config.notifications.commands;
        commands.insert("keep".to_owned(), command(&["tee", out.to_str().unwrap()]));
        commands.insert("fail".to_owned(), command(&["false"]));
        commands.insert("hang".to_owned(), command(&["sleep", "60"]));
    });
    let mut rows = Vec::new();
    for name in ["keep", "fail", "hang"] {
        let name = name.to_owned();
        rows.push(lab.subscribe(Channel::Command { name }).await);
    }
    lab.run();
    let event = lab.overdue("$(touch /tmp/no) `late`").await;
    lab.delivery((&event, &rows[0]), |d| d.state == DeliveryState::Delivered)
        .await;
    let body: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(body["data"]["text"], event.text);
    let failed = lab
        .delivery((&event, &rows[1]), |d| !d.attempts.is_empty())
        .await;
    assert!(
        failed.attempts[0].outcome.contains("exit status: 1"),
        "{failed:?}"
    );
    let killed = lab
        .delivery((&event, &rows[2]), |d| !d.attempts.is_empty())
        .await;
    assert!(killed.attempts[0].outcome.contains("killed"), "{killed:?}");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_left_is_in_the_ledger_and_no_secret_is() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let row = lab.subscribe(webhook(hooks.url("/ok?token=hunter2"))).await;
    lab.run();
    let event = lab.overdue("late").await;
    lab.delivery((&event, &row), |d| d.state == DeliveryState::Delivered)
        .await;
    lab.stop().await;
    lab.run();
    let ledger = lab.ledger();
    let count = |needle: &str| ledger.matches(needle).count();
    assert_eq!(count(r#""kind":"event""#), 1, "{ledger}");
    assert_eq!(count(r#""kind":"egress""#), 1, "{ledger}");
    assert_eq!(count("hunter2") + count("whsec_"), 0, "{ledger}");
    let bytes = format!("\"bytes\":{}", hooks.lines()[0]["size"]);
    assert_eq!(count(&bytes), 1, "{bytes}: {ledger}");
    // A test of the subscription leaves too.
    let now = acquit::system::now();
    let said = subscriptions::try_out(&lab.store, &lab.config, &row, now).await;
    assert_eq!(said.unwrap().as_str(), "accepted");
    let bytes = format!("\"bytes\":{}", hooks.said(2).await[1]["size"]);
    assert!(lab.ledger().contains(&bytes), "{bytes}: {}", lab.ledger());
    lab.stop().await;
}
