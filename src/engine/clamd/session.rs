//! Many files on one connection to clamd (`IDSESSION`).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{ClamdError, ClamdReply, MAX_REPLY, Stream, cut, reply, senseless};

/// A connection on which one file after the other is scanned.
///
/// clamd numbers its replies; one that does not carry the number of the request
/// just made is refused, as is any byte behind it.
#[derive(Debug)]
pub struct ClamdSession<S> {
    stream: S,
    asked_count: u64,
    order: Order,
}

/// Whether the next reply can only be that to the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Kept,
    Lost,
}

impl<S: Stream> ClamdSession<S> {
    /// Opens a session on a fresh connection.
    ///
    /// # Errors
    /// If clamd does not take the request.
    pub async fn open(mut stream: S) -> Result<Self, ClamdError> {
        let opened = stream.write_all(b"zIDSESSION\0").await;
        opened.map_err(ClamdError::Closed)?;
        Ok(Self {
            stream,
            asked_count: 0,
            order: Order::Kept,
        })
    }

    /// Has clamd scan one file. After an error, or if dropped half-way, the session is of no use.
    ///
    /// # Errors
    /// If there is no reply; whatever is replied is a verdict.
    pub async fn scan(&mut self, path: &str, wait: Duration) -> Result<ClamdReply, ClamdError> {
        if self.order == Order::Lost {
            return Err(cut());
        }
        self.order = Order::Lost;
        self.asked_count += 1;
        let raw = match timeout(wait, self.exchange(path)).await {
            Ok(raw) => raw?,
            Err(_) => return Err(ClamdError::Silent { waited: wait }),
        };
        self.order = Order::Kept;
        let verdict = reply::verdict(&raw, path);
        Ok(ClamdReply { verdict, raw })
    }

    async fn exchange(&mut self, path: &str) -> Result<Vec<u8>, ClamdError> {
        let request = format!("zSCAN {path}\0");
        let sent = self.stream.write_all(request.as_bytes()).await;
        sent.map_err(ClamdError::Closed)?;
        let mut reply = self.read().await?;
        let number = format!("{}: ", self.asked_count);
        match reply.strip_prefix(number.as_bytes()) {
            Some(_) => Ok(reply.split_off(number.len())),
            None => Err(senseless(&reply)),
        }
    }

    /// Reads up to the reply's closing NUL, which must be the last byte there is.
    async fn read(&mut self) -> Result<Vec<u8>, ClamdError> {
        let mut reply = Vec::new();
        loop {
            let read = self.stream.read_buf(&mut reply).await;
            let length = read.map_err(ClamdError::Closed)?;
            match reply.iter().position(|byte| *byte == 0) {
                Some(end) if end + 1 == reply.len() => {
                    reply.pop();
                    return Ok(reply);
                }
                Some(_) => return Err(senseless(&reply)),
                None if length == 0 => return Err(cut()),
                None if reply.len() as u64 > MAX_REPLY => return Err(senseless(&reply)),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::model::Verdict;

    const WAIT: Duration = Duration::from_secs(1);

    /// Opens a session with a clamd that has these replies ready.
    async fn session(replies: &[u8]) -> (ClamdSession<DuplexStream>, DuplexStream) {
        let (near, mut far) = duplex(1 << 16);
        let session = ClamdSession::open(near).await.unwrap();
        far.write_all(replies).await.unwrap();
        (session, far)
    }

    #[tokio::test]
    async fn reply_with_the_request_s_number_is_taken() {
        let (mut session, mut far) = session(b"1: /scan/a: OK\0").await;
        let reply = session.scan("/scan/a", WAIT).await.unwrap();
        assert_eq!(reply.verdict, Verdict::Undetected);
        assert_eq!(reply.raw, b"/scan/a: OK");
        far.write_all(b"2: /scan/b: X FOUND\0").await.unwrap();
        let reply = session.scan("/scan/b", WAIT).await.unwrap();
        assert_eq!(reply.verdict.category(), "malicious");
        let mut asked = vec![0; 39];
        far.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, b"zIDSESSION\0zSCAN /scan/a\0zSCAN /scan/b\0");
    }

    #[tokio::test]
    async fn other_numbers_and_more_than_one_reply_are_refused() {
        for replies in [
            &b"2: /scan/a: OK\0"[..],
            b"/scan/a: OK\0",
            b"1: /scan/a: OK\x001: /scan/a: OK\0",
            b"COMMAND READ TIMED OUT\0",
        ] {
            let (mut session, _far) = session(replies).await;
            let lost = session.scan("/scan/a", WAIT).await;
            assert!(
                matches!(lost, Err(ClamdError::Senseless { .. })),
                "{lost:?}"
            );
            assert!(session.scan("/scan/a", WAIT).await.is_err());
        }
    }

    #[tokio::test]
    async fn cut_reply_is_no_answer() {
        let (mut session, far) = session(b"1: /scan/a: OK").await;
        drop(far);
        let lost = session.scan("/scan/a", WAIT).await;
        assert!(matches!(lost, Err(ClamdError::Closed(_))), "{lost:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn late_reply_is_not_taken_for_the_next_file_s() {
        let (mut session, mut far) = session(b"").await;
        let lost = session.scan("/scan/a", WAIT).await;
        assert!(matches!(lost, Err(ClamdError::Silent { .. })), "{lost:?}");
        far.write_all(b"1: /scan/a: OK\0").await.unwrap();
        assert!(session.scan("/scan/a", WAIT).await.is_err());
    }
}
