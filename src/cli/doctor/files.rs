//! Files and directories: there, whose, who may write them.

use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Group, Uid, User};

use super::{Finding, Patient};
use crate::cli::settings::{ADMIN_KEY, read_key};
use crate::cli::walk::describe;

/// Looks at files, owners and modes.
pub fn look(patient: &Patient, findings: &mut Vec<Finding>) {
    let config = &patient.config;
    findings.push(user(&config.docker.user));
    findings.push(untouchable(
        "configuration directory",
        Path::new("/etc/acquit"),
    ));
    findings.push(admin_key(patient.root));
    data_dir(patient, findings);
    findings.push(runner(&config.docker.runner));
    manifests(patient, findings);
}

fn user(name: &str) -> Finding {
    let check = "daemon's user";
    let Ok(Some(user)) = User::from_name(name) else {
        let mend = format!("create it: useradd --system --shell /usr/sbin/nologin {name}");
        return Finding::fail(check, format!("there is no user {name}"), mend);
    };
    let docker = Group::from_name("docker").ok().flatten();
    match docker {
        Some(docker) if docker.mem.iter().any(|member| member == name) => {
            let seen = format!("{name} is in group docker, which is as good as root");
            Finding::fail(
                check,
                seen,
                format!("take it out: gpasswd -d {name} docker"),
            )
        }
        _ => Finding::ok(
            check,
            format!("{name}, uid {}, not in group docker", user.uid),
        ),
    }
}

/// Judges a path that only root may write.
fn untouchable(check: &str, path: &Path) -> Finding {
    let shown = path.display();
    match path.metadata() {
        Ok(metadata) => match tampering(&metadata) {
            None => Finding::ok(check, format!("{shown}, {}", mode(&metadata))),
            Some(who) => {
                let mend = format!("chown root {shown} && chmod go-w {shown}");
                Finding::fail(check, format!("{who} can write {shown}"), mend)
            }
        },
        Err(error) => {
            let seen = format!("{shown}: {}", describe(&error));
            Finding::warn(check, seen, "run install.sh, or make it")
        }
    }
}

fn tampering(metadata: &Metadata) -> Option<String> {
    if metadata.uid() != 0 {
        return Some(format!("user {}", user_name(metadata.uid())));
    }
    (metadata.mode() & 0o022 != 0).then(|| "not only root".to_owned())
}

fn user_name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

fn mode(metadata: &Metadata) -> String {
    format!(
        "mode {:04o}, owner {}",
        metadata.mode() & 0o7777,
        user_name(metadata.uid())
    )
}

fn admin_key(root: bool) -> Finding {
    let (check, path) = ("admin key", Path::new(ADMIN_KEY));
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if !root => return Finding::skipped(check, describe(&error)),
        Err(_) => {
            let mend = "make one: acquit keys init, then restart the daemon";
            return Finding::warn(check, format!("there is no {ADMIN_KEY}"), mend);
        }
    };
    if metadata.mode() & 0o077 != 0 || metadata.uid() != 0 {
        let mend = format!("chown root {ADMIN_KEY} && chmod 600 {ADMIN_KEY}");
        return Finding::fail(check, format!("{ADMIN_KEY}, {}", mode(&metadata)), mend);
    }
    match root.then(|| read_key(path)) {
        Some(Err(error)) => {
            let mend = format!("move {ADMIN_KEY} away and run `acquit keys init`");
            Finding::fail(check, format!("{error:#}"), mend)
        }
        _ => Finding::ok(check, format!("{ADMIN_KEY}, {}", mode(&metadata))),
    }
}

fn data_dir(patient: &Patient, findings: &mut Vec<Finding>) {
    let (check, path) = ("data directory", &patient.config.storage.data_dir);
    let shown = path.display();
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) => {
            let seen = format!("{shown}: {}", describe(&error));
            findings.push(Finding::fail(check, seen, "run install.sh, or make it"));
            return;
        }
    };
    let user = &patient.config.docker.user;
    let seen = format!("{shown}, {}", mode(&metadata));
    let private = metadata.mode() & 0o077 == 0;
    findings.push(if !private || user_name(metadata.uid()) != *user {
        let mend = format!("chown {user}: {shown} && chmod 700 {shown}");
        Finding::fail(check, seen, mend)
    } else {
        Finding::ok(check, seen)
    });
    findings.push(one_file_system(path, metadata.dev()));
}

/// Blobs are shown to engines by hard link, so everything must be on one file system.
fn one_file_system(data_dir: &Path, device: u64) -> Finding {
    let check = "one file system";
    let mut seen = Vec::new();
    for name in [
        "blobs",
        "incoming",
        "uploads",
        "staging",
        "signatures",
        "runners",
    ] {
        match data_dir.join(name).metadata() {
            Ok(metadata) if metadata.dev() != device => {
                let mend = "have one file system for the whole data directory";
                return Finding::fail(check, format!("{name} is on another one"), mend);
            }
            Ok(_) => seen.push(name),
            Err(_) => {}
        }
    }
    if seen.is_empty() {
        return Finding::skipped(check, "nothing is in the data directory that can be seen");
    }
    Finding::ok(
        check,
        format!("{} are on that of the data directory", seen.join(", ")),
    )
}

