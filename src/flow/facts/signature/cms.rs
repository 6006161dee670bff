//! Signed messages: their certificates, their signers, and whether a signature fits.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use sha1::Digest as _;

use super::attribute;
use crate::flow::facts::der::{CONTEXT_0, CONTEXT_1, OCTETS, OID, SEQUENCE, SET, Tlv};
use crate::flow::facts::input::{Trouble, trouble};

const SIGNED_DATA: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 7, 2];
const CONTENT_TYPE: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 9, 4];
const RSA: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 1, 1];
const RSA_PSS: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 1, 10];
const P256: &[u8] = &[42, 134, 72, 206, 61, 3, 1, 7];
const P384: &[u8] = &[43, 129, 4, 0, 34];
/// Tag of a number.
const INTEGER: u8 = 0x02;
/// Tag of a key's bits.
const BITS: u8 = 0x03;
/// Tag of a signer named by the id of his key.
const KEY_ID: u8 = 0x80;

/// Digests that are computed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, broken but found on old files.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A digest under way.
#[derive(Clone, Debug)]
pub enum Hasher {
    /// SHA-1.
    Sha1(sha1::Sha1),
    /// SHA-256.
    Sha256(sha2::Sha256),
    /// SHA-384.
    Sha384(sha2::Sha384),
    /// SHA-512.
    Sha512(sha2::Sha512),
}

impl Hash {
    /// Returns the digest of that name, if it is computed here.
    pub fn of(oid: &[u8]) -> Option<Self> {
        match oid {
            [43, 14, 3, 2, 26] => Some(Self::Sha1),
            [96, 134, 72, 1, 101, 3, 4, 2, 1] => Some(Self::Sha256),
            [96, 134, 72, 1, 101, 3, 4, 2, 2] => Some(Self::Sha384),
            [96, 134, 72, 1, 101, 3, 4, 2, 3] => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Begins one.
    pub fn begin(self) -> Hasher {
        match self {
            Self::Sha1 => Hasher::Sha1(sha1::Sha1::new()),
            Self::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            Self::Sha384 => Hasher::Sha384(sha2::Sha384::new()),
            Self::Sha512 => Hasher::Sha512(sha2::Sha512::new()),
        }
    }

    /// Computes that of some bytes.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = self.begin();
        hasher.update(bytes);
        hasher.end()
    }
}

impl Hasher {
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Returns the digest.
    pub fn end(self) -> Vec<u8> {
        match self {
            Self::Sha1(hasher) => hasher.finalize().to_vec(),
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
            Self::Sha384(hasher) => hasher.finalize().to_vec(),
            Self::Sha512(hasher) => hasher.finalize().to_vec(),
        }
    }
}

/// Whether a signature fits.
#[derive(Debug)]
pub enum Fit {
    /// It does.
    Good,
    /// It does not.
    Not(String),
    /// It could not be checked.
    Unknown(String),
}

/// The parts of a certificate that matter here.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    pub whole: &'a [u8],
    pub serial: &'a [u8],
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
    key: Tlv<'a>,
}

impl<'a> Certificate<'a> {
    fn read(whole: Tlv<'a>) -> Result<Self, Trouble> {
        let mut tbs = whole.parts()?.take(SEQUENCE)?.parts()?;
        tbs.maybe(CONTEXT_0);
        let serial = tbs.take(INTEGER)?.value;
        tbs.take(SEQUENCE)?;
        let issuer = tbs.take(SEQUENCE)?.whole;
        tbs.take(SEQUENCE)?;
        Ok(Self {
            whole: whole.whole,
            serial,
            issuer,
            subject: tbs.take(SEQUENCE)?.whole,
            key: tbs.take(SEQUENCE)?,
        })
    }
}

/// A signed message.
#[derive(Debug)]
pub struct Signed<'a> {
    /// What kind of thing is signed.
    pub content_type: &'a [u8],
    /// What is signed.
    pub content: Tlv<'a>,
    /// The certificates that came with it.
    pub certificates: Vec<Certificate<'a>>,
    signers: Tlv<'a>,
}

impl<'a> Signed<'a> {
    /// Reads a message.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Trouble> {
        let mut outer = Tlv::tagged(bytes, SEQUENCE)?.parts()?;
        if outer.take(OID)?.value != SIGNED_DATA {
            return Err(trouble("the signature is of another kind"));
        }
        let inner = outer.take(CONTEXT_0)?.parts()?.take(SEQUENCE)?;
        let mut parts = inner.parts()?;
        parts.take(INTEGER)?;
        parts.take(SET)?;
        let mut content = parts.take(SEQUENCE)?.parts()?;
        let content_type = content.take(OID)?.value;
        let content = content.take(CONTEXT_0)?.parts()?.any()?;
        let certificates = match parts.maybe(CONTEXT_0) {
            // One that cannot be read may be one that nobody needs.
            Some(set) => set.parts()?.rest(),
            None => return Err(trouble("the signature has no certificate")),
        };
        let certificates = certificates.filter_map(|tlv| Certificate::read(tlv).ok());
        let certificates = certificates.collect();
        parts.maybe(CONTEXT_1);
        Ok(Self {
            content_type,
            content,
            certificates,
            signers: parts.take(SET)?,
        })
    }

    /// Returns what is signed, and what kind of thing it is.
    pub const fn whole(&self) -> (Option<&'a [u8]>, &'a [u8]) {
        (Some(self.content_type), self.content.value)
    }

    /// Returns its first signer.
    pub fn signer(&self) -> Result<SignerInfo<'a>, Trouble> {
        SignerInfo::read(self.signers.parts()?.any()?)
    }

    /// Returns a signer's certificate.
    pub fn certificate_of(&self, info: &SignerInfo<'_>) -> Result<Certificate<'a>, Trouble> {
        let mut certificates = self.certificates.iter();
        let found = certificates.find(|c| (c.issuer, c.serial) == info.named);
        found
            .copied()
            .ok_or_else(|| trouble("the signer's certificate is missing"))
    }
}

