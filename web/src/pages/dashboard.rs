//! Where people land: the health of everything, each figure a link to what it counts.

mod figures;

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::Web;
use crate::backend::{Answer, Listing, Object, part, query};
use crate::chart::{HEIGHT, Pairs, percent, share};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::owners::Owners;
use crate::session::Viewer;
use figures::{Collection, Day, Fix, Fixes, Overview};

/// Units from left to right of a bar in a table.
const WIDE: u32 = 200;
/// Tenths of what is allowed from which there is little room left.
const FULL_TENTHS: u64 = 9;

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new().route("/", get(page))
}

/// What the page is asked for.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    owner: String,
    /// Whether somebody who was led to the first steps wants to see it all the same.
    #[serde(default)]
    look: String,
}

#[derive(Template)]
#[template(path = "dashboard/page.html")]
struct Page {
    frame: Frame,
    owners: Owners,
    overview: Overview,
    engines: Vec<Object<Engine>>,
    trend: Option<Trend>,
    fixes: Vec<Row>,
    truncated: bool,
}

/// Incidents of the last days.
struct Trend {
    chart: Pairs,
    days: Vec<Day>,
    opened: u64,
    solved: u64,
}

/// How long a vendor takes to fix.
struct Row {
    vendor: String,
    fix: Fix,
    /// Ids of its engines.
    engines: Vec<String>,
}

async fn page(viewer: Viewer, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    if viewer.is_vendor() {
        return Ok(Redirect::to("/vendor").into_response());
    }
    let owners = Owners::read(&viewer, Some(&asked.owner)).await?;
    let of = query([("owner", &*owners.owner)]);
    let fixes = query([("publisher", &*owners.owner)]);
    let (at, engines, fixes) = (
        format!("/acquit/overview{of}"),
        "/acquit/engines?limit=40",
        format!("/acquit/incidents/statistics{fixes}"),
    );
    let api = &viewer.api;
    let (overview, engines, fixes) = tokio::try_join!(
        api.get::<Answer<Object<Overview>>>(&at),
        api.get::<Listing<Object<Engine>>>(engines),
        api.get::<Answer<Object<Fixes>>>(&fixes),
    )?;
    let (overview, engines) = (overview.data.attributes, engines.data);
    if viewer.is_admin() && asked.look.is_empty() && is_new(&owners, (&overview, &engines)) {
        return Ok(Redirect::to("/welcome").into_response());
    }
    let fixes = fixes.data.attributes;
    show(&Page {
        frame: Frame::new(&viewer, "Dashboard", "dashboard"),
        trend: trend(&overview),
        owners,
        truncated: fixes.truncated,
        fixes: rows(fixes.vendors, &engines),
        overview,
        engines,
    })
}

/// Tells whether nothing was done with the appliance yet.
fn is_new(owners: &Owners, (overview, engines): (&Overview, &[Object<Engine>])) -> bool {
    let nobody = owners.known.as_ref().is_some_and(Vec::is_empty);
    let items = overview.collection.as_ref().map(|it| it.items);
    let answered = engines.iter().any(|it| it.attributes.coverage.answered > 0);
    nobody || (items == Some(0) && owners.owner.is_empty() && !answered)
}

fn trend(overview: &Overview) -> Option<Trend> {
    let days = &overview.incidents.as_ref()?.days;
    let numbers: Vec<_> = days.iter().map(|day| (day.opened, day.solved)).collect();
    let days = days.iter().map(|day| Day {
        date: day.date.clone(),
        ..*day
    });
    Some(Trend {
        chart: Pairs::new(&numbers),
        days: days.collect(),
        opened: numbers.iter().map(|(opened, _)| opened).sum(),
        solved: numbers.iter().map(|(_, solved)| solved).sum(),
    })
}

