//! The words of the system, as plain data.
//!
//! Nothing here knows tokio, sled, axum or the clock: a value that needs the
//! present takes it as an argument.

mod analysis;
mod control;
mod engine;
mod hash;
mod key;
mod rescan;
mod signatures;
mod status;
mod time;
mod verdict;

pub use analysis::{
    Analysis, AnalysisId, AnalysisStatus, InvalidAnalysisId, Job, JobId, Priority, Stats,
};
pub use control::{Control, Reuse};
pub use engine::{EngineId, EngineVersions, InvalidEngineId, SignatureSetId};
pub use hash::{Digests, FileHash, InvalidHash, Md5, Sha1, Sha256};
pub use key::{ApiKey, InvalidApiKey, KeyId, KeyRole};
pub use rescan::{Rescan, RescanShare};
pub use signatures::{
    CanaryReport, Event, EventKind, Evidence, Expected, LeftOut, Progress, SetSource, SetState,
    SignatureSet, SignatureStatus, Trigger, Update, UpdateOutcome, UpdatePhase,
};
pub use status::{EngineState, EngineStatus, EngineTable, ProbeCheck};
pub use time::Timestamp;
pub use verdict::{Change, ChangeKind, DetectionName, EngineResult, RawOutputId, Verdict};
