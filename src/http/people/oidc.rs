//! How people come in through a provider of OpenID Connect: the authorization code flow with PKCE.
//!
//! The provider only says whose address of mail it is; who that is here, and what they may, is
//! written here beforehand. Nobody is made by signing in.

pub mod page;
mod provider;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use openidconnect::core::CoreAuthenticationFlow;
use openidconnect::{
    AuthorizationCode, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    TokenResponse,
};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use utoipa::IntoParams;

use self::page::{Arrivals, Begins};
use self::provider::{SIGNATURES, fetch, provider, reach};
use super::{session, signin};
use crate::http::connection::Peer;
use crate::http::envelope::{Answer, Base};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{App, random};
use crate::model::User;

/// Where the provider sends people back to, below the public URL.
const CALLBACK: &str = "/api/v3/acquit/oidc/callback";
/// Sign-ins under way that are remembered; the oldest gives way.
const PENDING: usize = 1000;
/// How long a sign-in may take.
const LASTS: Duration = Duration::from_secs(600);
/// Ties a sign-in to the browser that began it.
const COOKIE: &str = "acquit_oidc";

/// Sign-ins that are under way.
#[derive(Debug, Default)]
pub struct Pending {
    /// Those at the provider, by their state.
    begun: Mutex<HashMap<String, Begun>>,
    /// Those that are over and on their way to the pages.
    arrivals: Arrivals,
}

/// A sign-in that is under way.
#[derive(Debug)]
struct Begun {
    at: Instant,
    /// What the cookie of its browser holds.
    browser: String,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

impl Pending {
    fn begin(&self, state: String, begun: Begun) {
        let mut pending = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, old| begun.at.saturating_duration_since(old.at) < LASTS);
        if pending.len() >= PENDING {
            let oldest = pending.iter().min_by_key(|(_, old)| old.at);
            let oldest = oldest.map(|(state, _)| state.clone());
            oldest.and_then(|state| pending.remove(&state));
        }
        pending.insert(state, begun);
    }

    /// Returns a sign-in, once.
    fn take(&self, state: &str, at: Instant) -> Option<Begun> {
        let mut pending = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = pending.remove(state)?;
        (at.saturating_duration_since(begun.at) < LASTS).then_some(begun)
    }
}

/// Why nobody came in: what the ledger says, and whom the provider named.
#[derive(Debug)]
struct Failure {
    who: String,
    reason: &'static str,
    status: StatusCode,
}

impl Failure {
    fn new(reason: &'static str) -> Self {
        Self {
            who: "-".to_owned(),
            reason,
            status: StatusCode::UNAUTHORIZED,
        }
    }

    /// Logs what the provider did, which no stranger is told.
    fn caused(reason: &'static str, cause: &dyn std::fmt::Debug) -> Self {
        tracing::warn!(?cause, "OpenID Connect: {reason}");
        Self::new(reason)
    }

    /// A fault of the provider or of the settings: another attempt may succeed.
    fn fault(reason: &'static str, cause: &dyn std::fmt::Debug) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..Self::caused(reason, cause)
        }
    }

    fn of(self, who: &str) -> Self {
        Self {
            who: who.chars().take(254).collect(),
            ..self
        }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        if failure.status == StatusCode::SERVICE_UNAVAILABLE {
            return Self::unavailable(format!("nobody can sign in now: {}", failure.reason));
        }
        // Whether there is a user of that address is nobody's business.
        let message = "the sign-in failed; begin it again, or ask the administrator for access";
        Self::new(failure.status, message).coded("WrongCredentialsError")
    }
}

