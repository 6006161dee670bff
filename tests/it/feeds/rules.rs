//! Rules for YARA and YARA-X, from archives, files and directories.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::mirror::Mirror;
use super::{Feed, inode};
use crate::support::run;

const ENGINES: [&str; 2] = ["yara", "yara-x"];

fn rule(name: &str) -> String {
    format!("rule {name} {{ strings: $a = \"{name} was here\" condition: $a }}\n")
}

/// One member of a tar archive.
struct Member<'a> {
    name: &'a str,
    kind: tar::EntryType,
    link: &'a str,
    data: Vec<u8>,
}

fn member<'a>(name: &'a str, text: &str) -> Member<'a> {
    Member {
        name,
        kind: tar::EntryType::Regular,
        link: "",
        data: text.as_bytes().to_vec(),
    }
}

/// Packs members under any name, also under one no honest program would write.
fn tar_gz(members: &[Member]) -> Vec<u8> {
    let packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(packed);
    for member in members {
        let mut header = tar::Header::new_old();
        header.as_old_mut().name[..member.name.len()].copy_from_slice(member.name.as_bytes());
        header.set_entry_type(member.kind);
        header.set_size(member.data.len() as u64);
        header.set_mode(0o644);
        header.as_old_mut().linkname[..member.link.len()].copy_from_slice(member.link.as_bytes());
        header.set_cksum();
        archive.append(&header, member.data.as_slice()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn zip(members: &[(&str, &str)]) -> Vec<u8> {
    let script = "import sys, json, zipfile\n\
        with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as out:\n\
        \x20   for name, text in json.loads(sys.argv[2]):\n\
        \x20       out.writestr(zipfile.ZipInfo(name), text)\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    let listed = json!(members).to_string();
    run(Command::new("python3")
        .args(["-c", script])
        .arg(file.path())
        .arg(listed));
    fs::read(file.path()).unwrap()
}

fn url(mirror: &Mirror, path: &str) -> Value {
    json!([{ "url": mirror.url(path) }])
}

/// Scans one file with the manifest's own command.
fn scan(feed: &Feed, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir.path(), open).unwrap();
    fs::write(dir.path().join("file"), text).unwrap();
    fs::write(dir.path().join("list"), "/scan/file\n").unwrap();
    let words = feed.manifest.run.command.iter();
    let command: Vec<String> = words
        .map(|word| word.replace("{list}", "/scan/list"))
        .collect();
    feed.with_set(&command, dir.path())
}

#[test]
fn rules_are_fetched_once_and_then_only_what_changed() {
    for engine in ENGINES {
        let (mirror, feed) = (Mirror::start(), Feed::new(engine));
        let seed = feed.version();
        let (one, two) = (rule("One"), rule("Two"));
        mirror.put(
            "/r.zip",
            &zip(&[("r/one.yar", &one), ("r/two.rules", &two), ("r/README", "")]),
        );
        let sources = url(&mirror, "/r.zip");
        feed.updates(&sources);
        let (first, version) = (feed.files(), feed.version());
        assert!(
            version.as_ref().unwrap().starts_with("rules 10 files 3 "),
            "{version:?}"
        );
        assert_ne!(version, seed);
        assert!(scan(&feed, "One was here").contains("One"), "{engine}");
        assert_eq!(mirror.requests().len(), 1);

        feed.updates(&sources);
        assert_eq!(feed.files(), first);
        let asked = mirror.requests();
        assert!(
            asked.iter().all(|request| request["status"] == 304),
            "{asked:?}"
        );
        assert_eq!(asked.len(), 1);

        let names = feed.names();
        let name = names.iter().find(|name| name.contains("one")).unwrap();
        let kept = feed.path("candidate").join(name);
        let before = inode(&kept);
        mirror.put(
            "/r.zip",
            &zip(&[("r/one.yar", &one), ("r/three.yar", &rule("Three"))]),
        );
        feed.updates(&sources);
        assert_eq!(
            inode(&kept),
            before,
            "{engine}: an unchanged file was written again"
        );
        assert!(scan(&feed, "Three was here").contains("Three"));
        assert!(!scan(&feed, "Two was here").contains("Two"), "{engine}");
        assert_ne!(feed.version(), version);
    }
}

#[test]
fn mirror_that_fails_gives_a_reason_and_spoils_nothing() {
    let (mirror, feed) = (Mirror::start(), Feed::new("yara"));
    let sources = url(&mirror, "/r.zip");
    let pages: String = (0..400).map(|n| rule(&format!("Rule{n}"))).collect();
    mirror.put("/r.zip", &zip(&[("a.yar", &pages)]));
    feed.fails(&url(&mirror, "/none.zip"), "404");
    feed.updates(&sources);
    let first = feed.files();
    mirror.put(
        "/r.zip",
        &zip(&[("a.yar", &pages), ("b.yar", &rule("New"))]),
    );
    for (fault, words) in [
        ("down", "cannot be fetched"),
        ("503", "503"),
        ("truncated", "is cut off"),
        ("corrupt", "no archive that can be read"),
        ("huge", "1099511627776 bytes"),
        ("trickle", "too slow"),
    ] {
        mirror.fault("/r.zip", fault);
        feed.fails(&sources, words);
    }
    mirror.heal();
    assert_eq!(feed.files(), first);
    feed.updates(&sources);
    assert!(
        feed.names().contains(&"0-b.yar".to_owned()),
        "{:?}",
        feed.names()
    );
}

#[test]
fn mirror_that_says_wait_is_not_asked_again() {
    let (mirror, feed) = (Mirror::start(), Feed::new("yara"));
    mirror.put("/r.yar", rule("One").as_bytes());
    mirror.fault("*", "429");
    feed.fails(
        &url(&mirror, "/r.yar"),
        "429 Too Many Requests and asks to be left alone until",
    );
    assert_eq!(mirror.requests().len(), 1);
    mirror.heal();
    feed.fails(&url(&mirror, "/r.yar"), "it was not asked again");
    assert_eq!(mirror.requests().len(), 0);
}

#[test]
fn wrong_digest_is_refused_and_a_right_one_needs_no_second_request() {
    let (mirror, feed) = (Mirror::start(), Feed::new("yara-x"));
    let text = rule("One");
    mirror.put("/r.yar", text.as_bytes());
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()));
    let source = |sha256: &str| json!([{ "url": mirror.url("/r.yar"), "sha256": sha256 }]);
    feed.fails(&source(&"0".repeat(64)), "not 00000000");
    feed.updates(&source(&digest));
    mirror.requests();
    feed.updates(&source(&digest));
    assert_eq!(mirror.requests().len(), 0);
    // What is in the cache is checked too.
    feed.fails(&source(&"0".repeat(64)), "not 00000000");
}

