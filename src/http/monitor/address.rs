//! Which item a URL names, and what of it.
//!
//! `vt-cli` puts ids into the URL as they are, slashes included, others escape them; so everything
//! after the collection's path is taken, and a known ending is cut off. No canonical id can be an
//! id and an ending: the slash of the ending would begin a group of base64 whose first byte is in
//! no UTF-8 text.

use super::super::App;
use super::super::auth::Caller;
use super::super::error::ApiError;
use crate::model::{Item, ItemId};

/// Splits what follows the collection's path into an id and one of the endings, if there is one.
///
/// A slash at the end may be the last letter of an id or one too many: it is the first if that
/// makes an id.
///
/// # Errors
/// If there is no id in it.
pub fn split<'a>(
    rest: &'a str,
    endings: &[&'static str],
) -> Result<(ItemId, Option<&'static str>), ApiError> {
    let trimmed = rest.strip_suffix('/').unwrap_or(rest);
    if let Some(id) = canonical(rest).or_else(|| canonical(trimmed)) {
        return Ok((id, None));
    }
    let cut = |ending: &&'static str| -> Option<(&'a str, &'static str)> {
        let id = trimmed.strip_suffix(*ending)?.strip_suffix('/')?;
        Some((id, *ending))
    };
    // `relationships/owner` goes before `owner`.
    match endings
        .iter()
        .filter_map(cut)
        .min_by_key(|(id, _)| id.len())
    {
        Some((id, ending)) => Ok((parse(id)?, Some(ending))),
        None => Ok((parse(rest).or_else(|_| parse(trimmed))?, None)),
    }
}

/// Reads an id that is written as we write it.
fn canonical(text: &str) -> Option<ItemId> {
    let id = text.parse::<ItemId>().ok()?;
    (id.to_string() == text).then_some(id)
}

/// Reads an id.
///
/// # Errors
/// If it is none.
pub fn parse(id: &str) -> Result<ItemId, ApiError> {
    id.parse::<ItemId>()
        .map_err(|error| ApiError::invalid_argument(error.to_string()))
}

/// Reads an item the caller may look at.
///
/// # Errors
/// If it is not there, or not for the caller.
pub fn find(app: &App, caller: &Caller, id: &ItemId) -> Result<Item, ApiError> {
    check(caller, id)?;
    let item = app.api.collections.get(id);
    let item = item.map_err(|error| super::refusal::of(error, id))?;
    item.ok_or_else(|| missing(id))
}

/// Refuses ids in collections the caller may not look at, as if nothing were there.
///
/// # Errors
/// If the caller may not.
pub fn check(caller: &Caller, id: &ItemId) -> Result<(), ApiError> {
    if caller.may_see(&id.publisher) {
        Ok(())
    } else {
        Err(missing(id))
    }
}

/// Refuses callers who may look at a collection and neither change it nor have its bytes.
///
/// # Errors
/// If the caller is one.
pub fn check_bytes(caller: &Caller, id: &ItemId) -> Result<(), ApiError> {
    if caller.may_change(&id.publisher) {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "this key may not have the bytes of files",
    ))
}

/// Says that there is no such item; the same whether it is not there or another's.
pub fn missing(id: &ItemId) -> ApiError {
    ApiError::not_found(format!("Monitor item \"{id}\" not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDINGS: &[&str] = &["owner", "download", "relationships/owner"];

    #[track_caller]
    fn check(rest: &str, path: &str, expected: Option<&str>) {
        let (id, ending) = split(rest, ENDINGS).unwrap();
        assert_eq!((id.path.as_str(), ending), (path, expected), "{rest}");
    }

    #[test]
    fn ids_with_slashes_and_endings_are_told_apart() {
        check("dnRtb25pdG9yLXYxOi8vYWNtZS94L3kuZXhl", "/x/y.exe", None);
        check(
            "dnRtb25pdG9yLXYxOi8vYWNtZS94L3kuZXhl/owner",
            "/x/y.exe",
            Some("owner"),
        );
        check(
            "dnRtb25pdG9yLXYxOi8vYWNtZS94L3kuZXhl/relationships/owner",
            "/x/y.exe",
            Some("relationships/owner"),
        );
        check(
            "dnRtb25pdG9yLXYxOi8vYWNtZS/ml6XmnKwuZXhl",
            "/日本.exe",
            None,
        );
        check(
            "dnRtb25pdG9yLXYxOi8vYWNtZS_ml6XmnKwuZXhl/",
            "/日本.exe",
            None,
        );
        check(
            "dnRtb25pdG9yLXYxOi8vYWNtZS/ml6XmnKwuZXhl/download",
            "/日本.exe",
            Some("download"),
        );
        check("dnRtb25pdG9yLXYxOi8vYWNtZS9h", "/a", None);
        check(
            "dnRtb25pdG9yLXYxOi8vYWNtZS9hYg==/owner",
            "/ab",
            Some("owner"),
        );
        check("dnRtb25pdG9yLXYxOi8vYWNtZS9hYg/owner", "/ab", Some("owner"));
    }

    #[test]
    fn id_may_end_with_a_slash_itself() {
        let (question, letter) = (
            "dnRtb25pdG9yLXYxOi8vYWNtZS9hYmM/",
            "dnRtb25pdG9yLXYxOi8vYWNtZS940YjQuNC/",
        );
        for (id, path) in [(question, "/abc?"), (letter, "/xшип")] {
            check(id, path, None);
            check(&format!("{id}/"), path, None);
            check(&id.replace('/', "_"), path, None);
            check(&format!("{}_/", &id[..id.len() - 1]), path, None);
            check(&format!("{id}/download"), path, Some("download"));
            check(&format!("{id}/owner/"), path, Some("owner"));
        }
        check("dnRtb25pdG9yLXYxOi8vYWNtZS9hYmM=", "/abc", None);
        check("dnRtb25pdG9yLXYxOi8vYWNtZS9hYmM=/", "/abc", None);
        check("dnRtb25pdG9yLXYxOi8vYWNtZS9hYmM", "/abc", None);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for rest in [
            "",
            "x",
            "owner",
            "dnRtb25p/nothing",
            "dnRtb25pdG9yLXYxOi8vYWNtZS9hLy4uL2I=",
        ] {
            assert!(split(rest, ENDINGS).is_err(), "{rest}");
        }
    }
}
