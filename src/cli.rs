//! The command line: a client of the HTTP API; only `serve` starts the daemon.

mod build;
mod check;
mod client;
mod disputes;
mod doctor;
mod engines;
mod exit;
mod facts;
mod history;
mod incidents;
mod items;
mod keys;
mod ledger;
mod notices;
mod people;
mod progress;
mod proof;
mod rescan;
mod scan;
mod settings;
mod signatures;
mod text;
mod walk;
mod wire;

use std::ffi::OsString;
use std::future::Future;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use self::client::{Client, ClientError};
use self::exit::{Exit, UsageError};
use self::settings::{Connection, Settings};
use self::text::{Paint, visible_lines};
use crate::config::DEFAULT_PATH;

/// A self-hosted VirusTotal Monitor: your software, every engine, on your own machine.
#[derive(Debug, Parser)]
#[command(
    name = "acquit",
    version,
    about,
    max_term_width = 100,
    args_override_self = true
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    #[command(flatten)]
    connection: Connection,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    /// The daemon's configuration
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Set by the environment variable of that name, to anything but nothing.
    #[arg(long, global = true, env = "NO_COLOR", hide = true)]
    no_color: Option<OsString>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Scan files and folders with every engine and print the verdicts
    #[command(after_help = scan::EXIT_CODES)]
    Scan(scan::ScanArguments),
    /// Show, build and test engines
    #[command(subcommand)]
    Engines(engines::EnginesCommand),
    /// Update signatures, roll them back, carry them elsewhere
    #[command(subcommand)]
    Signatures(signatures::SignaturesCommand),
    /// Look at every file again that engines have not seen with what they scan with now
    Rescan(rescan::RescanArguments),
    /// Show when engines changed their word on a file, and by which signatures
    Timeline(history::TimelineArguments),
    /// Put files and folders into a collection
    #[command(after_help = scan::EXIT_CODES)]
    Push(items::PushArguments),
    /// Get files of a collection
    Pull(items::PullArguments),
    /// List what is in a collection
    Ls(items::LsArguments),
    /// Move or rename an item of a collection
    Mv(items::MoveArguments),
    /// Copy an item of a collection
    Cp(items::MoveArguments),
    /// Move items of a collection to its trash
    Rm(items::RmArguments),
    /// List, restore or empty a collection's trash
    #[command(subcommand)]
    Trash(items::TrashCommand),
    /// Show or say what vendors are told of a file
    Details(items::DetailsArguments),
    /// Show or state a release card
    Card(items::CardArguments),
    /// Show or say what vendors may have
    Policy(items::PolicyArguments),
    /// Show what happened
    Events(history::EventsArguments),
    /// Work on detections of files in collections
    #[command(subcommand)]
    Incidents(incidents::IncidentsCommand),
    /// Have people and programs told of what happens
    #[command(subcommand)]
    Notifications(notices::NoticesCommand),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Show reports of false positives, and what became of them
    #[command(subcommand)]
    Disputes(disputes::DisputesCommand),
    /// Show what happened and what left, and prove that the ledger is whole
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Make, list, change and remove publishers, who own collections
    #[command(subcommand)]
    Publishers(people::PublishersCommand),
    /// Make, list, change and remove vendors, who make engines
    #[command(subcommand)]
    Vendors(people::VendorsCommand),
    /// Make, list and disable users, who sign in
    #[command(subcommand)]
    Users(people::UsersCommand),
    /// Find what is wrong with this machine and how to mend it
    Doctor,
    /// Check the configuration and print it with every default spelled out
    CheckConfig {
        /// Configuration to check instead of the one --config names
        file: Option<PathBuf>,
    },
    /// Run the daemon
    Serve,
    /// Run the only process that talks to Docker; the daemon or systemd starts it
    #[command(hide = true)]
    DockerBroker(build::BrokerArguments),
    /// Read what the file on standard input says of itself; the daemon starts it
    #[command(hide = true)]
    ReadFacts(facts::FactsArguments),
}

/// What every command needs to know.
#[derive(Debug)]
pub struct Context {
    connection: Connection,
    config: PathBuf,
    json: bool,
    no_color: bool,
    paint: Paint,
}

