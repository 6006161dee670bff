//! The way of an empty appliance to its first verdict: what is done, and what comes next.

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Web;
use crate::backend::{Answer, Listing, Object};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::form::Posted;
use crate::frame::{Frame, show};
use crate::session::{Viewer, go};

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/welcome", get(page))
        .route("/welcome/person", post(person))
        .route("/welcome/publisher", post(publisher))
}

#[derive(Template)]
#[template(path = "welcome/page.html")]
struct Page {
    frame: Frame,
    state: State,
    typed: Typed,
    error: Option<String>,
}

/// What was typed into a form that was refused; never a password.
#[derive(Debug, Default)]
struct Typed {
    form: &'static str,
    name: String,
    email: String,
}

/// How far the appliance is.
#[derive(Debug, PartialEq, Eq)]
struct State {
    /// Engines that would scan a file now.
    answering: u64,
    /// Engines that are asked about files.
    enabled: u64,
    /// Engines that are being made ready, with what they do.
    waiting: Vec<(String, String)>,
    /// Somebody who can sign in with a password.
    person: Option<String>,
    /// A publisher: id and name.
    publisher: Option<(String, String)>,
    /// Items that were looked at.
    scanned: u64,
    /// Whether an engine has answered about any file.
    answered: bool,
}

/// A step of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Engines,
    Person,
    Publisher,
    File,
}

#[derive(Debug, Deserialize)]
struct Account {
    #[serde(default)]
    name: String,
    #[serde(default)]
    has_password: bool,
}

#[derive(Debug, Deserialize)]
struct Publisher {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Overview {
    collection: Option<Held>,
}

#[derive(Debug, Deserialize)]
struct Held {
    items: u64,
    items_unscanned: u64,
}

async fn page(viewer: Viewer) -> Result<Response, Fault> {
    render(&viewer, (Typed::default(), None)).await
}

async fn render(
    viewer: &Viewer,
    (typed, error): (Typed, Option<String>),
) -> Result<Response, Fault> {
    if !viewer.is_admin() {
        let message = "the first steps are an administrator's".to_owned();
        return Err(Fault::api(StatusCode::FORBIDDEN, String::new(), message));
    }
    let status = if error.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let page = show(&Page {
        frame: Frame::new(viewer, "First steps", "dashboard"),
        state: state(viewer).await?,
        typed,
        error,
    })?;
    Ok((status, page).into_response())
}

async fn state(viewer: &Viewer) -> Result<State, Fault> {
    let api = &viewer.api;
    let (engines, accounts, publishers, overview) = tokio::try_join!(
        api.get::<Listing<Object<Engine>>>("/acquit/engines?limit=40"),
        api.get::<Listing<Object<Account>>>("/acquit/users?limit=40"),
        api.get::<Listing<Object<Publisher>>>("/acquit/publishers?limit=1"),
        api.get::<Answer<Object<Overview>>>("/acquit/overview"),
    )?;
    let asked = engines.data.into_iter().map(|it| it.attributes);
    let asked: Vec<Engine> = asked.filter(Engine::takes_part).collect();
    let answering = asked.iter().filter(|it| it.can_scan).count();
    let waiting = asked.iter().filter(|it| !it.can_scan);
    let accounts = accounts.data.into_iter().map(|it| it.attributes);
    let publishers = publishers.data.into_iter();
    let held = overview.data.attributes.collection;
    Ok(State {
        answering: answering as u64,
        enabled: asked.len() as u64,
        waiting: waiting.map(|it| (it.name.clone(), it.health().2)).collect(),
        person: accounts
            .filter(|it| it.has_password)
            .map(|it| it.name)
            .next(),
        publisher: publishers.map(|it| (it.id, it.attributes.name)).next(),
        scanned: held.map_or(0, |it| it.items.saturating_sub(it.items_unscanned)),
        answered: asked.iter().any(|it| it.coverage.answered > 0),
    })
}

impl State {
    /// Tells whether a step is done.
    fn is_done(&self, step: Step) -> bool {
        match step {
            Step::Engines => self.enabled > 0 && self.answering == self.enabled,
            Step::Person => self.person.is_some(),
            Step::Publisher => self.publisher.is_some(),
            Step::File => self.scanned > 0 || self.answered,
        }
    }

