//! `acquit pull`: files of a collection come to this machine, and never beside the folder named.
//!
//! A file is written under a name of ours, compared with its hash, and only then gets its own: what
//! was cut off never looks complete. Links in the way are not followed.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt;
use reqwest::Method;
use serde::Serialize;
use sha2::Digest;
use tokio::time::timeout;

use super::address::{Address, Collection, ItemObject};
use crate::cli::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::progress::Progress;
use crate::cli::text::{count, emit, emit_json, visible};
use crate::cli::walk::describe;
use crate::model::{ItemPath, Sha256};

/// How long a download may stand still.
const STALL: Duration = Duration::from_secs(120);
/// Files downloaded at the same time.
const IN_FLIGHT: usize = 4;

/// What to pull, and to where.
#[derive(Clone, Debug, clap::Args)]
pub struct PullArguments {
    /// The file, or the folder with all in it
    #[arg(value_name = "[COLLECTION:]/PATH")]
    place: Address,
    /// The folder it goes into; made if it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
}

/// What became of a file.
#[derive(Debug, Serialize)]
struct Pulled {
    item: String,
    file: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Downloaded,
    Kept,
    Failed,
}

/// A pull under way.
struct Pull {
    collection: Collection,
    from: ItemPath,
    dir: PathBuf,
    force: bool,
    progress: Progress,
}

/// Pulls files and says what became of them.
///
/// # Errors
/// If there is nothing at the path, or the server cannot be asked.
pub async fn pull(context: &Context, arguments: PullArguments) -> anyhow::Result<Exit> {
    let PullArguments { place, dir, force } = arguments;
    let collection = Collection::open(context.client()?, place.publisher.as_ref()).await?;
    let from = collection.find(&place.path).await?;
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let dir = fs::canonicalize(&dir).with_context(|| format!("cannot enter {}", dir.display()))?;
    let pull = Pull {
        collection,
        from,
        dir,
        force,
        progress: Progress::new(),
    };
    let pulled = pull.all().await;
    pull.progress.clear();
    report(context, pulled?)
}

fn report(context: &Context, pulled: Vec<Pulled>) -> anyhow::Result<Exit> {
    let number = |state| pulled.iter().filter(|one| one.state == state).count() as u64;
    let (downloaded, kept) = (number(State::Downloaded), number(State::Kept));
    let failed = number(State::Failed);
    if context.json {
        emit_json(&serde_json::json!({ "files": pulled }))?;
    } else {
        for one in &pulled {
            match (&one.error, one.state) {
                (Some(error), _) => {
                    emit(&format!("{}: NOT PULLED: {error}\n", visible(&one.item)))?;
                }
                (None, State::Kept) => emit(&format!(
                    "{}: {} is there already and was kept (--force replaces it)\n",
                    visible(&one.item),
                    visible(&one.file)
                ))?,
                _ => {}
            }
        }
        let files = count(downloaded, "file");
        emit(&format!(
            "{files} downloaded, {kept} kept, {failed} failed\n"
        ))?;
    }
    Ok(match failed {
        0 => Exit::Fine,
        _ => Exit::Incomplete,
    })
}

impl Pull {
    async fn all(&self) -> anyhow::Result<Vec<Pulled>> {
        let filter = format!("path:{}", self.from);
        let listing = self.collection.listing(&filter, "&recursive=true");
        let (mut pulled, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = self.collection.page(&listing, cursor.as_deref()).await?;
            let files = page.0.into_iter();
            let files = files.filter(|item| item.number("/size").is_some());
            let done: Vec<_> = futures_util::stream::iter(files)
                .map(|item| self.one(item))
                .buffered(IN_FLIGHT)
                .collect()
                .await;
            pulled.extend(done);
            if page.1.is_none() || page.1 == cursor {
                return Ok(pulled);
            }
            cursor = page.1;
        }
    }

