//! Ends and beginnings: the daemon stops, a delivery is given up or made once more, a subscription
//! is changed while it is told, an address is taken away.

use std::time::Duration;

use acquit::flow::notify::{NoticeError, subscriptions};
use acquit::model::{
    About, Attempt, Channel, Delivery, DeliveryState, Event, EventKind, PublisherId, QuietHours,
    Subscription, Timestamp,
};
use acquit::store::{DELIVERIES, OUTBOX, PUBLISHERS, SUBSCRIPTIONS};

use super::lab::{Lab, Peer, plain_mail, wait, webhook};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test(flavor = "multi_thread")]
async fn daemon_that_ends_waits_for_answers_and_sends_nothing_twice() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let row = lab.subscribe(webhook(hooks.url("/late"))).await;
    lab.run();
    let event = lab.overdue("late").await;
    hooks.said(1).await;
    lab.stop().await;
    let key = (event.number, row.id);
    let delivery = lab.store.get(&DELIVERIES, &key).unwrap().unwrap();
    assert_eq!(delivery.state, DeliveryState::Delivered, "{delivery:?}");
    lab.run();
    let next = lab.overdue("another").await;
    lab.delivery((&next, &row), |d| d.state == DeliveryState::Delivered)
        .await;
    assert_eq!(hooks.lines().len(), 2);
    lab.stop().await;
}

/// Makes of a delivery one that is tried since days; `failed` is that it was given up.
async fn aged(lab: &Lab, (event, row): (&Event, &Subscription), failed: bool) {
    let now = acquit::system::now();
    let long_ago = Timestamp::from_millis(now.millis() - 4 * DAY.as_millis() as u64);
    let attempt = Attempt {
        at: long_ago,
        outcome: "HTTP 500".to_owned(),
    };
    let (state, due_at) = match failed {
        true => (DeliveryState::Failed, None),
        false => (DeliveryState::Pending, Some(now)),
    };
    let delivery = Delivery {
        event: event.number,
        subscription: row.id,
        created_at: long_ago,
        state,
        due_at,
        attempts: vec![attempt],
        replayed_at: None,
    };
    let key = (event.number, row.id);
    let write = lab.store.write(move |change| {
        change.remove(&acquit::store::UNROUTED, &key.0);
        change.put(&DELIVERIES, &key, &delivery)?;
        match due_at {
            Some(due) => change.put(&OUTBOX, &(due.millis(), key.0, key.1), &()),
            None => Ok(()),
        }
    });
    write.await.unwrap();
}

