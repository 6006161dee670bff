//! Notifications told to real peers: a mail server, a webhook receiver, a command.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod api;
mod deliver;
mod ends;
mod kill;
pub mod lab;
mod mail;
mod privacy;
