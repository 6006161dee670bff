//! What a manifest says of a product that works on its own: start, poll, fetch; `[run.poll]`.

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::check::Problem;
use super::placeholder::words;
use super::web::of_interval;
use super::{Run, Transport};

/// How the end of work that a command has started is waited for, and its outcome fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollSpec {
    /// Pattern over what the start prints, whose group `id` names the work.
    #[serde(default)]
    pub id: Option<String>,
    /// The command that tells how far the work is, with `{id}`.
    pub command: Vec<String>,
    /// Pattern over what it prints once the work is done.
    pub done: String,
    /// Pattern over what it prints if the work has failed.
    #[serde(default)]
    pub failed: Option<String>,
    /// Seconds between two looks.
    #[serde(default = "one_second")]
    pub interval_seconds: f64,
    /// The command whose output is the answer, with `{id}`.
    pub fetch: Vec<String>,
}

const fn one_second() -> f64 {
    1.0
}

/// Finds what is wrong with how work is waited for.
pub fn problems(run: &Run) -> Vec<Problem> {
    let Some(poll) = &run.poll else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    if run.transport != Transport::Command {
        let what = "it belongs to the transport command";
        let remedy = "remove it, or set transport to \"command\"";
        problems.push(Problem::new("run.poll", what, remedy));
    }
    if run.daemon.is_empty() {
        let what = "nothing would do the work: what a command leaves running ends with it";
        let remedy = "give the product's own service as run.daemon, in the foreground";
        problems.push(Problem::new("run.poll", what, remedy));
    }
    problems.extend(of_id(poll));
    for (key, pattern) in [("done", Some(&poll.done)), ("failed", poll.failed.as_ref())] {
        let Some(pattern) = pattern else { continue };
        problems.extend(compile(&format!("run.poll.{key}"), pattern).err());
    }
    for (key, command) in [("command", &poll.command), ("fetch", &poll.fetch)] {
        problems.extend(of_command(
            &format!("run.poll.{key}"),
            (command, poll.id.is_some()),
        ));
    }
    problems.extend(of_interval(
        "run.poll.interval_seconds",
        poll.interval_seconds,
    ));
    problems
}

fn of_id(poll: &PollSpec) -> Option<Problem> {
    let key = "run.poll.id";
    let pattern = match compile(key, poll.id.as_deref()?) {
        Ok(pattern) => pattern,
        Err(problem) => return Some(problem),
    };
    let has = pattern.capture_names().flatten().any(|name| name == "id");
    let remedy = "name the group that is the id: (?<id>…)";
    (!has).then(|| Problem::new(key, "the pattern has no group `id`", remedy))
}

fn of_command(key: &str, (command, has_id): (&[String], bool)) -> Vec<Problem> {
    let mut problems = Vec::new();
    let program = command.first();
    if program.is_none_or(|program| program.is_empty() || program.contains('{')) {
        let remedy = "give the program and its arguments as a list";
        problems.push(Problem::new(key, "there is no program", remedy));
    }
    for word in command.iter().flat_map(|argument| words(argument)) {
        if word == "{id}" && !has_id {
            let what = "nothing says what {id} is";
            problems.push(Problem::new(key, what, "add run.poll.id"));
        } else if !["{id}", "{files}", "{list}", "{dir}"].contains(&word) {
            let what = format!("`{word}` is no placeholder");
            problems.push(Problem::new(
                key,
                what,
                "use {id}, {files}, {list} or {dir}",
            ));
        }
    }
    problems
}

fn compile(key: &str, pattern: &str) -> Result<Regex, Problem> {
    Regex::new(pattern).map_err(|error| {
        let text = error.to_string();
        let what = text.lines().last().unwrap_or_default().to_owned();
        Problem::new(key, what, "write it in the syntax of Rust's regex crate")
    })
}
