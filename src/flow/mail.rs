//! Sends mail by the operator's SMTP server.
//!
//! Whatever goes into a header is put there by [`lettre`], encoded, after control characters were
//! taken out: what a file, an engine or a vendor is called cannot add a header or a recipient.
//! A letter has its Message-ID from whoever writes it, so that a repeat after a crash is the same
//! letter.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use lettre::address::Envelope;
use lettre::message::header::ContentType;
use lettre::message::{Attachment as AttachedPart, Mailbox, MessageBuilder, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransportBuilder, Error as SmtpError};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config::{Mail, MailSecurity};

/// Longest subject, in characters.
const SUBJECT_CHARS: usize = 300;
/// Longest answer of a server that is repeated, in characters.
const ANSWER_CHARS: usize = 300;
/// Bytes a server must take each second, or it takes too long.
const BYTES_PER_SECOND: u64 = 32 << 10;
const END_OF_LINE: &[u8] = b"\r\n";
/// Answers that turn down the login or the connection and not the letter: an operator can mend it.
const NOT_ABOUT_THE_LETTER: [u16; 6] = [502, 503, 530, 534, 535, 538];

/// Why a letter did not leave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It may leave later.
    #[error("{0}")]
    Temporary(String),
    /// It never will as it is.
    #[error("{0}")]
    Permanent(String),
}

/// A letter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letter {
    /// Addresses it goes to, each alone or as `Name <address>`.
    pub to: Vec<String>,
    /// What it is about, in any language.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// A file that goes with it.
    pub attachment: Option<Attachment>,
    /// Its Message-ID with the angle brackets: the same whenever the same letter is sent; see
    /// [`Mailer::message_id`].
    pub message_id: String,
    /// Where an answer goes, if not to the sender.
    pub reply_to: Option<String>,
}

/// A file that goes with a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What it is called there.
    pub name: String,
    /// Its media type, e.g. `application/zip`.
    pub media_type: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// Sends letters; clones share it.
#[derive(Clone)]
pub struct Mailer {
    post: Arc<Post>,
}

struct Post {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    server: String,
    max_bytes: u64,
    patience: Duration,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = &self.post.server;
        f.debug_struct("Mailer").field("server", server).finish()
    }
}

impl Mailer {
    /// Prepares to send by the server the configuration names; nothing if it names none.
    ///
    /// # Errors
    /// Says what of the configuration cannot be used.
    pub fn open(config: &Mail) -> anyhow::Result<Option<Self>> {
        let server = config.server.trim();
        if server.is_empty() {
            return Ok(None);
        }
        let from = config.from.trim().parse::<Mailbox>().with_context(|| {
            let from = &config.from;
            format!(
                "mail.from is {from:?}; it must be an address like \"Acquit <acquit@example.org>\""
            )
        })?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server)
            .port(config.port)
            .timeout(Some(Duration::from_secs(config.timeout_seconds.max(1))))
            .tls(tls(config, server)?);
        Ok(Some(Self {
            post: Arc::new(Post {
                transport: log_in(transport, config, server)?.build(),
                from,
                server: server.to_owned(),
                max_bytes: config.max_mb << 20,
                patience: Duration::from_secs(config.timeout_seconds.max(1)),
            }),
        }))
    }

    /// Returns how large a letter may be, in bytes, as it is sent.
    pub fn max_bytes(&self) -> u64 {
        self.post.max_bytes
    }

    /// Makes a Message-ID of a name that is the same whenever the same letter is sent.
    pub fn message_id(&self, name: &str) -> String {
        let legal = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
        let name: String = name.chars().filter(legal).collect();
        format!("<{name}@{}>", self.post.from.email.domain())
    }

    /// Writes a letter as it will leave, so that its size is known before it does.
    ///
    /// # Errors
    /// If it cannot be written, or is larger than mail may be.
    pub async fn seal(&self, letter: Letter) -> Result<Sealed, MailError> {
        let post = Arc::clone(&self.post);
        // An attachment is read from the disk and encoded.
        let sealed = tokio::task::spawn_blocking(move || seal(&post, letter)).await;
        sealed.map_err(|error| MailError::Temporary(error.to_string()))?
    }

    /// Sends a letter and waits until the server has taken it.
    ///
    /// # Errors
    /// If the server did not take it, or nothing is known of whether it did.
    pub async fn send(&self, sealed: &Sealed) -> Result<(), MailError> {
        let post = &self.post;
        let slow = Duration::from_secs(sealed.size() / BYTES_PER_SECOND);
        // The end of the last line goes with the dot that ends the letter.
        let body = sealed.bytes.strip_suffix(END_OF_LINE);
        let body = body.unwrap_or(&sealed.bytes);
        let sent = post.transport.send_raw(&sealed.envelope, body);
        match tokio::time::timeout(post.patience + slow, sent).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refused(&error)),
            Err(_) => Err(MailError::Temporary(
                "the mail server did not answer in time".to_owned(),
            )),
        }
    }
}

