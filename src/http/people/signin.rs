//! How people come in by password; what they come into is a [`session`].
//!
//! An unknown user, one without a password and a wrong password get the same answer after the
//! same work. Argon2 runs off the async threads, and only so often at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Argon2, Params};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::parties::STEP;
use super::session;
use crate::config::Login;
use crate::http::auth;
use crate::http::connection::Peer;
use crate::http::engines::parse_body;
use crate::http::envelope::{Answer, Base, Object};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::users::UserAttributes;
use crate::http::{App, now, random};
use crate::model::{LedgerEntry, LedgerKind, Timestamp, User, UserId};
use crate::store::{Store, StoreError, USERS};

/// Passwords that are looked at at once: each takes 19 MiB and a while.
const AT_ONCE: usize = 2;
/// Longest a password waits to be looked at.
const PATIENCE: Duration = Duration::from_secs(10);
/// Fewest and most characters of a password; more would only cost time.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 10..=512;
/// Users and addresses whose attempts are remembered.
const REMEMBERED: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Counts attempts and bounds the work they make.
#[derive(Debug)]
pub struct Door {
    per_minute: u32,
    work: Arc<Semaphore>,
    attempts: Mutex<HashMap<String, (Instant, u32)>>,
}

impl Door {
    /// Makes a door.
    pub fn new(login: &Login) -> Self {
        Self {
            per_minute: login.attempts_per_minute.max(1),
            work: Arc::new(Semaphore::new(AT_ONCE)),
            attempts: Mutex::default(),
        }
    }

    /// Counts an attempt of each name.
    ///
    /// # Errors
    /// Seconds to wait, if one of them made too many.
    fn knock(&self, names: &[String], at: Instant) -> Result<(), u64> {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.retain(|_, (since, _)| at.saturating_duration_since(*since) < MINUTE);
        for name in names {
            let made = attempts.get(name).copied();
            let full = made.is_none() && attempts.len() >= REMEMBERED;
            let (since, count) = made.unwrap_or((at, 0));
            if full || count >= self.per_minute {
                let waited = at.saturating_duration_since(since);
                return Err((MINUTE.saturating_sub(waited)).as_secs().max(1));
            }
        }
        for name in names {
            attempts.entry(name.clone()).or_insert((at, 0)).1 += 1;
        }
        Ok(())
    }

    /// Forgets one attempt of each name: it was a good one.
    pub fn welcome(&self, names: &[String]) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if let Some((_, count)) = attempts.get_mut(name) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Does a password's work, off the async threads.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let busy = || ApiError::unavailable("too many people are signing in; try again");
        let permit = Arc::clone(&self.work).acquire_owned();
        let permit = tokio::time::timeout(PATIENCE, permit).await;
        let permit = permit.map_err(|_| busy())?.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.map_err(|error| ApiError::internal(&error))
    }
}

/// Makes the hash that is kept in place of a password.
///
/// # Errors
/// If the password is too short or too long.
pub async fn hash(app: &App, password: String) -> Result<String, ApiError> {
    if !PASSWORD_CHARS.contains(&password.chars().count()) {
        let (least, most) = (PASSWORD_CHARS.start(), PASSWORD_CHARS.end());
        let message = format!("a password has {least} to {most} characters");
        return Err(ApiError::invalid_argument(message));
    }
    let salt: [u8; 32] = random()?;
    let salt = SaltString::encode_b64(&salt[..16]).map_err(|e| ApiError::internal(&e))?;
    let hash = move || {
        let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
        hash.map(|hash| hash.to_string())
    };
    let hash = app.door.work(hash).await?;
    hash.map_err(|error| ApiError::internal(&error))
}

/// Tells whether a password is that of a hash; without a hash after the same work.
fn verify(hash: Option<&str>, password: &str) -> bool {
    let parsed = hash.and_then(|hash| PasswordHash::new(hash).ok());
    match parsed {
        Some(hash) => Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok(),
        None => {
            let mut scrap = [0; Params::DEFAULT_OUTPUT_LEN];
            let worked =
                Argon2::default().hash_password_into(password.as_bytes(), &[0; 16], &mut scrap);
            std::hint::black_box((worked.is_ok(), scrap));
            false
        }
    }
}

/// Who wants to come in; also in `data`, as VirusTotal's scripts send it.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct SignIn {
    /// Id of the user, or their address of mail.
    user_id: String,
    password: String,
    /// Taken and ignored: a session lasts as long as the operator says.
    remember_me: Option<bool>,
    #[schema(ignore)]
    data: Option<Box<SignIn>>,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignIn({:?})", self.user_id)
    }
}

