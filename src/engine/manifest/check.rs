//! Says exactly what is wrong with a manifest, and what would be right.

use std::fmt;
use std::path::{Component, Path};

use super::locate::{self, Place};
use super::{Manifest, Signatures};
use crate::engine::parser::Parser;

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands, if that is known.
    pub place: Option<Place>,
    /// The key, e.g. `run.command`; empty if it is the file as a whole.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(key: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            place: None,
            key: key.to_owned(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn whole(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new("", what, remedy)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "line {}, column {}: ", place.line, place.column)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a manifest; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&texts.join("\n"))
    }
}

/// Finds everything that is wrong with a manifest and its build context.
pub fn check(path: &Path, containers: &Path) -> Vec<Problem> {
    match read(path) {
        Ok((text, manifest)) => {
            let mut problems = of_manifest(&manifest, path);
            problems.extend(super::context::problems(&manifest, containers));
            placed(&text, problems)
        }
        Err(problem) => vec![problem],
    }
}

/// Reads a manifest and checks what does not need its build context.
pub(super) fn load(path: &Path) -> Result<Manifest, Problems> {
    let (text, manifest) = read(path).map_err(|problem| Problems(vec![problem]))?;
    let problems = of_manifest(&manifest, path);
    if problems.is_empty() {
        return Ok(manifest);
    }
    Err(Problems(placed(&text, problems)))
}

fn read(path: &Path) -> Result<(String, Manifest), Problem> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("cannot read {}: {error}", path.display());
        Problem::whole(what, "name a readable file of UTF-8 text")
    })?;
    match toml::from_str(&text) {
        Ok(manifest) => Ok((text, manifest)),
        Err(error) => {
            let mut problem = Problem::whole(error.message().trim(), "");
            problem.place = error.span().map(|span| locate::offset(&text, span.start));
            Err(problem)
        }
    }
}

fn placed(text: &str, mut problems: Vec<Problem>) -> Vec<Problem> {
    for problem in &mut problems {
        problem.place = locate::key(text, &problem.key);
    }
    problems.sort_by_key(|problem| problem.place.map(|place| place.line));
    problems
}

fn of_manifest(manifest: &Manifest, path: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    if stem != Some(manifest.id.as_str()) {
        let what = format!(
            "the id is `{}`, the file is {}",
            manifest.id,
            path.display()
        );
        let remedy = format!("name the file {}.toml", manifest.id);
        problems.push(Problem::new("id", what, remedy));
    }
    problems.extend(of_texts(manifest));
    problems.extend(of_image(manifest));
    problems.extend(super::run::problems(manifest));
    problems.extend(super::poll::problems(&manifest.run));
    problems.extend(super::outside::problems(manifest));
    problems.extend(super::range::problems(manifest));
    problems.extend(
        manifest
            .signatures
            .as_ref()
            .map(of_signatures)
            .unwrap_or_default(),
    );
    problems.extend(super::update::problems(manifest));
    problems.extend(super::family::problems(manifest));
    problems.extend(super::recipe::problems(manifest));
    problems.extend(
        manifest
            .version
            .as_ref()
            .map(|version| super::version::problems(version, manifest.run.transport))
            .unwrap_or_default(),
    );
    problems.extend(of_parser(manifest));
    problems
}

fn of_texts(manifest: &Manifest) -> Vec<Problem> {
    let texts = [
        ("name", &manifest.name),
        ("vendor", &manifest.vendor),
        ("description", &manifest.description),
    ];
    let bad = texts.into_iter().filter(|(_, text)| {
        text.trim().is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control)
    });
    bad.map(|(key, _)| Problem::new(key, "not a line of text", "write 1 to 200 characters"))
        .collect()
}

fn of_image(manifest: &Manifest) -> Vec<Problem> {
    let image = &manifest.image;
    let mut problems = Vec::new();
    if image.context.is_some() && image.reference.is_some() {
        let what = "there are a build context and a ready image";
        problems.push(Problem::new(
            "image",
            what,
            "give one of `context` and `reference`",
        ));
    }
    if image.context.as_deref().is_some_and(|name| !is_plain(name)) {
        let remedy = "name one directory below containers/";
        problems.push(Problem::new(
            "image.context",
            "not a directory's name",
            remedy,
        ));
    }
    if image
        .reference
        .as_deref()
        .is_some_and(|name| !is_digest(name))
    {
        let what = "the image may change without notice";
        let remedy = "write name@sha256: and 64 hexadecimal digits";
        problems.push(Problem::new("image.reference", what, remedy));
    }
    problems
}

fn is_plain(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(legal)
}

fn is_digest(reference: &str) -> bool {
    let digest = reference.split_once("@sha256:");
    digest.is_some_and(|(name, digest)| {
        let hex = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_uppercase();
        !name.is_empty() && digest.len() == 64 && digest.chars().all(hex)
    })
}

/// Tells whether a path is absolute and goes nowhere but down.
pub(super) fn is_clean(path: &Path) -> bool {
    let goes_down = |part| matches!(part, Component::RootDir | Component::Normal(_));
    path.is_absolute() && path.components().all(goes_down)
}

