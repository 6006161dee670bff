//! A stand-in for an engine that does what a hostile file could make one do.
//!
//! The tests run it inside a container that holds nothing else.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["print", code] => print(code),
        ["env"] => env(),
        ["nothing"] => ExitCode::SUCCESS,
        ["flood"] => flood(),
        ["hang"] => hang(),
        ["sleep", milliseconds] => pause(milliseconds),
        ["escape-and-hang"] => {
            escape("hang");
            hang()
        }
        ["escape-and-end"] => {
            escape("hang");
            ExitCode::SUCCESS
        }
        ["orphan"] => orphan(),
        ["bomb"] => bomb(),
        ["eat", mebibytes] => eat(mebibytes),
        ["child-eats", mebibytes] => child_eats(mebibytes),
        ["die-by", signal] => die_by(signal),
        ["processes"] => processes(),
        ["peek"] => peek(),
        ["listen", path] => listen(path),
        ["end-as-daemon"] => {
            println!("the signatures are broken");
            ExitCode::from(3)
        }
        _ => ExitCode::from(64),
    }
}

fn print(code: &str) -> ExitCode {
    println!("to stdout");
    eprintln!("to stderr");
    ExitCode::from(code.parse().unwrap_or(65))
}

fn env() -> ExitCode {
    for (name, value) in std::env::vars_os() {
        println!("{}={}", name.display(), value.display());
    }
    println!(
        "cwd={}",
        std::env::current_dir().unwrap_or_default().display()
    );
    let mut input = Vec::new();
    let read = io::stdin().read_to_end(&mut input);
    println!("stdin={}", read.unwrap_or(usize::MAX));
    ExitCode::SUCCESS
}

fn flood() -> ExitCode {
    let chunk = [b'x'; 65536];
    while io::stdout().write_all(&chunk).is_ok() {}
    hang()
}

fn hang() -> ExitCode {
    loop {
        sleep(Duration::from_secs(1000));
    }
}

fn pause(milliseconds: &str) -> ExitCode {
    sleep(Duration::from_millis(milliseconds.parse().unwrap_or(0)));
    println!("slept");
    ExitCode::SUCCESS
}

fn itself(argument: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(argument);
    command
}

/// Starts a process that left group and session, dropped its marks, and keeps the pipes open.
fn escape(what: &str) {
    let mut command = itself(what);
    command.env_clear();
    // SAFETY: setsid is async-signal-safe.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
    }
    let _: io::Result<Child> = command.spawn();
}

/// Leaves ten dead children to whoever collects them.
fn orphan() -> ExitCode {
    for _ in 0..10 {
        let _: io::Result<Child> = itself("nothing").spawn();
    }
    sleep(Duration::from_millis(50));
    ExitCode::SUCCESS
}

fn bomb() -> ExitCode {
    loop {
        escape("bomb");
    }
}

fn eat(mebibytes: &str) -> ExitCode {
    let mut eaten = Vec::new();
    for _ in 0..mebibytes.parse().unwrap_or(0) {
        eaten.push(vec![1_u8; 1 << 20]);
    }
    std::hint::black_box(&eaten);
    ExitCode::SUCCESS
}

/// Hides that its child was killed for memory, as shells and interpreters do.
fn child_eats(mebibytes: &str) -> ExitCode {
    let _ = itself("eat").arg(mebibytes).status();
    println!("all clean");
    ExitCode::SUCCESS
}

fn die_by(signal: &str) -> ExitCode {
    let signal = signal.parse().unwrap_or(libc::SIGKILL);
    // SAFETY: neither call touches memory; the standard library's own handler would return.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    hang()
}

/// Prints how many processes there are and how many of them are dead.
fn processes() -> ExitCode {
    let stats: Vec<String> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok())
        .collect();
    let dead = stats.iter().filter(|stat| stat.contains(") Z ")).count();
    println!("{} {dead}", stats.len());
    ExitCode::SUCCESS
}

/// Tries to read the runner's environment.
fn peek() -> ExitCode {
    match fs::read("/proc/1/environ") {
        Ok(bytes) => println!("read {}", String::from_utf8_lossy(&bytes)),
        Err(error) => println!("{:?}", error.kind()),
    }
    ExitCode::SUCCESS
}

/// Answers every connection with what it said, once it said all.
fn listen(path: &str) -> ExitCode {
    println!("listening");
    let Ok(listener) = UnixListener::bind(path) else {
        return ExitCode::from(66);
    };
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        said.reverse();
        let _ = stream.write_all(&said);
    }
    ExitCode::SUCCESS
}
