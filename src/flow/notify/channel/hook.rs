//! Webhooks after the Standard Webhooks specification.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use sha2::Sha256;

use super::Outcome;
use crate::model::Timestamp;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// Makes a secret nobody can guess.
///
/// # Errors
/// If the machine gives no random bits.
pub fn new_secret() -> Result<String, getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(bits)))
}

/// Returns the headers that sign a body: one signature for each secret.
///
/// # Errors
/// If a secret is none.
pub fn signed(
    id: &str,
    at: Timestamp,
    (body, secrets): (&str, &[String]),
) -> Result<HeaderMap, String> {
    let seconds = at.seconds();
    let signatures = secrets.iter().map(|secret| {
        let key = STANDARD.decode(secret.strip_prefix(PREFIX).unwrap_or(secret));
        let key = key.map_err(|_| "a secret of this webhook is damaged; rotate it".to_owned())?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        Ok(format!(
            "v1,{}",
            STANDARD.encode(mac.finalize().into_bytes())
        ))
    });
    let signatures: Result<Vec<_>, String> = signatures.collect();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", value(id)?);
    headers.insert("webhook-timestamp", HeaderValue::from(seconds));
    headers.insert("webhook-signature", value(&signatures?.join(" "))?);
    Ok(headers)
}

/// Reads an answer by its status; its body is nobody's business.
pub fn outcome(response: &reqwest::Response) -> Outcome {
    let status = response.status();
    let said = format!("HTTP {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Outcome::Accepted(said),
        300..=399 => Outcome::Later(format!("{said}: redirects are not followed"), None),
        410 => Outcome::Gone(said),
        _ => Outcome::Later(said, retry_after(response.headers())),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    Some(Duration::from_secs(seconds.ok()?))
}

/// Says why there was no answer, without the URL: it may be a secret.
pub fn broken(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    // The innermost cause says what happened; the outer ones repeat the URL.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match std::ptr::addr_eq(cause, error) {
        true => "the request could not be sent".to_owned(),
        false => cause.to_string().chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's own libraries.
    #[test]
    fn signature_is_that_of_the_specification() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let at = Timestamp::from_millis(1_614_265_330_000);
        let body = r#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let headers = signed(id, at, (body, &[secret.clone(), secret])).unwrap();
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(headers["webhook-signature"], format!("{one} {one}"));
        assert_eq!(headers["webhook-id"], id);
        assert_eq!(headers["webhook-timestamp"], "1614265330");
    }
}
