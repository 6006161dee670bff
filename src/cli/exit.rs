//! Exit codes as a type.

use std::process::ExitCode;

use crate::daemon::facts::CANNOT_CONFINE;

/// How a command ended, for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well: for `scan`, nothing detected and every engine answered.
    Fine,
    /// Something was detected or, in other commands, found wrong.
    Found,
    /// The command line or a file it names is wrong.
    Usage,
    /// Some engine did not answer for some file, or a file was not scanned.
    Incomplete,
    /// The process could not give up what it must not have; nothing was read.
    Unconfined,
    /// Ended by Ctrl-C.
    Interrupted,
}

impl Exit {
    /// Returns the number the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Found => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::Unconfined => CANNOT_CONFINE,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that is the caller's to mend: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
