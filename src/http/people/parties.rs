//! What orders about people have in common: their envelope, ids, names, addresses, seats.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::http::engines::parse_body;
use crate::http::error::ApiError;
use crate::http::views;
use crate::model::{KeyRole, Seat, Timestamp};
use crate::store::{Change, KEYS, KeyRow, PUBLISHERS, Store, StoreError, USERS, VENDORS};

/// Longest name, in characters.
pub const NAME_CHARS: usize = 100;
/// Longest address of mail, in bytes.
const EMAIL_BYTES: usize = 254;
/// Most addresses of one party.
const EMAILS: usize = 20;
/// Rows read at a time.
pub const STEP: usize = 256;

/// Reads attributes: bare, or in VirusTotal's `data.attributes`.
///
/// # Errors
/// If the body is no such JSON.
pub fn attributes<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut value: Value = parse_body(body)?;
    if let Some(inner) = value.pointer_mut("/data/attributes") {
        value = inner.take();
    }
    if value.is_null() {
        value = json!({});
    }
    serde_json::from_value(value).map_err(|error| {
        ApiError::bad_request(format!("the body is not what it should be: {error}"))
    })
}

/// Reads a field that may be absent, or null to take away what is there.
///
/// # Errors
/// If it is something else.
pub fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// Checks a name that people read.
///
/// # Errors
/// If it is empty, too long or would not be seen as it is.
pub fn name(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let fits = (1..=NAME_CHARS).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    let message = format!("a name of 1 to {NAME_CHARS} characters without line breaks is needed");
    Err(ApiError::invalid_argument(message))
}

/// Makes an id of a name: its letters and digits, with hyphens between them.
pub fn slug(name: &str) -> String {
    let plain = name.to_ascii_lowercase();
    let words = plain.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

/// Checks addresses of mail.
///
/// # Errors
/// If one cannot be one.
pub fn emails(texts: Vec<String>) -> Result<Vec<String>, ApiError> {
    if texts.len() > EMAILS {
        let message = format!("at most {EMAILS} addresses can be given");
        return Err(ApiError::invalid_argument(message));
    }
    texts.into_iter().map(|text| email(&text)).collect()
}

/// Checks one address of mail.
///
/// # Errors
/// If it cannot be one.
pub fn email(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let legal = |c: char| c.is_ascii_graphic() && !"<>()[],;:\\\"".contains(c);
    let parts = text.split_once('@');
    let fits = parts.is_some_and(|(user, host)| {
        !user.is_empty() && !host.is_empty() && !host.contains('@') && !host.starts_with('.')
    });
    if fits && text.len() <= EMAIL_BYTES && text.chars().all(legal) {
        return Ok(text.to_owned());
    }
    let message = format!("{text:?} is no address of mail; it should be like name@example.org");
    Err(ApiError::invalid_argument(message))
}

/// What somebody may do, and in whose name, as it is ordered.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct SeatOrder {
    /// `admin`, `publisher`, `viewer` or `vendor`; `publisher` if absent.
    pub role: Option<String>,
    /// Id of the publisher whose collection it is about.
    pub publisher: Option<String>,
    /// Id of the vendor, for the role `vendor`.
    pub vendor: Option<String>,
}

