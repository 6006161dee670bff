//! Who looks at a page: the session's cookie, CSRF, and the way in for those without one.

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::Web;
use crate::backend::{Answer, Client, part};
use crate::fault::Fault;
use crate::frame::Frame;

/// Name of the session's cookie.
pub const COOKIE: &str = "acquit_session";
/// Name of the cookie that remembers light or dark.
pub const THEME: &str = "acquit_theme";
/// Name of the cookie that carries one sentence to the next page.
pub const FLASH: &str = "acquit_flash";

/// What a browser may do with a page: nothing that is not named here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What somebody may do; the API decides, pages only leave out what it would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Everything in one collection.
    Publisher,
    /// Looks, at one collection or all.
    Viewer,
    /// Sees its own engine's detections.
    Vendor,
}

/// Who looks at a page, and the API as they use it.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// What they may do.
    pub role: Role,
    /// Id of the user, or of the key.
    pub id: String,
    /// What they are called.
    pub name: String,
    /// The publisher they speak for.
    pub publisher: Option<String>,
    /// The vendor they speak for.
    pub vendor: Option<String>,
    /// Proves that a form came from a page of this session.
    pub csrf: String,
    /// The API, with the session's key.
    pub api: Client,
    /// The page they look at: path and query.
    pub url: String,
    /// `light`, `dark`, or empty for whatever the system has.
    pub theme: &'static str,
    /// What the page before has to say.
    pub flash: Option<String>,
}

impl Viewer {
    /// Tells whether they administer the appliance.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Tells whether they are a vendor.
    pub fn is_vendor(&self) -> bool {
        self.role == Role::Vendor
    }

    /// Tells whether they may change a collection: their own, or any as an administrator.
    pub fn may_write(&self) -> bool {
        matches!(self.role, Role::Admin | Role::Publisher)
    }

    /// Tells whether they see every publisher's collection.
    pub fn sees_all(&self) -> bool {
        match self.role {
            Role::Admin => true,
            Role::Viewer => self.publisher.is_none(),
            Role::Publisher | Role::Vendor => false,
        }
    }

    /// Returns whose collection is meant: the one that is named, or their own.
    pub fn owner<'a>(&'a self, named: Option<&'a str>) -> Option<&'a str> {
        named
            .filter(|it| !it.is_empty())
            .or(self.publisher.as_deref())
    }
}

/// What a request says before anybody knows who makes it.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The API, without a key.
    pub api: Client,
    /// The page they look at.
    pub url: String,
    /// `light`, `dark` or empty.
    pub theme: &'static str,
    /// What the page before has to say.
    pub flash: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Me {
    id: String,
    attributes: MeAttributes,
    #[serde(default)]
    relationships: Value,
}

#[derive(Debug, Deserialize)]
struct MeAttributes {
    first_name: String,
    role: Role,
}

/// Learns who makes a request, lets it pass, and makes a page of what went wrong.
pub async fn enter(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let guest = Guest::of(&web, &request);
    let viewer = match cookie(request.headers(), COOKIE) {
        Some(key) => identify(&guest, &key).await,
        None => Ok(None),
    };
    let viewer = match viewer {
        Ok(viewer) => viewer,
        Err(fault) => return finish(fault_page(None, &guest, fault), &guest),
    };
    request.extensions_mut().insert(guest.clone());
    if let Some(viewer) = &viewer {
        request.extensions_mut().insert(viewer.clone());
    }
    let response = next.run(request).await;
    let response = match response.extensions().get::<Fault>().cloned() {
        Some(fault) => fault_page(viewer.as_ref(), &guest, fault),
        None => response,
    };
    finish(response, &guest)
}

impl Guest {
    fn of(web: &Web, request: &Request) -> Self {
        let headers = request.headers();
        let url = request.uri().path_and_query();
        let theme = match cookie(headers, THEME).as_deref() {
            Some("light") => "light",
            Some("dark") => "dark",
            _ => "",
        };
        Self {
            api: Client::new(web, (headers, request.extensions()), None),
            url: url.map_or("/", |url| url.as_str()).to_owned(),
            theme,
            flash: cookie(headers, FLASH).map(|text| unescape(&text)),
        }
    }
}

