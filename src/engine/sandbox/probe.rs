//! Proves the sandbox on this very machine, by trying to leave it.
//!
//! Docker accepts flags it then ignores (an AppArmor profile without AppArmor,
//! recursive read-only mounts before version 25), so what counts is what the
//! runner inside sees when it tries. Its report is believed only whole: without
//! one the probe has failed.

use std::time::Duration;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, HostConfig};
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::host::Host;
use super::{ProbeReport, Role, SandboxError, policy};
use crate::model::{EngineId, ProbeCheck};

/// Bytes of the report that are kept; more is no report.
const MAX_REPORT: usize = 64 << 10;
/// How long the probe may try.
const LIMIT: Duration = Duration::from_secs(60);

impl Host {
    /// Runs the probe in a throw-away container of the engine's own image and policy.
    ///
    /// # Errors
    /// Fails if no container can be made or Docker does not answer.
    pub async fn probe(&self, engine: &EngineId) -> Result<ProbeReport, SandboxError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| SandboxError::Refused {
            reason: format!("the kernel gives no random bytes: {error}"),
        })?;
        let manifest = self.manifest(engine)?;
        let plan = self
            .place(manifest, &hex::encode(random), Role::Scan)
            .await?;
        let request = policy::probe_container(&plan.manifest, &plan.placement)?;
        let name = policy::container_name(&plan.manifest, &plan.placement.ground);
        self.run_probe(&name, request).await
    }

    /// Runs a probe from a request as it is.
    ///
    /// # Errors
    /// Fails if no container can be made or Docker does not answer.
    pub async fn run_probe(
        &self,
        name: &str,
        request: ContainerCreateBody,
    ) -> Result<ProbeReport, SandboxError> {
        let asked = request.host_config.clone().unwrap_or_default();
        let container = self.create(name, request).await?;
        let tried = self.watch_probe(&container, &asked).await;
        self.remove(&container).await?;
        tried
    }

    async fn watch_probe(
        &self,
        container: &str,
        asked: &HostConfig,
    ) -> Result<ProbeReport, SandboxError> {
        let docker = self.docker.connection().await?.docker;
        let options = AttachContainerOptionsBuilder::default()
            .stdout(true)
            .stream(true)
            .build();
        // Before the start: nothing keeps what is printed before somebody listens.
        let attach = docker.attach_container(container, Some(options));
        let attached = self.docker.call("attach to a container", attach).await?;
        let start = docker.start_container(container, None);
        self.docker.call("start a container", start).await?;
        let printed = timeout(LIMIT, collect(attached)).await;
        let ended = self.find(container).await?;
        let mut checks = match printed {
            Ok(printed) => report(&printed, ended.as_ref()),
            Err(_) => vec![failed(format!("no report within {} s", LIMIT.as_secs()))],
        };
        checks.push(applied(asked, ended.as_ref()));
        Ok(ProbeReport { checks })
    }
}

/// Keeps what is printed, up to a little more than a report may be.
async fn collect(mut attached: AttachContainerResults) -> Vec<u8> {
    let mut kept = Vec::new();
    while let Some(Ok(frame)) = attached.output.next().await {
        if let LogOutput::StdOut { message } = frame {
            kept.extend_from_slice(&message);
        }
        if kept.len() > MAX_REPORT {
            break;
        }
    }
    kept
}

fn report(printed: &[u8], ended: Option<&ContainerInspectResponse>) -> Vec<ProbeCheck> {
    if printed.len() > MAX_REPORT {
        return vec![failed("the report is too long".to_owned())];
    }
    match serde_json::from_slice::<Vec<ProbeCheck>>(printed) {
        Ok(checks) if !checks.is_empty() => checks,
        Ok(_) => vec![failed("the report is empty".to_owned())],
        Err(error) => vec![failed(format!(
            "no report ({error}); {}",
            ending(ended).unwrap_or_else(|| "the container is gone".to_owned())
        ))],
    }
}

fn ending(ended: Option<&ContainerInspectResponse>) -> Option<String> {
    let state = ended?.state.as_ref()?;
    let code = state.exit_code.unwrap_or_default();
    let memory = match state.oom_killed {
        Some(true) => ", killed for memory",
        _ => "",
    };
    let said = state.error.as_deref().unwrap_or_default();
    Some(format!("exit code {code}{memory} {said}"))
}

/// Compares what Docker says it applied with what was asked; some flags it drops silently.
fn applied(asked: &HostConfig, ended: Option<&ContainerInspectResponse>) -> ProbeCheck {
    let lost = match ended.and_then(|it| it.host_config.as_ref()) {
        Some(got) => lost_flags(asked, got),
        None => vec!["everything"],
    };
    ProbeCheck {
        name: "request".to_owned(),
        held: lost.is_empty(),
        seen: match lost.as_slice() {
            [] => "Docker applied what was asked".to_owned(),
            lost => format!("Docker did not apply {}", lost.join(", ")),
        },
    }
}

fn lost_flags(asked: &HostConfig, got: &HostConfig) -> Vec<&'static str> {
    let kept = [
        ("the network mode", asked.network_mode == got.network_mode),
        (
            "the read-only root",
            asked.readonly_rootfs == got.readonly_rootfs,
        ),
        ("the capabilities", asked.cap_drop == got.cap_drop),
        (
            "the security options",
            asked.security_opt == got.security_opt,
        ),
        ("the process limit", asked.pids_limit == got.pids_limit),
        ("the memory limit", asked.memory == got.memory),
        ("the read-only mounts", mounts(asked) == mounts(got)),
    ];
    let lost = kept.into_iter().filter(|(_, kept)| !kept);
    lost.map(|(name, _)| name).collect()
}

fn mounts(config: &HostConfig) -> Vec<(Option<&String>, Option<bool>)> {
    let mounts = config.mounts.as_deref().unwrap_or_default();
    mounts
        .iter()
        .map(|mount| (mount.target.as_ref(), mount.read_only))
        .collect()
}

fn failed(seen: String) -> ProbeCheck {
    ProbeCheck {
        name: "probe".to_owned(),
        held: false,
        seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(printed: &str, held: bool) {
        let checks = report(printed.as_bytes(), None);
        assert!(!checks.is_empty());
        assert_eq!(checks.iter().all(|it| it.held), held, "{printed}");
    }

    #[test]
    fn only_a_whole_report_is_believed() {
        check(r#"[{"name":"network","held":true,"seen":"x"}]"#, true);
        check(r#"[{"name":"network","held":false,"seen":"x"}]"#, false);
        check(r#"[{"name":"network","held":true,"seen":"x"}"#, false);
        check(r#"[{"name":"network","seen":"x"}]"#, false);
        check("[]", false);
        check("", false);
        check(&"x".repeat(MAX_REPORT + 1), false);
    }
}
