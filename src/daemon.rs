//! Puts the parts together, runs them, and takes them down again.
//!
//! Start-up and crash recovery are the same code: leases are only in memory,
//! so every job waits again; staging is swept; containers of ours are taken
//! over where they are still what would be made today, and removed where not.

pub mod facts;
pub mod fleet;
pub mod monitor;
pub mod night;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::engine::sandbox::Sandbox;
use crate::flow::collection::Collections;
use crate::flow::ingest::Ingest;
use crate::flow::notify::Notifier;
use crate::flow::queue::Lanes;
use crate::http::{self, Api};
use crate::metrics::Metrics;
use crate::model::{Control, EngineTable};
use crate::nightly::{Rescanner, Rescans, license, rescan};
use crate::store::Store;
use crate::system;

use fleet::Fleet;
use monitor::Monitor;

/// How long running work may take to end after the daemon was told to.
const GRACE: Duration = Duration::from_secs(20);
/// Threads of the runtime: the work is in the engines.
const THREADS: usize = 2;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// Says what could not be opened, or which stage ended by itself.
pub fn serve(config_path: &Path) -> anyhow::Result<()> {
    let config = Config::load(config_path)?;
    system::tighten_umask();
    let broker = Broker::open(&config, config_path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(run(config, broker));
    // Blocking reads of a client that went away must not hold the exit back.
    runtime.shutdown_timeout(Duration::from_secs(2));
    served
}

/// Where the broker is.
#[derive(Debug)]
enum Broker {
    /// A child of ours, at the other end of a socket pair.
    Child(UnixStream),
    /// A unit of its own, listening.
    Unit(PathBuf),
}

impl Broker {
    /// Finds the broker; as root, starts it and then stops being root.
    fn open(config: &Config, config_path: &Path) -> anyhow::Result<Self> {
        let docker = &config.docker;
        if !system::is_root() {
            system::confine(&docker.socket)?;
            return Ok(Self::Unit(docker.broker_socket.clone()));
        }
        own_data_dir(&config.storage.data_dir, &docker.user)?;
        let stream = system::spawn_broker(config_path)?;
        system::drop_privileges(&docker.user, &stream, &docker.socket)?;
        Ok(Self::Child(stream))
    }

    fn connect(self) -> anyhow::Result<Sandbox> {
        match self {
            Self::Child(stream) => Sandbox::adopt(stream).context("cannot talk to the broker"),
            Self::Unit(path) => Ok(Sandbox::connect_path(&path)),
        }
    }
}

/// Makes the data directory and gives it to the daemon's user.
fn own_data_dir(data_dir: &Path, user: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot make the data directory {}", data_dir.display()))?;
    let found = nix::unistd::User::from_name(user)?;
    let found = found.with_context(|| {
        format!("there is no user {user}; create it with `useradd --system {user}`")
    })?;
    nix::unistd::chown(data_dir, Some(found.uid), Some(found.gid))
        .with_context(|| format!("cannot give {} to user {user}", data_dir.display()))
}

/// The stages, each a named task.
struct Stages {
    tasks: JoinSet<&'static str>,
    shutdown: CancellationToken,
}

async fn run(config: Config, broker: Broker) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let data_dir = config.storage.data_dir.clone();
    let _lock = system::lock_data_dir(&data_dir)?;
    let store = Store::open(&data_dir, config.storage.cache_mb << 20)
        .with_context(|| format!("cannot open the store in {}", data_dir.display()))?;
    http::import_keys(&store, &data_dir, system::now()).await?;
    let sandbox = broker.connect()?;
    let broker = sandbox.clone();
    let metrics = Metrics::new().context("cannot register the metrics")?;
    let lanes = Lanes::open(store.clone())?;
    let (completed, _) = broadcast::channel(1024);
    let mut stages = Stages {
        tasks: JoinSet::new(),
        shutdown: CancellationToken::new(),
    };
    let parts = fleet::Parts {
        config: Arc::clone(&config),
        store: store.clone(),
        lanes: lanes.clone(),
        metrics: metrics.clone(),
        completed: completed.clone(),
        sandbox,
    };
    let fleet = Fleet::open(parts).await?;
    let engines = fleet.board().subscribe();
    let reserve_mb = config.storage.reserve_mb;
    let ingest = Ingest::new(store.clone(), lanes.clone(), engines.clone(), reserve_mb);
    let (rescanner, rescans) = Rescanner::new(rescan::Parts {
        store: store.clone(),
        ingest: ingest.clone(),
        lanes,
        engines: engines.clone(),
        metrics: metrics.clone(),
    });
    let collections = Collections::new(store.clone(), ingest.clone(), Arc::clone(&config));
    let notifier = Notifier::open(Arc::clone(&config), store.clone(), metrics.clone())?;
    let monitor = Monitor {
        notifier: Arc::new(notifier),
        config: Arc::clone(&config),
        store: store.clone(),
        collections: collections.clone(),
        metrics: metrics.clone(),
        ingest: ingest.clone(),
        engines: engines.clone(),
    };
    let (control, orders) = mpsc::channel(16);
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.http.listen))?;
    let api = Api {
        config,
        store,
        ingest,
        collections,
        metrics,
        engines,
        control,
        desk: fleet.desk(),
        completed,
    };
    stages.watch_licenses(api.store.clone(), api.engines.clone());
    stages.http(api, listener);
    stages.rescan(rescanner);
    monitor.run(&mut stages.tasks, &stages.shutdown);
    stages.obey(orders, rescans, &fleet);
    fleet.run(&mut stages.tasks, &stages.shutdown);
    stages.watch_broker(broker);
    stages.feed_watchdog();
    system::notify_ready();
    stages.run_until(system::termination()).await
}