async fn replay(lab: &Lab, (event, row): (&Event, &Subscription)) {
    let key = (event.number, row.id);
    let again = subscriptions::replay(&lab.store, key, acquit::system::now()).await;
    assert_eq!(again.unwrap().state, DeliveryState::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_is_given_up_after_days_and_made_once_more_as_long_as_a_new_one() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let broken = lab.subscribe(webhook(hooks.url("/fail"))).await;
    let mended = lab.subscribe(webhook(hooks.url("/ok"))).await;
    let event = lab.overdue("late").await;
    aged(&lab, (&event, &broken), false).await;
    aged(&lab, (&event, &mended), true).await;
    lab.run();
    let tried = |count: usize| move |d: &Delivery| d.attempts.len() >= count;
    let given_up = lab.delivery((&event, &broken), tried(2)).await;
    assert_eq!(
        (given_up.state, given_up.due_at),
        (DeliveryState::Failed, None)
    );
    replay(&lab, (&event, &mended)).await;
    let made = lab.delivery((&event, &mended), tried(2)).await;
    assert_eq!(made.state, DeliveryState::Delivered);
    let id = format!("msg_{}_{}", event.number, mended.id);
    assert_eq!(hooks.said(2).await[1]["id"], id);
    replay(&lab, (&event, &broken)).await;
    let again = lab.delivery((&event, &broken), tried(3)).await;
    assert_eq!(again.state, DeliveryState::Pending, "{again:?}");
    let pause = again.due_at.unwrap().since(again.attempts[2].at);
    assert!(pause < Duration::from_secs(6), "{pause:?}");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_while_the_other_side_answers_gone_stays_changed() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let rotated = lab.subscribe(webhook(hooks.url("/late-gone"))).await;
    let removed = lab.subscribe(webhook(hooks.url("/late-gone"))).await;
    lab.run();
    let event = lab.overdue("late").await;
    hooks.said(2).await;
    let fresh = subscriptions::rotate(&lab.store, rotated.id).await;
    let (_, secret) = fresh.unwrap();
    subscriptions::remove(&lab.store, removed.id).await.unwrap();
    for row in [&rotated, &removed] {
        lab.delivery((&event, row), |d| d.state == DeliveryState::Failed)
            .await;
    }
    let row = lab.store.get(&SUBSCRIPTIONS, &rotated.id).unwrap().unwrap();
    assert!(row.disabled.is_some());
    let Channel::Webhook { secrets, .. } = row.channel else {
        panic!("it is a webhook");
    };
    assert_eq!(secrets[0], secret);
    assert_eq!(lab.store.get(&SUBSCRIPTIONS, &removed.id).unwrap(), None);
    lab.stop().await;
}

async fn set_emails(lab: &Lab, id: &PublisherId, emails: &[&str]) {
    let mut row = lab.store.get(&PUBLISHERS, id).unwrap().unwrap();
    row.emails = emails.iter().map(|&email| email.to_owned()).collect();
    let write = lab
        .store
        .write(move |change| change.put(&PUBLISHERS, &row.id, &row));
    write.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn address_that_was_taken_away_gets_nothing_and_can_be_removed() {
    let post = Peer::start("smtp.py", &["none"]);
    let mut lab = Lab::new(|config| config.mail = plain_mail(post.port));
    let acme = lab.publisher("acme", &["old@acme.test"]).await;
    let about = About {
        publisher: Some(acme.clone()),
        ..About::default()
    };
    lab.run();
    let event = lab.raise(EventKind::IncidentOverdue, about, "late").await;
    post.said(1).await;
    let rows = || lab.store.list(&SUBSCRIPTIONS, (&[], None), 9).unwrap().rows;
    let row = wait(|| rows().pop()).await.1;
    lab.delivery((&event, &row), |d| d.state == DeliveryState::Delivered)
        .await;
    let refused = subscriptions::remove(&lab.store, row.id).await;
    assert!(matches!(refused, Err(NoticeError::Unfit(_))), "{refused:?}");
    set_emails(&lab, &acme, &["new@acme.test"]).await;
    replay(&lab, (&event, &row)).await;
    let ended = lab
        .delivery((&event, &row), |d| d.state == DeliveryState::Failed)
        .await;
    assert_eq!(ended.attempts[1].outcome, "the address was removed");
    assert_eq!(post.lines().len(), 1);
    subscriptions::remove(&lab.store, row.id).await.unwrap();
    assert_eq!(lab.store.get(&SUBSCRIPTIONS, &row.id).unwrap(), None);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_is_told_who_got_a_file_and_what_vendors_may_have() {
    let post = Peer::start("smtp.py", &["none"]);
    let mut lab = Lab::new(|config| config.mail = plain_mail(post.port));
    let about = About {
        publisher: Some(lab.publisher("acme", &["a@acme.test"]).await),
        ..About::default()
    };
    lab.run();
    let kinds = [EventKind::FileDownloaded, EventKind::PolicyChanged];
    for (number, kind) in kinds.into_iter().enumerate() {
        lab.raise(kind, about.clone(), &kind.as_str()).await;
        post.said(number + 1).await;
    }
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_letters_to_one_address_is_one_letter_and_a_few_are_not() {
    let post = Peer::start("smtp.py", &["none"]);
    let mut lab = Lab::new(|config| config.mail = plain_mail(post.port));
    let to = "a@example.org".to_owned();
    let row = lab.subscribe(Channel::Mail { to }).await;
    let mut events = Vec::new();
    for number in 0..40 {
        events.push(lab.overdue(&format!("late {number}")).await);
    }
    lab.run();
    for event in &events {
        lab.delivery((event, &row), |d| d.state == DeliveryState::Delivered)
            .await;
    }
    let flood = post.lines();
    assert!(flood.len() < 10, "{} letters", flood.len());
    let texts: String = flood
        .iter()
        .map(|line| line["text"].as_str().unwrap())
        .collect();
    assert!((0..40).all(|number| texts.contains(&format!("late {number}"))));
    for number in 0..2 {
        lab.overdue(&format!("single {number}")).await;
    }
    let all = post.said(flood.len() + 2).await;
    assert_eq!(all.len(), flood.len() + 2);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_disturbed_in_quiet_hours_and_nothing_is_lost_by_it() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let mut row = lab.subscribe(webhook(hooks.url("/ok"))).await;
    let hour = (acquit::system::now().seconds() / 3600 % 24) as u8;
    let quiet = QuietHours {
        from: hour,
        until: (hour + 2) % 24,
        zone: Some("UTC".to_owned()),
    };
    // The hours begin when the delivery is in the outbox already.
    let event = lab.overdue("late").await;
    let now = acquit::system::now();
    let set = |quiet: Option<QuietHours>| subscriptions::Edit {
        quiet: Some(quiet),
        ..Default::default()
    };
    aged(&lab, (&event, &row), false).await;
    row = subscriptions::edit(&lab.store, row.id, set(Some(quiet)))
        .await
        .unwrap();
    lab.run();
    let waits = lab
        .delivery((&event, &row), |d| d.due_at.is_some_and(|due| due > now))
        .await;
    assert_eq!(
        (waits.state, waits.attempts.len()),
        (DeliveryState::Pending, 1)
    );
    let pause = waits.due_at.unwrap().since(now);
    assert!(pause > Duration::from_secs(3500) && pause <= Duration::from_secs(7200));
    assert!(hooks.lines().is_empty());
    subscriptions::edit(&lab.store, row.id, set(None))
        .await
        .unwrap();
    replay(&lab, (&event, &row)).await;
    hooks.said(1).await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_and_teams_get_what_they_show() {
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    let slack = hooks.url("/ok?slack");
    let teams = hooks.url("/ok?teams");
    lab.subscribe(Channel::Slack { url: slack }).await;
    lab.subscribe(Channel::Teams { url: teams }).await;
    lab.run();
    lab.overdue("late <!channel>").await;
    let said = hooks.said(2).await;
    let of = |path: &str| {
        let line = said.iter().find(|line| line["path"] == path);
        line.unwrap()["body"].clone()
    };
    let slack = of("/ok?slack");
    assert_eq!(slack["text"], "late &lt;!channel&gt;", "{slack}");
    assert_eq!(slack["blocks"][0]["text"]["type"], "mrkdwn", "{slack}");
    let teams = of("/ok?teams");
    let card = &teams["attachments"][0];
    assert_eq!(
        card["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    assert_eq!(card["content"]["type"], "AdaptiveCard", "{teams}");
    lab.stop().await;
}
