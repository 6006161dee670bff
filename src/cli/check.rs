//! `acquit check-config` and `acquit engines check`: files judged without a daemon.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Context;
use super::doctor::updates;
use super::exit::{Exit, UsageError};
use super::text::{emit, emit_json, visible, visible_lines, visible_name};
use crate::config::{Config, VendorDirectory};
use crate::engine::manifest::{self, Problem};

/// Checks a configuration and prints it with every default spelled out.
///
/// # Errors
/// If it is wrong; the message says where.
pub fn config(context: &Context, file: Option<PathBuf>) -> anyhow::Result<Exit> {
    let path = file.unwrap_or_else(|| context.config.clone());
    match complaint(&path) {
        Ok(config) if !updates::problems(&config).is_empty() => {
            let lines = updates::problems(&config).join("\n");
            return Err(UsageError(format!("{}: {lines}", path.display())).into());
        }
        Ok(config) if VendorDirectory::load(&config.disputes.vendors).is_err() => {
            VendorDirectory::load(&config.disputes.vendors)
                .map_err(|error| UsageError(visible_lines(&format!("{error:#}"))))?;
        }
        Ok(config) if context.json => emit_json(&config)?,
        Ok(config) => {
            let text = toml::to_string_pretty(&config)?;
            emit(&format!("# {}, with every default\n{text}", path.display()))?;
        }
        Err(complaint) => return Err(UsageError(complaint).into()),
    }
    Ok(Exit::Fine)
}

/// Loads a configuration or says `file:line:column: what is wrong`.
fn complaint(path: &Path) -> Result<Config, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the configuration {shown}: {error}"))?;
    Config::parse(&text).map_err(|error| {
        let Some(toml) = error.downcast_ref::<toml::de::Error>() else {
            return format!("{shown}: {error:#}");
        };
        let message = visible(toml.message());
        match toml.span() {
            Some(span) => {
                let (line, column) = place(&text, span.start);
                format!("{shown}:{line}:{column}: {message}")
            }
            None => format!("{shown}: {message}"),
        }
    })
}

/// Returns line and column of an offset, counted from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |start| start.chars().count())
        + 1;
    (line, column)
}

/// Tells exactly what is wrong with manifests.
///
/// # Errors
/// If the daemon's configuration is wrong.
pub fn manifests(context: &Context, files: &[PathBuf]) -> anyhow::Result<Exit> {
    let containers = match context.config.exists() {
        true => Config::load(&context.config)?.engines.containers,
        false => Config::default().engines.containers,
    };
    let mut problems = Vec::new();
    for file in files {
        let found = manifest::check(file, &containers);
        problems.extend(found.into_iter().map(|problem| (file, problem)));
    }
    if context.json {
        let list: Vec<_> = problems
            .iter()
            .map(|(file, it)| document(file, it))
            .collect();
        emit_json(&json!({ "problems": list }))?;
    } else {
        let lines: Vec<String> = problems.iter().map(|(file, it)| line(file, it)).collect();
        emit(&lines.concat())?;
        if problems.is_empty() {
            emit("nothing is wrong\n")?;
        }
    }
    Ok(match problems.is_empty() {
        true => Exit::Fine,
        false => Exit::Usage,
    })
}

fn document(file: &Path, problem: &Problem) -> Value {
    let Problem {
        key, what, remedy, ..
    } = problem;
    let line = problem.place.map(|place| place.line);
    let column = problem.place.map(|place| place.column);
    json!({ "file": file, "line": line, "column": column, "key": key, "problem": what, "remedy": remedy })
}

fn line(file: &Path, problem: &Problem) -> String {
    let mut text = visible_name(file.as_os_str());
    if let Some(place) = problem.place {
        text.push_str(&format!(":{}:{}", place.line, place.column));
    }
    if !problem.key.is_empty() {
        text.push_str(&format!(": {}", visible(&problem.key)));
    }
    text.push_str(&format!(": {}\n", visible_lines(&problem.what)));
    if !problem.remedy.is_empty() {
        text.push_str(&format!("    {}\n", visible_lines(&problem.remedy)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_counts_characters_from_one() {
        assert_eq!(place("a\nüb", 0), (1, 1));
        assert_eq!(place("a\nüb", 4), (2, 2));
    }

    #[test]
    fn complaint_names_file_line_and_column() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acquit.toml");
        std::fs::write(&path, "[http]\nlisten = \"x\"\n").unwrap();
        let said = complaint(&path).unwrap_err();
        assert!(said.contains("acquit.toml:2:10: "), "{said}");
    }
}
