//! Which server to ask and with which key.
//!
//! A key goes only where it belongs: the one in the client file to the server
//! in the client file, the machine's admin key to this machine.

use std::path::{Path, PathBuf};

use anyhow::Context;
use reqwest::Url;
use serde::Deserialize;

use super::exit::UsageError;
use crate::model::ApiKey;

/// Server unless told otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8440";
/// Where the installer leaves the first key.
///
/// Another place can be named in `ACQUIT_ADMIN_KEY`, for a machine with more than one appliance.
pub const ADMIN_KEY: &str = "/etc/acquit/admin.key";

/// What the command line and the environment say of it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Connection {
    /// Server to ask [default: http://127.0.0.1:8440]
    #[arg(
        long,
        global = true,
        env = "ACQUIT_SERVER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub server: Option<String>,
    /// File with the API key
    #[arg(long, global = true, value_name = "FILE")]
    pub apikey_file: Option<PathBuf>,
    /// API key; hidden, because other users can read a command line.
    #[arg(
        long,
        global = true,
        env = "ACQUIT_APIKEY",
        hide = true,
        hide_env_values = true
    )]
    pub apikey: Option<String>,
    /// Client file with `server` and `apikey`.
    #[arg(long, global = true, env = "ACQUIT_CLIENT_CONFIG", hide = true)]
    pub client_config: Option<PathBuf>,
    /// Seconds to keep trying when the server does not answer
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = 60,
        hide_short_help = true
    )]
    pub patience: u64,
}

/// The client file, `~/.config/acquit/client.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClientFile {
    server: Option<String>,
    apikey: Option<String>,
}

/// Which server to ask and with which key.
#[derive(Debug)]
pub struct Settings {
    /// The server's address without a path.
    pub server: Url,
    /// The key, if one was found.
    pub key: Option<ApiKey>,
    /// Where the key was found or would have been looked for.
    pub key_source: String,
}

impl Settings {
    /// Puts together what was said on the command line, in the environment and in files.
    ///
    /// # Errors
    /// If an address, a key or a file is unusable.
    pub fn resolve(connection: &Connection) -> anyhow::Result<Self> {
        let (file, file_path) = client_file(connection.client_config.as_deref())?;
        let wanted = connection.server.as_deref().filter(|url| !url.is_empty());
        let server = wanted.or(file.server.as_deref()).unwrap_or(DEFAULT_SERVER);
        let server = parse_server(server)?;
        let own = match &file.server {
            Some(own) => parse_server(own)?.origin() == server.origin(),
            None => true,
        };
        let in_file = file.apikey.as_deref().filter(|_| own);
        let (key, key_source) =
            find_key(connection, &server, in_file.map(|key| (key, &*file_path)))?;
        Ok(Self {
            server,
            key,
            key_source,
        })
    }

    /// Tells whether the server is this machine.
    pub fn is_local(&self) -> bool {
        is_local(&self.server)
    }
}

fn parse_server(text: &str) -> anyhow::Result<Url> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let bad = |why: &str| {
        let example = "say e.g. https://acquit.example.org or http://127.0.0.1:8440";
        UsageError(format!("{text:?} is no server address ({why}); {example}"))
    };
    let url = Url::parse(&with_scheme).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("it must begin with http:// or https://").into());
    }
    Ok(url)
}

/// Tells whether an address is one of this machine's own.
fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn client_file(given: Option<&Path>) -> anyhow::Result<(ClientFile, PathBuf)> {
    let usual = std::env::home_dir().map(|home| home.join(".config/acquit/client.toml"));
    let Some(path) = given.map(Path::to_path_buf).or(usual) else {
        return Ok((ClientFile::default(), PathBuf::new()));
    };
    if given.is_none() && !path.exists() {
        return Ok((ClientFile::default(), path));
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| UsageError(format!("cannot read {}: {error}", path.display())))?;
    // TOML's own message would quote the line, and with it perhaps the key.
    let file = toml::from_str(&text).map_err(|error: toml::de::Error| {
        let message = error.message();
        UsageError(format!("in {}: {message}", path.display()))
    })?;
    Ok((file, path))
}

fn find_key(
    connection: &Connection,
    server: &Url,
    in_file: Option<(&str, &Path)>,
) -> anyhow::Result<(Option<ApiKey>, String)> {
    if let Some(path) = &connection.apikey_file {
        let key = read_key(path)?;
        return Ok((Some(key), path.display().to_string()));
    }
    if let Some(text) = connection.apikey.as_deref().filter(|text| !text.is_empty()) {
        return Ok((
            Some(parse_key(text, "ACQUIT_APIKEY")?),
            "ACQUIT_APIKEY".to_owned(),
        ));
    }
    if let Some((text, path)) = in_file {
        let source = path.display().to_string();
        return Ok((Some(parse_key(text, &source)?), source));
    }
    let admin = std::env::var_os("ACQUIT_ADMIN_KEY");
    let admin = admin.map_or_else(|| PathBuf::from(ADMIN_KEY), PathBuf::from);
    if is_local(server) && nix::unistd::geteuid().is_root() && admin.exists() {
        return Ok((Some(read_key(&admin)?), admin.display().to_string()));
    }
    Ok((None, String::new()))
}

/// Reads a key from a file.
///
/// # Errors
/// If the file cannot be read or holds no key.
pub fn read_key(path: &Path) -> anyhow::Result<ApiKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the API key file {}", path.display()))?;
    parse_key(&text, &path.display().to_string())
}

fn parse_key(text: &str, source: &str) -> anyhow::Result<ApiKey> {
    let invalid = |error| UsageError(format!("in {source}: {error}"));
    Ok(text.trim().parse().map_err(invalid)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(server: &str, local: bool) {
        assert_eq!(is_local(&parse_server(server).unwrap()), local);
    }

    #[test]
    fn only_loopback_is_this_machine() {
        check("http://127.0.0.1:8440", true);
        check("localhost:1", true);
        check("http://[::1]:8440", true);
        check("http://127.0.0.1.example.org", false);
        check("https://10.0.0.1", false);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert!(parse_server("ftp://x").is_err());
        assert!(parse_server("http://").is_err());
        assert!(parse_server("a b").is_err());
    }

    #[test]
    fn key_of_the_client_file_stays_with_its_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.toml");
        let key = "ab".repeat(32);
        let text = format!("server = \"https://a.example\"\napikey = \"{key}\"\n");
        std::fs::write(&path, text).unwrap();
        let mut connection = Connection {
            client_config: Some(path),
            ..Connection::default()
        };
        assert!(Settings::resolve(&connection).unwrap().key.is_some());
        connection.server = Some("https://b.example".to_owned());
        assert!(Settings::resolve(&connection).unwrap().key.is_none());
    }
}
