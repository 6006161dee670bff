//! The HTTP API over real sockets and a real store; only the engines are played.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

pub mod appliance;
mod files;
mod keys;
pub mod night;
mod orange;
pub mod orders;
mod references;
mod sockets;
mod uploads;
pub mod wire;
