//! What is read of output of which nobody knows what was scanned.

use super::{LINES, parser};

/// Reads recorded output and compares path, member, category and name of each result.
#[track_caller]
fn check_recorded(spec: &str, exit: Option<i32>, output: (&str, &str), expected: &[&str]) {
    let trace = parser(spec).parse_recorded(exit, output.0.as_bytes(), output.1.as_bytes());
    let seen = trace.results.iter().map(|recorded| {
        let path = recorded.path.as_deref().unwrap_or("-");
        let member = recorded.member.as_deref();
        let member = member.map_or(String::new(), |member| format!("!{member}"));
        let name = recorded.verdict.name().map(|name| name.as_str());
        let line = format!("{path}{member} {}", recorded.verdict.category());
        format!("{line} {}", name.unwrap_or_default())
            .trim()
            .to_owned()
    });
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

#[test]
fn recorded_output_gives_a_result_for_each_path_it_names() {
    check_recorded(
        LINES,
        Some(1),
        ("a b: OK\nx.zip|>in/y: Evil.X FOUND\nx.zip: OK\n", ""),
        &[
            "a b undetected",
            "x.zip malicious Evil",
            "x.zip!in/y malicious Evil",
        ],
    );
    check_recorded(LINES, Some(9), ("a: OK\n", ""), &["a failure"]);
    check_recorded(LINES, Some(0), ("", ""), &["- failure"]);
    check_recorded(LINES, Some(0), ("what?\n", ""), &["- failure"]);
    check_recorded(LINES, None, ("a: OK\n", ""), &["a undetected"]);
}

#[test]
fn slash_behind_an_archive_begins_a_member_of_recorded_output() {
    check_recorded(
        LINES,
        Some(1),
        ("/d/x.zip/y: Evil FOUND\n/d/y: OK\n", ""),
        &[
            "/d/x.zip malicious Evil",
            "/d/y undetected",
            "/d/x.zip!y malicious Evil",
        ],
    );
}

#[test]
fn silence_of_recorded_output_counts_only_with_its_exit_code() {
    let spec = r#"
exit = { complete = [0] }
proof = { rule = "silence" }
[[lines]]
pattern = '^(?<name>\w+) (?<path>.+)$'
means = "malicious"
"#;
    check_recorded(spec, Some(0), ("", ""), &["- undetected"]);
    check_recorded(spec, None, ("", ""), &["- failure"]);
    check_recorded(spec, Some(0), ("", "error: no rules\n"), &["- failure"]);
    check_recorded(spec, Some(1), ("", ""), &["- failure"]);
    check_recorded(spec, Some(0), ("Evil a\n", ""), &["a malicious Evil"]);
}
