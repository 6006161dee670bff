//! What surrounds each page: its title, who looks at it, where else they can go.

use askama::Template;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::fault::Fault;
use crate::session::{Guest, Role, Viewer};

/// What surrounds a page.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Title of the page, without the product's name.
    pub title: String,
    /// Id of the part of the navigation the page is in; see [`PLACES`].
    pub active: &'static str,
    /// Who looks at it; nobody before they sign in.
    pub viewer: Option<Person>,
    /// The page itself: path and query.
    pub url: String,
    /// `light`, `dark` or empty.
    pub theme: &'static str,
    /// Sentence the page before left.
    pub flash: Option<String>,
    /// What was searched for.
    pub search: String,
}

/// Who looks at a page, as the frame shows them.
#[derive(Clone, Debug)]
pub struct Person {
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The publisher or the vendor they speak for.
    pub group: Option<String>,
    /// The session's token, for forms.
    pub csrf: String,
}

/// A part of the navigation.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its id, also that of its picture.
    pub id: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// The same where there is little room.
    pub short: &'static str,
    /// Where it is.
    pub href: &'static str,
    who: &'static [Role],
}

const READERS: &[Role] = &[Role::Admin, Role::Publisher, Role::Viewer];
const VENDORS: &[Role] = &[Role::Vendor];
const ADMINS: &[Role] = &[Role::Admin];
const WRITERS: &[Role] = &[Role::Admin, Role::Publisher];

/// Where people can go, in order.
pub const PLACES: [Place; 10] = [
    place(("dashboard", "Dashboard", "Home"), "/", READERS),
    place(
        ("collection", "Collection", "Files"),
        "/collection",
        READERS,
    ),
    place(("analyses", "Analyses", "Analyses"), "/analyses", READERS),
    place(
        ("incidents", "Incidents", "Incidents"),
        "/incidents",
        READERS,
    ),
    place(("engines", "Engines", "Engines"), "/engines", READERS),
    place(("scan", "Scan a file", "Scan"), "/scan", WRITERS),
    place(("vendor", "Detections", "Detections"), "/vendor", VENDORS),
    place(
        ("statistics", "Statistics", "Statistics"),
        "/vendor/statistics",
        VENDORS,
    ),
    place(
        ("bundles", "Bundles", "Bundles"),
        "/vendor/bundles",
        VENDORS,
    ),
    place(("admin", "Administration", "Admin"), "/admin", ADMINS),
];

const fn place(
    (id, name, short): (&'static str, &'static str, &'static str),
    href: &'static str,
    who: &'static [Role],
) -> Place {
    Place {
        id,
        name,
        short,
        href,
        who,
    }
}

impl Frame {
    /// Makes the frame of a page.
    pub fn new(viewer: &Viewer, title: impl Into<String>, active: &'static str) -> Self {
        let group = viewer.publisher.clone().or_else(|| viewer.vendor.clone());
        Self {
            title: title.into(),
            active,
            viewer: Some(Person {
                name: viewer.name.clone(),
                role: viewer.role,
                group,
                csrf: viewer.csrf.clone(),
            }),
            url: viewer.url.clone(),
            theme: viewer.theme,
            flash: viewer.flash.clone(),
            search: String::new(),
        }
    }

    /// Makes the frame of a page for somebody who is not signed in.
    pub fn of_guest(guest: &Guest, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            active: "",
            viewer: None,
            url: guest.url.clone(),
            theme: guest.theme,
            flash: guest.flash.clone(),
            search: String::new(),
        }
    }

    /// Returns the session's token; empty for a guest, whose forms need none.
    pub fn csrf(&self) -> &str {
        self.viewer.as_ref().map_or("", |viewer| &viewer.csrf)
    }

    /// Tells whether an administrator looks at the page.
    pub fn is_admin(&self) -> bool {
        self.viewer
            .as_ref()
            .is_some_and(|it| it.role == Role::Admin)
    }

    /// Tells whether who looks at it may change collections.
    pub fn may_write(&self) -> bool {
        let role = self.viewer.as_ref().map(|viewer| viewer.role);
        matches!(role, Some(Role::Admin | Role::Publisher))
    }

    /// Tells whether who looks at it can be told of something.
    pub fn is_told(&self) -> bool {
        let role = self.viewer.as_ref().map(|viewer| viewer.role);
        role.is_some_and(|role| role != Role::Viewer)
    }

    /// Tells whether search is for who looks at it.
    pub fn may_search(&self) -> bool {
        self.viewer
            .as_ref()
            .is_some_and(|it| READERS.contains(&it.role))
    }

    /// Returns where who looks at the page can go.
    pub fn places(&self) -> impl Iterator<Item = &'static Place> {
        let role = self.viewer.as_ref().map(|viewer| viewer.role);
        PLACES
            .iter()
            .filter(move |place| role.is_some_and(|role| place.who.contains(&role)))
    }
}

/// Makes an answer of a page's template.
///
/// # Errors
/// If it cannot be rendered.
pub fn show(page: &impl Template) -> Result<Response, Fault> {
    let html = page.render()?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}
