//! What an engine gets done: the files and bytes of the last five minutes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Throughput;

/// Seconds that are counted together.
const STEP: u64 = 10;
/// How many of these make what is looked back on.
const STEPS: u64 = 30;

/// What an engine looked at, and when; `now` is the time since any fixed moment.
#[derive(Debug, Default)]
pub struct Pace {
    steps: VecDeque<Step>,
}

#[derive(Debug)]
struct Step {
    number: u64,
    files: u64,
    bytes: u64,
}

impl Pace {
    /// Counts files and their bytes.
    pub fn add(&mut self, (files, bytes): (u64, u64), now: Duration) {
        let number = now.as_secs() / STEP;
        if self.steps.back().is_none_or(|last| last.number < number) {
            let step = Step {
                number,
                files: 0,
                bytes: 0,
            };
            self.steps.push_back(step);
        }
        if let Some(last) = self.steps.back_mut() {
            last.files += files;
            last.bytes = last.bytes.saturating_add(bytes);
        }
    }

    /// Sums up; of an engine that did nothing it is the same at any time, so that nobody need look.
    pub fn over(&mut self, now: Duration) -> Throughput {
        let number = now.as_secs() / STEP;
        let is_old = |step: &Step| step.number + STEPS <= number;
        while self.steps.front().is_some_and(is_old) {
            self.steps.pop_front();
        }
        let seconds = match self.steps.is_empty() {
            true => STEPS * STEP,
            // Of one that has just begun: by what there was time for.
            false => (number + 1).min(STEPS) * STEP,
        };
        Throughput {
            files: self.steps.iter().map(|step| step.files).sum(),
            bytes: self.steps.iter().map(|step| step.bytes).sum(),
            seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[track_caller]
    fn check(pace: &mut Pace, now: u64, (files, bytes, seconds): (u64, u64, u64)) {
        let expected = Throughput {
            files,
            bytes,
            seconds,
        };
        assert_eq!(pace.over(at(now)), expected);
    }

    #[test]
    fn what_is_longer_ago_than_five_minutes_does_not_count() {
        let mut pace = Pace::default();
        pace.add((2, 100), at(1000));
        pace.add((3, 50), at(1009));
        pace.add((1, 1), at(1200));
        check(&mut pace, 1200, (6, 151, 300));
        check(&mut pace, 1299, (6, 151, 300));
        check(&mut pace, 1300, (1, 1, 300));
        check(&mut pace, 1500, (0, 0, 300));
    }

    #[test]
    fn daemon_that_has_just_begun_is_measured_by_its_own_time() {
        let mut pace = Pace::default();
        check(&mut pace, 0, (0, 0, 300));
        pace.add((4, 40), at(3));
        check(&mut pace, 3, (4, 40, 10));
        check(&mut pace, 25, (4, 40, 30));
        check(&mut pace, 299, (4, 40, 300));
    }
}
