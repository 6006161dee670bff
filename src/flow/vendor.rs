//! What vendors do: find their own detections, comment on them, ask for files.
//!
//! Whatever a vendor names is looked up through [`policy::sight`], again within
//! the change that acts on it: once the engine is silent, the policy says
//! otherwise or the item is gone, it does not exist for the vendor any more. A
//! blob that is hidden and one that was never here go the same way and end in
//! [`VendorError::Hidden`]; only how many rows are read before differs.

pub mod comments;
pub mod daily;
pub mod requests;
mod walk;

pub use walk::{Found, Ignored, Selection, hashes, may_see_group};

use crate::flow::policy::{self, Sight};
use crate::model::{Comment, EngineId, Sha256, Timestamp, Vendor, VendorId};
use crate::store::{COMMENTS, Change, Read, STANDINGS, Store, StoreError, VENDORS};

/// Why a vendor, or who answers it, cannot have or do something.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// For the vendor it does not exist.
    #[error("not found")]
    Hidden,
    /// It may not.
    #[error("{0}")]
    Forbidden(String),
    /// It has been done already.
    #[error("{0}")]
    Exists(String),
    /// A value is not as it should be.
    #[error("{0}")]
    Invalid(String),
    /// Too much that the vendor may not see lies before what it may.
    #[error("the list takes too long to read now; name one engine, or try again later")]
    TooMuch,
    /// The rows could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who acts for a vendor, and when.
#[derive(Clone, Debug)]
pub struct Analyst {
    /// For which vendor.
    pub vendor: VendorId,
    /// Id of the key or user.
    pub actor: String,
    /// The present.
    pub now: Timestamp,
}

/// Reads a vendor's row.
///
/// # Errors
/// If there is no such vendor any more.
pub fn find(read: &impl Read, id: &VendorId) -> Result<Vendor, VendorError> {
    let gone = || VendorError::Forbidden("this key's vendor is not here any more".to_owned());
    read.row(&VENDORS, id)?.ok_or_else(gone)
}

/// Returns what a vendor may have of a blob now.
///
/// # Errors
/// If for the vendor there is no such blob.
pub fn see(read: &impl Read, vendor: &Vendor, sha256: &Sha256) -> Result<Sight, VendorError> {
    policy::sight(read, vendor, sha256)?.ok_or(VendorError::Hidden)
}

/// Tells whether a vendor stands by an engine's detection, which takes it off its list.
///
/// What was confirmed of an earlier detection says nothing of one that began since.
///
/// # Errors
/// If the store fails.
pub fn is_ignored(
    read: &impl Read,
    sha256: &Sha256,
    engine: &EngineId,
) -> Result<bool, StoreError> {
    let comment = read.row(&COMMENTS, &(*sha256, engine.clone()))?;
    let Some(comment) = comment.filter(|comment| comment.confirmed) else {
        return Ok(false);
    };
    let standing = read.row(&STANDINGS, sha256)?.unwrap_or_default();
    let detection = standing.detections.get(engine);
    Ok(detection.is_some_and(|detection| comment.at >= detection.since))
}

/// Takes of a comment what was true of an earlier detection alone, if there is another now: that
/// the vendor stands by it, and in what it is fixed.
///
/// # Errors
/// If the store fails.
pub fn of_now(
    read: &impl Read,
    (sha256, engine): &(Sha256, EngineId),
    comment: Comment,
) -> Result<Comment, StoreError> {
    let standing = read.row(&STANDINGS, sha256)?.unwrap_or_default();
    let detection = standing.detections.get(engine);
    if detection.is_none_or(|detection| comment.at >= detection.since) {
        return Ok(comment);
    }
    Ok(Comment {
        confirmed: false,
        fixed_in: None,
        ..comment
    })
}

/// Makes a change that may be refused; a refusal must come before the first write.
async fn act<T, F>(store: &Store, change: F) -> Result<T, VendorError>
where
    T: Send + 'static,
    F: FnOnce(&mut Change<'_>) -> Result<T, VendorError> + Send + 'static,
{
    let done = store.write(move |rows| match change(rows) {
        Err(VendorError::Store(error)) => Err(error),
        done => Ok(done),
    });
    done.await?
}

/// Makes text of a stranger's harmless to show: no control characters but line ends, not too long.
fn clean(text: &str, chars: usize) -> String {
    let keep = |c: char| c == '\n' || !(c.is_control() || steers(c));
    let clean = text.trim().chars().filter(|c| keep(*c));
    clean.take(chars).collect()
}

/// Tells whether a character makes a reader see text otherwise than it is.
const fn steers(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
