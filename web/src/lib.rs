//! The web pages: a drive for software, the health of a collection at a glance.
//!
//! ```text
//! browser → session (who, CSRF) → page's handler → backend ─ in process ─→ /api/v3 (rights, ledger)
//!                                       ↓                                       │
//!                              template (askama) ←──────── JSON ────────────────┘
//! ```
//!
//! The pages are a client of the HTTP API like any script: what a role may see or do is decided
//! there and nowhere here. They are rendered on the server; scripts only add to what works without
//! them. Nothing is loaded from elsewhere, and nothing runs or is styled inline.
//!
//! - [`backend`]: asks the API. [`session`]: who looks at a page. [`relay`]: the API for scripts.
//! - [`owners`]: whose collection is meant. [`engine`]: an engine as several pages show it.
//! - [`frame`]: what surrounds each page. [`text`]: how values are shown. [`fault`]: what went wrong.
//! - [`assets`]: style and scripts, in the binary. [`pages`]: a file, or folder, for each page.

#![forbid(unsafe_code)]

pub mod assets;
pub mod backend;
pub mod chart;
pub mod coverage;
pub mod engine;
pub mod fault;
pub mod form;
pub mod frame;
pub mod owners;
pub mod pages;
pub mod relay;
pub mod session;
pub mod text;

use axum::Router;
use axum::http::Extensions;
use axum::middleware::from_fn_with_state;

/// What the pages need of who serves them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Copies what the API wants to know of a connection, such as its peer, from a request to
    /// the request that is made of it.
    pub carry: fn(&Extensions, &mut Extensions),
    /// Whether people come by HTTPS, so that cookies are never sent otherwise.
    pub secure: bool,
    /// Whether people can sign in at a provider of OpenID Connect.
    pub single_sign_on: bool,
}

/// What the pages share.
#[derive(Clone, Debug)]
pub struct Web {
    api: Router,
    settings: Settings,
}

/// Returns the pages as a router, at the root; `api` answers requests for `/api/v3/…`.
pub fn router(api: Router, settings: Settings) -> Router {
    let web = Web { api, settings };
    pages::routes()
        .merge(relay::routes())
        .layer(from_fn_with_state(web.clone(), session::enter))
        .merge(assets::routes())
        .with_state(web)
}
