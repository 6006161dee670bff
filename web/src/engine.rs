//! An engine as several pages show it: whether it takes part, and how it is.

use serde::Deserialize;

/// What an engine does.
#[derive(Clone, Debug, Deserialize)]
pub struct Engine {
    /// What it is called.
    pub name: String,
    /// Who makes it.
    pub vendor: String,
    /// `ready`, `disabled` and so on.
    pub state: String,
    /// Whether it would scan a file now.
    #[serde(default)]
    pub can_scan: bool,
    /// Whether it only names families.
    #[serde(default)]
    pub labeler: bool,
    /// How its jobs ended.
    #[serde(default)]
    pub coverage: Jobs,
}

/// How jobs ended.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Jobs {
    /// With an answer.
    pub answered: u64,
}

impl Engine {
    /// Tells whether it is asked about files at all.
    pub fn takes_part(&self) -> bool {
        !self.labeler && !matches!(&*self.state, "disabled" | "needs-consent")
    }

    /// Returns its state as a picture, a colour and words.
    pub fn health(&self) -> (&'static str, &'static str, String) {
        let (icon, kind, words) = match &*self.state {
            "ready" => ("clean", "chip--clean", "Ready"),
            "idle" => ("clean", "chip--clean", "Ready, asleep"),
            "starting" => ("running", "chip--info", "Starting"),
            "proving" => ("running", "chip--info", "Sandbox being proven"),
            "disabled" => ("pause", "", "Off"),
            "needs-consent" => ("lock", "", "Needs consent"),
            "image-missing" => ("failed", "chip--red", "No image"),
            "unproven" => ("failed", "chip--red", "Sandbox does not hold"),
            "backing-off" => ("failed", "chip--red", "Failing"),
            other => ("info", "", other),
        };
        (icon, kind, words.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(state: &str) -> Engine {
        let json = serde_json::json!({ "name": "A", "vendor": "B", "state": state });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn only_what_answers_is_green() {
        for state in ["ready", "idle"] {
            assert_eq!(engine(state).health().1, "chip--clean", "{state}");
        }
        for state in [
            "disabled",
            "backing-off",
            "unproven",
            "image-missing",
            "new",
        ] {
            assert_ne!(engine(state).health().1, "chip--clean", "{state}");
        }
        assert!(!engine("disabled").takes_part() && engine("backing-off").takes_part());
    }
}
