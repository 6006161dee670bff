//! Who asks: API keys, their roles, and the first key the installer leaves.
//!
//! A key is looked up by its public id and compared by digest in constant time.
//! An unknown key and a wrong one get the same answer after the same work.

mod pace;
mod reads;
mod rights;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use axum::Extension;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;
use tracing::{info, warn};

pub use reads::Looks;

use super::connection::Peer;
use super::error::ApiError;
use super::people::{session, signin};
use super::{App, access, now};
use crate::model::{
    ApiKey, KeyId, KeyRole, LedgerEntry, PublisherId, Seat, Sha256, Timestamp, VendorId,
};
use crate::store::{KEYS, KeyRow, Store, USERS};

/// Most files read from `keys.d`.
const KEY_FILES: usize = 100;

/// The key a request was made with.
#[derive(Clone, Debug)]
pub struct Caller(pub KeyRow);

impl Caller {
    /// Tells whether the key may do everything.
    pub const fn is_admin(&self) -> bool {
        matches!(self.role(), KeyRole::Admin)
    }

    /// Returns what the key may do.
    pub const fn role(&self) -> KeyRole {
        self.0.seat.role
    }

    /// Returns who acts, for events and the ledger: the user, or the key; not the session.
    pub fn actor(&self) -> String {
        match &self.0.user {
            Some(user) => user.to_string(),
            None => self.0.holder().to_string(),
        }
    }

    /// Returns whose collection a request is about that names none, or names one by `named`.
    ///
    /// # Errors
    /// If the caller has no collection and named none, or named one it may not see.
    pub fn publisher(&self, named: Option<&str>) -> Result<PublisherId, ApiError> {
        let own = self.0.seat.publisher.clone();
        let Some(named) = named.filter(|named| !named.is_empty()) else {
            return own.ok_or_else(|| {
                ApiError::bad_request(
                    "this key belongs to no publisher: name one as owner=<publisher>",
                )
            });
        };
        let publisher = named.parse::<PublisherId>();
        let publisher = publisher.map_err(|e| ApiError::invalid_argument(e.to_string()))?;
        if self.may_see(&publisher) {
            Ok(publisher)
        } else {
            Err(ApiError::not_found(format!(
                "publisher {named:?} not found"
            )))
        }
    }

    /// Tells whether the caller may look at a publisher's collection.
    pub fn may_see(&self, publisher: &PublisherId) -> bool {
        let Seat {
            role,
            publisher: own,
            ..
        } = &self.0.seat;
        match role {
            KeyRole::Admin => true,
            KeyRole::Viewer => own.as_ref().is_none_or(|own| own == publisher),
            KeyRole::Publisher => own.as_ref() == Some(publisher),
            KeyRole::Vendor => false,
        }
    }

    /// Tells whether the caller may change a publisher's collection, and have its bytes.
    pub fn may_change(&self, publisher: &PublisherId) -> bool {
        matches!(self.role(), KeyRole::Admin | KeyRole::Publisher) && self.may_see(publisher)
    }

    /// Returns the vendor a vendor's key is of.
    ///
    /// # Errors
    /// If it is none.
    pub fn vendor(&self) -> Result<&VendorId, ApiError> {
        let vendor = self.0.seat.vendor.as_ref();
        vendor
            .filter(|_| self.role() == KeyRole::Vendor)
            .ok_or_else(|| ApiError::forbidden("only a vendor's key may do this"))
    }
}

/// Lets requests with a good key pass, at the rate the key has.
pub async fn authenticate(
    State(app): State<Arc<App>>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let row = match at_the_door(&request) {
        Some(from) => come_in(&app, request.headers(), from).await?,
        None => identify(&app.api.store, request.headers())?,
    };
    let caller = Caller(row);
    admit(&app, &caller)?;
    access::check(&caller, &request)?;
    for line in reads::lines(&app, &caller, (&request, params.as_ref().ok()))? {
        append(&app, line).await?;
    }
    let (role, began) = (caller.role(), tokio::time::Instant::now());
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    if role == KeyRole::Vendor && response.status() == StatusCode::NOT_FOUND {
        pace::wait(began).await;
    }
    Ok(response)
}

