//! How signatures are kept new.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Schedule;
use crate::model::EngineId;

/// How signatures are kept new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Updates {
    /// Whether the clock starts updates.
    pub enabled: bool,
    /// When: five fields, as in crontab(5).
    pub schedule: String,
    /// IANA time zone of the schedule; empty is the machine's.
    pub timezone: String,
    /// Minutes by which updates are spread.
    pub jitter_minutes: u32,
    /// Proxy of the update containers; empty is none.
    pub proxy: String,
    /// Hosts reached without the proxy, with commas between.
    pub no_proxy: String,
    /// Docker network of the update containers.
    pub network: String,
    /// Directory with the operator's known-good files.
    pub known_good: PathBuf,
    /// Directory with the operator's known-bad files.
    pub known_bad: PathBuf,
    /// How many of the machine's own programs are known-good besides.
    pub system_files: usize,
    /// Public keys of appliances whose signature bundles are taken.
    pub trusted_keys: Vec<String>,
    /// One engine's own settings.
    pub engines: BTreeMap<EngineId, EngineUpdates>,
}

/// One engine's own settings; what is not given is as for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineUpdates {
    /// Whether the clock starts its updates.
    pub enabled: Option<bool>,
    /// When.
    pub schedule: Option<String>,
    /// Time zone of the schedule.
    pub timezone: Option<String>,
    /// Where its signatures come from, instead of the manifest's sources.
    pub sources: Option<Vec<Source>>,
}

/// Where signatures come from: exactly one of `mirror`, `url` and `directory`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// A mirror of the vendor's own kind, by its URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// One file or archive, by its URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A directory of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// SHA-256 of what the URL gives, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Public key of the signature beside the URL, at `<url>.minisig`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minisign: Option<String>,
}

impl Default for Updates {
    fn default() -> Self {
        Self {
            enabled: true,
            schedule: "0 3 * * *".to_owned(),
            timezone: String::new(),
            jitter_minutes: 30,
            proxy: String::new(),
            no_proxy: String::new(),
            network: "acquit-update".to_owned(),
            known_good: PathBuf::from("/etc/acquit/canary/good"),
            known_bad: PathBuf::from("/etc/acquit/canary/bad"),
            system_files: 32,
            trusted_keys: Vec::new(),
            engines: BTreeMap::new(),
        }
    }
}

impl Updates {
    /// Returns when an engine is updated: the schedule and its time zone; nothing if never.
    pub fn schedule_of(&self, engine: &EngineId) -> Option<(&str, &str)> {
        let own = self.engines.get(engine);
        let enabled = own.and_then(|own| own.enabled).unwrap_or(self.enabled);
        let schedule = own.and_then(|own| own.schedule.as_deref());
        let timezone = own.and_then(|own| own.timezone.as_deref());
        enabled.then(|| {
            (
                schedule.unwrap_or(&self.schedule),
                timezone.unwrap_or(&self.timezone),
            )
        })
    }

    /// Returns where an engine's signatures come from.
    pub fn sources_of<'a>(&'a self, engine: &EngineId, manifest: &'a [Source]) -> &'a [Source] {
        let own = self.engines.get(engine);
        let own = own.and_then(|own| own.sources.as_deref());
        own.unwrap_or(manifest)
    }

    pub(super) fn check(&self, data_dir: &Path) -> anyhow::Result<()> {
        Schedule::parse(&self.schedule, &self.timezone)
            .map_err(|what| anyhow::anyhow!("updates.schedule: {what}"))?;
        for (engine, own) in &self.engines {
            let schedule = own.schedule.as_deref().unwrap_or(&self.schedule);
            let timezone = own.timezone.as_deref().unwrap_or(&self.timezone);
            Schedule::parse(schedule, timezone)
                .map_err(|what| anyhow::anyhow!("updates.engines.{engine}.schedule: {what}"))?;
            for source in own.sources.iter().flatten() {
                source
                    .check(data_dir)
                    .map_err(|what| anyhow::anyhow!("updates.engines.{engine}.sources: {what}"))?;
            }
        }
        Ok(())
    }
}

impl Source {
    /// Checks that the source says one thing, and nothing that must not be.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn check(&self, data_dir: &Path) -> Result<(), String> {
        let places = [
            self.mirror.is_some(),
            self.url.is_some(),
            self.directory.is_some(),
        ];
        if places.iter().filter(|given| **given).count() != 1 {
            return Err("a source has exactly one of mirror, url and directory".to_owned());
        }
        for url in self.mirror.iter().chain(&self.url) {
            if !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(format!("{url:?} does not start with https:// or http://"));
            }
        }
        if let Some(sha256) = &self.sha256 {
            sha256
                .parse::<crate::model::Sha256>()
                .map_err(|_| format!("{sha256:?} is no SHA-256: 64 hexadecimal digits"))?;
        }
        match &self.directory {
            Some(path) if !path.is_absolute() => {
                Err(format!("{} is not an absolute path", path.display()))
            }
            // An update container has a network: nothing private may be seen by it.
            Some(path) if path.starts_with(data_dir) || data_dir.starts_with(path) => Err(format!(
                "{} would show the data directory to an update, which has a network",
                path.display()
            )),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[track_caller]
    fn check(text: &str, said: &str) {
        let parsed = Config::parse(text).map_err(|error| format!("{error:#}"));
        match parsed {
            Ok(_) => assert_eq!(said, ""),
            Err(error) => assert!(!said.is_empty() && error.contains(said), "{error}"),
        }
    }

    #[test]
    fn schedules_and_zones_are_checked_when_the_file_is_read() {
        check("[updates]\nschedule = \"@daily\"", "updates.schedule: ");
        check("[updates]\nschedule = \"0 0 3 * * *\"", "is no schedule");
        check("[updates]\ntimezone = \"Europe/Vienna\"", "");
        check("[updates]\ntimezone = \"Mars\"", "no time zone \"Mars\"");
        let own = "[updates.engines.yara]\nschedule = \"x\"";
        check(own, "updates.engines.yara.schedule");
    }

    #[test]
    fn source_says_one_thing_and_shows_nothing_private() {
        let source = |text| format!("[updates.engines.yara]\nsources = [{{ {text} }}]");
        check(&source("url = \"https://rules.example/a.zip\""), "");
        check(&source("directory = \"/srv/rules\""), "");
        check(&source(""), "exactly one of");
        check(
            &source("url = \"https://a\", mirror = \"https://b\""),
            "exactly one of",
        );
        check(&source("url = \"ftp://a\""), "https://");
        check(
            &source("url = \"https://a\", sha256 = \"12\""),
            "64 hexadecimal",
        );
        check(&source("directory = \"rules\""), "not an absolute path");
        check(
            &source("directory = \"/var/lib/acquit/blobs\""),
            "the data directory",
        );
        check(&source("directory = \"/var\""), "the data directory");
    }
}
