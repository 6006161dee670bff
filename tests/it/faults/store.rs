//! The store's process killed at any moment: what was acknowledged is there, and nothing half.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acquit::model::Sha256;
use acquit::store::{META, RAW_OUTPUTS, Store};

/// Tells a copy of this program where to write.
const PLACE: &str = "ACQUIT_TEST_STORE";
/// Starts the line on which the copy says what was acknowledged.
const SAYS: &str = "acknowledged: ";
const ROUNDS: u64 = 20;
const WRITERS: u64 = 4;
/// Rows a writer goes round in.
const ROWS: u64 = 50;

#[test]
fn killed_store_has_everything_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = HashMap::new();
    for round in 0..ROUNDS {
        let acknowledged = write_until_killed(dir.path());
        for (writer, number) in acknowledged {
            before.insert(writer, number);
        }
        check(dir.path(), &mut before, round);
    }
    assert!(
        before.values().sum::<u64>() > ROUNDS * WRITERS,
        "{before:?}"
    );
}

/// Lets a process write, kills it, and returns the last number acknowledged to each writer.
fn write_until_killed(dir: &Path) -> HashMap<u64, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "faults::store::copy_of_this_program",
        ])
        .env(PLACE, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.find(|line| line.as_ref().unwrap().contains(SAYS));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let moment = Duration::from_millis(super::crash::random() % 250);
    let killer = std::thread::spawn(move || {
        std::thread::sleep(moment);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    });
    let mut acknowledged = HashMap::new();
    for line in first.into_iter().chain(lines).map(Result::unwrap) {
        if let Some((_, said)) = line.split_once(SAYS) {
            let mut numbers = said.split(' ').map(str::parse);
            // The last line may be cut off.
            if let (Some(Ok(writer)), Some(Ok(number)), Some(Ok(_))) =
                (numbers.next(), numbers.next(), numbers.next())
            {
                acknowledged.insert(writer, number);
            }
        }
    }
    killer.join().unwrap();
    child.wait().unwrap();
    acknowledged
}

/// Compares what is there, row by row, with what the writers must have written. What is there
/// though nobody heard of it is what the next round goes on from.
fn check(dir: &Path, acknowledged: &mut HashMap<u64, u64>, round: u64) {
    let store = Store::open(dir, 1 << 20).unwrap();
    for (writer, acknowledged) in acknowledged {
        let number: u64 = store
            .get(&META, &format!("writer {writer}"))
            .unwrap()
            .unwrap();
        let under_way = *acknowledged..=*acknowledged + 1;
        assert!(
            under_way.contains(&number),
            "round {round}: {number} after {acknowledged}"
        );
        *acknowledged = number;
        for slot in 0..ROWS {
            let written = (0..=number).rev().take(ROWS as usize);
            let last = written.filter(|n| *n > 0 && n % ROWS == slot).max();
            let found = store.get(&RAW_OUTPUTS, &key(*writer, slot)).unwrap();
            assert_eq!(
                found,
                last.map(payload),
                "round {round}, writer {writer}, row {slot}"
            );
        }
    }
}

fn key(writer: u64, slot: u64) -> Sha256 {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&writer.to_be_bytes());
    bytes[8..16].copy_from_slice(&slot.to_be_bytes());
    Sha256::new(bytes)
}

fn payload(number: u64) -> Vec<u8> {
    number.to_be_bytes().repeat(1 + (number % 300) as usize)
}

/// Not a test by itself: the program that the other test starts and kills.
#[test]
fn copy_of_this_program() {
    let Some(dir) = std::env::var_os(PLACE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    // The test's own store lets go of the files a moment after it was dropped.
    let opened = std::iter::repeat_with(|| Store::open(Path::new(&dir), 1 << 20)).take(1 << 20);
    let mut opened = opened.filter_map(Result::ok);
    let store = opened.next().unwrap();
    runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(store.clone(), writer));
        }
        tokio::time::sleep_until(until.into()).await;
    });
}

async fn write(store: Store, writer: u64) {
    let name = format!("writer {writer}");
    let last: Option<u64> = store.get(&META, &name).unwrap();
    for number in last.unwrap_or(0) + 1.. {
        let name = name.clone();
        let change = store.write(move |change| {
            change.put(&RAW_OUTPUTS, &key(writer, number % ROWS), &payload(number))?;
            change.put(&META, &name, &number)
        });
        change.await.unwrap();
        println!("\n{SAYS}{writer} {number} 0");
    }
}
