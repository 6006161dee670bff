//! Whom this appliance trusts to vouch for those who sign.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::model::Timestamp;

/// Most files read of one directory.
const MOST_FILES: usize = 2000;
/// Longest file read.
const MOST_BYTES: u64 = 8 << 20;

/// What a certificate must be for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// To sign code.
    Code,
    /// To say when something was there.
    Time,
}

impl Purpose {
    const fn usage(self) -> KeyUsage {
        match self {
            // 1.3.6.1.5.5.7.3.3 and .8, as they are encoded.
            Self::Code => KeyUsage::required(&[43, 6, 1, 5, 5, 7, 3, 3]),
            Self::Time => KeyUsage::required(&[43, 6, 1, 5, 5, 7, 3, 8]),
        }
    }
}

/// Certificates of authorities that are trusted here.
#[derive(Debug, Default)]
pub struct Roots(Vec<CertificateDer<'static>>);

impl Roots {
    /// Reads PEM files and directories of them; what is not there or is no certificate is passed
    /// over, which leaves signatures without trust.
    pub fn load(paths: &[PathBuf]) -> Self {
        let mut roots = Vec::new();
        for path in paths {
            for file in files(path) {
                let Some(text) = contents(&file) else {
                    continue;
                };
                let found = CertificateDer::pem_slice_iter(&text);
                roots.extend(found.filter_map(Result::ok));
            }
        }
        Self(roots)
    }

    /// Tells whether a root vouches for a certificate at a time.
    ///
    /// # Errors
    /// Says why none does.
    pub fn vouch(
        &self,
        chain: (&[u8], &[&[u8]]),
        purpose: Purpose,
        at: Timestamp,
    ) -> Result<(), String> {
        if self.0.is_empty() {
            return Err("no trusted authorities are known here".to_owned());
        }
        let (leaf, others) = chain;
        let said = |error: webpki::Error| match error {
            webpki::Error::UnknownIssuer => {
                "no authority that is trusted here vouches for the certificate".to_owned()
            }
            other => format!("the certificate is not accepted: {other}"),
        };
        let leaf = CertificateDer::from(leaf);
        let others: Vec<_> = others
            .iter()
            .map(|der| CertificateDer::from(*der))
            .collect();
        let anchors = self.0.iter();
        let anchors: Vec<TrustAnchor<'_>> = anchors
            .filter_map(|root| anchor_from_trusted_cert(root).ok())
            .collect();
        let at = UnixTime::since_unix_epoch(Duration::from_millis(at.millis()));
        let entity = EndEntityCert::try_from(&leaf).map_err(said)?;
        entity
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                &others,
                at,
                purpose.usage(),
                None,
                None,
            )
            .map(drop)
            .map_err(said)
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return vec![path.to_owned()];
    };
    let entries = entries.filter_map(|entry| Some(entry.ok()?.path()));
    entries
        .filter(|path| path.is_file())
        .take(MOST_FILES)
        .collect()
}

fn contents(path: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(MOST_BYTES).read_to_end(&mut text).ok()?;
    Some(text)
}
