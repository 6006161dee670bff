//! `acquit publishers|vendors|users …`: who owns collections, who makes engines, who signs in.

mod party;

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::Context;
use super::exit::{Exit, UsageError};
use super::keys::Role;
use party::Kind;

/// Longest password file that is read, in bytes.
const PASSWORD_BYTES: u64 = 4096;

/// What to do with publishers.
#[derive(Debug, clap::Subcommand)]
pub enum PublishersCommand {
    /// Make a publisher and print its id
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        what: PublisherOptions,
        /// Its id; made of the name if absent
        #[arg(long)]
        id: Option<String>,
    },
    /// List publishers
    List,
    /// Show a publisher
    Show {
        /// Its id
        id: String,
    },
    /// Change what is known of a publisher; what is not named stays
    Edit {
        /// Its id
        id: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        what: PublisherOptions,
    },
    /// Remove a publisher whose collection is empty; its keys are revoked
    Remove {
        /// Its id
        id: String,
    },
}

/// What is said of a publisher.
#[derive(Debug, clap::Args)]
pub struct PublisherOptions {
    /// Where its people are written to; may be given more than once
    #[arg(long = "email", value_name = "ADDRESS")]
    emails: Vec<String>,
    /// What vendors may have of its files
    #[arg(long, value_enum)]
    policy: Option<Policy>,
    /// Bytes it may keep, or `none`
    #[arg(long, value_name = "BYTES", value_parser = limit)]
    quota_bytes: Option<Limit>,
    /// Files it may keep, or `none`
    #[arg(long, value_name = "COUNT", value_parser = limit)]
    quota_files: Option<Limit>,
}

/// A limit, or that there is none.
#[derive(Clone, Copy, Debug)]
pub struct Limit(Option<u64>);

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        text => match text.parse() {
            Ok(limit) => Ok(Limit(Some(limit))),
            Err(_) => Err("a whole number or `none` is needed".to_owned()),
        },
    }
}

/// What vendors may have.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Policy {
    /// Nothing: to vendors the files do not exist.
    Never,
    /// Hashes, detection, release card, history.
    MetadataOnly,
    /// The file too, once a request is granted.
    FileOnRequest,
    /// The file too.
    File,
}

impl Policy {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::MetadataOnly => "metadata-only",
            Self::FileOnRequest => "file-on-request",
            Self::File => "file",
        }
    }
}

impl PublisherOptions {
    fn put(self, order: &mut Map<String, Value>) {
        if !self.emails.is_empty() {
            order.insert("emails".to_owned(), self.emails.into());
        }
        if let Some(policy) = self.policy {
            order.insert("policy".to_owned(), policy.as_str().into());
        }
        let limits = [
            ("quota_bytes", self.quota_bytes),
            ("quota_files", self.quota_files),
        ];
        for (name, Limit(limit)) in limits.into_iter().filter_map(|(n, l)| Some((n, l?))) {
            order.insert(name.to_owned(), limit.into());
        }
    }
}

/// What to do with vendors.
#[derive(Debug, clap::Subcommand)]
pub enum VendorsCommand {
    /// Make a vendor and print its id
    Create {
        /// Its name
        name: String,
        /// Its engines, by id
        #[arg(long = "engine", value_name = "ID", required = true, num_args = 1..)]
        engines: Vec<String>,
        /// Where its analysts are written to; may be given more than once
        #[arg(long = "email", value_name = "ADDRESS")]
        emails: Vec<String>,
        /// Its id; made of the name if absent
        #[arg(long)]
        id: Option<String>,
    },
    /// List vendors
    List,
    /// Show where vendors take false positives, and how
    Directory,
    /// Show a vendor
    Show {
        /// Its id
        id: String,
    },
    /// Change what is known of a vendor; what is not named stays
    Edit {
        /// Its id
        id: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// All its engines, by id
        #[arg(long = "engine", value_name = "ID", num_args = 1..)]
        engines: Vec<String>,
        /// All addresses its analysts are written to
        #[arg(long = "email", value_name = "ADDRESS")]
        emails: Vec<String>,
    },
    /// Remove a vendor; its keys are revoked
    Remove {
        /// Its id
        id: String,
    },
}

/// What to do with users.
#[derive(Debug, clap::Subcommand)]
pub enum UsersCommand {
    /// Make a user and print the id to sign in with; the password is asked for
    Create {
        /// Their name
        name: String,
        /// What they may do
        #[arg(long, value_enum, default_value_t)]
        role: Role,
        /// Publisher whose collection it is about
        #[arg(long, value_name = "ID")]
        publisher: Option<String>,
        /// Vendor they are of
        #[arg(long, value_name = "ID", conflicts_with = "publisher")]
        vendor: Option<String>,
        /// Their address of mail
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// The id to sign in with; made of the name if absent
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        password: Password,
    },
    /// List users
    List,
    /// Let a user sign in no more; sessions end at once
    Disable {
        /// Their id
        id: String,
    },
    /// Let a user sign in again
    Enable {
        /// Their id
        id: String,
    },
    /// Give a user another password; sessions end at once
    Password {
        /// Their id
        id: String,
        #[command(flatten)]
        password: Password,
    },
}