    async fn one(&self, item: ItemObject) -> Pulled {
        let path = item.attributes.get("path").and_then(|path| path.as_str());
        let path = path.unwrap_or_default().to_owned();
        self.progress.found(item.number("/size").unwrap_or(0));
        let mut pulled = Pulled {
            item: path.clone(),
            file: String::new(),
            state: State::Failed,
            error: None,
        };
        let done = async {
            let path: ItemPath = path.parse()?;
            let to = local(&self.from, &path)?;
            pulled.file = self.dir.join(&to).display().to_string();
            let sha256 = item.text("/sha256").unwrap_or_default().parse::<Sha256>()?;
            self.file(&path, &to, sha256).await
        };
        match done.await {
            Ok(state) => pulled.state = state,
            Err(error) => pulled.error = Some(visible(&format!("{error:#}"))),
        }
        self.progress.done();
        pulled
    }

    async fn file(&self, path: &ItemPath, to: &Path, sha256: Sha256) -> anyhow::Result<State> {
        let target = self.dir.join(to);
        let is_there = match fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_dir() => anyhow::bail!("a folder is in the way"),
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => anyhow::bail!("{}", describe(&error)),
        };
        if is_there && !self.force {
            return Ok(State::Kept);
        }
        let parent = self.folder(to)?;
        let mut file = tempfile::Builder::new()
            .prefix(".acquit-")
            .suffix(".part")
            .tempfile_in(&parent)?;
        self.download(path, file.as_file_mut(), sha256).await?;
        file.as_file().sync_all()?;
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(permissions)?;
        match self.force {
            true => drop(file.persist(&target)?),
            false => drop(file.persist_noclobber(&target)?),
        }
        Ok(State::Downloaded)
    }

    /// Makes the folders of a file one by one; a link in the place of one could lead elsewhere.
    fn folder(&self, to: &Path) -> anyhow::Result<PathBuf> {
        let mut folder = self.dir.clone();
        for part in to.parent().into_iter().flat_map(Path::iter) {
            folder.push(part);
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    anyhow::bail!("cannot make {}: {}", folder.display(), describe(&error));
                }
                Ok(()) | Err(_) => {}
            }
            if !fs::symlink_metadata(&folder)?.is_dir() {
                anyhow::bail!("{} is no folder, or a link to one", folder.display());
            }
        }
        Ok(folder)
    }

    async fn download(
        &self,
        path: &ItemPath,
        file: &mut fs::File,
        sha256: Sha256,
    ) -> anyhow::Result<()> {
        let client = &self.collection.client;
        let resource = format!("{}/download", self.collection.resource("monitor", path));
        let url = client.url(&resource);
        let request = || client.request(Method::GET, &url);
        let answer = client.retry(async || client.open(request()).await).await?;
        let (mut digest, mut body) = (sha2::Sha256::new(), answer.bytes_stream());
        let bar = self.progress.bytes();
        let stalled = |_| client.unreachable("a download stood still for two minutes");
        while let Some(chunk) = timeout(STALL, body.next()).await.map_err(stalled)? {
            let chunk = chunk.map_err(|error| client.broken(&error))?;
            digest.update(&chunk);
            file.write_all(&chunk)?;
            bar.inc(chunk.len() as u64);
        }
        if Sha256::new(digest.finalize().into()) != sha256 {
            anyhow::bail!("the bytes that came are not those of the item; nothing was kept");
        }
        Ok(())
    }
}

/// Returns where an item goes below the folder named: under its path below what was asked for.
fn local(from: &ItemPath, path: &ItemPath) -> Result<PathBuf, UsageError> {
    let outside = || UsageError("the server named an item that was not asked for".to_owned());
    let inner = match from.is_folder() {
        true if path.is_below(from) => &path.as_str()[from.as_str().len()..],
        false if path == from => path.name(),
        _ => return Err(outside()),
    };
    // The parser of paths knows neither empty parts nor dots.
    let parts: Vec<_> = inner.split('/').collect();
    match parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        true => Err(outside()),
        false => Ok(parts.iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, path: &str, expected: Option<&str>) {
        let to = local(&from.parse().unwrap(), &path.parse().unwrap()).ok();
        assert_eq!(to, expected.map(PathBuf::from), "{path} of {from}");
    }

    #[test]
    fn files_lie_below_the_folder_named() {
        check("/", "/a/b", Some("a/b"));
        check("/a/", "/a/b/c", Some("b/c"));
        check("/a/b", "/a/b", Some("b"));
        check("/a/", "/b/c", None);
        check("/a/", "/a/", None);
        check("/a/b", "/a/c", None);
    }
}
