//! `acquit keys …`: API keys, made by the daemon or, the first one, without it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::segment;
use super::exit::{Exit, UsageError};
use super::settings::{ADMIN_KEY, read_key};
use super::text::{emit, emit_json, table, visible};
use super::wire::Object;
use super::{Context, block_on};
use crate::config::Config;
use crate::model::ApiKey;

/// What to do with API keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Make a key and show it, once
    Create {
        /// What it is for; made of role and party if absent
        name: Option<String>,
        /// What it may do
        #[arg(long, value_enum, default_value_t)]
        role: Role,
        /// Publisher whose collection it is about
        #[arg(long, value_name = "ID")]
        publisher: Option<String>,
        /// Vendor it is of
        #[arg(long, value_name = "ID", conflicts_with = "publisher")]
        vendor: Option<String>,
        /// When it ceases to work: 2027-01-31T12:00:00Z, or a span like 12h, 90d, 8w, 1y
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// List keys, without the keys themselves
    List,
    /// Make a key useless, for good
    Revoke {
        /// The key's first 8 digits, as `keys list` shows them
        id: String,
    },
    /// Make the first admin key, without the daemon; keeps one that is there
    Init {
        /// Where to write the key
        #[arg(long, value_name = "FILE", default_value = ADMIN_KEY)]
        out: PathBuf,
        /// What the key is called
        #[arg(long, default_value = "admin")]
        name: String,
    },
}

/// What a key may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything, also engines and keys.
    Admin,
    /// Upload, look up and download, and what concerns its publisher's collection.
    #[default]
    Publisher,
    /// Look up; no upload, no download, no change.
    Viewer,
    /// What the vendor's engines detect now, of publishers who consent.
    Vendor,
}

impl Role {
    /// Returns the role's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Publisher => "publisher",
            Self::Viewer => "viewer",
            Self::Vendor => "vendor",
        }
    }
}

/// Carries out a command.
///
/// # Errors
/// If it cannot be.
pub fn run(context: &Context, command: KeysCommand) -> anyhow::Result<Exit> {
    match command {
        KeysCommand::Create {
            name,
            role,
            publisher,
            vendor,
            expires,
        } => {
            let party = publisher.as_deref().or(vendor.as_deref());
            let derived = party.map_or_else(
                || role.as_str().to_owned(),
                |id| format!("{} {id}", role.as_str()),
            );
            let order = json!({
                "name": name.unwrap_or(derived), "role": role.as_str(),
                "publisher": publisher, "vendor": vendor, "expires": expires,
            });
            block_on(create(context, order))
        }
        KeysCommand::List => block_on(list(context)),
        KeysCommand::Revoke { id } => block_on(revoke(context, &id)),
        KeysCommand::Init { out, name } => init(context, &out, &name),
    }
}

async fn create(context: &Context, attributes: Value) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let body = json!({ "data": { "type": "key", "attributes": attributes } });
    let request = client.request(Method::POST, &client.url("acquit/keys"));
    let answer = client.once(request.json(&body)).await?;
    let key = answer
        .pointer("/data/attributes/apikey")
        .and_then(Value::as_str);
    let key = key.ok_or_else(|| client.garbled("there is no key in it"))?;
    if context.json {
        let made: Object<Value> = serde_json::from_value(answer["data"].clone())?;
        emit_json(&document(made))?;
    } else {
        eprintln!("This key is shown only now; the server keeps a hash of it:");
        emit(&format!("{}\n", visible(key)))?;
    }
    Ok(Exit::Fine)
}

