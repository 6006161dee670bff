//! The API's description, made from the handlers, and a page to read it.
//!
//! The page loads nothing from elsewhere and runs nothing inline; it builds
//! itself from the description with text nodes only.

use axum::Json;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::{
    analyses, bundles, engines, error, events, files, health, keys, references, rescans,
    signatures, tickets, timeline, updates, users,
};

const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Acquit",
        description = "A self-hosted VirusTotal Monitor. Compatible with VirusTotal API v3; \
                       what has no counterpart there is under /api/v3/acquit."
    ),
    paths(
        files::submit, tickets::upload_url, tickets::use_upload_url, files::show, files::analyse,
        files::analyses, files::analysis_descriptors, files::download, tickets::download_url,
        tickets::use_download_url, files::search, analyses::show, analyses::item,
        analyses::item_descriptor, analyses::raw, users::metadata, users::show, users::quotas,
        engines::list, engines::show, engines::restart, engines::rescan, signatures::list,
        signatures::show, signatures::update, signatures::rollback, signatures::promote,
        signatures::hold, signatures::release, updates::list, updates::show, updates::output,
        bundles::export, bundles::import, bundles::key, rescans::list, rescans::show,
        events::list, timeline::list, references::list, references::mark,
        references::unmark, keys::list, keys::create,
        keys::revoke, health::livez, health::readyz, health::metrics,
    ),
    components(schemas(error::ErrorBody)),
    security(("apikey" = []), ("bearer" = [])),
    tags(
        (name = "files", description = "Upload, look up, analyze again, download"),
        (name = "analyses", description = "What the engines answered"),
        (name = "engines", description = "How the engines fare"),
        (name = "signatures", description = "How signatures come, are proven and go"),
        (name = "rescans", description = "Looking at every file again"),
        (name = "keys", description = "API keys; for admin keys"),
        (name = "users", description = "Who asks, and what this server knows of"),
        (name = "monitor", description = "VirusTotal Monitor for publishers: items and what became of them"),
        (name = "partner", description = "VirusTotal Monitor for vendors: their own detections"),
        (name = "incidents", description = "Detections of files in collections, until they are over"),
        (name = "disputes", description = "Reports of false positives to vendors"),
        (name = "notifications", description = "Who is told of what"),
        (name = "ledger", description = "What happened and what left"),
        (name = "people", description = "Publishers, vendors, users"),
        (name = "settings", description = "What the configuration sets"),
        (name = "stream", description = "What is going on, as it goes on"),
        (name = "health", description = "For monitoring; needs no key"),
    )
)]
struct Document;

/// What all operations have in common.
struct Conventions;

impl Modify for Conventions {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-apikey")));
        components.add_security_scheme("apikey", key);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        for path in document.paths.paths.values_mut() {
            let operations = [
                &mut path.get,
                &mut path.post,
                &mut path.put,
                &mut path.patch,
                &mut path.delete,
            ];
            for operation in operations.into_iter().flatten() {
                let failure = ResponseBuilder::new()
                    .description("Any failure, with VirusTotal's code and a sentence")
                    .content("application/json", failure_body())
                    .build();
                let responses = &mut operation.responses.responses;
                responses.insert("default".to_owned(), RefOr::T(failure));
            }
        }
    }
}

fn failure_body() -> openapi::Content {
    let body = Ref::from_schema_name("ErrorBody");
    ContentBuilder::new().schema(Some(body)).build()
}

/// Shows the description of the API.
pub async fn document() -> Json<openapi::OpenApi> {
    let areas = super::access::AREAS.iter().map(|area| (area.document)());
    let mut document = areas.fold(Document::openapi(), openapi::OpenApi::merge_from);
    Conventions.modify(&mut document);
    Json(document)
}

/// Shows the page.
pub async fn page() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        ],
        include_str!("docs/page.html"),
    )
}

/// Sends the page's style.
pub async fn style() -> impl IntoResponse {
    part("text/css; charset=utf-8", include_str!("docs/page.css"))
}

/// Sends the page's script.
pub async fn script() -> impl IntoResponse {
    part(
        "text/javascript; charset=utf-8",
        include_str!("docs/page.js"),
    )
}

fn part(kind: &'static str, text: &'static str) -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, kind)], text)
}
