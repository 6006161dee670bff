//! The configuration as it is shown: each key with the value in force, the one it has unless the
//! file says otherwise, and what it means. What may be a secret is not shown.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Config;

/// The configuration with every default, and what each key means in the comment before it.
const FILE: &str = include_str!("../../config/acquit.toml");
/// What is shown in place of a value that may be a secret.
const HIDDEN: &str = "set";
/// Parts of the names of keys that may hold secrets, except where they hold the name of a file.
const SECRETS: [&str; 4] = ["password", "secret", "token", "key"];
/// Keys of whose values any part may be a secret: command lines, what builds are given.
const WHOLLY: [&str; 2] = ["notifications.commands.", "docker.build_args."];
/// Keys of whose values nothing is a secret, although they look so: keys that are public, addresses
/// of mail.
const PUBLIC: [&str; 3] = ["updates.trusted_keys", "mail.from", "mail.user"];

/// One key of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Section and key, with dots between.
    pub key: String,
    /// What it means; empty if nobody wrote that down.
    pub meaning: String,
    /// What its section is about.
    pub section: String,
    /// The value in force; where it may be a secret, `set`.
    pub value: Value,
    /// The value unless the file says otherwise; null if there is none.
    pub standard: Value,
    /// Whether the value in force is another.
    pub changed: bool,
    /// Whether some of the value is not shown.
    pub hidden: bool,
}

/// Returns every key of a configuration, in the order of the file that has all of them.
pub fn settings(config: &Config) -> Vec<Setting> {
    let (own, standard) = (flat(config), flat(&Config::default()));
    let meanings = meanings(FILE);
    let about = |key: &str| {
        let of = |it: &str| meanings.iter().position(|(known, _)| known == it);
        let mut above = std::iter::successors(Some(key), |it| Some(it.rsplit_once('.')?.0));
        above.find_map(of)
    };
    let meaning = |key: &str| about(key).map_or_else(String::new, |at| meanings[at].1.clone());
    let setting = |(key, value): (String, Value)| {
        let shown = shown(&key, value.clone());
        let standard = standard.get(&key).cloned().unwrap_or_default();
        Setting {
            meaning: meaning(&key),
            section: meaning(key.split('.').next().unwrap_or(&key)),
            hidden: shown != value,
            changed: value != standard,
            value: shown,
            standard,
            key,
        }
    };
    let mut settings: Vec<_> = own.into_iter().map(setting).collect();
    settings.sort_by_key(|setting| about(&setting.key));
    settings
}

fn flat(config: &Config) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    // A configuration that was read can be written.
    let value = serde_json::to_value(config).unwrap_or_default();
    flatten("", value, &mut flat);
    flat
}

fn flatten(key: &str, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(inner) if !inner.is_empty() => {
            for (name, value) in inner {
                let dot = if key.is_empty() { "" } else { "." };
                flatten(&format!("{key}{dot}{name}"), value, into);
            }
        }
        value => drop(into.insert(key.to_owned(), value)),
    }
}

/// Returns a value without what may be a secret.
fn shown(key: &str, value: Value) -> Value {
    if PUBLIC.contains(&key) || is_empty(&value) {
        return value;
    }
    if WHOLLY.iter().any(|wholly| key.starts_with(wholly)) {
        return HIDDEN.into();
    }
    let is_secret = SECRETS.iter().any(|name| key.contains(name));
    veil(value, is_secret)
}

fn veil(value: Value, is_secret: bool) -> Value {
    match value {
        Value::String(text) if is_telling(&text) || (is_secret && !text.starts_with('/')) => {
            HIDDEN.into()
        }
        Value::Array(values) => values.into_iter().map(|it| veil(it, is_secret)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields = fields.map(|(name, value)| (name, veil(value, is_secret)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        value => value,
    }
}

/// Tells whether a text may have credentials in it, as a URL can.
fn is_telling(text: &str) -> bool {
    text.contains('@') || (text.contains("://") && text.contains(['?', '#']))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Reads what keys and sections mean out of the comments before them.
fn meanings(file: &str) -> Vec<(String, String)> {
    let (mut meanings, mut section) = (Vec::new(), String::new());
    let mut comment = Vec::new();
    for line in file.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim());
            continue;
        }
        let said = sentence(&std::mem::take(&mut comment));
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            meanings.push((section.clone(), said));
        } else if let Some((key, _)) = line.split_once(" = ") {
            meanings.push((format!("{section}.{key}"), said));
        }
    }
    meanings
}

