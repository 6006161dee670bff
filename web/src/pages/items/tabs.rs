//! What each tab of an item's or a file's page shows besides, read only when it is looked at.

use tokio::try_join;

use super::place::Place;
use super::subject::Subject;
use super::timeline::{Bar, Track, start, strip, tracks};
use super::wire::{
    CardAttributes, ChangeAttributes, CommentAttributes, EventAttributes, FindAttributes,
    IncidentAttributes, VersionAttributes,
};
use crate::backend::{Answer, Listing, Object, part, query};
use crate::fault::Fault;
use crate::session::Viewer;
use crate::text;

/// Which part of the page is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// Engine by engine.
    Verdicts,
    /// Over time.
    Timeline,
    /// What the file is.
    Details,
    /// Incidents and comments.
    Incidents,
    /// What became of the item.
    History,
}

impl Tab {
    /// All of them, in order.
    const ALL: [Self; 5] = [
        Self::Verdicts,
        Self::Timeline,
        Self::Details,
        Self::Incidents,
        Self::History,
    ];

    /// Reads a tab's name; the first one if it is none.
    pub fn of(name: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|tab| tab.name() == name).unwrap_or(Self::Verdicts)
    }

    /// Returns its name in URLs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verdicts => "verdicts",
            Self::Timeline => "timeline",
            Self::Details => "details",
            Self::Incidents => "incidents",
            Self::History => "history",
        }
    }

    /// Returns what it is called.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Verdicts => "Verdicts",
            Self::Timeline => "Timeline",
            Self::Details => "Details",
            Self::Incidents => "Incidents and comments",
            Self::History => "History",
        }
    }

    /// Returns the tabs of a page: what belongs to a collection only an item has.
    pub fn of_page(is_item: bool) -> impl Iterator<Item = Self> {
        let shown = if is_item { 5 } else { 3 };
        Self::ALL.into_iter().take(shown)
    }
}

/// What a tab shows.
#[derive(Debug)]
pub enum Body {
    /// The rows are the subject's.
    Verdicts,
    /// Over time.
    Timeline(Timeline),
    /// What the file is.
    Details(Box<Details>),
    /// Incidents and comments.
    Incidents(Discussion),
    /// What became of the item.
    History(Listing<Object<EventAttributes>>),
}

/// What each engine said over time.
#[derive(Debug)]
pub struct Timeline {
    /// Engine by engine.
    pub tracks: Vec<Track>,
    /// When it begins.
    pub start: u64,
    /// When it was asked.
    pub end: u64,
    /// Whether older changes are left out.
    pub is_cut: bool,
}

impl Timeline {
    /// Returns the parts of a track's strip.
    pub fn strip(&self, track: &Track, vouched: &bool) -> Vec<Bar> {
        strip(track, (self.start, self.end), *vouched)
    }
}

/// What is known of a file.
#[derive(Debug, Default)]
pub struct Details {
    /// Its release card.
    pub card: Option<CardAttributes>,
    /// Contents the item had and has.
    pub versions: Vec<Object<VersionAttributes>>,
    /// Where else the same content is; nothing if it cannot be looked up.
    pub places: Option<Vec<Place>>,
    /// Whether there may be more of them.
    pub is_partial: bool,
}

/// A page of incidents.
pub type Incidents = Listing<Object<IncidentAttributes>>;

/// Incidents of an item and what vendors say.
#[derive(Debug)]
pub struct Discussion {
    /// Newest first; nothing if they cannot be asked for.
    pub incidents: Option<Incidents>,
    /// By engine.
    pub comments: Listing<Object<CommentAttributes>>,
}

/// Reads what a tab shows.
///
/// # Errors
/// What the API says.
pub async fn read(viewer: &Viewer, subject: &Subject, tab: Tab) -> Result<Body, Fault> {
    let place = subject.item.as_ref().map(|(place, _)| place);
    match (tab, place) {
        (Tab::Timeline, _) => timeline(viewer, subject).await.map(Body::Timeline),
        (Tab::Details, place) => details(viewer, subject, place).await.map(Body::Details),
        (Tab::Incidents, Some(place)) => discussion(viewer, place).await.map(Body::Incidents),
        (Tab::History, Some(place)) => history(viewer, place).await.map(Body::History),
        (Tab::Verdicts | Tab::Incidents | Tab::History, _) => Ok(Body::Verdicts),
    }
}

async fn timeline(viewer: &Viewer, subject: &Subject) -> Result<Timeline, Fault> {
    let path = format!("/files/{}/timeline?limit=40", part(&subject.file.sha256));
    let changes: Listing<Object<ChangeAttributes>> = viewer.api.get(&path).await?;
    let is_cut = changes.cursor().is_some();
    let changes = changes.data.into_iter().map(|it| it.attributes).collect();
    let tracks = tracks(changes, &subject.rows(), &subject.engines);
    Ok(Timeline {
        start: start(&tracks, subject.file.first_submission_date),
        end: text::now(),
        tracks,
        is_cut,
    })
}