fn of_signatures(signatures: &Signatures) -> Vec<Problem> {
    let mut problems = Vec::new();
    let goes_down = |part| matches!(part, Component::Normal(_));
    if !signatures.seed.components().all(goes_down) || signatures.seed.as_os_str().is_empty() {
        let what = "the seed is outside the build context";
        let remedy = "name a directory in it, without /, . and ..";
        problems.push(Problem::new("signatures.seed", what, remedy));
    }
    let taken = [
        "/scan",
        "/run",
        "/tmp",
        "/proc",
        "/sys",
        "/dev",
        "/acquit-runner",
    ];
    let path = &signatures.path;
    let is_taken = taken.iter().any(|taken| path.starts_with(taken));
    if !is_clean(path) || path.parent().is_none() || is_taken {
        let what = format!("{} is no place for signatures", path.display());
        let remedy = "name an absolute path outside /scan, /run, /tmp, /proc, /sys and /dev";
        problems.push(Problem::new("signatures.path", what, remedy));
    }
    problems
}

fn of_parser(manifest: &Manifest) -> Vec<Problem> {
    let parser = match Parser::new(&manifest.parse) {
        Ok(parser) => parser,
        Err(error) => return vec![Problem::new(&error.key, error.what, error.remedy)],
    };
    let single = parser.needs_single_file();
    let speech = manifest.run.transport.is_speech();
    if speech && parser.needs_sentinel() {
        let what = "the sentinel is a second file, but this transport asks about one at a time";
        let remedy = "prove with rule = \"per-file\" or \"summary\", without a sentinel";
        return vec![Problem::new("parse.proof", what, remedy)];
    }
    if single && manifest.run.batch_files != 1 && !speech {
        let what = "a line or record names no file, so that no batch can be told apart";
        let remedy = "add the group or field `path`, or set run.batch_files = 1";
        return vec![Problem::new("parse", what, remedy)];
    }
    if single && parser.needs_sentinel() {
        let what = "the sentinel is a second file, but a line or record names no file";
        return vec![Problem::new(
            "parse.proof",
            what,
            "add the group or field `path`",
        )];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../engines/yara.toml");

    /// Replaces a part of a good manifest and compares what is said of the first problem.
    #[track_caller]
    fn check_said(from: &str, to: &str, expected: &str) {
        assert!(GOOD.contains(from), "{from}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("yara.toml");
        std::fs::write(&path, GOOD.replacen(from, to, 1)).unwrap();
        let problems = load(&path).map(|manifest| manifest.id).unwrap_err();
        let said = problems.0[0].to_string();
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn unknown_key_is_named_with_its_line() {
        check_said("slots = 2", "slot = 1", "unknown field `slot`");
        check_said("slots = 2", "slot = 1", "line 14, column 1");
    }

    #[test]
    fn id_must_be_the_file_name() {
        check_said("id = \"yara\"", "id = \"yarn\"", "name the file yarn.toml");
    }

    #[test]
    fn placeholders_are_checked() {
        check_said("\"{list}\"", "\"{lists}\"", "`{lists}` is no placeholder");
        check_said(
            "\"{list}\"",
            "\"/list\"",
            "0 placeholders tell the engine its files",
        );
        check_said("\"{list}\"", "\"{list}\", \"{dir}\"", "2 placeholders");
        check_said(
            "\"{list}\"",
            "\"-f={files}\"",
            "make it an argument of its own",
        );
    }

    #[test]
    fn clamd_needs_its_daemon_and_socket() {
        check_said("\"command\"", "\"clamd\"", "there is no daemon");
    }

    #[test]
    fn numbers_must_make_sense() {
        check_said("slots = 2", "slots = 0", "run.slots: 0 is out of range");
        check_said("tmp_mb = 16", "tmp_mb = 4000", "raise limits.memory_mb");
        check_said("cpus = 2.0", "cpus = 0.0", "limits.cpus");
    }

    #[test]
    fn paths_must_go_down() {
        check_said(
            "seed = \"signatures\"",
            "seed = \"../x\"",
            "outside the build context",
        );
        check_said(
            "path = \"/signatures\"",
            "path = \"/scan/x\"",
            "no place for signatures",
        );
        check_said(
            "path = \"/signatures\"",
            "path = \"/a/../etc\"",
            "no place for signatures",
        );
    }

    #[test]
    fn patterns_are_checked_where_they_stand() {
        check_said(
            "^Acquit_Seen",
            "Acquit_Seen",
            "begin it with ^ and end it with $",
        );
        check_said(
            "(?<engine>",
            "(?<program>",
            "name them engine, signatures and date",
        );
    }

    #[test]
    fn missing_context_and_seed_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("yara.toml");
        std::fs::write(&path, GOOD).unwrap();
        let problems = check(&path, dir.path());
        let keys: Vec<&str> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(keys, ["image.context", "signatures.seed"]);
    }
}
