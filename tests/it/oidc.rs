//! Signing in through a provider of OpenID Connect, with a real one that errs when told to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};

use crate::http::appliance::{Appliance, answer, client, refused};
use crate::notify::lab::Peer;
use crate::people::{done, ledger};
use crate::roles::parties;

const PUBLIC: &str = "https://acquit.example.org/scans";

/// An appliance, its provider, and a browser that follows nothing by itself.
struct Lab {
    appliance: Appliance,
    browser: Client,
    _provider: Peer,
}

/// A sign-in that is under way: its cookie, and where the browser is sent.
struct Begun {
    cookie: String,
    location: Url,
}

impl Lab {
    async fn start() -> Self {
        let back = format!("{PUBLIC}/api/v3/acquit/oidc/callback");
        let provider = Peer::start("oidc.py", &["acquit", "s3cret:+", &back]);
        let issuer = provider.url("");
        let appliance = Appliance::start_with(|config| {
            let secret = config.storage.data_dir.join("oidc.secret");
            std::fs::write(&secret, "s3cret:+\n").unwrap();
            config.http.public_url = PUBLIC.to_owned();
            config.login.attempts_per_minute = 100;
            config.login.oidc_issuer = issuer;
            config.login.oidc_client_id = "acquit".to_owned();
            config.login.oidc_client_secret_file = secret;
        });
        let appliance = appliance.await;
        parties(&appliance).await;
        for order in [
            json!({"name": "Ann", "role": "publisher", "publisher": "acme", "email": "ann@acme.example"}),
            json!({"name": "Bob", "role": "viewer", "email": "bob@acme.example"}),
            json!({"name": "Cy", "role": "admin", "email": "two@acme.example"}),
            json!({"name": "Di", "role": "viewer", "email": "TWO@acme.example"}),
        ] {
            let users = appliance.api("/acquit/users");
            done(appliance.admin().post(&users).json(&order)).await;
        }
        let bob = appliance.api("/acquit/users/bob");
        done(
            appliance
                .admin()
                .patch(bob)
                .json(&json!({"disabled": true})),
        )
        .await;
        let browser = Client::builder().no_proxy().redirect(Policy::none());
        Self {
            appliance,
            browser: browser.build().unwrap(),
            _provider: provider,
        }
    }

    async fn begin(&self) -> Begun {
        self.begin_at("/acquit/oidc/login").await
    }

    async fn begin_at(&self, path: &str) -> Begun {
        let login = self.appliance.api(path);
        let sent = self.browser.get(login).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::FOUND);
        let cookie = sent.headers()[SET_COOKIE].to_str().unwrap();
        for part in [
            "HttpOnly",
            "SameSite=Lax",
            "Secure",
            "Path=/scans/api/v3/acquit/oidc",
        ] {
            assert!(
                cookie.split("; ").any(|kept| kept == part),
                "{part} is not in {cookie}"
            );
        }
        Begun {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            location: sent.headers()[LOCATION].to_str().unwrap().parse().unwrap(),
        }
    }

    /// Has the provider let somebody in; returns what it sends the browser back with.
    async fn let_in(&self, begun: &Begun, (email, wrong): (&str, &str)) -> String {
        let mut url = begun.location.clone();
        url.query_pairs_mut()
            .append_pair("email", email)
            .append_pair("wrong", wrong);
        let sent = self.browser.get(url).send().await.unwrap();
        assert_eq!(
            sent.status(),
            StatusCode::FOUND,
            "{}",
            sent.text().await.unwrap()
        );
        let back: Url = sent.headers()[LOCATION].to_str().unwrap().parse().unwrap();
        assert!(back.as_str().starts_with(PUBLIC), "{back}");
        back.query().unwrap().to_owned()
    }

    fn come(&self, query: &str, cookie: &str) -> RequestBuilder {
        let url = self
            .appliance
            .api(&format!("/acquit/oidc/callback?{query}"));
        self.browser.get(url).header(COOKIE, cookie)
    }

    /// Has a page begin a sign-in; returns its cookie, and where the browser ends.
    async fn come_by_page(&self, person: (&str, &str)) -> (String, String) {
        let begun = self.begin_at("/acquit/oidc/login?page=1").await;
        let query = self.let_in(&begun, person).await;
        let sent = self.come(&query, &begun.cookie).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::SEE_OTHER);
        let ended = sent.headers()[SET_COOKIE].to_str().unwrap();
        assert!(ended.contains("Max-Age=0"), "{ended}");
        let place = sent.headers()[LOCATION].to_str().unwrap().to_owned();
        (begun.cookie, place)
    }

    fn enter(&self, code: &str, cookie: &str) -> RequestBuilder {
        let url = self.appliance.api("/acquit/oidc/session");
        let asked = self.browser.post(url).header(COOKIE, cookie);
        asked.json(&json!({ "code": code }))
    }

    /// Sees that nobody comes in, and why; returns what was said.
    async fn kept_out(&self, coming: RequestBuilder, reason: &str) -> String {
        let before = ledger(&self.appliance).matches(reason).count();
        let said = refused(coming, 401, "WrongCredentialsError").await;
        let text = ledger(&self.appliance);
        assert_eq!(text.matches(reason).count(), before + 1, "{reason}: {text}");
        said
    }
}

