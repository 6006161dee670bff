//! Signatures in the night: updated, proven, put into service, taken back, and then the rescan.

mod crash;
mod life;
mod stage;
mod steady;
mod story;
