//! Products that work on their own: started, polled, fetched.

use super::inside::{check, engine, open};

const POLL: &str = r#"
[run]
transport = "command"
command = ["python3", "/opt/product.py", "start", "{dir}"]
daemon = ["python3", "/opt/product.py", "service"]
[run.poll]
id = '^Started\. Your task is (?<id>\d+)$'
command = ["python3", "/opt/product.py", "status", "{id}"]
done = '^Task status is finished'
failed = '^Task status is failed, (.*)$'
interval_seconds = 0.05
fetch = ["python3", "/opt/product.py", "log", "{id}"]
[version]
command = ["python3", "/opt/product.py", "version"]
pattern = '^product (?<engine>.+)$'
[limits]
timeout_seconds = 60
[parse]
exit = { complete = [0] }
proof = { rule = "per-file" }
[[parse.lines]]
pattern = '^(?<path>\S+): OK$'
means = "undetected"
[[parse.lines]]
pattern = '^(?<path>\S+): (?<name>\S+) FOUND$'
means = "malicious"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn outcome_is_fetched_once_the_work_is_done() {
    let flow = open(&[engine("test-poll", POLL)]).await;
    check(&flow, "harmless", "undetected").await;
    check(&flow, "a virus", "malicious Test.Virus").await;
    check(
        &flow,
        "broken",
        "failure failed: Task status is failed, disk full",
    )
    .await;
    let refused = "failure cannot be started: the service is not running";
    check(&flow, "refused", refused).await;
    check(&flow, "harmless again", "undetected").await;
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_does_not_end_is_a_timeout() {
    let text = POLL.replace("timeout_seconds = 60", "timeout_seconds = 5");
    let flow = open(&[engine("test-poll-end", &text)]).await;
    check(&flow, "hang", "timeout").await;
    flow.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_that_does_not_name_its_work_is_a_failure() {
    let text = POLL.replace("Your task is (?<id>", "Your job is (?<id>");
    let flow = open(&[engine("test-poll-id", &text)]).await;
    let expected = "failure did not say which work it started: Started. Your task is 17";
    check(&flow, "harmless", expected).await;
    flow.close().await;
}
