//! The runner in a real container that holds nothing but it and a misbehaving engine.

#![expect(
    clippy::unwrap_used,
    reason = "what fails to unwrap fails its test, also in a helper"
)]

mod clamav;
mod container;
mod daemon;
mod exec;
mod measure;
mod probe;