impl SeatOrder {
    /// Checks that such a seat can be.
    ///
    /// # Errors
    /// If the role is unknown, or does not go with the party, or the party is not there.
    pub fn seat(&self, store: &Store) -> Result<Seat, ApiError> {
        let role = role(self.role.as_deref().unwrap_or("publisher"))?;
        let publisher = self.publisher.as_deref().filter(|id| !id.is_empty());
        let vendor = self.vendor.as_deref().filter(|id| !id.is_empty());
        let refuse = |message: &str| Err(ApiError::invalid_argument(message));
        match (role, publisher, vendor) {
            (KeyRole::Admin, None, None) | (KeyRole::Vendor, None, Some(_)) => {}
            (KeyRole::Publisher | KeyRole::Viewer, _, None) => {}
            (KeyRole::Admin, ..) => return refuse("an admin belongs to no publisher or vendor"),
            (KeyRole::Vendor, _, None) => {
                return refuse("the role vendor needs a vendor: name one as vendor");
            }
            (KeyRole::Vendor, Some(_), Some(_)) => {
                return refuse("a vendor belongs to no publisher");
            }
            (KeyRole::Publisher | KeyRole::Viewer, _, Some(_)) => {
                return refuse("only the role vendor goes with a vendor");
            }
        }
        let unknown = |what: &str, id: &str| {
            let message = format!("there is no {what} {id:?}; `acquit {what}s list` shows them");
            ApiError::invalid_argument(message)
        };
        let mut seat = Seat::of(role);
        if let Some(id) = publisher {
            let row = id.parse().ok().map(|id| store.get(&PUBLISHERS, &id));
            let row = row.transpose()?.flatten();
            seat.publisher = Some(row.ok_or_else(|| unknown("publisher", id))?.id);
        }
        if let Some(id) = vendor {
            let row = id.parse().ok().map(|id| store.get(&VENDORS, &id));
            let row = row.transpose()?.flatten();
            seat.vendor = Some(row.ok_or_else(|| unknown("vendor", id))?.id);
        }
        Ok(seat)
    }
}

fn role(text: &str) -> Result<KeyRole, ApiError> {
    let role = KeyRole::ALL.into_iter().find(|role| role.as_str() == text);
    role.ok_or_else(|| {
        ApiError::invalid_argument(
            "role is one of \"admin\", \"publisher\", \"viewer\", \"vendor\"",
        )
    })
}

/// Says in words what a seat is.
pub fn seat_text(seat: &Seat) -> String {
    let role = seat.role.as_str();
    match (&seat.publisher, &seat.vendor) {
        (Some(publisher), _) => format!("{role} of publisher {publisher}"),
        (None, Some(vendor)) => format!("{role} {vendor}"),
        (None, None) => role.to_owned(),
    }
}

/// Takes keys and users out of service whose seat a party's end leaves empty.
///
/// # Errors
/// If the store fails.
pub fn unseat(
    change: &mut Change<'_>,
    at: Timestamp,
    gone: impl Fn(&Seat) -> bool,
) -> Result<(), StoreError> {
    revoke_keys(change, at, |row| gone(&row.seat))?;
    let mut from = None::<Vec<u8>>;
    loop {
        let users = change.list(&USERS, (&[], from.as_deref()), STEP)?;
        let Some((last, _)) = users.last() else {
            return Ok(());
        };
        from = Some(after(last.as_str().as_bytes()));
        for (id, mut row) in users {
            if gone(&row.seat) {
                row.disabled_at = row.disabled_at.or(Some(at));
                change.put(&USERS, &id, &row)?;
            }
        }
    }
}

/// Revokes keys.
///
/// # Errors
/// If the store fails.
pub fn revoke_keys(
    change: &mut Change<'_>,
    at: Timestamp,
    gone: impl Fn(&KeyRow) -> bool,
) -> Result<(), StoreError> {
    let mut from = None::<Vec<u8>>;
    loop {
        let keys = change.list(&KEYS, (&[], from.as_deref()), STEP)?;
        let Some((last, _)) = keys.last() else {
            return Ok(());
        };
        from = Some(after(last.0.as_bytes()));
        for (id, mut row) in keys {
            if gone(&row) && row.revoked_at.is_none() {
                row.revoked_at = Some(at);
                change.put(&KEYS, &id, &row)?;
                views::forget(change, &id)?;
            }
        }
    }
}

fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_ids_where_they_can() {
        for (name, id) in [
            ("Acme", "acme"),
            ("Acme Software, Inc.", "acme-software-inc"),
            ("  7-Zip  ", "7-zip"),
            ("日本", ""),
        ] {
            assert_eq!(slug(name), id);
        }
    }

    #[test]
    fn addresses_that_could_break_a_header_are_refused() {
        for good in ["a@b", "fp+case@vendor.example", "x_y@10.0.0.1"] {
            assert!(email(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\r\nBcc: x@y",
            "<a@b>",
            "a@b,c@d",
        ] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }
}
