//! The verbs themselves, as the broker carries them out on this machine.
//!
//! Nothing of a request reaches Docker as it came: an engine id finds a manifest,
//! a signature set finds a directory, a container id must be one of ours, and
//! everything else is the policy's.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{ContainerInspectResponse, ImageInspect};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder,
};

use super::data_dir::{DataDir, Source};
use super::docker::{self, Connection, Engine};
use super::policy::{self, Ground, Placement};
use super::{ContainerState, DockerInfo, ImageState, Role, SandboxError, Start};
use crate::config::Config;
use crate::engine::manifest::Manifest;
use crate::model::{EngineId, SignatureSetId};

/// This machine: its configuration, its Docker Engine and our place on it.
#[derive(Debug)]
pub struct Host {
    /// The configuration the broker was started with.
    pub config: Config,
    /// The Docker Engine.
    pub docker: Engine,
    /// Where the shown directories are.
    pub data_dir: DataDir,
    /// Which containers are ours.
    pub instance: String,
    /// Held while the network of the updates is looked for and made.
    pub networking: tokio::sync::Mutex<()>,
}

/// A container about to be made.
#[derive(Debug)]
pub struct Plan {
    /// Whose.
    pub manifest: Manifest,
    /// Where everything is.
    pub placement: Placement,
    /// What it will see, kept open until it was compared.
    pub sources: Vec<Source>,
}

impl Host {
    /// Opens the data directory and remembers where Docker is.
    ///
    /// # Errors
    /// Fails without a data directory.
    pub fn open(config: Config) -> anyhow::Result<Self> {
        let data_dir = DataDir::open(&config.storage.data_dir)?;
        Ok(Self {
            docker: Engine::new(config.docker.socket.clone(), config.docker.timeout()),
            instance: data_dir.instance()?,
            data_dir,
            config,
            networking: tokio::sync::Mutex::default(),
        })
    }

    /// Tells what the Docker Engine is.
    ///
    /// # Errors
    /// Fails if it does not answer.
    pub async fn info(&self) -> Result<DockerInfo, SandboxError> {
        self.docker.describe().await
    }

    /// Creates and starts a scan container; returns its id and its image's.
    ///
    /// # Errors
    /// Refuses what the policy refuses, and passes on Docker's words.
    pub async fn start(&self, start: &Start) -> Result<(String, String), SandboxError> {
        let plan = self.plan(start).await?;
        let request = policy::scan_container(&plan.manifest, &plan.placement)?;
        let name = policy::container_name(&plan.manifest, &plan.placement.ground);
        let id = self.run(&name, request, &plan.sources).await?;
        Ok((id, plan.placement.ground.image))
    }

    /// Creates a container, starts it and looks at what it sees; returns its id.
    ///
    /// # Errors
    /// Refuses a source that was exchanged, and passes on Docker's words; then it is gone.
    pub async fn run(
        &self,
        name: &str,
        request: bollard::models::ContainerCreateBody,
        sources: &[Source],
    ) -> Result<String, SandboxError> {
        let id = self.create(name, request).await?;
        let begun = self.begin(&id, sources).await;
        if let Err(error) = begun {
            // The first error is the one to tell; what is left over is listed as ours.
            let _ = self.remove(&id).await;
            return Err(error);
        }
        Ok(id)
    }

    /// Kills and removes a container of ours; nothing happens if it is gone.
    ///
    /// # Errors
    /// Refuses a container that is not ours.
    pub async fn stop(&self, container: &str) -> Result<(), SandboxError> {
        let Some(found) = self.find(container).await? else {
            return Ok(());
        };
        if !self.is_ours(&found) {
            return refuse(format!("container {container} is not ours"));
        }
        self.remove(container).await
    }

    /// Tells how a container of ours fares; nothing if there is none.
    ///
    /// # Errors
    /// Fails if Docker does.
    pub async fn inspect(&self, container: &str) -> Result<Option<ContainerState>, SandboxError> {
        let found = self.find(container).await?;
        let Some(found) = found.filter(|found| self.is_ours(found)) else {
            return Ok(None);
        };
        let Some(mut state) = state_of(&found) else {
            return Ok(None);
        };
        state.current = self.is_current(&state).await;
        Ok(Some(state))
    }

