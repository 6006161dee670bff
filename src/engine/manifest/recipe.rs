//! What an engine needs that Acquit cannot bring: the vendor's installer and license.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::check::Problem;
use super::{Manifest, Standing};
use crate::engine::parser::{Parser, ParserSpec};

/// The files an operator must bring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Each file or set of files.
    pub needs: Vec<Need>,
}

/// One file that an operator must bring.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// Its name in the engine's directory of installers; one `*` stands for anything.
    pub file: String,
    /// What it is and where it comes from, in one sentence.
    pub what: String,
}

/// How the engine's own command line answers, where Acquit runs it otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// The engine's own command line.
    pub command: Vec<String>,
    /// How its answer is read.
    pub parse: ParserSpec,
}

impl Manifest {
    /// Returns what the operator must still bring into `installers/<id>/`.
    pub fn missing(&self, installers: &Path) -> Vec<&Need> {
        let needs = self.recipe.iter().flat_map(|recipe| &recipe.needs);
        let dir = installers.join(self.id.as_str());
        needs.filter(|need| !need.is_there(&dir)).collect()
    }

    /// Returns where the operator's files are, if there is anything to bring.
    pub fn installers(&self, installers: &Path) -> Option<PathBuf> {
        self.recipe.as_ref()?;
        Some(installers.join(self.id.as_str()))
    }
}

impl Need {
    fn is_there(&self, dir: &Path) -> bool {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.any(|name| self.fits(&name))
    }

    fn fits(&self, name: &str) -> bool {
        match self.file.split_once('*') {
            None => self.file == name,
            Some((start, end)) => {
                let long = name.len() >= start.len() + end.len();
                long && name.starts_with(start) && name.ends_with(end)
            }
        }
    }
}

/// Finds what is wrong with `standing`, `recipe` and `plain`.
pub fn problems(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.+*".contains(c);
    for (number, need) in manifest.recipe.iter().flat_map(|it| &it.needs).enumerate() {
        let name = &need.file;
        if name.is_empty() || !name.chars().all(legal) || name.matches('*').count() > 1 {
            let key = format!("recipe.needs.{number}.file");
            let remedy = "write a file's name of letters, digits and -_.+, with one * at most";
            problems.push(Problem::new(
                &key,
                format!("`{name}` names no file"),
                remedy,
            ));
        }
        if need.what.trim().is_empty() {
            let key = format!("recipe.needs.{number}.what");
            let remedy = "say what it is and where it comes from";
            problems.push(Problem::new(&key, "not a line of text", remedy));
        }
    }
    let free = matches!(manifest.standing, Standing::Installed | Standing::Optional);
    if free && manifest.recipe.is_some() {
        let what = "an engine for which files must be brought cannot be installed by itself";
        let remedy = "set standing = \"recipe\", or remove the table";
        problems.push(Problem::new("recipe", what, remedy));
    }
    if let Some(Err(error)) = manifest.plain.as_ref().map(|it| Parser::new(&it.parse)) {
        let key = format!("plain.{}", error.key);
        problems.push(Problem::new(&key, error.what, error.remedy));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(file: &str) -> Need {
        Need {
            file: file.to_owned(),
            what: "a package".to_owned(),
        }
    }

    #[test]
    fn star_stands_for_anything() {
        assert!(need("avast_*.deb").fits("avast_4.5.1.deb"));
        assert!(!need("avast_*.deb").fits("avast_4.5.1.rpm"));
        assert!(!need("ab*ba").fits("aba"));
        assert!(need("license.key").fits("license.key"));
    }

    #[test]
    fn missing_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = include_str!("../../../engines/yara.toml");
        let mut manifest: Manifest = toml::from_str(text).unwrap();
        manifest.recipe = Some(Recipe {
            needs: vec![need("yara_*.deb"), need("license.key")],
        });
        std::fs::create_dir(dir.path().join("yara")).unwrap();
        std::fs::write(dir.path().join("yara/yara_1.deb"), "").unwrap();
        let missing = manifest.missing(dir.path());
        let files: Vec<&str> = missing.iter().map(|need| need.file.as_str()).collect();
        assert_eq!(files, ["license.key"]);
    }
}
