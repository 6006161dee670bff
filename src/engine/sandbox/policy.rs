//! What a container may do: one pure function from manifest and paths to request.
//!
//! There is one request for a *scan* container, and one for an *update*
//! container ([`update`]); the probe uses the first with less memory and another
//! command line, so that what it proves is what the engines get. Their JSON is a
//! snapshot in the tests: loosening the sandbox shows in a diff.
//!
//! Two choices a reader may wonder about. Mounts and never `binds`: a missing
//! source of a bind is made by Docker, as root, and a colon in a path breaks it.
//! `NonRecursive`: without it a mount below the source stays writable through a
//! read-only mount on Docker 20.10, which ignores the newer flags silently.

pub mod update;

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use acquit_runner::wire::{GENERATION_VARIABLE, RUNNER_PATH, SCAN_DIR, SOCKET_DIR};
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use sha2::{Digest, Sha256};

use super::{Role, SandboxError};
use crate::engine::manifest::{Limits, Manifest};
use crate::model::SignatureSetId;

/// Label with the engine's id.
pub const LABEL_ENGINE: &str = "acquit.engine";
/// Label with the id of the appliance the container belongs to.
pub const LABEL_INSTANCE: &str = "acquit.instance";
/// Label with the name the container was started with.
pub const LABEL_GENERATION: &str = "acquit.generation";
/// Label with what the container is for.
pub const LABEL_ROLE: &str = "acquit.role";
/// Label with the digest of the request.
pub const LABEL_SPEC: &str = "acquit.spec";
/// Label with the signature set that is mounted; empty if none is.
pub const LABEL_SIGNATURE_SET: &str = "acquit.signature_set";

/// Mebibytes of memory the probe may use; it must be stopped when it takes more.
pub const PROBE_MEMORY_MB: u64 = 64;
/// Mebibytes under `/tmp` of the probe.
pub const PROBE_TMP_MB: u64 = 16;
/// Most processes the probe may have; each that it tries takes memory.
pub const PROBE_PIDS: u32 = 64;

/// System calls an engine may make; everything else answers "operation not permitted".
const SECCOMP: &str = include_str!("seccomp.json");
/// The user `nobody`, who owns nothing anywhere.
const USER: &str = "65534:65534";
/// Weight of an engine's processor time against the daemon's 1024.
const CPU_SHARES: i64 = 128;
/// Bytes of `/dev/shm`; Python's semaphores need a few.
const SHM_BYTES: i64 = 16 << 20;
const MIB: u64 = 1 << 20;
/// Places inside the container that are not a manifest's to cover.
const RESERVED: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/tmp",
    "/run",
    SCAN_DIR,
    RUNNER_PATH,
];

/// What every request depends on besides the manifest.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Id of the appliance.
    pub instance: String,
    /// Name the runner will introduce itself with.
    pub generation: String,
    /// What the container is for.
    pub role: Role,
    /// Content id of the image, so that a moved tag changes nothing.
    pub image: String,
    /// Processors the machine has; Docker refuses to promise more.
    pub machine_cpus: f64,
    /// The static runner.
    pub runner: PathBuf,
    /// Directory of the socket the runner dials.
    pub socket_dir: PathBuf,
}

/// Everything the request for a scan container depends on besides the manifest.
#[derive(Clone, Debug)]
pub struct Placement {
    /// What every request depends on.
    pub ground: Ground,
    /// Directory of the staged files.
    pub staging: PathBuf,
    /// The signature set and its directory.
    pub signatures: Option<(SignatureSetId, PathBuf)>,
}

/// Makes the request for a scan container.
///
/// # Errors
/// Refuses a manifest that asks for what no container gets.
pub fn scan_container(
    manifest: &Manifest,
    placement: &Placement,
) -> Result<ContainerCreateBody, SandboxError> {
    let mut command = vec![
        "--connections".to_owned(),
        (u32::from(manifest.run.slots) + 2).to_string(),
    ];
    if !manifest.run.daemon.is_empty() {
        command.extend(["--daemon".to_owned(), "--".to_owned()]);
        command.extend(manifest.run.daemon.iter().cloned());
    }
    container(manifest, placement, command)
}

/// Makes the request for the probe: the engine's own sandbox with less memory and nothing staged.
///
/// # Errors
/// Refuses a manifest that asks for what no container gets.
pub fn probe_container(
    manifest: &Manifest,
    placement: &Placement,
) -> Result<ContainerCreateBody, SandboxError> {
    let mut small = manifest.clone();
    small.limits.memory_mb = PROBE_MEMORY_MB;
    small.limits.tmp_mb = PROBE_TMP_MB;
    small.limits.pids = small.limits.pids.min(PROBE_PIDS);
    let command = [
        "--probe".to_owned(),
        "--pids".to_owned(),
        small.limits.pids.to_string(),
        "--memory-mb".to_owned(),
        PROBE_MEMORY_MB.to_string(),
    ];
    // The socket's directory stands in for the others: the mounts are what is tried.
    let stand_in = || placement.ground.socket_dir.clone();
    let none = SignatureSetId(String::new());
    let empty = Placement {
        staging: stand_in(),
        signatures: small.signatures.as_ref().map(|_| (none, stand_in())),
        ..placement.clone()
    };
    container(&small, &empty, command.to_vec())
}

