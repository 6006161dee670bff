//! Commands, and what they may try.

use std::time::{Duration, Instant};

use acquit::engine::runner::{Finished, SessionLost};

use super::container::{Container, engine};

fn stdout(finished: &Finished) -> String {
    String::from_utf8(finished.stdout.clone()).unwrap()
}

#[tokio::test]
async fn command_s_end_and_output_are_told() {
    let container = Container::start(&["--connections", "2"]);
    let finished = container.engine(&["print", "7"]).await;
    assert_eq!(finished.exited.code, Some(7));
    assert_eq!(finished.exited.signal, None);
    assert_eq!(finished.stdout, b"to stdout\n");
    assert_eq!(finished.stderr, b"to stderr\n");
    assert_eq!(finished.exited.oom_kills, 0);
    assert!(!finished.exited.timed_out && !finished.exited.flooded);
    assert!(finished.exited.duration_us > 0 && finished.exited.peak_memory_kb > 0);
}

#[tokio::test]
async fn command_gets_its_environment_and_nothing_of_the_runner_s() {
    let container = Container::start(&["--connections", "1"]);
    let mut request = engine(&["env"]);
    request.env = vec![("GIVEN".to_owned(), "yes".to_owned())];
    let finished = container.session().await.exec(request).await.unwrap();
    let text = stdout(&finished);
    for line in ["GIVEN=yes", "cwd=/tmp", "stdin=0"] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.contains("PATH=/"), "{text}");
    assert!(!text.contains("GENERATION"), "{text}");
    let peeked = container.engine(&["peek"]).await;
    assert_eq!(stdout(&peeked), "PermissionDenied\n");
}

#[tokio::test]
async fn missing_program_ends_as_in_a_shell() {
    let container = Container::start(&["--connections", "1"]);
    for (program, code) in [("/none", 127), ("none", 127), ("/scan", 126)] {
        let mut request = engine(&[]);
        request.command = vec![program.to_owned()];
        let finished = container.session().await.exec(request).await.unwrap();
        assert_eq!(finished.exited.code, Some(code), "{program}");
    }
    let mut request = engine(&[]);
    request.command = vec!["/engine\0".to_owned()];
    let refused = container.session().await.exec(request).await;
    assert!(
        matches!(refused, Err(SessionLost::Refused { .. })),
        "{refused:?}"
    );
    assert_eq!(container.engine(&["print", "0"]).await.exited.code, Some(0));
}

#[tokio::test]
async fn flood_is_cut_and_its_source_killed() {
    let container = Container::start(&["--connections", "1"]);
    let mut request = engine(&["flood"]);
    request.output_bytes = 100_000;
    let finished = container.session().await.exec(request).await.unwrap();
    assert!(finished.exited.flooded);
    assert_eq!(finished.exited.signal, Some(9));
    assert_eq!(finished.stdout.len(), 100_000);
    container.settles_at("2 0").await;
}

#[tokio::test]
async fn what_is_told_while_a_command_runs_is_what_it_printed() {
    let container = Container::start(&["--connections", "1"]);
    let heard = async |arguments: &[&str]| {
        let mut request = engine(arguments);
        request.output_bytes = 100_000;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut hear = |stdout: &[u8], stderr: &[u8]| {
            out.extend_from_slice(stdout);
            err.extend_from_slice(stderr);
        };
        let session = container.session().await;
        let finished = session.exec_heard(request, &mut hear).await.unwrap();
        // What comes with the end need not be told before.
        assert!(finished.stdout.starts_with(&out) && finished.stderr.starts_with(&err));
        (finished, out.len())
    };
    let (flood, told) = heard(&["flood"]).await;
    assert!(flood.exited.flooded && flood.stdout.len() == 100_000);
    assert!((1..=100_000).contains(&told), "{told}");
    let (print, _) = heard(&["print", "7"]).await;
    assert_eq!(print.exited.code, Some(7));
    assert_eq!(container.engine(&["print", "0"]).await.exited.code, Some(0));
}

#[tokio::test]
async fn deadline_kills_also_what_escaped_its_group() {
    let container = Container::start(&["--connections", "1"]);
    let mut request = engine(&["escape-and-hang"]);
    request.timeout = Duration::from_millis(300);
    let began = Instant::now();
    let finished = container.session().await.exec(request).await.unwrap();
    assert!(finished.exited.timed_out);
    assert_eq!(finished.exited.code, None);
    assert!(began.elapsed() < Duration::from_secs(2));
    container.settles_at("2 0").await;
}

#[tokio::test]
async fn fork_bomb_ends_at_the_deadline() {
    let container = Container::start(&["--connections", "1"]);
    let mut request = engine(&["bomb"]);
    request.timeout = Duration::from_millis(500);
    let finished = container.session().await.exec(request).await.unwrap();
    assert!(finished.exited.timed_out);
    container.settles_at("2 0").await;
}

#[tokio::test]
async fn what_is_left_behind_neither_lives_on_nor_holds_the_answer() {
    let container = Container::start(&["--connections", "1"]);
    let began = Instant::now();
    let finished = container.engine(&["escape-and-end"]).await;
    assert_eq!(finished.exited.code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(2));
    container.settles_at("2 0").await;
}

#[tokio::test]
async fn neighbor_of_a_killed_command_is_not_touched() {
    let container = Container::start(&["--connections", "2"]);
    let neighbor = container.engine(&["sleep", "1500"]);
    let mut request = engine(&["escape-and-hang"]);
    request.timeout = Duration::from_millis(300);
    let killed = async { container.session().await.exec(request).await.unwrap() };
    let (neighbor, killed) = tokio::join!(neighbor, killed);
    assert!(killed.exited.timed_out);
    assert_eq!(stdout(&neighbor), "slept\n");
    container.settles_at("2 0").await;
}

#[tokio::test]
async fn hang_up_kills_the_command() {
    let container = Container::start(&["--connections", "2"]);
    let running = container.session().await.exec(engine(&["escape-and-hang"]));
    let given_up = tokio::time::timeout(Duration::from_millis(300), running).await;
    assert!(given_up.is_err());
    container.settles_at("2 0").await;
}

#[tokio::test]
async fn kill_for_memory_is_counted_though_the_command_says_all_is_well() {
    let container = Container::start(&["--connections", "1"]);
    let finished = container.engine(&["child-eats", "200"]).await;
    assert_eq!(finished.exited.code, Some(0));
    assert_eq!(stdout(&finished), "all clean\n");
    assert_eq!(finished.exited.oom_kills, 1);
    let next = container.engine(&["print", "0"]).await;
    assert_eq!(next.exited.oom_kills, 0);
}

#[tokio::test]
async fn dead_orphans_are_collected() {
    let container = Container::start(&["--connections", "1"]);
    for _ in 0..10 {
        assert_eq!(container.engine(&["orphan"]).await.exited.code, Some(0));
    }
    container.settles_at("2 0").await;
}

#[tokio::test]
async fn death_by_any_signal_is_told() {
    let container = Container::start(&["--connections", "1"]);
    for signal in [11, 6, 34, 64] {
        let finished = container.engine(&["die-by", &signal.to_string()]).await;
        assert_eq!(finished.exited.signal, Some(signal));
        assert_eq!(finished.exited.code, None);
    }
}
