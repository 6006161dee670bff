//! Publishers: who keeps software here, how much, and what vendors may have of it.

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::forms::{Typed, addresses, again, gigabytes, in_gigabytes, kept, number, or_null};
use super::parties::{self, Publisher};
use crate::Web;
use crate::backend::{Answer, Object, part};
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go};

/// Fields of the form.
const FIELDS: [&str; 14] = [
    "id",
    "name",
    "emails",
    "policy",
    "quota_gb",
    "quota_files",
    "legal_name",
    "country",
    "country_iso",
    "domain",
    "industry",
    "card_company",
    "card_contact",
    "card_homepage",
];
/// Fields that are texts the API takes as they are, or takes away.
const TEXTS: [&str; 5] = ["legal_name", "country", "country_iso", "domain", "industry"];

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/admin/publishers", get(list).post(create))
        .route("/admin/publishers/{id}", get(one).post(edit))
        .route("/admin/publishers/{id}/delete", post(remove))
}

#[derive(Template)]
#[template(path = "admin/publishers.html")]
struct ListPage {
    frame: Frame,
    publishers: Vec<Object<Publisher>>,
    typed: Typed,
    error: Option<Fault>,
}

#[derive(Template)]
#[template(path = "admin/publisher.html")]
struct OnePage {
    frame: Frame,
    publisher: Object<Publisher>,
    typed: Typed,
    error: Option<Fault>,
}

async fn list(viewer: Viewer) -> Result<Response, Fault> {
    let typed = Typed::of([("policy", "metadata-only".to_owned())]);
    show(&list_page(&viewer, typed, None).await?)
}

async fn list_page(viewer: &Viewer, typed: Typed, error: Option<Fault>) -> Result<ListPage, Fault> {
    let publishers = parties::publishers(&viewer.api).await?;
    Ok(ListPage {
        frame: Frame::new(viewer, "Publishers", "admin"),
        publishers,
        typed,
        error,
    })
}

async fn create(posted: Posted) -> Result<Response, Fault> {
    let made = async {
        let mut order = order(&posted, &Typed::default())?;
        if let Some(id) = posted.filled("id") {
            order["id"] = json!(id);
        }
        posted.viewer.api.post("/acquit/publishers", &order).await
    };
    match made.await {
        Ok(made) => {
            let id = made["data"]["id"].as_str().unwrap_or_default();
            let saying = format!("{} is a publisher now.", posted.get("name"));
            Ok(go(&format!("/admin/publishers/{}", part(id)), &saying))
        }
        Err(fault) => {
            let typed = Typed::posted(&posted, &FIELDS);
            let page = list_page(&posted.viewer, typed, Some(fault.clone())).await?;
            again(&fault, &page)
        }
    }
}

async fn find(viewer: &Viewer, id: &str) -> Result<Object<Publisher>, Fault> {
    let path = format!("/acquit/publishers/{}", part(id));
    Ok(viewer.api.get::<Answer<_>>(&path).await?.data)
}

async fn one(viewer: Viewer, Path(id): Path<String>) -> Result<Response, Fault> {
    let publisher = find(&viewer, &id).await?;
    let typed = known(&publisher.attributes);
    show(&one_page(&viewer, publisher, typed))
}

fn one_page(viewer: &Viewer, publisher: Object<Publisher>, typed: Typed) -> OnePage {
    OnePage {
        frame: Frame::new(viewer, publisher.attributes.name.clone(), "admin"),
        publisher,
        typed,
        error: None,
    }
}

async fn edit(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let publisher = find(viewer, &id).await?;
    let path = format!("/acquit/publishers/{}", part(&id));
    let changed = async {
        let known = known(&publisher.attributes);
        let mut order = order(&posted, &known)?;
        order["card"] = card((&posted, &known), &publisher.attributes);
        viewer.api.send((Method::PATCH, &path), &order).await
    };
    match changed.await {
        Ok(_) => Ok(go(&format!("/admin/publishers/{}", part(&id)), "Saved.")),
        Err(fault) => {
            let page = one_page(viewer, publisher, Typed::posted(&posted, &FIELDS));
            let error = Some(fault.clone());
            again(&fault, &OnePage { error, ..page })
        }
    }
}

async fn remove(Path(id): Path<String>, posted: Posted) -> Result<Response, Fault> {
    let viewer = &posted.viewer;
    let path = format!("/acquit/publishers/{}", part(&id));
    let removed = viewer.api.send((Method::DELETE, &path), &json!({})).await;
    match removed {
        Ok(_) => Ok(go("/admin/publishers", &format!("{id} is removed."))),
        Err(fault) => {
            let publisher = find(viewer, &id).await?;
            let typed = known(&publisher.attributes);
            let error = Some(fault.clone());
            let page = one_page(viewer, publisher, typed);
            again(&fault, &OnePage { error, ..page })
        }
    }
}

/// Makes the API's order of the form, beside what is known already.
fn order(posted: &Posted, known: &Typed) -> Result<Value, Fault> {
    let mut order = json!({
        "name": kept(posted, known, "name"),
        "emails": addresses(posted.raw("emails")),
        "quota_bytes": gigabytes(posted.get("quota_gb"))?,
        "quota_files": number(posted.get("quota_files"), "the number of files")?,
    });
    for name in TEXTS {
        order[name] = or_null(&kept(posted, known, name));
    }
    if let Some(policy) = posted.filled("policy") {
        order["policy"] = json!(policy);
    }
    Ok(order)
}

/// Makes the whole card: what the form does not show stays.
fn card((posted, known): (&Posted, &Typed), before: &Publisher) -> Value {
    let mut card = before.card.rest.clone();
    for name in ["company", "contact", "homepage"] {
        let text = kept(posted, known, &format!("card_{name}"));
        if !text.is_empty() {
            card.insert(name.to_owned(), json!(text));
        }
    }
    Value::Object(card)
}

fn known(it: &Publisher) -> Typed {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Typed::of([
        ("name", it.name.clone()),
        ("emails", it.emails.join("\n")),
        ("policy", it.policy.clone()),
        ("quota_gb", in_gigabytes(it.quota_bytes)),
        (
            "quota_files",
            it.quota_files.map(|it| it.to_string()).unwrap_or_default(),
        ),
        ("legal_name", text(&it.legal_name)),
        ("country", text(&it.country)),
        ("country_iso", text(&it.country_iso)),
        ("domain", text(&it.domain)),
        ("industry", text(&it.industry)),
        ("card_company", text(&it.card.company)),
        ("card_contact", text(&it.card.contact)),
        ("card_homepage", text(&it.card.homepage)),
    ])
}