/// Returns the name of a container.
pub fn container_name(manifest: &Manifest, ground: &Ground) -> String {
    let instance: String = ground.instance.chars().take(8).collect();
    let (engine, role) = (&manifest.id, ground.role.suffix());
    format!("acquit-{instance}-{engine}{role}-{}", ground.generation)
}

/// Returns the digest of the request a scan container is made from, whatever its generation.
///
/// # Errors
/// Refuses a manifest that asks for what no container gets.
pub fn spec(manifest: &Manifest, placement: &Placement) -> Result<String, SandboxError> {
    let request = scan_container(manifest, placement)?;
    Ok(spec_of(&request))
}

/// What one kind of container has that the other has not.
struct Outline {
    command: Vec<String>,
    limits: Limits,
    /// Mebibytes of the largest file that can be written.
    file_mb: u64,
    /// Docker's network; nothing is none at all.
    network: Option<String>,
    mounts: Vec<Mount>,
    /// The seccomp profile.
    profile: String,
}

fn container(
    manifest: &Manifest,
    placement: &Placement,
    command: Vec<String>,
) -> Result<ContainerCreateBody, SandboxError> {
    let limits = manifest.limits.clone();
    check(&limits)?;
    let outline = Outline {
        command,
        // A little more than fits under /tmp: a full disk is an error, this limit a signal.
        file_mb: limits.tmp_mb + 1,
        limits,
        network: None,
        mounts: mounts(manifest, placement)?,
        profile: seccomp(),
    };
    let request = request(manifest, &placement.ground, outline)?;
    let set = placement.signatures.as_ref().map(|(set, _)| set);
    Ok(sign(request, (manifest, &placement.ground), set))
}

fn request(
    manifest: &Manifest,
    ground: &Ground,
    outline: Outline,
) -> Result<ContainerCreateBody, SandboxError> {
    Ok(ContainerCreateBody {
        hostname: Some("engine".to_owned()),
        user: Some(USER.to_owned()),
        env: Some(environment(manifest)),
        cmd: Some(outline.command.clone()),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        image: Some(ground.image.clone()),
        working_dir: Some("/tmp".to_owned()),
        entrypoint: Some(vec![RUNNER_PATH.to_owned()]),
        network_disabled: Some(outline.network.is_none()),
        stop_signal: Some("SIGKILL".to_owned()),
        host_config: Some(host_config(ground, outline)?),
        ..ContainerCreateBody::default()
    })
}

/// Writes on a request whose it is; only here are the generation and what is not compared.
fn sign(
    mut request: ContainerCreateBody,
    (manifest, ground): (&Manifest, &Ground),
    set: Option<&SignatureSetId>,
) -> ContainerCreateBody {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    request.labels = Some(HashMap::from([
        label(LABEL_ENGINE, manifest.id.as_str()),
        label(LABEL_INSTANCE, &ground.instance),
        label(LABEL_GENERATION, &ground.generation),
        label(LABEL_ROLE, ground.role.as_str()),
        // Written even if empty, because an image's own labels are inherited.
        label(LABEL_SIGNATURE_SET, set.map_or("", |set| &set.0)),
        label(LABEL_SPEC, &spec_of(&request)),
    ]));
    let generation = format!("{GENERATION_VARIABLE}={}", ground.generation);
    request.env.get_or_insert_default().push(generation);
    request
}

fn host_config(ground: &Ground, outline: Outline) -> Result<HostConfig, SandboxError> {
    let limits = &outline.limits;
    let memory = bytes(limits.memory_mb)?;
    Ok(HostConfig {
        network_mode: Some(outline.network.unwrap_or_else(|| "none".to_owned())),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec![
            "no-new-privileges".to_owned(),
            format!("seccomp={}", outline.profile),
        ]),
        pids_limit: Some(limits.pids.into()),
        memory: Some(memory),
        // Equal to the memory: no swap, where private bytes would outlive the container.
        memory_swap: Some(memory),
        nano_cpus: Some(nano_cpus(limits.cpus, ground.machine_cpus)),
        cpu_shares: Some(CPU_SHARES),
        ulimits: Some(ulimits(limits, outline.file_mb)?),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), tmp(limits))])),
        shm_size: Some(SHM_BYTES),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        oom_score_adj: Some(500),
        init: Some(false),
        privileged: Some(false),
        // A flood of output must not become a file on the host.
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        // How a container ended is asked after its end, so Docker may not clean up.
        auto_remove: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        mounts: Some(outline.mounts),
        ..HostConfig::default()
    })
}