/// Makes a minisign key in a directory and returns its public half.
fn key(dir: &Path) -> String {
    minisign(dir, &["-G", "-W", "-f", "-p", "key.pub", "-s", "key"]);
    let text = fs::read_to_string(dir.join("key.pub")).unwrap();
    text.lines().last().unwrap().to_owned()
}

fn minisign(dir: &Path, arguments: &[&str]) {
    run(Command::new("docker")
        .args(["run", "--rm", "--network=none", "--workdir=/key"])
        .arg(format!("--volume={}:/key", dir.display()))
        .args(["acquit-base:local", "minisign"])
        .args(arguments));
}

#[test]
fn signature_is_checked_at_each_use() {
    let (mirror, feed) = (Mirror::start(), Feed::new("yara"));
    let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (key_of_mine, key_of_other) = (key(mine.path()), key(other.path()));
    fs::write(mine.path().join("r.yar"), rule("One")).unwrap();
    minisign(mine.path(), &["-S", "-s", "key", "-m", "r.yar"]);
    mirror.put("/r.yar", rule("One").as_bytes());
    let source = |key: &str| json!([{ "url": mirror.url("/r.yar"), "minisign": key }]);
    feed.fails(
        &source(&key_of_mine),
        "/r.yar.minisig: the server answers 404",
    );
    let signature = fs::read(mine.path().join("r.yar.minisig")).unwrap();
    mirror.put("/r.yar.minisig", &signature);
    feed.fails(&source(&key_of_other), "signature of");
    feed.updates(&source(&key_of_mine));
    feed.fails(&source(&key_of_other), "signature of");
    mirror.put("/r.yar", rule("Forged").as_bytes());
    feed.fails(&source(&key_of_mine), "signature of");
    assert!(
        !feed
            .files()
            .values()
            .any(|bytes| bytes.starts_with(b"rule Forged"))
    );
}

