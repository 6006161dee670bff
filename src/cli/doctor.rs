//! `acquit doctor`: finds what is wrong with this machine and how to mend it.
//!
//! Every check says what was seen, not only what is concluded, so that the
//! conclusion can be doubted. It only looks; it changes nothing.

mod docker;
mod files;
mod machine;
mod server;
pub mod updates;

use serde::Serialize;

use super::Context;
use super::exit::Exit;
use super::text::{Color, Paint, emit, emit_json, visible, visible_lines};
use crate::config::Config;
use crate::engine::manifest::Catalog;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but not as well or as safely as it could.
    Warn,
    /// Something does not work.
    Fail,
    /// Could not be looked at.
    Skipped,
}

/// What one check saw.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What was seen.
    pub seen: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// Says that it is as it should be.
    pub fn ok(check: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(Level::Ok, check, seen, None)
    }

    /// Says that it could be better, and how.
    pub fn warn(
        check: impl Into<String>,
        seen: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::new(Level::Warn, check, seen, Some(mend.into()))
    }

    /// Says that it does not work, and how to mend it.
    pub fn fail(
        check: impl Into<String>,
        seen: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::new(Level::Fail, check, seen, Some(mend.into()))
    }

    /// Says why it was not looked at.
    pub fn skipped(check: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Level::Skipped, check, why, None)
    }

    fn new(
        level: Level,
        check: impl Into<String>,
        seen: impl Into<String>,
        mend: Option<String>,
    ) -> Self {
        Self {
            check: check.into(),
            level,
            seen: seen.into(),
            mend,
        }
    }
}

/// What the checks look at.
#[derive(Debug)]
pub struct Patient {
    /// The configuration, or every default if it cannot be read.
    pub config: Config,
    /// The engines.
    pub catalog: Catalog,
    /// Whether everything can be seen.
    pub root: bool,
}

/// Looks at everything and prints what was seen.
///
/// # Errors
/// If it cannot be printed.
pub async fn run(context: &Context) -> anyhow::Result<Exit> {
    let mut findings = Vec::new();
    let patient = admit(context, &mut findings);
    files::look(&patient, &mut findings);
    machine::look(&patient, &mut findings);
    updates::look(&patient, &mut findings);
    docker::look(&patient, &mut findings).await;
    server::look(context, &patient, &mut findings).await;
    let failed = findings.iter().any(|it| it.level == Level::Fail);
    if context.json {
        emit_json(&serde_json::json!({ "healthy": !failed, "checks": findings }))?;
    } else {
        emit(&text(context.paint, &findings, patient.root))?;
    }
    Ok(if failed { Exit::Found } else { Exit::Fine })
}

fn admit(context: &Context, findings: &mut Vec<Finding>) -> Patient {
    let path = context.config.display();
    let config = match Config::load(&context.config) {
        Ok(config) => {
            findings.push(Finding::ok("configuration", format!("{path} is valid")));
            config
        }
        Err(error) => {
            let mend = "run `acquit check-config`, or name the file by --config; \
                        looking on with the defaults";
            findings.push(Finding::fail("configuration", format!("{error:#}"), mend));
            Config::default()
        }
    };
    let catalog = Catalog::load(&config.engines.manifests).narrow(&config.engines);
    Patient {
        catalog,
        config,
        root: crate::system::is_root(),
    }
}

fn text(paint: Paint, findings: &[Finding], root: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let (color, word) = match finding.level {
            Level::Ok => (Color::Green, "ok  "),
            Level::Warn => (Color::Yellow, "warn"),
            Level::Fail => (Color::Red, "FAIL"),
            Level::Skipped => (Color::Dim, "-   "),
        };
        let word = paint.paint(color, word);
        let seen = visible_lines(&finding.seen).replace('\n', "\n        ");
        text.push_str(&format!("{word}  {}: {seen}\n", visible(&finding.check)));
        if let Some(mend) = &finding.mend {
            text.push_str(&format!("      -> {}\n", visible(mend)));
        }
    }
    let count = |level| findings.iter().filter(|it| it.level == level).count();
    let (ok, warn, fail) = (count(Level::Ok), count(Level::Warn), count(Level::Fail));
    text.push_str(&format!("\n{ok} ok, {warn} warnings, {fail} failures\n"));
    if !root {
        text.push_str("Not everything could be looked at; root sees more.\n");
    }
    text
}