#[tokio::test]
async fn user_the_provider_vouches_for_has_a_session_like_any_other() {
    let lab = Lab::start().await;
    let begun = lab.begin().await;
    let query = lab.let_in(&begun, ("ANN@Acme.example", "")).await;
    let cookies = format!("other=1; {}", begun.cookie);
    let sent = lab.come(&query, &cookies).send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::OK);
    let cookie = sent.headers()[SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("Max-Age=0"), "{cookie}");
    assert_eq!(sent.headers()["cache-control"], "no-store");
    let seen: Value = sent.json().await.unwrap();
    assert_eq!(seen["data"]["id"], "ann");
    let session = client(seen["data"]["attributes"]["apikey"].as_str().unwrap());
    let api = |path: &str| lab.appliance.api(path);
    let me = done(session.get(api("/users/me"))).await;
    assert_eq!(me["data"]["attributes"]["role"], "publisher");
    refused(session.get(api("/acquit/users")), 403, "ForbiddenError").await;
    done(session.post(api("/acquit/signout"))).await;
    refused(session.get(api("/users/me")), 401, "UserNotActiveError").await;
    let text = ledger(&lab.appliance);
    assert!(
        text.contains("user ann signs in through OpenID Connect from 127.0.0.1"),
        "{text}"
    );
    lab.kept_out(
        lab.come(&query, &begun.cookie),
        "it was not begun here, or is over",
    )
    .await;
}

#[tokio::test]
async fn page_that_began_it_has_the_session_by_a_code_that_is_good_once() {
    let lab = Lab::start().await;
    let good = ("ann@acme.example", "");
    let (cookie, place) = lab.come_by_page(good).await;
    let before = format!("{PUBLIC}/sign-in/callback?code=");
    let code = place.strip_prefix(&before).unwrap();
    let seen = done(lab.enter(code, &cookie)).await;
    assert_eq!(seen["data"]["id"], "ann");
    let session = client(seen["data"]["attributes"]["apikey"].as_str().unwrap());
    done(session.get(lab.appliance.api("/users/me"))).await;
    let refuse = async |code: &str, cookie: &str| {
        refused(lab.enter(code, cookie), 401, "WrongCredentialsError").await
    };
    refuse(code, &cookie).await;
    // Another browser's attempt ends it for everybody.
    let (cookie, place) = lab.come_by_page(good).await;
    let code = place.strip_prefix(&before).unwrap();
    refuse(code, "acquit_oidc=another").await;
    refuse(code, &cookie).await;
    // Somebody disabled on the way stays out.
    let (cookie, place) = lab.come_by_page(good).await;
    let ann = lab.appliance.api("/acquit/users/ann");
    let order = json!({"disabled": true});
    done(lab.appliance.admin().patch(ann).json(&order)).await;
    refuse(place.strip_prefix(&before).unwrap(), &cookie).await;
    let (_, place) = lab.come_by_page(good).await;
    assert_eq!(place, format!("{PUBLIC}/sign-in?failed=401"));
    let (_, place) = lab.come_by_page(("ann@acme.example", "nonce")).await;
    assert_eq!(place, format!("{PUBLIC}/sign-in?failed=401"));
}

