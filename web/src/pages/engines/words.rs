//! What states of engines, sets and updates mean, in words and colors.

use super::wire::{EngineAttributes, Throughput, UpdateAttributes};
pub use crate::pages::items::verdict::set_url;
use crate::text;

/// After how long without the newest signatures an engine is behind, in seconds: three days.
const STALE_SECONDS: u64 = 3 * 24 * 60 * 60;

/// A state as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What it is called.
    pub name: &'static str,
    /// The chip's color: `clean`, `info`, `orange`, `red`, or empty for grey.
    pub tone: &'static str,
    /// The picture.
    pub icon: &'static str,
    /// What it means, and what to do about it.
    pub means: &'static str,
}

const fn state(
    (name, tone): (&'static str, &'static str),
    icon: &'static str,
    means: &'static str,
) -> State {
    State {
        name,
        tone,
        icon,
        means,
    }
}

/// Explains where an engine stands.
pub fn engine(wire: &str) -> State {
    match wire {
        "ready" => state(
            ("Ready", "clean"),
            "clean",
            "It scans what it is given at once.",
        ),
        "idle" => state(
            ("Idle", "clean"),
            "pause",
            "Its container is stopped until there is work; it starts by itself.",
        ),
        "starting" => state(
            ("Starting", "info"),
            "running",
            "Its container is coming up. Files wait until it is ready.",
        ),
        "proving" => state(
            ("Proving", "info"),
            "running",
            "A probe tries to leave its sandbox. It scans once the sandbox has held.",
        ),
        "unproven" => state(
            ("Unproven", "red"),
            "lock",
            "The probe could leave its sandbox, so it does not scan. See the checks that did not \
             hold, mend this machine, then restart the engine.",
        ),
        "backing-off" => state(
            ("Failing", "red"),
            "failed",
            "It failed, and is tried again later by itself. Its last error says why.",
        ),
        "image-missing" => state(
            ("No image", "orange"),
            "failed",
            "Its container image is not built on this machine. Until then it answers nothing, \
             which counts against coverage.",
        ),
        "needs-consent" => state(
            ("Needs consent", ""),
            "share",
            "It is a server outside of this machine. Nothing goes there until the operator \
             consents in the configuration.",
        ),
        "disabled" => state(
            ("Switched off", ""),
            "pause",
            "The operator switched it off in the configuration. It takes no part in analyses.",
        ),
        _ => state(
            ("Unknown", ""),
            "info",
            "This page does not know the state the appliance names.",
        ),
    }
}

/// Explains where a signature set stands.
pub fn set(wire: &str) -> State {
    match wire {
        "active" => state(("Active", "clean"), "clean", "The engine scans with it."),
        "candidate" => state(
            ("Candidate", "info"),
            "running",
            "It came, and the canary has yet to pass it.",
        ),
        "retired" => state(
            ("Retired", ""),
            "clock",
            "It was in service and a newer one, or an older one by a rollback, took its place.",
        ),
        "rejected" => state(
            ("Rejected", "red"),
            "failed",
            "The canary found it wrong, so it never served.",
        ),
        _ => state(
            ("Unknown", ""),
            "info",
            "This page does not know the state the appliance names.",
        ),
    }
}

/// Explains how an update ended, or how far it is.
pub fn update(update: &UpdateAttributes) -> State {
    match (update.outcome.as_deref(), update.phase.as_str()) {
        (Some("promoted"), _) => state(
            ("Promoted", "clean"),
            "clean",
            "It brought a new signature set, the canary passed it, and the engine scans with it.",
        ),
        (Some("unchanged"), _) => state(
            ("Unchanged", ""),
            "silent",
            "There was nothing new: the engine has the newest signatures already.",
        ),
        (Some("rejected"), _) => state(
            ("Rejected", "red"),
            "failed",
            "It brought a set that the canary found wrong. The set before stays in service.",
        ),
        (Some("failed"), _) => state(
            ("Failed", "red"),
            "failed",
            "It did not bring a set. The set before stays in service.",
        ),
        (Some("interrupted"), _) => state(
            ("Interrupted", "orange"),
            "failed",
            "The appliance ended while it was under way. The set before stays in service.",
        ),
        (None, "download") => state(
            ("Downloading", "info"),
            "download",
            "The engine's own updater fetches signatures, in a container that may reach the net \
             and holds no file.",
        ),
        (None, "canary") => state(
            ("Canary", "info"),
            "running",
            "The candidate is shown files that it must detect and files on which it must be \
             silent.",
        ),
        (None, "promotion") => state(
            ("Promoting", "info"),
            "running",
            "The candidate takes the place of the set in service.",
        ),
        _ => state(("Under way", "info"), "running", "It is under way."),
    }
}

