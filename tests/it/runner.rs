//! The runner in a real container that holds nothing but it and a misbehaving engine.

mod container;
mod daemon;
mod exec;
mod measure;
