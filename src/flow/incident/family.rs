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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Makes an incident: its number, its engine, the first letter of its state, its file.
    fn incident(id: u64, engine: &str, (state, file): (&str, u8)) -> Incident {
        let versions = json!({ "image": "sha256:1" });
        let sha256 = hex::encode([file; 32]);
        let analysis = format!("f-{sha256}-1");
        serde_json::from_value(json!({
            "id": id, "publisher": "p", "engine": engine, "sha256": sha256, "state": state,
            "state_at": id, "opened_at": id, "reopened_at": id, "detection": "X",
            "detected": { "at": id, "analysis": analysis, "versions": versions },
        }))
        .unwrap()
    }

    fn families() -> Families {
        let pairs = [("maker", "maker"), ("oem", "maker"), ("resold", "maker")];
        let pairs = pairs.map(|(engine, of)| (engine.parse().unwrap(), of.to_owned()));
        Families(pairs.into())
    }

    #[test]
    fn family_is_one_opinion_and_its_maker_leads() {
        let all = [
            incident(1, "oem", ("open", 1)),
            incident(2, "maker", ("open", 1)),
            incident(3, "other", ("open", 1)),
            incident(4, "maker", ("open", 2)),
        ];
        let families = families();
        assert_eq!(families.opinions(&all[..3]), 2);
        assert_eq!(families.leading(&all[0], &all).unwrap().id, 2);
        assert_eq!(families.leading(&all[2], &all).unwrap().id, 3);
        let kin: Vec<_> = families.kin(&all[0], &all).map(|it| it.id).collect();
        assert_eq!(kin, [1, 2]);
    }

    #[test]
    fn first_that_is_not_over_leads_where_the_maker_is_silent() {
        let all = [
            incident(1, "oem", ("resolved", 1)),
            incident(2, "resold", ("notified", 1)),
        ];
        assert_eq!(families().leading(&all[0], &all).unwrap().id, 2);
        assert!(families().leading(&all[0], &all[..1]).is_none());
    }
}