/// Where a password comes from: never from the command line, which other users can read.
#[derive(Debug, clap::Args)]
pub struct Password {
    /// File whose first line is the password; standard input if absent
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Password {
    fn read(&self) -> anyhow::Result<String> {
        let mut line = String::new();
        match &self.password_file {
            Some(path) => {
                let context = || format!("cannot read {}", path.display());
                let file = std::fs::File::open(path).with_context(context)?;
                let file = std::io::Read::take(file, PASSWORD_BYTES);
                let read = std::io::BufReader::new(file).read_line(&mut line);
                read.with_context(context)?;
            }
            None => {
                if std::io::stdin().is_terminal() {
                    eprint!("Password (it is shown as you type): ");
                }
                let stdin = std::io::stdin().lock();
                std::io::Read::take(stdin, PASSWORD_BYTES).read_line(&mut line)?;
            }
        }
        let password = line.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            let message = "no password was given: write one on a line of standard input";
            return Err(UsageError(message.to_owned()).into());
        }
        Ok(password.to_owned())
    }
}

const PUBLISHERS: Kind = Kind {
    what: "publisher",
    path: "acquit/publishers",
    columns: &[
        ("POLICY", "policy"),
        ("FILES", "used_files"),
        ("BYTES", "used_bytes"),
        ("NAME", "name"),
    ],
};
const VENDORS: Kind = Kind {
    what: "vendor",
    path: "acquit/vendors",
    columns: &[("ENGINES", "engines"), ("MAIL", "emails"), ("NAME", "name")],
};
const USERS: Kind = Kind {
    what: "user",
    path: "acquit/users",
    columns: &[
        ("ROLE", "role"),
        ("PUBLISHER", "publisher"),
        ("VENDOR", "vendor"),
        ("MAIL", "email"),
        ("LAST SIGN-IN", "last_login_date"),
        ("DISABLED", "disabled_date"),
        ("NAME", "name"),
    ],
};

/// Carries out a command about publishers.
///
/// # Errors
/// If it cannot be.
pub async fn publishers(context: &Context, command: PublishersCommand) -> anyhow::Result<Exit> {
    match command {
        PublishersCommand::Create { name, what, id } => {
            let mut order = named(Some(name), id);
            what.put(&mut order);
            PUBLISHERS.create(context, order).await
        }
        PublishersCommand::List => PUBLISHERS.list(context).await,
        PublishersCommand::Show { id } => PUBLISHERS.show(context, &id).await,
        PublishersCommand::Edit { id, name, what } => {
            let mut order = named(name, None);
            what.put(&mut order);
            PUBLISHERS.edit(context, &id, order).await
        }
        PublishersCommand::Remove { id } => PUBLISHERS.remove(context, &id).await,
    }
}

/// Carries out a command about vendors.
///
/// # Errors
/// If it cannot be.
pub async fn vendors(context: &Context, command: VendorsCommand) -> anyhow::Result<Exit> {
    let put = |mut order: Map<String, Value>, engines: Vec<String>, emails: Vec<String>| {
        for (name, values) in [("engines", engines), ("emails", emails)] {
            if !values.is_empty() {
                order.insert(name.to_owned(), values.into());
            }
        }
        order
    };
    match command {
        VendorsCommand::Create {
            name,
            engines,
            emails,
            id,
        } => {
            let order = put(named(Some(name), id), engines, emails);
            VENDORS.create(context, order).await
        }
        VendorsCommand::List => VENDORS.list(context).await,
        VendorsCommand::Directory => super::disputes::directory(context).await,
        VendorsCommand::Show { id } => VENDORS.show(context, &id).await,
        VendorsCommand::Edit {
            id,
            name,
            engines,
            emails,
        } => {
            let order = put(named(name, None), engines, emails);
            VENDORS.edit(context, &id, order).await
        }
        VendorsCommand::Remove { id } => VENDORS.remove(context, &id).await,
    }
}

/// Carries out a command about users.
///
/// # Errors
/// If it cannot be.
pub async fn users(context: &Context, command: UsersCommand) -> anyhow::Result<Exit> {
    let one = |name: &str, value: Value| Map::from_iter([(name.to_owned(), value)]);
    match command {
        UsersCommand::Create {
            name,
            role,
            publisher,
            vendor,
            email,
            id,
            password,
        } => {
            let mut order = named(Some(name), id);
            order.insert("role".to_owned(), role.as_str().into());
            let texts = [
                ("publisher", publisher),
                ("vendor", vendor),
                ("email", email),
            ];
            for (name, text) in texts.into_iter().filter_map(|(n, t)| Some((n, t?))) {
                order.insert(name.to_owned(), text.into());
            }
            order.insert("password".to_owned(), password.read()?.into());
            USERS.create(context, order).await
        }
        UsersCommand::List => USERS.list(context).await,
        UsersCommand::Disable { id } => {
            let order = one("disabled", true.into());
            USERS.edit(context, &id, order).await
        }
        UsersCommand::Enable { id } => {
            let order = one("disabled", false.into());
            USERS.edit(context, &id, order).await
        }
        UsersCommand::Password { id, password } => {
            let order = one("password", password.read()?.into());
            USERS.edit(context, &id, order).await
        }
    }
}

fn named(name: Option<String>, id: Option<String>) -> Map<String, Value> {
    let texts = [("name", name), ("id", id)];
    let texts = texts
        .into_iter()
        .filter_map(|(key, text)| Some((key, text?)));
    texts
        .map(|(key, text)| (key.to_owned(), text.into()))
        .collect()
}