/// Counts a request of a key, and remembers that it was used.
///
/// # Errors
/// If the key has made too many.
pub fn admit(app: &App, caller: &Caller) -> Result<(), ApiError> {
    let row = &caller.0;
    app.uses.note(&row.id, row.last_used_at, now());
    app.limiter
        .take(row.holder(), Instant::now(), now())
        .map_err(|seconds| {
            let message = format!("too many requests; try again in {seconds} s");
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, message).retry_after(seconds)
        })
}

/// Returns where somebody is who opens a session with a key; nothing if that is not what is asked.
fn at_the_door(request: &Request) -> Option<String> {
    let path = request.extensions().get::<MatchedPath>();
    let peer = request.extensions().get::<Peer>().copied();
    path.filter(|path| path.as_str() == session::PATH)
        .map(|_| signin::from(peer.map(Extension)))
}

/// Finds out who opens a session: wrong keys are heard only so often from one place, as wrong
/// passwords are.
async fn come_in(app: &App, headers: &HeaderMap, from: String) -> Result<KeyRow, ApiError> {
    let names = [format!("from {from}")];
    signin::knock(app, &names)?;
    let row = identify(&app.api.store, headers);
    match &row {
        Ok(_) => app.door.welcome(&names),
        Err(error) if error.status() == StatusCode::UNAUTHORIZED => {
            let key = presented(headers).and_then(|text| text.parse::<ApiKey>().ok());
            let key = key.map_or_else(|| "-".to_owned(), |key| key.id().to_string());
            let text = format!("sign-in by key {key} from {from} failed");
            signin::access_line(app, &key, text).await?;
        }
        Err(_) => {}
    }
    row
}

fn identify(store: &Store, headers: &HeaderMap) -> Result<KeyRow, ApiError> {
    let text = presented(headers).ok_or_else(|| unauthorized("X-Apikey header is missing"))?;
    let key: ApiKey = text.parse().map_err(|_| wrong_key())?;
    let row = store.get(&KEYS, &key.id())?;
    // An unknown id costs the same comparison as a known one.
    let kept = row
        .as_ref()
        .map_or(Sha256::new([0; 32]), |row: &KeyRow| row.digest);
    let same = bool::from(kept.as_bytes().ct_eq(key.digest().as_bytes()));
    let row = row.filter(|_| same).ok_or_else(wrong_key)?;
    live(store, row)
}

/// Returns the caller a key makes that is known by its id, as long as it works.
///
/// # Errors
/// If the store fails.
pub fn caller_of(store: &Store, key: &KeyId) -> Result<Option<Caller>, ApiError> {
    let row = store.get(&KEYS, key)?;
    let row = row.and_then(|row| live(store, row).ok());
    Ok(row.map(Caller))
}

/// Refuses a key that has ceased to work; a session has the seat its user, or its key, has now.
fn live(store: &Store, row: KeyRow) -> Result<KeyRow, ApiError> {
    let inactive = |message| Err(unauthorized(message).coded("UserNotActiveError"));
    if row.revoked_at.is_some() {
        return inactive("this API key was revoked");
    }
    if row.expires_at.is_some_and(|at| at <= now()) {
        return inactive("this API key has expired");
    }
    if let Some(parent) = &row.parent {
        let parent = store.get(&KEYS, parent)?.filter(|key| !key.is_session());
        let parent = parent.ok_or_else(wrong_key)?;
        let KeyRow { name, seat, .. } = live(store, parent)?;
        return Ok(KeyRow { name, seat, ..row });
    }
    let Some(user) = &row.user else {
        return Ok(row);
    };
    match store.get(&USERS, user)? {
        Some(user) if user.disabled_at.is_none() => Ok(KeyRow {
            seat: user.seat,
            ..row
        }),
        Some(_) | None => inactive("this user may not sign in any more"),
    }
}

