//! DER and the BER that signers write: tag, length, value, one after the other.
//!
//! Signatures in the wild have sets out of order and certificates twice, at which strict decoders
//! give the whole up; what is signed must be looked at byte by byte as it is.

use super::input::{Trouble, trouble};

/// Most parts of one value that are looked at.
const MOST_PARTS: usize = 4096;

/// Sequence.
pub const SEQUENCE: u8 = 0x30;
/// Set.
pub const SET: u8 = 0x31;
/// Object identifier.
pub const OID: u8 = 0x06;
/// Octet string.
pub const OCTETS: u8 = 0x04;
/// The first tag of the context, constructed.
pub const CONTEXT_0: u8 = 0xa0;
/// The second.
pub const CONTEXT_1: u8 = 0xa1;

/// One value.
#[derive(Clone, Copy, Debug)]
pub struct Tlv<'a> {
    /// Its tag.
    pub tag: u8,
    /// All of it, tag and length too.
    pub whole: &'a [u8],
    /// What it says.
    pub value: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// Reads the first value; what follows it does not matter.
    pub fn first(bytes: &'a [u8]) -> Result<Self, Trouble> {
        let (&tag, rest) = bytes.split_first().ok_or_else(short)?;
        let (&first, rest) = rest.split_first().ok_or_else(short)?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let (digits, rest) = rest.split_at_checked(count).ok_or_else(short)?;
                let len = digits.iter().fold(0, |len, d| len << 8 | usize::from(*d));
                (len, rest)
            }
            _ => {
                return Err(trouble(
                    "the signature has a length of a kind not read here",
                ));
            }
        };
        let value = rest.get(..len).ok_or_else(short)?;
        let whole = &bytes[..bytes.len() - rest.len() + len];
        Ok(Self { tag, whole, value })
    }

    /// Reads the first value, which must have this tag.
    pub fn tagged(bytes: &'a [u8], tag: u8) -> Result<Self, Trouble> {
        let first = Self::first(bytes)?;
        if first.tag == tag {
            Ok(first)
        } else {
            Err(trouble("the signature is not built as one"))
        }
    }

    /// Returns the values in this one.
    pub fn parts(&self) -> Result<Parts<'a>, Trouble> {
        let (mut parts, mut rest) = (Vec::new(), self.value);
        while !rest.is_empty() {
            let part = Tlv::first(rest)?;
            rest = &rest[part.whole.len()..];
            parts.push(part);
            if parts.len() > MOST_PARTS {
                return Err(trouble("the signature has too many parts"));
            }
        }
        parts.reverse();
        Ok(Parts(parts))
    }
}

/// The values in a value, taken one after the other.
#[derive(Debug)]
pub struct Parts<'a>(Vec<Tlv<'a>>);

impl<'a> Parts<'a> {
    /// Takes the next, whatever it is.
    pub fn any(&mut self) -> Result<Tlv<'a>, Trouble> {
        self.0.pop().ok_or_else(short)
    }

    /// Takes the next, which must have this tag.
    pub fn take(&mut self, tag: u8) -> Result<Tlv<'a>, Trouble> {
        self.maybe(tag)
            .ok_or_else(|| trouble("the signature is not built as one"))
    }

    /// Takes the next if it has this tag.
    pub fn maybe(&mut self, tag: u8) -> Option<Tlv<'a>> {
        self.0.pop_if(|part| part.tag == tag)
    }

    /// Returns what is left, in order.
    pub fn rest(self) -> impl Iterator<Item = Tlv<'a>> {
        self.0.into_iter().rev()
    }
}

fn short() -> Trouble {
    trouble("the signature ends too early")
}