/// A letter as it leaves.
#[derive(Clone, Debug)]
pub struct Sealed {
    envelope: Envelope,
    bytes: Vec<u8>,
}

impl Sealed {
    /// Returns how many bytes the server is given, headers and attachments with them.
    pub const fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn seal(post: &Post, letter: Letter) -> Result<Sealed, MailError> {
    let message = message(post, letter)?;
    let mut bytes = message.formatted();
    if !bytes.ends_with(END_OF_LINE) {
        bytes.extend_from_slice(END_OF_LINE);
    }
    let (size, limit) = (bytes.len() as u64, post.max_bytes);
    if size > limit {
        let reason = format!("the mail has {size} bytes; mail.max_mb allows {limit}");
        return Err(MailError::Permanent(reason));
    }
    let envelope = message.envelope().clone();
    Ok(Sealed { envelope, bytes })
}

/// Tells whether a text is one address mail can be sent to.
pub fn is_address(text: &str) -> bool {
    let bare = !text.chars().any(|c| c.is_control() || c == ',' || c == ';');
    bare && text.len() <= 320 && text.parse::<lettre::Address>().is_ok()
}

fn tls(config: &Mail, server: &str) -> anyhow::Result<Tls> {
    if config.security == MailSecurity::None {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(server.to_owned());
    if !config.ca_file.as_os_str().is_empty() {
        for certificate in authorities(&config.ca_file)? {
            parameters = parameters.add_root_certificate(certificate);
        }
    }
    let parameters = parameters
        .build()
        .context("cannot prepare TLS for the mail server")?;
    Ok(match config.security {
        MailSecurity::Tls => Tls::Wrapper(parameters),
        MailSecurity::Starttls => Tls::Required(parameters),
        MailSecurity::None => Tls::None,
    })
}

fn authorities(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let context = || format!("mail.ca_file {} cannot be read", path.display());
    let pem = std::fs::read(path).with_context(context)?;
    let certificate = Certificate::from_pem(&pem).with_context(|| {
        let path = path.display();
        format!("mail.ca_file {path} holds no certificate in PEM form")
    })?;
    Ok(vec![certificate])
}

fn log_in(
    transport: AsyncSmtpTransportBuilder,
    config: &Mail,
    server: &str,
) -> anyhow::Result<AsyncSmtpTransportBuilder> {
    if config.user.is_empty() {
        return Ok(transport);
    }
    if config.security == MailSecurity::None && !is_this_machine(server) {
        bail!(
            "mail.security = \"none\" would send the password of {:?} over the network; \
             use \"tls\" or \"starttls\"",
            config.user
        );
    }
    let path = &config.password_file;
    let password = std::fs::read_to_string(path)
        .with_context(|| format!("mail.password_file {} cannot be read", path.display()))?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    Ok(transport.credentials(Credentials::new(config.user.clone(), password)))
}

fn is_this_machine(server: &str) -> bool {
    let bare = server.trim_start_matches('[').trim_end_matches(']');
    server == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn message(post: &Post, letter: Letter) -> Result<Message, MailError> {
    let mut head = Message::builder()
        .from(post.from.clone())
        .subject(one_line(&letter.subject))
        .message_id(Some(checked_id(&letter.message_id)?));
    for to in &letter.to {
        head = head.to(mailbox(to)?);
    }
    if let Some(reply_to) = &letter.reply_to {
        head = head.reply_to(mailbox(reply_to)?);
    }
    body(marked(head), letter)
}

/// Says to whoever answers by themselves that nobody reads the answer.
fn marked(head: MessageBuilder) -> MessageBuilder {
    head.raw_header(lettre::message::header::HeaderValue::new(
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    ))
}

fn body(head: MessageBuilder, letter: Letter) -> Result<Message, MailError> {
    let text = SinglePart::plain(letter.text);
    let message = match (letter.html, letter.attachment) {
        (None, None) => head.singlepart(text),
        (Some(html), None) => head.multipart(both(text, html)),
        (None, Some(file)) => {
            let parts = MultiPart::mixed().singlepart(text);
            head.multipart(parts.singlepart(attached(&file)?))
        }
        (Some(html), Some(file)) => {
            let parts = MultiPart::mixed().multipart(both(text, html));
            head.multipart(parts.singlepart(attached(&file)?))
        }
    };
    message.map_err(|error| MailError::Permanent(format!("the mail cannot be written: {error}")))
}

fn both(text: SinglePart, html: String) -> MultiPart {
    let html = SinglePart::html(html);
    MultiPart::alternative().singlepart(text).singlepart(html)
}

fn attached(file: &Attachment) -> Result<SinglePart, MailError> {
    let bytes = std::fs::read(&file.path);
    let bytes = bytes.map_err(|error| {
        let reason = format!("the attachment {:?} cannot be read: {error}", file.name);
        MailError::Temporary(reason)
    })?;
    let media_type = ContentType::parse(&file.media_type).map_err(|_| {
        let reason = format!("{:?} is no media type", file.media_type);
        MailError::Permanent(reason)
    })?;
    Ok(AttachedPart::new(one_line(&file.name)).body(bytes, media_type))
}

fn mailbox(text: &str) -> Result<Mailbox, MailError> {
    let unusable = || MailError::Permanent(format!("{text:?} is no mail address"));
    if text.chars().any(char::is_control) {
        return Err(unusable());
    }
    text.parse().map_err(|_| unusable())
}

fn checked_id(text: &str) -> Result<String, MailError> {
    let legal = |c: char| c.is_ascii_graphic() && !"<>\"\\()".contains(c);
    let bare = text.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
    match bare {
        Some(bare) if bare.contains('@') && bare.len() < 250 && bare.chars().all(legal) => {
            Ok(text.to_owned())
        }
        _ => Err(MailError::Permanent(format!("{text:?} is no Message-ID"))),
    }
}

/// Makes a text fit for a header: one line, no control or direction characters, not endless.
pub fn one_line(text: &str) -> String {
    let plain = |c: char| {
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_control() || hidden { ' ' } else { c }
    };
    let text: String = text.chars().map(plain).collect();
    let words: Vec<_> = text.split(' ').filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(SUBJECT_CHARS).collect()
}

fn refused(error: &SmtpError) -> MailError {
    let status = error.status().map(u16::from);
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    let reason = one_line(&reason).chars().take(ANSWER_CHARS).collect();
    match status {
        Some(status) if NOT_ABOUT_THE_LETTER.contains(&status) => MailError::Temporary(reason),
        _ if error.is_permanent() => MailError::Permanent(reason),
        _ => MailError::Temporary(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Mail {
        Mail {
            server: "127.0.0.1".to_owned(),
            security: MailSecurity::None,
            from: "Acquit <acquit@example.org>".to_owned(),
            ..Mail::default()
        }
    }

    fn written(letter: Letter) -> String {
        let mailer = Mailer::open(&config()).unwrap().unwrap();
        let message_id = mailer.message_id("a1");
        let letter = Letter {
            message_id,
            ..letter
        };
        let message = message(&mailer.post, letter).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    #[test]
    fn no_server_is_no_mailer() {
        assert!(Mailer::open(&Mail::default()).unwrap().is_none());
    }

    #[test]
    fn password_without_tls_leaves_for_this_machine_only() {
        let dir = tempfile::tempdir().unwrap();
        let password_file = dir.path().join("password");
        std::fs::write(&password_file, "secret\n").unwrap();
        let mut mail = Mail {
            user: "acquit".to_owned(),
            password_file,
            ..config()
        };
        assert!(Mailer::open(&mail).is_ok());
        mail.server = "mail.example.org".to_owned();
        let refused = format!("{:#}", Mailer::open(&mail).unwrap_err());
        assert!(refused.contains("over the network"), "{refused}");
        mail.security = MailSecurity::Starttls;
        assert!(Mailer::open(&mail).is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_said_at_the_start() {
        let open = |mail: Mail| format!("{:#}", Mailer::open(&mail).unwrap_err());
        let from = open(Mail {
            from: "nobody".to_owned(),
            ..config()
        });
        assert!(from.contains("mail.from"), "{from}");
        let password = open(Mail {
            user: "u".to_owned(),
            password_file: "/nonexistent/password".into(),
            ..config()
        });
        assert!(password.contains("/nonexistent/password"), "{password}");
    }

    #[test]
    fn hostile_subject_adds_no_header_and_any_language_fits() {
        let letter = Letter {
            to: vec!["a@example.org".to_owned()],
            subject: "Größe 検出\r\nBcc: b@example.org\n\nbody".to_owned(),
            text: "hello".to_owned(),
            ..Letter::default()
        };
        let text = written(letter);
        assert!(!text.contains("\nBcc:"), "{text}");
        assert!(text.contains("Subject: =?utf-8?"), "{text}");
        assert!(text.contains("Message-ID: <a1@example.org>"), "{text}");
    }

    #[test]
    fn hostile_name_of_an_attachment_stays_in_its_header() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"PK").unwrap();
        let letter = Letter {
            to: vec!["a@example.org".to_owned()],
            html: Some("<p>hello</p>".to_owned()),
            attachment: Some(Attachment {
                name: "a\"; x=y\r\nX-Evil: 1.zip".to_owned(),
                media_type: "application/zip".to_owned(),
                path,
            }),
            ..Letter::default()
        };
        let text = written(letter);
        assert!(!text.contains("\nX-Evil"), "{text}");
        assert!(text.contains("multipart/mixed"), "{text}");
        assert!(text.contains("multipart/alternative"), "{text}");
    }

    #[test]
    fn what_is_no_address_or_no_message_id_is_refused() {
        for to in ["", "a", "a@b\r\nBcc: c@d", "a@b, c@d"] {
            assert!(mailbox(to).is_err(), "{to:?}");
        }
        assert!(is_address("a@example.org"));
        assert!(!is_address("A <a@example.org>"));
        for id in ["a@b", "<a>", "<a@b>\r\nX: y", "<a@b c>"] {
            assert!(checked_id(id).is_err(), "{id:?}");
        }
    }
}
