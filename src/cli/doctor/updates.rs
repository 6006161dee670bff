//! The `[updates]` section: keys, sources, and the canary's files.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::User;

use super::{Finding, Patient};
use crate::cli::walk::describe;
use crate::config::{Config, Source};

/// Most entries of a canary directory that are looked at.
const LOOK: usize = 10_000;

/// Says what is wrong with the section, without looking at the machine.
pub fn problems(config: &Config) -> Vec<String> {
    let updates = &config.updates;
    let mut problems = Vec::new();
    let mut judge = |place: &str, judged: Result<(), String>| {
        if let Err(what) = judged {
            problems.push(format!("{place}: {what}"));
        }
    };
    for key in &updates.trusted_keys {
        judge("updates.trusted_keys", public_key(key));
    }
    for (engine, own) in &updates.engines {
        let place = |key: &str| format!("updates.engines.{engine}.{key}");
        let keys = own.sources.iter().flatten();
        for key in keys.filter_map(|source| source.minisign.as_ref()) {
            judge(&place("sources"), public_key(key));
        }
    }
    problems
}

fn public_key(text: &str) -> Result<(), String> {
    match minisign::PublicKey::from_base64(text.trim()) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "{text:?} is no public key of minisign: 56 characters that begin with RW"
        )),
    }
}

/// Looks at what the section names on this machine.
pub fn look(patient: &Patient, findings: &mut Vec<Finding>) {
    let (config, check) = (&patient.config, "updates");
    for problem in problems(config) {
        let mend = "correct it in the configuration";
        findings.push(Finding::fail(check, problem, mend));
    }
    let updates = &config.updates;
    let strangers = updates.engines.keys();
    for engine in strangers.filter(|engine| !patient.catalog.engines.contains_key(engine)) {
        let seen = format!("updates.engines.{engine} is of no engine that is here");
        let mend = "`acquit engines list` shows those there are";
        findings.push(Finding::warn(check, seen, mend));
    }
    let sources = updates.engines.values();
    let sources = sources.flat_map(|own| own.sources.iter().flatten());
    findings.extend(sources.filter_map(source));
    let user = User::from_name(&config.docker.user).ok().flatten();
    for (name, dir) in [
        ("known-good files", &updates.known_good),
        ("known-bad files", &updates.known_bad),
    ] {
        findings.push(canary(name, dir, user.as_ref()));
    }
}

fn source(source: &Source) -> Option<Finding> {
    let dir = source.directory.as_ref()?;
    let check = "update source";
    Some(match std::fs::read_dir(dir) {
        Ok(_) => Finding::ok(check, dir.display().to_string()),
        Err(error) => {
            let seen = format!("{}: {}", dir.display(), describe(&error));
            Finding::fail(check, seen, "make it, or name another in the configuration")
        }
    })
}

/// Judges whether the daemon's user can read a canary directory and what is in it.
fn canary(name: &str, dir: &Path, user: Option<&User>) -> Finding {
    let shown = dir.display();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        // Nobody must have files of his own: there are always those of the machine.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::ok(name, format!("there is no {shown}, so none of your own"));
        }
        Err(error) => return Finding::skipped(name, format!("{shown}: {}", describe(&error))),
    };
    let Some(user) = user else {
        return Finding::skipped(name, format!("{shown}: there is no user to read it"));
    };
    let paths = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .take(LOOK);
    let paths: Vec<_> = std::iter::once(dir.to_owned()).chain(paths).collect();
    match paths.iter().find(|path| !can_read(path, user)) {
        Some(path) => {
            let seen = format!("{} cannot read {}", user.name, path.display());
            Finding::fail(name, seen, format!("chmod -R a+rX {shown}"))
        }
        None => Finding::ok(name, format!("{shown}, {} entries", paths.len() - 1)),
    }
}

fn can_read(path: &Path, user: &User) -> bool {
    let Ok(metadata) = path.metadata() else {
        return false;
    };
    let wanted = if metadata.is_dir() { 0o5 } else { 0o4 };
    let shift = match (metadata.uid(), metadata.gid()) {
        (uid, _) if uid == user.uid.as_raw() => 6,
        (_, gid) if gid == user.gid.as_raw() => 3,
        _ => 0,
    };
    metadata.mode() >> shift & wanted == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, problem: &str) {
        let config = Config::parse(text).unwrap();
        let found = problems(&config).join("; ");
        assert!(
            found.contains(problem) && found.is_empty() == problem.is_empty(),
            "{found}"
        );
    }

    #[test]
    fn keys_are_judged() {
        check("", "");
        check("[updates]\ntrusted_keys = [\"RWx\"]", "is no public key");
        let source = "{ url = \"https://rules.example/a.yar\", minisign = \"RWx\" }";
        let own = format!("[updates.engines.yara]\nsources = [{source}]");
        check(&own, "updates.engines.yara.sources");
    }

    #[test]
    fn directory_that_the_user_cannot_read_is_told() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "x").unwrap();
        let nobody = User::from_name("nobody").unwrap().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let level = || canary("x", dir.path(), Some(&nobody)).level;
        assert_eq!(level(), super::super::Level::Ok);
        let closed = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(dir.path().join("a"), closed).unwrap();
        assert_eq!(level(), super::super::Level::Fail);
    }
}
