//! The schedule: when each engine's signatures are updated, and what the configuration sets.

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;

use super::parties::{self, Engine};
use super::settings::{self, Setting};
use crate::Web;
use crate::backend::Object;
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::Viewer;

/// Keys of the configuration that say when something is done by itself, and how long something is
/// kept; and those below them.
const KEYS: [&str; 11] = [
    "updates.enabled",
    "updates.schedule",
    "updates.timezone",
    "updates.jitter_minutes",
    "updates.engines",
    "collections.history",
    "collections.trash_days",
    "collections.deadline_days",
    "disputes.remind_days",
    "notifications.give_up_hours",
    "login.session_hours",
];

/// The route.
pub fn routes() -> Router<Web> {
    Router::new().route("/admin/schedule", get(page))
}

#[derive(Template)]
#[template(path = "admin/schedule.html")]
struct Page {
    frame: Frame,
    engines: Vec<Object<Engine>>,
    settings: Vec<Object<Setting>>,
}

async fn page(viewer: Viewer) -> Result<Response, Fault> {
    let (mut engines, mut settings) =
        tokio::try_join!(parties::engines(&viewer.api), settings::read(&viewer.api))?;
    settings.retain(|row| is_shown(&row.id));
    engines.retain(|engine| engine.attributes.signatures.is_some());
    let due = |engine: &Object<Engine>| {
        let signatures = engine.attributes.signatures.as_ref();
        signatures
            .and_then(|it| it.next_update_date)
            .unwrap_or(u64::MAX)
    };
    engines.sort_by_key(due);
    show(&Page {
        frame: Frame::new(&viewer, "Schedule", "admin"),
        engines,
        settings,
    })
}

/// Tells whether a key is one of those shown here.
fn is_shown(key: &str) -> bool {
    let is_below = |known: &&str| {
        key.strip_prefix(*known)
            .is_some_and(|it| it.starts_with('.'))
    };
    KEYS.contains(&key) || KEYS.iter().any(is_below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_there_in_the_configuration() {
        let file = include_str!("../../../../config/acquit.toml");
        let (mut section, mut found) = ("", Vec::new());
        for line in file.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
                found.push(section.to_owned());
            } else if let Some((key, _)) = line.split_once(" = ") {
                found.push(format!("{section}.{key}"));
            }
        }
        for key in KEYS {
            assert!(found.iter().any(|it| it == key), "{key}");
        }
    }

    #[test]
    fn what_is_set_for_one_engine_is_shown_too() {
        assert!(is_shown("updates.engines.yara.schedule"));
        assert!(is_shown("updates.schedule"));
        assert!(!is_shown("updates.scheduled") && !is_shown("updates.proxy"));
    }
}
