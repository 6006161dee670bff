//! Frames as the daemon reads and writes them.

use std::io;

use acquit_runner::wire::MAX_FRAME;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Reads one frame, and not a byte of what follows it.
pub async fn read<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = from.read_u32().await?;
    if length > MAX_FRAME {
        return Err(invalid("frame too long"));
    }
    let json = read_bytes(from, u64::from(length)).await?;
    // Not by `?`: JSON that ends too early would look like a connection that did.
    serde_json::from_slice(&json).map_err(|error| invalid(&error.to_string()))
}

/// Reads exactly that many bytes; memory grows only as they really come.
pub async fn read_bytes(from: &mut (impl AsyncRead + Unpin), length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = from.take(length).read_to_end(&mut bytes).await?;
    if read as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// Writes one frame.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    if length > MAX_FRAME {
        return Err(invalid("frame too long"));
    }
    let mut frame = Vec::with_capacity(4 + json.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&json);
    to.write_all(&frame).await
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
