//! What may go wrong around the daemon, made to go wrong: real containers, real processes.
//!
//! Every test here needs root and a Docker Engine, and has an appliance of its own.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

pub mod cable;
mod crash;
pub mod daemon;
mod disk;
mod docker;
mod engine;
mod hostile;
mod input;
mod rescan;
mod store;
