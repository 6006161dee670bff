//! The head of an ICAP or HTTP message: a status line and fields, up to a blank line.

use tokio::io::AsyncRead;

use super::{Broken, Ear, text};

/// Longest head.
pub const MAX_HEAD: usize = 64 << 10;

/// A head as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number in its status line.
    pub status: u16,
    /// Its bytes, with every line's end but without the blank line.
    pub bytes: Vec<u8>,
    fields: Vec<(String, String)>,
}

impl Head {
    /// Reads a head that begins with a protocol's name, e.g. `ICAP/`.
    ///
    /// # Errors
    /// If it is cut off, too long, or something else.
    pub async fn read(
        ear: &mut Ear<impl AsyncRead + Unpin>,
        protocol: &str,
    ) -> Result<Self, Broken> {
        let mut bytes = Vec::new();
        loop {
            let line = ear.line().await?;
            if !line.ends_with(b"\n") {
                return match line.ends_with(&[0]) {
                    true => Err(Broken::senseless("a line ends with NUL", &line)),
                    false => Err(Broken::ended("the head of the answer")),
                };
            }
            if text(&line).is_empty() {
                break;
            }
            bytes.extend_from_slice(&line);
            if bytes.len() > MAX_HEAD {
                return Err(Broken::Senseless(
                    "the head of the answer has no end".to_owned(),
                ));
            }
        }
        Self::parse(bytes, protocol)
    }

    /// Understands a head that is there as a whole.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse(bytes: Vec<u8>, protocol: &str) -> Result<Self, Broken> {
        let decoded = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = decoded.lines();
        let first = lines.next().unwrap_or_default();
        let status = status(first, protocol)
            .ok_or_else(|| Broken::senseless("no status line", first.as_bytes()))?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            if let (true, Some(last)) = (line.starts_with([' ', '\t']), fields.last_mut()) {
                // A field goes on in the next line.
                last.1.push(' ');
                last.1.push_str(line.trim());
                continue;
            }
            let field = line.split_once(':');
            let (name, value) =
                field.ok_or_else(|| Broken::senseless("no field of a head", line.as_bytes()))?;
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Self {
            status,
            bytes,
            fields,
        })
    }

    /// Returns a field's value; of several the first. Names are written small.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    /// Tells how often a field stands there.
    pub fn count(&self, name: &str) -> usize {
        self.fields
            .iter()
            .filter(|(known, _)| known == name)
            .count()
    }

    /// Tells whether a word is in the list that is a field's value.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        let fields = self.fields.iter().filter(|(known, _)| known == name);
        let mut words = fields.flat_map(|(_, value)| value.split(','));
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    }

    /// Returns a field's value as a number.
    ///
    /// # Errors
    /// If it is there and none.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Broken> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok())?
        };
        self.field(name)
            .map(|text| {
                number(text).ok_or_else(|| {
                    Broken::senseless(&format!("{name} is no number"), text.as_bytes())
                })
            })
            .transpose()
    }
}

fn status(line: &str, protocol: &str) -> Option<u16> {
    let mut words = line.strip_prefix(protocol)?.splitn(3, ' ');
    let version = words.next()?;
    let status = words.next()?;
    let legal = |c: char| c.is_ascii_digit() || c == '.';
    let fits = !version.is_empty() && version.chars().all(legal) && status.len() == 3;
    fits.then(|| status.parse().ok())?
        .filter(|status| (100..1000).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Head, Broken> {
        Head::read(&mut Ear::new(bytes), "ICAP/").await
    }

    #[tokio::test]
    async fn fields_are_read_and_go_on_in_the_next_line() {
        let head =
            read(b"ICAP/1.0 200 OK\r\nX-Violations-Found: 1\r\n\tfile\r\nAllow: 204, 206\r\n\r\n");
        let head = head.await.unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.field("x-violations-found"), Some("1 file"));
        assert!(head.lists("allow", "204") && !head.lists("allow", "20"));
        assert!(head.bytes.ends_with(b"206\r\n"));
    }

    #[tokio::test]
    async fn what_is_cut_or_no_head_is_told() {
        for (bytes, said) in [
            (&b"ICAP/1.0 200 OK\r\nX: y\r\n"[..], "ended before the head"),
            (b"", "ended before the head"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "no status line"),
            (b"ICAP/1.0 2000 OK\r\n\r\n", "no status line"),
            (b"ICAP/1.0\r\n\r\n", "no status line"),
            (b"\r\n", "no status line"),
            (b"ICAP/1.0 200 OK\r\nnonsense\r\n\r\n", "no field of a head"),
            (b"ICAP/1.0 200 OK\0\r\n\r\n", "ends with NUL"),
        ] {
            let error = read(bytes).await.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let endless = [&b"ICAP/1.0 200 OK\r\n"[..], &b"X: y\r\n".repeat(20_000)].concat();
        let error = read(&endless).await.unwrap_err().to_string();
        assert!(error.contains("has no end"), "{error}");
    }
}
