//! Signatures of OpenPGP: with which key they were made.

use super::input::{Trouble, trouble};

/// Subpacket with the key's id.
const ISSUER: u8 = 16;
/// Subpacket with the key's fingerprint.
const FINGERPRINT: u8 = 33;

/// Which key signed, and what it signed the digest of.
#[derive(Debug)]
pub struct Key {
    /// Its id, 16 hexadecimal digits.
    pub id: String,
    /// Its fingerprint, if the signature says it.
    pub fingerprint: Option<String>,
    /// The digest's name.
    pub digest: &'static str,
}

/// Reads which key made a signature.
pub fn signer(packet: &[u8]) -> Result<Key, Trouble> {
    let body = body(packet).ok_or_else(not_one)?;
    match body.first() {
        Some(3) => third(body).ok_or_else(not_one),
        Some(4) => fourth(body).ok_or_else(not_one),
        _ => Err(trouble("it is of a version not read here")),
    }
}

fn not_one() -> Trouble {
    trouble("it is not built as one")
}

/// Takes the head of a packet away, of the old form or the new.
fn body(packet: &[u8]) -> Option<&[u8]> {
    let (&tag, rest) = packet.split_first()?;
    let (&first, _) = rest.split_first()?;
    let skipped = match (tag & 0xc0, tag & 3, first) {
        (0x80, 0, _) => 1,
        (0x80, 1, _) => 2,
        (0x80, 2, _) => 4,
        (0xc0, _, 0..192) => 1,
        (0xc0, _, 192..224) => 2,
        (0xc0, _, 255) => 5,
        _ => return None,
    };
    rest.get(skipped..)
}

fn third(body: &[u8]) -> Option<Key> {
    Some(Key {
        id: hex::encode_upper(body.get(7..15)?),
        fingerprint: None,
        digest: digest(*body.get(16)?),
    })
}

fn fourth(body: &[u8]) -> Option<Key> {
    let (hashed, rest) = area(body.get(4..)?)?;
    let (unhashed, _) = area(rest)?;
    let find = |kind| subpacket(hashed, kind).or_else(|| subpacket(unhashed, kind));
    // The first byte of a fingerprint is the key's version.
    let fingerprint = find(FINGERPRINT).and_then(|bytes| bytes.get(1..));
    let end = |print: &[u8]| print.len().checked_sub(8).map(|at| print[at..].to_vec());
    let id = find(ISSUER).filter(|id| id.len() == 8).map(<[u8]>::to_vec);
    let id = id.or_else(|| fingerprint.and_then(end))?;
    Some(Key {
        id: hex::encode_upper(id),
        fingerprint: fingerprint.map(hex::encode_upper),
        digest: digest(*body.get(3)?),
    })
}

fn area(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_at_checked(2)?;
    rest.split_at_checked(usize::from(u16::from_be_bytes([len[0], len[1]])))
}

fn subpacket(mut area: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        let (&first, rest) = area.split_first()?;
        let first = usize::from(first);
        let (len, rest) = match first {
            0..192 => (first, rest),
            192..255 => {
                let (&second, rest) = rest.split_first()?;
                ((first - 192) * 256 + usize::from(second) + 192, rest)
            }
            _ => {
                let (len, rest) = rest.split_at_checked(4)?;
                let len = u32::from_be_bytes(len.try_into().ok()?);
                (usize::try_from(len).ok()?, rest)
            }
        };
        let (packet, rest) = rest.split_at_checked(len)?;
        let (&kind, value) = packet.split_first()?;
        if kind & 0x7f == wanted {
            return Some(value);
        }
        area = rest;
    }
}

const fn digest(number: u8) -> &'static str {
    match number {
        2 => "sha1",
        8 => "sha256",
        9 => "sha384",
        10 => "sha512",
        11 => "sha224",
        _ => "unknown",
    }
}
