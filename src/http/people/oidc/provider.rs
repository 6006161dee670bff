//! The provider of OpenID Connect: where it is, what it signs with, and how it is spoken to.

use std::time::Duration;

use openidconnect::core::{
    CoreClient, CoreClientAuthMethod, CoreJwsSigningAlgorithm, CoreProviderMetadata,
};
use openidconnect::{
    AuthType, ClientId, ClientSecret, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IssuerUrl, RedirectUrl,
};

use super::{CALLBACK, Failure};
use crate::http::App;

/// Longest a provider may take for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest answer of a provider.
const ANSWER_BYTES: usize = 1 << 20;

/// Signatures by a key only the provider has: neither `none` nor those made with our own secret.
pub(super) const SIGNATURES: [CoreJwsSigningAlgorithm; 8] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
];

/// What is known of the provider, and of us at it.
pub(super) type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Asks the provider where its parts are and with which keys it signs: each time, so that a key
/// it has changed is known at once.
///
/// # Errors
/// If the provider does not answer, or the settings are wrong.
pub(super) async fn provider(app: &App) -> Result<Client, Failure> {
    let login = &app.api.config.login;
    let setting = "a setting of login.oidc_… or http.public_url is wrong";
    let issuer = IssuerUrl::new(login.oidc_issuer.clone());
    let issuer = issuer.map_err(|e| Failure::fault(setting, &e))?;
    let public = app.api.config.http.public_url.trim_end_matches('/');
    let back = RedirectUrl::new(format!("{public}{CALLBACK}"));
    let back = back.map_err(|e| Failure::fault(setting, &e))?;
    let secret = tokio::fs::read_to_string(&login.oidc_client_secret_file).await;
    let secret = secret.map_err(|e| Failure::fault("the client's secret cannot be read", &e))?;
    let secret = ClientSecret::new(secret.trim().to_owned());
    let http = reach()?;
    let fetch = |request| fetch(http.clone(), request);
    let known = CoreProviderMetadata::discover_async(issuer, &fetch).await;
    let known = known.map_err(|e| Failure::fault("the provider does not answer", &e))?;
    let place = known.authorization_endpoint().url();
    if !safe(place.scheme(), place.host_str()) {
        return Err(Failure::fault("the provider is not at https", &place));
    }
    let methods = known.token_endpoint_auth_methods_supported();
    // What is not said is that it takes the first one.
    let basic = methods.is_none_or(|all| all.contains(&CoreClientAuthMethod::ClientSecretBasic));
    let id = ClientId::new(login.oidc_client_id.clone());
    let client = CoreClient::from_provider_metadata(known, id, Some(secret));
    let client = client.set_redirect_uri(back);
    Ok(match basic {
        true => client,
        false => client.set_auth_type(AuthType::RequestBody),
    })
}

/// Why the provider gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("it is not at https")]
    Unsafe,
    #[error("its answer is larger than {ANSWER_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Failed(#[from] reqwest::Error),
}

/// Makes what speaks to the provider: it follows nothing.
///
/// # Errors
/// If it cannot be made.
pub(super) fn reach() -> Result<reqwest::Client, Failure> {
    let client = reqwest::Client::builder().timeout(PATIENCE);
    let client = client.redirect(reqwest::redirect::Policy::none()).build();
    client.map_err(|e| Failure::fault("no connection can be made", &e))
}

/// Nothing goes over a network in the clear.
fn safe(scheme: &str, host: Option<&str>) -> bool {
    let local = matches!(host, Some("127.0.0.1" | "[::1]" | "localhost"));
    scheme == "https" || (scheme == "http" && local)
}

/// Asks the provider for something, and reads no more than it may say.
///
/// # Errors
/// Why there is no answer.
pub(super) async fn fetch(
    client: reqwest::Client,
    request: HttpRequest,
) -> Result<HttpResponse, FetchError> {
    if !safe(
        request.uri().scheme_str().unwrap_or(""),
        request.uri().host(),
    ) {
        return Err(FetchError::Unsafe);
    }
    let mut response = client.execute(request.try_into()?).await?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        if body.len() + part.len() > ANSWER_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&part);
    }
    let mut answer = HttpResponse::new(body);
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        assert!(safe("https", Some("id.example.org")));
        assert!(safe("http", Some("127.0.0.1")));
        assert!(!safe("http", Some("id.example.org")));
        assert!(!safe("http", Some("127.0.0.1.example.org")));
        assert!(!safe("file", Some("localhost")));
    }
}