/// Joins the lines of a comment, up to its first empty one: after it come examples.
fn sentence(lines: &[&str]) -> String {
    let lines = lines.iter().take_while(|line| !line.is_empty());
    let said = lines.copied().collect::<Vec<_>>().join(" ");
    match said.strip_suffix(':') {
        Some(said) => format!("{said}."),
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(toml: &str) -> Vec<Setting> {
        settings(&toml::from_str(toml).unwrap())
    }

    fn get(settings: &[Setting], key: &str) -> Setting {
        let found = settings.iter().find(|setting| setting.key == key);
        found.unwrap_or_else(|| panic!("{key} is missing")).clone()
    }

    #[test]
    fn every_key_is_there_with_its_default_and_what_it_means() {
        let all = of("");
        assert!(all.len() > 50, "{}", all.len());
        for setting in &all {
            assert!(!setting.meaning.is_empty(), "{setting:?}");
            assert!(!setting.section.is_empty(), "{setting:?}");
            assert_eq!(
                (setting.changed, setting.hidden),
                (false, false),
                "{setting:?}"
            );
        }
        assert_eq!(all[0].key, "http.listen");
        let days = get(&all, "collections.trash_days");
        assert_eq!((days.value, days.standard), (json!(30), json!(30)));
        assert_eq!(days.section, "Publishers' collections.");
        assert!(
            days.meaning
                .starts_with("Days after which an item in the trash")
        );
        let own = get(&all, "updates.engines");
        assert!(own.meaning.ends_with("the manifest's sources."), "{own:?}");
    }

    #[test]
    fn what_is_set_is_told_from_what_is_not() {
        let all = of(
            "[collections]\ntrash_days = 7\nhistory = 20\n[http]\nlisten = '[::]:80'\n\
                      [updates.engines.yara]\nschedule = '30 */6 * * *'",
        );
        let days = get(&all, "collections.trash_days");
        assert_eq!((days.value, days.changed), (json!(7), true));
        assert!(!get(&all, "collections.history").changed);
        let listen = get(&all, "http.listen");
        assert_eq!((listen.value, listen.hidden), (json!("[::]:80"), false));
        let own = get(&all, "updates.engines.yara.schedule");
        assert_eq!((own.standard, own.changed), (Value::Null, true));
        assert!(!own.meaning.is_empty());
        assert!(
            all.iter()
                .all(|it| it.key != "updates.engines.yara.timezone")
        );
    }

    #[test]
    fn nothing_that_may_be_a_secret_is_shown() {
        let all = of("
[mail]
from = 'Acquit <acquit@example.org>'
password_file = 'hunter2'
[login]
oidc_client_secret_file = '/etc/acquit/oidc.secret'
[updates]
proxy = 'http://user:hunter2@proxy:3128'
trusted_keys = ['RWpublic']
[updates.engines.yara]
sources = [{ url = 'https://rules.example/all.zip?token=hunter2' }, { directory = '/srv/rules' }]
[engines.keys]
metadefender = 'hunter2'
wildfire = '/etc/acquit/wildfire.key'
[notifications.commands]
pager = ['/usr/local/bin/page', '--token=hunter2']
[docker.build_args]
PIP_INDEX_URL = 'https://hunter2.example/simple'
");
        let whole = serde_json::to_string(&all).unwrap();
        assert!(!whole.contains("hunter2"), "{whole}");
        for (key, value, hidden) in [
            ("mail.from", json!("Acquit <acquit@example.org>"), false),
            ("mail.password_file", json!("set"), true),
            (
                "login.oidc_client_secret_file",
                json!("/etc/acquit/oidc.secret"),
                false,
            ),
            ("updates.proxy", json!("set"), true),
            ("updates.trusted_keys", json!(["RWpublic"]), false),
            (
                "updates.engines.yara.sources",
                json!([{ "url": "set" }, { "directory": "/srv/rules" }]),
                true,
            ),
            ("engines.keys.metadefender", json!("set"), true),
            (
                "engines.keys.wildfire",
                json!("/etc/acquit/wildfire.key"),
                false,
            ),
            ("notifications.commands.pager", json!("set"), true),
            ("docker.build_args.PIP_INDEX_URL", json!("set"), true),
        ] {
            let setting = get(&all, key);
            assert_eq!((setting.value, setting.hidden), (value, hidden), "{key}");
            assert!(setting.changed, "{key}");
        }
    }
}
