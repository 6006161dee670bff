//! What is known of an item: what its publisher states, and where that is silent, what its file
//! says.

use serde::{Deserialize, Serialize};

use crate::model::{FileFacts, Item, ItemPath, PublisherId, ReleaseCard, Signer, Verification};
use crate::store::{FACTS, ITEMS, PUBLISHERS, Read, StoreError};

/// Where a field's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum Source {
    /// The publisher states it.
    Stated {
        /// Of this item or folder; of `/` if of the whole collection.
        at: ItemPath,
    },
    /// The file says it of itself.
    FromFile,
}

/// One field of what is known of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name: one of [`ReleaseCard`]'s, or what the file's format calls it.
    pub name: String,
    /// What it says.
    pub value: String,
    /// Who says it.
    #[serde(flatten)]
    pub source: Source,
}

/// Returns what is known of an item: the nearest statement wins, and where nothing is stated, what
/// the file says.
///
/// # Errors
/// If the store fails.
pub fn card(
    read: &impl Read,
    publisher: &PublisherId,
    path: &ItemPath,
) -> Result<Vec<Field>, StoreError> {
    let (mut fields, mut file) = (Vec::new(), None);
    let mut at = Some(path.clone());
    while let Some(here) = at {
        let item = read.row(&ITEMS, &(publisher.clone(), here.clone()))?;
        if let Some(item) = item {
            let item: Item = item;
            if here == *path {
                file = item.file.map(|file| file.sha256);
            }
            state(&mut fields, item.card.as_deref(), &here);
        }
        at = here.parent();
    }
    let row = read.row(&PUBLISHERS, publisher)?;
    state(
        &mut fields,
        row.as_ref().map(|row| &row.card),
        &ItemPath::root(),
    );
    if let Some(sha256) = file {
        let facts = read.row(&FACTS, &sha256)?.unwrap_or_default();
        from_file(&mut fields, &facts);
    }
    Ok(fields)
}

fn state(fields: &mut Vec<Field>, card: Option<&ReleaseCard>, at: &ItemPath) {
    let Some(card) = card else {
        return;
    };
    let files = card.main_files.as_ref().map(|files| files.join(", "));
    let stated = [
        ("company", card.company.as_ref()),
        ("contact", card.contact.as_ref()),
        ("product", card.product.as_ref()),
        ("version", card.version.as_ref()),
        ("release_date", card.release_date.as_ref()),
        ("suite", card.suite.as_ref()),
        ("main_files", files.as_ref()),
        ("homepage", card.homepage.as_ref()),
        ("download_url", card.download_url.as_ref()),
        ("purpose", card.purpose.as_ref()),
    ];
    let source = Source::Stated { at: at.clone() };
    for (name, value) in stated {
        add(fields, name, value, &source);
    }
}

fn from_file(fields: &mut Vec<Field>, facts: &FileFacts) {
    let signer = facts.signer.as_ref();
    let named = [
        ("company", facts.company.clone()),
        ("product", facts.product.clone()),
        ("version", facts.version.clone()),
        ("homepage", facts.homepage.clone()),
        ("description", facts.description.clone()),
        ("original_name", facts.original_name.clone()),
        ("format", facts.format.clone()),
        ("signer", signer.map(|signer| signer.subject.clone())),
        ("signature", signer.map(verdict)),
        ("problem", facts.problem.clone()),
    ];
    for (name, value) in named {
        add(fields, name, value.as_ref(), &Source::FromFile);
    }
    for (name, value) in &facts.more {
        add(fields, name, Some(value), &Source::FromFile);
    }
}

/// Says in words whether a signature fits.
fn verdict(signer: &Signer) -> String {
    match &signer.verification {
        Verification::Trusted => "it fits, and its chain is trusted here".to_owned(),
        Verification::Intact { reason } => format!("it fits; {reason}"),
        Verification::Broken { reason } => format!("BROKEN: {reason}"),
        Verification::Unchecked { reason } => format!("not checked: {reason}"),
    }
}

/// Adds a field unless something nearer has said it.
fn add(fields: &mut Vec<Field>, name: &str, value: Option<&String>, source: &Source) {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return;
    };
    if !fields.iter().any(|field| field.name == name) {
        fields.push(Field {
            name: name.to_owned(),
            value: value.clone(),
            source: source.clone(),
        });
    }
}
