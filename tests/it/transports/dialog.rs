//! Dialogues in lines, as the daemons of several products hold them, each by its manifest alone.

use super::lab::{Server, Step, ask, check, outside, say, words};

/// What every manifest here begins with.
const HEAD: &str = r#"
id = "remote"
name = "Remote"
vendor = "Nobody"
description = "a daemon that is asked in lines"
[limits]
timeout_seconds = 1
output_kb = 4
[outside]
address = "tcp://ADDRESS"
consent = "The test allows that its own files go to its own server."
sends = "file"
canary = false
"#;

/// Sophos SAVDI: SSSP, with the file's bytes.
const SSSP: &str = r#"
[run]
transport = "dialog"
[run.dialog]
greeting = '^OK SSSP/1\.0$'
hello = [{ send = "SSSP/1.0\r\n", expect = '^ACC ' }]
request = "SCANDATA {size}\r\n"
content = true
ready = '^ACC '
until = '^DONE '
bye = "BYE\r\n"
[version]
ask = "QUERY ENGINE\r\n"
until = '^DONE '
pattern = '^engineversion: (?<engine>.+)$'
[parse]
exit = { complete = [0] }
proof = { rule = "per-file" }
[[parse.lines]]
pattern = '^VIRUS (?<name>\S+) ?.*$'
means = "malicious"
[[parse.lines]]
pattern = '^DONE OK 0000 .*$'
means = "undetected"
[[parse.lines]]
pattern = '^DONE OK 0203 .*$'
means = "ignored"
[[parse.lines]]
pattern = '^DONE FAIL 0212 (?<reason>.*)$'
means = "type-unsupported"
[[parse.lines]]
pattern = '^DONE FAIL \w+ (?<reason>.*)$'
means = "failure"
"#;

fn sssp() -> String {
    [HEAD, SSSP].concat()
}

const FILE: &[u8] = b"thirteen byte";

/// Plays SSSP up to the answer about a file of thirteen bytes.
fn savdi(answer: &str) -> Vec<Step> {
    vec![
        say("OK SSSP/1.0\r\n"),
        Step::Hear("SSSP/1.0\r\n"),
        say("ACC 52f0a0b5/1\r\n"),
        Step::Hear("SCANDATA 13\r\n"),
        say("ACC 52f0a0b5/2\r\n"),
        Step::Take(13),
        say(answer),
    ]
}

/// A version is asked for on the first connection.
async fn check_sssp(answer: &str, expected: &str) {
    check_script(savdi(answer), expected).await;
}

async fn check_script(script: Vec<Step>, expected: &str) {
    let version = vec![
        say("OK SSSP/1.0\r\n"),
        Step::Hear("SSSP/1.0\r\n"),
        say("ACC 52f0a0b5/1\r\n"),
        Step::Hear("QUERY ENGINE\r\n"),
        say("ACC 52f0a0b5/2\r\nengineversion: 3.79.0\r\nDONE OK 0000 done\r\n\r\n"),
    ];
    let server = Server::tcp_scripts(vec![version, script]).await;
    let outside = outside(&sssp(), &server.address);
    let said = words(&ask(&outside, FILE).await);
    assert!(said.starts_with(expected), "{said:?} for {expected:?}");
}

#[tokio::test]
async fn sssp_answers_are_read() {
    check_sssp(
        "DONE OK 0000 The function call succeeded\r\n\r\n",
        "undetected",
    )
    .await;
    let found = "VIRUS EICAR-AV-Test \r\nDONE OK 0203 Virus found\r\n\r\n";
    check_sssp(found, "malicious EICAR-AV-Test").await;
    let encrypted = "DONE FAIL 0212 The file is encrypted\r\n\r\n";
    check_sssp(encrypted, "type-unsupported The file").await;
    check_sssp(
        "DONE FAIL 0220 Corrupt\r\n",
        "failure the engine says \"Corrupt",
    )
    .await;
}

#[tokio::test]
async fn whatever_is_no_whole_answer_is_a_failure() {
    let whole = "VIRUS EICAR-AV-Test \r\nDONE OK 0203 Virus found\r\n";
    for cut in 0..whole.len() {
        check_sssp(&whole[..cut], "failure").await;
    }
    check_sssp("REJ 4\r\n", "failure").await;
    check_sssp("\0\u{1b}[2J\r\n\r\nDONE NOTHING\r\n", "failure").await;
    check_sssp(
        "DONE OK 0000 done\r\nVIRUS Late x\r\n",
        "failure something follows",
    )
    .await;
    let long = format!("{}DONE OK 0000 done\r\n", "EVENT x\r\n".repeat(1000));
    check_sssp(&long, "failure answered more than 4 KB").await;
    let line = format!("{}\r\nDONE OK 0000 done\r\n", "x".repeat(200_000));
    check_sssp(&line, "failure").await;
}

