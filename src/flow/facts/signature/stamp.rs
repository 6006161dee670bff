//! Time stamps: who says that a signature was there at a time.

use x509_cert::der::DateTime;

use super::cms::{Certificate, Fit, Hash, Signed, SignerInfo, algorithm};
use super::{Judge, attribute};
use crate::flow::facts::der::{OCTETS, SEQUENCE, Tlv};
use crate::flow::facts::input::{Trouble, trouble};
use crate::flow::facts::trust::Purpose;
use crate::model::Timestamp;

/// 1.3.6.1.4.1.311.3.3.1, a stamp after RFC 3161.
const RFC_3161: &[u8] = &[43, 6, 1, 4, 1, 130, 55, 3, 3, 1];
/// 1.2.840.113549.1.9.6, a signature of the signature.
const COUNTERSIGNATURE: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 9, 6];
/// 1.2.840.113549.1.9.5, when that was made.
const SIGNING_TIME: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 9, 5];
/// Tag of a time with a year of two digits.
const UTC_TIME: u8 = 0x17;
/// Tag of one with four.
const GENERALIZED_TIME: u8 = 0x18;

/// A stamp that fits its signature.
#[derive(Debug)]
pub struct Stamp {
    /// When the signature was there.
    pub at: Timestamp,
    /// Whether somebody trusted says so.
    pub trusted: bool,
}

/// Reads the time stamp of a signature. One that is damaged or does not fit says nothing.
pub fn read(signed: &Signed<'_>, info: &SignerInfo<'_>, judge: Judge<'_>) -> Option<Stamp> {
    let of = |oid| attribute(info.unsigned, oid).ok().flatten();
    let stamp = match (of(RFC_3161), of(COUNTERSIGNATURE)) {
        (Some(token), _) => token_time(token, info, judge),
        (None, Some(counter)) => counter_time(counter, (signed, info), judge),
        (None, None) => return None,
    };
    stamp.ok()
}

fn token_time(token: Tlv<'_>, info: &SignerInfo<'_>, judge: Judge<'_>) -> Result<Stamp, Trouble> {
    let token = Signed::read(token.whole)?;
    let mut parts = Tlv::tagged(token.content.value, SEQUENCE)?.parts()?;
    parts.any()?;
    parts.any()?;
    let mut imprint = parts.take(SEQUENCE)?.parts()?;
    let hash = Hash::of(algorithm(imprint.take(SEQUENCE)?)?);
    let hash = hash.ok_or_else(|| trouble("the stamp's digest is not computed here"))?;
    if imprint.take(OCTETS)?.value != hash.digest(info.signature) {
        return Err(trouble("the stamp is of another signature"));
    }
    parts.any()?;
    let at = time(parts.take(GENERALIZED_TIME)?)?;
    let stamper = token.signer()?;
    let certificate = token.certificate_of(&stamper)?;
    let fit = stamper.fits(&certificate, token.whole());
    stamped(at, fit, (&certificate, &token), judge)
}

fn counter_time(
    counter: Tlv<'_>,
    (signed, info): (&Signed<'_>, &SignerInfo<'_>),
    judge: Judge<'_>,
) -> Result<Stamp, Trouble> {
    let stamper = SignerInfo::read(counter)?;
    let at = stamper.signed(SIGNING_TIME)?;
    let at = time(at.ok_or_else(|| trouble("the stamp has no time"))?)?;
    let certificate = signed.certificate_of(&stamper)?;
    let fit = stamper.fits(&certificate, (None, info.signature));
    stamped(at, fit, (&certificate, signed), judge)
}

fn stamped(
    at: Timestamp,
    fit: Fit,
    (certificate, signed): (&Certificate<'_>, &Signed<'_>),
    judge: Judge<'_>,
) -> Result<Stamp, Trouble> {
    let Fit::Good = fit else {
        return Err(trouble("the stamp's own signature does not fit"));
    };
    let others: Vec<&[u8]> = signed.certificates.iter().map(|c| c.whole).collect();
    let chain = (certificate.whole, others.as_slice());
    let trusted = judge.roots.vouch(chain, Purpose::Time, at).is_ok();
    Ok(Stamp { at, trusted })
}

/// Reads `[YY]YYMMDDhhmmss`, what follows is `Z` or a fraction.
fn time(tlv: Tlv<'_>) -> Result<Timestamp, Trouble> {
    let wrong = || trouble("the stamp's time is none");
    let text = std::str::from_utf8(tlv.value).map_err(|_| wrong())?;
    let text = match tlv.tag {
        UTC_TIME if text < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        _ => text.to_owned(),
    };
    let number = |from: usize, to: usize| -> Result<u8, Trouble> {
        let digits = text.get(from..to).ok_or_else(wrong)?;
        digits.parse().map_err(|_| wrong())
    };
    let year = u16::from(number(0, 2)?) * 100 + u16::from(number(2, 4)?);
    let time = DateTime::new(
        year,
        number(4, 6)?,
        number(6, 8)?,
        number(8, 10)?,
        number(10, 12)?,
        number(12, 14)?,
    )?;
    let seconds = time.unix_duration().as_secs();
    Ok(Timestamp::from_millis(seconds * 1000))
}
