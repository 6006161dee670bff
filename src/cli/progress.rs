//! Progress bars: on standard error, on a terminal, and only there.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

const BYTES: &str = "{spinner} uploaded {bar:30} {bytes} of {total_bytes} ({binary_bytes_per_sec})";
const FILES: &str = "{spinner} analyzed {bar:30} {pos} of {len} files, {elapsed}";

/// The two bars of a scan; clones share them.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    bytes: ProgressBar,
    files: ProgressBar,
}

impl Progress {
    /// Shows both bars, empty.
    pub fn new() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let bytes = bars.add(bar(BYTES));
        let files = bars.add(bar(FILES));
        Self { bars, bytes, files }
    }

    /// Counts a file in.
    pub fn found(&self, size: u64) {
        self.bytes.inc_length(size);
        self.files.inc_length(1);
    }

    /// Counts a file as done.
    pub fn done(&self) {
        self.files.inc(1);
    }

    /// Returns the bar of bytes sent.
    pub fn bytes(&self) -> ProgressBar {
        self.bytes.clone()
    }

    /// Takes both bars off the terminal.
    pub fn clear(&self) {
        self.bytes.finish_and_clear();
        self.files.finish_and_clear();
        // A terminal that went away is not worth an error.
        let _ = self.bars.clear();
    }
}

fn bar(template: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Lines of things under way, one each; without a terminal, a line when something changes.
#[derive(Debug)]
pub struct Lines {
    bars: MultiProgress,
}

/// One thing under way.
#[derive(Debug)]
pub struct Line {
    bar: ProgressBar,
    name: String,
    last: String,
}

impl Lines {
    /// Shows nothing yet.
    pub fn new() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { bars }
    }

    /// Shows that one begins.
    pub fn start(&self, name: &str) -> Line {
        let bar = self.bars.add(bar("{spinner} {prefix:16} {wide_msg}"));
        bar.set_prefix(name.to_owned());
        Line {
            bar,
            name: name.to_owned(),
            last: String::new(),
        }
    }
}

impl Line {
    /// Shows what is under way; `detail` only where it can be overwritten.
    pub fn show(&mut self, what: &str, detail: &str) {
        if self.bar.is_hidden() && self.last != what {
            eprintln!("{}: {what}", self.name);
        }
        self.last = what.to_owned();
        self.bar.set_message(format!("{what}{detail}"));
    }

    /// Takes it off the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Returns the bar of a rescan; hidden where there is no terminal.
pub fn rescan_bar() -> ProgressBar {
    let progress = bar("{spinner} {bar:30} {pos} of {len} answers, {elapsed}{msg}");
    progress.set_draw_target(ProgressDrawTarget::stderr());
    progress
}

/// The bars of builds under way; without a terminal, a line when each begins.
#[derive(Debug)]
pub struct Building {
    bars: MultiProgress,
    all: ProgressBar,
}

/// The bar of one build.
#[derive(Debug)]
pub struct Build {
    bar: ProgressBar,
    all: ProgressBar,
    name: String,
}

impl Building {
    /// Shows how many of all are built.
    pub fn new(builds: u64) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let all = bars.add(bar("{spinner} {pos} of {len} images, {elapsed}"));
        all.set_length(builds);
        Self { bars, all }
    }

    /// Shows that one begins.
    pub fn start(&self, name: &str) -> Build {
        if self.all.is_hidden() {
            eprintln!("building {name}");
        }
        let bar = bar("  {prefix:16} {wide_msg}");
        bar.set_prefix(name.to_owned());
        Build {
            bar: self.bars.insert_before(&self.all, bar),
            all: self.all.clone(),
            name: name.to_owned(),
        }
    }

    /// Takes the bars off the terminal.
    pub fn clear(&self) {
        self.all.finish_and_clear();
        // A terminal that went away is not worth an error.
        let _ = self.bars.clear();
    }
}

impl Build {
    /// Shows the latest line of the log.
    pub fn line(&self, line: &str) {
        self.bar.set_message(line.trim_end().to_owned());
    }

    /// Shows that it ended.
    pub fn end(&self, well: bool) {
        self.bar.finish_and_clear();
        self.all.inc(1);
        if self.all.is_hidden() {
            let how = if well { "built" } else { "could not build" };
            eprintln!("{how} {}", self.name);
        }
    }
}
