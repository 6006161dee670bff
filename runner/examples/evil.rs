//! A malicious engine: each file tells it, on its first line, how to misbehave.
//!
//! `evil: MODE` is obeyed, an EICAR file is detected, everything else is clean.
//! An attempt to get out of the sandbox that is stopped is answered with the
//! detection `Blocked.MODE`, one that is not with `Escaped.MODE`.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, exit};
use std::thread::sleep;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((style, files)) if style == "--loud" || style == "--silent" => {
            let loud = style == "--loud";
            files.iter().for_each(|path| Engine { path, loud }.scan());
            ExitCode::SUCCESS
        }
        Some((mode, _)) => alone(mode),
        None => ExitCode::from(64),
    }
}

/// What a child of it does.
fn alone(mode: &str) -> ExitCode {
    match mode {
        "hang" => hang(),
        "bomb" => bomb(),
        "eat" => eat(),
        _ => ExitCode::SUCCESS,
    }
}

/// One file, and whether clean ones are spoken of.
struct Engine<'a> {
    path: &'a str,
    loud: bool,
}

impl Engine<'_> {
    fn scan(&self) {
        let mut head = Vec::new();
        let read = fs::File::open(self.path).and_then(|file| file.take(64).read_to_end(&mut head));
        if read.is_err() {
            return say(format!("{}: cannot be read\n", self.path));
        }
        let line = head.split(|byte| *byte == b'\n').next();
        match line.and_then(|line| line.strip_prefix(b"evil: ")) {
            Some(mode) => self.obey(&String::from_utf8_lossy(mode)),
            None if head.starts_with(br"X5O!P%@AP") => self.found("Eicar"),
            None => self.clean(),
        }
    }

    fn clean(&self) {
        if self.loud {
            say(format!("{}: OK\n", self.path));
        }
    }

    fn found(&self, name: &str) {
        say(format!("{}: {name} FOUND\n", self.path));
    }

    fn obey(&self, mode: &str) {
        match mode {
            "flood" => flood(),
            "flood-after-answer" => {
                self.clean();
                flood();
            }
            "hang" => drop(hang()),
            "hang-term" => hang_on(),
            "hang-stop" => raise(libc::SIGSTOP),
            "hang-children" => {
                (0..3).for_each(|_| escape("hang"));
                hang();
            }
            "leave-children" => {
                (0..3).for_each(|_| escape("hang"));
                self.found("Left.Children");
            }
            "slow" => slow(),
            "forkbomb" => drop(bomb()),
            "oom" => drop(eat()),
            "oom-child" => {
                let _ = itself("eat").status();
                self.clean();
            }
            "crash" => raise(libc::SIGSEGV),
            "abort" => raise(libc::SIGABRT),
            "kill-runner" => kill_runner(),
            "exit-2" => exit(2),
            _ => match mode.strip_prefix("sleep ") {
                Some(milliseconds) => {
                    sleep(Duration::from_millis(milliseconds.parse().unwrap_or(0)));
                    self.clean();
                }
                None => self.lie(mode),
            },
        }
    }

    /// Ways of not telling the truth.
    fn lie(&self, mode: &str) {
        let path = self.path;
        match mode {
            "exit0-empty" => exit(0),
            "exit0-truncated" => {
                say(format!("{path}: O"));
                exit(0);
            }
            "exit0-cut" => {
                say(format!("{path}: OK"));
                exit(0);
            }
            "other-file-name" => say("/scan/0123456789abcdef/0123456789abcdef: OK\n".to_owned()),
            "forged-ok" => {
                say(format!("{path}: OK\n{path}: OK\n"));
                self.found("Forged");
            }
            "forged-twice" => say(format!("{path}: OK\n{path}: OK\n")),
            "ansi" => self.found("\x1b[31mAnsi\x1b[0m\x07\x1b]0;title\x07"),
            "html" => self.found("<script>alert(1)</script>"),
            "rtl" => self.found("Rtl\u{202e}cod.exe"),
            "nul" => self.found("Nu\0l"),
            "latin1" => say_bytes(&[path.as_bytes(), b": Latin\xe9 FOUND\n"].concat()),
            "long-name" => self.found(&"Long".repeat(2500)),
            "names-10k" => (0..10_000).for_each(|n| self.found(&format!("Name{n}"))),
            "fill-tmp" => {
                let filler = fs::File::create("/tmp/fill");
                while filler
                    .as_ref()
                    .is_ok_and(|mut file| file.write_all(&[1; 4096]).is_ok())
                {}
                self.found("Filled");
            }
            "need-tmp" => match fs::write("/tmp/need", vec![1; 1 << 20]) {
                Ok(()) => self.found("Needed"),
                Err(_) => exit(2),
            },
            "pose" => {
                let posed = pose();
                self.found("Posed");
                drop(posed);
            }
            _ => self.attempt(mode),
        }
    }

    fn attempt(&self, mode: &str) {
        let escaped = match mode {
            "write-scan" => self.write_scan(),
            "write-root" => write_root(),
            "exec-tmp" => exec_tmp(),
            "memfd" => memfd(),
            "io-uring" => io_uring(),
            "unshare" => unshare(),
            "ptrace" => ptrace(),
            "setuid" => setuid(),
            "dial" => dial(),
            "loot" => self.loot(),
            "sig-write" => writes(&["/signatures/x", "/signatures/names"]),
            _ => return say(format!("{}: unknown mode\n", self.path)),
        };
        let how = if escaped { "Escaped" } else { "Blocked" };
        self.found(&format!("{how}.{mode}"));
    }

    fn write_scan(&self) -> bool {
        let dir = self.path.rsplit_once('/').map_or("/scan", |(dir, _)| dir);
        let chmod = fs::set_permissions(self.path, fs::Permissions::from_mode(0o777));
        writes(&[self.path, "/scan/x", &format!("{dir}/x")])
            || fs::remove_file(self.path).is_ok()
            || fs::rename(self.path, "/tmp/x").is_ok()
            || chmod.is_ok()
    }

    /// Looks for other people's files and for what only the runner may know.
    fn loot(&self) -> bool {
        let secret =
            |(name, _): &(std::ffi::OsString, _)| name.to_string_lossy().contains("GENERATION");
        fs::read_dir("/scan").is_ok()
            || fs::read("/proc/1/environ").is_ok()
            || fs::read_dir("/proc/1/fd").is_ok()
            || fs::File::open("/proc/1/mem").is_ok()
            || fs::read_dir("/run/acquit/..").is_ok_and(|found| found.count() > 1)
            || std::env::vars_os().any(|pair| secret(&pair))
    }
}

