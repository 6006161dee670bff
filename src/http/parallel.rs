//! Rows are read one after the other, each from another place on the disk: several threads that
//! wait for it at the same time have a page sooner.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{available_parallelism, scope};

/// Threads at most.
const THREADS: usize = 4;
/// Fewer are not worth a thread.
const FEW: usize = 8;

/// Makes something of each of all, in their order. Blocks.
pub fn each<T: Send, R: Send>(all: Vec<T>, make: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = available_parallelism().map_or(1, NonZero::get).min(THREADS);
    let size = all.len().div_ceil(threads).max(FEW);
    if all.len() <= size {
        return all.into_iter().map(make).collect();
    }
    let mut rest = all.into_iter();
    scope(|scope| {
        let mut made = Vec::with_capacity(threads);
        loop {
            let part: Vec<T> = rest.by_ref().take(size).collect();
            if part.is_empty() {
                break;
            }
            made.push(scope.spawn(|| part.into_iter().map(&make).collect::<Vec<R>>()));
        }
        let made = made.into_iter().map(|part| part.join());
        made.flat_map(|part| part.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_made_in_order() {
        for count in [0, 1, FEW, FEW + 1, 40, 1000] {
            let made = each((0..count).collect(), |number| number * 2);
            let expected: Vec<usize> = (0..count).map(|number| number * 2).collect();
            assert_eq!(made, expected);
        }
    }

    #[test]
    #[should_panic(expected = "the seventh")]
    fn panic_is_not_lost() {
        each((0..1000).collect(), |number| {
            assert_ne!(number, 7, "the seventh");
        });
    }
}
