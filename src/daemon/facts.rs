//! The process that reads one file for what it says of itself.
//!
//! The file is hostile and its readers may be wrong. So before the first byte of it is looked at,
//! this process gives up what it does not need: it can open nothing, write no file, start no
//! process, and has little memory and time.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::Context as _;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

use crate::flow::facts::{self, Roots};
use crate::model::FileFacts;

pub use crate::flow::facts::CANNOT_CONFINE;

/// Memory a file's readers may use.
const MEMORY_BYTES: u64 = 1 << 30;
/// Processor time they may use, in seconds.
const CPU_SECONDS: u64 = 120;

/// Reads the file on standard input; `roots` are the certificates of trusted authorities.
///
/// # Errors
/// If this process cannot give up what it must not have; then nothing was read.
pub fn read(roots: &[PathBuf]) -> anyhow::Result<FileFacts> {
    let roots = Roots::load(roots);
    let file = std::io::stdin().as_fd().try_clone_to_owned()?;
    confine().context("cannot give up privileges")?;
    Ok(facts::read(&File::from(file), &roots, crate::system::now()))
}

fn confine() -> nix::Result<()> {
    prctl::set_no_new_privs()?;
    prctl::set_dumpable(false)?;
    for (resource, limit) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_AS, MEMORY_BYTES),
        (Resource::RLIMIT_CPU, CPU_SECONDS),
        // Last: from here on nothing can be opened, no file and no socket.
        (Resource::RLIMIT_NOFILE, 0),
    ] {
        setrlimit(resource, limit, limit)?;
    }
    Ok(())
}
