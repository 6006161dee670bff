//! What is there for a caller: a blob is, if one whom the caller speaks for brought it here.

use super::Caller;
use crate::http::now;
use crate::model::{KeyRole, Sha256};
use crate::store::{Change, GRANTS, HOLDERS, Read, StoreError};

/// Whom a blob is there for: a publisher, a user, or a key that is nobody's in particular.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant(String);

impl Grant {
    /// Writes down that a blob came from there.
    ///
    /// # Errors
    /// If the store fails.
    pub fn give(self, change: &mut Change<'_>, sha256: &Sha256) -> Result<(), StoreError> {
        let row = (*sha256, self.0);
        if change.get(&GRANTS, &row)?.is_none() {
            change.put(&GRANTS, &row, &now())?;
        }
        Ok(())
    }

    /// Returns the grant as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Caller {
    /// Returns for whom a blob is that the caller brings.
    ///
    /// A session ends; what came in it stays the user's, whose ids a key's could be mistaken for.
    pub fn grant(&self) -> Grant {
        Grant(match (&self.0.seat.publisher, &self.0.user) {
            (Some(publisher), _) => format!("p:{publisher}"),
            (None, Some(user)) => format!("u:{user}"),
            (None, None) => format!("k:{}", self.0.holder()),
        })
    }

    /// Tells whether the caller sees what is anybody's.
    pub const fn sees_all(&self) -> bool {
        match self.role() {
            KeyRole::Admin => true,
            KeyRole::Viewer => self.0.seat.publisher.is_none(),
            KeyRole::Publisher | KeyRole::Vendor => false,
        }
    }

    /// Tells whether a blob is there for the caller.
    ///
    /// Vendors have routes of their own; here nothing is there for them.
    ///
    /// # Errors
    /// If the store fails.
    pub fn sees_blob(&self, read: &impl Read, sha256: &Sha256) -> Result<bool, StoreError> {
        Ok(self.sees_all() || self.owns_blob(read, sha256)?)
    }

    /// Tells whether the caller, or the publisher it speaks for, brought a blob.
    ///
    /// # Errors
    /// If the store fails.
    pub fn owns_blob(&self, read: &impl Read, sha256: &Sha256) -> Result<bool, StoreError> {
        if self.role() == KeyRole::Vendor {
            return Ok(false);
        }
        if let Some(publisher) = &self.0.seat.publisher {
            let held = read.row(&HOLDERS, &(*sha256, publisher.clone()))?;
            if held.is_some() {
                return Ok(true);
            }
        }
        // A key that was given to a publisher keeps what it brought before.
        let own = format!("k:{}", self.0.holder());
        for grant in [self.grant().0, own] {
            if read.row(&GRANTS, &(*sha256, grant))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
