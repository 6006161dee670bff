//! A server that is not in a container of ours, and how it is asked about a file.
//!
//! It has no container and no image, and nothing here pretends that it has. It
//! is asked only with the operator's consent, which stands in its manifest; and
//! in two steps, so that whoever asks can write down what leaves between the
//! first, in which nothing of a file is told, and the second:
//!
//! ```text
//! open: connect, greet, ask what it can ──→ ledger ──→ ask: the file, or its hash
//! ```

mod address;
mod tls;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::Digest as _;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use self::address::{Address, InvalidAddress, Reach, Scheme};
use super::ask::{Asked, Health, Run, Said, parse_alone, record};
use super::manifest::{Manifest, OutsideSpec, Sends};
use super::names::random_name;
use super::parser::Parser;
use super::speech::{Opened, Speech, Way};
use super::talk::{Broken, Question, within};
use crate::model::{EngineVersions, Sha256, Verdict};

/// How long may take what comes before a file is told of, whatever a file may take.
const OPENING: Duration = Duration::from_secs(30);

/// One engine that is a server somewhere else.
#[derive(Debug)]
pub struct Outside {
    /// What describes it.
    pub manifest: Arc<Manifest>,
    /// What reads its answers.
    pub parser: Parser,
    spec: OutsideSpec,
    speech: Speech,
    reach: Reach,
    files: Files,
    places: Semaphore,
    granted: Mutex<u64>,
    approved: Mutex<Option<EngineVersions>>,
}

/// What is needed of this machine's files.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The file with its key, if it wants one.
    pub key: Option<PathBuf>,
    /// EICAR, which it must detect.
    pub sentinel: PathBuf,
}

/// A file that is to be told of.
#[derive(Clone, Debug)]
pub struct Told {
    /// Where its bytes are.
    pub blob: PathBuf,
    /// Its digest.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: u64,
    /// The extension the server may see.
    pub extension: Option<String>,
}

/// A server that may be asked about one file; nothing of it was told yet.
#[derive(Debug)]
pub struct Door<'a> {
    opened: Opened,
    key: Option<String>,
    _place: SemaphorePermit<'a>,
}

impl Outside {
    /// Makes it ready; nobody is asked yet.
    ///
    /// # Errors
    /// Says what is wrong with its manifest.
    pub fn new(manifest: Arc<Manifest>, files: Files) -> Result<Self, String> {
        let spec = manifest.outside.clone().ok_or("it is not outside")?;
        let speech = Speech::of(&manifest)?.ok_or("its transport does not lead outside")?;
        let parser = Parser::new(&manifest.parse).map_err(|error| error.to_string())?;
        let slots = manifest.run.slots;
        Ok(Self {
            reach: Reach::new(&spec.address)?,
            places: Semaphore::new(usize::from(slots)),
            granted: Mutex::new(u64::from(slots)),
            approved: Mutex::default(),
            parser,
            spec,
            speech,
            files,
            manifest,
        })
    }

    /// Returns what its manifest says of where it is.
    pub const fn spec(&self) -> &OutsideSpec {
        &self.spec
    }