/// Writes a line into the ledger; what it is about is done only after that.
///
/// # Errors
/// If it cannot be written: then it must not be done.
pub async fn append(app: &App, entry: LedgerEntry) -> Result<(), ApiError> {
    let written = app.api.store.ledger().append(entry).await;
    written.map_err(|error| ApiError::internal(&error))
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-apikey") {
        return key.to_str().ok();
    }
    let (scheme, key) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, message)
}

fn wrong_key() -> ApiError {
    unauthorized("Wrong API key").coded("WrongCredentialsError")
}

/// Makes admin keys of the digests in `<data_dir>/keys.d/*.sha256`, where they are not known yet.
///
/// So the first key comes from who installs, without the key itself ever being
/// near the daemon. A key that was revoked stays revoked.
///
/// # Errors
/// If the directory cannot be read or the store fails; a file that cannot be understood is passed
/// over.
pub async fn import_keys(store: &Store, data_dir: &Path, now: Timestamp) -> anyhow::Result<usize> {
    let dir = data_dir.join("keys.d");
    let rows = tokio::task::spawn_blocking(move || read_key_files(&dir, now)).await??;
    let import = move |change: &mut crate::store::Change<'_>| {
        let mut imported = 0;
        for row in rows {
            if change.get(&KEYS, &row.id)?.is_none() {
                change.put(&KEYS, &row.id, &row)?;
                imported += 1;
            }
        }
        Ok(imported)
    };
    let imported = store.write(import).await.context("cannot import keys")?;
    if imported > 0 {
        info!(imported, "Imported admin keys");
    }
    Ok(imported)
}

fn read_key_files(dir: &Path, now: Timestamp) -> anyhow::Result<Vec<KeyRow>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", dir.display()))?,
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let paths = paths.filter(|path| path.extension().is_some_and(|e| e == "sha256"));
    let mut rows = Vec::new();
    for path in paths.take(KEY_FILES) {
        let path = path.display().to_string();
        match std::fs::read_to_string(&path).map(|text| key_row(&text, now)) {
            Ok(Some(row)) => rows.push(row),
            Ok(None) => warn!(path, "A key file is malformed and passed over"),
            Err(error) => warn!(path, %error, "A key file cannot be read and is passed over"),
        }
    }
    Ok(rows)
}

/// Reads `<8-digit id> <64-digit digest> <name>`.
fn key_row(text: &str, now: Timestamp) -> Option<KeyRow> {
    let mut words = text.trim().splitn(3, char::is_whitespace);
    let (id, digest) = (words.next()?, words.next()?);
    let legal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if id.len() != 8 || !id.bytes().all(legal) {
        return None;
    }
    Some(KeyRow {
        id: KeyId(id.to_owned()),
        digest: digest.parse().ok()?,
        name: words.next().unwrap_or("admin").trim().to_owned(),
        seat: Seat::ADMIN,
        created_at: now,
        revoked_at: None,
        expires_at: None,
        last_used_at: None,
        user: None,
        parent: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(role: KeyRole) -> (ApiKey, KeyRow) {
        let key = ApiKey::new([7; 32]);
        let at = Timestamp::from_millis(1);
        let row = KeyRow::new(&key, "k".to_owned(), Seat::of(role), at);
        (key, row)
    }

    #[tokio::test]
    async fn key_files_become_admin_keys_once_and_bad_ones_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let keys = dir.path().join("keys.d");
        std::fs::create_dir(&keys).unwrap();
        let (key, row) = stored(KeyRole::Admin);
        let text = format!("{} {} the first\n", row.id, row.digest);
        std::fs::write(keys.join("admin.sha256"), text).unwrap();
        std::fs::write(keys.join("bad.sha256"), "nonsense").unwrap();
        let now = Timestamp::from_millis(5);
        assert_eq!(import_keys(&store, dir.path(), now).await.unwrap(), 1);
        assert_eq!(import_keys(&store, dir.path(), now).await.unwrap(), 0);
        let mut headers = HeaderMap::new();
        let value = format!("bearer {}", key.reveal());
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        let known = identify(&store, &headers).unwrap();
        assert_eq!(
            (known.seat.role, &*known.name),
            (KeyRole::Admin, "the first")
        );
    }
}