fn runner(path: &Path) -> Finding {
    let (check, shown) = ("runner", path.display());
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) => {
            let seen = format!("{shown}: {}", describe(&error));
            return Finding::fail(check, seen, "run install.sh, or set docker.runner");
        }
    };
    if let Some(who) = tampering(&metadata) {
        let mend = format!("chown root {shown} && chmod 755 {shown}");
        return Finding::fail(check, format!("{who} can write {shown}"), mend);
    }
    if metadata.mode() & 0o001 == 0 {
        let mend = format!("chmod 755 {shown}");
        return Finding::fail(check, format!("{shown} is not executable for all"), mend);
    }
    let mend = "install the runner that install.sh builds";
    match is_static(path) {
        Ok(true) => Finding::ok(check, format!("{shown}, static, {}", mode(&metadata))),
        Ok(false) => Finding::fail(check, format!("{shown} is not a static program"), mend),
        Err(error) => Finding::fail(check, format!("{shown}: {}", describe(&error)), mend),
    }
}

/// Tells whether a file is a 64-bit ELF program that asks for no dynamic loader.
fn is_static(path: &Path) -> std::io::Result<bool> {
    const INTERPRETER: u32 = 3;
    let mut head = Vec::new();
    std::fs::File::open(path)?
        .take(4096)
        .read_to_end(&mut head)?;
    if head.get(..5) != Some(b"\x7fELF\x02") {
        return Ok(false);
    }
    let number = |at: usize, length: usize| {
        let bytes = head.get(at..at + length)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0_usize, |all, byte| all << 8 | usize::from(*byte)),
        )
    };
    let (Some(offset), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2))
    else {
        return Ok(false);
    };
    let kind = |index: usize| {
        let at = index.checked_mul(size)?.checked_add(offset)?;
        let kind = head.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(kind.try_into().ok()?))
    };
    // A header that cannot be read whole proves nothing.
    let kinds: Option<Vec<u32>> = (0..count).map(kind).collect();
    Ok(kinds.is_some_and(|kinds| !kinds.is_empty() && !kinds.contains(&INTERPRETER)))
}

fn manifests(patient: &Patient, findings: &mut Vec<Finding>) {
    let check = "manifests";
    for broken in &patient.catalog.broken {
        let path = broken.path.display();
        let seen = format!("{path} cannot be used:\n{}", broken.problems);
        let mend = format!("run `acquit engines check {path}`");
        findings.push(Finding::fail(check, seen, mend));
    }
    let engines = &patient.catalog.engines;
    if engines.is_empty() {
        let dirs = patient
            .config
            .engines
            .manifests
            .iter()
            .map(|dir| dir.display().to_string());
        let seen = format!("there is none in {}", dirs.collect::<Vec<_>>().join(", "));
        findings.push(Finding::fail(
            check,
            seen,
            "run install.sh, or set engines.manifests",
        ));
        return;
    }
    let ids: Vec<&str> = engines.keys().map(|id| id.as_str()).collect();
    findings.push(Finding::ok(
        check,
        format!("{}: {}", ids.len(), ids.join(", ")),
    ));
    for manifest in engines.values() {
        findings.extend(signatures(patient, manifest));
    }
}

/// Judges the signature sets of an engine that has them outside its image.
fn signatures(patient: &Patient, manifest: &crate::engine::manifest::Manifest) -> Option<Finding> {
    let signatures = manifest.signatures.as_ref()?;
    let check = format!("signatures of {}", manifest.id);
    let sets = patient
        .config
        .storage
        .data_dir
        .join("signatures")
        .join(manifest.id.as_str());
    if let Ok(entries) = std::fs::read_dir(&sets) {
        let names = entries.flatten().map(|entry| entry.file_name());
        let sets = names
            .filter(|name| !name.to_string_lossy().starts_with('.'))
            .count();
        if sets > 0 {
            return Some(Finding::ok(check, format!("{sets} set(s)")));
        }
    }
    let context = manifest.build_context(&patient.config.engines.containers);
    let seed = context.join(&signatures.seed);
    let shown = seed.display();
    let first = std::fs::read_dir(&seed).ok()?.next();
    Some(match first {
        Some(_) => Finding::ok(check, format!("the first set will be taken from {shown}")),
        None => Finding::fail(
            check,
            format!("{shown} is empty"),
            "install the engine's files again",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_with_a_loader_is_not_static() {
        assert!(!is_static(Path::new("/bin/sh")).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for content in [&b""[..], b"\x7fELF\x02", b"#!/bin/sh\n", &[0xff; 100]] {
            std::fs::write(&path, content).unwrap();
            assert!(!is_static(&path).unwrap());
        }
    }

    #[test]
    fn program_without_a_loader_is_static() {
        let mut elf = vec![0; 64 + 56];
        elf[..5].copy_from_slice(b"\x7fELF\x02");
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        elf[64] = 1;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, &elf).unwrap();
        assert!(is_static(&path).unwrap());
        elf[64] = 3;
        std::fs::write(&path, &elf).unwrap();
        assert!(!is_static(&path).unwrap());
    }
}
