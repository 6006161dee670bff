//! What a manifest says of a server that is not in a container of ours, `[outside]`.

use serde::{Deserialize, Serialize};

use super::check::Problem;
use super::{Body, Manifest, Transport};
use crate::engine::outside::{Address, Scheme};

/// Longest consent, in characters.
const MAX_CONSENT: usize = 500;

/// A server that is not in a container of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideSpec {
    /// Where it is.
    pub address: Address,
    /// The operator's own words by which files may go there; without them none does.
    #[serde(default)]
    pub consent: Option<String>,
    /// What goes there.
    pub sends: Sends,
    /// Whether it must detect EICAR before it is asked, and again every day; so if not given and
    /// it is sent files.
    #[serde(default)]
    pub canary: Option<bool>,
}

impl OutsideSpec {
    /// Tells whether it must detect EICAR before it is asked.
    pub fn wants_canary(&self) -> bool {
        self.canary.unwrap_or(self.sends == Sends::File)
    }
}

/// What goes to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sends {
    /// The file.
    File,
    /// The file's SHA-256 and nothing else.
    Hash,
}

impl Sends {
    /// Returns its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Hash => "hash",
        }
    }
}

impl Manifest {
    /// Tells whether its engine is a server elsewhere that nobody consented to.
    pub fn needs_consent(&self) -> bool {
        let outside = self.outside.as_ref();
        outside.is_some_and(|outside| outside.consent.is_none())
    }
}

/// Finds what is wrong with a server elsewhere.
pub fn problems(manifest: &Manifest) -> Vec<Problem> {
    let Some(outside) = &manifest.outside else {
        return Vec::new();
    };
    let mut problems = of_consent(outside);
    problems.extend(of_address(manifest, outside));
    problems.extend(of_sends(manifest, outside));
    problems.extend(of_container(manifest));
    problems
}

fn of_consent(outside: &OutsideSpec) -> Vec<Problem> {
    let Some(consent) = &outside.consent else {
        return Vec::new();
    };
    let length = consent.trim().chars().count();
    if (10..=MAX_CONSENT).contains(&length) && !consent.chars().any(char::is_control) {
        return Vec::new();
    }
    let remedy = "say in a line of 10 to 500 characters who allows what to go where; \
                  it is in the ledger with every file";
    vec![Problem::new("outside.consent", "not a consent", remedy)]
}

fn of_address(manifest: &Manifest, outside: &OutsideSpec) -> Option<Problem> {
    let scheme = outside.address.scheme();
    let (fits, remedy) = match manifest.run.transport {
        Transport::Icap => (
            matches!(scheme, Scheme::Icap | Scheme::Icaps),
            "write icap://host:1344/service or icaps://host/service",
        ),
        Transport::Dialog => (
            matches!(scheme, Scheme::Tcp | Scheme::Unix),
            "write tcp://host:port or unix:///path",
        ),
        Transport::Http => (
            matches!(scheme, Scheme::Http | Scheme::Https | Scheme::Unix),
            "write https://host, http://host:port or unix:///path",
        ),
        Transport::Command | Transport::Clamd | Transport::Driver | Transport::Drwebd => {
            let what = "the transport does not lead out of a container";
            let remedy = "set it to \"icap\", \"dialog\" or \"http\", or remove [outside]";
            return Some(Problem::new("run.transport", what, remedy));
        }
    };
    let what = "the transport does not lead there";
    (!fits).then(|| Problem::new("outside.address", what, remedy))
}

fn of_sends(manifest: &Manifest, outside: &OutsideSpec) -> Option<Problem> {
    let run = &manifest.run;
    let (file, hash) = match run.transport {
        Transport::Icap => (true, false),
        Transport::Dialog => {
            let dialog = run.dialog.as_ref()?;
            (dialog.content, dialog.request.contains("{sha256}"))
        }
        Transport::Http => {
            let http = run.http.as_ref()?;
            let json = http.json.as_deref().unwrap_or_default();
            let file = http.body == Body::File || json.contains("{base64}");
            (
                file,
                http.path.contains("{sha256}") || json.contains("{sha256}"),
            )
        }
        Transport::Command | Transport::Clamd | Transport::Driver | Transport::Drwebd => {
            return None;
        }
    };
    let key = "outside.sends";
    match outside.sends {
        Sends::File if !file => {
            let what = "the file would not go: the server cannot read a path of this machine";
            let remedy = "send it (run.dialog.content = true, run.http.body = \"file\"), or set \
                          sends = \"hash\"";
            Some(Problem::new(key, what, remedy))
        }
        Sends::Hash if file => {
            let what = "more than the hash would go";
            Some(Problem::new(
                key,
                what,
                "set sends = \"file\", or do not send it",
            ))
        }
        Sends::Hash if !hash => {
            let what = "the hash would not go";
            Some(Problem::new(key, what, "use {sha256} in the request"))
        }
        Sends::File | Sends::Hash => None,
    }
}

/// Finds what only a container could have.
fn of_container(manifest: &Manifest) -> Vec<Problem> {
    let (run, image) = (&manifest.run, &manifest.image);
    let version = manifest.version.as_ref();
    let has_command = version.is_some_and(|version| !version.command.is_empty());
    let parts = [
        (
            "image",
            image.context.is_some() || image.reference.is_some(),
        ),
        ("signatures", manifest.signatures.is_some()),
        ("update", manifest.update.is_some()),
        ("run.command", !run.command.is_empty()),
        ("run.daemon", !run.daemon.is_empty()),
        ("run.socket", run.socket.is_some()),
        ("run.env", !run.env.is_empty()),
        ("version.command", has_command),
    ];
    let there = parts.into_iter().filter(|(_, there)| *there);
    let what = "an engine outside has no container";
    there
        .map(|(key, _)| Problem::new(key, what, "remove it, or remove [outside]"))
        .collect()
}
