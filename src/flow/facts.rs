//! What a file says of itself: product, version, signer.
//!
//! Files are hostile, so they are read by a process of its own that can open nothing and may use
//! little; what it prints is believed as far as one believes a file. A part that cannot be read
//! does not lose the others: it is named in [`FileFacts::problem`].

mod card;
mod deb;
mod der;
mod elf;
mod input;
mod jar;
mod msi;
mod pe;
mod pgp;
mod rpm;
mod signature;
mod stage;
mod text;
mod trust;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::input::{Input, Trouble};
use crate::model::{FileFacts, Timestamp};

pub use card::{Field, Source, card};
pub use stage::{CANNOT_CONFINE, Reader, wanted};
pub use trust::Roots;

/// What signatures are judged by.
#[derive(Clone, Copy, Debug)]
struct Judge<'a> {
    roots: &'a Roots,
    now: Timestamp,
}

/// Reads what a file says of itself. Whatever is in the file, this ends and does not panic; it is
/// meant to run in a process of its own, because it may still use much memory and time.
pub fn read(file: &File, roots: &Roots, now: Timestamp) -> FileFacts {
    let mut facts = FileFacts::default();
    attempt(&mut facts, "file", |facts| {
        let input = Input::open(file)?;
        by_format(&input, Judge { roots, now }, facts)
    });
    text::harmless(facts)
}

fn by_format(input: &Input<'_>, judge: Judge<'_>, facts: &mut FileFacts) -> Result<(), Trouble> {
    match input.head()? {
        head if head.starts_with(b"MZ") => pe::read(input, judge, facts),
        head if head.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") => {
            msi::read(input, judge, facts)
        }
        head if head.starts_with(b"!<arch>\ndebian-binary") => deb::read(input, facts),
        head if head.starts_with(b"\xed\xab\xee\xdb") => rpm::read(input, facts),
        head if head.starts_with(b"\x7fELF") => elf::read(input, facts),
        head if head.starts_with(b"PK\x03\x04") => jar::read(input, facts),
        _ => Ok(()),
    }
}

/// Reads one part of a file; if it cannot be read, says so and leaves the rest as it is.
fn attempt(
    facts: &mut FileFacts,
    part: &str,
    read: impl FnOnce(&mut FileFacts) -> Result<(), Trouble>,
) {
    let done = catch_unwind(AssertUnwindSafe(|| read(facts)));
    let trouble = match done {
        Ok(Ok(())) => return,
        Ok(Err(Trouble(trouble))) => trouble,
        Err(_) => "it is damaged in a way that no reader expected".to_owned(),
    };
    let trouble = format!("the {part} cannot be read: {trouble}");
    facts.problem = Some(match facts.problem.take() {
        Some(before) => format!("{before}; {trouble}"),
        None => trouble,
    });
}

#[cfg(test)]
mod tests;
