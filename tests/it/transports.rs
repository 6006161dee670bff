//! Engines that are asked over a socket or a network, against servers that play what real ones
//! said, and what no server should say.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod consent;
mod dialog;
mod http;
mod icap;
mod inside;
mod lab;
mod manifests;
mod poll;
mod real;
