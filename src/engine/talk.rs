//! What conversations with a server have in common: reading that is bounded, and how it goes wrong.
//!
//! A server answers about one file in one conversation, on a connection of its
//! own, so that no answer can be taken for that to another file. What comes over
//! it may come from anybody: a conversation that does not come to its end as its
//! protocol says is no answer, and no parser sees a byte of it.

pub mod chunked;
pub mod head;

use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::parser::text::quote;

/// Longest line of a protocol.
pub const MAX_LINE: usize = 64 << 10;
/// Bytes read or written at a time.
const PIECE: usize = 64 << 10;

/// A connection to a server, whatever it is made of.
pub trait Stream: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Sync + Unpin> Stream for T {}

/// A connection to some server.
pub type Wire = Box<dyn Stream>;

/// Why a conversation gave no whole answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The connection could not be made, or ended before the answer did.
    #[error("{0}")]
    Lost(String),
    /// What came is not what the protocol says.
    #[error("{0}")]
    Senseless(String),
    /// The answer is longer than may be kept.
    #[error("answered more than {limit_kb} KB")]
    Flood {
        /// The limit.
        limit_kb: u64,
    },
    /// There was no answer in time.
    #[error("did not answer within {} s", waited.as_secs_f32())]
    Silent {
        /// How long it was waited for.
        waited: Duration,
    },
}

impl Broken {
    /// Says that something else came than was expected, and quotes it.
    pub fn senseless(what: &str, seen: &[u8]) -> Self {
        Self::Senseless(format!(
            "{what}: {:?}",
            quote(&String::from_utf8_lossy(seen))
        ))
    }

    /// Says that the connection ended while something was awaited.
    pub fn ended(awaited: &str) -> Self {
        Self::Lost(format!(
            "the connection ended before {awaited} was complete"
        ))
    }
}

/// One whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// 0 if the server says that it looked at everything, as an exit code would.
    pub code: i32,
    /// What it said, as a command would have printed it.
    pub text: Vec<u8>,
}

/// What a server is asked about.
#[derive(Debug)]
pub struct Question {
    /// The name or path under which it is told of the file.
    pub name: String,
    /// The file.
    pub file: File,
    /// Its length.
    pub size: u64,
    /// Its digest, where it was asked for; empty otherwise.
    pub sha256: String,
}

impl Question {
    /// Opens a file to ask about.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn open(path: &Path, name: &str) -> io::Result<Self> {
        let file = File::open(path).await?;
        let size = file.metadata().await?.len();
        Ok(Self {
            name: name.to_owned(),
            file,
            size,
            sha256: String::new(),
        })
    }

    /// Puts name, size and digest into a template.
    pub fn fill(&self, template: &str) -> String {
        let text = template.replace("{path}", &self.name);
        let text = text.replace("{size}", &self.size.to_string());
        text.replace("{sha256}", &self.sha256)
    }

    /// Reads the next piece of the file, at most so long; empty at its end.
    pub async fn piece(&mut self, most: u64) -> Result<Vec<u8>, Broken> {
        let mut piece = Vec::new();
        let length = most.min(PIECE as u64);
        let read = (&mut self.file).take(length).read_to_end(&mut piece).await;
        match read {
            Ok(_) => Ok(piece),
            Err(error) => Err(Broken::Lost(format!("the file cannot be read: {error}"))),
        }
    }

    /// Writes exactly so many bytes of the file, as they are.
    pub async fn pour(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        length: u64,
    ) -> Result<(), Broken> {
        let mut left = length;
        while left > 0 {
            let piece = self.piece(left).await?;
            if piece.is_empty() {
                return Err(Broken::Lost("the file is shorter than it was".to_owned()));
            }
            write(to, &piece).await?;
            left -= piece.len() as u64;
        }
        Ok(())
    }
}

/// Writes bytes, and sees to it that they go.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Broken> {
    let written = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    written
        .await
        .map_err(|error| Broken::Lost(format!("the server does not listen: {error}")))
}

