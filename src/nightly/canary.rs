//! The canary: a candidate set is shown files of which it is known what must be said.
//!
//! It runs in a container of its own, in the same sandbox as all others, that
//! sees these files and nothing else. A candidate that finds too little or too
//! much, or that the engine does not even start with, never serves.

pub mod samples;

use std::path::PathBuf;
use std::sync::Arc;

use samples::{Sample, Samples, SamplesError};

use crate::config::Config;
use crate::engine::ask::{Engine, Health};
use crate::engine::resident::ResidentError;
use crate::engine::sandbox::SandboxError;
use crate::engine::staging::Shown;
use crate::model::{
    CanaryReport, EngineId, EngineVersions, Evidence, Expected, SignatureSetId, Verdict,
};
use crate::store::{REFERENCES, Store, StoreError};
use crate::system::now;

/// Most files of the collection that are shown as references.
const REFERENCES_SHOWN: usize = 1000;
/// Pieces of evidence that are named in one sentence.
const NAMED: usize = 3;

/// What a candidate is tried with.
#[derive(Debug)]
pub struct Canary {
    /// The engine, in containers that are for this only.
    pub engine: Arc<Engine>,
    /// Where the operator's files are.
    pub config: Arc<Config>,
    /// Where the collection's references are.
    pub store: Store,
    /// Every engine there is: directories named after another one are not for this one.
    pub engines: Vec<EngineId>,
}

/// What came of a candidate.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What the engine says of itself with it; nothing if it did not start.
    pub versions: Option<EngineVersions>,
    /// What it said of which file.
    pub report: CanaryReport,
    /// Why it may not serve; nothing if it may.
    pub refusal: Option<String>,
}

