//! The table of engines in `engines/README.md`, made from the manifests.
//!
//! `UPDATE_GOLDEN=1` writes it again.

use std::fs;
use std::path::{Path, PathBuf};

use acquit::engine::manifest::{Catalog, Manifest, Standing};

const BEGIN: &str = "<!-- the table is made from the manifests -->\n";
const END: &str = "<!-- end of the table -->\n";
/// Engines that run in the tests, at least.
const RUN_HERE: usize = 15;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn catalog() -> Catalog {
    Catalog::load(&[root().join("engines")])
}

/// What is said of an engine's standing.
fn said(standing: Standing) -> &'static str {
    match standing {
        Standing::Installed => "runs here in CI; installed",
        Standing::Optional => "runs here in CI; optional",
        Standing::Recipe => "recipe, parser tested on recorded output",
        Standing::Discontinued => "discontinued by its vendor; parser tested on recorded output",
    }
}

fn row(manifest: &Manifest) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let family = manifest.family.as_ref();
    let family = family.map_or(String::new(), |family| format!("`{}`", family.of));
    format!(
        "| `{}` | {} | {} | {} | {} | {family} |\n",
        manifest.id,
        cell(&manifest.name),
        cell(&manifest.vendor),
        cell(&manifest.description),
        said(manifest.standing),
    )
}

fn table() -> String {
    let catalog = catalog();
    let mut engines: Vec<&Manifest> = catalog.engines.values().collect();
    engines.sort_by_key(|manifest| (manifest.standing, manifest.id.clone()));
    let count = |standing| {
        let same = engines.iter().filter(|it| it.standing == standing);
        same.count()
    };
    let mut text = format!(
        "{} engines: {} run here in CI, {} are recipes, {} are discontinued by their vendors.\n\n",
        engines.len(),
        count(Standing::Installed) + count(Standing::Optional),
        count(Standing::Recipe),
        count(Standing::Discontinued),
    );
    text.push_str("| id | engine | vendor | what it looks at | standing | signatures of |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    text.extend(engines.into_iter().map(row));
    text
}

#[test]
fn table_of_engines_is_that_of_the_manifests() {
    let path = root().join("engines/README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (head, rest) = readme.split_once(BEGIN).unwrap();
    let (written, tail) = rest.split_once(END).unwrap();
    let expected = format!("\n{}\n", table());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{expected}{END}{tail}")).unwrap();
        return;
    }
    assert!(written == expected, "write it again with UPDATE_GOLDEN=1");
}

#[test]
fn enough_engines_run_here() {
    let catalog = catalog();
    let runs = |manifest: &&Manifest| {
        matches!(manifest.standing, Standing::Installed | Standing::Optional)
    };
    let count = catalog.engines.values().filter(runs).count();
    assert!(count >= RUN_HERE, "{count} engines run here");
    assert!(catalog.broken.is_empty(), "{:?}", catalog.broken);
}

/// A recipe says what to bring; nothing of a vendor lies in the repository.
#[test]
fn recipes_ship_nothing_of_a_vendor() {
    let catalog = catalog();
    for manifest in catalog.engines.values() {
        let context = manifest.build_context(&root().join("containers"));
        assert!(!context.join("vendor").exists(), "{}", manifest.id);
    }
}

#[test]
fn families_name_engines_of_the_catalog() {
    let catalog = catalog();
    let families = catalog.engines.values().filter_map(|it| it.family.as_ref());
    for family in families {
        let known = catalog.engines.keys().any(|id| id.as_str() == family.of);
        assert!(known, "there is no engine {}", family.of);
    }
}

/// Every build context belongs to an engine, or says what else it is for.
#[test]
fn every_context_is_used() {
    let catalog = catalog();
    let containers = root().join("containers");
    let used: Vec<PathBuf> = catalog
        .engines
        .values()
        .map(|manifest| manifest.build_context(&containers))
        .collect();
    let others = [containers.join("base")];
    for entry in fs::read_dir(&containers).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            used.contains(&path) || others.contains(&path),
            "{}",
            path.display()
        );
    }
}
