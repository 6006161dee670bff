//! Reads clamd's replies. Total: any bytes give a verdict, and only one clean one.

use super::ClamdVersion;
use crate::model::{DetectionName, Verdict};

/// Turns the reply to a `SCAN` of `path` into a verdict.
pub fn verdict(reply: &[u8], path: &str) -> Verdict {
    let Ok(reply) = std::str::from_utf8(reply) else {
        return Verdict::failure("clamd's reply is no text");
    };
    let answer = reply
        .strip_prefix(path)
        .and_then(|rest| rest.strip_prefix(": "));
    let Some(answer) = answer else {
        return Verdict::failure("clamd answered for another file than was asked");
    };
    if answer.contains(char::is_control) {
        return Verdict::failure("clamd's reply has control characters");
    }
    if let Some(name) = answer.strip_suffix(" FOUND") {
        return detection(name);
    }
    if let Some(reason) = answer.strip_suffix(" ERROR") {
        return Verdict::failure(format!("clamd: {reason}"));
    }
    match answer {
        "OK" | "Empty file" => Verdict::Undetected,
        _ => Verdict::failure("clamd's reply is of no known form"),
    }
}

/// Sorts what ClamAV reports as found; not all of it is malware.
fn detection(name: &str) -> Verdict {
    if name.is_empty() || name == "(null)" || name.contains(char::is_whitespace) {
        return Verdict::failure("clamd found something without a name");
    }
    if name == "Heuristics.Limits.Exceeded.MaxScanTime" {
        return Verdict::Timeout;
    }
    if name.starts_with("Heuristics.Limits.Exceeded") {
        return unsupported("beyond the engine's limits");
    }
    if name.starts_with("Heuristics.Encrypted.") {
        return unsupported("encrypted");
    }
    let plain = name.strip_suffix(".UNOFFICIAL").unwrap_or(name);
    let suspected = ["PUA.", "Heuristics."];
    let name = DetectionName::new(plain);
    if suspected.iter().any(|prefix| plain.starts_with(prefix)) {
        Verdict::Suspicious { name }
    } else {
        Verdict::Malicious { name }
    }
}

fn unsupported(reason: &str) -> Verdict {
    Verdict::TypeUnsupported {
        reason: reason.to_owned(),
    }
}

/// Reads `ClamAV 1.4.6/27400/Sun Nov 22 09:27:09 2026`; the last two may be missing.
pub fn version(reply: &[u8]) -> Option<ClamdVersion> {
    let reply = std::str::from_utf8(reply).ok()?.trim();
    let mut parts = reply.strip_prefix("ClamAV ")?.splitn(3, '/');
    let engine = parts.next().filter(|engine| is_version(engine))?;
    let signatures = parts.next().filter(|number| is_version(number));
    Some(ClamdVersion {
        engine: engine.to_owned(),
        signatures: signatures.map(str::to_owned),
        signatures_date: parts.next().and_then(date),
    })
}

fn is_version(text: &str) -> bool {
    let fits = (1..=64).contains(&text.len());
    fits && text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-+_~".contains(&byte))
}

