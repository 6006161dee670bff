//! What the vendor's engines detected on each day.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::{Own, own};
use crate::backend::{Listing, Object, query};
use crate::fault::Fault;
use crate::frame::{Frame, show};
use crate::session::Viewer;
use crate::text::moment;

/// The chart's inside: as wide as a page, low enough to leave room for the table.
const WIDE: u64 = 720;
const HIGH: u64 = 120;

#[derive(Template)]
#[template(path = "vendor/statistics.html")]
struct Page {
    frame: Frame,
    own: Own,
    engine: String,
    days: Vec<Object<Day>>,
    bars: Vec<Bar>,
    most: u64,
    next: String,
    first: String,
}

/// Which figures are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    engine: String,
    cursor: String,
}

/// Figures of an engine and a day.
#[derive(Clone, Debug, Deserialize)]
pub struct Day {
    /// Its start; seconds since 1970.
    pub date: u64,
    /// Display name.
    pub engine: String,
    /// Hashes that were detected.
    pub hashes_count: u64,
    /// Those the vendor did not stand by.
    pub hashes_detected_count: u64,
    /// Items with them.
    pub items_count: u64,
    /// Items with those the vendor did not stand by.
    pub items_detected_count: u64,
}

impl Day {
    /// Returns the day, as `2026-12-31`.
    pub fn day(&self) -> String {
        moment(&self.date).iso.chars().take(10).collect()
    }
}

/// A bar of the chart: in its own units, from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bar {
    x: u64,
    y: u64,
    width: u64,
    height: u64,
    label: String,
}

/// Shows the figures.
pub async fn page(viewer: Viewer, Query(wanted): Query<Wanted>) -> Result<Response, Fault> {
    let own = own(&viewer).await?;
    let days = days(&viewer, (&wanted.engine, &wanted.cursor)).await?;
    let url = |cursor: &str| {
        let query = query([("engine", &*wanted.engine), ("cursor", cursor)]);
        format!("/vendor/statistics{query}")
    };
    let next = days.cursor().map(url).unwrap_or_default();
    let first = Some(url("")).filter(|_| !wanted.cursor.is_empty());
    let (bars, most) = bars(&days.data);
    show(&Page {
        frame: Frame::new(&viewer, "Statistics", "statistics"),
        own,
        engine: wanted.engine,
        days: days.data,
        bars,
        most,
        next,
        first: first.unwrap_or_default(),
    })
}

/// Reads figures, the newest day first.
///
/// # Errors
/// What the API says.
pub async fn days(
    viewer: &Viewer,
    (engine, cursor): (&str, &str),
) -> Result<Listing<Object<Day>>, Fault> {
    let filter = match engine.is_empty() {
        true => String::new(),
        false => format!("engine:{engine}"),
    };
    let asked = query([("filter", &*filter), ("limit", "40"), ("cursor", cursor)]);
    viewer
        .api
        .get(&format!("/monitor_partner/statistics{asked}"))
        .await
}

/// Returns a bar for each day, the oldest first, of hashes of all engines; and the most of a day.
fn bars(days: &[Object<Day>]) -> (Vec<Bar>, u64) {
    let mut sums = BTreeMap::<String, u64>::new();
    for day in days {
        *sums.entry(day.attributes.day()).or_default() += day.attributes.hashes_count;
    }
    let most = sums.values().copied().max().unwrap_or(0);
    let step = WIDE / sums.len().max(1) as u64;
    let bar = |(at, (day, count)): (usize, (&String, &u64))| {
        let height = (count * HIGH).checked_div(most).unwrap_or(0);
        Bar {
            x: at as u64 * step + 1,
            y: HIGH - height,
            width: step.saturating_sub(2).clamp(1, 48),
            height,
            label: format!("{day}: {count}"),
        }
    };
    (sums.iter().enumerate().map(bar).collect(), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(date: u64, engine: &str, hashes_count: u64) -> Object<Day> {
        Object {
            kind: String::new(),
            id: String::new(),
            attributes: Day {
                date,
                engine: engine.to_owned(),
                hashes_count,
                hashes_detected_count: 0,
                items_count: 0,
                items_detected_count: 0,
            },
        }
    }

    #[test]
    fn bar_is_as_high_as_its_day() {
        let days = [day(86_400, "a", 3), day(86_400, "b", 1), day(0, "a", 2)];
        let (bars, most) = bars(&days);
        assert_eq!(most, 4);
        let heights: Vec<_> = bars.iter().map(|bar| (bar.y, bar.height)).collect();
        assert_eq!(heights, [(60, 60), (0, 120)]);
        assert_eq!(&*bars[1].label, "1970-01-02: 4");
        assert!(bars[1].x + bars[1].width <= WIDE);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(bars(&[]), (Vec::new(), 0));
        let (bars, _) = bars(&[day(0, "a", 0)]);
        assert_eq!(bars[0].height, 0);
    }
}
