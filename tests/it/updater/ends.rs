//! Updates that come to a bad end.

use std::time::Duration;

use acquit::engine::updater::UpdateError;
use tokio::time::{sleep, timeout};

use super::bench::Bench;
use crate::machine::docker;

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[tokio::test]
async fn failure_is_told_in_the_last_words_of_the_command() {
    let script =
        "import sys; print('begun'); sys.exit('first line\\nthe mirror is down') if 0 else None
print('first line', file=sys.stderr); print('the mirror \\x1b[1mis down', file=sys.stderr)
open('/candidate/half', 'w').write('x'); sys.exit(3)";
    let bench = Bench::new(script, "").await;
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.to_string(), "the mirror is down");
    assert_eq!(error.exit_code(), Some(3));
    let output = text(error.output());
    assert!(output.starts_with("exit: 3\n--- stdout\nbegun"), "{output}");
    bench.check_nothing_left();
    bench.check_active();
    // The active set, its digests, and the one every machine has.
    assert_eq!(std::fs::read_dir(bench.sets()).unwrap().count(), 3);
}

#[tokio::test]
async fn command_that_is_not_there_is_named() {
    let bench = Bench::new("pass", "").await;
    bench
        .machine
        .write_manifest("[update]\ncommand = ['/no/such']\n");
    let error = bench.run().await.unwrap_err();
    assert!(error.to_string().contains("cannot run /no/such"), "{error}");
    assert_eq!(error.exit_code(), Some(127));
}

#[tokio::test]
async fn command_that_never_ends_is_ended() {
    let script = "
import os, time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('waiting', flush=True)
os.fork()
while True: time.sleep(1)";
    let bench = Bench::new(script, "timeout_seconds = 1").await;
    let error = bench.run().await.unwrap_err();
    let UpdateError::TimedOut { seconds: 1, output } = &error else {
        panic!("{error}");
    };
    assert!(text(output).contains("waiting"), "{}", text(output));
    bench.check_nothing_left();
}

#[tokio::test]
async fn command_that_fills_the_disk_is_ended() {
    let fill = |dir: &str| {
        format!(
            "
import os, time
print('filling', flush=True)
os.makedirs('{dir}/closed', 0o700, exist_ok=True)
for n in range(1000):
    open(f'{dir}/closed/{{n}}', 'wb').write(b'x' * (1 << 20))
    time.sleep(0.01)"
        )
    };
    let bench = Bench::new(&fill("/candidate"), "disk_mb = 32").await;
    let error = bench.run().await.unwrap_err();
    let UpdateError::DiskFull {
        limit_mb: 32,
        output,
    } = &error
    else {
        panic!("{error}");
    };
    // It was ended, by more than a look at what it left.
    let output = text(output);
    assert!(output.starts_with("signal: 9\n"), "{output}");
    assert!(output.contains("filling"), "{output}");
    bench.check_nothing_left();
    assert!(bench.course.new_bytes() >= 32 << 20);

    bench.command(&fill("/cache"), "disk_mb = 32");
    let error = bench.run().await.unwrap_err();
    assert!(matches!(error, UpdateError::DiskFull { .. }), "{error}");
    assert!(bench.cache().join("closed").exists());
    // It is only a cache: the next update has room again.
    bench.command("pass", "disk_mb = 32");
    bench.run().await.unwrap();
    assert!(!bench.cache().join("closed").exists());
    bench.check_active();
}

#[tokio::test]
async fn one_file_that_is_too_large_is_the_disk_too() {
    let script = "
f = open('/candidate/big', 'wb')
while True: f.write(b'x' * (1 << 20)); f.flush()";
    let bench = Bench::new(script, "disk_mb = 8").await;
    let error = bench.run().await.unwrap_err();
    assert!(matches!(error, UpdateError::DiskFull { .. }), "{error}");
    bench.check_nothing_left();
}

#[tokio::test]
async fn update_does_not_begin_without_the_reserve() {
    let mut bench = Bench::new("pass", "").await;
    bench.machine.config.storage.reserve_mb = 1 << 40;
    let error = bench.run().await.unwrap_err();
    assert!(matches!(error, UpdateError::Reserve { .. }), "{error}");
    bench.check_nothing_left();
}

#[tokio::test]
async fn memory_and_output_have_limits() {
    let bench = Bench::new("x = b'x' * (1 << 30)", "memory_mb = 64").await;
    let error = bench.run().await.unwrap_err();
    assert!(error.to_string().contains("ran out of memory"), "{error}");
    bench.command("while True: print('x' * 1000)", "");
    let error = bench.run().await.unwrap_err();
    assert!(
        error.to_string().contains("printed more than 4096 KB"),
        "{error}"
    );
    bench.check_nothing_left();
}

/// Waits until the command runs, which shows by its file.
async fn begun(bench: &Bench) {
    let begun = async {
        while !bench.cache().join("begun").exists() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let begun = timeout(Duration::from_secs(30), begun).await;
    begun.expect("the command begins");
}

const LONG: &str = "
import os, time
os.makedirs('/candidate/closed', 0o700)
open('/candidate/closed/half', 'w').write('x')
open('/cache/begun', 'w')
time.sleep(600)";

#[tokio::test]
async fn container_that_is_killed_is_a_failure() {
    let bench = Bench::new(LONG, "").await;
    let once = bench.updater();
    let kill = async {
        begun(&bench).await;
        let containers = bench.machine.containers();
        assert_eq!(containers.len(), 1);
        docker(&["kill", &containers[0]]);
    };
    let (ended, ()) = tokio::join!(once.run_once(), kill);
    let error = ended.unwrap_err();
    assert!(error.to_string().contains("exit code 137"), "{error}");
    bench.check_nothing_left();
    bench.check_active();
}

#[tokio::test]
async fn update_that_is_given_up_leaves_nothing() {
    let bench = Bench::new(LONG, "").await;
    let once = bench.updater();
    tokio::select! {
        ended = once.run_once() => panic!("{ended:?}"),
        () = begun(&bench) => {}
    }
    assert_eq!(bench.machine.containers().len(), 1);
    once.updater.settled().await;
    bench.check_nothing_left();
    bench.check_active();
    // And the next one has its turn.
    bench.command("pass", "");
    bench.run().await.unwrap();
}
