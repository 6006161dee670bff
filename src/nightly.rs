//! What happens without anybody asking: signatures are updated, proven and put
//! into service, and then every file is looked at again.
//!
//! ```text
//! clock ──→ update container ──→ candidate ──→ canary ──→ promotion ──→ rescan
//!              │ nothing new        │ refused
//!              ▼                    ▼
//!            unchanged            rejected: the old set stays
//! ```

pub mod bundle;
pub mod canary;
pub mod clock;
pub mod courses;
pub mod desk;
pub mod license;
pub mod rescan;
pub mod sets;
pub mod update;
pub mod worker;

pub use desk::{Desk, Refusal};
pub use rescan::{Rescanner, Rescans};
