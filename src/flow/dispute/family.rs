//! One dispute for a family: engines that share signatures are one opinion, and whoever makes the
//! signatures takes the detection back for all of them.

use super::record::under_way;
use crate::flow::incident::family::Families;
use crate::flow::incident::of_blob;
use crate::model::Incident;
use crate::store::{Read, StoreError};

/// What a dispute has to do with the engines that share the signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kin {
    /// It is for all of them, so there is one, with the engine that stands for them.
    #[default]
    Together,
    /// It is this engine's alone.
    Apart,
}

/// Says by which dispute or incident a dispute of this one is made needless; nothing if by none.
///
/// # Errors
/// If the store fails.
pub fn another(
    read: &impl Read,
    (families, kin): (&Families, Kin),
    incident: &Incident,
) -> Result<Option<String>, StoreError> {
    if kin == Kin::Apart {
        return Ok(None);
    }
    let all = of_blob(read, &incident.sha256)?;
    let others = families.kin(incident, &all);
    for other in others.filter(|other| other.id != incident.id) {
        if let Some(dispute) = under_way(read, other.id)? {
            return Ok(Some(format!(
                "{} shares its signatures with {}: dispute {dispute} of incident {} is under way \
                 and is for both, unless this one is ordered apart",
                incident.engine, other.engine, other.id
            )));
        }
    }
    let leading = families.leading(incident, &all);
    let leading = leading.filter(|leading| leading.id != incident.id);
    Ok(leading.map(|leading| {
        format!(
            "{} shares its signatures with {}: dispute incident {}, which is for both, or order \
             this one apart",
            incident.engine, leading.engine, leading.id
        )
    }))
}