/// Turns `Sun Nov 22 09:27:09 2026` into `20261122`.
fn date(text: &str) -> Option<String> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [_, month, day, _, year] = fields.as_slice() else {
        return None;
    };
    let month = MONTHS
        .find(month)
        .filter(|at| month.len() == 3 && at % 3 == 0)?
        / 3
        + 1;
    let day: u8 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year: u16 = year
        .parse()
        .ok()
        .filter(|year| (1990..=9999).contains(year))?;
    Some(format!("{year:04}{month:02}{day:02}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATH: &str = "/scan/0123456789abcdef/0123456789abcdef.exe";

    #[track_caller]
    fn check(answer: &str, expected: &str) {
        let verdict = verdict(format!("{PATH}: {answer}").as_bytes(), PATH);
        let text = match &verdict {
            Verdict::Malicious { name } | Verdict::Suspicious { name } => name.as_str(),
            Verdict::TypeUnsupported { reason } => reason,
            Verdict::Undetected | Verdict::Timeout | Verdict::Failure { .. } => "",
        };
        assert_eq!(format!("{} {text}", verdict.category()).trim(), expected);
    }

    #[test]
    fn ok_is_undetected() {
        check("OK", "undetected");
        check("Empty file", "undetected");
    }

    #[test]
    fn found_is_malicious_without_the_mark_of_own_databases() {
        check(
            "Win.Test.EICAR_HDB-1 FOUND",
            "malicious Win.Test.EICAR_HDB-1",
        );
        check("Test.Hand.UNOFFICIAL FOUND", "malicious Test.Hand");
        check(
            "YARA.Hand_Eicar.UNOFFICIAL FOUND",
            "malicious YARA.Hand_Eicar",
        );
    }

    #[test]
    fn unwanted_and_guessed_is_suspicious() {
        check(
            "PUA.Win.Tool.Packed-1 FOUND",
            "suspicious PUA.Win.Tool.Packed-1",
        );
        check(
            "Heuristics.Broken.Executable FOUND",
            "suspicious Heuristics.Broken.Executable",
        );
    }

    #[test]
    fn limits_and_encryption_are_not_detections() {
        let limits = "type-unsupported beyond the engine's limits";
        check("Heuristics.Limits.Exceeded FOUND", limits);
        check("Heuristics.Limits.Exceeded.MaxFileSize FOUND", limits);
        check(
            "Heuristics.Encrypted.Zip FOUND",
            "type-unsupported encrypted",
        );
    }

    #[test]
    fn anything_else_is_a_failure() {
        for answer in [
            "",
            "ok",
            "OK ",
            " OK",
            "OK\n",
            "OK FOUND OK",
            "(null) FOUND",
            " FOUND",
            "FOUND",
            "a b FOUND",
            "File path check failure: No such file or directory. ERROR",
            "Can't open file or directory ERROR",
            "Excluded",
            "Symbolic link",
            "Not supported file type",
        ] {
            check(answer, "failure");
        }
    }

    #[test]
    fn answer_for_another_file_is_a_failure() {
        for reply in [
            "",
            "OK",
            "/scan/other: OK",
            "/scan/0123456789abcdef/0123456789abcdef.ex: OK",
            "stream: OK",
            "UNKNOWN COMMAND",
            "COMMAND READ TIMED OUT",
            "1: /scan/0123456789abcdef/0123456789abcdef.exe: OK",
        ] {
            let verdict = verdict(reply.as_bytes(), PATH);
            assert_eq!(verdict.category(), "failure", "{reply}");
        }
    }

    #[test]
    fn line_forged_by_a_second_answer_is_a_failure() {
        check("X FOUND\n/scan/a: OK", "failure");
        check("OK\0/scan/a: OK", "failure");
    }

    #[test]
    fn version_with_and_without_a_database_is_read() {
        let full = version(b"ClamAV 1.4.6/27400/Sun Nov 22 09:27:09 2026").unwrap();
        assert_eq!(full.engine, "1.4.6");
        assert_eq!(full.signatures.as_deref(), Some("27400"));
        assert_eq!(full.signatures_date.as_deref(), Some("20261122"));
        let bare = version(b"ClamAV 1.4.6").unwrap();
        assert_eq!((bare.signatures, bare.signatures_date), (None, None));
    }

    #[test]
    fn senseless_versions_and_dates_are_refused() {
        assert_eq!(version(b"UNKNOWN COMMAND"), None);
        assert_eq!(version(b"ClamAV \n/1/x"), None);
        assert_eq!(date("Sun anF 22 09:27:09 2026"), None);
        assert_eq!(date("Sun Nov 42 09:27:09 2026"), None);
    }

    proptest! {
        #[test]
        fn only_the_exact_words_are_clean(reply in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_ne!(verdict(&reply, PATH), Verdict::Undetected);
            let mut whole = format!("{PATH}: ").into_bytes();
            whole.extend(&reply);
            let clean = verdict(&whole, PATH) == Verdict::Undetected;
            prop_assert_eq!(clean, reply == b"OK" || reply == b"Empty file");
        }
    }
}
