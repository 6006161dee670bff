//! Docker: whether it answers, what it is, which images there are.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::{Finding, Patient};
use crate::cli::walk::describe;
use crate::engine::sandbox::{DockerInfo, Sandbox};

/// First fixed runc of each line (CVE-2025-31133, -52565, -52881: mount races at start).
const FIXED_RUNC: [(u64, u64, u64); 3] = [(1, 2, 8), (1, 3, 3), (1, 4, 0)];
/// Docker Engine's configuration.
const DAEMON_JSON: &str = "/etc/docker/daemon.json";

/// Looks at Docker.
pub async fn look(patient: &Patient, findings: &mut Vec<Finding>) {
    findings.push(socket(&patient.config.docker.socket));
    if !patient.root {
        findings.push(Finding::skipped("Docker", "only root may ask it"));
        return;
    }
    let asked = async {
        let sandbox = Sandbox::direct(patient.config.clone())?;
        let info = sandbox.info().await?;
        anyhow::Ok((sandbox, info))
    };
    match asked.await {
        Ok((sandbox, info)) => {
            versions(&info, findings);
            findings.push(live_restore());
            images(patient, &sandbox, findings).await;
        }
        Err(error) => {
            let mend = "start it: systemctl start docker; if it is elsewhere, set docker.socket";
            findings.push(Finding::fail("Docker", format!("{error:#}"), mend));
        }
    }
}

fn socket(path: &Path) -> Finding {
    let (check, shown) = ("Docker socket", path.display());
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) => {
            let seen = format!("{shown}: {}", describe(&error));
            return Finding::fail(
                check,
                seen,
                "install and start Docker Engine; run install.sh",
            );
        }
    };
    let mode = metadata.mode() & 0o7777;
    let seen = format!("{shown}, mode {mode:04o}");
    if !metadata.file_type().is_socket() {
        return Finding::fail(check, format!("{shown} is no socket"), "set docker.socket");
    }
    if mode & 0o006 != 0 {
        let seen = format!("{seen}: everybody on this machine is as good as root");
        return Finding::fail(check, seen, format!("chmod 660 {shown}"));
    }
    Finding::ok(check, seen)
}

fn versions(info: &DockerInfo, findings: &mut Vec<Finding>) {
    let parts: Vec<String> = info
        .components
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let seen = format!(
        "{}, API {}; {}",
        info.version,
        info.api_version,
        parts.join(", ")
    );
    findings.push(Finding::ok("Docker", seen));
    findings.extend(runc(info));
    findings.push(match info.cgroup_version.as_str() {
        "2" => Finding::ok("cgroups", "version 2"),
        version => {
            let mend =
                "boot with cgroup version 2; the limits are proven at each start all the same";
            Finding::warn("cgroups", format!("version {version}"), mend)
        }
    });
    let options = &info.security_options;
    let has = |name: &str| options.iter().any(|option| option.contains(name));
    let seen = options.join(", ");
    findings.push(if !has("seccomp") {
        let mend = "use a Docker Engine and a kernel with seccomp";
        Finding::fail("Docker security", seen, mend)
    } else if has("userns") || has("rootless") {
        Finding::ok("Docker security", seen)
    } else {
        let mend = "userns-remap in daemon.json makes root in a container nobody outside";
        Finding::warn(
            "Docker security",
            format!("{seen}; no user namespaces"),
            mend,
        )
    });
}

fn runc(info: &DockerInfo) -> Option<Finding> {
    let (_, version) = info.components.iter().find(|(name, _)| name == "runc")?;
    let check = "runc";
    let Some(found) = parse(version) else {
        return Some(Finding::skipped(check, format!("{version} is no version")));
    };
    if is_fixed(found) {
        return Some(Finding::ok(check, version));
    }
    let seen = format!("{version} is older than the fixes of 2025 for mount races");
    let mend = "upgrade it, unless its package has them (apt changelog runc | grep CVE-2025)";
    Some(Finding::warn(check, seen, mend))
}

/// Reads `major.minor.patch`, whatever follows.
fn parse(version: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = version.split(['.', '+', '-', '~']).map(str::parse);
    Some((
        numbers.next()?.ok()?,
        numbers.next()?.ok()?,
        numbers.next()?.ok()?,
    ))
}

fn is_fixed(found: (u64, u64, u64)) -> bool {
    let same_line = FIXED_RUNC
        .iter()
        .find(|(major, minor, _)| (found.0, found.1) == (*major, *minor));
    match same_line {
        Some(fixed) => found >= *fixed,
        None => found > FIXED_RUNC[2],
    }
}

fn live_restore() -> Finding {
    let check = "live-restore";
    let text = std::fs::read_to_string(DAEMON_JSON).unwrap_or_default();
    let settings: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    if settings["live-restore"].as_bool() == Some(true) {
        return Finding::ok(check, format!("on in {DAEMON_JSON}"));
    }
    let mend =
        format!("\"live-restore\": true in {DAEMON_JSON} keeps engines up over its upgrades");
    Finding::warn(check, "off", mend)
}

async fn images(patient: &Patient, sandbox: &Sandbox, findings: &mut Vec<Finding>) {
    let (mut there, mut missing) = (0, Vec::new());
    for id in patient.catalog.engines.keys() {
        match sandbox.image(id).await {
            Ok(Some(_)) => there += 1,
            Ok(None)
                if patient
                    .config
                    .engines
                    .disabled
                    .iter()
                    .any(|it| it == id.as_str()) => {}
            Ok(None) => missing.push(id.as_str()),
            Err(error) => {
                let mend = "see what Docker says of it";
                findings.push(Finding::fail(
                    format!("image of {id}"),
                    error.to_string(),
                    mend,
                ));
            }
        }
    }
    findings.push(match missing.as_slice() {
        [] => Finding::ok("images", format!("{there}")),
        missing => {
            let seen = format!("{there}, and none of {}", missing.join(", "));
            let mend = format!("acquit engines build {}", missing.join(" "));
            Finding::fail("images", seen, mend)
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(version: &str, fixed: bool) {
        assert_eq!(parse(version).is_some_and(is_fixed), fixed, "{version}");
    }

    #[test]
    fn runc_is_fixed_from_its_lines_fix_on() {
        check("1.1.5+ds1", false);
        check("1.2.7", false);
        check("1.2.8", true);
        check("1.3.2", false);
        check("1.3.3-0ubuntu1", true);
        check("1.4.0", true);
        check("2.0.0", true);
        check("unknown", false);
    }
}
