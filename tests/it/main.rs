//! Everything that is tested from outside, in one binary: linked once.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod broker;
mod bundle;
mod cli;
mod disputes;
mod collection;
mod engines;
mod facts;
mod faults;
mod feeds;
mod flow;
mod http;
mod ledger;
mod incident;
mod machine;
mod monitor;
mod night;
mod notify;
mod oidc;
mod parsers;
mod people;
mod partner;
mod rescan;
mod roles;
mod runner;
mod sandbox;
mod support;
mod system;
mod tidy;
mod updater;
mod verdicts;
mod vt_py;
