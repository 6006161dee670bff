//! Updates in real containers: what they bring, what they may not, and what is left of them.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod bench;
mod ends;
mod sandbox;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use acquit::engine::signatures::{self, AdoptError};
use acquit::engine::updater::UpdateError;

use bench::Bench;

#[tokio::test]
async fn new_files_become_a_set_that_shares_what_is_old() {
    let script = r#"
import os, pathlib, shutil
new = pathlib.Path("/candidate/sub/new")
new.mkdir()
(new / "rules.yar").write_text("rule new { condition: true }")
pathlib.Path("/candidate/b.yar.tmp").write_text(os.environ["ACQUIT_SOURCES"])
os.rename("/candidate/b.yar.tmp", "/candidate/sub/a.yar")
shutil.copy("/sources/1/own.yar", "/candidate/own.yar")
print("left out bad.yar: line 1: unknown module")
print("said on stderr", file=__import__("sys").stderr)
"#;
    let rules = tempfile::tempdir().unwrap();
    std::fs::write(rules.path().join("own.yar"), "rule own { condition: true }").unwrap();
    std::fs::set_permissions(rules.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let more = format!(
        "sources = [{{ url = \"http://rules.example/\" }}, {{ directory = {:?} }}]",
        rules.path()
    );
    let bench = Bench::new(script, &more).await;
    let fetched = bench.run().await.unwrap();
    assert_ne!(fetched.kept.id, bench.active.id);
    assert_eq!(fetched.exit_code, Some(0));
    let output = String::from_utf8(fetched.output).unwrap();
    assert!(output.starts_with("exit: 0\n"), "{output}");
    assert!(output.contains("said on stderr"), "{output}");
    assert_eq!(fetched.left_out.len(), 1);
    assert_eq!(fetched.left_out[0].name, "bad.yar");

    let set = bench.set(&fetched.kept.id);
    assert!(signatures::verify(&set, &fetched.kept.digest).unwrap());
    let read = |name: &str| std::fs::read_to_string(set.join(name)).unwrap();
    assert_eq!(
        read("sub/a.yar"),
        r#"[{"url":"http://rules.example/"},{"directory":"/sources/1"}]"#
    );
    assert_eq!(read("own.yar"), "rule own { condition: true }");
    let new = std::fs::metadata(set.join("sub/new/rules.yar")).unwrap();
    let own = std::fs::metadata(&set).unwrap().uid();
    assert_eq!((new.uid(), new.mode() & 0o777), (own, 0o444));
    let old = std::fs::metadata(set.join("main.cvd")).unwrap();
    assert_eq!(old.nlink(), 2);
    assert_eq!(fetched.kept.files, 4);
    assert!(fetched.kept.own_bytes < 1000);
    assert!(bench.course.new_bytes() > 0);
    bench.check_nothing_left();
    bench.check_active();
}

#[tokio::test]
async fn update_that_brings_nothing_is_the_same_set_and_takes_no_room() {
    // As a mirror that sends the same bytes again.
    let script = r#"
import os
data = open("/candidate/main.cvd", "rb").read()
open("/candidate/fresh", "wb").write(data)
os.rename("/candidate/fresh", "/candidate/main.cvd")
"#;
    let bench = Bench::new(script, "").await;
    let before = bench.disk();
    let fetched = bench.run().await.unwrap();
    assert_eq!(fetched.kept.id, bench.active.id);
    assert_eq!(fetched.kept.own_bytes, 0);
    assert!(bench.disk() - before < 1 << 20);
    bench.check_nothing_left();
    bench.check_active();
}

#[tokio::test]
async fn what_the_command_prints_is_seen_while_it_runs() {
    let script = r#"
import sys, time, pathlib
print("asking the mirror")
print("\x1b[31m<b>slow</b>", file=sys.stderr)
print("half of ", end="")
time.sleep(3)
print("a line")
# What comes just before the end is told with it.
time.sleep(1)
"#;
    let bench = Bench::new(script, "").await;
    let is_seen = |log: &str| {
        let lines = ["asking the mirror\n", "\u{1b}[31m<b>slow</b>\n"];
        log.ends_with("half of \n") && lines.iter().all(|line| log.contains(line))
    };
    let seen = async {
        while !is_seen(&String::from_utf8(bench.course.log()).unwrap()) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let mut fetched = std::pin::pin!(bench.run());
    tokio::select! {
        () = seen => {}
        ended = &mut fetched => panic!("it ended unseen: {ended:?}"),
    }
    let fetched = fetched.await.unwrap();
    let output = String::from_utf8(fetched.output).unwrap();
    let all = "exit: 0\n--- stdout\nasking the mirror\nhalf of a line\n";
    assert!(output.starts_with(all), "{output}");
    let log = String::from_utf8(bench.course.log()).unwrap();
    assert!(log.ends_with("half of a line\n"), "{log}");
    assert_eq!(bench.course.said(), log.len() as u64);
}

#[tokio::test]
async fn first_update_starts_from_nothing() {
    let script = r#"
import os
assert os.listdir("/candidate") == []
open("/candidate/main.cvd", "w").write("signatures")
"#;
    let bench = Bench::new(script, "").await;
    let fetched = bench.run_from(None).await.unwrap();
    assert_eq!((fetched.kept.files, fetched.kept.own_bytes), (1, 10));
}

#[tokio::test]
async fn files_the_command_keeps_to_itself_are_read_and_removed_nevertheless() {
    let script = r#"
import os
os.umask(0o077)
os.makedirs("/candidate/closed/deep")
open("/candidate/closed/deep/a.yar", "w").write("rule a { condition: true }")
os.chmod("/candidate/closed/deep/a.yar", 0)
os.chmod("/candidate/closed/deep", 0)
os.chmod("/candidate/closed", 0)
"#;
    let bench = Bench::new(script, "").await;
    let fetched = bench.run().await.unwrap();
    let set = bench.set(&fetched.kept.id);
    let read = std::fs::read_to_string(set.join("closed/deep/a.yar")).unwrap();
    assert_eq!(read, "rule a { condition: true }");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&set.join("closed/deep")), 0o755);
    assert_eq!(mode(&set.join("closed/deep/a.yar")), 0o444);
    bench.check_nothing_left();
}

