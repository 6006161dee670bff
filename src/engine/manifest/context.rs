//! The build context that belongs to a manifest.

use std::path::Path;

use super::Manifest;
use super::check::Problem;

/// Finds what is missing in an engine's build context.
pub fn problems(manifest: &Manifest, containers: &Path) -> Vec<Problem> {
    if manifest.image.reference.is_some() || manifest.outside.is_some() {
        return Vec::new();
    }
    let context = manifest.build_context(containers);
    let mut problems = Vec::new();
    if !context.join("Dockerfile").is_file() {
        let what = format!("there is no {}", context.join("Dockerfile").display());
        let remedy = "write it, or give image.reference";
        problems.push(Problem::new("image.context", what, remedy));
    }
    if let Some(signatures) = &manifest.signatures {
        let seed = context.join(&signatures.seed);
        let mut entries = std::fs::read_dir(&seed).into_iter().flatten();
        if entries.next().is_none() {
            let what = format!("{} holds no signatures", seed.display());
            let remedy = "put a first set there, at least one that detects EICAR";
            problems.push(Problem::new("signatures.seed", what, remedy));
        }
    }
    problems
}
