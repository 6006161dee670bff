//! The process that routes and sends, killed at any moment: nobody is left untold, and nobody is
//! told twice but where there was no answer when it died, or none long enough to write it down.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use acquit::config::Config;
use acquit::flow::events::{Draft, raise};
use acquit::flow::notify::Notifier;
use acquit::metrics::Metrics;
use acquit::model::{About, DeliveryState, EventKind};
use acquit::store::{DELIVERIES, EVENTS, OUTBOX, Store, UNROUTED};
use tokio_util::sync::CancellationToken;

use super::lab::{Lab, Peer, allow_local, wait, webhook};

/// Tells a copy of this program where its store is.
const PLACE: &str = "ACQUIT_TEST_NOTIFY";
/// How often it is killed, if not as often as usual.
const KILLS: &str = "ACQUIT_TEST_KILLS";
/// Starts the line on which the copy says what was acknowledged.
const SAYS: &str = "raised: ";
/// Within which time an answer must have been written down, in seconds.
const GRACE: f64 = 0.5;
/// Deliveries that can be under way at once: one for each subscription.
const SUBSCRIPTIONS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn killed_notifier_loses_nothing_and_repeats_only_what_it_had_no_answer_to() {
    let kills = std::env::var_os(KILLS).and_then(|kills| kills.to_str()?.parse().ok());
    let kills: usize = kills.unwrap_or(25);
    let mut lab = Lab::new(|_| ());
    let hooks = Peer::hooks(&lab.path("secret"));
    for number in 0..SUBSCRIPTIONS {
        lab.subscribe(webhook(hooks.url(&format!("/soon?{number}"))))
            .await;
    }
    let (config, dir) = (Arc::clone(&lab.config), lab.dir);
    drop(lab.store);
    let (mut raised, mut ends) = (BTreeSet::new(), Vec::new());
    for _ in 0..kills {
        let (known, killed_at) = live_until_killed(dir.path());
        raised.extend(known);
        // What the dead process sent may still be on its way.
        tokio::time::sleep(Duration::from_millis(100)).await;
        ends.push((hooks.lines().len(), killed_at));
    }
    lab = Lab::new(|_| ());
    lab.store = Store::open(dir.path(), 1 << 20).unwrap();
    (lab.config, lab.dir) = (config, dir);
    lab.run();
    let store = lab.store.clone();
    let is_done = || {
        let unrouted = store.keys_after(&UNROUTED, None, 1).unwrap();
        let outbox = store.keys_after(&OUTBOX, None, 1).unwrap();
        (unrouted.is_empty() && outbox.is_empty()).then_some(())
    };
    wait(is_done).await;
    lab.stop().await;
    check(&lab, &raised, (&hooks, &ends));
}

/// How many lines the peer had said by the end of a life, and when that was.
type End = (usize, f64);

fn check(lab: &Lab, raised: &BTreeSet<u64>, (hooks, ends): (&Peer, &[End])) {
    let events = lab
        .store
        .keys_after(&EVENTS, None, usize::MAX >> 1)
        .unwrap();
    let known: BTreeSet<_> = events.into_iter().collect();
    assert!(raised.is_subset(&known), "an acknowledged event is gone");
    assert!(raised.len() > ends.len(), "only {} events", raised.len());
    let page = lab
        .store
        .list(&DELIVERIES, (&[], None), usize::MAX >> 1)
        .unwrap();
    assert_eq!(page.rows.len(), known.len() * SUBSCRIPTIONS);
    let delivered = |d: &acquit::model::Delivery| d.state == DeliveryState::Delivered;
    assert!(page.rows.iter().all(|(_, delivery)| delivered(delivery)));
    let (mut seen, mut answered) = (BTreeMap::new(), BTreeMap::new());
    for (at, line) in hooks.lines().iter().enumerate() {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let life = ends.partition_point(|(end, _)| *end <= at);
        if line["answered"].is_string() {
            let id = (text("answered"), text("path"), life);
            answered.insert(id, line["at"].as_f64().unwrap());
            continue;
        }
        let lives: &mut Vec<usize> = seen.entry((text("id"), text("path"))).or_default();
        lives.push(life);
    }
    assert_eq!(seen.len(), page.rows.len(), "lost");
    let (mut unanswered, mut unwritten) = (0, 0);
    for ((id, path), lives) in &seen {
        for (life, next) in lives.iter().zip(&lives[1..]) {
            assert_ne!(life, next, "{id} came twice in one life");
            match answered.get(&(id.clone(), path.clone(), *life)) {
                Some(at) if *at < ends[*life].1 => {
                    let before = ends[*life].1 - at;
                    assert!(
                        before < GRACE,
                        "{id} was answered {before} s before the end"
                    );
                    unwritten += 1;
                }
                Some(_) | None => unanswered += 1,
            }
        }
    }
    assert!(unanswered + unwritten <= ends.len() * SUBSCRIPTIONS);
    eprintln!(
        "{} kills, {} deliveries, 0 lost, {unanswered} repeated that had no answer, {unwritten} \
         whose answer came within the last moment",
        ends.len(),
        seen.len(),
    );
    for number in known {
        let line = format!("\"event\":{number}");
        assert_eq!(
            lab.ledger().matches(&line).count(),
            1,
            "{number} in the ledger"
        );
    }
}

/// Lets a process raise, route and send; kills it; returns which events were acknowledged, and
/// when it was killed.
fn live_until_killed(dir: &Path) -> (Vec<u64>, f64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "notify::kill::copy_of_this_program",
        ])
        .env(PLACE, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.find(|line| line.as_ref().unwrap().contains(SAYS));
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).unwrap();
    let moment = Duration::from_millis(u64::from_ne_bytes(bits) % 500);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let killer = std::thread::spawn(move || {
        std::thread::sleep(moment);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        now.as_secs_f64()
    });
    let mut raised = Vec::new();
    for line in first.into_iter().chain(lines).map_while(Result::ok) {
        if let Some((_, number)) = line.split_once(SAYS) {
            // The last line may be cut.
            raised.extend(number.strip_suffix('.').and_then(|n| n.parse::<u64>().ok()));
        }
    }
    let killed_at = killer.join().unwrap();
    child.wait().unwrap();
    (raised, killed_at)
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_of_this_program() {
    let Some(dir) = std::env::var_os(PLACE) else {
        return;
    };
    let store = Store::open(Path::new(&dir), 1 << 20).unwrap();
    let mut config = Config::default();
    allow_local(&mut config);
    let metrics = Metrics::new().unwrap();
    let notifier = Notifier::open(Arc::new(config), store.clone(), metrics).unwrap();
    let forever = CancellationToken::new();
    let work = async {
        loop {
            let now = acquit::system::now();
            let text = "late".to_owned();
            let draft = Draft::about(now, EventKind::IncidentOverdue, About::default(), text);
            let event = store
                .write(move |change| raise(change, draft))
                .await
                .unwrap();
            println!("{SAYS}{}.", event.number);
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    };
    let ((), ()) = tokio::join!(notifier.run(&forever), work);
}
