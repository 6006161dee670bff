//! The appliance's own key pair, with which its bundles are signed.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};

use super::{BundleError, io_failed};

/// The appliance's key.
pub struct Key {
    /// The public half, as others write it into `updates.trusted_keys`.
    pub public: String,
    pub(super) secret: SecretKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// Tells whether a text is a public key of minisign.
pub fn is_public_key(text: &str) -> bool {
    PublicKey::from_base64(text.trim()).is_ok()
}

/// Reads the appliance's key from `bundle.key`; makes it on first use. Blocks.
///
/// The files are minisign's own: `minisign -V` with `bundle.pub` checks a
/// bundle's list without Acquit.
///
/// # Errors
/// If the key can neither be read nor made.
pub fn key(data_dir: &Path) -> Result<Key, BundleError> {
    let path = data_dir.join("bundle.key");
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(data_dir, &path).map_err(io_failed(format!("cannot make {}", path.display())))?;
            fs::read_to_string(&path)
        }
        read => read,
    };
    let text = text.map_err(io_failed(format!("cannot read {}", path.display())))?;
    let secret =
        SecretKeyBox::from_string(&text).and_then(SecretKeyBox::into_unencrypted_secret_key);
    let secret = secret.map_err(|error| {
        let path = path.display();
        BundleError::Key(format!("{path} is no minisign key: {error}"))
    })?;
    let public = PublicKey::from_secret_key(&secret);
    let public = public.map_err(|error| BundleError::Key(error.to_string()))?;
    let public = public.to_base64();
    keep_public(data_dir, &public).map_err(io_failed("cannot write bundle.pub"))?;
    Ok(Key { public, secret })
}

/// Makes the secret half; of two that do so at once, the first one's stays.
fn make(data_dir: &Path, path: &Path) -> io::Result<()> {
    let pair = KeyPair::generate_unencrypted_keypair().map_err(io::Error::other)?;
    let text = pair.sk.to_box(Some("Acquit signature bundles"));
    let text = text.map_err(io::Error::other)?.into_string();
    // A new file of tempfile's is its owner's alone.
    let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(failed) if failed.error.kind() != io::ErrorKind::AlreadyExists => Err(failed.error),
        _ => fs::File::open(data_dir)?.sync_all(),
    }
}

fn keep_public(data_dir: &Path, public: &str) -> io::Result<()> {
    let path = data_dir.join("bundle.pub");
    let text = format!("untrusted comment: Acquit signature bundles\n{public}\n");
    if fs::read_to_string(&path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let first = key(dir.path()).unwrap().public;
        assert_eq!(key(dir.path()).unwrap().public, first);
        let mode = |name| fs::metadata(dir.path().join(name)).unwrap().permissions();
        assert_eq!(mode("bundle.key").mode() & 0o777, 0o600);
        assert!(is_public_key(&first));
        assert!(!is_public_key("RWnonsense"));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(key(other.path()).unwrap().public, first);
    }

    #[test]
    fn damaged_key_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("bundle.key"), "nonsense").unwrap();
        assert!(matches!(key(dir.path()), Err(BundleError::Key(_))));
    }
}
