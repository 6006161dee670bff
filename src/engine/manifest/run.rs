//! What must be right about `[run]`.

use std::path::Path;

use super::check::{Problem, is_clean};
use super::{Manifest, Run, Transport};

/// Finds what is wrong with how an engine is run.
pub fn problems(manifest: &Manifest) -> Vec<Problem> {
    let run = &manifest.run;
    let mut problems = match run.transport {
        Transport::Command => of_command(run),
        Transport::Clamd => of_clamd(run),
        Transport::Driver => of_driver(run),
        Transport::Dialog | Transport::Icap | Transport::Http | Transport::Drwebd => {
            of_speech(manifest)
        }
    };
    problems.extend(of_tables(run));
    for (number, extension) in run.extensions.iter().enumerate() {
        let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !(1..=12).contains(&extension.len()) || !extension.bytes().all(legal) {
            let key = format!("run.extensions.{number}");
            let what = format!("`{extension}` is no extension");
            problems.push(Problem::new(
                &key,
                what,
                "write 1 to 12 of a-z and 0-9, without a dot",
            ));
        }
    }
    for name in run.env.keys() {
        let legal = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        if name.is_empty() || !name.bytes().all(legal) || name.starts_with("ACQUIT_") {
            let what = format!("`{name}` cannot be set");
            let remedy = "use letters, digits and _; ACQUIT_… is taken";
            problems.push(Problem::new("run.env", what, remedy));
        }
    }
    problems
}

fn of_command(run: &Run) -> Vec<Problem> {
    let mut problems = super::placeholder::problems(&run.command);
    if run.command.is_empty() {
        let remedy = "give the program and its arguments as a list";
        problems.push(Problem::new("run.command", "there is no command", remedy));
    }
    let strange = !run.daemon.is_empty() && run.poll.is_none();
    if strange || run.socket.is_some() {
        let what = "`daemon` and `socket` belong to transports that ask a daemon";
        problems.push(Problem::new(
            "run",
            what,
            "remove them, or set transport to that of the daemon, e.g. \"clamd\" or \"driver\"",
        ));
    }
    problems
}

fn of_clamd(run: &Run) -> Vec<Problem> {
    let mut problems = of_daemon(run);
    if !run.command.is_empty() {
        let what = "the transport clamd runs no command";
        problems.push(Problem::new("run.command", what, "remove it"));
    }
    problems
}

fn of_driver(run: &Run) -> Vec<Problem> {
    let mut problems = of_daemon(run);
    if !run.command.is_empty() {
        problems.extend(super::placeholder::problems(&run.command));
    }
    problems
}

fn of_daemon(run: &Run) -> Vec<Problem> {
    let mut problems = Vec::new();
    if run.daemon.is_empty() {
        let remedy = "give the daemon's command line, in the foreground";
        problems.push(Problem::new("run.daemon", "there is no daemon", remedy));
    }
    let in_tmp = |socket: &Path| is_clean(socket) && socket.starts_with("/tmp");
    if !run.socket.as_deref().is_some_and(in_tmp) {
        let what = "there is no socket that the daemon could make";
        problems.push(Problem::new("run.socket", what, "name a path below /tmp"));
    }
    problems
}

/// Finds what is wrong with a server that is asked about one file at a time.
fn of_speech(manifest: &Manifest) -> Vec<Problem> {
    let (run, outside) = (&manifest.run, manifest.outside.is_some());
    let mut problems = match (run.transport, &run.dialog, &run.http) {
        (Transport::Dialog, Some(dialog), _) => super::dialog::problems(dialog),
        (Transport::Dialog, None, _) => vec![missing("run.dialog", "what is said")],
        (Transport::Http, _, Some(http)) => super::web::problems(http, outside),
        (Transport::Http, _, None) => vec![missing("run.http", "how the server is asked")],
        (Transport::Icap, ..) => {
            super::dialog::of_icap(&run.icap.clone().unwrap_or_default(), outside)
        }
        _ => Vec::new(),
    };
    if !outside {
        problems.extend(of_daemon(run));
        if !run.command.is_empty() {
            let what = "this transport runs no command";
            problems.push(Problem::new("run.command", what, "remove it"));
        }
    }
    problems
}

fn missing(table: &str, what: &str) -> Problem {
    let missing = format!("nothing says {what}");
    Problem::new(table, missing, format!("add the table [{table}]"))
}

/// Finds tables of transports that are not this one.
fn of_tables(run: &Run) -> Vec<Problem> {
    let tables = [
        ("dialog", run.dialog.is_some(), Transport::Dialog),
        ("icap", run.icap.is_some(), Transport::Icap),
        ("http", run.http.is_some(), Transport::Http),
    ];
    let strange = tables.into_iter();
    let strange = strange.filter(|(_, there, owner)| *there && run.transport != *owner);
    let problem = |(name, ..): (&str, bool, Transport)| {
        let what = format!("it belongs to the transport {name}");
        let remedy = format!("remove it, or set transport to \"{name}\"");
        Problem::new(&format!("run.{name}"), what, remedy)
    };
    strange.map(problem).collect()
}
