//! Frames as the runner reads and writes them, blocking.

use std::io::{self, Read, Write};

use acquit_runner::wire::MAX_FRAME;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads one frame; nothing if the other side closed between frames.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes(length);
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
    }
    let mut json = vec![0; length as usize];
    from.read_exact(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

/// Writes one frame, and what follows it, with as few calls as possible.
pub fn write(to: &mut impl Write, message: &impl Serialize, tails: [&[u8]; 2]) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
    }
    let mut head = Vec::with_capacity(4 + json.len());
    head.extend_from_slice(&length.to_be_bytes());
    head.extend_from_slice(&json);
    to.write_all(&head)?;
    for tail in tails {
        to.write_all(tail)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use acquit_runner::wire::Request;

    use super::*;

    #[test]
    fn frame_comes_back_as_it_was_written() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Request::Ping, [b"", b""]).unwrap();
        let read: Option<Request> = read(&mut bytes.as_slice()).unwrap();
        assert_eq!(read, Some(Request::Ping));
    }

    #[test]
    fn end_between_frames_is_no_error() {
        let read: Option<Request> = read(&mut [].as_slice()).unwrap();
        assert_eq!(read, None);
    }

    #[test]
    fn long_or_broken_frames_are_refused() {
        for bytes in [
            &b"\xff\xff\xff\xffx"[..],
            b"\0\0\0\x09{\"a\"",
            b"\0\0\0\x02{}",
        ] {
            assert!(read::<Request>(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
