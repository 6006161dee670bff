//! Geometry of charts: where bars are, in units of a picture.
//!
//! The picture is stretched as wide as there is room. Words stand beside it, not in it, so that
//! they stay readable when it is narrow.

/// Units from left to right for each place of a chart of pairs.
const PLACE: u32 = 20;
/// Units of a bar's width, and beside it.
const BAR: (u32, u32) = (8, 2);
/// Units from the bottom to the top.
pub const HEIGHT: u32 = 100;
/// Fewest units of what is not nothing, so that it can be seen.
const SEEN: u32 = 2;

/// A bar that stands on the bottom line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Units from the left.
    pub x: u32,
    /// Units from the top.
    pub y: u32,
    /// Units.
    pub width: u32,
    /// Units; none if the number is nothing.
    pub height: u32,
}

/// Pairs of bars side by side, with one scale for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// Units from left to right.
    pub width: u32,
    /// What the top stands for.
    pub top: u64,
    /// The pairs, first to last.
    pub bars: Vec<(Bar, Bar)>,
}

impl Pairs {
    /// Places pairs of numbers.
    pub fn new(numbers: &[(u64, u64)]) -> Self {
        let most = numbers.iter().map(|(one, other)| *one.max(other)).max();
        let top = ceiling(most.unwrap_or(0));
        let bars = (0u32..).zip(numbers).map(|(at, (one, other))| {
            let left = at * PLACE + BAR.1;
            let first = bar((left, *one), top);
            (first, bar((left + BAR.0, *other), top))
        });
        let bars: Vec<_> = bars.collect();
        Self {
            width: u32::try_from(bars.len()).unwrap_or(0) * PLACE,
            top,
            bars,
        }
    }

    /// Returns what the line in the middle stands for; nothing if that is no whole number.
    pub fn middle(&self) -> Option<u64> {
        self.top.is_multiple_of(2).then_some(self.top / 2)
    }
}

fn bar((x, number): (u32, u64), top: u64) -> Bar {
    let height = share(number, top, HEIGHT);
    Bar {
        x,
        y: HEIGHT - height,
        width: BAR.0,
        height,
    }
}

/// Returns how many of `units` stand for a part of a whole: none for nothing, and all at most.
pub fn share(part: u64, whole: u64, units: u32) -> u32 {
    if part == 0 || whole == 0 {
        return 0;
    }
    let wide = u128::from(part.min(whole)) * u128::from(units) / u128::from(whole);
    u32::try_from(wide).unwrap_or(units).max(SEEN.min(units))
}

/// Returns a whole percentage that never says all or nothing if it is not.
pub fn percent(part: u64, whole: u64) -> u64 {
    match (part, whole) {
        (_, 0) | (0, _) => 0,
        (part, whole) if part >= whole => 100,
        (part, whole) => {
            let percent = u128::from(part) * 100 / u128::from(whole);
            u64::try_from(percent).unwrap_or(99).clamp(1, 99)
        }
    }
}

/// Returns a number that is easy to read and not below another: 1, 2 or 5 with zeros, or 4.
pub fn ceiling(most: u64) -> u64 {
    let mut step = 1u64;
    while step < u64::MAX / 100 {
        for easy in [1, 2, 4, 5] {
            let easy = step * easy;
            if easy >= most {
                return easy;
            }
        }
        step *= 10;
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_is_easy_to_read_and_holds_everything() {
        for (most, expected) in [
            (0, 1),
            (1, 1),
            (3, 4),
            (5, 5),
            (6, 10),
            (41, 50),
            (100, 100),
        ] {
            assert_eq!(ceiling(most), expected, "{most}");
        }
        assert_eq!(ceiling(u64::MAX), u64::MAX);
    }

    #[test]
    fn little_is_seen_and_nothing_is_not() {
        assert_eq!(share(0, 1000, 100), 0);
        assert_eq!(share(1, 1000, 100), SEEN);
        assert_eq!(share(500, 1000, 100), 50);
        assert_eq!(share(2000, 1000, 100), 100);
        assert_eq!(share(5, 0, 100), 0);
        assert_eq!(share(u64::MAX, u64::MAX, 100), 100);
    }

    #[test]
    fn percentage_is_never_rounded_to_all_or_nothing() {
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(1, 1000), 1);
        assert_eq!(percent(1000, 1000), 100);
        assert_eq!(percent(0, 1000), 0);
        assert_eq!(percent(0, 0), 0);
    }

    #[test]
    fn bars_stand_side_by_side_on_the_bottom() {
        let pairs = Pairs::new(&[(0, 0), (10, 5)]);
        assert_eq!((pairs.width, pairs.top, pairs.middle()), (40, 10, Some(5)));
        let (one, other) = pairs.bars[1];
        assert_eq!((one.x, one.y, one.height), (22, 0, HEIGHT));
        assert_eq!((other.x, other.y, other.height), (30, 50, 50));
        assert_eq!(pairs.bars[0].0.height, 0);
        assert!(other.x + other.width <= pairs.width);
    }

    #[test]
    fn chart_of_nothing_has_a_scale() {
        let pairs = Pairs::new(&[]);
        assert_eq!((pairs.width, pairs.top, pairs.middle()), (0, 1, None));
    }
}
