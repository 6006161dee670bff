//! People: who can sign in, as what, and for whom.

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::forms::{Typed, again, filled, kept, or_null};
use super::parties::{MOST, Parties};
use crate::Web;
use crate::backend::{Answer, Object, part};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go};

/// Fields of the form that are shown again.
const FIELDS: [&str; 6] = ["id", "name", "email", "role", "publisher", "vendor"];

/// What is known of a user.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Account {
    name: String,
    email: Option<String>,
    role: String,
    publisher: Option<String>,
    vendor: Option<String>,
    has_password: bool,
    creation_date: u64,
    last_login_date: Option<u64>,
    disabled_date: Option<u64>,
}

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/admin/users", get(list).post(create))
        .route("/admin/users/{id}", get(one).post(edit))
        .route("/admin/users/{id}/password", post(password))
        .route("/admin/users/{id}/state", post(state))
}

#[derive(Template)]
#[template(path = "admin/users.html")]
struct ListPage {
    frame: Frame,
    users: Vec<Object<Account>>,
    more: bool,
    parties: Parties,
    typed: Typed,
    error: Option<Fault>,
}

#[derive(Template)]
#[template(path = "admin/user.html")]
struct OnePage {
    frame: Frame,
    user: Object<Account>,
    is_self: bool,
    parties: Parties,
    typed: Typed,
    error: Option<Fault>,
}

async fn list(viewer: Viewer) -> Result<Response, Fault> {
    let typed = Typed::of([("role", "publisher".to_owned())]);
    show(&list_page(&viewer, typed, None).await?)
}

async fn list_page(viewer: &Viewer, typed: Typed, error: Option<Fault>) -> Result<ListPage, Fault> {
    let api = &viewer.api;
    let (users, parties) = tokio::try_join!(api.every("/acquit/users", MOST), Parties::load(api))?;
    Ok(ListPage {
        frame: Frame::new(viewer, "People", "admin"),
        users: users.0,
        more: users.1,
        parties,
        typed,
        error,
    })
}

async fn create(posted: Posted) -> Result<Response, Fault> {
    let mut order = Value::Object(filled(&posted, &FIELDS));
    let password = posted.raw("password");
    if !password.is_empty() {
        order["password"] = json!(password);
    }
    match posted.viewer.api.post("/acquit/users", &order).await {
        Ok(made) => {
            let id = made["data"]["id"].as_str().unwrap_or_default();
            let name = posted.filled("name").unwrap_or(id);
            let saying = format!("{name} can sign in as {id}.");
            Ok(go("/admin/users", &saying))
        }
        Err(fault) => {
            let typed = Typed::posted(&posted, &FIELDS);
            let page = list_page(&posted.viewer, typed, Some(fault.clone())).await?;
            again(&fault, &page)
        }
    }
}

async fn one(viewer: Viewer, Path(id): Path<String>) -> Result<Response, Fault> {
    show(&one_page(&viewer, &id).await?)
}

async fn one_page(viewer: &Viewer, id: &str) -> Result<OnePage, Fault> {
    let path = format!("/acquit/users/{}", part(id));
    let (user, parties) = tokio::try_join!(
        viewer.api.get::<Answer<Object<Account>>>(&path),
        Parties::load(&viewer.api)
    )?;
    let user = user.data;
    let typed = known(&user.attributes);
    Ok(OnePage {
        frame: Frame::new(viewer, user.attributes.name.clone(), "admin"),
        is_self: viewer.id == user.id,
        user,
        parties,
        typed,
        error: None,
    })
}

fn known(it: &Account) -> Typed {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Typed::of([
        ("name", it.name.clone()),
        ("email", text(&it.email)),
        ("role", it.role.clone()),
        ("publisher", text(&it.publisher)),
        ("vendor", text(&it.vendor)),
    ])
}

async fn edit(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let path = format!("/acquit/users/{}", part(&id));
    let user: Answer<Object<Account>> = posted.viewer.api.get(&path).await?;
    let known = known(&user.data.attributes);
    let mut order = Value::Object(filled(&posted, &["role", "publisher", "vendor"]));
    order["name"] = json!(kept(&posted, &known, "name"));
    order["email"] = or_null(posted.get("email"));
    change(&posted, &id, (order, "Saved.")).await
}

async fn password(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let taken = posted.ticked("none");
    let order = match (taken, posted.raw("password")) {
        (true, _) => json!({ "password": null }),
        (false, password) => json!({ "password": password }),
    };
    let saying = match taken {
        true => "The password is taken away; their sessions have ended.",
        false => "The password is set; their sessions have ended.",
    };
    change(&posted, &id, (order, saying)).await
}

async fn state(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let off = posted.get("disabled") == "yes";
    let saying = match off {
        true => "Disabled; their sessions have ended.",
        false => "Enabled again.",
    };
    change(&posted, &id, (json!({ "disabled": off }), saying)).await
}

/// Changes a user, or shows their page once more with what the API said.
async fn change(
    posted: &Posted,
    id: &str,
    (order, saying): (Value, &str),
) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let path = format!("/acquit/users/{}", part(id));
    match viewer.api.send((Method::PATCH, &path), &order).await {
        Ok(_) => Ok(go(&format!("/admin/users/{}", part(id)), saying)),
        Err(fault) => {
            let page = one_page(viewer, id).await?;
            let page = match posted.filled("name") {
                Some(_) => OnePage {
                    typed: Typed::posted(posted, &FIELDS),
                    ..page
                },
                None => page,
            };
            let error = Some(fault.clone());
            again(&fault, &OnePage { error, ..page })
        }
    }
}
