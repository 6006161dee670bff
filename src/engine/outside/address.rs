//! Where a server is: `icap://host:1344/service`, `tcp://host:port`, `unix:///path`,
//! `https://host`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tokio::net::{TcpStream, UnixStream};

use super::tls::Tls;
use crate::engine::talk::{Broken, Wire};

/// Text that is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address of a server: write icap://host:1344/service, tcp://host:port, \
     unix:///path, http://host:port or https://host"
)]
pub struct InvalidAddress {
    text: String,
}

/// Where a server is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    scheme: Scheme,
    host: String,
    port: u16,
    path: String,
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// ICAP over TCP.
    Icap,
    /// ICAP over TLS.
    Icaps,
    /// Lines over TCP.
    Tcp,
    /// Anything over a socket of this machine.
    Unix,
    /// HTTP over TCP.
    Http,
    /// HTTP over TLS.
    Https,
}

const SCHEMES: [(&str, Scheme, u16); 6] = [
    ("icap", Scheme::Icap, 1344),
    ("icaps", Scheme::Icaps, 11_344),
    ("tcp", Scheme::Tcp, 0),
    ("unix", Scheme::Unix, 0),
    ("http", Scheme::Http, 80),
    ("https", Scheme::Https, 443),
];

impl Address {
    /// Returns how it is spoken to.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns host and port as protocols name them.
    pub fn authority(&self) -> String {
        match self.scheme {
            Scheme::Unix => "localhost".to_owned(),
            Scheme::Http | Scheme::Https if self.port == self.usual_port() => self.host.clone(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// Returns what stands behind the host's first slash.
    pub fn path(&self) -> &str {
        self.path.trim_start_matches('/')
    }

    fn usual_port(&self) -> u16 {
        let mut known = SCHEMES.iter();
        let found = known.find(|(_, scheme, _)| *scheme == self.scheme);
        found.map_or(0, |(_, _, port)| *port)
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let wrong = || InvalidAddress {
            text: text.to_owned(),
        };
        let (name, rest) = text.split_once("://").ok_or_else(wrong)?;
        let mut known = SCHEMES.iter();
        let found = known.find(|(known, _, _)| *known == name);
        let (_, scheme, usual) = found.ok_or_else(wrong)?;
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(slash);
        let plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}@?#".contains(c);
        if !text.chars().all(plain) || path.split('/').any(|part| part == "..") {
            return Err(wrong());
        }
        let (host, port) = split_port(authority);
        let port = port.map(str::parse).transpose().map_err(|_| wrong())?;
        let address = Self {
            scheme: *scheme,
            host: host.to_owned(),
            port: port.unwrap_or(*usual),
            path: path.to_owned(),
        };
        address.fits().then_some(address).ok_or_else(wrong)
    }
}

impl Address {
    fn fits(&self) -> bool {
        let has_path = self.path.len() > 1;
        match self.scheme {
            Scheme::Unix => self.host.is_empty() && self.port == 0 && has_path,
            Scheme::Icap | Scheme::Icaps => !self.host.is_empty() && self.port > 0 && has_path,
            Scheme::Tcp | Scheme::Http | Scheme::Https => {
                !self.host.is_empty() && self.port > 0 && !has_path
            }
        }
    }
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut known = SCHEMES.iter();
        let found = known.find(|(_, scheme, _)| *scheme == self.scheme);
        let name = found.map_or("", |(name, _, _)| *name);
        match self.scheme {
            Scheme::Unix => write!(f, "{name}://{}", self.path),
            _ => write!(f, "{name}://{}:{}{}", self.host, self.port, self.path),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How connections to a server are made.
#[derive(Debug)]
pub struct Reach {
    address: Address,
    tls: Option<Tls>,
}

impl Reach {
    /// Makes ready what connections need.
    ///
    /// # Errors
    /// Says why TLS cannot be spoken.
    pub fn new(address: &Address) -> Result<Self, String> {
        let tls = match address.scheme {
            Scheme::Icaps | Scheme::Https => Some(Tls::new(address.host.trim_matches(['[', ']']))?),
            Scheme::Icap | Scheme::Tcp | Scheme::Unix | Scheme::Http => None,
        };
        Ok(Self {
            address: address.clone(),
            tls,
        })
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// If nobody listens, or somebody else.
    pub async fn dial(&self) -> Result<Wire, Broken> {
        let lost = |error: std::io::Error| {
            let address = &self.address;
            Broken::Lost(format!("{address} does not answer: {error}"))
        };
        if self.address.scheme == Scheme::Unix {
            let path = PathBuf::from(&self.address.path);
            let stream = UnixStream::connect(path).await.map_err(lost)?;
            return Ok(Box::new(stream));
        }
        let host = self.address.host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.address.port)).await;
        let stream = stream.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        match &self.tls {
            Some(tls) => tls.over(stream).await.map_err(lost),
            None => Ok(Box::new(stream)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for (text, written, authority) in [
            (
                "icap://av.example:1344/avscan",
                "icap://av.example:1344/avscan",
                "av.example:1344",
            ),
            (
                "icap://av.example/avscan",
                "icap://av.example:1344/avscan",
                "av.example:1344",
            ),
            (
                "icaps://av.example/x",
                "icaps://av.example:11344/x",
                "av.example:11344",
            ),
            (
                "tcp://127.0.0.1:4010",
                "tcp://127.0.0.1:4010",
                "127.0.0.1:4010",
            ),
            ("unix:///run/x.sock", "unix:///run/x.sock", "localhost"),
            ("https://av.example", "https://av.example:443", "av.example"),
            ("http://[::1]:8080", "http://[::1]:8080", "[::1]:8080"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), written);
            assert_eq!(address.authority(), authority);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "av.example",
            "ftp://x",
            "tcp://x",
            "tcp://x:0",
            "tcp://x:99999",
            "tcp://x:1/y",
            "icap://x",
            "icap://x/",
            "icap:///y",
            "unix://x/y",
            "unix:///",
            "http://u:p@x",
            "http://x/y",
            "icap://x/a b",
            "icap://x/../y",
            "icap://x/{y}",
            "tcp://x:1\r\ny:2",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