/// A step of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is called.
    pub name: &'static str,
    /// `done`, `now`, `failed` or `later`.
    pub state: &'static str,
}

/// Returns the steps of an update and how each stands.
pub fn steps(update: &UpdateAttributes) -> [Step; 3] {
    const NAMES: [&str; 3] = ["Download", "Canary", "Promotion"];
    let states = match (update.outcome.as_deref(), update.phase.as_str()) {
        (Some("promoted"), _) => ["done", "done", "done"],
        (Some("unchanged"), _) => ["done", "later", "later"],
        (Some("rejected"), _) => ["done", "failed", "later"],
        (Some(_), _) if update.signature_set.is_some() => ["done", "failed", "later"],
        (Some(_), _) => ["failed", "later", "later"],
        (None, "download") => ["now", "later", "later"],
        (None, "canary") => ["done", "now", "later"],
        (None, _) => ["done", "done", "now"],
    };
    let step = |at: usize| Step {
        name: NAMES[at],
        state: states[at],
    };
    [step(0), step(1), step(2)]
}

/// Writes what began an update.
pub fn trigger(wire: &str) -> &str {
    match wire {
        "schedule" => "the schedule",
        "missed" => "a schedule that was missed",
        "retry" => "a retry after a failure",
        "manual" => "an administrator",
        "import" => "an imported bundle",
        other => other,
    }
}

/// How old an engine's signatures are, and whether that is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// When it was last known to have the newest.
    pub since: u64,
    /// Whether that is long ago.
    pub is_stale: bool,
}

/// Returns how old an engine's signatures are; nothing if they are a part of its image.
pub fn age(engine: &EngineAttributes, now: u64) -> Option<Age> {
    let signatures = engine.signatures.as_ref()?;
    let newest = signatures.last_success_date.max(signatures.active_date);
    let since = newest?;
    let is_stale = signatures.updatable && now.saturating_sub(since) > STALE_SECONDS;
    Some(Age { since, is_stale })
}

/// Where an engine stands in a list: what needs somebody first, what is switched off last.
pub fn rank(engine: &EngineAttributes, now: u64) -> u8 {
    let is_stale = age(engine, now).is_some_and(|age| age.is_stale);
    match engine.state.as_str() {
        "unproven" | "backing-off" => 0,
        "image-missing" => 1,
        "disabled" | "needs-consent" => 4,
        _ if is_stale => 2,
        _ => 3,
    }
}

/// Writes how much memory an engine uses, and may use.
pub fn memory(used: &Option<u64>, limit: &u64) -> String {
    match (used, limit) {
        (_, 0) => "Not of this machine".to_owned(),
        (Some(used), limit) => format!("{} of at most {}", mebibytes(*used), mebibytes(*limit)),
        (None, limit) => format!("at most {}", mebibytes(*limit)),
    }
}

/// Writes an amount of memory in the units of its limit: `1.5 GiB`.
fn mebibytes(mebibytes: u64) -> String {
    match mebibytes {
        0..1024 => format!("{mebibytes} MiB"),
        _ if mebibytes.is_multiple_of(1024) => format!("{} GiB", mebibytes / 1024),
        _ => format!("{:.1} GiB", mebibytes as f64 / 1024.0),
    }
}

/// Writes what an engine gets done: `3.2 files and 1.4 MB a second`; nothing of one that is idle.
pub fn throughput(done: &Throughput) -> Option<String> {
    if done.files == 0 {
        return None;
    }
    let files = match done.files_per_second {
        rate if rate >= 9.95 => text::count(&(rate.round() as u64)),
        rate if rate >= 0.995 => format!("{rate:.1}"),
        rate if rate >= 0.01 => format!("{rate:.2}"),
        _ => "less than 0.01".to_owned(),
    };
    let bytes = text::bytes(&(done.bytes_per_second.round() as u64));
    Some(format!("{files} files and {bytes} a second"))
}

