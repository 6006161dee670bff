//! The protocol an engine speaks, whether it listens in a container or somewhere else.
//!
//! [`Way`] is how it is reached, [`Speech`] what is said: first what tells nothing
//! of a file ([`Speech::open`]), then the question ([`Speech::ask`]).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;
use tokio::time::timeout;

use super::dialog::{Dialog, Greeted};
use super::icap::{self, Options, Service};
use super::manifest::{Manifest, Transport, Version};
use super::outside::Reach;
use super::runner::RunnerPort;
use super::talk::{Broken, Heard, Question, Wire};
use super::web::Client;
use super::{drwebd, versions};
use crate::model::EngineVersions;

/// How long a runner may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest page that tells a version.
const VERSION_BYTES: u64 = 1 << 20;
/// Host that a server in a container is told it is.
const INSIDE: &str = "localhost";

/// How a server is reached.
#[derive(Debug)]
pub enum Way<'a> {
    /// Through the runner, at a socket inside a container.
    Inside {
        /// Where runners call.
        port: &'a RunnerPort,
        /// Which container.
        generation: &'a str,
        /// The socket.
        socket: &'a str,
    },
    /// Over a network, or at a socket of this machine.
    Outside(&'a Reach),
}

impl Way<'_> {
    /// Makes a connection.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn dial(&self) -> Result<Wire, Broken> {
        let (port, generation, socket) = match self {
            Self::Outside(reach) => return reach.dial().await,
            Self::Inside {
                port,
                generation,
                socket,
            } => (port, generation, socket),
        };
        let session = timeout(PATIENCE, port.session(generation)).await;
        let session = session.map_err(|_| Broken::Lost("the runner does not call".to_owned()))?;
        let dialed = session.dial(socket).await;
        match dialed {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(Broken::Lost(error.to_string())),
        }
    }
}

/// The protocol an engine speaks.
#[derive(Debug)]
pub enum Speech {
    /// Lines.
    Dialog(Box<Dialog>),
    /// ICAP, and what the service last said of itself.
    Icap(Service, Mutex<Option<(Options, Instant)>>),
    /// HTTP.
    Http(Box<Client>),
    /// Dr.Web's own.
    Drwebd,
}

/// A server that may be asked about one file.
#[derive(Debug)]
pub enum Opened {
    /// It has greeted.
    Dialog(Greeted),
    /// It has said what it wants.
    Icap(Wire, Options),
    /// It listens.
    Wire(Wire),
}

impl Speech {
    /// Makes ready what the manifest says; nothing if its engine is asked in another way.
    ///
    /// # Errors
    /// Says what is wrong with the manifest.
    pub fn of(manifest: &Manifest) -> Result<Option<Self>, String> {
        let address = manifest.outside.as_ref().map(|outside| &outside.address);
        let authority = address.map_or_else(|| INSIDE.to_owned(), |address| address.authority());
        let run = &manifest.run;
        let missing = |table: &str| format!("there is no [{table}]");
        Ok(match run.transport {
            Transport::Command | Transport::Clamd | Transport::Driver => None,
            Transport::Dialog => {
                let spec = run.dialog.as_ref().ok_or_else(|| missing("run.dialog"))?;
                let dialog = Dialog::new(spec).map_err(|(key, error)| format!("{key}: {error}"))?;
                Some(Self::Dialog(Box::new(dialog)))
            }
            Transport::Icap => {
                let spec = run.icap.clone().unwrap_or_default();
                let path = address.map_or(spec.service, |address| address.path().to_owned());
                let service = Service {
                    authority,
                    path,
                    fields: spec.headers.into_iter().collect(),
                };
                Some(Self::Icap(service, Mutex::default()))
            }
            Transport::Http => {
                let spec = run.http.clone().ok_or_else(|| missing("run.http"))?;
                Some(Self::Http(Box::new(Client { spec, authority })))
            }
            Transport::Drwebd => Some(Self::Drwebd),
        })
    }

