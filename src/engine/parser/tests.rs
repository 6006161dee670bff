//! What a parser must do, in a tiny notation.

mod recorded;

use super::{Output, Parser, ParserSpec};

const LINES: &str = r#"
exit = { complete = [0, 1], failures = [{ code = 7, reason = "the license has expired" }] }
proof = { rule = "per-file" }
names = { strip_suffixes = [".X"], suspicious = '^PUA', unsupported = '^Limit' }
paths = { member_separators = ["|>", "/"] }
[[lines]]
pattern = '^(?<path>.+): (?<name>.+) FOUND$'
means = "malicious"
[[lines]]
pattern = '^(?<path>.+): OK$'
means = "undetected"
[[lines]]
pattern = '^(?<path>.+): ERR (?<reason>.+)$'
means = "failure"
[[lines]]
pattern = '^(?<path>.+): encrypted$'
means = "type-unsupported"
label = "encrypted"
[[lines]]
stream = "stderr"
pattern = '^note .*$'
means = "ignored"
"#;

fn parser(spec: &str) -> Parser {
    let spec: ParserSpec = toml::from_str(spec).unwrap();
    Parser::new(&spec).unwrap()
}

/// Reads output about the files /s/a and /s/b and compares the two verdicts.
#[track_caller]
fn check_with(spec: &str, exit: i32, output: (&str, &str), expected: [&str; 2]) {
    let output = Output {
        exit_code: Some(exit),
        stdout: output.0.as_bytes(),
        stderr: output.1.as_bytes(),
    };
    let sentinel = parser(spec).needs_sentinel().then_some("/s/z");
    let parsed = parser(spec).parse(output, &["/s/a", "/s/b"], sentinel);
    let seen: Vec<String> = parsed
        .iter()
        .map(|parsed| {
            let verdict = &parsed.verdict;
            let name = verdict.name().map(|name| name.as_str());
            let words = name.or_else(|| verdict.reason()).unwrap_or_default();
            format!("{} {words}", verdict.category()).trim().to_owned()
        })
        .collect();
    assert_eq!(seen, expected);
}

#[track_caller]
fn check(stdout: &str, expected: [&str; 2]) {
    check_with(LINES, 0, (stdout, ""), expected);
}

const SILENT: &str = "failure the engine says nothing about this file";

#[test]
fn each_file_gets_its_own_line() {
    check(
        "/s/a: OK\n/s/b: Evil.X FOUND\n",
        ["undetected", "malicious Evil"],
    );
}

#[test]
fn file_without_a_line_is_a_failure() {
    check("/s/a: OK\n", ["undetected", SILENT]);
    check("", [SILENT, SILENT]);
}

#[test]
fn detection_wins_over_everything() {
    let unknown = "failure no rule understands \"what?\"";
    check(
        "/s/a: OK\n/s/a: Evil FOUND\nwhat?\n",
        ["malicious Evil", unknown],
    );
    check(
        "/s/a: ERR x\n/s/a: Evil FOUND\n/s/b: OK\n",
        ["malicious Evil", "undetected"],
    );
    let code = "failure exit code 9, its last words were \"/s/b: OK\"";
    check_with(
        LINES,
        9,
        ("/s/a: Evil FOUND\n/s/b: OK\n", ""),
        ["malicious Evil", code],
    );
}

#[test]
fn two_clean_lines_for_one_file_are_a_contradiction() {
    let twice = "failure the engine answered more than once about this file";
    check("/s/a: OK\n/s/a: OK\n/s/b: OK\n", [twice, "undetected"]);
}

#[test]
fn member_speaks_for_its_container_only_if_it_is_bad() {
    check(
        "/s/a|>x: Evil FOUND\n/s/b|>x: OK\n",
        ["malicious Evil", SILENT],
    );
    check(
        "/s/a/in/side: Evil FOUND\n/s/b: OK\n",
        ["malicious Evil", "undetected"],
    );
}

#[test]
fn names_are_weighed() {
    check(
        "/s/a: PUA.Y.X FOUND\n/s/b: Limit.Size FOUND\n",
        ["suspicious PUA.Y", "type-unsupported Limit.Size"],
    );
}

#[test]
fn unsupported_is_not_clean_even_with_a_clean_line() {
    check(
        "/s/a: OK\n/s/a: encrypted\n/s/b: OK\n",
        ["type-unsupported encrypted", "undetected"],
    );
}

