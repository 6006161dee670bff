//! Reads what an engine scans with, from the engine itself.

use std::time::Duration;

use regex::RegexBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::clamd;
use super::manifest::Manifest;
use super::runner::{Exec, RunnerPort, Session};
use super::speech::{Speech, Way};
use super::talk::within;
use crate::model::EngineVersions;

const LIMIT: Duration = Duration::from_secs(30);

/// Runs the manifest's version command; without one there is nothing to read but that it answers.
///
/// # Errors
/// Says what was seen instead of a version.
pub async fn of_command(manifest: &Manifest, session: Session) -> Result<EngineVersions, String> {
    let Some(version) = &manifest.version else {
        session.ping().await.map_err(|error| error.to_string())?;
        return Ok(EngineVersions::default());
    };
    let env = manifest
        .run
        .env
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let command = version.command.clone();
    let exec = Exec {
        command,
        env,
        timeout: LIMIT,
        output_bytes: 64 << 10,
    };
    let finished = session
        .exec(exec)
        .await
        .map_err(|error| error.to_string())?;
    let mut text = String::from_utf8_lossy(&finished.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&finished.stderr));
    parse(&version.pattern, &text)
}

/// Asks whether a driver listens; it does so when everything is loaded.
///
/// # Errors
/// Says what was seen instead.
pub async fn ping_driver(manifest: &Manifest, session: Session) -> Result<(), String> {
    let mut stream = session
        .dial(socket(manifest)?)
        .await
        .map_err(|error| error.to_string())?;
    let asked = async {
        stream.write_all(b"ping\n").await?;
        let mut answer = String::new();
        stream.take(64).read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(answer)) if answer == "exit 0\n" => Ok(()),
        Ok(Ok(answer)) => Err(format!("the driver answered {answer:?} to a ping")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the driver does not answer".to_owned()),
    }
}

fn socket(manifest: &Manifest) -> Result<&str, &'static str> {
    let socket = manifest
        .run
        .socket
        .as_deref()
        .ok_or("the manifest names no socket")?;
    socket.to_str().ok_or("the manifest's socket is no text")
}

/// Asks a clamd; it answers only when its signatures are loaded.
///
/// # Errors
/// Says what was seen instead of a version.
pub async fn of_clamd(manifest: &Manifest, session: Session) -> Result<EngineVersions, String> {
    let mut stream = session
        .dial(socket(manifest)?)
        .await
        .map_err(|error| error.to_string())?;
    let read = clamd::version(&mut stream, LIMIT)
        .await
        .map_err(|error| error.to_string())?;
    Ok(EngineVersions {
        engine: Some(read.engine),
        signatures: read.signatures,
        signatures_date: read.signatures_date,
        ..EngineVersions::default()
    })
}

/// Asks a server; it answers only when it could be asked about a file.
///
/// # Errors
/// Says what was seen instead of a version.
pub async fn of_speech(
    manifest: &Manifest,
    (port, generation): (&RunnerPort, &str),
) -> Result<EngineVersions, String> {
    let speech = Speech::of(manifest)?.ok_or("the manifest does not say how it is asked")?;
    let way = Way::Inside {
        port,
        generation,
        socket: socket(manifest)?,
    };
    let asked = speech.versions(&way, (manifest.version.as_ref(), None));
    let read = within(LIMIT, asked)
        .await
        .map_err(|error| error.to_string())?;
    match &manifest.version {
        Some(version) if !version.command.is_empty() => {
            of_command(manifest, port.session(generation).await).await
        }
        Some(_) | None => Ok(read),
    }
}

/// Finds a version in what was printed.
///
/// # Errors
/// Quotes what there was instead.
pub fn parse(pattern: &str, text: &str) -> Result<EngineVersions, String> {
    // A pattern is written for the one line that has the version.
    let regex = RegexBuilder::new(pattern).multi_line(true).build();
    let regex = regex.map_err(|error| error.to_string())?;
    let seen: String = text.chars().take(200).collect();
    let found = regex
        .captures(text)
        .ok_or_else(|| format!("no version in {seen:?}"))?;
    let group = |name| found.name(name).map(|part| part.as_str().trim().to_owned());
    Ok(EngineVersions {
        engine: group("engine"),
        signatures: group("signatures"),
        signatures_date: group("date").as_deref().and_then(compact_date),
        license_expires: group("license").as_deref().and_then(compact_date),
        ..EngineVersions::default()
    })
}

/// Returns `YYYYMMDD` of the date forms engines print.
fn compact_date(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let iso = text.len() >= 8 && text.starts_with("20") && digits.len() >= 8;
    if iso {
        return Some(digits[..8].to_owned());
    }
    let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let formats = [
        "%a %b %d %H:%M:%S %Y",
        "%a %b %d %H:%M:%S %Y %Z",
        "%b %d %Y",
        "%d %b %Y",
    ];
    let parsed = formats.iter().find_map(|format| {
        jiff::fmt::strtime::parse(format, &squeezed)
            .ok()?
            .to_date()
            .ok()
    })?;
    Some(parsed.strftime("%Y%m%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(compact_date(text).as_deref(), expected);
    }

    #[test]
    fn dates_of_real_engines_become_virustotals() {
        check("Wed Jan  9 18:42:45 2019", Some("20190109"));
        check("Jan 23 2026", Some("20260123"));
        check("2026-11-23", Some("20261123"));
        check("20261123", Some("20261123"));
        check("yesterday", None);
    }

    #[test]
    fn text_without_a_version_is_quoted() {
        let pattern = r"^yara (?<engine>\d+\.\d+)";
        assert_eq!(
            parse(pattern, "yara 4.2.3").unwrap().engine.as_deref(),
            Some("4.2")
        );
        assert!(parse(pattern, "usage: …").unwrap_err().contains("usage"));
    }
}