/// Why nothing is known of a candidate.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// Docker fails.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The files cannot be shown.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The collection's references cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Canary {
    /// Shows a candidate all known files.
    ///
    /// # Errors
    /// [`CanaryError`], if that says nothing about the candidate.
    pub async fn try_set(
        &self,
        candidate: &SignatureSetId,
        active: Option<&SignatureSetId>,
    ) -> Result<Tried, CanaryError> {
        let samples = self.samples().await?;
        let (versions, verdicts) = match self.ask(candidate, &samples.all).await {
            Ok(said) => said,
            Err(error) => return unstartable(error),
        };
        let mut report = judge(&samples.all, &verdicts);
        if let Some(active) = active {
            self.forgive(&samples.all, &mut report, active).await;
        }
        let refusal = (!report.is_fine()).then(|| refusal(&report));
        Ok(Tried {
            versions: Some(versions),
            report,
            refusal,
        })
    }

    async fn samples(&self) -> Result<Samples, CanaryError> {
        let data_dir = &self.config.storage.data_dir;
        let (below, sentinel) = (data_dir.join("canary"), data_dir.join("sentinel"));
        let updates = self.config.updates.clone();
        let (own, all) = (self.engine.manifest.id.clone(), self.engines.clone());
        let references = self.references()?;
        let collect = move || {
            let mut samples = Samples::new(&below)?;
            let whose = (&own, all.as_slice());
            samples.add_bad("EICAR", &sentinel)?;
            samples.add_directory(&updates.known_bad, Expected::Detection, whose)?;
            samples.add_directory(&updates.known_good, Expected::Silence, whose)?;
            samples.add_programs(updates.system_files)?;
            for (name, path) in references {
                samples.add_lenient(&name, &path)?;
            }
            Ok::<_, SamplesError>(samples)
        };
        let collected = tokio::task::spawn_blocking(collect).await;
        Ok(collected.map_err(|error| SamplesError::Io(std::io::Error::other(error)))??)
    }

    fn references(&self) -> Result<Vec<(String, PathBuf)>, StoreError> {
        let page = self
            .store
            .list(&REFERENCES, (&[], None), REFERENCES_SHOWN)?;
        let blobs = self.store.blobs();
        let named = |(sha256, _)| (Evidence::reference(&sha256), blobs.path(&sha256));
        Ok(page.rows.into_iter().map(named).collect())
    }

    /// Asks the engine with a set about files; one that got no answer is asked about once more.
    async fn ask(
        &self,
        set: &SignatureSetId,
        samples: &[Sample],
    ) -> Result<(EngineVersions, Vec<Verdict>), ResidentError> {
        let resident = &self.engine.resident;
        resident.retire_current().await;
        resident.use_signatures(Some(set.clone()));
        let asked = self.ask_all(samples).await;
        resident.retire_current().await;
        asked
    }

    async fn ask_all(
        &self,
        samples: &[Sample],
    ) -> Result<(EngineVersions, Vec<Verdict>), ResidentError> {
        let most = usize::try_from(self.engine.most_files()).unwrap_or(1);
        let (mut versions, mut verdicts) = (EngineVersions::default(), Vec::new());
        for batch in samples.chunks(most.max(1)) {
            let (read, said) = self.ask_batch(batch).await?;
            versions = read;
            for (sample, verdict) in batch.iter().zip(said) {
                let again = !verdict.is_answer() && batch.len() > 1;
                verdicts.push(if again {
                    let (_, said) = self.ask_batch(std::slice::from_ref(sample)).await?;
                    said.into_iter().next().unwrap_or(verdict)
                } else {
                    verdict
                });
            }
        }
        Ok((versions, verdicts))
    }

    async fn ask_batch(
        &self,
        batch: &[Sample],
    ) -> Result<(EngineVersions, Vec<Verdict>), ResidentError> {
        let extensions = &self.engine.manifest.run.extensions;
        let show = |sample: &Sample| Shown {
            blob: sample.path.clone(),
            extension: sample.extension.clone().filter(|e| extensions.contains(e)),
        };
        let lease = self.engine.resident.acquire().await?;
        let versions = lease.live.versions.clone();
        let asked = self
            .engine
            .ask(&lease, batch.iter().map(show).collect())
            .await;
        match asked.health {
            Health::Fine => {
                self.engine
                    .resident
                    .release(lease, batch.len() as u64)
                    .await
            }
            Health::Suspect(_) => self.engine.resident.retire(lease).await,
        }
        let said = asked.answers.into_iter().map(|said| said.verdict).collect();
        Ok((versions, said))
    }

    /// Passes over what the active set says too: a new set is not worse for it.
    async fn forgive(
        &self,
        samples: &[Sample],
        report: &mut CanaryReport,
        active: &SignatureSetId,
    ) {
        let doubtful = |sample: &&Sample| {
            let named = |evidence: &Evidence| evidence.file == sample.file;
            sample.lenient && report.evidence.iter().any(named)
        };
        let doubtful: Vec<_> = samples.iter().filter(doubtful).cloned().collect();
        if doubtful.is_empty() {
            return;
        }
        // Without an answer of the active set nothing is forgiven.
        let Ok((_, verdicts)) = self.ask(active, &doubtful).await else {
            return;
        };
        let before = judge(&doubtful, &verdicts).evidence;
        let known = |evidence: &Evidence| {
            let same = |old: &Evidence| {
                let worse = evidence.verdict.is_detection() && !old.verdict.is_detection();
                old.file == evidence.file && !worse
            };
            before.iter().any(same)
        };
        let (forgiven, kept) = report.evidence.drain(..).partition(known);
        report.passed_over = forgiven;
        report.evidence = kept;
    }
}

/// Compares what was said of each file with what must be said.
pub fn judge(samples: &[Sample], verdicts: &[Verdict]) -> CanaryReport {
    let count = |expected| samples.iter().filter(|s| s.expected == expected).count() as u64;
    let wrong = |(sample, verdict): (&Sample, &Verdict)| {
        let right = match sample.expected {
            Expected::Detection => verdict.is_detection(),
            // No answer is no silence: a set with which the engine dies must not serve.
            Expected::Silence => verdict.is_answer() && !verdict.is_detection(),
        };
        (!right).then(|| Evidence {
            file: sample.file.clone(),
            sha256: sample.sha256,
            expected: sample.expected,
            verdict: verdict.clone(),
        })
    };
    CanaryReport {
        at: now(),
        bad: count(Expected::Detection),
        good: count(Expected::Silence),
        evidence: samples.iter().zip(verdicts).filter_map(wrong).collect(),
        passed_over: Vec::new(),
    }
}

/// Says in one sentence what speaks against a candidate.
///
/// Everybody reads it, so references are counted: whose they are, and that they are here, is not
/// for everybody.
fn refusal(report: &CanaryReport) -> String {
    let (ours, theirs): (Vec<_>, Vec<_>) = report
        .evidence
        .iter()
        .partition(|evidence| !evidence.is_reference());
    let mut said: Vec<_> = ours.iter().take(NAMED).map(|one| describe(one)).collect();
    match theirs.len() {
        0 => {}
        1 => said.push("it is wrong about 1 reference".to_owned()),
        count => said.push(format!("it is wrong about {count} references")),
    }
    match ours.len().saturating_sub(NAMED) {
        0 => {}
        more => said.push(format!("and {more} more")),
    }
    said.join("; ")
}