/// Gives a conversation its time.
pub async fn within<T>(
    wait: Duration,
    talk: impl Future<Output = Result<T, Broken>>,
) -> Result<T, Broken> {
    match timeout(wait, talk).await {
        Ok(said) => said,
        Err(_) => Err(Broken::Silent { waited: wait }),
    }
}

/// Says something and listens meanwhile; who does not listen to the end may have said why.
pub async fn both<T>(
    say: impl Future<Output = Result<(), Broken>>,
    hear: impl Future<Output = Result<T, Broken>>,
) -> Result<T, Broken> {
    let (mut say, mut hear) = (pin!(say), pin!(hear));
    tokio::select! {
        biased;
        said = &mut say => match said {
            Ok(()) => hear.await,
            Err(error) => hear.await.map_err(|_| error),
        },
        heard = &mut hear => heard,
    }
}

/// The reading half of a connection, a line or so many bytes at a time.
#[derive(Debug)]
pub struct Ear<R> {
    from: R,
    kept: Vec<u8>,
    taken: usize,
}

impl<R: AsyncRead + Unpin> Ear<R> {
    /// Listens to a connection.
    pub const fn new(from: R) -> Self {
        Self {
            from,
            kept: Vec::new(),
            taken: 0,
        }
    }

    /// Returns the next line with its end, which is a line feed or NUL; at the end of the
    /// connection what is left, which may be nothing.
    pub async fn line(&mut self) -> Result<Vec<u8>, Broken> {
        let mut looked = 0;
        loop {
            let waiting = &self.kept[self.taken..];
            let end = waiting[looked..].iter();
            if let Some(end) = end.clone().position(|byte| matches!(byte, b'\n' | 0)) {
                return Ok(self.take(looked + end + 1));
            }
            looked = waiting.len();
            if looked > MAX_LINE {
                return Err(Broken::senseless("a line has no end", &waiting[..200]));
            }
            if !self.hear().await? {
                return Ok(self.take(looked));
            }
        }
    }

    /// Returns exactly so many bytes, or what came before the connection ended.
    pub async fn bytes(&mut self, length: usize) -> Result<Vec<u8>, Broken> {
        while self.waiting().len() < length {
            if !self.hear().await? {
                break;
            }
        }
        Ok(self.take(length.min(self.waiting().len())))
    }

    /// Returns what has come and was not taken.
    pub fn waiting(&self) -> &[u8] {
        &self.kept[self.taken..]
    }

    /// Reads what comes next; false at the end of the connection.
    async fn hear(&mut self) -> Result<bool, Broken> {
        self.kept.drain(..self.taken);
        self.taken = 0;
        self.kept.reserve(4096);
        match self.from.read_buf(&mut self.kept).await {
            Ok(length) => Ok(length > 0),
            Err(error) => Err(Broken::Lost(format!("the connection was lost: {error}"))),
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let taken = self.kept[self.taken..self.taken + length].to_vec();
        self.taken += length;
        taken
    }
}

/// Returns a line's text without what ends it.
pub fn text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end_matches(['\n', '\r', '\0']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_end_with_a_line_feed_or_nul_and_the_last_as_it_is() {
        let mut ear = Ear::new(&b"a\r\nb\0c"[..]);
        assert_eq!(ear.line().await.unwrap(), b"a\r\n");
        assert_eq!(ear.line().await.unwrap(), b"b\0");
        assert_eq!(ear.line().await.unwrap(), b"c");
        assert_eq!(ear.line().await.unwrap(), b"");
    }

    #[tokio::test]
    async fn line_without_end_is_given_up() {
        let long = vec![b'x'; MAX_LINE * 2];
        let said = Ear::new(&long[..]).line().await.unwrap_err();
        assert!(said.to_string().starts_with("a line has no end"), "{said}");
    }

    #[tokio::test]
    async fn bytes_are_as_many_as_wanted_or_what_there_is() {
        let mut ear = Ear::new(&b"abcde"[..]);
        assert_eq!(ear.bytes(3).await.unwrap(), b"abc");
        assert_eq!(ear.bytes(3).await.unwrap(), b"de");
    }
}
