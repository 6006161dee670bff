//! What an update command said, and how it ended.

use std::collections::BTreeMap;

use acquit_runner::wire::Exited;

use super::UpdateError;
use crate::config::{Config, Source};
use crate::engine::ask::transcript;
use crate::engine::manifest::{Manifest, Update};
use crate::engine::parser::text;
use crate::engine::runner::Finished;
use crate::engine::sandbox::policy::update::sources_inside;
use crate::model::LeftOut;

/// Environment variable with the sources, as JSON.
const SOURCES: &str = "ACQUIT_SOURCES";
/// Environment variable that has Python print at once: somebody may be watching.
const UNBUFFERED: &str = "PYTHONUNBUFFERED";
/// Rules left out that are kept; a set that leaves out more has other troubles.
const MAX_LEFT_OUT: usize = 1000;
/// How a line about such a rule begins.
const LEFT_OUT: &str = "left out ";
/// The signal for a file that is larger than the limit.
const SIGXFSZ: i32 = 25;

/// A command that came to a good end.
#[derive(Debug)]
pub struct Ended {
    /// What it printed, with how it ended on the first line.
    pub output: Vec<u8>,
    /// Rules that it left out.
    pub left_out: Vec<LeftOut>,
}

/// Judges a command that ended by itself or by its runner.
///
/// # Errors
/// If it did not say that the candidate is complete.
pub fn judge(
    finished: &Finished,
    manifest: &Manifest,
    update: &Update,
) -> Result<Ended, UpdateError> {
    let (exited, output) = (&finished.exited, transcript(finished));
    if exited.timed_out {
        let seconds = update.timeout_seconds;
        return Err(UpdateError::TimedOut { seconds, output });
    }
    if exited.signal == Some(SIGXFSZ) {
        let limit_mb = update.disk_mb;
        return Err(UpdateError::DiskFull { limit_mb, output });
    }
    if let Some(reason) = cut_short(exited, manifest, update) {
        return Err(UpdateError::Failed {
            reason,
            exit_code: exited.code,
            output,
        });
    }
    if exited.code != Some(0) {
        return Err(UpdateError::Failed {
            reason: last_words(finished),
            exit_code: exited.code,
            output,
        });
    }
    Ok(Ended {
        output,
        left_out: left_out(&finished.stdout),
    })
}

fn cut_short(exited: &Exited, manifest: &Manifest, update: &Update) -> Option<String> {
    if exited.oom_kills > 0 {
        let limit = update.memory_mb;
        return Some(format!(
            "the update ran out of memory (its limit is {limit} MB)"
        ));
    }
    if exited.flooded {
        let limit = manifest.limits.output_kb;
        return Some(format!("the update printed more than {limit} KB"));
    }
    let signal = exited.signal?;
    Some(format!("the update was ended by signal {signal}"))
}

/// Returns the last line a command printed on stderr.
fn last_words(finished: &Finished) -> String {
    let said = text::decode(&finished.stderr, encoding_rs::UTF_8);
    let last = text::lines(&said).last().map(|line| text::quote(line.text));
    last.unwrap_or_else(|| match finished.exited.code {
        Some(code) => format!("the update ended with exit code {code} and said nothing"),
        None => "the update ended in an unknown way".to_owned(),
    })
}

/// Finds the lines `left out NAME: REASON`.
fn left_out(stdout: &[u8]) -> Vec<LeftOut> {
    let said = text::decode(stdout, encoding_rs::UTF_8);
    let lines = text::lines(&said).filter_map(|line| line.text.trim().strip_prefix(LEFT_OUT));
    let parts = lines.map(|rest| {
        rest.split_once(": ")
            .unwrap_or((rest, "it gives no reason"))
    });
    let left_out = parts.map(|(name, reason)| LeftOut {
        name: text::quote(name),
        reason: text::quote(reason),
    });
    left_out.take(MAX_LEFT_OUT).collect()
}

/// Makes the environment of an update command.
pub fn environment(config: &Config, manifest: &Manifest, update: &Update) -> Vec<(String, String)> {
    let updates = &config.updates;
    let sources: Vec<Source> = sources_inside(updates.sources_of(&manifest.id, &update.sources));
    let sources = serde_json::to_string(&sources).unwrap_or_default();
    let mut variables = BTreeMap::from([
        (SOURCES.to_owned(), sources),
        (UNBUFFERED.to_owned(), "1".to_owned()),
    ]);
    let proxies = [
        ("http_proxy", &updates.proxy),
        ("https_proxy", &updates.proxy),
        ("no_proxy", &updates.no_proxy),
    ];
    // Programs differ in which case they read.
    for (name, value) in proxies.into_iter().filter(|(_, value)| !value.is_empty()) {
        variables.insert(name.to_uppercase(), value.clone());
        variables.insert(name.to_owned(), value.clone());
    }
    variables.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_out_lines_are_found_and_bounded() {
        let said = b"left out a.yar: line 3: no such module\nleft over b: x\nleft out c\x1b[1m\n";
        let found = left_out(said);
        let found: Vec<_> = found.iter().map(|it| (&*it.name, &*it.reason)).collect();
        assert_eq!(
            found,
            [
                ("a.yar", "line 3: no such module"),
                ("c", "it gives no reason"),
            ]
        );
        let many = "left out x: y\n".repeat(MAX_LEFT_OUT + 5);
        assert_eq!(left_out(many.as_bytes()).len(), MAX_LEFT_OUT);
    }

    #[test]
    fn environment_has_the_sources_and_both_cases_of_a_proxy() {
        let manifest = include_str!("../../../engines/yara.toml");
        let manifest: Manifest = toml::from_str(manifest).unwrap();
        let update = "command = ['x']\nsources = [{ url = 'http://x/' }, { directory = '/srv' }]";
        let update: Update = toml::from_str(update).unwrap();
        let mut config = Config::default();
        let plain = environment(&config, &manifest, &update);
        let sources = r#"[{"url":"http://x/"},{"directory":"/sources/1"}]"#;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(plain, [pair(SOURCES, sources), pair(UNBUFFERED, "1")]);
        config.updates.proxy = "http://proxy:3128".to_owned();
        config.updates.no_proxy = "localhost".to_owned();
        let names: Vec<_> = environment(&config, &manifest, &update)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .filter(|pair| !pair.starts_with(SOURCES) && !pair.starts_with(UNBUFFERED))
            .collect();
        assert_eq!(
            names,
            [
                "HTTPS_PROXY=http://proxy:3128",
                "HTTP_PROXY=http://proxy:3128",
                "NO_PROXY=localhost",
                "http_proxy=http://proxy:3128",
                "https_proxy=http://proxy:3128",
                "no_proxy=localhost",
            ]
        );
    }
}