#[tokio::test]
async fn silence_is_a_timeout_and_an_early_end_is_none() {
    let mut silent = savdi("VIRUS");
    silent.push(Step::Hang);
    check_script(silent, "timeout").await;
    let mut gone = savdi("");
    gone.truncate(5);
    check_script(gone, "failure").await;
}

#[tokio::test]
async fn server_that_greets_otherwise_is_not_told_of_a_file() {
    for (script, expected) in [
        (
            vec![say("220 FTP server\r\n")],
            "closed: the greeting is another: \"220 FTP",
        ),
        (
            vec![say("OK SSSP/1.0")],
            "closed: the connection ended before the greeting",
        ),
        (vec![], "closed: the connection ended"),
        (
            vec![
                say("OK SSSP/1.0\r\n"),
                Step::Hear("SSSP/1.0\r\n"),
                say("REJ 3\r\n"),
            ],
            "closed: the answer to \"SSSP/1.0\" is another",
        ),
        (vec![Step::Hang], "closed: did not answer within 1 s"),
    ] {
        let server = Server::tcp(script).await;
        let outside = outside(&sssp(), &server.address);
        let said = words(&ask(&outside, b"secret words").await);
        assert!(said.starts_with(expected), "{said}");
        assert!(!server.all().contains("SCANDATA"), "{}", server.all());
    }
}

#[tokio::test]
async fn server_that_refuses_the_file_gets_none() {
    let script = vec![
        say("OK SSSP/1.0\r\n"),
        Step::Hear("SSSP/1.0\r\n"),
        say("ACC 1\r\n"),
        Step::Hear("\r\n"),
        say("REJ 4\r\n"),
        Step::Hang,
    ];
    let text = sssp().replace("[version]\nask = \"QUERY ENGINE\\r\\n\"\nuntil = '^DONE '\npattern = '^engineversion: (?<engine>.+)$'\n", "");
    let server = Server::tcp(script).await;
    let said = words(&ask(&outside(&text, &server.address), b"secret words").await);
    assert!(said.starts_with("failure the permission to send"), "{said}");
    assert!(!server.all().contains("secret"), "{}", server.all());
}

#[tokio::test]
async fn who_answers_before_it_has_the_file_can_detect_and_not_acquit() {
    let early = |answer: &str| {
        vec![
            say("OK SSSP/1.0\r\n"),
            Step::Hear("SSSP/1.0\r\n"),
            say("ACC 1\r\n"),
            Step::Hear("SCANDATA 33554432\r\n"),
            say("ACC 2\r\n"),
            say(answer),
            Step::Hang,
        ]
    };
    let text = sssp().replace("[version]\nask = \"QUERY ENGINE\\r\\n\"\nuntil = '^DONE '\npattern = '^engineversion: (?<engine>.+)$'\n", "");
    let large = vec![0; 32 << 20];
    for (answer, expected) in [
        ("DONE OK 0000 done\r\n", "failure exit code 1"),
        ("VIRUS X y\r\nDONE OK 0203 found\r\n", "malicious X"),
    ] {
        check(&text, early(answer), &large, expected).await;
    }
}

/// Manifests of daemons that read a path: such a daemon is in a container. They are asked here
/// with a hash instead, which is as much a word as a path is.
fn by_word(run: &str, parse: &str) -> String {
    let head = HEAD.replace("sends = \"file\"", "sends = \"hash\"");
    format!(
        "{head}[run]\ntransport = \"dialog\"\n[run.dialog]\n{run}\n[parse]\nexit = {{ complete = [0] }}\nproof = {{ rule = \"per-file\" }}\n{parse}"
    )
}

fn line(pattern: &str, means: &str) -> String {
    format!("[[parse.lines]]\npattern = '{pattern}'\nmeans = \"{means}\"\n")
}