#[test]
fn foreign_path_takes_the_trust_from_the_batch() {
    let stranger = "failure the engine names a path that is not in the batch: \"/s/c: Evil FOUND\"";
    check(
        "/s/a: OK\n/s/c: Evil FOUND\n/s/b: OK\n",
        [stranger, stranger],
    );
}

#[test]
fn cut_line_may_detect_but_not_acquit() {
    check(
        "/s/b: OK\n/s/a: Evil FOUND",
        ["malicious Evil", "undetected"],
    );
    let cut = "failure no rule understands \"/s/a: OK\"";
    check("/s/b: OK\n/s/a: OK", [cut, "undetected"]);
}

#[test]
fn known_exit_code_says_what_it_means() {
    let expired = "failure exit code 7: the license has expired, it said nothing";
    check_with(LINES, 7, ("", ""), [expired, expired]);
}

#[test]
fn unknown_line_on_stderr_counts_as_well() {
    let unknown = "failure no rule understands \"disk full\"";
    check_with(
        LINES,
        0,
        ("/s/a: OK\n/s/b: OK\n", "note x\ndisk full\n"),
        [unknown, unknown],
    );
}

#[test]
fn unknown_line_fails_every_file_it_names() {
    let unknown = "failure no rule understands \"mixed /s/a /s/b\"";
    check("/s/a: OK\n/s/b: OK\nmixed /s/a /s/b\n", [unknown, unknown]);
}

#[test]
fn unknown_line_may_be_declared_harmless_but_not_for_a_file_it_names() {
    let spec = format!("unknown = \"ignored\"\n{LINES}");
    let named = "failure no rule understands \"cannot open '/s/a'.\"";
    let output = ("hello\ncannot open '/s/a'.\n/s/a: OK\n/s/b: OK\n", "");
    check_with(&spec, 0, output, [named, "undetected"]);
}

#[test]
fn silence_needs_a_sentinel_that_is_answered_last() {
    let spec = r#"
        exit = { complete = [0] }
        proof = { rule = "silence" }
        [[lines]]
        pattern = '^(?<name>\w+) (?<path>.+)$'
        means = "malicious"
    "#;
    check_with(
        spec,
        0,
        ("Evil /s/a\nEicar /s/z\n", ""),
        ["malicious Evil", "undetected"],
    );
    let missing = "failure the engine did not detect the sentinel, an EICAR file";
    check_with(spec, 0, ("Evil /s/a\n", ""), ["malicious Evil", missing]);
    let order = "failure the sentinel was not answered last";
    check_with(
        spec,
        0,
        ("Eicar /s/z\nEvil /s/a\n", ""),
        ["malicious Evil", order],
    );
}

#[test]
fn file_whose_line_became_the_end_of_another_is_not_clean() {
    let spec = r#"
        exit = { complete = [0] }
        proof = { rule = "silence" }
        [[lines]]
        pattern = '^Found:(?<path>\S+) (?<name>.+)$'
        means = "malicious"
    "#;
    let merged = "Found:/s/a Evil Found:/s/b Worse\nFound:/s/z Eicar\n";
    let lost = "failure a line about something else names this file, too: \
        \"Found:/s/a Evil Found:/s/b Worse\"";
    let first = "malicious Evil Found:/s/b Worse";
    check_with(spec, 0, (merged, ""), [first, lost]);
}

#[test]
fn summary_must_agree() {
    let spec = r#"
        exit = { complete = [0] }
        [proof]
        rule = "summary"
        scanned = '^Scanned: (?<n>\d+)$'
        detected = '^Infected: (?<n>\d+)$'
        errors = '^Errors: (?<n>\d+)$'
        [[lines]]
        pattern = '^(?<path>/\S+) is (?<name>.+)$'
        means = "malicious"
    "#;
    let good = "/s/a is Evil\nScanned: 2\nInfected: 1\nErrors: 0\n";
    check_with(spec, 0, (good, ""), ["malicious Evil", "undetected"]);
    let less = "/s/a is Evil\nScanned: 1\nInfected: 1\nErrors: 0\n";
    let few = "failure the engine counts 1 files scanned where there are 2";
    check_with(spec, 0, (less, ""), ["malicious Evil", few]);
    let hidden = "Scanned: 2\nInfected: 1\nErrors: 0\n";
    let lost = "failure the engine counts 1 files detected where there are 0";
    check_with(spec, 0, (hidden, ""), [lost, lost]);
    let quiet = "failure the engine does not say how many errors there are";
    check_with(spec, 0, ("Scanned: 2\nInfected: 0\n", ""), [quiet, quiet]);
}

