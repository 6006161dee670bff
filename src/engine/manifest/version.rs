//! Reads an engine's versions from what its version command prints.

use jiff::civil::Date;
use jiff::fmt::strtime;
use regex::Regex;

use super::Version;

/// How engines write dates; the first that fits is taken.
const DATES: [&str; 6] = [
    "%a %b %e %H:%M:%S %Y",
    "%Y-%m-%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%b %d %Y",
    "%d %b %Y",
];

/// What a version command said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionsSeen {
    /// Program version, in the engine's own words.
    pub engine: Option<String>,
    /// Version of the signatures, in the engine's own words.
    pub signatures: Option<String>,
    /// Date of the signatures as `YYYYMMDD`.
    pub date: Option<String>,
}

impl Version {
    /// Reads the versions from a command's output; what is not there stays empty.
    pub fn read(&self, output: &str) -> VersionsSeen {
        let found = Regex::new(&format!("(?m){}", self.pattern));
        let captures = found.ok().and_then(|pattern| pattern.captures(output));
        let Some(captures) = captures else {
            return VersionsSeen::default();
        };
        let group = |name| captures.name(name).map(|found| short(found.as_str()));
        VersionsSeen {
            engine: group("engine"),
            signatures: group("signatures"),
            date: captures
                .name("date")
                .and_then(|found| compact(found.as_str())),
        }
    }
}

fn short(text: &str) -> String {
    text.trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(80)
        .collect()
}

fn compact(text: &str) -> Option<String> {
    let text = text.trim();
    let read = |format: &&str| {
        let (time, _) = strtime::BrokenDownTime::parse_prefix(format, text).ok()?;
        time.to_date().ok()
    };
    let date: Date = DATES.iter().find_map(read)?;
    Some(date.strftime("%Y%m%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, output: &str, expected: (&str, &str, &str)) {
        let version = Version {
            command: Vec::new(),
            pattern: pattern.to_owned(),
        };
        let seen = version.read(output);
        let text = |field: Option<String>| field.unwrap_or_default();
        let seen = (text(seen.engine), text(seen.signatures), text(seen.date));
        let seen = (seen.0.as_str(), seen.1.as_str(), seen.2.as_str());
        assert_eq!(seen, expected);
    }

    #[test]
    fn clamav_line_is_read() {
        let pattern = r"^ClamAV (?<engine>[0-9.]+)(?:/(?<signatures>\d+)/(?<date>.+))?$";
        let full = "ClamAV 0.100.2/25284/Wed Jan  9 18:42:45 2019\n";
        check(pattern, full, ("0.100.2", "25284", "20190109"));
        check(pattern, "ClamAV 1.4.6\n", ("1.4.6", "", ""));
    }

    #[test]
    fn line_among_others_is_read() {
        let pattern = r"^Engine (?<engine>\S+), (?<date>.*)$";
        check(
            pattern,
            "Hello\nEngine 7, 2026-11-23\n",
            ("7", "", "20261123"),
        );
    }

    #[test]
    fn other_output_gives_nothing() {
        check("^v(?<engine>.+)$", "\u{1b}[31m\n", ("", "", ""));
    }
}
