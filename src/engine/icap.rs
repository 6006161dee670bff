//! An ICAP client (RFC 3507): a file is shown as the body of an HTTP response, and judged by the
//! server.
//!
//! ```text
//! OPTIONS ──→ how long a preview, what is allowed, what the server scans with (ISTag)
//! RESPMOD ──→ preview ─→ 204, 200: the answer
//!                └────→ 100 ─→ the rest ─→ 204, 200: the answer
//! ```
//!
//! What the parser reads is the answer's head, a blank line, and the head of the
//! HTTP message in it. The body that comes back is only followed to its end: an
//! answer that is cut off anywhere is none. One that comes before the server had
//! the whole file, without a preview that allows it, gets the code 1, so that it
//! can detect and never acquit.

mod options;
mod respmod;

pub use options::Options;
pub use respmod::modify;

/// Where a service is, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Host and port, for the request line and the field `Host`.
    pub authority: String,
    /// The service's path, without the first slash.
    pub path: String,
    /// Fields of the request beside those that ICAP needs.
    pub fields: Vec<(String, String)>,
}

impl Service {
    /// Begins a request.
    fn head(&self, method: &str) -> String {
        let (authority, path) = (&self.authority, &self.path);
        let mut head = format!("{method} icap://{authority}/{path} ICAP/1.0\r\n");
        head.push_str(&format!("Host: {authority}\r\nUser-Agent: Acquit\r\n"));
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }
}