/// Lets a user in: the answer's `apikey` works until the session ends.
#[utoipa::path(
    post, path = "/api/v3/ui/signin", tag = "people", request_body = SignIn,
    responses(
        (status = 200, body = Answer<Object<UserAttributes>>),
        (status = 401, body = ErrorBody, description = "User or password are wrong"),
        (status = 429, body = ErrorBody, description = "Too many attempts"),
    ),
    security(())
)]
pub async fn sign_in(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Object<UserAttributes>>>, ApiError> {
    let order: SignIn = parse_body(&body)?;
    let SignIn {
        user_id, password, ..
    } = order.data.map_or(
        SignIn {
            data: None,
            ..order
        },
        |data| *data,
    );
    let named: String = user_id.trim().chars().take(254).collect();
    let from = from(peer);
    let names = names(&named, &from);
    knock(&app, &names)?;
    let user = find(&app.api.store, &named)?;
    let hash = user.as_ref().and_then(|user| user.password.clone());
    let good = is_right(&app, hash, password).await?;
    let user = user.filter(|user| good && user.disabled_at.is_none());
    let Some(user) = user else {
        access_line(
            &app,
            &named,
            format!("sign-in as {named:?} from {from} failed"),
        )
        .await?;
        let error = ApiError::new(StatusCode::UNAUTHORIZED, "user or password are wrong");
        return Err(error.coded("WrongCredentialsError"));
    };
    app.door.welcome(&names);
    let text = format!("user {} signs in by password from {from}", user.id);
    access_line(&app, user.id.as_str(), text).await?;
    let data = session::of_user(&app, user, &base).await?;
    Ok(Json(Answer { data }))
}

/// Returns the names that an attempt is counted by: who, and from where.
pub fn names(user: &str, from: &str) -> [String; 2] {
    let user = user.to_ascii_lowercase();
    [format!("user {user}"), format!("from {from}")]
}

/// Tells whether a password is that of a hash; without a hash after the same work.
///
/// # Errors
/// If too many are looked at already.
pub async fn is_right(app: &App, hash: Option<String>, password: String) -> Result<bool, ApiError> {
    let long = password.chars().count() > *PASSWORD_CHARS.end();
    let good = move || !long && verify(hash.as_deref(), &password);
    app.door.work(good).await
}

/// Counts an attempt of each name.
///
/// # Errors
/// If one of them made too many.
pub fn knock(app: &App, names: &[String]) -> Result<(), ApiError> {
    app.door.knock(names, Instant::now()).map_err(|seconds| {
        let message = format!("too many attempts to sign in; try again in {seconds} s");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, message).retry_after(seconds)
    })
}

/// Returns the name of where somebody is.
pub fn from(peer: Option<Extension<Peer>>) -> String {
    peer.map_or_else(|| "-".to_owned(), |Extension(Peer(ip))| address(ip))
}

/// The whole of an IPv4 address, the network of an IPv6 one: one person has as many as they like.
fn address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Writes into the ledger who came in or did not, before it is answered.
///
/// # Errors
/// If it cannot be written.
pub async fn access_line(app: &App, actor: &str, text: String) -> Result<(), ApiError> {
    let entry = LedgerEntry::new(now(), LedgerKind::Access, actor.to_owned(), text);
    auth::append(app, entry).await
}

/// Finds a user by id or by address of mail.
fn find(store: &Store, named: &str) -> Result<Option<User>, StoreError> {
    if let Ok(id) = named.parse::<UserId>() {
        return store.get(&USERS, &id);
    }
    by_email(store, named)
}

/// Finds a user by address of mail.
///
/// # Errors
/// If the store fails.
pub fn by_email(store: &Store, named: &str) -> Result<Option<User>, StoreError> {
    if !named.contains('@') {
        return Ok(None);
    }
    let (mut found, mut from) = (None, None::<Vec<u8>>);
    loop {
        let page = store.list(&USERS, (&[], from.as_deref()), STEP)?;
        for (_, user) in page.rows {
            let email = user.email.as_deref().unwrap_or("");
            if !email.eq_ignore_ascii_case(named) {
                continue;
            }
            // Two users with one address are nobody in particular.
            if found.replace(user).is_some() {
                return Ok(None);
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(found);
        }
    }
}

/// Returns when a user last signed in.
///
/// # Errors
/// If the store fails.
pub fn last_login(store: &Store, user: &UserId) -> Result<Option<Timestamp>, StoreError> {
    Ok(store.get(&USERS, user)?.and_then(|user| user.last_login_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn door_closes_for_a_user_and_for_an_address_alike() {
        let door = Door::new(&Login {
            attempts_per_minute: 2,
            ..Login::default()
        });
        let names = |user: &str, from: &str| [user.to_owned(), from.to_owned()];
        let at = Instant::now();
        assert_eq!(door.knock(&names("a", "1"), at), Ok(()));
        assert_eq!(door.knock(&names("b", "1"), at), Ok(()));
        assert!(door.knock(&names("c", "1"), at).is_err());
        assert_eq!(door.knock(&names("a", "2"), at), Ok(()));
        assert!(door.knock(&names("a", "3"), at).is_err());
        door.welcome(&names("a", "2"));
        assert_eq!(door.knock(&names("a", "3"), at), Ok(()));
        assert_eq!(door.knock(&names("c", "1"), at + MINUTE), Ok(()));
    }
}
