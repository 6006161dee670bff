//! The way in, with an API that lets in whoever comes with the right code and cookie.

use axum::Json;
use axum::routing::post;
use tower::ServiceExt;

use super::*;
use crate::Settings;

const PROVIDER: &str = "https://id.example/authorize?state=page.s";

/// What the API does, without a provider.
fn api() -> Router {
    let login = async || {
        let theirs = "acquit_oidc=5ec2e7; Path=/api/v3/acquit/oidc; HttpOnly; SameSite=Lax";
        let headers = [(header::LOCATION, PROVIDER), (header::SET_COOKIE, theirs)];
        (StatusCode::FOUND, headers)
    };
    Router::new()
        .route("/api/v3/acquit/oidc/login", get(login))
        .route("/api/v3/acquit/oidc/session", post(session))
}

async fn session(headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let known = cookie(&headers, THEIRS).as_deref() == Some("5ec2e7") && body["code"] == "good";
    match known {
        true => Json(json!({"data": {"attributes": {"apikey": "k3y"}}})).into_response(),
        false => {
            let error =
                json!({"error": {"code": "WrongCredentialsError", "message": "it is over"}});
            (StatusCode::UNAUTHORIZED, Json(error)).into_response()
        }
    }
}

async fn ask(api: Router, path: &str, cookie: &str) -> (StatusCode, HeaderMap, String) {
    let settings = Settings {
        carry: |_, _| (),
        secure: true,
        single_sign_on: true,
    };
    let request = Request::get(path).header(header::COOKIE, cookie);
    let request = request.body(Body::empty()).unwrap();
    let pages = crate::router(api, settings);
    let (parts, body) = pages.oneshot(request).await.unwrap().into_parts();
    let body = bytes(Response::new(body)).await.unwrap();
    (
        parts.status,
        parts.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all(header::SET_COOKIE).iter();
    all.map(|it| it.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn browser_comes_back_to_where_it_wanted_with_a_session() {
    let (status, headers, _) = ask(api(), "/sign-in/oidc?next=/items/a%252Fb%3Fx=1", "").await;
    assert_eq!(
        (status, headers[header::LOCATION].to_str().unwrap()),
        (StatusCode::SEE_OTHER, PROVIDER)
    );
    let set = cookies(&headers);
    assert_eq!(set.len(), 2, "{set:?}");
    assert!(
        set[0].starts_with("acquit_oidc=5ec2e7; Path=/api/v3/acquit/oidc"),
        "{set:?}"
    );
    for part in [
        "Path=/sign-in",
        "HttpOnly",
        "SameSite=Lax",
        "Secure",
        "Max-Age=600",
    ] {
        assert!(set[1].split("; ").any(|it| it == part), "{part}: {set:?}");
    }
    let ours = set[1].split(';').next().unwrap();
    let (status, headers, body) = ask(api(), "/sign-in/callback?code=good", ours).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let set = cookies(&headers);
    assert_eq!(
        set[0],
        "acquit_session=k3y; Path=/; HttpOnly; SameSite=Strict; Secure"
    );
    assert!(
        set[1].starts_with("acquit_sign_in=; ") && set[1].contains("Max-Age=0"),
        "{set:?}"
    );
    assert!(
        body.contains(r#"content="0; url=/items/a%2Fb?x=1""#),
        "{body}"
    );
    assert!(!body.contains("k3y"), "the key is in the cookie only");
}

#[tokio::test]
async fn nobody_comes_in_with_what_another_browser_began_nor_is_led_elsewhere() {
    for kept in ["", "acquit_sign_in=0ther.%2F"] {
        let (status, headers, body) = ask(api(), "/sign-in/callback?code=good", kept).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{kept}");
        assert!(body.contains("it is over"), "{body}");
        let set = cookies(&headers);
        assert!(
            !set.iter().any(|it| it.starts_with("acquit_session=")),
            "{set:?}"
        );
    }
    let kept = "acquit_sign_in=5ec2e7.%2F%2Fevil.example";
    let (_, _, body) = ask(api(), "/sign-in/callback?code=good", kept).await;
    assert!(
        body.contains(r#"content="0; url=/""#) && !body.contains("evil"),
        "{body}"
    );
    let (status, ..) = ask(
        api(),
        "/sign-in/callback?code=bad",
        "acquit_sign_in=5ec2e7.%2F",
    )
    .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn provider_that_does_not_answer_is_told_of_where_people_sign_in() {
    let error = json!({"error": {"code": "TransientError", "message": "nobody can sign in now"}});
    let deaf = async move || (StatusCode::SERVICE_UNAVAILABLE, Json(error));
    let deaf = Router::new().route("/api/v3/acquit/oidc/login", get(deaf));
    let (status, headers, body) = ask(deaf, "/sign-in/oidc", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("nobody can sign in now"), "{body}");
    assert!(cookies(&headers).is_empty());
    let (_, _, body) = ask(api(), "/sign-in?failed=401", "").await;
    assert!(body.contains("The sign-in failed"), "{body}");
    let (_, _, body) = ask(api(), "/sign-in", "").await;
    assert!(!body.contains("notice--bad"), "{body}");
    assert!(body.contains(r#"href="/sign-in/oidc?next=%2F""#), "{body}");
}

#[test]
fn only_the_apis_cookie_is_taken_for_it() {
    assert_eq!(held("acquit_oidc=ab12; Path=/"), Some("ab12"));
    for bad in ["", "acquit_oidc=", "acquit_oidc=a.b; Path=/", "other=ab12"] {
        assert_eq!(held(bad), None, "{bad}");
    }
}
