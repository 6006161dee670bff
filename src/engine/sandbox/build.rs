//! Makes an engine's image from its build context, or fetches it by digest.
//!
//! The context is packed the same way every time (sorted, no dates, no owners),
//! so that Docker's cache holds, and links are refused: a context is files.

use std::collections::{HashMap, VecDeque};
use std::path::{Component, Path, PathBuf};

use bollard::models::{BuildInfo, CreateImageInfo};
use bollard::query_parameters::{BuildImageOptionsBuilder, CreateImageOptionsBuilder};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::host::{Host, image_state, refuse};
use super::{ImageState, SandboxError, docker, policy};
use crate::engine::manifest::Manifest;
use crate::model::EngineId;

/// Lines of the log an error carries.
const TAIL: usize = 20;
/// Largest build context, in bytes.
const MAX_CONTEXT: u64 = 512 << 20;
/// Longest line of a log that is passed on, in bytes.
const MAX_LINE: usize = 2048;

/// One line of a log, or what ended it.
type Line = Result<String, String>;

impl Host {
    /// Builds an engine's image; each line of the log goes to `progress`.
    ///
    /// # Errors
    /// The last lines of the log.
    pub async fn build(
        &self,
        engine: &EngineId,
        progress: &mpsc::Sender<String>,
    ) -> Result<ImageState, SandboxError> {
        let manifest = self.manifest(engine)?;
        match &manifest.image.reference {
            Some(reference) => self.pull(reference, progress).await?,
            None => self.build_context(&manifest, progress).await?,
        }
        let image = self.find_image(&manifest).await?;
        let missing = SandboxError::ImageMissing {
            engine: engine.clone(),
        };
        image.map(|image| image_state(&image)).ok_or(missing)
    }

    async fn build_context(
        &self,
        manifest: &Manifest,
        progress: &mpsc::Sender<String>,
    ) -> Result<(), SandboxError> {
        let context = context_path(&self.config.engines.containers, manifest)?;
        let installers = manifest.installers(&self.config.engines.installers);
        let packed = tokio::task::spawn_blocking(move || pack(&context, installers.as_deref()));
        let packed = packed.await;
        let tar = match packed {
            Ok(Ok(tar)) => tar,
            Ok(Err(error)) => return refuse(format!("{error:#}")),
            Err(error) => return refuse(format!("cannot pack the build context: {error}")),
        };
        let mut arguments = self.config.docker.build_args.clone();
        arguments.insert("BASE".to_owned(), self.config.docker.base_image.clone());
        let arguments: HashMap<String, String> = arguments.into_iter().collect();
        let options = BuildImageOptionsBuilder::default()
            .t(&manifest.image_tag())
            .rm(true)
            .forcerm(true)
            .buildargs(&arguments)
            .labels(&HashMap::from([(
                policy::LABEL_ENGINE,
                manifest.id.as_str(),
            )]))
            .build();
        // A build may be silent for as long as one of its steps takes.
        let docker = self.docker.connection().await?.docker;
        let docker = docker.with_timeout(std::time::Duration::from_secs(6 * 3600));
        let log = docker.build_image(options, None, Some(bollard::body_full(tar.into())));
        follow("build the image", log.map(build_line), progress).await
    }

    async fn pull(
        &self,
        reference: &str,
        progress: &mpsc::Sender<String>,
    ) -> Result<(), SandboxError> {
        if !reference.contains("@sha256:") {
            return refuse(format!("image {reference} must be named by its digest"));
        }
        let docker = self.docker.connection().await?.docker;
        let docker = docker.with_timeout(std::time::Duration::from_secs(3600));
        let options = CreateImageOptionsBuilder::default()
            .from_image(reference)
            .build();
        let log = docker.create_image(Some(options), None, None);
        follow("fetch the image", log.map(pull_line), progress).await
    }
}

/// Passes the lines on and keeps the last for an error.
async fn follow(
    action: &str,
    log: impl Stream<Item = Line>,
    progress: &mpsc::Sender<String>,
) -> Result<(), SandboxError> {
    let mut log = std::pin::pin!(log);
    let mut tail: VecDeque<String> = VecDeque::with_capacity(TAIL);
    while let Some(line) = log.next().await {
        let text = match line {
            Ok(text) => text,
            Err(reason) => return Err(failed(action, &reason, &tail)),
        };
        for line in text.split(['\n', '\r']).filter(|it| !it.trim().is_empty()) {
            let line = cut(line);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line.clone());
            // Nobody listens any more: the build goes with its connection.
            if progress.send(line).await.is_err() {
                return Err(failed(action, "it was given up", &tail));
            }
        }
    }
    Ok(())
}

