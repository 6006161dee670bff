//! `acquit engines test`: each engine is shown a known-bad and a clean file.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use super::Context;
use super::client::Client;
use super::engines::{self, Engine};
use super::exit::{Exit, UsageError};
use super::scan::upload::{Source, Upload, Wish, follow};
use super::text::{Color, emit, emit_json, padded, visible};
use super::wire::{AnalysisAttributes, ResultAttributes};
use crate::model::EngineId;

/// The EICAR test file backwards, so that no scanner eats this program or its source.
const RACIE: &str = "*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\\4[PA@%P!O5X";
/// A text no engine should mind.
const CLEAN: &str = "The quick brown fox jumps over the lazy dog.\n";
/// How long the engines may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// How an engine stood the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It detects the bad file and is silent on the clean one.
    Works,
    /// It does not look at such files.
    NotItsType,
    /// It missed the bad file, minded the clean one or did not answer.
    Fails,
}

/// One engine's test.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// The engine's id.
    pub engine: String,
    /// How it stood the test.
    pub outcome: Outcome,
    /// What it said to the bad file.
    pub eicar: String,
    /// What it said to the clean file.
    pub clean: String,
}

/// Tests engines and prints how they stood it.
///
/// # Errors
/// If the server does not answer.
pub async fn run(context: &Context, ids: Vec<EngineId>) -> anyhow::Result<Exit> {
    let client = context.quick_client()?;
    let engines = chosen(engines::list(&client).await?, &ids)?;
    let eicar: String = RACIE.chars().rev().collect();
    let (bad, clean) = tokio::try_join!(
        ask(&client, &engines, ("eicar.com", eicar.into())),
        ask(
            &client,
            &engines,
            ("clean.txt", Bytes::from_static(CLEAN.as_bytes()))
        ),
    )?;
    let prove = |engine: &Engine| {
        let (bad, clean) = (
            bad.results.get(&engine.name),
            clean.results.get(&engine.name),
        );
        judge(visible(&engine.id), bad, clean)
    };
    let proofs: Vec<Proof> = engines.iter().map(prove).collect();
    print(context, &proofs)?;
    let failed = proofs.iter().any(|proof| proof.outcome == Outcome::Fails);
    Ok(if failed { Exit::Found } else { Exit::Fine })
}

fn chosen(engines: Vec<Engine>, ids: &[EngineId]) -> anyhow::Result<Vec<Engine>> {
    for id in ids {
        let found = engines.iter().find(|engine| engine.id == id.as_str());
        let why = match found {
            None => "there is no engine",
            Some(engine) if !engine.is_enabled() => "the configuration disables engine",
            Some(engine) if engine.is_labeler() => "no file can be shown to the labeler",
            Some(_) => continue,
        };
        return Err(UsageError(format!("{why} {id}; see `acquit engines list`")).into());
    }
    let is_chosen = |engine: &Engine| match ids.is_empty() {
        true => engine.is_enabled() && !engine.is_labeler(),
        false => ids.iter().any(|id| id.as_str() == engine.id),
    };
    Ok(engines.into_iter().filter(is_chosen).collect())
}

async fn ask(
    client: &Client,
    engines: &[Engine],
    (name, bytes): (&'static str, Bytes),
) -> anyhow::Result<AnalysisAttributes> {
    let ids: Vec<&str> = engines.iter().map(|engine| engine.id.as_str()).collect();
    let wish = Wish {
        engines: ids.join(","),
        fresh: true,
        ..Wish::default()
    };
    let upload = Upload {
        client,
        source: Source::Bytes(name, bytes),
        wish: &wish,
        sent: Arc::new(|_| {}),
    };
    let uploaded = upload.send().await?;
    let answer = follow(client, &uploaded.analysis, Instant::now() + PATIENCE).await?;
    Ok(answer.data.attributes)
}

fn judge(
    engine: String,
    bad: Option<&ResultAttributes>,
    clean: Option<&ResultAttributes>,
) -> Proof {
    let category = |result: Option<&ResultAttributes>| match result {
        Some(result) => result.category.clone(),
        None => "no answer".to_owned(),
    };
    let outcome = match (category(bad).as_str(), category(clean).as_str()) {
        ("malicious" | "suspicious", "undetected" | "harmless" | "type-unsupported") => {
            Outcome::Works
        }
        ("type-unsupported", "undetected" | "harmless" | "type-unsupported") => Outcome::NotItsType,
        _ => Outcome::Fails,
    };
    Proof {
        engine,
        outcome,
        eicar: said(bad),
        clean: said(clean),
    }
}

fn said(result: Option<&ResultAttributes>) -> String {
    let Some(result) = result else {
        return "no answer".to_owned();
    };
    let more = result.result.as_deref().or(result.reason.as_deref());
    let category = visible(&result.category);
    match more {
        Some(more) => format!("{category}: {}", visible(more)),
        None => category,
    }
}

fn print(context: &Context, proofs: &[Proof]) -> anyhow::Result<()> {
    if context.json {
        return emit_json(&serde_json::json!({ "engines": proofs }));
    }
    let mut text = String::new();
    for proof in proofs {
        let (color, outcome) = match proof.outcome {
            Outcome::Works => (Color::Green, "works"),
            Outcome::NotItsType => (Color::Dim, "does not look at such files"),
            Outcome::Fails => (Color::Red, "FAILS"),
        };
        let name = padded(&proof.engine, 16);
        text.push_str(&format!(
            "{name}  {}\n",
            context.paint.paint(color, outcome)
        ));
        text.push_str(&format!("{:16}    test file   {}\n", "", proof.eicar));
        text.push_str(&format!("{:16}    clean file  {}\n", "", proof.clean));
    }
    let works = proofs
        .iter()
        .filter(|proof| proof.outcome == Outcome::Works)
        .count();
    let fails = proofs
        .iter()
        .filter(|proof| proof.outcome == Outcome::Fails)
        .count();
    let other = proofs.len() - works - fails;
    text.push_str(&format!(
        "\n{works} work, {other} do not look at such files, {fails} fail\n"
    ));
    emit(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(category: &str) -> ResultAttributes {
        ResultAttributes {
            category: category.to_owned(),
            result: None,
            reason: None,
            disputed: false,
        }
    }

    #[track_caller]
    fn check(bad: &str, clean: &str, expected: Outcome) {
        let proof = judge("x".to_owned(), Some(&result(bad)), Some(&result(clean)));
        assert_eq!(proof.outcome, expected);
    }

    #[test]
    fn engine_works_only_if_it_detects_and_keeps_silent() {
        check("malicious", "undetected", Outcome::Works);
        check("undetected", "undetected", Outcome::Fails);
        check("malicious", "malicious", Outcome::Fails);
        check("malicious", "failure", Outcome::Fails);
        check("type-unsupported", "type-unsupported", Outcome::NotItsType);
        check("type-unsupported", "timeout", Outcome::Fails);
        assert_eq!(judge(String::new(), None, None).outcome, Outcome::Fails);
    }
}