/// Sends a browser to the provider.
#[utoipa::path(
    get, path = "/api/v3/acquit/oidc/login", tag = "people", params(Begins),
    responses(
        (status = 302, description = "To the provider, which sends people back"),
        (status = 404, body = ErrorBody, description = "OpenID Connect is off"),
        (status = 429, body = ErrorBody, description = "Too many attempts"),
        (status = 503, body = ErrorBody, description = "The provider does not answer"),
    ),
    security(())
)]
pub async fn login(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    Query(begins): Query<Begins>,
) -> Result<Response, ApiError> {
    is_on(&app)?;
    signin::knock(&app, &[beginner(&signin::from(peer))])?;
    let client = provider(&app).await?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let asked = client.authorize_url(flow, move || begins.state(), Nonce::new_random);
    let asked = asked.add_scope(Scope::new("email".to_owned()));
    let (url, state, nonce) = asked.set_pkce_challenge(challenge).url();
    let browser = hex::encode(random()?);
    let cookie = cookie(&app, &browser, LASTS.as_secs());
    let begun = Begun {
        at: Instant::now(),
        browser,
        nonce,
        verifier,
    };
    app.oidc.begin(state.into_secret(), begun);
    let headers = [(header::LOCATION, url.into()), (header::SET_COOKIE, cookie)];
    Ok((StatusCode::FOUND, headers).into_response())
}

/// What the provider sends a browser back with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Returned {
    /// Which sign-in it was.
    state: Option<String>,
    /// What the provider gives the tokens for.
    code: Option<String>,
}

impl std::fmt::Debug for Returned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Returned")
    }
}

/// Lets in whom the provider names: the answer's `apikey` works until the session ends. A browser
/// that a page sent is sent on to the pages instead.
#[utoipa::path(
    get, path = "/api/v3/acquit/oidc/callback", tag = "people", params(Returned),
    responses(
        (status = 200, body = Answer<Object<UserAttributes>>),
        (status = 303, description = "To the pages, where they began it"),
        (status = 401, body = ErrorBody, description = "It is nobody who may come in"),
        (status = 404, body = ErrorBody, description = "OpenID Connect is off"),
        (status = 429, body = ErrorBody, description = "Too many attempts"),
        (status = 503, body = ErrorBody, description = "The provider does not answer"),
    ),
    security(())
)]
pub async fn callback(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Query(returned): Query<Returned>,
) -> Result<Response, ApiError> {
    is_on(&app)?;
    let of_page = page::is_of_page(returned.state.as_deref());
    let (user, browser) = match come_in(&app, peer, &headers, returned).await {
        Err(error) if of_page => return Ok(page::go_back(&app, &error)),
        come => come?,
    };
    if of_page {
        return page::go_on(&app, &user, browser);
    }
    let base = Base(public(&app).to_owned());
    let data = session::of_user(&app, user, &base).await?;
    let headers = [(header::SET_COOKIE, cookie(&app, "", 0))];
    Ok((headers, Json(Answer { data })).into_response())
}

/// Finds out who comes back from the provider, and writes it down; returns also what the cookie of
/// their browser holds.
async fn come_in(
    app: &App,
    peer: Option<Extension<Peer>>,
    headers: &HeaderMap,
    returned: Returned,
) -> Result<(User, String), ApiError> {
    let from = signin::from(peer);
    let name = format!("from {from}");
    signin::knock(app, std::slice::from_ref(&name))?;
    let (user, browser) = match identify(app, headers, returned).await? {
        Ok(found) => found,
        Err(failure) => {
            let (who, reason) = (&failure.who, failure.reason);
            let text =
                format!("sign-in as {who:?} through OpenID Connect from {from} failed: {reason}");
            signin::access_line(app, who, text).await?;
            return Err(failure.into());
        }
    };
    app.door.welcome(&[name, beginner(&from)]);
    let text = format!(
        "user {} signs in through OpenID Connect from {from}",
        user.id
    );
    signin::access_line(app, user.id.as_str(), text).await?;
    Ok((user, browser))
}

/// Returns where people reach the appliance.
fn public(app: &App) -> &str {
    app.api.config.http.public_url.trim_end_matches('/')
}

/// Name under which the door counts the sign-ins that one address begins.
fn beginner(from: &str) -> String {
    format!("oidc from {from}")
}

fn is_on(app: &App) -> Result<(), ApiError> {
    match app.api.config.login.oidc_issuer.is_empty() {
        true => Err(ApiError::not_found(
            "nobody signs in by OpenID Connect here",
        )),
        false => Ok(()),
    }
}

/// The cookie goes to nothing but these routes, also where the public URL has a path.
fn cookie(app: &App, value: &str, seconds: u64) -> String {
    let public = public(app);
    let secure = match public.starts_with("https:") {
        true => "; Secure",
        false => "",
    };
    let path = RedirectUrl::new(format!("{public}{CALLBACK}"));
    let path = path.map_or_else(|_| CALLBACK.to_owned(), |url| url.url().path().to_owned());
    let path = path.trim_end_matches("/callback");
    format!("{COOKIE}={value}; Max-Age={seconds}; Path={path}; HttpOnly; SameSite=Lax{secure}")
}

