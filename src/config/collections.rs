//! What is kept of collections, and what is told to whom.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Collections: what is kept of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Collections {
    /// Contents of an item that are kept after it was overwritten.
    pub history: usize,
    /// Days after which an item in the trash is gone for good; 0 keeps it until somebody empties it.
    pub trash_days: u32,
    /// Days an incident may take before it is overdue.
    pub deadline_days: u32,
    /// PEM files, or directories of them, with the certificates of authorities whose signers of
    /// software are shown as trusted; signatures are checked without them too.
    pub signer_roots: Vec<PathBuf>,
}

impl Default for Collections {
    fn default() -> Self {
        Self {
            history: 20,
            trash_days: 30,
            deadline_days: 7,
            signer_roots: vec![PathBuf::from("/etc/ssl/certs/ca-certificates.crt")],
        }
    }
}

/// Mail: by which server it leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// The SMTP server, e.g. `mail.example.org`; no mail is sent if empty.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// `tls` from the beginning, `starttls`, or `none`, which is refused for servers that are not
    /// on this machine unless there is no password.
    pub security: MailSecurity,
    /// User to log in as; nobody logs in if empty.
    pub user: String,
    /// File with the password.
    pub password_file: PathBuf,
    /// PEM file with the certificates of an authority of your own.
    pub ca_file: PathBuf,
    /// Address the mail is from.
    pub from: String,
    /// Largest mail sent, in mebibytes; a dispute that would be larger is taken to a form.
    pub max_mb: u64,
    /// Seconds a server may take for an answer.
    pub timeout_seconds: u64,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            server: String::new(),
            port: 465,
            security: MailSecurity::Tls,
            user: String::new(),
            password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            from: String::new(),
            max_mb: 20,
            timeout_seconds: 30,
        }
    }
}

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailSecurity {
    /// From the first byte.
    Tls,
    /// After a greeting; without it nothing is sent.
    Starttls,
    /// Not at all.
    None,
}

/// Notifications: what their channels may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notifications {
    /// Hosts and networks below private addresses that webhooks may go to, e.g. `10.1.0.0/16` or
    /// `hooks.lan`.
    pub allowed_hosts: Vec<String>,
    /// Seconds the other side may take for an answer.
    pub timeout_seconds: u64,
    /// Hours after which a delivery that never succeeded is given up.
    pub give_up_hours: u32,
    /// Programs a subscription may name, each as a list of the program and its arguments; the
    /// event comes as JSON on standard input.
    pub commands: BTreeMap<String, Vec<String>>,
}

impl Default for Notifications {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            timeout_seconds: 20,
            give_up_hours: 72,
            commands: BTreeMap::new(),
        }
    }
}

/// Disputes: how vendors are told of false positives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disputes {
    /// Directory of vendors; later ones win.
    pub vendors: Vec<PathBuf>,
    /// Whether a dispute is made and sent by itself where the vendor takes mail and the policy
    /// allows it.
    pub automatic: bool,
    /// Days after which a vendor who has not answered is reminded; 0 never.
    pub remind_days: u32,
    /// Reminders after which the publisher is told instead.
    pub reminders: u32,
}

impl Default for Disputes {
    fn default() -> Self {
        Self {
            vendors: vec![
                PathBuf::from("/usr/local/share/acquit/vendors.toml"),
                PathBuf::from("/etc/acquit/vendors.toml"),
            ],
            automatic: false,
            remind_days: 3,
            reminders: 3,
        }
    }
}

/// How people sign in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// Hours a session lasts.
    pub session_hours: u32,
    /// Wrong passwords from one address or for one user that are heard in a minute.
    pub attempts_per_minute: u32,
    /// OpenID Connect: the provider's issuer URL; off if empty.
    pub oidc_issuer: String,
    /// The client id the provider knows this appliance by.
    pub oidc_client_id: String,
    /// File with the client's secret.
    pub oidc_client_secret_file: PathBuf,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            session_hours: 12,
            attempts_per_minute: 10,
            oidc_issuer: String::new(),
            oidc_client_id: String::new(),
            oidc_client_secret_file: PathBuf::new(),
        }
    }
}

impl Login {
    /// Checks what OpenID Connect needs, if it is on.
    ///
    /// # Errors
    /// Says which key is missing or wrong.
    pub(super) fn check(&self, public_url: &str) -> anyhow::Result<()> {
        let issuer = self.oidc_issuer.as_str();
        if issuer.is_empty() {
            return Ok(());
        }
        let local = ["http://127.0.0.1", "http://[::1]", "http://localhost"].iter();
        let rest = local.filter_map(|host| issuer.strip_prefix(host));
        let local = rest
            .into_iter()
            .any(|rest| rest.is_empty() || rest.starts_with([':', '/']));
        anyhow::ensure!(
            local || issuer.starts_with("https://"),
            "login.oidc_issuer must be an https URL; http is only for a provider on this machine"
        );
        anyhow::ensure!(
            public_url.starts_with("https://") || public_url.starts_with("http://"),
            "http.public_url must be the URL people reach this appliance at, since \
             login.oidc_issuer is set: the provider sends them back there"
        );
        anyhow::ensure!(
            !self.oidc_client_id.is_empty(),
            "login.oidc_client_id must be what the provider of login.oidc_issuer gave out"
        );
        anyhow::ensure!(
            self.oidc_client_secret_file.is_absolute(),
            "login.oidc_client_secret_file must be the absolute path of the file with the secret \
             that the provider of login.oidc_issuer gave out"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openid_connect_needs_all_it_is_made_of() {
        let good = Login {
            oidc_issuer: "https://id.example.org".to_owned(),
            oidc_client_id: "acquit".to_owned(),
            oidc_client_secret_file: PathBuf::from("/etc/acquit/oidc.secret"),
            ..Login::default()
        };
        let public = "https://acquit.example.org";
        let refused = |login: &Login, public: &str| {
            let refused = login.check(public).err();
            refused.map_or_else(String::new, |error| error.to_string())
        };
        assert_eq!(refused(&good, public), "");
        assert_eq!(refused(&Login::default(), ""), "", "it is off");
        assert!(refused(&good, "").starts_with("http.public_url must"));
        let issuer = |issuer: &str| Login {
            oidc_issuer: issuer.to_owned(),
            ..good.clone()
        };
        assert_eq!(refused(&issuer("http://127.0.0.1:9000/a"), public), "");
        for open in ["http://id.example.org", "http://127.0.0.1.example.org"] {
            let said = refused(&issuer(open), public);
            assert!(said.starts_with("login.oidc_issuer must"), "{open}: {said}");
        }
        let no_secret = Login {
            oidc_client_secret_file: PathBuf::new(),
            ..good.clone()
        };
        let said = refused(&no_secret, public);
        assert!(
            said.starts_with("login.oidc_client_secret_file must"),
            "{said}"
        );
    }
}
