//! What must be right about `[version]`.

use super::check::Problem;
use super::{Transport, Version};

/// Finds what is wrong with how versions are read.
pub fn problems(version: &Version, transport: Transport) -> Vec<Problem> {
    let mut problems = Vec::new();
    let asks = matches!(transport, Transport::Dialog | Transport::Http);
    if version.command.is_empty() && version.ask.is_none() {
        let remedy = "give the program and its arguments as a list";
        problems.push(Problem::new(
            "version.command",
            "there is no command",
            remedy,
        ));
    }
    if version.ask.is_some() && (!asks || !version.command.is_empty()) {
        let what = "the version is not asked for";
        let remedy = "give `ask` only with the transports dialog and http, instead of `command`";
        problems.push(Problem::new("version.ask", what, remedy));
    }
    if let Some(until) = &version.until
        && (transport != Transport::Dialog || regex::Regex::new(until).is_err())
    {
        let remedy = "give a pattern, and only with the transport dialog";
        problems.push(Problem::new("version.until", "no answer ends so", remedy));
    }
    match regex::Regex::new(&version.pattern) {
        Err(error) => {
            let text = error.to_string();
            let what = text.lines().last().unwrap_or_default().to_owned();
            let remedy = "write it in the syntax of Rust's regex crate";
            problems.push(Problem::new("version.pattern", what, remedy));
        }
        Ok(pattern) => {
            let known = ["engine", "signatures", "date", "license"];
            let groups: Vec<&str> = pattern.capture_names().flatten().collect();
            if groups.is_empty() || groups.iter().any(|group| !known.contains(group)) {
                let what = "the groups of the pattern are not those of a version";
                let remedy = "name them engine, signatures and date; at least one";
                problems.push(Problem::new("version.pattern", what, remedy));
            }
        }
    }
    problems
}
