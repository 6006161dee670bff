//! One thing an engine said, and what it is said of.

use std::borrow::Cow;
use std::collections::HashMap;

use super::spec::{Means, PathSpec};

/// Longest staged path, in bytes; an engine's path is compared no further.
const MAX_PATH: usize = 256;

/// One thing an engine said.
#[derive(Debug)]
pub struct Finding<'a> {
    /// What it means.
    pub means: Means,
    /// The path it names, as printed.
    pub path: Option<Cow<'a, str>>,
    /// The member of the file that it is about, if not the file itself.
    pub member: Option<Cow<'a, str>>,
    /// Name of a detection.
    pub name: Option<Cow<'a, str>>,
    /// Reason of anything else.
    pub reason: Option<Cow<'a, str>>,
    /// The line it was read from.
    pub line: Cow<'a, str>,
    /// Whether any other detection says more.
    pub weak: bool,
    /// Where the rule that read it stands in the manifest, e.g. `parse.lines.0`.
    pub rule: &'a str,
}

/// Whom a finding concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The staged file with that index.
    File(usize),
    /// A member of that file.
    Member(usize),
    /// No path was named.
    Batch,
    /// A path was named that is not staged.
    Stranger,
}

impl Target {
    /// Tells whether it is that file or a member of it.
    pub fn is_of(self, file: usize) -> bool {
        self == Self::File(file) || self == Self::Member(file)
    }
}

/// The staged files, to find them by what an engine calls them.
#[derive(Debug)]
pub struct Staged<'a> {
    by_path: HashMap<&'a str, usize>,
    by_name: HashMap<&'a str, usize>,
    separators: &'a [String],
    count: usize,
}

impl<'a> Staged<'a> {
    /// Indexes the batch.
    pub fn new(files: &[&'a str], paths: &'a PathSpec) -> Self {
        let numbered = || files.iter().copied().enumerate();
        let by_path = numbered().map(|(index, path)| (path, index)).collect();
        let by_name = if paths.shortened {
            numbered()
                .map(|(index, path)| (base(path), index))
                .collect()
        } else {
            HashMap::new()
        };
        Self {
            by_path,
            by_name,
            separators: &paths.member_separators,
            count: files.len(),
        }
    }

    /// Tells whom a finding concerns.
    pub fn target(&self, finding: &Finding<'_>) -> Target {
        match finding.path.as_deref() {
            // A finding without a path can only mean the one file there is.
            None if self.count == 1 && finding.means != Means::Failure => Target::File(0),
            None => Target::Batch,
            Some(path) => self.find(path, finding.member.is_some()),
        }
    }

    /// Tells which staged files a text names anywhere.
    pub fn mentioned(&self, text: &str) -> Vec<usize> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)));
        // What stands close around a path, as in `x/scan/a->b`, is none of it.
        let paths = words.filter_map(|word| Some(&word[word.find('/')?..]));
        paths
            .filter_map(|path| {
                let bare = path.trim_end_matches(['.', '-', '_', '/']);
                self.exact(path).or_else(|| self.exact(bare))
            })
            .collect()
    }

    fn find(&self, path: &str, is_member: bool) -> Target {
        match (self.exact(path), is_member) {
            (Some(index), false) => Target::File(index),
            (Some(index), true) => Target::Member(index),
            (None, _) => self
                .container(path)
                .map_or(Target::Stranger, Target::Member),
        }
    }

    fn exact(&self, path: &str) -> Option<usize> {
        let by_path = self.by_path.get(path);
        by_path.or_else(|| self.by_name.get(base(path))).copied()
    }

    /// Finds the staged file in front of a member separator.
    fn container(&self, path: &str) -> Option<usize> {
        let mut reach = path.len().min(MAX_PATH);
        while !path.is_char_boundary(reach) {
            reach -= 1;
        }
        let ends = self.separators.iter().flat_map(|separator| {
            let found = path[..reach].match_indices(separator.as_str());
            found.map(|(end, _)| end)
        });
        ends.filter(|end| *end > 0)
            .find_map(|end| self.exact(&path[..end]))
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