#[tokio::test]
async fn avast_talks() {
    let run = "greeting = '^220 '\nrequest = \"SCAN {sha256}\\r\\n\"\nuntil = '^(200|451) SCAN '\nbye = \"QUIT\\r\\n\"";
    let parse = [
        line(r"^(210 SCAN DATA|200 SCAN OK)$", "ignored"),
        line(r"^(SCAN )?\S+\t\[\+\]$", "undetected"),
        line(r"^(SCAN )?\S+\t\[L\][\d.]+\t\d+ (?<name>.+)$", "malicious"),
        line(r"^\S+\t\[E\][\d.]+\t(?<reason>.+)$", "failure"),
        line(r"^451 SCAN (?<reason>.+)$", "failure"),
    ];
    let text = by_word(run, &parse.concat());
    let talk = |answer: &str| vec![say("220 DAEMON\r\n"), Step::Hear("\r\n"), say(answer)];
    let clean = talk("210 SCAN DATA\r\nSCAN PATH\t[+]\r\n200 SCAN OK\r\n");
    check(&text, clean, b"x", "undetected").await;
    let found = talk("210 SCAN DATA\r\nSCAN PATH\t[L]0.0\t0 Eicar\\ [Heur]\r\n200 SCAN OK\r\n");
    check(&text, found, b"x", r"malicious Eicar\ [Heur]").await;
    let error = talk(
        "210 SCAN DATA\r\nPATH\t[E]0.0\tError 13 Permission\\ denied\r\n451 SCAN Engine error 13 Permission denied\r\n",
    );
    check(&text, error, b"x", "failure").await;
    let cut = talk("210 SCAN DATA\r\nSCAN PATH\t[+]\r\n");
    check(&text, cut, b"x", "failure the connection ended").await;
}

#[tokio::test]
async fn sophie_answers_and_closes() {
    let parse = [
        line("^0( .*)?$", "undetected"),
        line("^1[: ](?<name>.+)$", "malicious"),
        line("^-1[: ](?<reason>.+)$", "failure"),
    ];
    let text = by_word("request = \"{sha256}\\n\"", &parse.concat());
    let talk = |answer: &str| vec![Step::Hear("\n"), say(answer)];
    check(&text, talk("0 no problems mate\n"), b"x", "undetected").await;
    check(&text, talk("1:VNAME\n"), b"x", "malicious VNAME").await;
    check(
        &text,
        talk("-1 oops, internal error\n"),
        b"x",
        "failure the engine says \"oops",
    )
    .await;
    check(&text, talk(""), b"x", "failure the connection ended").await;
    // Cut in the middle of a line: what it would have been is not known.
    check(&text, talk("0 no prob"), b"x", "failure").await;
}

