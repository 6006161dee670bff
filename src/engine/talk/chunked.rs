//! Bodies in chunks, as ICAP and HTTP write them: a length, so many bytes, and 0 at the end.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Broken, Ear, Question, text, write};

/// Most lines after the last chunk.
const MAX_TRAILER: usize = 64;

/// How a body in chunks ends.
pub const END: &[u8] = b"0\r\n\r\n";
/// How a preview ends that is the whole body.
pub const WHOLE: &[u8] = b"0; ieof\r\n\r\n";

/// Writes so many bytes of the file in chunks, without an end.
pub async fn pour(
    to: &mut (impl AsyncWrite + Unpin),
    question: &mut Question,
    length: u64,
) -> Result<(), Broken> {
    let mut left = length;
    while left > 0 {
        let piece = question.piece(left).await?;
        if piece.is_empty() {
            return Err(Broken::Lost("the file is shorter than it was".to_owned()));
        }
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(&piece);
        chunk.extend_from_slice(b"\r\n");
        write(to, &chunk).await?;
        left -= piece.len() as u64;
    }
    Ok(())
}

/// Reads a body in chunks to its end, trailer included; what exceeds `keep` bytes is not kept.
///
/// # Errors
/// If its framing is broken, it is cut off, or longer than `most`.
pub async fn read(
    ear: &mut Ear<impl AsyncRead + Unpin>,
    (keep, most): (u64, u64),
) -> Result<Vec<u8>, Broken> {
    let (mut kept, mut total) = (Vec::new(), 0_u64);
    loop {
        let line = ear.line().await?;
        let mut left = length(&line)?;
        total = total.saturating_add(left);
        if total > most {
            return Err(Broken::Flood {
                limit_kb: most >> 10,
            });
        }
        if left == 0 {
            trailer(ear).await?;
            return Ok(kept);
        }
        while left > 0 {
            let want = usize::try_from(left.min(64 << 10)).unwrap_or(usize::MAX);
            let piece = ear.bytes(want).await?;
            if piece.len() < want {
                return Err(Broken::ended("a chunk of the body"));
            }
            left -= want as u64;
            let room = keep.saturating_sub(kept.len() as u64);
            let part = want.min(usize::try_from(room).unwrap_or(usize::MAX));
            kept.extend_from_slice(&piece[..part]);
        }
        let end = ear.line().await?;
        if end != b"\r\n" && end != b"\n" {
            return match end.is_empty() {
                true => Err(Broken::ended("a chunk of the body")),
                false => Err(Broken::senseless("a chunk is longer than it says", &end)),
            };
        }
    }
}

fn length(line: &[u8]) -> Result<u64, Broken> {
    if !line.ends_with(b"\n") {
        return Err(Broken::ended("the body"));
    }
    let text = text(line);
    let digits = text.split(';').next().unwrap_or_default().trim();
    let hex = (1..=16).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_hexdigit());
    let length = hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten();
    length.ok_or_else(|| Broken::senseless("no length of a chunk", line))
}

async fn trailer(ear: &mut Ear<impl AsyncRead + Unpin>) -> Result<(), Broken> {
    for _ in 0..MAX_TRAILER {
        let line = ear.line().await?;
        if !line.ends_with(b"\n") {
            return Err(Broken::ended("the body"));
        }
        if text(&line).is_empty() {
            return Ok(());
        }
    }
    Err(Broken::Senseless("the trailer has no end".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(body: &[u8]) -> Result<Vec<u8>, String> {
        let read = read(&mut Ear::new(body), (1 << 20, 1 << 20)).await;
        read.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn chunks_are_put_together() {
        let body = check(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n");
        assert_eq!(body.await.unwrap(), b"abcde");
        assert_eq!(check(END).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn every_cut_is_found() {
        let whole = b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            assert!(check(&whole[..cut]).await.is_err(), "{cut}");
        }
        assert!(check(whole).await.is_ok());
    }

    #[tokio::test]
    async fn wrong_lengths_are_found() {
        assert!(check(b"2\r\nabc\r\n0\r\n\r\n").await.is_err());
        assert!(check(b"-1\r\n\r\n0\r\n\r\n").await.is_err());
        assert!(check(b"x\r\n").await.is_err());
        assert!(check(b"fffffffffffffffff\r\n").await.is_err());
        let flood = read(&mut Ear::new(&b"ffffffffffffffff\r\n"[..]), (1, 1 << 10)).await;
        assert_eq!(flood, Err(Broken::Flood { limit_kb: 1 }));
    }
}