fn failed(action: &str, reason: &str, tail: &VecDeque<String>) -> SandboxError {
    let tail: Vec<&str> = tail.iter().map(String::as_str).collect();
    SandboxError::Docker {
        action: action.to_owned(),
        reason: format!("{reason}\n{}", tail.join("\n"))
            .trim_end()
            .to_owned(),
    }
}

fn build_line(line: Result<BuildInfo, bollard::errors::Error>) -> Line {
    let line = line.map_err(|error| words(&error))?;
    match line.error_detail {
        Some(error) => Err(error.message.unwrap_or_default()),
        None => Ok(line.stream.or(line.status).unwrap_or_default()),
    }
}

fn pull_line(line: Result<CreateImageInfo, bollard::errors::Error>) -> Line {
    let line = line.map_err(|error| words(&error))?;
    match line.error_detail {
        Some(error) => Err(error.message.unwrap_or_default()),
        None => Ok(line.status.unwrap_or_default()),
    }
}

fn words(error: &bollard::errors::Error) -> String {
    match docker::translate("build", error) {
        SandboxError::Docker { reason, .. } => reason,
        other => other.to_string(),
    }
}

fn context_path(containers: &Path, manifest: &Manifest) -> Result<PathBuf, SandboxError> {
    let context = manifest.build_context(containers);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let inside = context.strip_prefix(containers);
    if !inside.is_ok_and(|it| it.components().all(plain)) {
        return refuse(format!("{} is no build context", context.display()));
    }
    Ok(context)
}

/// Packs a directory, the same way every time; the vendor's files come below `vendor/`.
fn pack(context: &Path, installers: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    use anyhow::Context;
    let mut files = listed(context, Path::new(""))?;
    if let Some(installers) = installers {
        files.extend(listed(installers, Path::new("vendor"))?);
    }
    files.sort();
    let mut size = 0;
    let mut tar = tar::Builder::new(Vec::new());
    for (name, path) in &files {
        let body =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        size += body.len() as u64;
        anyhow::ensure!(
            size <= MAX_CONTEXT,
            "the build context is larger than 512 MiB"
        );
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(mode(path)?);
        header.set_mtime(0);
        tar.append_data(&mut header, name, body.as_slice())?;
    }
    Ok(tar.into_inner()?)
}

/// Lists the files of a directory: their names in the context, and where they are.
fn listed(dir: &Path, below: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    use anyhow::Context;
    let mut names = Vec::new();
    collect(dir, Path::new(""), &mut names)
        .with_context(|| format!("cannot read the build context {}", dir.display()))?;
    let placed = names
        .into_iter()
        .map(|name| (below.join(&name), dir.join(name)));
    Ok(placed.collect())
}

fn collect(top: &Path, below: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(top.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(top, &name, files)?;
        } else {
            anyhow::ensure!(kind.is_file(), "{} is not a plain file", name.display());
            files.push(name);
        }
    }
    Ok(())
}

fn mode(path: &Path) -> std::io::Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    let executable = std::fs::metadata(path)?.permissions().mode() & 0o100 != 0;
    Ok(if executable { 0o755 } else { 0o644 })
}

fn cut(line: &str) -> String {
    let mut end = line.len().min(MAX_LINE);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_packed_the_same_way_every_time() {
        let pack_new = |names: [&str; 2]| {
            let context = tempfile::tempdir().unwrap();
            std::fs::create_dir(context.path().join("rules")).unwrap();
            for name in names {
                std::fs::write(context.path().join(name), "text").unwrap();
            }
            pack(context.path(), None).unwrap()
        };
        let one = pack_new(["Dockerfile", "rules/a.yar"]);
        assert_eq!(one, pack_new(["rules/a.yar", "Dockerfile"]));
        assert_ne!(one, pack_new(["rules/b.yar", "Dockerfile"]));
    }

    #[test]
    fn the_operators_files_come_below_vendor() {
        let (context, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(context.path().join("Dockerfile"), "FROM x").unwrap();
        std::fs::write(own.path().join("license.key"), "secret").unwrap();
        let packed = pack(context.path(), Some(own.path())).unwrap();
        let mut packed = tar::Archive::new(packed.as_slice());
        let names = packed.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            entry.path().unwrap().display().to_string()
        });
        assert_eq!(
            names.collect::<Vec<_>>(),
            ["Dockerfile", "vendor/license.key"]
        );
    }

    #[test]
    fn a_context_with_a_link_is_refused() {
        let context = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/shadow", context.path().join("rules")).unwrap();
        let error = pack(context.path(), None).unwrap_err();
        assert!(format!("{error:#}").contains("rules is not a plain file"));
    }
}
