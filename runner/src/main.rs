//! The first process of every scan container.
//!
//! It dials the daemon, runs the engine's command line for a batch of files and
//! says how it ended. It is as small as it can be, because everything else in
//! the container is to be distrusted and may be missing: there need not even
//! be a C library in the image.

mod args;
mod cgroup;
mod exec;
mod frame;
mod probe;
mod process;
mod reaper;
mod relay;
mod serve;
mod supervise;
mod tidy;
mod watch;

use std::process::ExitCode;

use args::Mode;

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)) {
        Ok(Mode::Serve(settings)) => serve::run(&settings),
        Ok(Mode::Probe(limits)) => probe::run(&limits),
        Ok(Mode::Tidy(tidy)) => tidy::run(&tidy),
        Ok(Mode::Touch { mebibytes }) => probe::memory::touch(mebibytes),
        Ok(Mode::Nothing) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("acquit-runner: {error}");
            ExitCode::from(2)
        }
    }
}
