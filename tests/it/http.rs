//! The HTTP API over real sockets and a real store; only the engines are played.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

pub mod appliance;
mod engines;
mod files;
mod keys;
pub mod night;
mod orange;
pub mod orders;
mod passwords;
mod references;
mod sessions;
mod settings;
mod sockets;
mod stream;
mod upload_sessions;
mod uploads;
pub mod wire;