/// Asks the API whose key a cookie holds; nobody's, if the session has ended.
async fn identify(guest: &Guest, key: &str) -> Result<Option<Viewer>, Fault> {
    let api = guest.api.with_key(key);
    let me = api
        .get::<Answer<Me>>("/users/me?relationships=groups")
        .await;
    let me = match me {
        Ok(me) => me.data,
        Err(fault) if fault.sign_in => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let group = me.relationships["groups"]["data"][0]["id"].as_str();
    let group = group.map(str::to_owned);
    let role = me.attributes.role;
    Ok(Some(Viewer {
        role,
        id: me.id,
        name: me.attributes.first_name,
        publisher: group.clone().filter(|_| role != Role::Vendor),
        vendor: group.filter(|_| role == Role::Vendor),
        csrf: token(key),
        api,
        url: guest.url.clone(),
        theme: guest.theme,
        flash: guest.flash.clone(),
    }))
}

/// Makes the token that proves that a form came from a page of a session.
pub fn token(key: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes());
    let mac = mac.map(|mac| mac.chain_update(b"acquit pages").finalize());
    mac.map(|mac| hex::encode(mac.into_bytes()))
        .unwrap_or_default()
}

/// Tells whether a token is the session's; none is, if the session's is empty.
pub fn is_ours(viewer: &Viewer, token: &str) -> bool {
    !viewer.csrf.is_empty() && bool::from(viewer.csrf.as_bytes().ct_eq(token.as_bytes()))
}

/// Makes the page of a fault; who is not signed in is shown the way in.
fn fault_page(viewer: Option<&Viewer>, guest: &Guest, fault: Fault) -> Response {
    if fault.sign_in {
        let back = if guest.url == "/" {
            String::new()
        } else {
            format!("?next={}", part(&guest.url))
        };
        return Redirect::to(&format!("/sign-in{back}")).into_response();
    }
    let frame = match viewer {
        Some(viewer) => Frame::new(viewer, fault.title(), ""),
        None => Frame::of_guest(guest, fault.title()),
    };
    crate::pages::fault::page(frame, &fault)
}

/// Adds what every page has: what its browser may do, and that its sentence was said.
fn finish(mut response: Response, guest: &Guest) -> Response {
    let headers = response.headers_mut();
    let policy = HeaderValue::from_static(POLICY);
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(policy);
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|it| it.as_bytes().starts_with(b"text/html"));
    if is_page && guest.flash.is_some() {
        set_cookie(
            &mut response,
            format!("{FLASH}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"),
        );
    }
    response
}

/// Adds a cookie to an answer.
pub fn set_cookie(response: &mut Response, cookie: String) {
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Goes on to another page of ours, which says a sentence.
pub fn go(to: &str, saying: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    if !saying.is_empty() {
        let text: String = saying.chars().take(400).collect();
        set_cookie(
            &mut response,
            format!(
                "{FLASH}={}; Path=/; Max-Age=60; HttpOnly; SameSite=Strict",
                part(&text)
            ),
        );
    }
    response
}

/// Reads a cookie.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(header::COOKIE).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut pairs = values
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

fn unescape(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// Returns a path to go on to, if it is one of ours and of no other host.
pub fn local(path: &str) -> Option<&str> {
    let clean = path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\");
    (clean && path.bytes().all(|c| c.is_ascii_graphic())).then_some(path)
}

/// Tells whether a request can come from a page of ours only.
pub fn is_same_site(method: &Method, headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    method.is_safe() || matches!(site, None | Some(b"same-origin" | b"none"))
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let viewer = parts.extensions.get::<Self>().cloned();
        viewer.ok_or_else(Fault::stranger)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Viewer {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Fault> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

impl<S: Sync> FromRequestParts<S> for Guest {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let guest = parts.extensions.get::<Self>().cloned();
        guest.ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours_are_gone_on_to() {
        for good in ["/", "/items/a%2Fb?x=1"] {
            assert_eq!(local(good), Some(good));
        }
        for bad in [
            "",
            "https://evil.test",
            "//evil.test",
            "/\\evil.test",
            "/a\nb",
            "a",
        ] {
            assert_eq!(local(bad), None, "{bad}");
        }
    }

    #[test]
    fn cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            "a=1; acquit_session=k; b=2".parse().unwrap(),
        );
        assert_eq!(cookie(&headers, COOKIE).as_deref(), Some("k"));
        assert_eq!(cookie(&headers, "session"), None);
    }

    #[test]
    fn token_is_the_sessions_own() {
        assert_ne!(token("a"), token("b"));
        assert_eq!(token("a").len(), 64);
    }
}
