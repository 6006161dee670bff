//! The pages' way in through the provider. The browser goes on to them with a code that is good
//! once, for a moment, and with the cookie of the browser that began it: the session's key is in
//! no URL.
//!
//! ```text
//! /sign-in/oidc → login?page=1 → the provider → callback → /sign-in/callback?code=… → session
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use openidconnect::CsrfToken;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{Failure, cookie, has_cookie, is_on, public};
use crate::http::engines::parse_body;
use crate::http::envelope::{Answer, Base, Object};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::people::session;
use crate::http::users::UserAttributes;
use crate::http::{App, random};
use crate::model::{User, UserId};
use crate::store::USERS;

/// How the state of a sign-in begins that the pages began: the provider sends it back also when
/// it lets nobody in.
const MARK: &str = "page.";
/// How long a code is good: the browser brings it at once.
const LASTS: Duration = Duration::from_secs(60);
/// Codes that are remembered; the oldest gives way.
const REMEMBERED: usize = 1000;

/// Who begins a sign-in.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Begins {
    /// Whether a page does, which the browser is to come back to.
    page: Option<String>,
}

impl Begins {
    /// Makes the state of a sign-in.
    pub(super) fn state(&self) -> CsrfToken {
        let state = CsrfToken::new_random();
        match self.page {
            Some(_) => CsrfToken::new(format!("{MARK}{}", state.secret())),
            None => state,
        }
    }
}

/// Tells whether the pages began a sign-in.
pub(super) fn is_of_page(state: Option<&str>) -> bool {
    state.is_some_and(|state| state.starts_with(MARK))
}

/// Those who were let in and are on their way to the pages, by their code.
#[derive(Debug, Default)]
pub struct Arrivals(Mutex<HashMap<String, Arrival>>);

#[derive(Debug)]
struct Arrival {
    at: Instant,
    browser: String,
    user: UserId,
}

impl Arrivals {
    fn expect(&self, code: String, arrival: Arrival) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, old| arrival.at.saturating_duration_since(old.at) < LASTS);
        if all.len() >= REMEMBERED {
            let oldest = all.iter().min_by_key(|(_, old)| old.at);
            let oldest = oldest.map(|(code, _)| code.clone());
            oldest.and_then(|code| all.remove(&code));
        }
        all.insert(code, arrival);
    }

    /// Returns who comes with a code, once.
    fn take(&self, code: &str, at: Instant) -> Option<Arrival> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let arrival = all.remove(code)?;
        (at.saturating_duration_since(arrival.at) < LASTS).then_some(arrival)
    }
}

/// Sends a browser on to the pages with a code.
///
/// # Errors
/// If there is no randomness.
pub(super) fn go_on(app: &App, user: &User, browser: String) -> Result<Response, ApiError> {
    let code = hex::encode(random()?);
    let url = format!("{}/sign-in/callback?code={code}", public(app));
    let arrival = Arrival {
        at: Instant::now(),
        browser,
        user: user.id.clone(),
    };
    app.oidc.arrivals.expect(code, arrival);
    Ok(see(app, url))
}

/// Sends a browser back to where people sign in; the page knows what each status means.
pub(super) fn go_back(app: &App, error: &ApiError) -> Response {
    let status = error.status().as_u16();
    see(app, format!("{}/sign-in?failed={status}", public(app)))
}

fn see(app: &App, url: String) -> Response {
    let headers = [
        (header::LOCATION, url),
        (header::SET_COOKIE, cookie(app, "", 0)),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// The code a browser was sent on with.
#[derive(Default, Deserialize, ToSchema)]
pub struct Coming {
    code: String,
}

impl std::fmt::Debug for Coming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coming")
    }
}

/// Opens the session of somebody the provider let in, for a page that began the sign-in and has
/// its cookie: the answer's `apikey` works until the session ends.
#[utoipa::path(
    post, path = "/api/v3/acquit/oidc/session", tag = "people", request_body = Coming,
    responses(
        (status = 200, body = Answer<Object<UserAttributes>>),
        (status = 401, body = ErrorBody, description = "The code is over, or another browser's"),
        (status = 404, body = ErrorBody, description = "OpenID Connect is off"),
    ),
    security(())
)]
pub async fn enter(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Answer<Object<UserAttributes>>>, ApiError> {
    is_on(&app)?;
    let Coming { code } = parse_body(&body)?;
    let over = || Failure::new("its code is over, or of another browser");
    let arrival = app.oidc.arrivals.take(&code, Instant::now());
    let arrival = arrival.filter(|it| has_cookie(&headers, &it.browser));
    let arrival = arrival.ok_or_else(over)?;
    let user = app.api.store.get(&USERS, &arrival.user)?;
    let user = user.filter(|user| user.disabled_at.is_none());
    let base = Base(public(&app).to_owned());
    let data = session::of_user(&app, user.ok_or_else(over)?, &base).await?;
    Ok(Json(Answer { data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_good_once_and_for_a_moment() {
        let (arrivals, at) = (Arrivals::default(), Instant::now());
        let arrival = |at| Arrival {
            at,
            browser: "b".to_owned(),
            user: "ann".parse().unwrap(),
        };
        for number in 0..=REMEMBERED {
            let later = at + Duration::from_millis(number as u64);
            arrivals.expect(number.to_string(), arrival(later));
        }
        assert!(arrivals.take("0", at).is_none(), "the oldest gave way");
        assert!(arrivals.take("1", at).is_some());
        assert!(arrivals.take("1", at).is_none(), "each only once");
        assert!(arrivals.take("2", at + LASTS * 2).is_none(), "it is over");
    }

    #[test]
    fn provider_says_whether_a_page_began_it() {
        let state = |page: Option<&str>| {
            Begins {
                page: page.map(str::to_owned),
            }
            .state()
        };
        assert!(is_of_page(Some(state(Some("1")).secret())));
        assert!(!is_of_page(Some(state(None).secret())));
        assert!(!is_of_page(None));
    }
}
