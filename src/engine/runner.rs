//! The daemon's end of the wire to `acquit-runner`.
//!
//! Each engine has one socket, a [`RunnerPort`], that all its containers dial:
//! they keep a few idle connections here, and a [`Session`] is the use of one of
//! them for one exchange. What comes over it comes out of a container that may
//! be in the hands of a hostile file, so everything is bounded and nothing is
//! believed that does not fit.
//!
//! ```text
//! accepted ─ Hello ─→ idle ─ session() ─→ in use ─ whole answer ─→ idle
//!    │ late, wrong      │ forget(), gone     │ dropped half-way, misbehaved
//!    └───────→ closed ←─┴────────────────────┘  (the runner kills the command)
//! ```

mod pool;
mod port;
mod session;
mod wire;

pub use port::RunnerPort;
pub use session::{DialError, Exec, Finished, Heard, Session, SessionLost};

#[cfg(test)]
mod tests;
