//! One engine as its manifest, `engines/<id>.toml`, describes it.
//!
//! The manifest is data: nothing in it is run by the daemon, everything in it
//! is bounded, and a key this file does not know is refused, so that a typing
//! error never silently loosens a limit.

mod catalog;
mod check;
mod context;
mod dialog;
mod family;
mod locate;
mod outside;
mod placeholder;
mod poll;
mod range;
mod recipe;
mod run;
mod update;
mod version;
mod web;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::catalog::{Broken, Catalog};
pub use self::check::{Problem, Problems, check};
pub use self::dialog::{DialogSpec, Hello, IcapSpec};
pub use self::locate::Place;
pub use self::outside::{OutsideSpec, Sends};
pub use self::poll::PollSpec;
pub use self::recipe::{Need, Plain, Recipe};
pub use self::web::{Body, HttpDone, HttpPoll, HttpSpec, Method};
use super::parser::ParserSpec;
use crate::config::Source;
use crate::model::{EngineId, Family};

/// A whole manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The one id; must be the manifest's file name without `.toml`.
    pub id: EngineId,
    /// Display name, VirusTotal's `engine_name`.
    pub name: String,
    /// Who makes the engine.
    pub vendor: String,
    /// What it looks at, in one sentence.
    pub description: String,
    /// Where to read about it.
    #[serde(default)]
    pub homepage: Option<String>,
    /// Whose signatures it carries, if they are also another's: they are one opinion then.
    #[serde(default)]
    pub family: Option<Family>,
    /// Under which license the engine itself is.
    #[serde(default)]
    pub license: Option<String>,
    /// How far Acquit goes with it.
    #[serde(default)]
    pub standing: Standing,
    /// Whether it is shown what other engines call a file, and not the file.
    #[serde(default)]
    pub labeler: bool,
    /// What the operator must bring.
    #[serde(default)]
    pub recipe: Option<Recipe>,
    /// The container image.
    #[serde(default)]
    pub image: Image,
    /// How it is run.
    pub run: Run,
    /// Where it is, if it is a server that is not in a container of ours.
    #[serde(default)]
    pub outside: Option<OutsideSpec>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Its signature set, if it has one outside its image.
    #[serde(default)]
    pub signatures: Option<Signatures>,
    /// How its signature set is updated.
    #[serde(default)]
    pub update: Option<Update>,
    /// How its versions are read.
    #[serde(default)]
    pub version: Option<Version>,
    /// How its answer is read.
    pub parse: ParserSpec,
    /// How the answer of its own command line is read, where Acquit runs it otherwise.
    #[serde(default)]
    pub plain: Option<Plain>,
}

/// How far Acquit goes with an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Built and used unless the configuration says otherwise.
    #[default]
    Installed,
    /// Free; used where the configuration names it.
    Optional,
    /// Needs the vendor's installer; used where the configuration names it.
    Recipe,
    /// As a recipe, but its vendor has given it up.
    Discontinued,
}

/// Where the image comes from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Image {
    /// Build context below `containers/`; the engine's id if not given.
    pub context: Option<String>,
    /// A ready image by digest (`registry/name@sha256:…`) instead of a build context.
    pub reference: Option<String>,
}

/// How the engine is run inside its container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// How files reach the engine.
    pub transport: Transport,
    /// `command`: the command line for a batch. An argument that is `{files}`
    /// becomes one argument per file; `{list}` is replaced by the path of a file
    /// with one path a line, `{dir}` by the directory that holds the batch.
    #[serde(default)]
    pub command: Vec<String>,
    /// The daemon `acquit-runner` starts and watches, of a transport that asks one.
    #[serde(default)]
    pub daemon: Vec<String>,
    /// The socket that daemon listens on, inside the container.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// `dialog`: what is said.
    #[serde(default)]
    pub dialog: Option<DialogSpec>,
    /// `icap`: which service is asked.
    #[serde(default)]
    pub icap: Option<IcapSpec>,
    /// `http`: how it is asked.
    #[serde(default)]
    pub http: Option<HttpSpec>,
    /// `command`: how the end of work that it only starts is waited for.
    #[serde(default)]
    pub poll: Option<PollSpec>,
    /// Environment of the command or the daemon.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// File name extensions the engine may see, because it decides by them.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// Batches that may run at the same time.
    #[serde(default = "one")]
    pub slots: u16,
    /// Most files in a batch.
    #[serde(default = "default_batch_files")]
    pub batch_files: u32,
    /// Most mebibytes in a batch of more than one file.
    #[serde(default = "default_batch_mb")]
    pub batch_mb: u64,
    /// Whether a container serves many batches or one.
    #[serde(default)]
    pub isolation: Isolation,
    /// Whether the container stays when there is nothing to do.
    #[serde(default)]
    pub residency: Residency,
    /// Files after which a resident container is replaced.
    #[serde(default = "default_recycle_files")]
    pub recycle_files: u64,
    /// Seconds the engine may take from start to its first answer.
    #[serde(default = "default_startup_seconds")]
    pub startup_seconds: u64,
}

