//! Acquit: a self-hosted VirusTotal Monitor. This page is the map of the code.
//!
//! # Bird's eye view
//!
//! ```text
//! upload → blob → item → analysis → jobs ─ per engine ─→ resident container → raw output → verdict
//!                                                                                             │
//!   API ←── notification ←── dispute ←── incident ←── standing changed ←── analysis complete ←┘
//! ```
//!
//! One daemon keeps publishers' collections, shows their files read-only to
//! antivirus engines that run each in a container of its own, and turns what each
//! prints into one verdict. What an engine falsely detects is an incident: the
//! publisher and that one vendor are told, until the same engine is silent again.
//! The rows in the store are the truth; every wake-up is only a hint, so that
//! start-up and crash recovery are the same code.
//!
//! # Stages
//!
//! | stage | reads | writes | code |
//! |---|---|---|---|
//! | take in | a request's body | a blob, an analysis, jobs | [`flow::ingest`], [`flow::analysis`] |
//! | gather | parts of a file that comes over many requests | `uploads/`, until it is whole | [`flow::uploads`] |
//! | place | an upload, a collection | items, holds, usage | [`flow::collection`] |
//! | let go | blobs whose last hold may be gone | rows and files go, ledger lines | [`flow::doom`] |
//! | queue | jobs | leases, in memory | [`flow::queue`] |
//! | scan | leased jobs, blobs | verdicts | [`flow::scan`], [`engine::ask`] |
//! | record | verdicts | results, analyses, timelines; jobs go | [`flow::analysis`], [`flow::timeline`] |
//! | compare | a completed analysis | standings, tags, incidents | [`flow::standing`], [`flow::incident`] |
//! | label | what engines call a blob | one family name | [`flow::label`] |
//! | tell | events | deliveries, ledger lines | [`flow::notify`] |
//! | dispute | incidents, policies, the directory of vendors | packages, mail | [`flow::dispute`] |
//! | read | blobs of collections, in a process of its own | what they say of themselves | [`flow::facts`] |
//! | keep fit | images, containers | the board of engines | [`flow::keeper`], [`flow::gate`] |
//! | look out | servers outside | the board of engines | [`flow::lookout`] |
//! | update | sources, the active set | candidate sets | [`engine::updater`], [`nightly::worker`] |
//! | prove | a candidate, known files | active or rejected sets, events | [`nightly::canary`], [`nightly::sets`] |
//! | rescan | blobs, what engines saw of them | analyses behind interactive ones | [`nightly::rescan`] |
//!
//! # Code map
//!
//! - [`model`]: the words, pure data.
//! - [`store`]: blobs as files, the rest as typed rows; one writer, durable groups.
//! - [`engine`]: a manifest ([`engine::manifest`]), the sandbox its container runs in
//!   ([`engine::sandbox`], the only door to Docker), the container's owner
//!   ([`engine::resident`]), the wire into it ([`engine::runner`], [`engine::clamd`]), the
//!   protocols of servers, there or elsewhere ([`engine::speech`], [`engine::outside`]), what is
//!   shown to it ([`engine::staging`]), what its answers mean ([`engine::parser`]), its signature
//!   sets on disk ([`engine::signatures`]) and what fetches them ([`engine::updater`]).
//! - [`flow`]: the way of a file. [`nightly`]: what happens without anybody asking.
//! - [`http`]: VirusTotal's API v3. [`cli`]: a client of it. [`daemon`]: puts all together.
//! - `web/`, a package of its own: the pages, a client of the API in the daemon's process; [`http`]
//!   hands it the API's router and serves what it makes.
//! - `runner/`, a package of its own: `acquit-runner`, the first process of every scan
//!   container; it needs nothing of the image and dials the daemon.
//!
//! # Invariants
//!
//! - No container has both a private file and a network.
//! - A candidate set sees known files only; only one that passed, or an administrator, puts it
//!   into service.
//! - No verdict is invented: [`model::Verdict`] has no default, `undetected` needs the positive
//!   proof its engine's manifest names, and what is not understood is a failure.
//! - A blob never changes; its path is its hash.
//! - A verdict names the engine version, image and signature set that gave it.
//! - Bytes leave only through notifications, disputes, downloads and, with the operator's consent
//!   in a manifest, to engines outside ([`flow::scan`]), each written to the ledger first; what a
//!   vendor may have is decided in [`flow::policy`] and nowhere else.
//! - A route without a rule is refused; what a caller may not see does not exist for it.
//! - `kill -9` and power cuts cost at most the running scans, which run again.
//! - [`model`], the parsers, the sandbox policy and the queue's rules take `now` as an argument.
//! - What parses HTTP cannot reach Docker: only the broker has its socket, and it builds every
//!   container request itself.
//! - Every list is bounded; memory grows neither with a file nor with the collection.
//!
//! # Walkthrough: a file is uploaded
//!
//! [`http`] streams the body into [`store::Incoming`], which hashes while it writes.
//! [`flow::ingest::Ingest::accept`] gives the blob its name and, in one change, opens the
//! analysis and puts one job per enabled engine into its lane; answers that are known already
//! for the same bytes, image and signature set are taken over instead. Each engine's slots
//! ([`flow::scan::Scanner`]) lease a batch, hard-link it into the engine's staging directory,
//! and have `acquit-runner` start the engine's command once for the whole batch. The parser
//! gives a verdict per file; files without an answer are asked again in smaller batches until
//! the bad one stands alone. [`flow::analysis::Recorder`] writes results, analysis and lane in
//! one change; the last answer completes the analysis and wakes whoever waits.
//!
//! # Walkthrough: a night
//!
//! [`nightly::clock`] says that an engine is due. Its [`nightly::worker`] writes the update down
//! and has [`engine::updater`] run the update command in a container that has a network and a copy
//! of the active set, made of hard links it cannot write through. Once that container is gone its
//! files become a candidate set, named after their digest: the active one's name means that there
//! is nothing new. [`nightly::canary`] shows the candidate known files, in a container of its own.
//! If it may serve, a second scan container warms up on it, the change is written down, and
//! [`engine::resident`] swaps the two; the old one ends with the work it has. The board now shows
//! another set, so [`nightly::rescan`] opens analyses of the files this engine has not seen with
//! it, and [`flow::timeline`] notes for each what it says otherwise than before.
//!
//! # Walkthrough: a false positive
//!
//! The last answer of the rescan completes an analysis, and in the same change
//! [`flow::standing`] compares it with what was known of the blob: this engine detects now.
//! [`flow::incident`] opens one incident for each publisher that holds the blob, and
//! [`flow::events`] writes down that it did. From there [`flow::notify`] decides who is told, as
//! rows again; mail and webhooks leave after their line is in the ledger. The vendor's account
//! sees the hash because [`flow::policy`] says that its engine detects it and the owner
//! consents. Its comment goes into the incident's thread. Another update comes, another rescan;
//! the engine calls the file clean with a newer set, which resolves the incident, and the hash
//! is gone from the vendor's view in the same change.
//!
//! # Walkthrough: a container dies
//!
//! The runner's connection closes, so the batch has no answers: its files go into smaller
//! batches, and the container's end (out of memory, exit code) becomes the reason should one of
//! them turn out to be the cause. The container is retired; the next lease starts another, which
//! the [`engine::resident`] meets by its generation. If Docker itself is gone the jobs wait.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod flow;
pub mod http;
pub mod metrics;
pub mod model;
pub mod nightly;
pub mod store;
pub mod system;