#[test]
fn json_document_is_read_behind_its_banner() {
    let spec = r#"
        exit = { complete = [0] }
        proof = { rule = "per-file" }
        unknown = "ignored"
        [[records]]
        format = "json"
        list = "report.*"
        path = "file"
        name = "threats.*.name"
        verdict = "state"
        verdicts = { "0" = "undetected", "1" = "malicious" }
    "#;
    let document = r#"{"report": [{"file": "/s/a", "state": 1, "threats": [{"name": "Evil"}]},
        {"file": "/s/b", "state": 0}]}"#;
    let whole = format!("Engine 1\n{document}\n");
    check_with(spec, 0, (&whole, ""), ["malicious Evil", "undetected"]);
    let other = whole.replace("\"state\": 0", "\"state\": 2");
    let word = "failure the engine's word \"2\" is not known";
    check_with(spec, 0, (&other, ""), ["malicious Evil", word]);
    let none = "failure there is no whole JSON document in the output";
    let named = "failure no rule understands \"{\\\"report\\\": [{\\\"file\\\": \\\"/s/a\\\", \\\"state\\\"\"";
    check_with(spec, 0, (&whole[..45], ""), [named, none]);
}

#[test]
fn rows_are_read_by_column() {
    let spec = r#"
        exit = { complete = [0] }
        proof = { rule = "per-file" }
        [[records]]
        format = "csv"
        delimiter = ";"
        header = true
        path = "File"
        name = "Virus"
        verdict = "State"
        verdicts = { clean = "undetected", bad = "malicious" }
    "#;
    let rows = "File;State;Virus\n/s/a;bad;\"Evil;1\"\n/s/b;clean;\n";
    check_with(spec, 0, (rows, ""), ["malicious Evil;1", "undetected"]);
}

#[test]
fn evidence_is_what_was_said_of_the_file() {
    let output = Output {
        exit_code: Some(0),
        stdout: b"/s/a: OK\n/s/b: Ev\x1b[31mil FOUND\n",
        stderr: b"",
    };
    let parsed = parser(LINES).parse(output, &["/s/a", "/s/b"], None);
    assert_eq!(parsed[0].evidence, "/s/a: OK\n");
    assert_eq!(parsed[1].evidence, "/s/b: Evil FOUND\n");
}

#[test]
fn evidence_is_bounded() {
    let long = format!("/s/a: {} FOUND\n", "x".repeat(60_000)).repeat(3);
    let output = Output {
        exit_code: Some(0),
        stdout: long.as_bytes(),
        stderr: b"",
    };
    let parsed = parser(LINES).parse(output, &["/s/a"], None);
    assert!(parsed[0].evidence.len() <= super::EVIDENCE_BYTES);
    assert_eq!(parsed[0].verdict.name().unwrap().as_str().len(), 256);
}

#[track_caller]
fn check_refused(spec: &str, key: &str) {
    let spec: ParserSpec = toml::from_str(spec).unwrap();
    assert_eq!(Parser::new(&spec).unwrap_err().key, key);
}

#[test]
fn spec_that_proves_nothing_is_refused() {
    let head = "exit = { complete = [0] }\nproof = { rule = 'per-file' }\n";
    check_refused(head, "parse.proof.rule");
    let summary = head.replace("per-file", "summary");
    check_refused(&summary, "parse.proof");
    let never = head.replace("[0]", "[]");
    check_refused(&never, "parse.exit.complete");
}

#[test]
fn pattern_that_matches_a_part_of_a_line_is_refused() {
    let head = "exit = { complete = [0] }\nproof = { rule = 'per-file' }\n";
    let line =
        |pattern: &str| format!("{head}[[lines]]\nmeans = 'malicious'\npattern = '{pattern}'");
    check_refused(&line("FOUND"), "parse.lines.0.pattern");
    check_refused(&line("^(?<path>.+$"), "parse.lines.0.pattern");
    check_refused(&line("^(?<file>.+)$"), "parse.lines.0");
    check_refused(&line("^(?<path>.+)$"), "parse.lines.0");
}

