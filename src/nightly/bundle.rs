//! Signature bundles: what carries signatures to an appliance without a network.
//!
//! ```text
//! bundle.json            what is in it: engines, sets, every file with size and SHA-256
//! bundle.json.minisig    the signature over it, by the key of the appliance that made it
//! manifests/<engine>.toml, sets/<engine>/<path>, …    in the order of bundle.json
//! ```
//!
//! A plain tar, so that anybody can look into it. It is read twice: nothing is
//! unpacked before the signature, every name, every size and every digest were
//! found right, and what is unpacked is digested again while it is written. The
//! manifests are there to be read, never taken over: a manifest is a command.

mod export;
mod index;
mod key;
mod open;

use std::io;

pub use export::{Export, prepare};
pub use index::{FileEntry, Index, Member};
pub use key::{Key, is_public_key, key};
pub use open::{Candidate, Terms, Verified, verify};

use crate::model::EngineId;
use crate::store::StoreError;

/// Why a bundle is not made or not taken.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// What came is no bundle, or a damaged one.
    #[error("this is no signature bundle, or a damaged one: {0}")]
    Malformed(String),
    /// Something in it is not what the signed list says.
    #[error("the bundle was altered: {name} {what}")]
    Altered {
        /// What it is about.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// The signature is good, but nobody here trusts the key.
    #[error(
        "the bundle is signed by the key {key}, which is not trusted here; if it is what \
         `acquit signatures key` says where the bundle was made, add it to updates.trusted_keys"
    )]
    Untrusted {
        /// The public key.
        key: String,
    },
    /// The signature does not belong to the content.
    #[error("the signature of the bundle is wrong; have it exported and carried here again")]
    Forged,
    /// It has signatures of engines that are not here.
    #[error("the bundle has signatures of {}, which {} not an enabled engine here", list(.0), if .0.len() == 1 { "is" } else { "are" })]
    UnknownEngines(Vec<EngineId>),
    /// It unpacks to more than is taken.
    #[error("the bundle unpacks to {bytes} bytes; at most {most} are taken")]
    TooLarge {
        /// What it says of itself.
        bytes: u64,
        /// What is taken.
        most: u64,
    },
    /// An engine's signatures cannot be put into a bundle.
    #[error("the signatures of {engine} cannot be exported: {why}")]
    NotExportable {
        /// Whose.
        engine: EngineId,
        /// Why.
        why: String,
    },
    /// A key of the configuration or of the appliance cannot be read.
    #[error("{0}")]
    Key(String),
    /// The file system failed.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// How it failed.
        error: io::Error,
    },
    /// The rows could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(engines: &[EngineId]) -> String {
    let names: Vec<_> = engines.iter().map(EngineId::as_str).collect();
    names.join(", ")
}

/// Says what was tried when the file system failed.
fn io_failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> BundleError {
    let what = what.into();
    move |error| BundleError::Io { what, error }
}
