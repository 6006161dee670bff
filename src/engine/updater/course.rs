//! How an update goes, for those who watch: what is new on the disk, and what its command prints.
//!
//! Of what it prints the end is kept, in whole lines in the order in which they came, whether on
//! stdout or on stderr. All of it, in two parts, comes when the command has ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most bytes of it that are kept.
const KEPT: usize = 64 << 10;
/// Longest line; what is longer is cut into several.
const LINE: usize = 4 << 10;

/// How an update goes; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Course {
    // Never held across an await.
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    new_bytes: u64,
    /// Bytes that were printed.
    said: u64,
    lines: VecDeque<u8>,
    /// The beginnings of lines, on stdout and on stderr.
    open: [Vec<u8>; 2],
}

impl Course {
    /// Notes how many bytes are on the disk that were not there before.
    pub fn measured(&self, new_bytes: u64) {
        self.lock().new_bytes = new_bytes;
    }

    /// Takes what was printed since the last time.
    pub fn heard(&self, stdout: &[u8], stderr: &[u8]) {
        let mut state = self.lock();
        state.add(0, stdout);
        state.add(1, stderr);
        state.cut();
    }

    /// Returns how many bytes are on the disk that were not there before.
    pub fn new_bytes(&self) -> u64 {
        self.lock().new_bytes
    }

    /// Returns how many bytes were printed.
    pub fn said(&self) -> u64 {
        self.lock().said
    }

    /// Returns the end of what was printed, with the lines that are not ended at its end.
    pub fn log(&self) -> Vec<u8> {
        let state = self.lock();
        let mut log: Vec<u8> = state.lines.iter().copied().collect();
        for open in state.open.iter().filter(|open| !open.is_empty()) {
            log.extend_from_slice(open);
            log.push(b'\n');
        }
        log
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, which: usize, bytes: &[u8]) {
        self.said += bytes.len() as u64;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LINE) {
                self.open[which].extend_from_slice(part);
                let open = &mut self.open[which];
                if open.len() < LINE && !open.ends_with(b"\n") {
                    continue;
                }
                if !open.ends_with(b"\n") {
                    open.push(b'\n');
                }
                self.lines.extend(open.drain(..));
            }
        }
    }

    /// Lets go of the oldest lines beyond what is kept.
    fn cut(&mut self) {
        let beyond = self.lines.len().saturating_sub(KEPT);
        if beyond == 0 {
            return;
        }
        let rest = self.lines.iter().skip(beyond - 1);
        let to_end = rest.take_while(|byte| **byte != b'\n').count();
        self.lines.drain(..beyond + to_end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &[(&str, &str)], log: &str) {
        let course = Course::default();
        for (stdout, stderr) in said {
            course.heard(stdout.as_bytes(), stderr.as_bytes());
        }
        assert_eq!(String::from_utf8(course.log()).unwrap(), log);
    }

    #[test]
    fn lines_are_in_the_order_in_which_they_came_and_stay_whole() {
        check(&[], "");
        check(
            &[("a\nb", ""), ("", "oops\n"), ("c\n", "")],
            "a\noops\nbc\n",
        );
        check(&[("", "warn"), ("half", "ing\n")], "warning\nhalf\n");
        check(&[("\n\n", "")], "\n\n");
    }

    #[test]
    fn of_much_the_end_is_kept_from_the_beginning_of_a_line() {
        let course = Course::default();
        for number in 0..20_000 {
            course.heard(format!("line {number}\n").as_bytes(), b"");
        }
        let log = String::from_utf8(course.log()).unwrap();
        assert!((KEPT - 20..=KEPT).contains(&log.len()), "{}", log.len());
        assert!(log.starts_with("line "), "{}", &log[..20]);
        assert!(log.ends_with("\nline 19999\n"));
        assert_eq!(course.said(), 208_890);
    }

    #[test]
    fn line_without_an_end_takes_no_more_room_than_others() {
        let course = Course::default();
        course.heard(&vec![b'x'; 1 << 20], &vec![b'y'; LINE + 1]);
        let log = course.log();
        assert!(log.len() <= KEPT + 2 * LINE, "{}", log.len());
        let longest = log.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
        assert_eq!(longest, Some(LINE));
        assert!(log.ends_with(b"y\ny\n"));
    }
}
