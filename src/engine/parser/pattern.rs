//! The manifest's regular expressions, made ready and held to their rules.

use std::borrow::Cow;

use regex::{Captures, Regex, RegexBuilder};

use super::SpecError;
use super::finding::Finding;
use super::spec::{LineSpec, Means, NameSpec, Stream};

/// Most bytes a compiled pattern may take.
const MAX_COMPILED: usize = 1 << 20;

/// Compiles a pattern of the manifest.
pub fn compile(key: &str, pattern: &str) -> Result<Regex, SpecError> {
    let compiled = RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build();
    compiled.map_err(|error| {
        let what = format!(
            "`{pattern}` is no regular expression: {}",
            last_line(&error)
        );
        SpecError::new(key, what, "write it in the syntax of Rust's regex crate")
    })
}

/// Compiles a pattern that must describe a whole line.
pub fn compile_line(key: &str, pattern: &str) -> Result<Regex, SpecError> {
    let regex = compile(key, pattern)?;
    if !pattern.starts_with('^') || !pattern.ends_with('$') {
        let what = format!("`{pattern}` may match a part of a line");
        return Err(SpecError::new(
            key,
            what,
            "begin it with ^ and end it with $",
        ));
    }
    Ok(regex)
}

fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// One kind of line, ready to be matched.
#[derive(Debug)]
pub struct LineRule {
    key: String,
    regex: Regex,
    means: Means,
    stream: Stream,
    label: Option<String>,
    weak: bool,
}

impl LineRule {
    /// Compiles a line's description; `key` is where it stands in the manifest.
    pub fn new(key: &str, spec: &LineSpec) -> Result<Self, SpecError> {
        let regex = compile_line(&format!("{key}.pattern"), &spec.pattern)?;
        let rule = Self {
            key: key.to_owned(),
            regex,
            means: spec.means,
            stream: spec.stream,
            label: spec.label.clone(),
            weak: spec.weak,
        };
        rule.check_groups(key)?;
        Ok(rule)
    }

    fn check_groups(&self, key: &str) -> Result<(), SpecError> {
        let known = ["path", "member", "name", "reason"];
        let mut groups = self.regex.capture_names().flatten();
        if let Some(stranger) = groups.find(|group| !known.contains(group)) {
            let what = format!("the pattern has a group `{stranger}`");
            return Err(SpecError::new(
                key,
                what,
                "name its groups path, member, name or reason",
            ));
        }
        if self.means == Means::Subject && !self.has("path") {
            let what = "the line names no path that others could be about".to_owned();
            return Err(SpecError::new(key, what, "add the group (?<path>…)"));
        }
        let is_detection = matches!(self.means, Means::Malicious | Means::Suspicious);
        if is_detection && !self.has("name") && self.label.is_none() {
            let what = "a detection would have no name".to_owned();
            return Err(SpecError::new(
                key,
                what,
                "add the group (?<name>…) or a label",
            ));
        }
        Ok(())
    }

    /// Tells whether the pattern has a group.
    pub fn has(&self, group: &str) -> bool {
        self.regex
            .capture_names()
            .flatten()
            .any(|name| name == group)
    }

    /// Tells whether such a line only makes sense where a batch is one file.
    pub fn needs_single_file(&self) -> bool {
        !self.has("path") && !matches!(self.means, Means::Failure | Means::Ignored)
    }

    /// Tells whether other lines may be about the path of such a line.
    pub fn is_subject(&self) -> bool {
        self.means == Means::Subject
    }

    /// Reads a line, if it is of this kind.
    pub fn read<'a>(&'a self, stream: Stream, line: &'a str) -> Option<Finding<'a>> {
        if self.stream != Stream::Any && self.stream != stream {
            return None;
        }
        let captures = self.regex.captures(line)?;
        let label = || self.label.as_deref().map(Cow::Borrowed);
        let group = |name| {
            captures
                .name(name)
                .map(|found| Cow::Borrowed(found.as_str()))
        };
        Some(Finding {
            means: self.means,
            path: group("path"),
            member: group("member").filter(|member| !member.is_empty()),
            name: group("name").or_else(label),
            reason: group("reason").or_else(label),
            line: Cow::Borrowed(line),
            weak: self.weak,
            rule: &self.key,
        })
    }
}

/// A pattern with a number.
#[derive(Debug)]
pub struct Counter(Regex);

impl Counter {
    /// Compiles a counter's pattern.
    pub fn new(key: &str, pattern: &str) -> Result<Self, SpecError> {
        let regex = compile_line(key, pattern)?;
        if regex.capture_names().flatten().all(|name| name != "n") {
            let what = "the pattern has no group `n`".to_owned();
            return Err(SpecError::new(key, what, r"put the number in (?<n>\d+)"));
        }
        Ok(Self(regex))
    }

    /// Reads the number, if the line has it.
    pub fn read(&self, line: &str) -> Option<u64> {
        let number = |captures: Captures<'_>| captures.name("n")?.as_str().parse().ok();
        self.0.captures(line).and_then(number)
    }
}

/// How names are cleaned and weighed.
#[derive(Debug)]
pub struct Names {
    spec: NameSpec,
    strip: Vec<Regex>,
    suspicious: Option<Regex>,
    unsupported: Option<Regex>,
}

impl Names {
    /// Compiles the rules for names.
    pub fn new(spec: &NameSpec) -> Result<Self, SpecError> {
        let ready = |key: &str, pattern: &Option<String>| {
            let pattern = pattern.as_deref();
            pattern.map(|pattern| compile(key, pattern)).transpose()
        };
        let strip = |pattern: &String| compile("parse.names.strip", pattern);
        Ok(Self {
            strip: spec.strip.iter().map(strip).collect::<Result<_, _>>()?,
            suspicious: ready("parse.names.suspicious", &spec.suspicious)?,
            unsupported: ready("parse.names.unsupported", &spec.unsupported)?,
            spec: spec.clone(),
        })
    }

    /// Takes off what is not part of a name.
    pub fn clean<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        let mut name = Cow::Borrowed(raw.trim());
        for regex in &self.strip {
            if regex.is_match(&name) {
                name = Cow::Owned(regex.replace_all(&name, "").trim().to_owned());
            }
        }
        match name {
            Cow::Borrowed(name) => Cow::Borrowed(self.without_ends(name)),
            Cow::Owned(name) => Cow::Owned(self.without_ends(&name).to_owned()),
        }
    }

    fn without_ends<'a>(&self, mut name: &'a str) -> &'a str {
        for prefix in &self.spec.strip_prefixes {
            name = name.strip_prefix(prefix.as_str()).unwrap_or(name);
        }
        for suffix in &self.spec.strip_suffixes {
            name = name.strip_suffix(suffix.as_str()).unwrap_or(name);
        }
        name.trim()
    }

    /// Weighs what may be a detection.
    pub fn weigh_detection(&self, means: Means, name: &str) -> Means {
        match means {
            Means::Malicious | Means::Suspicious => self.weigh(means, name),
            other => other,
        }
    }

    /// Weighs a detection by its name.
    pub fn weigh(&self, means: Means, name: &str) -> Means {
        let is = |pattern: &Option<Regex>| pattern.as_ref().is_some_and(|p| p.is_match(name));
        if is(&self.unsupported) {
            Means::TypeUnsupported
        } else if is(&self.suspicious) {
            Means::Suspicious
        } else {
            means
        }
    }
}