#[cfg(test)]
mod tests {
    use super::super::wire::Signatures;
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn engine_at(state: &str, success: Option<u64>) -> EngineAttributes {
        let signatures = Signatures {
            updatable: true,
            last_success_date: success,
            ..Signatures::default()
        };
        EngineAttributes {
            state: state.to_owned(),
            signatures: Some(signatures),
            ..EngineAttributes::default()
        }
    }

    #[test]
    fn signatures_are_stale_after_three_days_and_only_if_they_can_be_newer() {
        let now = 100 * DAY;
        let stale = |mut engine: EngineAttributes, updatable| {
            if let Some(signatures) = &mut engine.signatures {
                signatures.updatable = updatable;
            }
            age(&engine, now).map(|age| age.is_stale)
        };
        assert_eq!(stale(engine_at("ready", Some(98 * DAY)), true), Some(false));
        assert_eq!(stale(engine_at("ready", Some(96 * DAY)), true), Some(true));
        assert_eq!(
            stale(engine_at("ready", Some(96 * DAY)), false),
            Some(false)
        );
        assert_eq!(stale(engine_at("ready", None), true), None);
        assert_eq!(age(&EngineAttributes::default(), now), None);
    }

    #[test]
    fn what_needs_somebody_comes_first() {
        let now = 100 * DAY;
        let fresh = Some(now);
        let states = ["backing-off", "image-missing", "ready", "disabled"];
        let ranks = states.map(|state| rank(&engine_at(state, fresh), now));
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert!(rank(&engine_at("ready", Some(DAY)), now) < rank(&engine_at("ready", fresh), now));
    }

    #[track_caller]
    fn check(phase: &str, outcome: Option<&str>, set: Option<&str>, expected: [&str; 3]) {
        let update = UpdateAttributes {
            phase: phase.to_owned(),
            outcome: outcome.map(str::to_owned),
            signature_set: set.map(str::to_owned),
            ..UpdateAttributes::default()
        };
        assert_eq!(steps(&update).map(|step| step.state), expected);
    }

    #[test]
    fn steps_say_where_an_update_is_and_where_it_ended() {
        check("download", None, None, ["now", "later", "later"]);
        check("canary", None, Some("s"), ["done", "now", "later"]);
        check("promotion", None, Some("s"), ["done", "done", "now"]);
        check("done", Some("promoted"), Some("s"), ["done"; 3]);
        check("done", Some("unchanged"), None, ["done", "later", "later"]);
        check(
            "done",
            Some("rejected"),
            Some("s"),
            ["done", "failed", "later"],
        );
        check("done", Some("failed"), None, ["failed", "later", "later"]);
    }

    #[test]
    fn throughput_is_written_as_exactly_as_it_is_known() {
        let of = |files: u64, files_per_second, bytes_per_second| {
            throughput(&Throughput {
                files,
                files_per_second,
                bytes_per_second,
                ..Throughput::default()
            })
        };
        assert_eq!(of(0, 0.0, 0.0), None);
        for (files, bytes, words) in [
            (1234.4, 5e6, "1\u{202f}234 files and 5.0 MB a second"),
            (3.21, 1000.0, "3.2 files and 1.0 kB a second"),
            (0.033, 12.4, "0.03 files and 12 B a second"),
            (0.003, 0.2, "less than 0.01 files and 0 B a second"),
        ] {
            assert_eq!(of(1, files, bytes).as_deref(), Some(words));
        }
    }

    #[test]
    fn memory_is_in_the_units_of_its_limit() {
        assert_eq!(
            [128, 1536, 4096].map(mebibytes),
            ["128 MiB", "1.5 GiB", "4 GiB"]
        );
        assert_eq!(memory(&Some(312), &1536), "312 MiB of at most 1.5 GiB");
        assert_eq!(memory(&None, &512), "at most 512 MiB");
        assert_eq!(memory(&None, &0), "Not of this machine");
    }

    #[test]
    fn no_state_reads_as_well_that_is_not() {
        for wire in [
            "unproven",
            "backing-off",
            "image-missing",
            "disabled",
            "new",
        ] {
            assert_ne!(engine(wire).tone, "clean", "{wire}");
        }
    }
}
