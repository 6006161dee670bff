//! The machine around the daemon: privileges, the lock, signals, systemd.
//!
//! `acquit serve` started as root keeps nothing of it: the broker is spawned
//! first, with one end of a socket pair as its standard input, then every thread
//! to come becomes the configured user, for good.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::prctl;
use nix::sys::stat::{Mode, fstat, umask};
use nix::unistd::{Uid, User, getgroups, setgroups, setresgid, setresuid};

use crate::model::Timestamp;

/// Returns the present.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The data directory is ours as long as this lives.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// Makes files created from here on readable for nobody else.
pub fn tighten_umask() {
    umask(Mode::from_bits_truncate(0o077));
}

/// Tells whether this process is root.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Starts the broker as a child and returns the daemon's end of their socket pair.
///
/// The child ends when this end closes, so it never outlives the daemon.
///
/// # Errors
/// Fails if it cannot be started.
pub fn spawn_broker(config_path: &Path) -> anyhow::Result<UnixStream> {
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let (ours, theirs) = UnixStream::pair().context("cannot make a socket pair")?;
    Command::new(&program)
        .arg("docker-broker")
        .arg("--config")
        .arg(config_path)
        .arg("--stdin")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .current_dir("/")
        // Its own group: a terminal's interrupt is for the daemon, which still needs the broker.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {} docker-broker", program.display()))?;
    Ok(ours)
}

/// Becomes `user` for good, and makes sure that neither root nor Docker can be reached again.
///
/// Must be called before any thread is started: what is set here is inherited.
///
/// # Errors
/// Fails if anything of root is left.
pub fn drop_privileges(user: &str, broker: &UnixStream, docker: &Path) -> anyhow::Result<()> {
    let found = User::from_name(user).with_context(|| format!("cannot look up user {user}"))?;
    let found = found.with_context(|| {
        format!("there is no user {user}; create it with `useradd --system {user}`")
    })?;
    ensure!(
        !found.uid.is_root(),
        "docker.user must not be root: the daemon reads what strangers send"
    );
    setgroups(&[]).context("cannot leave root's groups")?;
    setresgid(found.gid, found.gid, found.gid).context("cannot change the group")?;
    setresuid(found.uid, found.uid, found.uid).context("cannot change the user")?;
    let groups = getgroups().context("cannot read the groups")?;
    ensure!(groups.is_empty(), "groups are left: {groups:?}");
    ensure_no_socket_but(broker)?;
    confine(docker)
}

/// Gives up what is left to give up, and makes sure that root and Docker are out of reach.
///
/// The whole of it for a daemon that was not started as root.
///
/// # Errors
/// Says what is still in reach.
pub fn confine(docker: &Path) -> anyhow::Result<()> {
    ensure!(
        !is_root(),
        "the daemon must not be root: it reads what strangers send"
    );
    prctl::set_no_new_privs().context("cannot forbid new privileges")?;
    // No process of this user may read the daemon's memory, where private bytes are.
    prctl::set_dumpable(false).context("cannot forbid core dumps")?;
    let root = Uid::from_raw(0);
    ensure!(setresuid(root, root, root).is_err(), "root can be had back");
    ensure_no_capability()?;
    ensure_no_docker(docker)
}

/// Takes the data directory for this process alone, and gives it an id on its first start.
///
/// # Errors
/// Names the process that has it.
pub fn lock_data_dir(data_dir: &Path) -> anyhow::Result<Lock> {
    let path = data_dir.join("lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut file) => {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())?;
            instance(data_dir)?;
            Ok(Lock { _file: file })
        }
        Err((mut file, _)) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder)?;
            bail!(
                "{} is in use by the process {}; only one Acquit may run on a data directory",
                data_dir.display(),
                holder.trim()
            )
        }
    }
}

