//! Mail by a real server: with and without TLS, refused, slow, in any language.

use std::path::Path;
use std::process::Command;

use acquit::config::{Mail, MailSecurity};
use acquit::flow::mail::{Attachment, Letter, MailError, Mailer};
use acquit::model::{About, Channel, DeliveryState, EventKind};
use acquit::store::SUBSCRIPTIONS;

use super::lab::{Lab, Peer, plain_mail, wait};
use crate::support;

fn letter(mailer: &Mailer, to: &str) -> Letter {
    Letter {
        to: vec![to.to_owned()],
        subject: "Größe 検出\r\nBcc: evil@example.org".to_owned(),
        text: "Grüße\n.\nQUIT\n".to_owned(),
        html: Some("<p>Grüße</p>".to_owned()),
        message_id: mailer.message_id("one"),
        ..Letter::default()
    }
}

async fn send(mailer: &Mailer, letter: Letter) -> Result<(), MailError> {
    let sealed = mailer.seal(letter).await?;
    mailer.send(&sealed).await
}

fn certificate(dir: &Path) -> [String; 2] {
    let paths = ["cert.pem", "key.pem"].map(|name| dir.join(name).to_str().unwrap().to_owned());
    support::run(Command::new("openssl").args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-out",
        &paths[0],
        "-keyout",
        &paths[1],
    ]));
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_leaves_with_tls_and_login_and_not_without_a_known_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(dir.path());
    let password = dir.path().join("password");
    std::fs::write(&password, "s3cret\n").unwrap();
    for (mode, security) in [
        ("tls", MailSecurity::Tls),
        ("starttls", MailSecurity::Starttls),
    ] {
        let post = Peer::start("smtp.py", &[mode, &cert, &key, "acquit", "s3cret"]);
        let config = Mail {
            security,
            user: "acquit".to_owned(),
            password_file: password.clone(),
            ca_file: cert.clone().into(),
            ..plain_mail(post.port)
        };
        let mailer = Mailer::open(&config).unwrap().unwrap();
        send(&mailer, letter(&mailer, "a@example.org"))
            .await
            .unwrap();
        let said = post.said(1).await;
        assert_eq!(
            (&said[0]["tls"], &said[0]["login"]),
            (&true.into(), &true.into()),
            "{mode}"
        );
        let stranger = Mail {
            ca_file: Default::default(),
            ..config.clone()
        };
        let stranger = Mailer::open(&stranger).unwrap().unwrap();
        let refused = send(&stranger, letter(&stranger, "a@example.org")).await;
        assert!(
            matches!(refused, Err(MailError::Temporary(_))),
            "{refused:?}"
        );
        // An operator can mend a wrong password: the letter is kept.
        let wrong = dir.path().join("wrong");
        std::fs::write(&wrong, "no").unwrap();
        let config = Mail {
            password_file: wrong,
            ..config
        };
        let mailer = Mailer::open(&config).unwrap().unwrap();
        let refused = send(&mailer, letter(&mailer, "a@example.org")).await;
        assert!(
            matches!(refused, Err(MailError::Temporary(_))),
            "{refused:?}"
        );
        assert_eq!(post.lines().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_without_starttls_gets_nothing() {
    let post = Peer::start("smtp.py", &["none"]);
    let config = Mail {
        security: MailSecurity::Starttls,
        ..plain_mail(post.port)
    };
    let mailer = Mailer::open(&config).unwrap().unwrap();
    assert!(
        send(&mailer, letter(&mailer, "a@example.org"))
            .await
            .is_err()
    );
    assert!(post.lines().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn letter_arrives_whole_and_what_the_server_says_of_it_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let post = Peer::start("smtp.py", &["none"]);
    let mailer = Mailer::open(&plain_mail(post.port)).unwrap().unwrap();
    let path = dir.path().join("package");
    std::fs::write(&path, vec![7; 300_000]).unwrap();
    let attachment = Some(Attachment {
        name: "größe.zip".to_owned(),
        media_type: "application/zip".to_owned(),
        path: path.clone(),
    });
    let whole = Letter {
        attachment,
        ..letter(&mailer, "a@example.org")
    };
    let sealed = mailer.seal(whole.clone()).await.unwrap();
    mailer.send(&sealed).await.unwrap();
    let said = post.said(1).await;
    assert_eq!(said[0]["size"], sealed.size());
    assert_eq!(said[0]["to"], serde_json::json!(["a@example.org"]));
    let headers = &said[0]["headers"];
    assert_eq!(headers["subject"], "Größe 検出 Bcc: evil@example.org");
    assert_eq!(headers["message-id"], "<one@example.org>");
    assert!(headers["bcc"].is_null());
    assert_eq!(
        said[0]["text"].as_str().unwrap().replace("\r\n", "\n"),
        "Grüße\n.\nQUIT\n"
    );
    assert_eq!(
        said[0]["files"],
        serde_json::json!([["größe.zip", 300_000]])
    );
    let later = send(&mailer, letter(&mailer, "temporary@example.org")).await;
    assert!(matches!(later, Err(MailError::Temporary(_))), "{later:?}");
    let never = send(&mailer, letter(&mailer, "permanent@example.org")).await;
    assert!(matches!(never, Err(MailError::Permanent(_))), "{never:?}");
    let slow = send(&mailer, letter(&mailer, "slow@example.org")).await;
    assert!(matches!(slow, Err(MailError::Temporary(_))), "{slow:?}");
    let small = Mail {
        max_mb: 0,
        ..plain_mail(post.port)
    };
    let small = Mailer::open(&small).unwrap().unwrap();
    assert!(matches!(
        send(&small, whole).await,
        Err(MailError::Permanent(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_a_publisher_are_told_once_and_can_be_switched_off() {
    let post = Peer::start("smtp.py", &["none"]);
    let mut lab = Lab::new(|config| config.mail = plain_mail(post.port));
    let id = lab
        .publisher("acme", &["a@acme.example", "permanent@acme.example"])
        .await;
    lab.publisher("other", &["b@other.example"]).await;
    lab.run();
    let about = About {
        publisher: Some(id),
        ..About::default()
    };
    let opened = EventKind::IncidentOpened;
    lab.raise(
        opened,
        about.clone(),
        "x <b>detects</b> /setup.exe\r\nBcc: c@d.example",
    )
    .await;
    let said = post.said(1).await;
    assert_eq!(said[0]["to"], serde_json::json!(["a@acme.example"]));
    assert!(said[0]["text"].as_str().unwrap().contains("<b>detects</b>"));
    assert!(
        !said[0]["html"].as_str().unwrap().contains("<b>"),
        "{said:?}"
    );
    let rows = || lab.store.list(&SUBSCRIPTIONS, (&[], None), 9).unwrap().rows;
    assert_eq!(rows().len(), 2, "one row for each address");
    let of = |to: &str| {
        let same = |row: &acquit::model::Subscription| matches!(&row.channel, Channel::Mail { to: found } if found == to);
        rows().into_iter().map(|(_, row)| row).find(same).unwrap()
    };
    let (fine, bad) = (of("a@acme.example"), of("permanent@acme.example"));
    let off = acquit::flow::notify::subscriptions::Edit {
        disabled: Some(Some((acquit::system::now(), "enough".to_owned()))),
        ..Default::default()
    };
    acquit::flow::notify::subscriptions::edit(&lab.store, fine.id, off)
        .await
        .unwrap();
    let event = lab.raise(opened, about, "again").await;
    let failed = lab
        .delivery((&event, &bad), |d| d.state == DeliveryState::Failed)
        .await;
    assert!(
        failed.attempts[0].outcome.contains("nobody of that name"),
        "{failed:?}"
    );
    assert_eq!(post.lines().len(), 1);
    lab.stop().await;
}

/// Prints how long it takes from an incident's event to the mail server's word.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_from_event_to_mail() {
    let post = Peer::start("smtp.py", &["none"]);
    let mut lab = Lab::new(|config| config.mail = plain_mail(post.port));
    let id = lab.publisher("acme", &["a@acme.example"]).await;
    lab.run();
    let about = About {
        publisher: Some(id),
        ..About::default()
    };
    let mut millis = Vec::new();
    for number in 0..50 {
        let event = lab
            .raise(EventKind::IncidentOpened, about.clone(), "x")
            .await;
        let row = wait(|| {
            lab.store
                .list(&SUBSCRIPTIONS, (&[], None), 1)
                .unwrap()
                .rows
                .pop()
        })
        .await
        .1;
        let done = lab
            .delivery((&event, &row), |d| d.state == DeliveryState::Delivered)
            .await;
        millis.push(done.attempts[0].at.since(event.at).as_millis());
        tokio::time::sleep(std::time::Duration::from_millis(37 * (number % 7))).await;
    }
    millis.sort_unstable();
    eprintln!(
        "event to mail accepted: p50 {} ms, max {} ms",
        millis[25], millis[49]
    );
    lab.stop().await;
}
