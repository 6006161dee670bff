//! Authenticode: who signed a file, and whether the signature fits it.
//!
//! Three things must fit: the digest of the file that is signed, the digest of that statement which
//! is in the signed attributes, and the signature of those by the signer's key. Whether anybody
//! vouches for that key is another question, answered last.

mod cms;
mod stamp;

use sha1::{Digest as _, Sha1};
use x509_cert::der::Decode as _;
use x509_cert::name::Name;

use self::cms::{Fit, Signed};
use super::Judge;
use super::der::{OCTETS, SEQUENCE, Tlv};
use super::input::{Trouble, trouble};
use super::trust::Purpose;
use crate::model::{Signer, Verification};

pub use cms::{Hash, Hasher};

/// 1.3.6.1.4.1.311.2.1.4, what Authenticode signs.
const INDIRECT_DATA: &[u8] = &[43, 6, 1, 4, 1, 130, 55, 2, 1, 4];

/// Reads a signature and holds it against the file, whose digest `digest` computes.
pub fn read(
    pkcs7: &[u8],
    judge: Judge<'_>,
    digest: impl FnOnce(Hash) -> Result<Vec<u8>, Trouble>,
) -> Result<Signer, Trouble> {
    let signed = Signed::read(pkcs7)?;
    let info = signed.signer()?;
    let certificate = signed.certificate_of(&info)?;
    let stated = statement(&signed)?;
    let fit = match stated.0 {
        Some(hash) if digest(hash)? == stated.1 => info.fits(&certificate, signed.whole()),
        Some(_) => Fit::Not("the file is not the one that was signed".to_owned()),
        None => Fit::Unknown("the digest is of a kind not computed here".to_owned()),
    };
    let stamp = stamp::read(&signed, &info, judge);
    let signed_at = stamp.as_ref().map(|stamp| stamp.at);
    let trusted_at = stamp.filter(|stamp| stamp.trusted).map(|stamp| stamp.at);
    let chain: Vec<&[u8]> = signed.certificates.iter().map(|c| c.whole).collect();
    let vouched = || {
        let at = trusted_at.unwrap_or(judge.now);
        judge
            .roots
            .vouch((certificate.whole, &chain), Purpose::Code, at)
    };
    Ok(Signer {
        subject: name(certificate.subject),
        issuer: name(certificate.issuer),
        serial: hex::encode(certificate.serial),
        thumbprint: hex::encode(Sha1::digest(certificate.whole)),
        digest: stated.0.map_or("unknown", Hash::name).to_owned(),
        signed_at,
        verification: verification(fit, vouched),
    })
}

fn verification(fit: Fit, vouched: impl FnOnce() -> Result<(), String>) -> Verification {
    match fit {
        Fit::Not(reason) => Verification::Broken { reason },
        Fit::Unknown(reason) => Verification::Unchecked { reason },
        Fit::Good => match vouched() {
            Ok(()) => Verification::Trusted,
            Err(reason) => Verification::Intact { reason },
        },
    }
}

/// Returns what the signature says the file's digest is.
fn statement<'a>(signed: &Signed<'a>) -> Result<(Option<Hash>, &'a [u8]), Trouble> {
    if signed.content_type != INDIRECT_DATA {
        return Err(trouble("the signature is of something else than a file"));
    }
    let mut content = signed.content.parts()?;
    content.take(SEQUENCE)?;
    let mut digest = content.take(SEQUENCE)?.parts()?;
    let algorithm = cms::algorithm(digest.take(SEQUENCE)?)?;
    let value = digest.take(OCTETS)?.value;
    Ok((Hash::of(algorithm), value))
}

fn name(der: &[u8]) -> String {
    match Name::from_der(der) {
        Ok(name) => name.to_string(),
        Err(_) => "a name that cannot be read".to_owned(),
    }
}

/// Finds an attribute's first value.
fn attribute<'a>(attributes: Option<Tlv<'a>>, oid: &[u8]) -> Result<Option<Tlv<'a>>, Trouble> {
    let Some(attributes) = attributes else {
        return Ok(None);
    };
    for attribute in attributes.parts()?.rest() {
        let mut parts = attribute.parts()?;
        if parts.any()?.value == oid {
            return parts.any()?.parts()?.any().map(Some);
        }
    }
    Ok(None)
}
