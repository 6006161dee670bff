//! Dr.Web's own daemon, versions 4.31 to 6: numbers and lengths, four bytes each, the high one first.
//!
//! ```text
//! SCAN, flags, length, path, 0, 0   →   result bits, count, count times (length, "infected with …")
//! ```
//!
//! What the parser reads is a line `result 0x20`, and one line for each name.

use super::talk::{Broken, Ear, Heard, Question, Wire, write};

/// The command that scans.
const SCAN: u32 = 1;
/// Return the names, look into archives as the daemon is told to.
const RETURN_VIRUSES: u32 = 0x0000_0001;
/// Most names in an answer.
const MAX_NAMES: u32 = 4096;
/// Longest name.
const MAX_NAME: u32 = 4096;

/// Asks about a file by its path.
///
/// # Errors
/// If no whole answer came.
pub async fn ask(wire: Wire, question: Question) -> Result<Heard, Broken> {
    let (reader, mut writer) = tokio::io::split(wire);
    write(&mut writer, &request(&question.name)).await?;
    let mut ear = Ear::new(reader);
    let result = number(&mut ear).await?;
    let count = number(&mut ear).await?;
    if count > MAX_NAMES {
        return Err(Broken::Senseless(format!("the answer has {count} names")));
    }
    let mut text = format!("result {result:#04x}\n").into_bytes();
    for _ in 0..count {
        text.extend_from_slice(&name(&mut ear).await?);
        text.push(b'\n');
    }
    match ear.waiting() {
        [] => Ok(Heard { code: 0, text }),
        more => Err(Broken::senseless("something follows the answer", more)),
    }
}

fn request(path: &str) -> Vec<u8> {
    let length = u32::try_from(path.len()).unwrap_or(u32::MAX);
    let mut request = Vec::new();
    for number in [SCAN, RETURN_VIRUSES, length] {
        request.extend_from_slice(&number.to_be_bytes());
    }
    request.extend_from_slice(path.as_bytes());
    request.extend_from_slice(&[0; 8]);
    request
}

type Reader = Ear<tokio::io::ReadHalf<Wire>>;

async fn number(ear: &mut Reader) -> Result<u32, Broken> {
    let bytes = ear.bytes(4).await?;
    let bytes = <[u8; 4]>::try_from(bytes).map_err(|_| Broken::ended("the answer"))?;
    Ok(u32::from_be_bytes(bytes))
}

async fn name(ear: &mut Reader) -> Result<Vec<u8>, Broken> {
    let length = number(ear).await?;
    if length > MAX_NAME {
        return Err(Broken::Senseless(format!(
            "the answer has a name of {length} bytes"
        )));
    }
    let mut name = ear.bytes(length as usize).await?;
    if name.len() < length as usize {
        return Err(Broken::ended("the answer"));
    }
    if name.last() == Some(&0) {
        name.pop();
    }
    // A name is one line, whatever is in it.
    for byte in &mut name {
        if matches!(byte, b'\n' | b'\r' | 0) {
            *byte = b' ';
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn play(answer: &[u8]) -> Result<Heard, Broken> {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let question = Question::open(file.path(), "/scan/a").await.unwrap();
        ask(Box::new(near), question).await
    }

    fn found() -> Vec<u8> {
        let name = b"infected with EICAR Test File\0";
        let mut answer = [0, 0, 0, 0x20, 0, 0, 0, 1].to_vec();
        answer.extend_from_slice(&(name.len() as u32).to_be_bytes());
        answer.extend_from_slice(name);
        answer
    }

    #[tokio::test]
    async fn answers_become_lines() {
        let heard = play(&found()).await.unwrap();
        assert_eq!(heard.text, b"result 0x20\ninfected with EICAR Test File\n");
        let heard = play(&[0; 8]).await.unwrap();
        assert_eq!(heard.text, b"result 0x00\n");
    }

    #[tokio::test]
    async fn every_cut_is_found_and_so_is_more() {
        let whole = found();
        for cut in 0..whole.len() {
            assert!(play(&whole[..cut]).await.is_err(), "{cut}");
        }
        assert!(play(&[whole, b"x".to_vec()].concat()).await.is_err());
        assert!(play(&[0, 0, 0, 0x20, 0xff, 0, 0, 0]).await.is_err());
    }

    #[test]
    fn request_is_what_the_daemon_reads() {
        let expected = b"\0\0\0\x01\0\0\0\x01\0\0\0\x07/scan/a\0\0\0\0\0\0\0\0";
        assert_eq!(request("/scan/a"), expected);
    }
}