#[tokio::test]
async fn tricks_make_no_set() {
    let tricks = BTreeMap::from([
        ("passwd is a link", "os.symlink('/etc/passwd', 'passwd')"),
        ("blobs is a link", "os.symlink('../../blobs', 'blobs')"),
        ("pipe is no regular file", "os.mkfifo('pipe')"),
        (
            "socket is no regular file",
            "__import__('socket').socket(1).bind('socket')",
        ),
        ("has a name", "open('a\\nb', 'w')"),
        ("is too deep", "os.makedirs('/'.join('d' * 40))"),
        (
            "no files",
            "__import__('shutil').rmtree('sub'); os.remove('main.cvd')",
        ),
    ]);
    let bench = Bench::new("pass", "").await;
    for (expected, trick) in tricks {
        bench.command(&format!("import os; os.chdir('/candidate')\n{trick}"), "");
        let error = bench.updater().run_once().await.unwrap_err();
        let UpdateError::Adopt { error, output } = &error else {
            panic!("{trick}: {error}");
        };
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!matches!(error, AdoptError::Io(_)), "{error}");
        assert!(output.starts_with(b"exit: 0"));
        bench.check_nothing_left();
    }
    bench.check_active();
    // The active set, and its digests.
    assert_eq!(std::fs::read_dir(bench.sets()).unwrap().count(), 3);
}

#[tokio::test]
async fn active_set_cannot_be_changed_through_its_links() {
    let script = r#"
import os
blocked = []
def attempt(name, act):
    try:
        act()
    except PermissionError:
        blocked.append(name)
main = "/candidate/main.cvd"
attempt("write", lambda: open(main, "r+b"))
attempt("append", lambda: open(main, "ab"))
attempt("truncate", lambda: os.truncate(main, 0))
attempt("chmod", lambda: os.chmod(main, 0o666))
attempt("chown", lambda: os.chown(main, 65534, 65534))
attempt("times", lambda: os.utime(main, (1, 1)))
os.rename(main, "/candidate/sub/renamed")
attempt("renamed", lambda: open("/candidate/sub/renamed", "r+b"))
os.rename("/candidate/sub/renamed", main)
print(" ".join(blocked))
"#;
    let bench = Bench::new(script, "").await;
    let fetched = bench.run().await.unwrap();
    let output = String::from_utf8(fetched.output).unwrap();
    let all = "write append truncate chmod chown times renamed";
    assert!(output.contains(all), "{output}");
    assert_eq!(fetched.kept.id, bench.active.id);
    bench.check_active();
}

#[tokio::test]
async fn what_a_killed_update_left_is_gone_after_the_next() {
    let bench = Bench::new("pass", "").await;
    let storage = &bench.machine.config.storage;
    let updater = bench.updater();
    // A container with a directory, as a daemon that was killed leaves them.
    let work = storage
        .updates_dir(&bench.machine.engine)
        .join("00000000000000aa");
    signatures::prepare(Some(&bench.set(&bench.active.id)), &work).unwrap();
    let start = bench.start("00000000000000aa");
    bench.machine.sandbox().start_update(start).await.unwrap();
    assert_eq!(bench.machine.containers().len(), 1);
    // Trash that only the engine's user may remove.
    let trash = storage.cache_dir(bench.machine.engine.as_str());
    let trash = trash.join(".trash-00000000000000bb/closed");
    std::fs::create_dir_all(&trash).unwrap();
    std::fs::write(trash.join("file"), "").unwrap();
    chown(&trash, Some(65534), Some(65534)).unwrap();
    std::fs::set_permissions(&trash, PermissionsExt::from_mode(0o500)).unwrap();
    let parent = trash.parent().unwrap();
    std::fs::set_permissions(parent, PermissionsExt::from_mode(0o777)).unwrap();

    updater.run_once().await.unwrap();
    assert!(!parent.exists());
    bench.check_nothing_left();
    bench.check_active();
}
