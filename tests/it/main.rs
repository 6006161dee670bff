//! Everything that is tested from outside, in one binary: linked once.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod broker;
mod bundle;
mod catalog;
mod cli;
mod collection;
mod disputes;
mod engines;
mod facts;
mod faults;
mod feeds;
mod flow;
mod http;
mod incident;
mod labels;
mod ledger;
mod machine;
mod monitor;
mod names;
mod night;
mod notify;
mod oidc;
mod parsers;
mod partner;
mod people;
mod rescan;
mod roles;
mod runner;
mod sandbox;
mod story;
mod support;
mod system;
mod tidy;
mod transports;
mod updater;
mod verdicts;
mod vt_py;
mod web;
