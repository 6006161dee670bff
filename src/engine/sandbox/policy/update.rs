//! The update container: a network, a candidate to write to, and no file of anyone's.
//!
//! It is the scan container with three things more and two less. It has a
//! network, whose containers do not reach each other, and the system calls a
//! network client needs; it may write to its candidate and to the download
//! cache, up to a limit for each file. It sees nothing that is staged and no
//! signature set but its candidate.

use std::path::{Path, PathBuf};

use acquit_runner::wire::{RUNNER_PATH, SOCKET_DIR};
use bollard::models::{ContainerCreateBody, Mount};
use serde_json::{Value, json};

use super::{Ground, Outline, check, profile, read_only, refuse, request, sign};
use crate::config::Source;
use crate::engine::manifest::{Limits, Manifest, Update};
use crate::engine::sandbox::SandboxError;

/// Where an update sees the candidate it works on.
pub const CANDIDATE_DIR: &str = "/candidate";
/// Where an update sees the download cache.
pub const CACHE_DIR: &str = "/cache";
/// Where an update sees the directories its signatures come from, each by its place in the list.
pub const SOURCES_DIR: &str = "/sources";

/// Connections of the runner: one for the command, one to measure or end it, and one to spare.
const CONNECTIONS: u32 = 3;
/// Least processes an update may have: downloaders have helpers.
const PIDS: u32 = 64;
/// Mebibytes under `/tmp`, where the memory is enough for that.
const TMP_MB: u64 = 64;
/// `AF_UNIX`, `AF_INET` and `AF_INET6`.
const FAMILIES: [u64; 3] = [1, 2, 10];
/// `AF_NETLINK`, of whose protocols only the first, routes, is needed to look up a name.
const NETLINK: u64 = 16;

/// Everything the request for an update container depends on besides the manifest.
#[derive(Clone, Debug)]
pub struct UpdatePlacement {
    /// What every request depends on.
    pub ground: Ground,
    /// Docker's id of the network.
    pub network: String,
    /// Directory of the candidate.
    pub candidate: PathBuf,
    /// Directory of the download cache.
    pub cache: PathBuf,
    /// Directories of the operator's, with their places in the list of sources.
    pub sources: Vec<(usize, PathBuf)>,
}

/// Makes the request for an update container.
///
/// # Errors
/// Refuses a manifest without `[update]`, and one that asks for what no container gets.
pub fn update_container(
    manifest: &Manifest,
    placement: &UpdatePlacement,
) -> Result<ContainerCreateBody, SandboxError> {
    let update = manifest.update.as_ref();
    let update = update.ok_or_else(|| refuse(format!("engine {} has no update", manifest.id)))?;
    let limits = limits(&manifest.limits, update);
    check(&limits)?;
    if !(1..=1 << 22).contains(&update.disk_mb) {
        let reason = "update.disk_mb must be between 1 and 4194304";
        return Err(refuse(reason.to_owned()));
    }
    let outline = Outline {
        command: vec!["--connections".to_owned(), CONNECTIONS.to_string()],
        file_mb: update.disk_mb,
        limits,
        network: Some(network(&placement.network)?),
        mounts: mounts(placement)?,
        profile: client_profile().to_string(),
    };
    let request = request(manifest, &placement.ground, outline)?;
    Ok(sign(request, (manifest, &placement.ground), None))
}

/// Returns where an update sees the directory at this place in the list of sources.
pub fn source_target(number: usize) -> PathBuf {
    Path::new(SOURCES_DIR).join(number.to_string())
}

/// Returns the sources as an update sees them, each directory at its place inside.
pub fn sources_inside(sources: &[Source]) -> Vec<Source> {
    let mut inside = sources.to_vec();
    for (number, source) in inside.iter_mut().enumerate() {
        if source.directory.is_some() {
            source.directory = Some(source_target(number));
        }
    }
    inside
}

fn limits(scan: &Limits, update: &Update) -> Limits {
    Limits {
        memory_mb: update.memory_mb,
        tmp_mb: scan.tmp_mb.max(TMP_MB).min(update.memory_mb / 2),
        pids: scan.pids.max(PIDS),
        ..scan.clone()
    }
}

/// A network is named by its id, so that no name can mean the host's or another container's.
fn network(id: &str) -> Result<String, SandboxError> {
    let legal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if id.len() != 64 || !id.bytes().all(legal) {
        return Err(refuse(format!("{id:?} is no network's id")));
    }
    Ok(id.to_owned())
}

fn mounts(placement: &UpdatePlacement) -> Result<Vec<Mount>, SandboxError> {
    let mut mounts = vec![
        read_only(&placement.ground.runner, Path::new(RUNNER_PATH))?,
        read_only(&placement.ground.socket_dir, Path::new(SOCKET_DIR))?,
        writable(&placement.candidate, CANDIDATE_DIR)?,
        writable(&placement.cache, CACHE_DIR)?,
    ];
    for (number, source) in &placement.sources {
        mounts.push(read_only(source, &source_target(*number))?);
    }
    Ok(mounts)
}

fn writable(source: &Path, target: &str) -> Result<Mount, SandboxError> {
    let mount = read_only(source, Path::new(target))?;
    Ok(Mount {
        read_only: Some(false),
        ..mount
    })
}

/// The scan container's profile with the sockets of a network client.
fn client_profile() -> Value {
    let mut profile = profile();
    if let Some(rules) = profile["syscalls"].as_array_mut() {
        rules.retain(|rule| rule["names"] != json!(["socket"]));
        let families = FAMILIES.map(|family| vec![argument(0, family)]);
        let route = vec![argument(0, NETLINK), argument(2, 0)];
        for arguments in families.into_iter().chain([route]) {
            rules.push(json!({
                "names": ["socket"],
                "action": "SCMP_ACT_ALLOW",
                "args": arguments,
            }));
        }
    }
    profile
}

fn argument(index: u32, value: u64) -> Value {
    json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_differs_from_the_scan_container_in_the_sockets_only() {
        let (mut scan, mut update) = (profile(), client_profile());
        let sockets = |profile: &mut Value| {
            let rules = profile["syscalls"].as_array_mut().unwrap();
            let all = std::mem::take(rules);
            let (sockets, rest): (Vec<_>, Vec<_>) = all
                .into_iter()
                .partition(|rule| rule["names"].as_array().unwrap().contains(&"socket".into()));
            *rules = rest;
            sockets
        };
        assert_eq!(sockets(&mut scan).len(), 1);
        let mut allowed = Vec::new();
        for rule in sockets(&mut update) {
            assert_eq!(rule["names"], json!(["socket"]));
            let arguments = rule["args"].as_array().unwrap();
            assert!(arguments.iter().all(|it| it["op"] == "SCMP_CMP_EQ"));
            let of = |index: u32| arguments.iter().find(|it| it["index"] == index);
            let value = |index| of(index).map(|it| it["value"].as_u64().unwrap());
            allowed.push((value(0).unwrap(), value(2)));
        }
        assert_eq!(allowed, [(1, None), (2, None), (10, None), (16, Some(0))]);
        assert_eq!(scan, update);
    }

    #[test]
    fn directories_are_named_by_their_place_in_the_list() {
        let url = Source {
            url: Some("https://rules.example/a.zip".to_owned()),
            ..Source::default()
        };
        let directory = Source {
            directory: Some(PathBuf::from("/srv/rules")),
            ..Source::default()
        };
        let inside = sources_inside(&[url.clone(), directory]);
        assert_eq!(inside[0], url);
        assert_eq!(inside[1].directory, Some(PathBuf::from("/sources/1")));
    }
}
