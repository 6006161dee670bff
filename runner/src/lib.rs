//! The wire between the daemon and `acquit-runner`, for both ends.

pub mod wire;