/// Who signed, and how.
#[derive(Debug)]
pub struct SignerInfo<'a> {
    named: (&'a [u8], &'a [u8]),
    digest: &'a [u8],
    attributes: Option<Tlv<'a>>,
    algorithm: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
    /// What others added, as time stamps.
    pub unsigned: Option<Tlv<'a>>,
}

impl<'a> SignerInfo<'a> {
    /// Reads one.
    pub fn read(tlv: Tlv<'a>) -> Result<Self, Trouble> {
        let mut parts = tlv.parts()?;
        parts.take(INTEGER)?;
        if parts.maybe(KEY_ID).is_some() {
            return Err(trouble("the signer is named in a way not read here"));
        }
        let mut named = parts.take(SEQUENCE)?.parts()?;
        Ok(Self {
            named: (named.any()?.whole, named.take(INTEGER)?.value),
            digest: algorithm(parts.take(SEQUENCE)?)?,
            attributes: parts.maybe(CONTEXT_0),
            algorithm: algorithm(parts.take(SEQUENCE)?)?,
            signature: parts.take(OCTETS)?.value,
            unsigned: parts.maybe(CONTEXT_1),
        })
    }

    /// Finds a signed attribute.
    pub fn signed(&self, oid: &[u8]) -> Result<Option<Tlv<'a>>, Trouble> {
        attribute(self.attributes, oid)
    }

    /// Tells whether the signature is one of that key over those bytes, and of that kind of thing
    /// where one is given.
    pub fn fits(&self, certificate: &Certificate<'_>, content: (Option<&[u8]>, &[u8])) -> Fit {
        match self.check(certificate, content) {
            Ok(fit) => fit,
            Err(Trouble(reason)) => Fit::Not(reason),
        }
    }

    fn check(
        &self,
        certificate: &Certificate<'_>,
        (kind, content): (Option<&[u8]>, &[u8]),
    ) -> Result<Fit, Trouble> {
        let Some(hash) = Hash::of(self.digest) else {
            return Ok(Fit::Unknown(
                "the signature's digest is of a kind not computed here".to_owned(),
            ));
        };
        let message = match self.attributes {
            None => content.to_vec(),
            Some(attributes) => {
                let stated = self.signed(MESSAGE_DIGEST)?;
                if stated.is_none_or(|stated| stated.value != hash.digest(content)) {
                    let reason = "what was signed is not what the signature stands beside";
                    return Ok(Fit::Not(reason.to_owned()));
                }
                let said = self.signed(CONTENT_TYPE)?.map(|said| said.value);
                if kind.is_some() && said != kind {
                    return Ok(Fit::Not("the signature is of something else".to_owned()));
                }
                // Signed as a set, though written as a part of the message.
                [&[SET], &attributes.whole[1..]].concat()
            }
        };
        let mut key = certificate.key.parts()?;
        let Some(verifier) = self.verifier(key.take(SEQUENCE)?, hash)? else {
            return Ok(Fit::Unknown(
                "the key is of a kind not computed with here".to_owned(),
            ));
        };
        let bits = key.take(BITS)?.value;
        let key = UnparsedPublicKey::new(verifier, bits.get(1..).unwrap_or_default());
        Ok(match key.verify(&message, self.signature) {
            Ok(()) => Fit::Good,
            Err(_) => Fit::Not("the signature is not one of the signer's key".to_owned()),
        })
    }

    fn verifier(
        &self,
        kind: Tlv<'_>,
        hash: Hash,
    ) -> Result<Option<&'static dyn VerificationAlgorithm>, Trouble> {
        let mut kind = kind.parts()?;
        let (kind, curve) = (kind.take(OID)?.value, kind.maybe(OID));
        let curve = curve.map_or(&[][..], |curve| curve.value);
        Ok(match (kind, hash) {
            (RSA, hash) if self.algorithm == RSA_PSS => match hash {
                Hash::Sha1 => None,
                Hash::Sha256 => Some(&RSA_PSS_2048_8192_SHA256),
                Hash::Sha384 => Some(&RSA_PSS_2048_8192_SHA384),
                Hash::Sha512 => Some(&RSA_PSS_2048_8192_SHA512),
            },
            (RSA, Hash::Sha1) => Some(&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
            (RSA, Hash::Sha256) => Some(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
            (RSA, Hash::Sha384) => Some(&RSA_PKCS1_2048_8192_SHA384),
            (RSA, Hash::Sha512) => Some(&RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
            (_, Hash::Sha256) if curve == P256 => Some(&ECDSA_P256_SHA256_ASN1),
            (_, Hash::Sha384) if curve == P256 => Some(&ECDSA_P256_SHA384_ASN1),
            (_, Hash::Sha256) if curve == P384 => Some(&ECDSA_P384_SHA256_ASN1),
            (_, Hash::Sha384) if curve == P384 => Some(&ECDSA_P384_SHA384_ASN1),
            _ => None,
        })
    }
}

/// Returns the name of an algorithm.
pub fn algorithm(tlv: Tlv<'_>) -> Result<&[u8], Trouble> {
    Ok(tlv.parts()?.take(OID)?.value)
}
