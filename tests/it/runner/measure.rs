//! How small and how quick the runner is. Times are printed, not judged.

use std::time::{Duration, Instant};

use super::container::{Container, engine};
use crate::support;

const ROUNDS: usize = 300;
const MAX_BINARY: u64 = 2 << 20;
const MAX_RESIDENT_KB: u64 = 4 << 10;

#[tokio::test]
async fn runner_is_small_on_disk_and_in_memory() {
    let size = std::fs::metadata(support::runner()).unwrap().len();
    assert!(size <= MAX_BINARY, "{size} bytes");
    let container = Container::start(&["--connections", "8"]);
    let idle = resident_kb(&container).await;
    for _ in 0..20 {
        let mut request = engine(&["flood"]);
        request.output_bytes = 8 << 20;
        let finished = container.session().await.exec(request).await;
        assert!(finished.unwrap().exited.flooded);
    }
    let used = resident_kb(&container).await;
    println!("runner: {size} bytes; resident {idle} KiB idle, {used} KiB after 20 floods");
    assert!(used <= MAX_RESIDENT_KB, "{used} KiB");
}

#[tokio::test]
async fn message_costs_little_more_than_its_command() {
    let container = Container::start(&["--connections", "2"]);
    let (mut pings, mut whole, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let session = container.session().await;
        let began = Instant::now();
        session.ping().await.unwrap();
        pings.push(began.elapsed());
        let began = Instant::now();
        let finished = container.session().await.exec(engine(&["nothing"])).await;
        let took = began.elapsed();
        let command = Duration::from_micros(finished.unwrap().exited.duration_us);
        whole.push(took);
        beside.push(took.saturating_sub(command));
    }
    println!("p50: ping {:?}", median(pings));
    println!(
        "p50: empty command {:?}, of it beside the command {:?}",
        median(whole),
        median(beside)
    );
}

/// Returns the time in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn resident_kb(container: &Container) -> u64 {
    container.session().await.ping().await.unwrap();
    let pid = container.inspect("{{.State.Pid}}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = resident.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}
