//! What is left to a process that gave up its privileges: as root, with the real Docker socket.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use acquit::config::{Config, Docker};
use acquit::system;

/// Tells a copy of this program what to be.
const ROLE: &str = "ACQUIT_TEST_ROLE";
/// Starts the line on which the copy says how it went.
const SAYS: &str = "dropped: ";

/// A copy of this program that tried to give up its privileges.
struct Dropped {
    child: Child,
    _stdin: ChildStdin,
    said: String,
}

impl Dropped {
    fn new(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "system::copy_of_this_program"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let says = lines.map(Result::unwrap).find(|line| line.contains(SAYS));
        let says = says.expect("the copy says how it went");
        let (_, said) = says.split_once(SAYS).unwrap();
        Self {
            said: said.to_owned(),
            child,
            _stdin: stdin,
        }
    }

    fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.child.id()))
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Not a test by itself: the program that the other tests start and look at.
#[test]
fn copy_of_this_program() {
    let Some(role) = std::env::var_os(ROLE) else {
        return;
    };
    let mut docker = Docker::default().socket;
    let open = tempfile::tempdir().unwrap();
    let (ours, _) = UnixStream::pair().unwrap();
    let mut inherited = None;
    let mut user = "nobody";
    match role.to_str().unwrap() {
        "plain" => {}
        "inherits" => inherited = Some(UnixStream::connect(&docker).unwrap()),
        "root" => user = "root",
        "nobody-there" => user = "no-such-user",
        "open" => {
            docker = open.path().join("docker.sock");
            // Nobody listens any more; that it could be opened is enough.
            drop(UnixListener::bind(&docker).unwrap());
            let all = || std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(&docker, all()).unwrap();
            fs::set_permissions(open.path(), all()).unwrap();
        }
        other => panic!("no role {other}"),
    }
    match system::drop_privileges(user, &ours, &docker) {
        Ok(()) => println!("\n{SAYS}yes"),
        Err(error) => println!("\n{SAYS}{error:#}"),
    }
    // Until the test is through with looking.
    let _ = std::io::stdin().read_line(&mut String::new());
    drop(inherited);
}

#[test]
fn dropped_process_has_no_group_descriptor_or_path_to_docker() {
    let dropped = Dropped::new("plain");
    assert_eq!(dropped.said, "yes");
    check_powerless(&dropped.proc());
}

/// Looks at every thread and every descriptor.
fn check_powerless(proc: &Path) {
    for task in fs::read_dir(proc.join("task")).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name: &str| -> Vec<String> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let values = line.unwrap().split_whitespace();
            values.map(str::to_owned).collect()
        };
        let ids: BTreeSet<_> = field("Uid:").into_iter().chain(field("Gid:")).collect();
        assert_eq!(ids.len(), 1, "{status}");
        assert!(!ids.contains("0"), "{status}");
        assert!(field("Groups:").is_empty(), "{status}");
        for capabilities in ["CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(capabilities), ["0000000000000000"]);
        }
    }
    let sockets = sockets_of(proc);
    assert!(!sockets.is_empty(), "there is the broker's");
    assert!(sockets.is_disjoint(&docker_sockets()));
}

#[test]
fn serving_daemon_has_no_way_to_docker_and_its_broker_ends_with_it() {
    let temp = tempfile::tempdir().unwrap();
    let top = temp.path();
    fs::set_permissions(top, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut config = Config::default();
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    config.storage.data_dir = top.join("data");
    config.engines.manifests = Vec::new();
    config.docker.user = "nobody".to_owned();
    let path = top.join("acquit.toml");
    fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_acquit"))
        .arg("serve")
        .arg("--config")
        .arg(&path)
        .spawn()
        .unwrap();
    let proc = PathBuf::from(format!("/proc/{}", daemon.id()));
    wait_until("the daemon has its threads", || {
        // The lock is taken after everything else was given up.
        fs::read_dir(proc.join("task")).unwrap().count() > 1
            && config.storage.data_dir.join("lock").exists()
    });
    let broker = child_of(daemon.id());
    check_powerless(&proc);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    wait_until("the broker ended", || !is_alive(&broker));
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Finds the only child of a process, below any of its threads.
fn child_of(parent: u32) -> PathBuf {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let children = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")));
    let children: String = children.map(Result::unwrap).collect();
    let children: Vec<&str> = children.split_whitespace().collect();
    assert_eq!(children.len(), 1, "the broker: {children:?}");
    Path::new("/proc").join(children[0])
}

fn is_alive(proc: &Path) -> bool {
    // Whoever adopted it may not have waited for it yet.
    fs::read_to_string(proc.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn process_that_could_reach_docker_does_not_start() {
    let said = |role| Dropped::new(role).said.clone();
    assert!(said("inherits").contains("a socket was inherited"));
    assert!(said("open").contains("can reach the Docker socket"));
    assert!(said("root").contains("must not be root"));
    assert!(said("nobody-there").contains("useradd"));
}

#[test]
fn root_is_not_confined() {
    let error = system::confine(&Docker::default().socket).unwrap_err();
    assert!(error.to_string().contains("must not be root"), "{error}");
}

#[test]
fn units_are_hardened_and_well_formed() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    for unit in ["acquit.service", "acquit-broker.service"] {
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=15"])
            .arg(units.join(unit))
            .output()
            .expect("the Debian package systemd has systemd-analyze");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{unit} is too exposed: {said}");
    }
    let installed = tempfile::tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for unit in [
        "acquit.service",
        "acquit-broker.service",
        "acquit-broker.socket",
    ] {
        let text = fs::read_to_string(units.join(unit)).unwrap();
        // Where the program is not installed, any other stands in for it.
        let text = text.replace("/usr/local/bin/acquit", "/bin/true");
        let path = installed.path().join(unit);
        fs::write(&path, text).unwrap();
        verify.arg(path);
    }
    let output = verify.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Lists the inodes of a process's sockets.
fn sockets_of(proc: &Path) -> BTreeSet<u64> {
    let fds = fs::read_dir(proc.join("fd")).unwrap();
    let targets = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    targets
        .filter_map(|target| {
            let target = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            target.parse().ok()
        })
        .collect()
}

/// Lists the inodes of the sockets that are bound to Docker's path.
fn docker_sockets() -> BTreeSet<u64> {
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let bound = table.lines().filter(|line| line.ends_with("/docker.sock"));
    let inodes: BTreeSet<u64> = bound
        .map(|line| line.split_whitespace().nth(6).unwrap().parse().unwrap())
        .collect();
    assert!(!inodes.is_empty(), "a Docker Engine listens");
    inodes
}