#[tokio::test]
async fn fpscand_and_aveserver_and_avg_and_savapi_talk() {
    let fpscand = [
        line(r"^\d+ <clean>( \S+)?$", "undetected"),
        line(r"^\d+ <infected: (?<name>[^>]+)>.*$", "malicious"),
    ];
    let text = by_word(
        "request = \"SCAN FILE {sha256}\\n\"\nuntil = '^\\d+ <'",
        &fpscand.concat(),
    );
    let talk = |answer: &str| vec![Step::Hear("\n"), say(answer)];
    check(&text, talk("0 <clean> PATH\n"), b"x", "undetected").await;
    check(
        &text,
        talk("1 <infected: EICAR_Test_File> FOO->bar\n"),
        b"x",
        "malicious EICAR",
    )
    .await;

    let aveserver = [
        line("^322-(?<name>.+) [0-9a-f]{64}$", "malicious"),
        line("^220 .*$", "undetected"),
        line("^230 .*$", "ignored"),
        line("^[45].. (?<reason>.+)$", "failure"),
    ];
    let run = "greeting = '^201 '\nrequest = \"SCAN xmQPRSTUWabcdefghi {sha256}\\r\\n\"\nuntil = '^(?:2[234]|4|5)\\d* '";
    let text = by_word(run, &aveserver.concat());
    let talk = |answer: &str| vec![say("201 ready\r\n"), Step::Hear("\r\n"), say(answer)];
    check(&text, talk("220 done\r\n"), b"x", "undetected").await;
    check(
        &text,
        talk("322-VNAME PATH\r\n230 infected\r\n"),
        b"x",
        "malicious VNAME",
    )
    .await;

    let avg = [
        line("^200 .*$", "undetected"),
        line(r#"^403 File "[^"]+": (?<name>.+)$"#, "malicious"),
        line("^406 (?<reason>.+)$", "failure"),
    ];
    let run = "greeting = '^220 '\nrequest = \"SCAN {sha256}\\r\\n\"\nuntil = '^\\d{3} '\nbye = \"QUIT\\r\\n\"";
    let text = by_word(run, &avg.concat());
    let greeting = "220-AVG daemon mode scanner\r\n220-Program version 7.1\r\n220 Ready\r\n";
    let talk = |answer: &str| vec![say(greeting), Step::Hear("\r\n"), say(answer)];
    check(&text, talk("200 ok\r\n"), b"x", "undetected").await;
    check(
        &text,
        talk("403 File \"PATH\": Virus identified EICAR\r\n"),
        b"x",
        "malicious Virus",
    )
    .await;

    let savapi = [
        line("^2[01]0 .*$", "undetected"),
        line(r"^310 (?:.*<<< )?(?<name>.+?)\s+;.*;.*$", "malicious"),
        line("^319 .*$", "ignored"),
    ];
    let run = "greeting = '^100 SAVAPI:4\\.0'\nhello = [{ send = \"SET PRODUCT 10776\\n\", expect = '^100 PRODUCT:' }]\nrequest = \"SCAN {sha256}\\n\"\nuntil = '^([0125-9]\\d\\d|300|319) '\nbye = \"QUIT\\n\"";
    let text = by_word(run, &savapi.concat());
    let talk = |answer: &str| {
        vec![
            say("100 SAVAPI:4.0\n"),
            Step::Hear("SET PRODUCT 10776\n"),
            say("100 PRODUCT:10776\n"),
            Step::Hear("\n"),
            say(answer),
        ]
    };
    check(&text, talk("200 PATH\n"), b"x", "undetected").await;
    let found = "310 PATH <<< Eicar-Test-Signature  ;virus  ;Contains code\n319 done\n";
    check(&text, talk(found), b"x", "malicious Eicar-Test-Signature").await;
}

#[tokio::test]
async fn answer_for_another_file_is_none_for_this_one() {
    let parse = line(r"^(?<path>\S+): OK$", "undetected")
        + &line(r"^(?<path>\S+): (?<name>.+) FOUND$", "malicious");
    let text = by_word(
        "request = \"{sha256} {path}\\n\"\nuntil = '(OK|FOUND)$'",
        &parse,
    );
    let talk = |answer: &str| vec![Step::Hear("\n"), say(answer)];
    check(&text, talk("PATH: OK\n"), b"x", "undetected").await;
    check(&text, talk("PATH: X FOUND\n"), b"x", "malicious X").await;
    check(
        &text,
        talk("/scan/0123456789abcdef/0123456789abcdef: OK\n"),
        b"x",
        "failure",
    )
    .await;
}

#[tokio::test]
async fn server_at_a_socket_of_this_machine_is_asked() {
    let text = by_word(
        "request = \"{sha256}\\n\"",
        &line("^RESULT: OK$", "undetected"),
    );
    let text = text.replace("tcp://ADDRESS", "unix://ADDRESS");
    let server = Server::unix(vec![Step::Hear("\n"), say("RESULT: OK\n")]).await;
    let said = words(&ask(&outside(&text, &server.address), b"secret words").await);
    assert_eq!(said, "undetected");
    assert!(!server.all().contains("secret"));
}

#[tokio::test]
async fn daemon_says_what_it_scans_with() {
    let script = vec![
        say("OK SSSP/1.0\r\n"),
        Step::Hear("SSSP/1.0\r\n"),
        say("ACC 1\r\n"),
        Step::Hear("QUERY ENGINE\r\n"),
        say("ACC 2\r\nengineversion: 3.79.0\r\nDONE OK 0000 done\r\n\r\n"),
    ];
    let server = Server::tcp(script).await;
    let versions = outside(&sssp(), &server.address).versions().await.unwrap();
    assert_eq!(versions.engine.as_deref(), Some("3.79.0"));
}

/// The shipped manifest of a clamd elsewhere, pointed at a server of the test.
fn clamd() -> String {
    include_str!("../../../engines/clamd.toml")
        .replace("id = \"clamd\"", "id = \"remote\"")
        .replace(
            "tcp://clamd.example:3310\"",
            "tcp://ADDRESS\"\nconsent = \"The test's own files go to its own server.\"\ncanary = false",
        )
}

#[tokio::test]
async fn clamd_elsewhere_is_given_the_file_in_frames() {
    for (answer, expected) in [
        (
            "stream: Eicar-Signature FOUND\n",
            "malicious Eicar-Signature",
        ),
        ("stream: OK\n", "undetected"),
        ("INSTREAM size limit exceeded. ERROR\n", "failure"),
        ("stream: O", "failure"),
    ] {
        let version = vec![
            Step::Hear("nVERSION\n"),
            say("ClamAV 1.4.6/27812/Wed Nov 25 09:00:00 2026\n"),
        ];
        let scan = vec![
            Step::Hear("nINSTREAM\n"),
            Step::Take(4 + 13 + 4),
            say(answer),
        ];
        let server = Server::tcp_scripts(vec![version, scan]).await;
        let outside = outside(&clamd(), &server.address);
        let said = words(&ask(&outside, FILE).await);
        assert!(said.starts_with(expected), "{said:?} for {answer:?}");
        assert!(
            server
                .all()
                .contains("nINSTREAM\n\0\0\0\rthirteen byte\0\0\0\0"),
            "{:?}",
            server.all()
        );
    }
}
