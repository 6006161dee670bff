//! What must be right about `[update]`.

use super::check::{Problem, is_clean};
use super::{Manifest, Update};
use crate::config::{Source, Storage};
use crate::model::EngineId;

/// Most sources of one engine.
const MAX_SOURCES: usize = 64;

/// Finds what is wrong with how a manifest's signatures are updated.
pub fn problems(manifest: &Manifest) -> Vec<Problem> {
    let Some(update) = &manifest.update else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    if manifest.signatures.is_none() {
        let what = "there are no signatures outside the image to update";
        let remedy = "add [signatures], or remove it";
        problems.push(Problem::new("update", what, remedy));
    }
    if update.command.first().is_none_or(String::is_empty) {
        let remedy = "give the program and its arguments as a list";
        problems.push(Problem::new(
            "update.command",
            "there is no command",
            remedy,
        ));
    }
    if let Some(cache) = &update.cache
        && cache.parse::<EngineId>().is_err()
    {
        let what = format!("`{cache}` is no name of a cache");
        let remedy = "use 1 to 40 of a-z, 0-9 and -, starting with a letter or digit";
        problems.push(Problem::new("update.cache", what, remedy));
    }
    problems.extend(of_sources(update));
    problems
}

fn of_sources(update: &Update) -> Vec<Problem> {
    if update.sources.len() > MAX_SOURCES {
        let what = format!("there are {} sources", update.sources.len());
        let remedy = format!("give at most {MAX_SOURCES}");
        return vec![Problem::new("update.sources", what, remedy)];
    }
    let mut problems = Vec::new();
    for (number, source) in update.sources.iter().enumerate() {
        if let Err(what) = of_source(source) {
            let key = format!("update.sources.{number}");
            let remedy = "write { mirror }, { url, sha256, minisign } or { directory }";
            problems.push(Problem::new(&key, what, remedy));
        }
    }
    problems
}

fn of_source(source: &Source) -> Result<(), String> {
    // Where the data really are is known when a container is made, and looked at again then.
    source.check(&Storage::default().data_dir)?;
    match &source.directory {
        Some(path) if !is_clean(path) => Err(format!("{} goes up", path.display())),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ENGINE: &str = include_str!("../../../engines/yara.toml");

    /// Gives an engine this `[update]` and compares what is said of it.
    #[track_caller]
    fn check_said(update: &str, expected: &[&str]) {
        // Its own, if it has one, gives way.
        let mut table: toml::Table = toml::from_str(ENGINE).unwrap();
        table.insert("update".to_owned(), toml::from_str(update).unwrap());
        let manifest: Manifest = table.clone().try_into().unwrap();
        let mut said = problems(&manifest);
        said.extend(super::super::range::problems(&manifest));
        let said: Vec<String> = said.iter().map(Problem::to_string).collect();
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn good_update_passes() {
        check_said("command = ['update']\ncache = 'clam-av'", &[]);
        check_said(
            "command = ['update']\nsources = [{ directory = '/srv' }]",
            &[],
        );
    }

    #[test]
    fn every_key_is_checked() {
        check_said("command = []", &["update.command: there is no command"]);
        check_said("command = ['x']\ncache = '../x'", &["no name of a cache"]);
        check_said(
            "command = ['x']\ntimeout_seconds = 0",
            &["0 is out of range"],
        );
        check_said("command = ['x']\nmemory_mb = 1", &["update.memory_mb"]);
        check_said("command = ['x']\ndisk_mb = 0", &["update.disk_mb"]);
    }

    #[test]
    fn sources_are_checked_one_by_one() {
        let source =
            |source: &str| format!("command = ['x']\nsources = [{{ url = 'http://x' }}, {source}]");
        check_said(
            &source("{ }"),
            &["update.sources.1: a source has exactly one"],
        );
        check_said(&source("{ url = 'ftp://x' }"), &["does not start with"]);
        check_said(&source("{ directory = 'x' }"), &["not an absolute path"]);
        check_said(&source("{ directory = '/srv/../etc' }"), &["goes up"]);
        let data = Path::new("/var/lib/acquit/blobs").display().to_string();
        check_said(
            &source(&format!("{{ directory = '{data}' }}")),
            &["data directory"],
        );
    }

    #[test]
    fn signatures_inside_the_image_cannot_be_updated() {
        let mut table: toml::Table = toml::from_str(ENGINE).unwrap();
        table.remove("signatures");
        table.insert(
            "update".to_owned(),
            toml::from_str("command = ['x']").unwrap(),
        );
        let manifest: Manifest = table.try_into().unwrap();
        assert!(
            problems(&manifest)[0]
                .to_string()
                .contains("add [signatures]")
        );
    }
}