    /// Lists the containers of ours, running or not.
    ///
    /// # Errors
    /// Fails if Docker does.
    pub async fn list(&self) -> Result<Vec<ContainerState>, SandboxError> {
        let docker = self.docker.connection().await?.docker;
        let ours = format!("{}={}", policy::LABEL_INSTANCE, self.instance);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&HashMap::from([("label", vec![ours])]))
            .build();
        let found = docker.list_containers(Some(options));
        let found = self.docker.call("list containers", found).await?;
        let mut states = Vec::with_capacity(found.len());
        for id in found.into_iter().filter_map(|it| it.id) {
            states.extend(self.inspect(&id).await?);
        }
        Ok(states)
    }

    /// Tells which image an engine has; nothing if it is missing.
    ///
    /// # Errors
    /// Refuses an unknown engine, and fails if Docker does.
    pub async fn image(&self, engine: &EngineId) -> Result<Option<ImageState>, SandboxError> {
        let manifest = self.manifest(engine)?;
        let found = self.find_image(&manifest).await?;
        Ok(found.map(|found| image_state(&found)))
    }

    /// Reads an engine's manifest, as it is now.
    ///
    /// # Errors
    /// Refuses an engine without one, or with one that is wrong.
    pub fn manifest(&self, engine: &EngineId) -> Result<Manifest, SandboxError> {
        let file = format!("{engine}.toml");
        let directories = self.config.engines.manifests.iter().rev();
        for path in directories.map(|directory| directory.join(&file)) {
            if path.exists() {
                let loaded = Manifest::load(&path);
                let says = |problems| format!("{}: {problems}", path.display());
                return match loaded {
                    Ok(manifest) if manifest.outside.is_some() => {
                        refuse(format!("engine {engine} is outside and has no container"))
                    }
                    Ok(manifest) => Ok(manifest),
                    Err(problems) => refuse(says(problems)),
                };
            }
        }
        refuse(format!("there is no engine {engine}"))
    }

    /// Gathers everything the policy needs to know.
    ///
    /// # Errors
    /// Refuses names that are none and directories that are not there.
    pub async fn plan(&self, start: &Start) -> Result<Plan, SandboxError> {
        if start.role == Role::Update {
            return refuse("an update is no scan");
        }
        let manifest = self.manifest(&start.engine)?;
        let staging = self.data_dir.staging(&start.engine, start.role)?;
        let signatures = self.signatures(&manifest, start.signature_set.as_ref())?;
        let plan = self.place(manifest, &start.generation, start.role);
        let mut plan = plan.await?;
        plan.placement.staging = staging.path.clone();
        plan.sources.push(staging);
        if let Some((set, source)) = signatures {
            plan.placement.signatures = Some((set, source.path.clone()));
            plan.sources.push(source);
        }
        Ok(plan)
    }

    /// Gathers what every container of an engine needs.
    ///
    /// # Errors
    /// Fails without an image, a runner or the directory of the runner's socket, and refuses what
    /// is no generation.
    pub async fn place(
        &self,
        manifest: Manifest,
        generation: &str,
        role: Role,
    ) -> Result<Plan, SandboxError> {
        if generation.len() != 16 || hex::decode(generation).is_err() {
            return refuse(format!("{generation:?} is no generation"));
        }
        let image = self.usable_image(&manifest).await?;
        let Connection { cpus, .. } = self.docker.connection().await?;
        let runner = Path::new(acquit_runner::wire::RUNNER_PATH);
        let runner = Source::file(&self.config.docker.runner, runner)?;
        let socket_dir = self.data_dir.runners(&manifest.id, role)?;
        let ground = Ground {
            instance: self.instance.clone(),
            generation: generation.to_owned(),
            role,
            image,
            machine_cpus: cpus,
            runner: runner.path.clone(),
            socket_dir: socket_dir.path.clone(),
        };
        let placement = Placement {
            ground,
            // Until it is known, a directory without files.
            staging: socket_dir.path.clone(),
            signatures: None,
        };
        Ok(Plan {
            manifest,
            placement,
            sources: vec![runner, socket_dir],
        })
    }

    /// Creates a container; one of ours with the same name is a crash's leftover and goes.
    ///
    /// # Errors
    /// Docker's own words.
    pub async fn create(
        &self,
        name: &str,
        request: bollard::models::ContainerCreateBody,
    ) -> Result<String, SandboxError> {
        let docker = self.docker.connection().await?.docker;
        let create = || {
            let options = CreateContainerOptionsBuilder::default().name(name).build();
            docker.create_container(Some(options), request.clone())
        };
        let action = "create a container";
        let first = self.docker.call(action, recover(create())).await?;
        match first {
            Ok(created) => Ok(created.id),
            Err(error) if docker::status(&error) == Some(409) => {
                self.remove_namesake(name).await?;
                let second = self.docker.call(action, create()).await?;
                Ok(second.id)
            }
            Err(error) => Err(docker::translate(action, &error)),
        }
    }

    /// Removes a container, running or not.
    ///
    /// # Errors
    /// Docker's own words.
    pub async fn remove(&self, container: &str) -> Result<(), SandboxError> {
        let docker = self.docker.connection().await?.docker;
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        let removed = recover(docker.remove_container(container, Some(options)));
        let action = "remove a container";
        match self.docker.call(action, removed).await? {
            Ok(()) => Ok(()),
            // 404: gone; 409: its removal is under way.
            Err(error) if matches!(docker::status(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(docker::translate(action, &error)),
        }
    }

    /// Asks Docker about a container by its id.
    ///
    /// # Errors
    /// Refuses what is no id, and passes on Docker's words.
    pub async fn find(
        &self,
        container: &str,
    ) -> Result<Option<ContainerInspectResponse>, SandboxError> {
        let legal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if !(12..=64).contains(&container.len()) || !container.bytes().all(legal) {
            return refuse(format!("{container:?} is no container id"));
        }
        self.look(container).await
    }

    /// Finds an engine's image.
    ///
    /// # Errors
    /// Fails if Docker does.
    pub async fn find_image(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<ImageInspect>, SandboxError> {
        let docker = self.docker.connection().await?.docker;
        let tag = manifest.image_tag();
        let found = recover(docker.inspect_image(&tag));
        let action = "inspect an image";
        match self.docker.call(action, found).await? {
            Ok(found) => Ok(Some(found)),
            Err(error) if docker::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(docker::translate(action, &error)),
        }
    }

    /// Starts a created container and compares what it sees with what it was to see.
    ///
    /// # Errors
    /// Refuses a source that was exchanged, and passes on Docker's words.
    pub async fn begin(&self, id: &str, sources: &[Source]) -> Result<(), SandboxError> {
        let docker = self.docker.connection().await?.docker;
        let start = docker.start_container(id, None);
        self.docker.call("start a container", start).await?;
        let found = self.find(id).await?;
        let state = found.and_then(|it| it.state).unwrap_or_default();
        let Some(pid) = state.pid.filter(|pid| *pid > 0) else {
            let code = state.exit_code.unwrap_or_default();
            let said = state.error.unwrap_or_default();
            return Err(SandboxError::Docker {
                action: "keep a container running".to_owned(),
                reason: format!("it ended at once with exit code {code} {said}"),
            });
        };
        for source in sources {
            let target = source.target.display();
            match source.is_seen_by(pid) {
                Ok(true) => {}
                Ok(false) => return refuse(format!("{target} was exchanged while it was mounted")),
                Err(error) => return refuse(format!("cannot look at {target}: {error}")),
            }
        }
        Ok(())
    }

    async fn look(&self, name: &str) -> Result<Option<ContainerInspectResponse>, SandboxError> {
        let docker = self.docker.connection().await?.docker;
        let found = recover(docker.inspect_container(name, None::<InspectContainerOptions>));
        let action = "inspect a container";
        match self.docker.call(action, found).await? {
            Ok(found) => Ok(Some(found)),
            Err(error) if docker::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(docker::translate(action, &error)),
        }
    }

    async fn remove_namesake(&self, name: &str) -> Result<(), SandboxError> {
        match self.look(name).await? {
            Some(found) if self.is_ours(&found) => self.remove(name).await,
            Some(_) => refuse(format!("a container {name} exists and is not ours")),
            None => Ok(()),
        }
    }

    /// Returns the content id of an engine's image, if a container can be made from it.
    async fn usable_image(&self, manifest: &Manifest) -> Result<String, SandboxError> {
        let missing = || SandboxError::ImageMissing {
            engine: manifest.id.clone(),
        };
        let image = self.find_image(manifest).await?.ok_or_else(missing)?;
        let volumes = image.config.and_then(|it| it.volumes).unwrap_or_default();
        if !volumes.is_empty() {
            // Each would be a writable directory of the host.
            let volumes = volumes.join(", ");
            return refuse(format!("the image declares volumes: {volumes}"));
        }
        image.id.ok_or_else(missing)
    }

    fn signatures(
        &self,
        manifest: &Manifest,
        set: Option<&SignatureSetId>,
    ) -> Result<Option<(SignatureSetId, Source)>, SandboxError> {
        let engine = &manifest.id;
        match (&manifest.signatures, set) {
            (None, None) => Ok(None),
            (Some(place), Some(set)) => {
                let source = self.data_dir.signatures(engine, set, &place.path)?;
                Ok(Some((set.clone(), source)))
            }
            (Some(_), None) => refuse(format!("engine {engine} needs a signature set")),
            (None, Some(_)) => refuse(format!("engine {engine} takes no signature set")),
        }
    }

    /// Tells whether it scans and the policy would make the same container today.
    async fn is_current(&self, state: &ContainerState) -> bool {
        // Canaries and updates belong to what is under way, and that ends with its daemon.
        if state.role != Role::Scan {
            return false;
        }
        let start = Start {
            engine: state.engine.clone(),
            generation: state.generation.clone(),
            signature_set: state.signature_set.clone(),
            role: Role::Scan,
        };
        let Ok(plan) = self.plan(&start).await else {
            return false;
        };
        policy::spec(&plan.manifest, &plan.placement).is_ok_and(|spec| spec == state.spec)
    }

    fn is_ours(&self, found: &ContainerInspectResponse) -> bool {
        label(found, policy::LABEL_INSTANCE) == Some(&self.instance)
    }
}

/// Returns what is known of an image.
pub fn image_state(image: &ImageInspect) -> ImageState {
    let created = image.created.as_deref().unwrap_or_default();
    let created: Option<jiff::Timestamp> = created.parse().ok();
    let size = image.size.and_then(|size| u64::try_from(size).ok());
    ImageState {
        id: image.id.clone().unwrap_or_default(),
        size_bytes: size.unwrap_or_default(),
        created_seconds: created.map_or(0, jiff::Timestamp::as_second),
    }
}

/// Refuses, in words.
///
/// # Errors
/// Always.
pub fn refuse<T>(reason: impl Into<String>) -> Result<T, SandboxError> {
    let reason = reason.into();
    Err(SandboxError::Refused { reason })
}

/// Lets an answer of Docker that is an error through as a value, so that its code can be read.
async fn recover<T>(
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<Result<T, bollard::errors::Error>, bollard::errors::Error> {
    match call.await {
        Err(error) if docker::status(&error).is_none() => Err(error),
        answered => Ok(answered),
    }
}

fn state_of(found: &ContainerInspectResponse) -> Option<ContainerState> {
    let state = found.state.clone().unwrap_or_default();
    let running = state.running.unwrap_or_default();
    let set = label(found, policy::LABEL_SIGNATURE_SET).filter(|set| !set.is_empty());
    Some(ContainerState {
        container: found.id.clone()?,
        engine: label(found, policy::LABEL_ENGINE)?.parse().ok()?,
        generation: label(found, policy::LABEL_GENERATION)?.clone(),
        role: role_of(found),
        spec: label(found, policy::LABEL_SPEC)?.clone(),
        image: found.image.clone().unwrap_or_default(),
        signature_set: set.map(|set| SignatureSetId(set.clone())),
        running,
        oom_killed: state.oom_killed.unwrap_or_default(),
        exit_code: state.exit_code.filter(|_| !running),
        current: false,
    })
}

/// Containers of an earlier version have no role: they all scanned.
fn role_of(found: &ContainerInspectResponse) -> Role {
    let named = label(found, policy::LABEL_ROLE).map(String::as_str);
    let other = [Role::Canary, Role::Update];
    let other = other.into_iter().find(|role| named == Some(role.as_str()));
    other.unwrap_or_default()
}

fn label<'a>(found: &'a ContainerInspectResponse, name: &str) -> Option<&'a String> {
    found.config.as_ref()?.labels.as_ref()?.get(name)
}
