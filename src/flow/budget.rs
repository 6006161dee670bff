//! How far one request looks for what no index answers: then its page is short, and its cursor goes
//! on from there.

use std::time::{Duration, Instant};

/// Rows one request looks at, at most.
const LOOKS: usize = 50_000;
/// How long one request looks, at most.
const TIME: Duration = Duration::from_millis(20);
/// Rows between two looks at the clock: so many are looked at in any case.
const STRIDE: usize = 64;

/// How far one request still looks.
#[derive(Debug)]
pub struct Budget {
    looked: usize,
    until: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl Budget {
    /// Begins to count.
    pub fn new() -> Self {
        Self {
            looked: 0,
            until: Instant::now() + TIME,
        }
    }

    /// Counts a row that is about to be looked at; tells whether it is one too many.
    pub fn is_spent(&mut self) -> bool {
        self.looked += 1;
        self.looked > LOOKS || (self.looked.is_multiple_of(STRIDE) && Instant::now() >= self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_ends_by_rows_or_by_time_but_not_at_once() {
        let ends = |mut budget: Budget| (1..).find(|_| budget.is_spent()).unwrap();
        let until = Instant::now();
        assert_eq!(ends(Budget { looked: 0, until }), STRIDE);
        let until = until + Duration::from_secs(600);
        assert_eq!(ends(Budget { looked: 0, until }), LOOKS + 1);
    }
}