#[test]
fn what_does_not_compile_is_left_out_by_name() {
    for engine in ENGINES {
        let (mirror, feed) = (Mirror::start(), Feed::new(engine));
        let broken = format!(
            "{}rule Bad {{ condition: nowhere }}\n{}",
            rule("A1"),
            rule("A2")
        );
        let archive = zip(&[
            ("a.yar", &broken),
            ("b.yar", &(rule("A1") + &rule("B"))),
            ("c.yar", "rule Half { condition: "),
            ("d.yar", "global rule G { condition: false }"),
            ("e.yar", &format!("{}{}", rule("Acquit_Seen"), rule("E"))),
            ("f.yar", "include \"nowhere.yar\""),
            (
                "g.yar",
                "include \"./lib/h.yar\"\nrule Uses { condition: Lib and filename == \"\" }",
            ),
            ("index.yar", "include \"a.yar\"\ninclude \"b.yar\""),
            ("lib/h.yar", "private rule Lib { condition: filesize == 7 }"),
        ]);
        mirror.put("/r.zip", &archive);
        let said = feed.updates(&url(&mirror, "/r.zip"));
        let left_out: Vec<&str> = said
            .lines()
            .filter_map(|line| line.strip_prefix("left out "))
            .map(|line| line.split(": ").next().unwrap())
            .collect();
        let expected = [
            "0/a.yar rule Bad",
            "0/b.yar rule A1",
            "0/c.yar",
            "0/d.yar",
            "0/e.yar rule Acquit_Seen",
            "0/f.yar",
        ];
        assert_eq!(left_out, expected, "{engine}: {said}");
        assert!(said.contains("rule A1 is already in 0/a.yar"), "{said}");
        for name in ["A1", "A2", "B", "E"] {
            let found = scan(&feed, &format!("{name} was here"));
            assert!(found.contains(name), "{engine}: {found}");
        }
        assert!(scan(&feed, "1234567").contains("Uses"), "{engine}");
        mirror.put("/r.zip", &zip(&[("c.yar", "rule Half { condition: ")]));
        feed.fails(&url(&mirror, "/r.zip"), "no rule of");
    }
}

#[test]
fn hostile_archives_are_refused() {
    let (mirror, feed) = (Mirror::start(), Feed::new("yara"));
    let of_kind = |kind, link| Member {
        kind,
        link,
        ..member("evil.yar", "")
    };
    let good = || member("good.yar", &rule("Good"));
    let bomb = Member {
        data: vec![b' '; 80 << 20],
        ..member("bomb.yar", "")
    };
    let refused = [
        (
            tar_gz(&[good(), member("../evil.yar", &rule("Evil"))]),
            "'../evil.yar'",
        ),
        (
            tar_gz(&[good(), member("/evil.yar", &rule("Evil"))]),
            "'/evil.yar'",
        ),
        (
            tar_gz(&[good(), of_kind(tar::EntryType::Char, "")]),
            "is a device",
        ),
        (
            tar_gz(&[good(), of_kind(tar::EntryType::Fifo, "")]),
            "is a device",
        ),
        (tar_gz(&[bomb]), "more than 64 MiB"),
        (zip(&[("a/../../evil.yar", &rule("Evil"))]), "refused"),
        (zip(&[("C:\\evil.yar", &rule("Evil"))]), "refused"),
        (zip(&[("readme.txt", "")]), "has no rule files"),
    ];
    for (archive, words) in &refused {
        mirror.put("/r", archive);
        feed.fails(&url(&mirror, "/r"), words);
    }
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        mirror.put("/r", &tar_gz(&[good(), of_kind(kind, "/etc/passwd")]));
        let said = feed.updates(&url(&mirror, "/r"));
        assert!(said.contains("left out evil.yar: it is a link"), "{said}");
        assert_eq!(
            feed.names(),
            ["0-good.yar", "VERSION", "acquit.yar", "index.yar"]
        );
    }
}

#[test]
fn directory_gives_its_own_files_and_nothing_from_outside() {
    for engine in ENGINES {
        let feed = Feed::new(engine);
        let source = feed.path("source");
        fs::create_dir(source.join("deep")).unwrap();
        fs::write(source.join("deep/one.yara"), rule("One")).unwrap();
        std::os::unix::fs::symlink("/candidate/acquit.yar", source.join("link.yar")).unwrap();
        run(Command::new("mkfifo").arg(source.join("pipe.yar")));
        let said = feed.updates(&json!([{ "directory": "/sources/0" }]));
        assert!(said.contains("left out link.yar: it is a link"), "{said}");
        assert!(
            said.contains("left out pipe.yar: it is no regular file"),
            "{said}"
        );
        assert!(scan(&feed, "One was here").contains("One"), "{engine}");
        assert_eq!(feed.names().len(), 4);
    }
}

#[test]
fn without_sources_the_seed_is_what_an_update_makes() {
    for engine in ENGINES {
        let feed = Feed::new(engine);
        let seed = feed.files();
        feed.updates(&json!([]));
        assert_eq!(feed.files(), seed, "{engine}");
        assert!(feed.version().unwrap().starts_with("rules 8 files 1 "));
    }
}

#[test]
fn rule_file_that_is_too_large_is_refused() {
    let (mirror, feed) = (Mirror::start(), Feed::new("yara"));
    let mut text = Vec::new();
    for _ in 0..(65 << 20) / 64 {
        text.write_all(&[b'/'; 63]).unwrap();
        text.push(b'\n');
    }
    mirror.put("/r.yar", &text);
    feed.fails(&url(&mirror, "/r.yar"), "more than 64 MiB");
}
