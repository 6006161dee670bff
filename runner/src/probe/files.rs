//! Whether anything but `/tmp` can be written, and whether what is there can be run.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use acquit_runner::wire::{RUNNER_PATH, SCAN_DIR, SOCKET_DIR};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::Check;

/// Makes all attempts.
pub fn checks() -> Vec<Check> {
    vec![
        read_only("files.root", "/"),
        read_only("files.scan", SCAN_DIR),
        read_only("files.socket_dir", SOCKET_DIR),
        read_only("files.signatures", "/signatures"),
        runner(),
        mounts(),
        kernel_settings(),
        no_exec("files.tmp_noexec", "/tmp"),
        no_exec("files.shm_noexec", "/dev/shm"),
    ]
}

/// Not being allowed to write is not enough: the mount itself must be read-only.
fn read_only(name: &str, dir: &str) -> Check {
    let path = Path::new(dir).join(".acquit-probe");
    match write(&path) {
        Ok(()) => {
            let _ = fs::remove_file(&path);
            Check::new(name, false, format!("wrote {}", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Check::new(name, true, format!("there is no {dir}"))
        }
        Err(error) => mounted_read_only(name, dir, &error.to_string()),
    }
}

fn mounted_read_only(name: &str, path: &str, seen: &str) -> Check {
    match statvfs(path) {
        Ok(found) if found.flags().contains(FsFlags::ST_RDONLY) => Check::new(name, true, seen),
        Ok(_) => Check::new(name, false, format!("{path} is mounted writable")),
        Err(errno) => Check::new(name, false, format!("cannot look at {path}: {errno}")),
    }
}

fn write(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(path)?;
    file.write_all(b"acquit")
}

fn runner() -> Check {
    let name = "files.runner";
    match OpenOptions::new().append(true).open(RUNNER_PATH) {
        Ok(_) => Check::new(name, false, format!("{RUNNER_PATH} can be written")),
        Err(error) => mounted_read_only(name, RUNNER_PATH, &error.to_string()),
    }
}

/// Looks at every mount, also those nobody thought of, like one inside the staged files.
fn mounts() -> Check {
    let name = "files.mounts";
    let Ok(text) = fs::read_to_string("/proc/self/mountinfo") else {
        return Check::new(name, false, "cannot list the mounts");
    };
    let found: Vec<&str> = text.lines().filter_map(writable).collect();
    match found.as_slice() {
        [] => Check::new(name, true, "only temporary file systems are writable"),
        _ => Check::new(name, false, format!("writable: {}", found.join(", "))),
    }
}

/// Returns the place of a writable mount that should not be there.
fn writable(line: &str) -> Option<&str> {
    let mut fields = line.split(' ').skip(4);
    let (place, options) = (fields.next()?, fields.next()?);
    let kernel = ["/proc", "/sys", "/dev"];
    let known = place == "/tmp"
        || kernel.iter().any(|dir| {
            let rest = place.strip_prefix(dir);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    let read_only = options.split(',').any(|option| option == "ro");
    (!known && !read_only).then_some(place)
}

fn kernel_settings() -> Check {
    let name = "files.proc_sys";
    let paths = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"];
    let opened = paths
        .iter()
        .find(|path| OpenOptions::new().write(true).open(path).is_ok());
    match opened {
        Some(path) => Check::new(name, false, format!("{path} can be written")),
        None => Check::new(name, true, "kernel settings cannot be written"),
    }
}

fn no_exec(name: &str, dir: &str) -> Check {
    let path = Path::new(dir).join(".acquit-probe");
    let check = match fs::copy("/proc/self/exe", &path) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            Check::new(name, false, format!("{dir} has no room to try: {error}"))
        }
        Err(error) => Check::new(name, true, format!("nothing can be written: {error}")),
        Ok(_) => execute(name, &path),
    };
    let _ = fs::remove_file(&path);
    check
}

fn execute(name: &str, path: &Path) -> Check {
    let ran = fs::set_permissions(path, Permissions::from_mode(0o755)).and_then(|()| {
        let mut command = Command::new(path);
        command.arg("--nothing").stdin(Stdio::null()).status()
    });
    match ran {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Check::new(name, true, error.to_string())
        }
        Err(error) => Check::new(name, false, format!("cannot try: {error}")),
        Ok(_) => Check::new(name, false, format!("ran {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writable_mounts_outside_the_kernel_s_own_are_named() {
        let line = |place: &str, options: &str| {
            let line = format!("1 2 0:3 / {place} {options},relatime - ext4 /dev/x rw");
            writable(&line).map(str::to_owned)
        };
        assert_eq!(line("/scan/a", "rw"), Some("/scan/a".to_owned()));
        assert_eq!(line("/device", "rw"), Some("/device".to_owned()));
        assert_eq!(line("/scan", "ro"), None);
        assert_eq!(line("/dev/shm", "rw,nosuid"), None);
        assert_eq!(line("/tmp", "rw"), None);
    }
}
