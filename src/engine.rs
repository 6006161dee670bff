//! Engines: what they are, the sandbox they run in, how they are asked and how
//! their answers are read.

pub mod ask;
pub mod budget;
pub mod clamd;
pub mod dialog;
mod drwebd;
pub mod icap;
pub mod led;
pub mod manifest;
pub mod names;
pub mod outside;
pub mod parser;
pub mod resident;
pub mod respondent;
pub mod runner;
pub mod sandbox;
pub mod signatures;
pub mod speech;
pub mod staging;
pub mod talk;
pub mod trial;
pub mod updater;
mod versions;
pub mod web;
