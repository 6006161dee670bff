//! What is said of manifests whose transports are wrong, and what would be right.

use acquit::engine::manifest::check;

use super::icap::MANIFEST;

/// Says what is wrong with a manifest.
fn said(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("remote.toml");
    std::fs::write(&path, text.replace("ADDRESS", "127.0.0.1:1344")).unwrap();
    let problems = check(&path, dir.path());
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    said.join("\n")
}

#[track_caller]
fn check_said(text: &str, from: &str, to: &str, expected: &str) {
    assert!(text.contains(from), "{from}");
    let said = said(&text.replacen(from, to, 1));
    assert!(said.contains(expected), "{said:?} for {expected:?}");
}

fn dialog() -> String {
    let run = "[run]\ntransport = \"dialog\"\n[run.dialog]\ngreeting = '^220'\nrequest = \"SCANDATA {size}\\n\"\ncontent = true\nuntil = '^DONE'";
    let text = MANIFEST.replace("[run]\ntransport = \"icap\"", run);
    text.replace("icap://ADDRESS/avscan", "tcp://ADDRESS")
}

fn http() -> String {
    let run = "[run]\ntransport = \"http\"\n[run.http]\npath = \"/scan\"\nbody = \"file\"\nheaders = { apikey = \"{key}\" }";
    let text = MANIFEST.replace("[run]\ntransport = \"icap\"", run);
    text.replace("icap://ADDRESS/avscan", "https://av.example")
}

fn inside(run: &str) -> String {
    let outside = MANIFEST.find("[outside]").unwrap();
    let parse = MANIFEST.find("[parse]").unwrap();
    let text = [&MANIFEST[..outside], &MANIFEST[parse..]].concat();
    let image = "image = { reference = \"x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\" }\n";
    let text = text.replace("[run]\ntransport = \"icap\"", run);
    text.replacen("[run]", &format!("{image}[run]"), 1)
}

#[test]
fn good_ones_pass() {
    for text in [MANIFEST.to_owned(), dialog(), http()] {
        assert_eq!(said(&text), "");
    }
    let daemon = "[run]\ntransport = \"icap\"\ndaemon = [\"d\"]\nsocket = \"/tmp/s\"\nicap = { service = \"avscan\" }";
    assert_eq!(said(&inside(daemon)), "");
    let drwebd = "[run]\ntransport = \"drwebd\"\ndaemon = [\"d\"]\nsocket = \"/tmp/s\"";
    assert_eq!(said(&inside(drwebd)), "");
    let poll = "[run]\ntransport = \"command\"\ncommand = [\"a\", \"{dir}\"]\nbatch_files = 1\ndaemon = [\"d\"]\npoll = { id = '(?<id>.)', command = [\"b\", \"{id}\"], done = 'x', fetch = [\"c\", \"{id}\"] }";
    assert_eq!(said(&inside(poll)), "");
}

#[test]
fn outside_is_checked() {
    let check = |from, to, expected| check_said(MANIFEST, from, to, expected);
    check(
        "icap://ADDRESS/avscan",
        "ftp://x",
        "is no address of a server",
    );
    check(
        "icap://ADDRESS/avscan",
        "tcp://ADDRESS",
        "write icap://host:1344/service",
    );
    check("its own server.", "x\\n", "not a consent");
    check(
        "The test allows that its own files go to its own server.",
        "ok",
        "not a consent",
    );
    check(
        "sends = \"file\"",
        "sends = \"hash\"",
        "more than the hash would go",
    );
    check(
        "sends = \"file\"",
        "sends = \"everything\"",
        "unknown variant",
    );
    check(
        "[parse]",
        "[signatures]\nseed = \"x\"\n[parse]",
        "has no container",
    );
    check(
        "[parse]",
        "[image]\ncontext = \"x\"\n[parse]",
        "has no container",
    );
    check("[run]", "[run]\nsocket = \"/tmp/x\"", "has no container");
    check(
        "[run]",
        "[run]\nicap = { service = \"x\" }",
        "the address names the service already",
    );
    check(
        "[run]",
        "[run]\nicap = { headers = { Host = \"x\" } }",
        "not a manifest's to set",
    );
    check(
        "\"icap\"",
        "\"drwebd\"",
        "the transport does not lead out of a container",
    );
    check("\"icap\"", "\"dialog\"", "add the table [run.dialog]");
    check("\"icap\"", "\"http\"", "add the table [run.http]");
    let silence = "proof = { rule = \"silence\" }";
    check(
        "proof = { rule = \"per-file\" }",
        silence,
        "the sentinel is a second file",
    );
    let version = "[version]\nask = \"x\"\npattern = '(?<engine>.)'\n[parse]";
    check(
        "[parse]",
        version,
        "only with the transports dialog and http",
    );
    // Without consent it is right, and does not take part.
    let consent = "consent = \"The test allows that its own files go to its own server.\"\n";
    assert_eq!(said(&MANIFEST.replace(consent, "")), "");
}

