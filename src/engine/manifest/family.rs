//! What a manifest says of the signatures its engine shares with others.

use super::Manifest;
use super::check::Problem;
use crate::model::EngineId;

/// Finds what is wrong with `family`.
pub fn problems(manifest: &Manifest) -> Vec<Problem> {
    let Some(family) = &manifest.family else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    if let Err(error) = family.of.parse::<EngineId>() {
        let remedy = "name the engine whose signatures these are, as its id would be";
        problems.push(Problem::new("family.of", error.to_string(), remedy));
    }
    let source = family.source.trim();
    if source.is_empty() || source.chars().count() > 300 || source.chars().any(char::is_control) {
        let remedy = "say in a line of 1 to 300 characters where that is written";
        problems.push(Problem::new("family.source", "not a line of text", remedy));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(family: &str, wrong: &[&str]) {
        let text = include_str!("../../../engines/yara.toml");
        let text = format!("{family}\n{text}");
        let manifest: Manifest = toml::from_str(&text).unwrap();
        let problems = problems(&manifest);
        let keys: Vec<_> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(keys, wrong, "{family}");
    }

    #[test]
    fn family_names_an_engine_and_where_that_is_said() {
        check("", &[]);
        check(
            r#"family = { of = "bitdefender", source = "https://example.org/oem" }"#,
            &[],
        );
        check(
            r#"family = { of = "Bit Defender", source = "x" }"#,
            &["family.of"],
        );
        check(r#"family = { of = "x", source = " " }"#, &["family.source"]);
    }
}
