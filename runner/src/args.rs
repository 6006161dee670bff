//! What the runner is told to be, from its arguments.

use std::path::PathBuf;

/// What the runner is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Mode {
    /// Serve the daemon until the container ends.
    Serve(Settings),
    /// Try to break out and report.
    Probe(Limits),
    /// Put in order what a command left.
    Tidy(Tidy),
    /// Hidden: fill memory, for the probe's own child.
    Touch {
        /// How much.
        mebibytes: u64,
    },
    /// Hidden: end at once, for the probe's own child.
    Nothing,
}

/// What to put in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Tidy {
    /// Let everybody read what is in a directory, and remove it.
    Open(PathBuf),
    /// Remove what has a name with this beginning.
    Discard {
        /// In which directory.
        dir: PathBuf,
        /// The beginning of the names.
        prefix: String,
    },
    /// Say how many bytes of a directory's files are this user's.
    Measure(PathBuf),
    /// Kill every process but the first.
    End,
}

/// How to serve.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// Idle connections kept to the daemon.
    pub connections: usize,
    /// The engine's own daemon, program and arguments; empty if it has none.
    pub daemon: Vec<String>,
}

/// Which limits the probe is to find.
#[derive(Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processes the container may have.
    pub pids: usize,
    /// Memory the container may use, in mebibytes; not tried if 0.
    pub memory_mb: u64,
}

const MAX_CONNECTIONS: usize = 64;
const MAX_PIDS: usize = 4096;
const MAX_MEMORY_MB: u64 = 4096;

/// Reads the arguments behind the program's name.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Mode, String> {
    let mut arguments = arguments.peekable();
    let known = [
        "--probe",
        "--touch-memory",
        "--nothing",
        "--open",
        "--discard",
        "--measure",
        "--end",
    ];
    let first = arguments.next_if(|first| known.contains(&first.as_str()));
    match first.as_deref() {
        Some("--probe") => probe(arguments).map(Mode::Probe),
        Some("--touch-memory") => {
            let mebibytes = number("--touch-memory", arguments.next())?;
            Ok(Mode::Touch { mebibytes })
        }
        Some("--open") => Ok(Mode::Tidy(Tidy::Open(dir("--open", arguments.next())?))),
        Some("--discard") => Ok(Mode::Tidy(Tidy::Discard {
            dir: dir("--discard", arguments.next())?,
            prefix: arguments.next().unwrap_or_default(),
        })),
        Some("--measure") => {
            let dir = dir("--measure", arguments.next())?;
            Ok(Mode::Tidy(Tidy::Measure(dir)))
        }
        Some("--end") => Ok(Mode::Tidy(Tidy::End)),
        Some(_) => Ok(Mode::Nothing),
        None => serve(arguments).map(Mode::Serve),
    }
}

fn serve(mut arguments: impl Iterator<Item = String>) -> Result<Settings, String> {
    let mut settings = Settings {
        connections: 4,
        daemon: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--connections" => {
                let wanted: usize = number(&argument, arguments.next())?;
                settings.connections = wanted.clamp(1, MAX_CONNECTIONS);
            }
            "--daemon" => {
                settings.daemon = daemon(&mut arguments)?;
            }
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    Ok(settings)
}

fn daemon(arguments: &mut impl Iterator<Item = String>) -> Result<Vec<String>, String> {
    if arguments.next().as_deref() != Some("--") {
        return Err("--daemon must be followed by -- and a command".to_owned());
    }
    let command: Vec<String> = arguments.collect();
    if command.is_empty() {
        return Err("--daemon needs a command".to_owned());
    }
    Ok(command)
}

fn probe(mut arguments: impl Iterator<Item = String>) -> Result<Limits, String> {
    let mut limits = Limits {
        pids: 64,
        memory_mb: 0,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--pids" => limits.pids = number::<usize>(&argument, arguments.next())?.min(MAX_PIDS),
            "--memory-mb" => {
                limits.memory_mb = number::<u64>(&argument, arguments.next())?.min(MAX_MEMORY_MB);
            }
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    Ok(limits)
}

fn dir(name: &str, value: Option<String>) -> Result<PathBuf, String> {
    let dir = value.map(PathBuf::from).filter(|dir| dir.is_absolute());
    dir.ok_or_else(|| format!("{name} needs an absolute path"))
}

fn number<T: std::str::FromStr>(name: &str, value: Option<String>) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{name} needs a number"))?;
    value
        .parse()
        .map_err(|_| format!("{name} needs a number, not {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Mode, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn nothing_given_serves_with_defaults() {
        let settings = Settings {
            connections: 4,
            daemon: Vec::new(),
        };
        assert_eq!(of(""), Ok(Mode::Serve(settings)));
    }

    #[test]
    fn daemon_takes_the_rest_of_the_line() {
        let settings = Settings {
            connections: 3,
            daemon: vec!["clamd".to_owned(), "--connections".to_owned()],
        };
        let line = "--connections 3 --daemon -- clamd --connections";
        assert_eq!(of(line), Ok(Mode::Serve(settings)));
    }

    #[test]
    fn probe_knows_its_limits() {
        let limits = Limits {
            pids: 20,
            memory_mb: 64,
        };
        assert_eq!(
            of("--probe --pids 20 --memory-mb 64"),
            Ok(Mode::Probe(limits))
        );
    }

    #[test]
    fn what_to_put_in_order_is_named() {
        let dir = PathBuf::from("/cache");
        assert_eq!(of("--open /cache"), Ok(Mode::Tidy(Tidy::Open(dir.clone()))));
        let prefix = ".trash-".to_owned();
        assert_eq!(
            of("--discard /cache .trash-"),
            Ok(Mode::Tidy(Tidy::Discard { dir, prefix }))
        );
        let dir = PathBuf::from("/cache");
        assert_eq!(of("--measure /cache"), Ok(Mode::Tidy(Tidy::Measure(dir))));
        assert_eq!(of("--end"), Ok(Mode::Tidy(Tidy::End)));
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for line in [
            "--what",
            "--connections",
            "--connections x",
            "--daemon clamd",
            "--daemon --",
            "--open",
            "--open cache",
            "--discard",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}
