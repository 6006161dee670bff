//! Engines that share signatures are one opinion: a false positive of one comes to all of them.

use std::collections::BTreeMap;

use crate::model::{EngineId, EngineTable, Incident};

/// What each engine belongs to: its family, or itself.
#[derive(Clone, Debug, Default)]
pub struct Families(BTreeMap<EngineId, String>);

impl Families {
    /// Reads the families of the engines there are.
    pub fn of(table: &EngineTable) -> Self {
        let families = table.iter().filter_map(|(id, status)| {
            let family = status.family.as_ref()?;
            Some((id.clone(), family.of.clone()))
        });
        Self(families.collect())
    }

    /// Returns the family an engine belongs to; an engine without one is its own.
    pub fn name<'a>(&'a self, engine: &'a EngineId) -> &'a str {
        self.0.get(engine).map_or(engine.as_str(), String::as_str)
    }

    /// Returns how many opinions incidents stand for.
    pub fn opinions<'a>(&self, incidents: impl IntoIterator<Item = &'a Incident>) -> usize {
        let names = incidents.into_iter().map(|one| self.name(&one.engine));
        names.collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Returns the incident that stands for its family on a blob: the one of the engine the family
    /// is named after, or else the one opened first. A dispute of the others is one with it.
    pub fn leading<'a>(&self, one: &Incident, all: &'a [Incident]) -> Option<&'a Incident> {
        let family = self.name(&one.engine);
        let live = |it: &&Incident| it.state.is_live();
        let kin = self.kin(one, all).filter(live);
        kin.min_by_key(|it| (it.engine.as_str() != family, it.reopened_at, it.id))
    }

    /// Returns the incidents of an incident's family on the same blob of the same publisher,
    /// itself among them.
    pub fn kin<'a>(
        &self,
        one: &Incident,
        all: &'a [Incident],
    ) -> impl Iterator<Item = &'a Incident> {
        let family = self.name(&one.engine).to_owned();
        all.iter().filter(move |it| {
            let same_file = it.sha256 == one.sha256 && it.publisher == one.publisher;
            same_file && self.name(&it.engine) == family
        })
    }
}