    /// Comes as far as a question can be asked; nothing of a file is told.
    ///
    /// # Errors
    /// If the server is not there, or does not behave as it must.
    pub async fn open(&self, way: &Way<'_>) -> Result<Opened, Broken> {
        match self {
            Self::Dialog(dialog) => Ok(Opened::Dialog(dialog.greet(way.dial().await?).await?)),
            Self::Icap(service, known) => {
                let options = self.options(way, (service, known)).await?;
                Ok(Opened::Icap(way.dial().await?, options))
            }
            Self::Http(_) | Self::Drwebd => Ok(Opened::Wire(way.dial().await?)),
        }
    }

    /// Asks about a file; an answer has at most so many bytes.
    ///
    /// # Errors
    /// If no whole answer came.
    pub async fn ask(
        &self,
        (opened, way, key): (Opened, &Way<'_>, Option<&str>),
        question: Question,
        most: u64,
    ) -> Result<Heard, Broken> {
        match (self, opened) {
            (Self::Dialog(dialog), Opened::Dialog(greeted)) => {
                dialog.ask(greeted, question, most).await
            }
            (Self::Icap(service, _), Opened::Icap(wire, options)) => {
                icap::modify(wire, (service, &options), question).await
            }
            (Self::Http(client), Opened::Wire(wire)) => {
                client.ask((wire, way, key), question, most).await
            }
            (Self::Drwebd, Opened::Wire(wire)) => drwebd::ask(wire, question).await,
            _ => Err(Broken::Lost("another server was opened".to_owned())),
        }
    }

    /// Asks what the server scans with, as far as it tells.
    ///
    /// # Errors
    /// If the server is not there, or does not behave as it must.
    pub async fn versions(
        &self,
        way: &Way<'_>,
        (version, key): (Option<&Version>, Option<&str>),
    ) -> Result<EngineVersions, Broken> {
        if let Self::Icap(service, known) = self {
            forget(known);
            return Ok(self.options(way, (service, known)).await?.versions());
        }
        let asked = version.and_then(|version| Some((version, version.ask.as_deref()?)));
        let Some((version, ask)) = asked else {
            self.open(way).await?;
            return Ok(EngineVersions::default());
        };
        let said = match self {
            Self::Dialog(dialog) => {
                let greeted = dialog.greet(way.dial().await?).await?;
                let until = version.until.as_deref().map(Regex::new).transpose();
                let until = until.map_err(|error| Broken::Senseless(error.to_string()))?;
                dialog.version(greeted, (ask, until.as_ref())).await?
            }
            Self::Http(client) => {
                let page = client.get(way, (ask, key), VERSION_BYTES).await?;
                String::from_utf8_lossy(&page.body).into_owned()
            }
            Self::Icap(..) | Self::Drwebd => String::new(),
        };
        versions::parse(&version.pattern, &said).map_err(Broken::Senseless)
    }

    async fn options(
        &self,
        way: &Way<'_>,
        (service, known): (&Service, &Mutex<Option<(Options, Instant)>>),
    ) -> Result<Options, Broken> {
        let fresh = lock(known).clone();
        if let Some((options, at)) = fresh
            && at.elapsed() < options.ttl
        {
            return Ok(options);
        }
        // On a connection of its own: not every service keeps it for the file.
        let options = Options::ask(way.dial().await?, service).await?;
        *lock(known) = Some((options.clone(), Instant::now()));
        Ok(options)
    }

    /// Returns how many connections the server wants at most, if it said so.
    pub fn max_connections(&self) -> Option<u64> {
        match self {
            Self::Icap(_, known) => lock(known).as_ref()?.0.max_connections,
            Self::Dialog(_) | Self::Http(_) | Self::Drwebd => None,
        }
    }
}

fn forget(known: &Mutex<Option<(Options, Instant)>>) {
    *lock(known) = None;
}

fn lock<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