#[tokio::test]
async fn token_that_is_not_good_lets_nobody_in() {
    let lab = Lab::start().await;
    let good = "ann@acme.example";
    let mut said = Vec::new();
    for wrong in [
        "nonce", "audience", "issuer", "expired", "none", "key", "hmac",
    ] {
        let begun = lab.begin().await;
        let query = lab.let_in(&begun, (good, wrong)).await;
        let coming = lab.come(&query, &begun.cookie);
        said.push(
            lab.kept_out(coming, "failed: the ID token is not good")
                .await,
        );
    }
    for (email, wrong, reason) in [
        (good, "unverified", "the address of mail is not verified"),
        (good, "silent", "the address of mail is not verified"),
        (
            "eve@acme.example",
            "",
            "not exactly one user has the address",
        ),
        (
            "two@acme.example",
            "",
            "not exactly one user has the address",
        ),
        ("ann", "", "not exactly one user has the address"),
        ("bob@acme.example", "", "the user is disabled"),
    ] {
        let begun = lab.begin().await;
        let query = lab.let_in(&begun, (email, wrong)).await;
        let reason = format!(
            "sign-in as \\\"{email}\\\" through OpenID Connect from 127.0.0.1 failed: {reason}"
        );
        said.push(lab.kept_out(lab.come(&query, &begun.cookie), &reason).await);
    }
    said.dedup();
    assert_eq!(said.len(), 1, "a stranger learns of nobody: {said:?}");
}

#[tokio::test]
async fn sign_in_belongs_to_the_browser_that_began_it_and_to_one_code() {
    let lab = Lab::start().await;
    let good = ("ann@acme.example", "");
    let (ours, theirs) = (lab.begin().await, lab.begin().await);
    let query = lab.let_in(&ours, good).await;
    let foreign = lab.come(&query, &theirs.cookie);
    lab.kept_out(foreign, "failed: another browser began it")
        .await;
    // Once it was tried from elsewhere, it is over for everybody.
    let late = lab.come(&query, &ours.cookie);
    lab.kept_out(late, "failed: it was not begun here, or is over")
        .await;
    let bare = lab.begin().await;
    let query = lab.let_in(&bare, good).await;
    lab.kept_out(lab.come(&query, ""), "failed: another browser began it")
        .await;
    let (one, other) = (lab.begin().await, lab.begin().await);
    let code = lab.let_in(&one, good).await;
    let code = code
        .split('&')
        .find(|part| part.starts_with("code="))
        .unwrap();
    let other_state = other
        .location
        .query_pairs()
        .find(|(name, _)| name == "state");
    let mixed = format!("{code}&state={}", other_state.unwrap().1);
    // The code is bound to the verifier of the sign-in it was given for.
    let mixed = lab.come(&mixed, &other.cookie);
    lab.kept_out(mixed, "failed: the provider refused the code")
        .await;
    let denied = lab.begin().await;
    let state = denied
        .location
        .query_pairs()
        .find(|(name, _)| name == "state");
    let query = format!("error=access_denied&state={}", state.unwrap().1);
    let denied = lab.come(&query, &denied.cookie);
    lab.kept_out(denied, "failed: the provider gave no code")
        .await;
}

#[tokio::test]
async fn it_is_off_until_it_is_set_up_and_bounded_like_every_sign_in() {
    let off = Appliance::start().await;
    let nobody = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .build()
        .unwrap();
    for path in ["login", "callback?state=a&code=b"] {
        let asked = nobody.get(off.api(&format!("/acquit/oidc/{path}")));
        refused(asked, 404, "NotFoundError").await;
    }
    let entering = nobody.post(off.api("/acquit/oidc/session"));
    let entering = entering.json(&json!({"code": "a"}));
    refused(entering, 404, "NotFoundError").await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    let deaf = Appliance::start_with(|config| {
        config.http.public_url = PUBLIC.to_owned();
        config.login.attempts_per_minute = 2;
        // Nobody listens there.
        config.login.oidc_issuer = "http://127.0.0.1:1".to_owned();
        config.login.oidc_client_id = "acquit".to_owned();
        config.login.oidc_client_secret_file = secret.path().to_owned();
    });
    let deaf = deaf.await;
    for (path, status) in [("login", 503), ("callback?state=a&code=b", 401)] {
        let ask = || nobody.get(deaf.api(&format!("/acquit/oidc/{path}")));
        for _ in 0..2 {
            let (seen, body) = answer(ask()).await;
            assert_eq!(seen.as_u16(), status, "{body}");
        }
        let (seen, body) = answer(ask()).await;
        assert_eq!(seen, StatusCode::TOO_MANY_REQUESTS, "{body}");
    }
}