/// Tells whether a request is of the browser that began a sign-in, by what its cookie holds.
fn has_cookie(headers: &HeaderMap, browser: &str) -> bool {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut cookies = cookies
        .filter_map(|line| line.to_str().ok())
        .flat_map(|l| l.split(';'));
    cookies.any(|cookie| {
        let ours = cookie
            .trim()
            .split_once('=')
            .filter(|(name, _)| *name == COOKIE);
        ours.is_some_and(|(_, value)| value.as_bytes().ct_eq(browser.as_bytes()).into())
    })
}

/// Finds out whom the provider names, and what the cookie of their browser holds.
///
/// # Errors
/// Inside why they do not come in; outside if the store fails.
async fn identify(
    app: &App,
    headers: &HeaderMap,
    returned: Returned,
) -> Result<Result<(User, String), Failure>, ApiError> {
    let (email, browser) = match named(app, headers, returned).await {
        Ok(named) => named,
        Err(failure) => return Ok(Err(failure)),
    };
    let user = signin::by_email(&app.api.store, &email)?;
    let user = user.ok_or("not exactly one user has the address");
    let user = user.and_then(|user| match user.disabled_at {
        None => Ok((user, browser)),
        Some(_) => Err("the user is disabled"),
    });
    Ok(user.map_err(|reason| Failure::new(reason).of(&email)))
}

/// Returns the address of mail the provider vouches for, and what the cookie of the browser holds.
async fn named(
    app: &App,
    headers: &HeaderMap,
    returned: Returned,
) -> Result<(String, String), Failure> {
    let begun = returned
        .state
        .and_then(|state| app.oidc.take(&state, Instant::now()));
    let begun = begun.ok_or_else(|| Failure::new("it was not begun here, or is over"))?;
    if !has_cookie(headers, &begun.browser) {
        return Err(Failure::new("another browser began it"));
    }
    let code = returned
        .code
        .ok_or_else(|| Failure::new("the provider gave no code"))?;
    let client = provider(app).await?;
    let http = reach()?;
    let exchange = client.exchange_code(AuthorizationCode::new(code));
    let exchange = exchange.map_err(|e| Failure::fault("the provider gives no tokens", &e))?;
    let exchange = exchange.set_pkce_verifier(begun.verifier);
    let tokens = exchange
        .request_async(&|request| fetch(http.clone(), request))
        .await;
    let tokens = tokens.map_err(|e| Failure::caused("the provider refused the code", &e))?;
    let token = tokens
        .id_token()
        .ok_or_else(|| Failure::new("there is no ID token"))?;
    let verifier = client.id_token_verifier().set_allowed_algs(SIGNATURES);
    let claims = token.claims(&verifier, &begun.nonce);
    let claims = claims.map_err(|e| Failure::caused("the ID token is not good", &e))?;
    let email = claims.email().map(|email| email.as_str().trim());
    let email = email.ok_or_else(|| Failure::new("the provider names no address of mail"))?;
    match claims.email_verified() {
        Some(true) => Ok((email.to_owned(), begun.browser)),
        _ => Err(Failure::new("the address of mail is not verified").of(email)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(at: Instant) -> Begun {
        Begun {
            at,
            browser: "b".to_owned(),
            nonce: Nonce::new("n".to_owned()),
            verifier: PkceCodeVerifier::new("v".to_owned()),
        }
    }

    #[test]
    fn sign_ins_under_way_are_bounded_and_end() {
        let (pending, at) = (Pending::default(), Instant::now());
        for number in 0..=PENDING {
            let later = at + Duration::from_millis(number as u64);
            pending.begin(number.to_string(), begun(later));
        }
        assert!(pending.take("0", at).is_none(), "the oldest gave way");
        assert!(pending.take("1", at).is_some());
        assert!(pending.take("1", at).is_none(), "each only once");
        assert!(pending.take("2", at + LASTS * 2).is_none(), "it is over");
    }
}