    /// Returns the step that comes next. Engines get ready by themselves, and one that answers is
    /// enough to go on.
    fn next(&self) -> Option<Step> {
        let steps = [Step::Engines, Step::Person, Step::Publisher, Step::File];
        let is_enough =
            |step: &Step| self.is_done(*step) || (*step == Step::Engines && self.answering > 0);
        steps.into_iter().find(|step| !is_enough(step))
    }

    /// Returns the classes of a step.
    fn class(&self, step: Step) -> &'static str {
        match (self.is_done(step), self.next() == Some(step)) {
            (true, _) => "is-done",
            (false, true) => "is-next",
            (false, false) => "",
        }
    }
}

impl Page {
    /// Tells whether a form was refused.
    fn refused(&self, form: &str) -> Option<&str> {
        let error = self.error.as_deref();
        error.filter(|_| self.typed.form == form)
    }
}

async fn person(posted: Posted) -> Result<Response, Fault> {
    let mut body = Map::from_iter([
        ("name".to_owned(), json!(posted.get("name"))),
        ("role".to_owned(), json!("admin")),
        ("password".to_owned(), json!(posted.raw("password"))),
    ]);
    if let Some(email) = posted.filled("email") {
        body.insert("email".to_owned(), json!(email));
    }
    make(&posted, ("person", "/acquit/users"), body.into()).await
}

async fn publisher(posted: Posted) -> Result<Response, Fault> {
    let emails: Vec<_> = posted.filled("email").into_iter().collect();
    let body = json!({ "name": posted.get("name"), "emails": emails });
    make(&posted, ("publisher", "/acquit/publishers"), body).await
}

/// Makes what a form asks for; shows the form again with what is wrong.
async fn make(
    posted: &Posted,
    (form, path): (&'static str, &str),
    body: Value,
) -> Result<Response, Fault> {
    match posted.viewer.api.post(path, &body).await {
        Ok(made) => {
            let id = made["data"]["id"].as_str().unwrap_or_default();
            let saying = match form {
                "person" => format!("{} can sign in now, as {id}.", posted.get("name")),
                _ => format!("The publisher {} is made.", posted.get("name")),
            };
            Ok(go("/welcome", &saying))
        }
        Err(fault) if fault.status.is_server_error() || fault.sign_in => Err(fault),
        Err(fault) => {
            let typed = Typed {
                form,
                name: posted.get("name").to_owned(),
                email: posted.get("email").to_owned(),
            };
            render(&posted.viewer, (typed, Some(fault.message))).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> State {
        State {
            answering: 0,
            enabled: 2,
            waiting: Vec::new(),
            person: None,
            publisher: None,
            scanned: 0,
            answered: false,
        }
    }

    #[test]
    fn steps_come_one_after_the_other() {
        let mut state = empty();
        assert_eq!(state.next(), Some(Step::Engines));
        state.answering = 1;
        assert_eq!(state.next(), Some(Step::Person));
        // One of two answers: enough to go on, but not all of it.
        assert!(!state.is_done(Step::Engines));
        state.person = Some("Ada".to_owned());
        assert_eq!(state.next(), Some(Step::Publisher));
        state.publisher = Some(("acme".to_owned(), "Acme".to_owned()));
        assert_eq!(
            (state.next(), state.class(Step::File)),
            (Some(Step::File), "is-next")
        );
        state.scanned = 1;
        assert_eq!((state.next(), state.class(Step::File)), (None, "is-done"));
    }

    #[test]
    fn appliance_without_engines_is_not_ready() {
        let state = State {
            enabled: 0,
            ..empty()
        };
        assert!(!state.is_done(Step::Engines));
    }
}