/// Returns the appliance's id, which its containers carry; made on the first start.
///
/// # Errors
/// Fails if it can neither be read nor made.
pub fn instance(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("instance");
    if !path.exists() {
        make_instance(data_dir, &path)?;
    }
    let mut text = String::new();
    // The directory is the daemon's, and whoever reads this may be root: no link is followed.
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(&path)
        .and_then(|file| file.take(64).read_to_string(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    let instance = text.trim_end();
    let legal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    ensure!(
        instance.len() == 32 && instance.bytes().all(legal),
        "{} must hold 32 hexadecimal digits; its containers carry them",
        path.display()
    );
    Ok(instance.to_owned())
}

/// Waits for the signal to end: SIGTERM or SIGINT.
pub async fn termination() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without handlers the signals end the process, which is what they ask for.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Tells systemd, if it is there, that the daemon is ready.
pub fn notify_ready() {
    notify(&[sd_notify::NotifyState::Ready]);
}

/// Tells systemd, if it is there, that the daemon is ending.
pub fn notify_stopping() {
    notify(&[sd_notify::NotifyState::Stopping]);
}

/// Tells systemd, if it is there, that the daemon lives.
pub fn notify_alive() {
    notify(&[sd_notify::NotifyState::Watchdog]);
}

/// Returns how often systemd wants to hear that the daemon lives: half of its patience.
pub fn watchdog_interval() -> Option<Duration> {
    let mut microseconds = 0;
    sd_notify::watchdog_enabled(false, &mut microseconds)
        .then(|| Duration::from_micros(microseconds / 2))
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::warn!(%error, "Cannot notify systemd");
    }
}

/// Makes the id whole or not at all; the daemon and its broker may both try.
fn make_instance(data_dir: &Path, path: &Path) -> anyhow::Result<()> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| anyhow::anyhow!("the kernel gives no random bytes: {error}"))?;
    let says = || format!("cannot write {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(data_dir).with_context(says)?;
    writeln!(file, "{}", hex::encode(random)).with_context(says)?;
    // Made by root on a command line, it is the daemon's all the same.
    let owner = std::fs::metadata(data_dir).with_context(says)?;
    if is_root() {
        fchown(file.as_file(), Some(owner.uid()), Some(owner.gid())).with_context(says)?;
    }
    file.as_file().sync_all().with_context(says)?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error.error).with_context(says)
        }
        _ => Ok(()),
    }
}

fn ensure_no_capability() -> anyhow::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc")?;
    for line in status.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let held = matches!(name, "CapPrm" | "CapEff" | "CapAmb");
        let none = value.trim().bytes().all(|c| c == b'0');
        ensure!(!held || none, "capabilities are left: {line}");
    }
    Ok(())
}

/// Makes sure that the Docker socket cannot be opened; refused is not enough, it must be forbidden.
fn ensure_no_docker(docker: &Path) -> anyhow::Result<()> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let opened = UnixStream::connect(docker);
    let forbidden = opened
        .as_ref()
        .is_err_and(|error| matches!(error.kind(), NotFound | PermissionDenied));
    ensure!(
        forbidden,
        "the daemon's user can reach the Docker socket {}: take it out of that socket's group",
        docker.display()
    );
    Ok(())
}

/// Makes sure that no socket was inherited; it might be Docker's.
fn ensure_no_socket_but(broker: &UnixStream) -> anyhow::Result<()> {
    let known = fstat(broker.as_fd())?.st_ino;
    for entry in std::fs::read_dir("/proc/self/fd").context("cannot read /proc")? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str());
        let standard = matches!(number, Some("0" | "1" | "2"));
        // The descriptor of this very listing is gone by now.
        let Ok(target) = std::fs::metadata(&path) else {
            continue;
        };
        let socket = target.mode() & 0o170_000 == 0o140_000;
        ensure!(
            !socket || standard || target.ino() == known,
            "a socket was inherited: {}",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_directory_is_for_one_process_and_keeps_its_id() {
        let data_dir = tempfile::tempdir().unwrap();
        let lock = lock_data_dir(data_dir.path()).unwrap();
        let id = instance(data_dir.path()).unwrap();
        let error = lock_data_dir(data_dir.path()).unwrap_err().to_string();
        let holder = format!("by the process {};", std::process::id());
        assert!(error.contains(&holder), "{error}");
        drop(lock);
        let _lock = lock_data_dir(data_dir.path()).unwrap();
        assert_eq!(instance(data_dir.path()).unwrap(), id);
    }

    #[test]
    fn id_behind_a_link_or_of_another_shape_is_refused() {
        let data_dir = tempfile::tempdir().unwrap();
        let path = data_dir.path().join("instance");
        let elsewhere = data_dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "0".repeat(32)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(instance(data_dir.path()).is_err());
        std::fs::remove_file(&path).unwrap();
        for text in [
            "",
            "0",
            "../../../../../../../../etc/shadow",
            "00112233445566778899AABBCCDDEEFF",
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(instance(data_dir.path()).is_err(), "{text}");
        }
    }
}
