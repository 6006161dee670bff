//! The words of the system, as plain data.
//!
//! Nothing here knows tokio, sled, axum or the clock: a value that needs the
//! present takes it as an argument.

mod analysis;
mod card;
mod control;
mod dispute;
mod engine;
mod hash;
mod incident;
mod item;
mod key;
mod label;
mod ledger;
mod notice;
mod party;
mod rescan;
mod signatures;
mod standing;
mod status;
mod time;
mod verdict;
mod view;

pub use analysis::{
    Analysis, AnalysisId, AnalysisStatus, InvalidAnalysisId, Job, JobId, Priority, Stats,
};
pub use card::{FileFacts, ReleaseCard, Signer, Verification};
pub use control::{Control, Reuse};
pub use dispute::{Dispute, DisputeState};
pub use engine::{EngineId, EngineVersions, InvalidEngineId, SignatureSetId};
pub use hash::{Digests, FileHash, InvalidHash, Md5, Sha1, Sha256};
pub use incident::{
    Comment, Entry, EntryKind, FileRequest, Incident, IncidentState, KeptReason, Side,
};
pub use item::{InvalidItemId, InvalidPath, Item, ItemFile, ItemId, ItemPath, PastFile, Trashed};
pub use key::{ApiKey, InvalidApiKey, KeyId, KeyRole};
pub use label::Label;
pub use ledger::{LEDGER_BEGIN, LedgerChain, LedgerEntry, LedgerFault, LedgerKind, LedgerLine};
pub use notice::{
    Attempt, Audience, Channel, Delivery, DeliveryState, Pace, QuietHours, Subscription,
};
pub use party::{
    InvalidPartyId, Profile, Publisher, PublisherId, Quota, Seat, SharePolicy, Usage, User, UserId,
    Vendor, VendorId,
};
pub use rescan::{Rescan, RescanShare};
pub use signatures::{
    About, CanaryReport, Event, EventKind, Evidence, Expected, LeftOut, Progress, SetSource,
    SetState, SignatureSet, SignatureStatus, Trigger, Update, UpdateOutcome, UpdatePhase,
};
pub use standing::{Detection, DetectionChange, Standing, StandingChange};
pub use status::{
    EngineState, EngineStatus, EngineTable, Family, OutsideStatus, ProbeCheck, Throughput,
};
pub use time::Timestamp;
pub use verdict::{Change, ChangeKind, DetectionName, EngineResult, RawOutputId, Verdict};
pub use view::{View, ViewPage};
