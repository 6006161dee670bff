//! Every engine there is, from several directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check::Problem;
use super::{Manifest, Problems, Standing};
use crate::config::Engines;
use crate::model::EngineId;

/// Every engine there is, and every manifest that is none.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The engines by id.
    pub engines: BTreeMap<EngineId, Manifest>,
    /// Manifests that cannot be used; they take nobody else down.
    pub broken: Vec<Broken>,
}

/// A manifest that cannot be used.
#[derive(Debug)]
pub struct Broken {
    /// Its file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problems: Problems,
}

impl Catalog {
    /// Loads `<id>.toml` of all directories; of two with the same id the later directory's wins.
    ///
    /// A later manifest that is broken still removes the earlier one: whoever
    /// overrides an engine must not silently get the limits he wanted changed. A
    /// directory that does not exist is empty.
    pub fn load(dirs: &[PathBuf]) -> Self {
        let mut catalog = Self::default();
        for dir in dirs {
            match manifests(dir) {
                Ok(paths) => paths.into_iter().for_each(|path| catalog.add(path)),
                Err(error) => catalog.add_unreadable(dir, &error),
            }
        }
        catalog
    }

    /// Returns the engines that take part: what is installed by itself, and what is enabled.
    pub fn chosen(&self, config: &Engines) -> impl Iterator<Item = &Manifest> {
        self.engines.values().filter(|manifest| {
            let named = config.enabled.iter().any(|id| id == manifest.id.as_str());
            named || manifest.standing == Standing::Installed
        })
    }

    /// Leaves out the engines that do not take part.
    pub fn narrow(mut self, config: &Engines) -> Self {
        let chosen: Vec<_> = self.chosen(config).map(|it| it.id.clone()).collect();
        self.engines.retain(|id, _| chosen.contains(id));
        self
    }

    fn add(&mut self, path: PathBuf) {
        let id = path.file_stem().and_then(|stem| stem.to_str());
        let id: Option<EngineId> = id.and_then(|stem| stem.parse().ok());
        if let Some(id) = &id {
            self.engines.remove(id);
            self.broken
                .retain(|broken| broken.path.file_stem() != path.file_stem());
        }
        match Manifest::load(&path) {
            Ok(manifest) => {
                self.engines.insert(manifest.id.clone(), manifest);
            }
            Err(problems) => self.broken.push(Broken { path, problems }),
        }
    }

    fn add_unreadable(&mut self, dir: &Path, error: &std::io::Error) {
        if error.kind() != std::io::ErrorKind::NotFound {
            let what = format!("cannot read the directory: {error}");
            let problem = Problem::whole(what, "let the daemon's user read it");
            self.broken.push(Broken {
                path: dir.to_owned(),
                problems: Problems(vec![problem]),
            });
        }
    }
}

fn manifests(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../engines/yara.toml");

    #[test]
    fn broken_manifest_takes_nobody_down() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("yara.toml"), GOOD).unwrap();
        std::fs::write(dir.path().join("other.toml"), "id = ").unwrap();
        let catalog = Catalog::load(&[dir.path().to_owned(), PathBuf::from("/does/not/exist")]);
        assert_eq!(catalog.engines.len(), 1);
        assert_eq!(catalog.broken.len(), 1);
        assert!(catalog.broken[0].path.ends_with("other.toml"));
    }

    #[test]
    fn broken_override_removes_the_engine() {
        let (shipped, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(shipped.path().join("yara.toml"), GOOD).unwrap();
        std::fs::write(own.path().join("yara.toml"), "id = 'yara'\nmemory = 3").unwrap();
        let dirs = [shipped.path().to_owned(), own.path().to_owned()];
        let catalog = Catalog::load(&dirs);
        assert!(catalog.engines.is_empty());
        assert_eq!(catalog.broken.len(), 1);
    }

    #[test]
    fn recipes_take_part_only_where_they_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let recipe = GOOD.replace("\"installed\"", "\"recipe\"");
        std::fs::write(dir.path().join("yara.toml"), recipe).unwrap();
        let catalog = Catalog::load(&[dir.path().to_owned()]);
        let mut config = Engines::default();
        assert_eq!(catalog.chosen(&config).count(), 0);
        config.enabled = vec!["yara".to_owned()];
        assert_eq!(catalog.chosen(&config).count(), 1);
    }

    #[test]
    fn later_directory_wins() {
        let (shipped, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(shipped.path().join("yara.toml"), GOOD).unwrap();
        let renamed = GOOD.replace("name = \"YARA\"", "name = \"House rules\"");
        std::fs::write(own.path().join("yara.toml"), renamed).unwrap();
        let dirs = [shipped.path().to_owned(), own.path().to_owned()];
        let catalog = Catalog::load(&dirs);
        let engine = catalog.engines.values().next().unwrap();
        assert_eq!(engine.name, "House rules");
    }
}
