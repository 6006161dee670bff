//! The numbers of a manifest that make sense.

use super::Manifest;
use super::check::Problem;

/// Finds the numbers that make no sense.
pub fn problems(manifest: &Manifest) -> Vec<Problem> {
    let (run, limits) = (&manifest.run, &manifest.limits);
    let mut numbers = vec![
        ("run.slots", u64::from(run.slots), 1..=64),
        ("run.batch_files", run.batch_files.into(), 1..=4096),
        ("run.batch_mb", run.batch_mb, 1..=1 << 20),
        ("run.recycle_files", run.recycle_files, 1..=1 << 40),
        ("run.startup_seconds", run.startup_seconds, 1..=3600),
        ("limits.memory_mb", limits.memory_mb, 16..=1 << 20),
        ("limits.pids", limits.pids.into(), 4..=32768),
        ("limits.tmp_mb", limits.tmp_mb, 1..=1 << 20),
        ("limits.open_files", limits.open_files.into(), 64..=1 << 20),
        ("limits.timeout_seconds", limits.timeout_seconds, 1..=86_400),
        ("limits.output_kb", limits.output_kb, 1..=65_536),
        ("limits.file_mb", limits.file_mb, 1..=1 << 20),
    ];
    if let Some(update) = &manifest.update {
        numbers.extend([
            ("update.timeout_seconds", update.timeout_seconds, 1..=86_400),
            ("update.memory_mb", update.memory_mb, 16..=1 << 20),
            ("update.disk_mb", update.disk_mb, 1..=1 << 20),
        ]);
    }
    let wrong = numbers
        .into_iter()
        .filter(|(_, number, range)| !range.contains(number));
    let mut problems: Vec<Problem> = wrong
        .map(|(key, number, range)| {
            let remedy = format!("write a number from {} to {}", range.start(), range.end());
            Problem::new(key, format!("{number} is out of range"), remedy)
        })
        .collect();
    if !(0.01..=1024.0).contains(&limits.cpus) {
        let what = format!("{} is out of range", limits.cpus);
        problems.push(Problem::new(
            "limits.cpus",
            what,
            "write a number from 0.01 to 1024",
        ));
    }
    if limits.tmp_mb > limits.memory_mb {
        let what = "temporary space counts as memory and is larger than it";
        problems.push(Problem::new(
            "limits.tmp_mb",
            what,
            "raise limits.memory_mb",
        ));
    }
    problems
}