/// Returns the vendors, those with most incidents that are not over first.
fn rows(vendors: BTreeMap<String, Fix>, engines: &[Object<Engine>]) -> Vec<Row> {
    let rows = vendors.into_iter().map(|(vendor, fix)| {
        let own = engines.iter().filter(|it| it.attributes.vendor == vendor);
        Row {
            engines: own.map(|it| it.id.clone()).collect(),
            vendor,
            fix,
        }
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.fix.open));
    rows
}

impl Page {
    /// Returns the list of items that a condition chooses.
    fn items(&self, name: &str, value: &str) -> String {
        let own = self.owners.pair("&");
        format!("/analyses?{name}={}{own}", part(value))
    }

    /// Returns the list of what was looked at within a day.
    fn rescanned(&self, held: &Collection) -> String {
        self.items("after", &held.rescanned_after.to_string())
    }

    /// Returns the list of incidents that a pair of the query chooses; of those that are not over
    /// if it is no state.
    fn incidents(&self, name: &str, value: &str) -> String {
        self.cases(&[(name, value)])
    }

    fn cases(&self, pairs: &[(&str, &str)]) -> String {
        let of = &*self.owners.owner;
        let of = if self.owners.open { of } else { "" };
        let all = pairs.iter().copied().chain([("publisher", of)]);
        format!("/incidents{}", query(all))
    }

    /// Returns the list of what was opened on a day, whatever came of it.
    fn opened(&self, day: &Day) -> String {
        let (from, until) = (("opened_from", &*day.date), ("opened_until", &*day.date));
        self.cases(&[("state", "all"), from, until])
    }

    /// Returns the list of what was solved on a day.
    fn solved(&self, day: &Day) -> String {
        let (from, until) = (("closed_from", &*day.date), ("closed_until", &*day.date));
        self.cases(&[("state", "resolved"), from, until])
    }

    /// Returns the list of incidents that are not over and have a name.
    fn named(&self, detection: &str) -> String {
        self.incidents("detection", &format!("={detection}"))
    }

    /// Returns the list of a vendor's incidents that are not over.
    fn incidents_of(&self, row: &Row) -> String {
        let engines = row.engines.iter().map(|id| format!("engine:{id}"));
        let engines: Vec<_> = engines.collect();
        self.incidents("filter", &engines.join(" "))
    }

    /// Returns the width of a bar in a table, of [`WIDE`].
    fn bar(&self, part: &u64, whole: &u64) -> u32 {
        share(*part, *whole, WIDE)
    }

    fn percent(&self, part: &u64, whole: &u64) -> u64 {
        percent(*part, *whole)
    }
}

impl Trend {
    /// Returns the days with their bars.
    fn pairs(&self) -> impl Iterator<Item = (&Day, &(crate::chart::Bar, crate::chart::Bar))> {
        self.days.iter().zip(&self.chart.bars)
    }

    /// Returns the days on which something happened, the last first.
    fn busy(&self) -> impl Iterator<Item = &Day> {
        let days = self.days.iter().rev();
        days.filter(|day| day.opened + day.solved > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(open: u64) -> Fix {
        Fix {
            incidents: open,
            fixed: 0,
            median_seconds_to_fix: None,
            p90_seconds_to_fix: None,
            open,
        }
    }

    #[test]
    fn vendor_with_most_to_do_comes_first_with_its_engines() {
        let vendors = BTreeMap::from([("A".to_owned(), fix(1)), ("B".to_owned(), fix(3))]);
        let engine = |id: &str, vendor: &str| {
            let json = serde_json::json!({
                "id": id, "attributes": { "name": id, "vendor": vendor, "state": "ready" },
            });
            serde_json::from_value::<Object<Engine>>(json).unwrap()
        };
        let rows = rows(
            vendors,
            &[engine("x", "B"), engine("y", "A"), engine("z", "B")],
        );
        assert_eq!((&*rows[0].vendor, rows[0].engines.len()), ("B", 2));
        assert_eq!((&*rows[1].vendor, &*rows[1].engines[0]), ("A", "y"));
    }
}
