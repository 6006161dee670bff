//! The daemon as its clients see it: whether it answers and whether it would scan.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::{Finding, Patient};
use crate::cli::Context;
use crate::cli::client::Client;
use crate::cli::engines::{self, Engine};
use crate::cli::settings::Settings;
use crate::cli::text::visible;

/// How long another program on the port may take to take a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// Looks at the daemon.
pub async fn look(context: &Context, patient: &Patient, findings: &mut Vec<Finding>) {
    let check = "daemon";
    let settings = match Settings::resolve(&context.connection) {
        Ok(settings) => settings,
        Err(error) => {
            let mend = "mend the address, the key or the client file";
            findings.push(Finding::fail(check, format!("{error:#}"), mend));
            return;
        }
    };
    let client = match Client::new(&settings, Duration::ZERO) {
        Ok(client) => client,
        Err(error) => {
            findings.push(Finding::fail(
                check,
                format!("{error:#}"),
                "mend this machine's TLS",
            ));
            return;
        }
    };
    match client.plain("livez").await {
        Ok((200, body)) => {
            let version = visible(body["version"].as_str().unwrap_or("of unknown version"));
            let seen = format!("version {version} answers at {}", client.server());
            findings.push(same_version(&version, seen));
        }
        Ok((status, _)) => {
            let seen = format!("{} answers {status} to /livez", client.server());
            findings.push(Finding::fail(check, seen, "is this an Acquit server?"));
            return;
        }
        Err(error) => {
            findings.push(silent(patient, &settings, error.to_string()));
            return;
        }
    }
    ready(&client, findings).await;
    key(&client, &settings, findings).await;
}

fn same_version(version: &str, seen: String) -> Finding {
    if version == env!("CARGO_PKG_VERSION") {
        return Finding::ok("daemon", seen);
    }
    let ours = env!("CARGO_PKG_VERSION");
    let mend = "restart the daemon after an upgrade";
    Finding::warn("daemon", format!("{seen}, this is {ours}"), mend)
}

/// Says why a daemon that should be on this machine does not answer.
fn silent(patient: &Patient, settings: &Settings, error: String) -> Finding {
    let listen = patient.config.http.listen;
    let mend = match TcpStream::connect_timeout(&listen, CONNECT) {
        Ok(_) if settings.is_local() => {
            format!("another program listens on {listen}, or --server is wrong")
        }
        _ => "start it: systemctl start acquit; its log: journalctl -u acquit, or \
              /var/log/acquit/acquit.log"
            .to_owned(),
    };
    Finding::fail("daemon", error, mend)
}

async fn ready(client: &Client, findings: &mut Vec<Finding>) {
    let (status, body) = match client.plain("readyz").await {
        Ok(answer) => answer,
        Err(error) => {
            let mend = "see the daemon's log";
            findings.push(Finding::fail("readiness", error.to_string(), mend));
            return;
        }
    };
    let checks = body["checks"].as_object();
    let told: Vec<String> = checks
        .into_iter()
        .flatten()
        .map(|(name, check)| format!("{}: {}", visible(name), text(check, "seen")))
        .collect();
    let seen = told.join("; ");
    findings.push(match status {
        200 => Finding::ok("readiness", seen),
        _ => {
            let mend = "mend the failing check; the daemon's log says more";
            Finding::fail("readiness", format!("not ready: {seen}"), mend)
        }
    });
}

async fn key(client: &Client, settings: &Settings, findings: &mut Vec<Finding>) {
    if settings.key.is_none() {
        let seen = "there is none, so engines cannot be asked about";
        let mend = "give one by --apikey-file, ACQUIT_APIKEY or ~/.config/acquit/client.toml";
        findings.push(Finding::warn("API key", seen, mend));
        return;
    }
    let source = &settings.key_source;
    match engines::list(client).await {
        Ok(list) => {
            findings.push(Finding::ok(
                "API key",
                format!("that of {source} is accepted"),
            ));
            findings.extend(list.iter().map(engine));
        }
        Err(error) => {
            let seen = format!("that of {source}: {error}");
            let mend =
                "use a key of `acquit keys list`; a new one is imported when the daemon starts";
            findings.push(Finding::fail("API key", seen, mend));
        }
    }
}

fn engine(engine: &Engine) -> Finding {
    let check = format!("engine {}", engine.id);
    let last = engine.text("/last_error").unwrap_or_default();
    let state = &engine.state;
    let id = &engine.id;
    match state.as_str() {
        "ready" | "idle" => Finding::ok(check, able(engine)),
        "disabled" => Finding::skipped(check, "disabled by the configuration"),
        "needs-consent" => Finding::skipped(
            check,
            "is outside of this machine, and nobody consented that files go there",
        ),
        "proving" | "starting" => {
            let seen = [state, &*last].join(" ").trim().to_owned();
            Finding::warn(check, seen, "wait a little and look again")
        }
        "image-missing" => Finding::fail(
            check,
            "has no image",
            format!("sudo acquit engines build {id}"),
        ),
        "unproven" => {
            let seen = format!("its sandbox does not hold: {} {last}", broken(engine));
            Finding::fail(
                check,
                seen,
                "mend Docker or the kernel so that it does; it does not scan",
            )
        }
        _ => {
            let mend = format!("acquit engines show {id}; acquit engines restart {id}");
            Finding::fail(check, format!("{state}: {last}"), mend)
        }
    }
}

fn able(engine: &Engine) -> String {
    let version = engine.text("/versions/engine");
    let version = version.unwrap_or_else(|| "version unknown".to_owned());
    let queue = ["/queued_interactive", "/queued_nightly"];
    let queued = queue.map(|key| engine.attributes.pointer(key).and_then(Value::as_u64));
    let queued: u64 = queued.into_iter().flatten().sum();
    format!("{}, {version}, {} waiting", engine.state, queued)
}

/// Lists the attempts of the probe that were not stopped.
fn broken(engine: &Engine) -> String {
    let checks = engine.attributes["probe"].as_array();
    let failed = checks
        .into_iter()
        .flatten()
        .filter(|it| it["held"].as_bool() != Some(true));
    let told: Vec<String> = failed
        .map(|check| format!("{}: {}", text(check, "name"), text(check, "seen")))
        .collect();
    told.join("; ")
}

fn text(value: &Value, key: &str) -> String {
    visible(value[key].as_str().unwrap_or_default())
}