#[test]
fn dialogues_are_checked() {
    let text = dialog();
    let check = |from, to, expected| check_said(&text, from, to, expected);
    check("{size}\\n", "{size}", "end it with");
    check("{size}", "", "the server cannot know how many bytes follow");
    check("{size}", "{length}", "`{length}` is no placeholder");
    check(
        "content = true\n",
        "",
        "it does not say which file is meant",
    );
    check(
        "content = true\n",
        "ready = 'x'\n",
        "nothing follows for which",
    );
    check("'^220'", "'^220('", "run.dialog.greeting");
    check(
        "content = true",
        "content = true\nhello = [{ send = \"x\\n\", expect = '(' }]",
        "hello.0.expect",
    );
    check(
        "content = true",
        "content = true\nhello = [{ send = \"x\" }]",
        "hello.0.send",
    );
    check("SCANDATA {size}", "SCANFILE {path} {size}", "");
    let by_path = text
        .replace("SCANDATA {size}", "SCAN {path}")
        .replace("content = true\n", "");
    assert!(said(&by_path).contains("the server cannot read a path of this machine"));
    check(
        "transport = \"dialog\"",
        "transport = \"icap\"",
        "it belongs to the transport dialog",
    );
}

#[test]
fn requests_are_checked() {
    let text = http();
    let check = |from, to, expected| check_said(&text, from, to, expected);
    check("\"/scan\"", "\"scan\"", "begin it with /");
    check(
        "\"/scan\"",
        "\"/scan/{name}\"",
        "`{name}` is no placeholder here",
    );
    check("body = \"file\"", "body = \"json\"", "there is no template");
    check(
        "body = \"file\"",
        "body = \"json\"\njson = '{base64}{base64}'",
        "use {base64} once",
    );
    check(
        "body = \"file\"",
        "body = \"file\"\njson = 'x'",
        "the body is another",
    );
    check(
        "body = \"file\"",
        "method = \"GET\"\nbody = \"file\"",
        "a request that gets something has no body",
    );
    check("body = \"file\"\n", "", "the file would not go");
    check(
        "apikey = \"{key}\"",
        "Content-Length = \"1\"",
        "not a manifest's to set",
    );
    check(
        "apikey = \"{key}\"",
        "apikey = \"{token}\"",
        "`{token}` is no placeholder here",
    );
    check(
        "apikey = \"{key}\"",
        "apikey = \"a\\r\\nb\"",
        "no line of ASCII",
    );
    let poll = |more: &str| format!("body = \"file\"\npoll = {{ {more} }}");
    let bad = poll("id = \"a..b\", path = \"/x\", done = { path = \"p\", value = \"1\" }");
    check("body = \"file\"", &bad, "not a place in JSON");
    check("body = \"file\"", &bad, "add {id}");
    let slow = poll(
        "id = \"a\", path = \"/{id}\", interval_seconds = 0.0, done = { path = \"p\", value = \"1\" }",
    );
    check("body = \"file\"", &slow, "0.05 to 600");
}

#[test]
fn work_that_is_waited_for_is_checked() {
    let poll = |more: &str| {
        let run = format!(
            "[run]\ntransport = \"command\"\ncommand = [\"a\", \"{{dir}}\"]\nbatch_files = 1\ndaemon = [\"d\"]\npoll = {{ {more} }}"
        );
        said(&inside(&run))
    };
    let check = |more: &str, expected: &str| {
        let said = poll(more);
        assert!(said.contains(expected), "{said:?} for {expected:?}");
    };
    check(
        "command = [\"b\", \"{id}\"], done = 'x', fetch = [\"c\"]",
        "nothing says what {id} is",
    );
    check(
        "id = 'x', command = [\"b\"], done = 'x', fetch = [\"c\"]",
        "no group `id`",
    );
    check(
        "command = [], done = 'x', fetch = [\"c\"]",
        "run.poll.command: there is no program",
    );
    check(
        "command = [\"b\"], done = '(', fetch = [\"c\"]",
        "run.poll.done",
    );
    check(
        "command = [\"b\"], done = 'x', failed = '(', fetch = [\"c\"]",
        "run.poll.failed",
    );
    check(
        "command = [\"b\", \"{x}\"], done = 'x', fetch = [\"c\"]",
        "`{x}` is no placeholder",
    );
    check(
        "command = [\"b\"], done = 'x', fetch = [\"c\"], interval_seconds = 1000.0",
        "0.05 to 600",
    );
    let alone = "[run]\ntransport = \"command\"\ncommand = [\"a\", \"{dir}\"]\nbatch_files = 1\npoll = { command = [\"b\"], done = 'x', fetch = [\"c\"] }";
    assert!(said(&inside(alone)).contains("nothing would do the work"));
    let other = "[run]\ntransport = \"clamd\"\ndaemon = [\"d\"]\nsocket = \"/tmp/s\"\npoll = { command = [\"b\"], done = 'x', fetch = [\"c\"] }";
    assert!(said(&inside(other)).contains("it belongs to the transport command"));
}