const EXITS: &str = r#"
exit = { complete = [2], verdicts = [{ code = 0, means = "undetected" }, { code = 1, means = "malicious", label = "something" }] }
proof = { rule = "per-file", sentinel = true }
[[lines]]
pattern = '^(?<path>.+): (?<name>.+) FOUND$'
means = "malicious"
"#;

#[test]
fn exit_code_acquits_files_of_which_nothing_was_said_beside_a_detected_sentinel() {
    let seen = ["undetected", "malicious Evil"];
    let output = "/s/b: Evil FOUND\n/s/z: Eicar FOUND\n";
    check_with(EXITS, 0, (output, ""), seen);
    let blind = "failure the engine did not detect the sentinel, an EICAR file";
    check_with(EXITS, 0, ("", ""), [blind, blind]);
}

#[test]
fn exit_code_that_speaks_of_a_file_in_a_batch_needs_a_line() {
    let spec = EXITS.replace(", sentinel = true", ", end = '^end$'");
    let unnamed = "failure exit code 1 speaks of a file and no line names it";
    check_with(&spec, 1, ("end\n", ""), [unnamed, unnamed]);
    check_with(
        &spec,
        1,
        ("/s/a: Evil FOUND\nend\n", ""),
        ["malicious Evil", SILENT],
    );
}

#[test]
fn counter_of_detections_gives_way_to_any_name() {
    let spec = format!(
        "{LINES}\n[[lines]]\npattern = '^(?<path>.+): threats 1$'\nmeans = 'malicious'\n\
         label = 'unnamed detection'\n"
    );
    let output = "/s/a: threats 1\n/s/a: PUA.Tool FOUND\n/s/b: threats 1\n";
    let seen = ["suspicious PUA.Tool", "malicious unnamed detection"];
    check_with(&spec, 1, (output, ""), seen);
}

#[test]
fn weak_detection_gives_way_to_what_says_more() {
    let spec = format!(
        "{LINES}\n[[lines]]\npattern = '^(?<path>.+): blocked$'\nmeans = 'suspicious'\n\
         label = 'blocked'\nweak = true\n"
    );
    let output = "/s/a: blocked\n/s/a: Evil FOUND\n/s/b: blocked\n/s/b: encrypted\n";
    let seen = ["malicious Evil", "type-unsupported encrypted"];
    check_with(&spec, 1, (output, ""), seen);
    let alone = ["suspicious blocked", "suspicious blocked"];
    check_with(
        &spec,
        1,
        ("/s/a: blocked\n/s/b: blocked\n/s/b: ERR bad\n", ""),
        alone,
    );
}

#[test]
fn exit_code_alone_makes_no_manifest() {
    let spec = EXITS.replace(", sentinel = true", "");
    let spec: ParserSpec = toml::from_str(&spec).unwrap();
    let error = Parser::new(&spec).unwrap_err();
    assert_eq!(error.key, "parse.exit.verdicts");
}

#[test]
fn lines_without_a_path_are_about_the_subject_before_them() {
    let spec = r#"
exit = { complete = [0] }
proof = { rule = "per-file" }
[[lines]]
pattern = '^file (?<path>.+)$'
means = "subject"
[[lines]]
pattern = '^\s+found (?<name>.+)$'
means = "malicious"
[[lines]]
pattern = '^\s+ok$'
means = "undetected"
"#;
    let output = "file /s/a\n  ok\nfile /s/b\n  found Evil\n";
    check_with(spec, 0, (output, ""), ["undetected", "malicious Evil"]);
    check_with(spec, 0, ("file /s/other\n  ok\n", ""), [SILENT, SILENT]);
}

#[test]
fn xml_is_read_like_json() {
    let spec = r#"
exit = { complete = [0] }
proof = { rule = "per-file" }
[[records]]
format = "xml"
list = "report.file.threat"
path = "<.<.@name"
name = "@id"
means = "malicious"
[[records]]
format = "xml"
list = "report.file"
path = "@name"
verdict = "@status"
verdicts = { clean = "undetected", '^infect' = "ignored" }
"#;
    let output = "<report><file name=\"/s/a\" status=\"clean\"/>\n\
                  <file name=\"/s/b\" status=\"infected\"><threat id=\"Evil\"/></file></report>\n";
    check_with(spec, 0, (output, ""), ["undetected", "malicious Evil"]);
    let cut = "failure there is no whole XML document in the output";
    check_with(spec, 0, (&output[..8], ""), [cut, cut]);
}