async fn list(context: &Context) -> anyhow::Result<Exit> {
    let keys: Vec<Object<Value>> = context.quick_client()?.list("acquit/keys").await?;
    if context.json {
        let keys: Vec<Value> = keys.into_iter().map(document).collect();
        emit_json(&json!({ "keys": keys }))?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    let head = [
        "KEY",
        "ROLE",
        "OF",
        "MADE",
        "ENDS",
        "LAST USED",
        "STATE",
        "NAME",
    ];
    emit(&table(context.paint, &head, &rows))?;
    Ok(Exit::Fine)
}

fn document(key: Object<Value>) -> Value {
    let mut object = key.attributes;
    if let Some(object) = object.as_object_mut() {
        object.insert("id".to_owned(), key.id.into());
    }
    object
}

fn row(key: &Object<Value>) -> Vec<String> {
    let text = |name: &str| visible(key.attributes[name].as_str().unwrap_or("-"));
    let day = |name: &str| {
        let at = key.attributes[name].as_i64();
        let at = at.and_then(|at| jiff::Timestamp::from_second(at).ok());
        at.map_or_else(|| "-".to_owned(), |at| at.strftime("%F").to_string())
    };
    let party = ["publisher", "vendor"].map(|name| key.attributes[name].as_str());
    let party = party.into_iter().flatten().next().unwrap_or("-");
    let state = match key.attributes["status"].as_str() {
        Some("active") => "in use".to_owned(),
        _ => text("status"),
    };
    vec![
        visible(&key.id),
        text("role"),
        visible(party),
        day("creation_date"),
        day("expiration_date"),
        day("last_use_date"),
        state,
        text("name"),
    ]
}

async fn revoke(context: &Context, id: &str) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let url = client.url(&format!("acquit/keys/{}", segment(id)));
    let answer = client.once(client.request(Method::DELETE, &url)).await;
    let answer = answer.with_context(|| format!("cannot revoke key {id}"))?;
    if context.json {
        emit_json(&answer)?;
    } else {
        emit(&format!("key {id} is revoked\n"))?;
    }
    Ok(Exit::Fine)
}

/// Makes the first key: the key itself for root, its digest for the daemon.
fn init(context: &Context, out: &Path, name: &str) -> anyhow::Result<Exit> {
    if !is_plain(name) {
        let message = "a key's name has 1 to 40 letters, digits, - or _".to_owned();
        return Err(UsageError(message).into());
    }
    let config = match context.config.exists() {
        true => Config::load(&context.config)?,
        false => Config::default(),
    };
    let (key, fresh) = match out.exists() {
        true => (read_key(out)?, false),
        false => (write_key(out)?, true),
    };
    let digests = write_digest(&config.storage.data_dir, &key, name)?;
    let (id, out) = (key.id(), out.display());
    if context.json {
        let file = out.to_string();
        emit_json(&json!({ "id": id, "file": file, "made": fresh, "digest_file": digests }))?;
    } else if fresh {
        emit(&format!(
            "made admin key {id} in {out}; the daemon takes it up when it starts\n"
        ))?;
    } else {
        emit(&format!("kept admin key {id} that is in {out}\n"))?;
    }
    Ok(Exit::Fine)
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=40).contains(&name.len()) && name.bytes().all(plain)
}

fn write_key(out: &Path) -> anyhow::Result<ApiKey> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(|error| anyhow::anyhow!("no random bits: {error}"))?;
    let key = ApiKey::new(bits);
    let context = || format!("cannot write the key file {}", out.display());
    if let Some(dir) = out.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).with_context(context)?;
    }
    // `create_new` follows no link that somebody left there.
    let mut file = OpenOptions::new();
    let mut file = file
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .with_context(context)?;
    writeln!(file, "{}", key.reveal()).with_context(context)?;
    file.sync_all().with_context(context)?;
    Ok(key)
}

/// Leaves the key's digest where the daemon finds it, owned like the data directory.
fn write_digest(data_dir: &Path, key: &ApiKey, name: &str) -> anyhow::Result<PathBuf> {
    let dir = data_dir.join("keys.d");
    let path = dir.join(format!("{name}.sha256"));
    let context = || format!("cannot write {}", path.display());
    let owner = std::fs::metadata(data_dir).with_context(|| {
        let data_dir = data_dir.display();
        format!("there is no data directory {data_dir}; make it or name it by --config")
    })?;
    match std::fs::create_dir(&dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(context);
        }
        _ => {}
    }
    let line = format!("{} {} {name}\n", key.id(), key.digest());
    let fresh = dir.join(format!(".{name}.{}", std::process::id()));
    let mut file = OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600);
    let mut file: File = file.open(&fresh).with_context(context)?;
    let written = file
        .write_all(line.as_bytes())
        .and_then(|()| file.sync_all());
    written
        .and_then(|()| std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)))
        .and_then(|()| own(&dir, &owner))
        .and_then(|()| own(&fresh, &owner))
        .and_then(|()| std::fs::rename(&fresh, &path))
        .and_then(|()| File::open(&dir)?.sync_all())
        .with_context(context)?;
    Ok(path)
}

fn own(path: &Path, like: &std::fs::Metadata) -> std::io::Result<()> {
    std::os::unix::fs::lchown(path, Some(like.uid()), Some(like.gid()))
}
