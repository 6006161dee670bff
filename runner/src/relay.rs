//! Joins the daemon's connection to a socket inside the container.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

const CHUNK: usize = 16 << 10;

/// Carries bytes both ways until both sides have said all they had to say.
///
/// Not `io::copy`: that would use `splice`, which the sandbox forbids.
pub fn join(daemon: UnixStream, engine: UnixStream) -> io::Result<()> {
    let (from_engine, to_daemon) = (engine.try_clone()?, daemon.try_clone()?);
    let back = crate::serve::thread("relay", move || carry(&from_engine, &to_daemon))?;
    carry(&daemon, &engine);
    let _ = back.join();
    Ok(())
}

/// Carries one way; the end of one side is passed on to the other.
fn carry(mut from: &UnixStream, mut to: &UnixStream) {
    let mut chunk = [0; CHUNK];
    loop {
        let length = match from.read(&mut chunk) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        if length == 0 {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        if to.write_all(&chunk[..length]).is_err() {
            // Nobody takes it any more: the sender must learn of it, or it would send for ever.
            let _ = from.shutdown(Shutdown::Read);
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined() -> (UnixStream, UnixStream) {
        let (daemon, near) = UnixStream::pair().unwrap();
        let (far, engine) = UnixStream::pair().unwrap();
        std::thread::spawn(move || join(near, far));
        (daemon, engine)
    }

    #[test]
    fn bytes_go_both_ways() {
        let (mut daemon, mut engine) = joined();
        daemon.write_all(b"ping").unwrap();
        let mut got = [0; 4];
        engine.read_exact(&mut got).unwrap();
        engine.write_all(&got).unwrap();
        daemon.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ping");
    }

    #[test]
    fn answer_still_comes_after_the_question_was_closed() {
        let (mut daemon, mut engine) = joined();
        daemon.write_all(b"question").unwrap();
        daemon.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        engine.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"question");
        engine.write_all(b"answer").unwrap();
        drop(engine);
        got.clear();
        daemon.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"answer");
    }
}
