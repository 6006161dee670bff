//! Kinds of events in words, grouped as people look for them.

/// Kinds that belong together: each with its name on the wire and what it says.
pub type Group = (&'static str, &'static [(&'static str, &'static str)]);

/// Every kind of event there is.
pub const GROUPS: [Group; 5] = [
    (
        "Detections and incidents",
        &[
            ("incident-opened", "An engine detects a file"),
            ("incident-reopened", "An engine detects a file again"),
            ("incident-acknowledged", "Somebody answered an incident"),
            ("incident-resolved", "A detection is gone"),
            ("incident-kept", "A detection stays"),
            ("incident-overdue", "An incident is overdue"),
            ("incident-notified", "Somebody was told of an incident"),
            ("detections-changed", "Detections of a file changed"),
        ],
    ),
    (
        "Vendors",
        &[
            ("vendor-commented", "A vendor commented"),
            ("file-requested", "A vendor asks for a file"),
            ("file-answered", "A request for a file was answered"),
            ("file-downloaded", "A vendor downloaded a file"),
            ("dispute-sent", "A dispute was sent"),
            ("dispute-bounced", "A dispute came back"),
            ("dispute-unanswered", "A dispute was not answered"),
            ("dispute-delayed", "A dispute cannot be sent yet"),
        ],
    ),
    (
        "Collections",
        &[
            ("item-uploaded", "A file came in"),
            ("item-moved", "An item was moved"),
            ("item-deleted", "An item went to the trash"),
            ("item-restored", "An item came back from the trash"),
            ("trash-emptied", "Items in the trash are gone"),
            ("policy-changed", "What vendors may have was changed"),
            ("quota-reached", "A quota is used up, or nearly"),
        ],
    ),
    (
        "Engines and signatures",
        &[
            ("update-failed", "An update failed"),
            ("update-unchanged", "An update found nothing new"),
            ("candidate-rejected", "The canary refused signatures"),
            ("signatures-promoted", "An engine has new signatures"),
            ("signatures-rolled-back", "Signatures were rolled back"),
            ("signatures-held", "Signatures are held"),
            ("signatures-released", "A hold is over"),
            ("bundle-imported", "A bundle came in"),
            ("license-expiring", "A license ends"),
        ],
    ),
    (
        "The appliance",
        &[
            ("rescan-started", "A rescan began"),
            ("rescan-completed", "A rescan is complete"),
            ("subscription-disabled", "A subscription was switched off"),
        ],
    ),
];

/// Returns what a kind says; its own name if it is none of these.
pub fn words(kind: &str) -> &str {
    let mut all = GROUPS.iter().flat_map(|(_, kinds)| kinds.iter());
    let known = all.find(|(id, _)| *id == kind);
    known.map_or(kind, |(_, words)| words)
}

/// Returns the class of a chip for a kind: orange is what concerns somebody's software.
pub fn chip(kind: &str) -> &'static str {
    match kind {
        "incident-opened" | "incident-reopened" | "incident-overdue" | "dispute-bounced"
        | "dispute-unanswered" | "quota-reached" => "chip chip--orange",
        "incident-resolved" | "rescan-completed" => "chip chip--clean",
        _ => "chip",
    }
}

/// Returns the picture of a kind.
pub fn icon(kind: &str) -> &'static str {
    match kind.split('-').next().unwrap_or("") {
        "incident" | "detections" if kind == "incident-resolved" => "clean",
        "incident" | "detections" => "detected",
        "vendor" => "reply",
        "file" => "file",
        "dispute" => "send",
        "item" | "trash" => "folder",
        "policy" => "share",
        "quota" => "info",
        "update" | "candidate" if kind != "update-unchanged" => "failed",
        "rescan" => "rescan",
        "subscription" => "bell",
        _ => "engines",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_of_the_api_has_words() {
        let source = include_str!("../../../../src/model/signatures.rs");
        let (_, kinds) = source.split_once("pub enum EventKind {").unwrap();
        let (kinds, _) = kinds.split_once("\n}").unwrap();
        let names = kinds.lines().map(str::trim);
        let names = names.filter_map(|line| line.strip_suffix(','));
        let names: BTreeSet<_> = names.map(kebab).collect();
        let known: Vec<_> = GROUPS.iter().flat_map(|(_, kinds)| kinds.iter()).collect();
        let ours: BTreeSet<_> = known.iter().map(|(id, _)| (*id).to_owned()).collect();
        assert_eq!((names, ours.len()), (ours, known.len()));
    }

    fn kebab(name: &str) -> String {
        let mut kebab = String::new();
        for c in name.chars() {
            if c.is_ascii_uppercase() && !kebab.is_empty() {
                kebab.push('-');
            }
            kebab.push(c.to_ascii_lowercase());
        }
        kebab
    }

    #[test]
    fn a_kind_nobody_knows_is_shown_by_its_name() {
        assert_eq!(words("incident-opened"), "An engine detects a file");
        assert_eq!(words("moon-risen"), "moon-risen");
    }
}
