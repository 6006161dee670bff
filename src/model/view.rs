//! Views: what somebody looks at again and again, under a name.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A page with a query, kept by who looks at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// What it is called.
    pub name: String,
    /// Which page it is of.
    pub page: ViewPage,
    /// The page's query, without the question mark.
    pub query: String,
    /// When it was kept.
    pub created_at: Timestamp,
}

/// Pages that views are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViewPage {
    /// Items by engines.
    Analyses,
    /// The tree of folders and items.
    Collection,
    /// What is detected.
    Incidents,
}

impl ViewPage {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Analyses, Self::Collection, Self::Incidents];

    /// Returns the page's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Analyses => "analyses",
            Self::Collection => "collection",
            Self::Incidents => "incidents",
        }
    }
}