/// How files reach the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A command line per batch.
    Command,
    /// A resident daemon that speaks clamd's protocol.
    Clamd,
    /// A resident driver: it is told the path of a list of files, answers as a command would
    /// print, and ends with a line `exit 0`.
    Driver,
    /// A server that is asked in lines.
    Dialog,
    /// A server that speaks ICAP.
    Icap,
    /// A server that speaks HTTP.
    Http,
    /// A daemon that speaks Dr.Web's old protocol.
    Drwebd,
}

impl Transport {
    /// Tells whether a server is asked about one file at a time, each on a connection of its own.
    pub const fn is_speech(self) -> bool {
        match self {
            Self::Command | Self::Clamd | Self::Driver => false,
            Self::Dialog | Self::Icap | Self::Http | Self::Drwebd => true,
        }
    }
}

/// Whether state may survive from one batch to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// One container serves many batches.
    #[default]
    Resident,
    /// Every job gets a container of its own.
    Fresh,
}

/// Whether an idle container stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Residency {
    /// Started with the daemon, kept.
    #[default]
    Always,
    /// Started by need, stopped when idle or when another engine needs the memory.
    OnDemand,
}

/// What one container of the engine may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory, swap included, in mebibytes.
    pub memory_mb: u64,
    /// Processors; fractions are allowed.
    pub cpus: f64,
    /// Processes and threads.
    pub pids: u32,
    /// Temporary space under `/tmp`, in mebibytes; counts as memory.
    pub tmp_mb: u64,
    /// Open files per process.
    pub open_files: u32,
    /// Seconds one file may take; a batch gets more, in proportion to its files.
    pub timeout_seconds: u64,
    /// Kibibytes kept of each of stdout and stderr of a batch; more is a failure.
    pub output_kb: u64,
    /// Largest file the engine is given, in mebibytes.
    pub file_mb: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mb: 512,
            cpus: 2.0,
            pids: 64,
            tmp_mb: 64,
            open_files: 1024,
            timeout_seconds: 60,
            output_kb: 4096,
            file_mb: 2048,
        }
    }
}

/// Signatures that live outside the image, mounted read-only.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signatures {
    /// Directory of the build context that holds the first set.
    pub seed: PathBuf,
    /// Where the container sees the set.
    #[serde(default = "default_signatures_path")]
    pub path: PathBuf,
}

/// How signatures are updated: a command in the engine's own image, with a network and no file
/// of anyone's. It finds a copy of the active set in `/candidate` and leaves the new one there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The command. 0 means that `/candidate` is as new as it can be, anything else that it is not.
    pub command: Vec<String>,
    /// Where signatures come from unless the configuration says otherwise.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Name of the download cache, seen at `/cache`; engines of the same name share one. The
    /// engine's id if not given.
    #[serde(default)]
    pub cache: Option<String>,
    /// Seconds the command may take.
    #[serde(default = "default_update_seconds")]
    pub timeout_seconds: u64,
    /// Memory, swap included, in mebibytes.
    #[serde(default = "default_update_memory_mb")]
    pub memory_mb: u64,
    /// Mebibytes of new files that the command may leave in `/candidate` and in `/cache` each.
    #[serde(default = "default_update_disk_mb")]
    pub disk_mb: u64,
}

/// How versions are read: a command or a question, and a pattern over what comes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Run once in each new container.
    #[serde(default)]
    pub command: Vec<String>,
    /// `dialog`: what is sent to a server to learn it; `http`: the path that is asked.
    #[serde(default)]
    pub ask: Option<String>,
    /// `dialog`: pattern of the line that ends the answer; without it that is one line.
    #[serde(default)]
    pub until: Option<String>,
    /// Regular expression with the groups `engine`, `signatures`, `date` and `license` (the day
    /// on which it ends), each optional.
    pub pattern: String,
}

impl Manifest {
    /// Reads and checks a manifest; its file name must be its id.
    ///
    /// # Errors
    /// Says every key that is wrong, where, and what would be right.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        check::load(path)
    }

    /// Returns the tag under which the engine's image is built here.
    pub fn image_tag(&self) -> String {
        match &self.image.reference {
            Some(reference) => reference.clone(),
            None => format!("acquit-engine-{}:local", self.id),
        }
    }

    /// Returns the engine's build context below `containers`.
    pub fn build_context(&self, containers: &Path) -> PathBuf {
        containers.join(self.image.context.as_deref().unwrap_or(self.id.as_str()))
    }
}

const fn one() -> u16 {
    1
}

const fn default_batch_files() -> u32 {
    128
}

const fn default_batch_mb() -> u64 {
    512
}

const fn default_recycle_files() -> u64 {
    20_000
}

const fn default_startup_seconds() -> u64 {
    60
}

const fn default_update_seconds() -> u64 {
    1800
}

const fn default_update_memory_mb() -> u64 {
    1024
}

const fn default_update_disk_mb() -> u64 {
    4096
}

fn default_signatures_path() -> PathBuf {
    PathBuf::from("/signatures")
}