    /// Returns how long one file may take.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.manifest.limits.timeout_seconds)
    }

    /// Asks what it scans with; nothing of a file is told.
    ///
    /// # Errors
    /// If it is not there, or does not behave as it must.
    pub async fn versions(&self) -> Result<EngineVersions, Broken> {
        let _place = self.place().await?;
        let key = self.key().await?;
        let way = Way::Outside(&self.reach);
        let version = (self.manifest.version.as_ref(), key.as_deref());
        let asked = self.speech.versions(&way, version);
        let read = within(self.opening(), asked).await?;
        self.heed_wishes();
        Ok(EngineVersions {
            image: self.spec.address.to_string(),
            ..read
        })
    }

    /// Returns EICAR, which it must detect if its manifest says so.
    ///
    /// # Errors
    /// If the file is not there.
    pub async fn canary(&self) -> Result<Told, Broken> {
        let eicar = tokio::fs::read(&self.files.sentinel).await;
        let eicar = eicar.map_err(|error| Broken::Lost(format!("EICAR is not there: {error}")))?;
        Ok(Told {
            blob: self.files.sentinel.clone(),
            size_bytes: eicar.len() as u64,
            sha256: Sha256::new(sha2::Sha256::digest(eicar).into()),
            extension: None,
        })
    }

    /// Notes that it may be asked about files, as what it scans with; or that it may not.
    pub fn approve(&self, versions: Option<EngineVersions>) {
        *lock(&self.approved) = versions;
    }

    /// Tells whether it may be asked about files.
    pub fn is_approved(&self) -> bool {
        lock(&self.approved).is_some()
    }

    /// Comes as far as a file can be told of.
    ///
    /// # Errors
    /// If it is not there, or does not behave as it must.
    pub async fn open(&self) -> Result<Door<'_>, Broken> {
        let place = self.place().await?;
        let key = self.key().await?;
        let way = Way::Outside(&self.reach);
        let opened = within(self.opening(), self.speech.open(&way)).await?;
        Ok(Door {
            opened,
            key,
            _place: place,
        })
    }

    /// Tells it of a file, or of its hash, and returns what it says.
    ///
    /// Whoever calls this has written down that it leaves.
    pub async fn ask(&self, door: Door<'_>, told: &Told) -> Asked {
        let started = Instant::now();
        let mut name = random_name();
        if let Some(extension) = &told.extension {
            name.push('.');
            name.push_str(extension);
        }
        let deadline = self.deadline();
        let heard = within(deadline, self.talk(door, told, &name)).await;
        let (verdict, raw, health) = match heard {
            Ok(heard) => {
                let raw = record(&heard);
                (parse_alone(&self.parser, &name, &heard), raw, Health::Fine)
            }
            Err(broken) => {
                let reason = broken.to_string();
                let verdict = match broken {
                    Broken::Silent { .. } => Verdict::Timeout,
                    Broken::Lost(_) | Broken::Senseless(_) | Broken::Flood { .. } => {
                        Verdict::failure(&reason)
                    }
                };
                (
                    verdict,
                    reason.clone().into_bytes(),
                    Health::Suspect(reason),
                )
            }
        };
        let staged = Some(name);
        Asked {
            answers: vec![Said { verdict, staged }],
            run: Run {
                versions: lock(&self.approved).clone().unwrap_or_default(),
                duration: started.elapsed(),
                raw,
            },
            health,
        }
    }

    async fn talk(
        &self,
        door: Door<'_>,
        told: &Told,
        name: &str,
    ) -> Result<super::talk::Heard, Broken> {
        let lost = |error: std::io::Error| Broken::Lost(format!("the file is not there: {error}"));
        let mut question = Question::open(&told.blob, name).await.map_err(lost)?;
        question.sha256 = told.sha256.to_string();
        if self.spec.sends == Sends::Hash {
            // Whatever the manifest says: of a hash there are no bytes to send.
            question.size = 0;
        }
        let way = Way::Outside(&self.reach);
        let most = self.manifest.limits.output_kb << 10;
        let asked = (door.opened, &way, door.key.as_deref());
        self.speech.ask(asked, question, most).await
    }

    fn opening(&self) -> Duration {
        self.deadline().min(OPENING)
    }

    /// Waits for one of the connections that may be open at the same time.
    async fn place(&self) -> Result<SemaphorePermit<'_>, Broken> {
        let place = self.places.acquire().await;
        place.map_err(|error| Broken::Lost(error.to_string()))
    }

    /// Makes no more connections at the same time than the server wishes.
    fn heed_wishes(&self) {
        let Some(most) = self.speech.max_connections() else {
            return;
        };
        let mut granted = lock(&self.granted);
        let surplus = granted.saturating_sub(most);
        let taken = self
            .places
            .forget_permits(usize::try_from(surplus).unwrap_or(0));
        *granted -= taken as u64;
    }

    /// Reads the key that the operator keeps in a file of its own.
    async fn key(&self) -> Result<Option<String>, Broken> {
        let wanted = self.manifest.run.http.as_ref();
        if !wanted.is_some_and(|http| http.wants_key()) {
            return Ok(None);
        }
        let id = &self.manifest.id;
        let Some(path) = &self.files.key else {
            let what = format!("it wants a key: name the file that holds it in engines.keys.{id}");
            return Err(Broken::Lost(what));
        };
        let key = tokio::fs::read_to_string(path).await;
        let key = key.map_err(|error| {
            Broken::Lost(format!(
                "its key in {} cannot be read: {error}",
                path.display()
            ))
        })?;
        let key = key.trim();
        match key.is_empty() || key.chars().any(|c| c.is_control() || !c.is_ascii()) {
            true => Err(Broken::Lost(format!(
                "{} does not hold a key: write one line of ASCII",
                path.display()
            ))),
            false => Ok(Some(key.to_owned())),
        }
    }
}

/// Judges what a server says of EICAR: who is silent on that would call everything clean.
///
/// # Errors
/// If it does not detect it.
pub fn judge_canary(asked: &Asked) -> Result<(), Broken> {
    let said = asked.answers.iter().map(|said| &said.verdict);
    let Some(verdict) = said.clone().next() else {
        return Err(Broken::Lost("was not asked about EICAR".to_owned()));
    };
    if verdict.is_detection() {
        return Ok(());
    }
    let said = [verdict.category(), verdict.reason().unwrap_or_default()].join(" ");
    Err(Broken::Senseless(format!(
        "does not detect EICAR, the test file that every scanner knows: {}",
        said.trim()
    )))
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