fn mounts(manifest: &Manifest, placement: &Placement) -> Result<Vec<Mount>, SandboxError> {
    let mut mounts = vec![
        read_only(&placement.ground.runner, Path::new(RUNNER_PATH))?,
        read_only(&placement.ground.socket_dir, Path::new(SOCKET_DIR))?,
        read_only(&placement.staging, Path::new(SCAN_DIR))?,
    ];
    if let (Some((_, directory)), Some(signatures)) = (&placement.signatures, &manifest.signatures)
    {
        check_target(&signatures.path)?;
        mounts.push(read_only(directory, &signatures.path)?);
    }
    Ok(mounts)
}

fn read_only(source: &Path, target: &Path) -> Result<Mount, SandboxError> {
    Ok(Mount {
        target: Some(text(target)?),
        source: Some(text(source)?),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            non_recursive: Some(true),
            create_mountpoint: Some(false),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    })
}

/// Variables of the manifest, and a home that can be written to.
fn environment(manifest: &Manifest) -> Vec<String> {
    let mut variables = BTreeMap::from([("HOME".to_owned(), "/tmp".to_owned())]);
    let own = manifest.run.env.clone();
    variables.extend(own.into_iter().filter(|(name, _)| is_free(name)));
    let pair = |(name, value)| format!("{name}={value}");
    variables.into_iter().map(pair).collect()
}

/// Tells whether a manifest may set the variable; the runner's own are not its to set.
fn is_free(name: &str) -> bool {
    !name.is_empty() && !name.starts_with("ACQUIT_") && !name.contains(['=', '\0'])
}

fn spec_of(request: &ContainerCreateBody) -> String {
    let mut same = request.clone();
    same.labels = None;
    let own = format!("{GENERATION_VARIABLE}=");
    if let Some(env) = &mut same.env {
        env.retain(|pair| !pair.starts_with(&own));
    }
    // Through a value, whose maps are sorted.
    let text = serde_json::to_value(&same).map(|value| value.to_string());
    hex::encode(&Sha256::digest(text.unwrap_or_default())[..16])
}

fn ulimits(limits: &Limits, file_mb: u64) -> Result<Vec<ResourcesUlimits>, SandboxError> {
    let limit = |name: &str, value: i64| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(value),
        hard: Some(value),
    };
    Ok(vec![
        limit("nofile", limits.open_files.into()),
        limit("core", 0),
        limit("fsize", bytes(file_mb)?),
    ])
}

/// Owned by the engine's user, because runc gives it the mode of the image's directory.
fn tmp(limits: &Limits) -> String {
    let size = limits.tmp_mb;
    format!("rw,noexec,nosuid,nodev,size={size}m,mode=1777,uid=65534,gid=65534")
}

/// The profile without its layout.
fn seccomp() -> String {
    profile().to_string()
}

fn profile() -> serde_json::Value {
    // A profile that cannot be read is none that Docker takes.
    serde_json::from_str(SECCOMP).unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "both numbers are small and checked"
)]
fn nano_cpus(cpus: f64, machine: f64) -> i64 {
    (cpus.min(machine) * 1e9) as i64
}

fn check(limits: &Limits) -> Result<(), SandboxError> {
    let refused = |reason: &str| Err(refuse(format!("limits.{reason}")));
    if !(8..=1 << 22).contains(&limits.memory_mb) {
        return refused("memory_mb must be between 8 and 4194304");
    }
    if !(0.01..=4096.0).contains(&limits.cpus) {
        return refused("cpus must be between 0.01 and 4096");
    }
    if !(2..=32_768).contains(&limits.pids) {
        return refused("pids must be between 2 and 32768");
    }
    if limits.tmp_mb == 0 || limits.tmp_mb >= limits.memory_mb {
        return refused("tmp_mb must be at least 1 and less than memory_mb, which it counts to");
    }
    if !(64..=1 << 20).contains(&limits.open_files) {
        return refused("open_files must be between 64 and 1048576");
    }
    Ok(())
}

fn check_target(path: &Path) -> Result<(), SandboxError> {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let legal = path.is_absolute() && path.components().all(plain) && path != Path::new("/");
    let covers = |own: &&str| path.starts_with(own) || Path::new(own).starts_with(path);
    if !legal || RESERVED.iter().any(covers) {
        let path = path.display();
        return Err(refuse(format!("signatures.path {path} cannot be a mount")));
    }
    Ok(())
}

fn bytes(mebibytes: u64) -> Result<i64, SandboxError> {
    i64::try_from(mebibytes.saturating_mul(MIB))
        .map_err(|_| refuse(format!("{mebibytes} MiB are out of range")))
}

fn text(path: &Path) -> Result<String, SandboxError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| refuse(format!("{} is not UTF-8", path.display())))
}

fn refuse(reason: String) -> SandboxError {
    SandboxError::Refused { reason }
}

#[cfg(test)]
mod tests;