fn describe(evidence: &Evidence) -> String {
    let file = &evidence.file;
    match (evidence.expected, &evidence.verdict) {
        (_, Verdict::Failure { reason }) => format!("it fails on {file}: {reason}"),
        (_, Verdict::Timeout) => format!("it does not answer on {file}"),
        (Expected::Silence, verdict) => {
            let name = verdict.name().map(ToString::to_string).unwrap_or_default();
            format!("it flags the known-good file {file} as {name}")
        }
        (Expected::Detection, _) => format!("it does not find the known-bad file {file}"),
    }
}

/// A set with which the engine does not start is refused; trouble with Docker says nothing of it.
fn unstartable(error: ResidentError) -> Result<Tried, CanaryError> {
    let reason = match error {
        ResidentError::Sandbox(error) => return Err(error.into()),
        ResidentError::Died { .. } | ResidentError::Silent { .. } => error.to_string(),
    };
    Ok(Tried {
        versions: None,
        report: CanaryReport {
            at: now(),
            bad: 0,
            good: 0,
            evidence: Vec::new(),
            passed_over: Vec::new(),
        },
        refusal: Some(format!("the engine does not start with it: {reason}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DetectionName, Sha256};

    fn sample(file: &str, expected: Expected) -> Sample {
        Sample {
            file: file.to_owned(),
            path: PathBuf::new(),
            sha256: Sha256::new([0; 32]),
            extension: None,
            expected,
            lenient: false,
        }
    }

    fn malicious() -> Verdict {
        let name = DetectionName::new("Eicar");
        Verdict::Malicious { name }
    }

    #[track_caller]
    fn check(expected: Expected, verdict: Verdict, refused: Option<&str>) {
        let report = judge(&[sample("x", expected)], &[verdict]);
        assert_eq!(report.is_fine(), refused.is_none());
        if let Some(words) = refused {
            assert!(refusal(&report).contains(words), "{}", refusal(&report));
        }
    }

    #[test]
    fn bad_files_must_be_found_and_good_ones_must_be_answered_with_silence() {
        check(Expected::Detection, malicious(), None);
        check(
            Expected::Detection,
            Verdict::Undetected,
            Some("does not find the known-bad file x"),
        );
        check(
            Expected::Detection,
            Verdict::failure("no rules"),
            Some("fails on x: no rules"),
        );
        check(Expected::Silence, Verdict::Undetected, None);
        check(
            Expected::Silence,
            malicious(),
            Some("flags the known-good file x as Eicar"),
        );
        check(
            Expected::Silence,
            Verdict::failure("crash"),
            Some("fails on x: crash"),
        );
        check(
            Expected::Silence,
            Verdict::Timeout,
            Some("does not answer on x"),
        );
        let reason = "not a document".to_owned();
        check(Expected::Silence, Verdict::TypeUnsupported { reason }, None);
    }

    #[test]
    fn long_evidence_is_counted() {
        let samples: Vec<_> = (0..5)
            .map(|n| sample(&n.to_string(), Expected::Detection))
            .collect();
        let report = judge(&samples, &vec![Verdict::Undetected; 5]);
        assert!(refusal(&report).ends_with("and 2 more"));
    }

    #[test]
    fn references_are_counted_and_not_named() {
        let reference = Evidence::reference(&Sha256::new([0; 32]));
        let samples = [
            sample(&reference, Expected::Silence),
            sample("ours", Expected::Silence),
            sample(&reference, Expected::Silence),
        ];
        let said = refusal(&judge(&samples, &[malicious(), malicious(), malicious()]));
        assert_eq!(
            said,
            "it flags the known-good file ours as Eicar; it is wrong about 2 references"
        );
    }

    #[test]
    fn docker_that_is_gone_says_nothing_of_a_candidate() {
        let gone = SandboxError::Unreachable {
            reason: "gone".to_owned(),
        };
        assert!(unstartable(ResidentError::Sandbox(gone)).is_err());
        let died = ResidentError::Died {
            reason: "exit code 1".to_owned(),
        };
        let refusal = unstartable(died).unwrap().refusal.unwrap();
        assert!(refusal.contains("does not start"), "{refusal}");
    }
}
