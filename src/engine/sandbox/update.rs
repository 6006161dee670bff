//! Update containers, and the network they are on.

use std::collections::HashMap;

use bollard::models::{Network, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptionsBuilder;

use super::data_dir::Source;
use super::host::{Host, Plan, refuse};
use super::policy::update::{UpdatePlacement, source_target, update_container};
use super::{Role, SandboxError, StartUpdate, policy};
use crate::engine::manifest::{Manifest, Update};
use crate::model::EngineId;

impl Host {
    /// Creates and starts an update container; returns its id and its image's.
    ///
    /// # Errors
    /// Refuses what the policy refuses, and passes on Docker's words.
    pub async fn start_update(
        &self,
        start: &StartUpdate,
    ) -> Result<(String, String), SandboxError> {
        let manifest = self.manifest(&start.engine)?;
        let Some(update) = manifest.update.clone() else {
            return refuse(format!("engine {} has no update", start.engine));
        };
        let candidate = self.data_dir.candidate(&start.engine, &start.work)?;
        let cache = self.data_dir.cache(&cache_of(&manifest, &update)?)?;
        let foreign = self.foreign(&manifest, &update)?;
        let network = self.network().await?;
        let plan = self.place(manifest, &start.generation, Role::Update);
        let Plan {
            manifest,
            placement,
            mut sources,
        } = plan.await?;
        let image = placement.ground.image.clone();
        let placement = UpdatePlacement {
            ground: placement.ground,
            network,
            candidate: candidate.path.clone(),
            cache: cache.path.clone(),
            sources: foreign
                .iter()
                .map(|(number, source)| (*number, source.path.clone()))
                .collect(),
        };
        let request = update_container(&manifest, &placement)?;
        let name = policy::container_name(&manifest, &placement.ground);
        sources.extend([candidate, cache]);
        sources.extend(foreign.into_iter().map(|(_, source)| source));
        let id = self.run(&name, request, &sources).await?;
        Ok((id, image))
    }

    /// Opens the directories that the operator names as sources.
    fn foreign(
        &self,
        manifest: &Manifest,
        update: &Update,
    ) -> Result<Vec<(usize, Source)>, SandboxError> {
        let updates = &self.config.updates;
        let all = updates.sources_of(&manifest.id, &update.sources);
        let mut opened = Vec::new();
        for (number, source) in all.iter().enumerate() {
            if let Some(directory) = &source.directory {
                let target = source_target(number);
                opened.push((number, self.data_dir.foreign(directory, &target)?));
            }
        }
        Ok(opened)
    }

    /// Returns the id of the updates' network, made if it is not there.
    ///
    /// # Errors
    /// Refuses a name that is no network's, and passes on Docker's words.
    pub async fn network(&self) -> Result<String, SandboxError> {
        let name = self.config.updates.network.as_str();
        // These are not networks but the absence of a wall.
        if name.is_empty() || ["host", "none", "default"].contains(&name) || name.contains(':') {
            return refuse(format!("updates.network {name:?} is no network's name"));
        }
        let _alone = self.networking.lock().await;
        if let Some(id) = self.find_network(name).await? {
            return Ok(id);
        }
        let made = self.make_network(name).await?;
        // Another appliance may have made it meanwhile: Docker lets two have one name.
        let oldest = self.find_network(name).await?;
        let oldest = oldest.unwrap_or_else(|| made.clone());
        if oldest != made {
            let docker = self.docker.connection().await?.docker;
            let removed = docker.remove_network(&made);
            self.docker.call("remove a network", removed).await?;
        }
        Ok(oldest)
    }

    async fn make_network(&self, name: &str) -> Result<String, SandboxError> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            // Updates do not reach each other.
            options: Some(HashMap::from([pair(
                "com.docker.network.bridge.enable_icc",
                "false",
            )])),
            labels: Some(HashMap::from([
                pair(policy::LABEL_INSTANCE, &self.instance),
                pair(policy::LABEL_ROLE, Role::Update.as_str()),
            ])),
            ..NetworkCreateRequest::default()
        };
        let docker = self.docker.connection().await?.docker;
        let made = docker.create_network(request);
        Ok(self.docker.call("make a network", made).await?.id)
    }

    /// Finds the oldest network of a name.
    async fn find_network(&self, name: &str) -> Result<Option<String>, SandboxError> {
        let options = ListNetworksOptionsBuilder::default()
            .filters(&HashMap::from([("name", vec![name])]))
            .build();
        let docker = self.docker.connection().await?.docker;
        let listed = docker.list_networks(Some(options));
        let listed = self.docker.call("list networks", listed).await?;
        // The filter also finds names that contain this one.
        let named = |it: &Network| it.name.as_deref() == Some(name);
        let mut found: Vec<_> = listed.into_iter().filter(named).collect();
        found.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
        Ok(found.into_iter().find_map(|it| it.id))
    }
}

/// Returns the name of an update's download cache; it follows the rules of an engine's id.
fn cache_of(manifest: &Manifest, update: &Update) -> Result<EngineId, SandboxError> {
    let Some(cache) = &update.cache else {
        return Ok(manifest.id.clone());
    };
    let legal = cache.parse();
    legal.or_else(|_| refuse(format!("update.cache {cache:?} is no name of a cache")))
}
