//! Whose collection is meant: a choice for those who see every publisher's.

use serde::Deserialize;

use crate::backend::part;
use crate::fault::Fault;
use crate::session::Viewer;

/// Most publishers to choose from; with more of them their ids are typed.
const MOST: usize = 400;

/// The publishers somebody can choose from.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// The one that is chosen; empty for all, or for one's own.
    pub owner: String,
    /// Whether there is anything to choose.
    pub open: bool,
    /// All there are, by name; nothing if they are too many.
    pub known: Option<Vec<Owner>>,
}

/// A publisher.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
}

#[derive(Debug, Deserialize)]
struct Publisher {
    #[serde(default)]
    name: String,
}

impl Owners {
    /// Learns which publishers a viewer can choose, and which is chosen.
    ///
    /// # Errors
    /// If the API fails.
    pub async fn read(viewer: &Viewer, named: Option<&str>) -> Result<Self, Fault> {
        let owner = viewer.owner(named).unwrap_or_default().to_owned();
        if !viewer.sees_all() {
            return Ok(Self {
                owner,
                ..Self::default()
            });
        }
        let (rows, more) = viewer
            .api
            .every::<Publisher>("/acquit/publishers", MOST)
            .await?;
        let owners = rows.into_iter().map(|it| Owner {
            name: it.attributes.name,
            id: it.id,
        });
        let mut known: Vec<_> = owners.collect();
        known.sort_by_cached_key(|owner| owner.name.to_lowercase());
        Ok(Self {
            owner,
            open: true,
            known: (!more).then_some(known),
        })
    }

    /// Tells whether the one that is chosen is none of those there are.
    pub fn is_unknown(&self) -> bool {
        let mut known = self.known.iter().flatten();
        !self.owner.is_empty() && known.all(|it| it.id != self.owner)
    }

    /// Takes the only publisher there is if none is chosen.
    pub fn settle(&mut self) {
        if let (true, Some([only])) = (self.owner.is_empty(), self.known.as_deref()) {
            self.owner = only.id.clone();
        }
    }

    /// Returns the pair that a link to a list needs, with what comes before it; empty for all.
    pub fn pair(&self, before: &str) -> String {
        if self.open && !self.owner.is_empty() {
            format!("{before}owner={}", part(&self.owner))
        } else {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(owner: &str, known: &[&str]) -> Owners {
        let known = known.iter().map(|id| Owner {
            id: (*id).to_owned(),
            name: (*id).to_owned(),
        });
        Owners {
            owner: owner.to_owned(),
            open: true,
            known: Some(known.collect()),
        }
    }

    #[test]
    fn only_publisher_need_not_be_chosen() {
        let mut one = owners("", &["acme"]);
        one.settle();
        assert_eq!(one.pair("?"), "?owner=acme");
        assert!(!one.is_unknown());
        let mut two = owners("", &["acme", "other"]);
        two.settle();
        assert_eq!(two.pair("&"), "");
        assert!(!two.is_unknown() && owners("gone", &["acme"]).is_unknown());
    }

    #[test]
    fn who_has_one_collection_needs_no_pair() {
        let own = Owners {
            owner: "acme".to_owned(),
            ..Owners::default()
        };
        assert_eq!(own.pair("?"), "");
    }
}