fn say(text: String) {
    say_bytes(text.as_bytes());
}

/// Past the standard library's buffer, so that what was said was said.
fn say_bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

fn flood() {
    let chunk = [b'x'; 65536];
    while io::stdout().write_all(&chunk).is_ok() {}
}

fn hang() -> ExitCode {
    loop {
        sleep(Duration::from_secs(1000));
    }
}

/// Hangs in spite of every signal that can be ignored.
fn hang_on() {
    for signal in 1..=31 {
        // SAFETY: ignoring a signal touches no memory; what cannot be ignored is an error.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    hang();
}

fn slow() {
    loop {
        say_bytes(b"x");
        sleep(Duration::from_secs(1));
    }
}

fn raise(signal: i32) {
    // SAFETY: neither call touches memory; the standard library's own handler would return.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    hang();
}

fn itself(mode: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(mode);
    command
}

/// Starts a process that left group and session, dropped its marks, and keeps the pipes open.
fn escape(mode: &str) {
    let mut command = itself(mode);
    command.env_clear();
    // SAFETY: setsid is async-signal-safe.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
    }
    let _: io::Result<Child> = command.spawn();
}

fn bomb() -> ExitCode {
    loop {
        escape("bomb");
    }
}

fn eat() -> ExitCode {
    let mut eaten = Vec::new();
    for _ in 0..4096 {
        eaten.push(vec![1_u8; 1 << 20]);
    }
    std::hint::black_box(&eaten);
    ExitCode::SUCCESS
}