impl Context {
    /// Returns a client that has the patience asked for.
    fn client(&self) -> anyhow::Result<Client> {
        self.client_with(Duration::from_secs(self.connection.patience))
    }

    /// Returns a client for a person who waits.
    fn quick_client(&self) -> anyhow::Result<Client> {
        let patience = self.connection.patience.min(3);
        self.client_with(Duration::from_secs(patience))
    }

    fn client_with(&self, patience: Duration) -> anyhow::Result<Client> {
        Client::new(&Settings::resolve(&self.connection)?, patience)
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_scan = matches!(arguments.command, Command::Scan(_) | Command::Push(_));
    match dispatch(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("acquit: {}", visible_lines(&format!("{error:#}")));
            let advice = error.downcast_ref().and_then(ClientError::advice);
            if let Some(advice) = advice {
                eprintln!("acquit: hint: {advice}");
            }
            // A scan that could not be made must not read as one that detected something.
            match (error.is::<UsageError>(), is_scan) {
                (true, _) => Exit::Usage.into(),
                (false, true) => Exit::Incomplete.into(),
                (false, false) => Exit::Found.into(),
            }
        }
    }
}

fn dispatch(arguments: Arguments) -> anyhow::Result<Exit> {
    let Global {
        connection,
        json,
        config,
        no_color,
    } = arguments.global;
    let no_color = no_color.is_some_and(|value| !value.is_empty());
    let context = Context {
        connection,
        config,
        json,
        no_color,
        paint: Paint::stdout(no_color),
    };
    match arguments.command {
        Command::Scan(scan) => block_on(scan::run(&context, scan)),
        Command::Engines(command) => engines::run(&context, command),
        Command::Signatures(command) => block_on(signatures::run(&context, command)),
        Command::Rescan(rescan) => block_on(rescan::run(&context, rescan)),
        Command::Push(push) => block_on(items::push(&context, push)),
        Command::Pull(pull) => block_on(items::pull(&context, pull)),
        Command::Ls(ls) => block_on(items::ls(&context, ls)),
        Command::Mv(arguments) => block_on(items::relocate(&context, arguments, "move")),
        Command::Cp(arguments) => block_on(items::relocate(&context, arguments, "copy")),
        Command::Rm(rm) => block_on(items::rm(&context, rm)),
        Command::Trash(command) => block_on(items::trash(&context, command)),
        Command::Details(details) => block_on(items::details(&context, details)),
        Command::Card(card) => block_on(items::card(&context, card)),
        Command::Policy(policy) => block_on(items::policy(&context, policy)),
        Command::Timeline(timeline) => block_on(history::timeline(&context, timeline)),
        Command::Events(events) => block_on(history::events(&context, events)),
        Command::Incidents(command) => block_on(incidents::run(&context, command)),
        Command::Notifications(command) => block_on(notices::run(&context, command)),
        Command::Keys(command) => keys::run(&context, command),
        Command::Disputes(command) => block_on(disputes::run(&context, command)),
        Command::Ledger(command) => block_on(ledger::run(&context, command)),
        Command::Publishers(command) => block_on(people::publishers(&context, command)),
        Command::Vendors(command) => block_on(people::vendors(&context, command)),
        Command::Users(command) => block_on(people::users(&context, command)),
        Command::Doctor => block_on(doctor::run(&context)),
        Command::CheckConfig { file } => check::config(&context, file),
        Command::Serve => {
            log(context.no_color);
            crate::daemon::serve(&context.config).map(|()| Exit::Fine)
        }
        Command::DockerBroker(broker) => {
            log(context.no_color);
            build::broker(&context, &broker)
        }
        Command::ReadFacts(arguments) => facts::run(&arguments),
    }
}

fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let done = runtime.block_on(command);
    // A thread that still walks a slow disk is not waited for.
    runtime.shutdown_background();
    done
}

/// Starts the log of a process that stays, on standard error; `RUST_LOG` says how much of it.
fn log(no_color: bool) {
    let level = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_ansi(!no_color && std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}