impl Stages {
    fn http(&mut self, api: Api, listener: TcpListener) {
        let shutdown = self.shutdown.clone();
        info!("Listening on {}", api.config.http.listen);
        self.tasks.spawn(async move {
            if let Err(error) = http::serve(api, listener, shutdown).await {
                tracing::error!(error = format!("{error:#}"), "The HTTP API ended");
            }
            "http"
        });
    }

    /// Warns before licenses end.
    fn watch_licenses(&mut self, store: Store, engines: watch::Receiver<EngineTable>) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            shutdown
                .run_until_cancelled(license::watch(store, engines))
                .await;
            "licenses"
        });
    }

    /// Ends the daemon with a broker that cannot be had back: root is gone, nobody can start one.
    fn watch_broker(&mut self, broker: Sandbox) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            shutdown.run_until_cancelled(broker.closed()).await;
            "broker"
        });
    }

    /// Tells systemd that the runtime still turns.
    fn feed_watchdog(&mut self) {
        let Some(interval) = system::watchdog_interval() else {
            return;
        };
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            while !shutdown.is_cancelled() {
                system::notify_alive();
                shutdown
                    .run_until_cancelled(tokio::time::sleep(interval))
                    .await;
            }
            "watchdog"
        });
    }

    /// Has files looked at again that an engine has not seen with what it scans with now.
    fn rescan(&mut self, rescanner: Rescanner) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            rescanner.run(&shutdown).await;
            "rescans"
        });
    }

    /// Carries out what administrators ask.
    fn obey(&mut self, mut orders: mpsc::Receiver<Control>, rescans: Rescans, fleet: &Fleet) {
        let (shutdown, engines) = (self.shutdown.clone(), fleet.engines());
        let lookouts = fleet.lookouts();
        self.tasks.spawn(async move {
            while let Some(Some(order)) = shutdown.run_until_cancelled(orders.recv()).await {
                match order {
                    Control::Rescan { engine, reuse } => rescans.order(engine, reuse),
                    Control::Restart { engine } => {
                        if let Some(wanted) = lookouts.get(&engine) {
                            wanted.notify_one();
                        }
                        if let Some(engine) = engines.get(&engine) {
                            engine.resident.retire_current().await;
                        }
                    }
                }
            }
            "orders"
        });
    }

    async fn run_until(mut self, signal: impl Future<Output = ()>) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = signal => None,
            ended = self.tasks.join_next() => ended,
        };
        info!("Stopping");
        system::notify_stopping();
        self.shutdown.cancel();
        let drain = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(GRACE, drain).await.is_err() {
            warn!(
                stages = self.tasks.len(),
                "Grace period over, aborting the remaining stages"
            );
        }
        match ended {
            None => Ok(()),
            Some(Ok(name)) => bail!("stage {name} ended by itself"),
            Some(Err(error)) => Err(anyhow::Error::new(error).context("a stage panicked")),
        }
    }
}