/// Ends the first process, if it can, and everything else.
fn kill_runner() {
    for (pid, signal) in [(1, libc::SIGKILL), (1, libc::SIGTERM), (-1, libc::SIGKILL)] {
        // SAFETY: sending a signal touches no memory.
        unsafe { libc::kill(pid, signal) };
    }
    hang();
}

/// Poses as many runners, and as one that talks nonsense.
fn pose() -> Vec<UnixStream> {
    let hello = br#"{"protocol":1,"generation":"0000000000000000"}"#;
    let length = (hello.len() as u32).to_be_bytes();
    let dials = (0..100).filter_map(|_| UnixStream::connect("/run/acquit/runner.sock").ok());
    dials
        .enumerate()
        .map(|(n, mut stream)| {
            let said: &[u8] = if n % 2 == 0 { &length } else { &[0xff; 64] };
            let _ = stream
                .write_all(said)
                .and_then(|()| stream.write_all(hello));
            stream
        })
        .collect()
}

fn writes(paths: &[&str]) -> bool {
    let mut open = fs::OpenOptions::new();
    open.write(true).create(true).truncate(false);
    paths.iter().any(|path| open.open(path).is_ok())
}

fn write_root() -> bool {
    let paths = [
        "/x",
        "/evil",
        "/acquit-runner",
        "/run/acquit/x",
        "/proc/sysrq-trigger",
    ];
    writes(&paths) || fs::remove_file("/run/acquit/runner.sock").is_ok()
}

fn exec_tmp() -> bool {
    let copied = fs::copy("/proc/self/exe", "/tmp/again").is_ok();
    let _ = fs::set_permissions("/tmp/again", fs::Permissions::from_mode(0o755));
    let ran = Command::new("/tmp/again").arg("nothing").status();
    let _ = fs::remove_file("/tmp/again");
    // What was not even copied was not tried.
    !copied || ran.is_ok()
}

fn memfd() -> bool {
    // SAFETY: the name is a C string that lives as long as the call.
    unsafe { libc::syscall(libc::SYS_memfd_create, c"x".as_ptr(), 0) >= 0 }
}

fn io_uring() -> bool {
    let mut parameters = [0_u8; 256];
    // SAFETY: the kernel writes a structure of 120 bytes into the 256 of a live local.
    unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, parameters.as_mut_ptr()) >= 0 }
}

fn unshare() -> bool {
    // SAFETY: changing namespaces touches no memory.
    unsafe { libc::unshare(libc::CLONE_NEWUSER) == 0 || libc::unshare(libc::CLONE_NEWNET) == 0 }
}

fn ptrace() -> bool {
    // SAFETY: attaching touches no memory of this process.
    unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_ATTACH, 1, 0, 0) == 0 }
}

fn setuid() -> bool {
    // SAFETY: changing the user id touches no memory.
    unsafe { libc::setuid(0) == 0 }
}

fn dial() -> bool {
    let tcp = [
        "1.1.1.1:53",
        "172.17.0.1:2375",
        "127.0.0.1:8440",
        "127.0.0.1:2375",
    ];
    let tcp = tcp.iter().filter_map(|address| address.parse().ok());
    let wait = Duration::from_millis(200);
    let unix = [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
    ];
    let udp = UdpSocket::bind("0.0.0.0:0");
    tcp.into_iter()
        .any(|address| TcpStream::connect_timeout(&address, wait).is_ok())
        || unix.iter().any(|path| UnixStream::connect(path).is_ok())
        || udp.is_ok_and(|socket| socket.send_to(b"x", "1.1.1.1:53").is_ok())
}