async fn details(
    viewer: &Viewer,
    subject: &Subject,
    place: Option<&Place>,
) -> Result<Box<Details>, Fault> {
    let search = [("query", subject.file.sha256.as_str()), ("limit", "40")];
    let search = format!("/acquit/search{}", query(search));
    let found = viewer.api.find::<Listing<Object<FindAttributes>>>(&search);
    let Some(place) = place else {
        return Ok(Box::new(elsewhere(found.await?, None)));
    };
    let id = part(&place.id());
    let (card, history) = (
        format!("/acquit/items/{id}/card"),
        format!("/acquit/items/{id}/history"),
    );
    let card = viewer.api.find::<Answer<Object<CardAttributes>>>(&card);
    let history = viewer
        .api
        .find::<Listing<Object<VersionAttributes>>>(&history);
    let (found, card, history) = try_join!(found, card, history)?;
    Ok(Box::new(Details {
        card: card.map(|card| card.data.attributes),
        versions: history.unwrap_or_default().data,
        ..elsewhere(found, Some(place))
    }))
}

/// Returns where else the same content is.
fn elsewhere(found: Option<Listing<Object<FindAttributes>>>, here: Option<&Place>) -> Details {
    let Some(found) = found else {
        return Details::default();
    };
    let is_partial = found.meta.more.get("partial").and_then(|it| it.as_bool());
    let items = found
        .data
        .into_iter()
        .filter(|it| it.kind == "monitor_item");
    let places = items.filter_map(|it| Place::of(&it.id));
    Details {
        places: Some(places.filter(|place| Some(place) != here).collect()),
        is_partial: is_partial.unwrap_or(false),
        ..Details::default()
    }
}

async fn discussion(viewer: &Viewer, place: &Place) -> Result<Discussion, Fault> {
    let comments = format!("/monitor/items/{}/comments?limit=40", part(&place.id()));
    let comments = viewer.api.get(&comments);
    let incidents = incidents(viewer, place);
    let (incidents, comments) = try_join!(incidents, comments)?;
    Ok(Discussion {
        incidents,
        comments,
    })
}

async fn incidents(viewer: &Viewer, place: &Place) -> Result<Option<Incidents>, Fault> {
    let Some(filter) = incident_filter(place) else {
        return Ok(None);
    };
    let asked = query([("filter", filter.as_str()), ("limit", "40")]);
    let found = viewer.api.get(&format!("/acquit/incidents{asked}")).await?;
    Ok(Some(found))
}

/// Writes a filter that means the incidents of one item; nothing if a filter cannot say its path.
fn incident_filter(place: &Place) -> Option<String> {
    let Place { owner, path } = place;
    match (path.contains('"'), path.contains(char::is_whitespace)) {
        (false, _) => Some(format!("publisher:{owner} path:\"{path}\"")),
        (true, false) => Some(format!("publisher:{owner} path:{path}")),
        (true, true) => None,
    }
}

async fn history(
    viewer: &Viewer,
    place: &Place,
) -> Result<Listing<Object<EventAttributes>>, Fault> {
    let filter = format!("monitor_key:{}", place.id());
    let asked = [
        ("owner", place.owner.as_str()),
        ("filter", &filter),
        ("limit", "40"),
    ];
    viewer
        .api
        .get(&format!("/monitor/events{}", query(asked)))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_has_no_tabs_of_a_collection() {
        let names = |is_item| Tab::of_page(is_item).map(Tab::name).collect::<Vec<_>>();
        assert_eq!(names(false), ["verdicts", "timeline", "details"]);
        assert_eq!(names(true).len(), 5);
        assert_eq!(Tab::of("history"), Tab::History);
        assert_eq!(Tab::of("<script>"), Tab::Verdicts);
    }

    #[test]
    fn incidents_are_asked_for_by_whatever_path() {
        let filter = |path: &str| {
            incident_filter(&Place {
                owner: "acme".to_owned(),
                path: path.to_owned(),
            })
        };
        let expected = Some("publisher:acme path:\"/a b\"".to_owned());
        assert_eq!(filter("/a b"), expected);
        let expected = Some("publisher:acme path:/a\"b".to_owned());
        assert_eq!(filter("/a\"b"), expected);
        assert_eq!(filter("/a \"b"), None);
    }

    #[test]
    fn places_of_a_file_are_those_beside_the_one_that_is_shown() {
        let place = |path: &str| Place {
            owner: "acme".to_owned(),
            path: path.to_owned(),
        };
        let find = |kind: &str, id: String| Object {
            kind: kind.to_owned(),
            id,
            attributes: FindAttributes::default(),
        };
        let mut found = Listing {
            data: vec![
                find("file", "aa".to_owned()),
                find("monitor_item", place("/a").id()),
                find("monitor_item", place("/b").id()),
            ],
            ..Listing::default()
        };
        found.meta.more.insert("partial".to_owned(), true.into());
        let details = elsewhere(Some(found), Some(&place("/a")));
        assert_eq!(details.places, Some(vec![place("/b")]));
        assert!(details.is_partial);
        assert_eq!(elsewhere(None, None).places, None);
    }
}
