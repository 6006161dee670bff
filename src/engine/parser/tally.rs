//! Collects what was said of each file and gives the verdicts.
//!
//! The order is the policy: a detection stands whatever else went wrong, then
//! comes every reason not to trust the answer, and `undetected` is what is left
//! when the manifest's proof was given for that very file.

use super::finding::{Finding, Target};
use super::pattern::Names;
use super::spec::{Means, Rule};
use super::text::{quote, visible};
use super::{EVIDENCE_BYTES, Parsed, UNNAMED};
use crate::model::{DetectionName, Verdict};

/// What was said of one file.
#[derive(Debug, Default)]
struct Said {
    malicious: Option<String>,
    suspicious: Option<String>,
    /// What a counter or an exit code says: anything else that is said is better.
    weak: Option<(Means, String)>,
    failure: Option<String>,
    unsupported: Option<String>,
    clean_count: usize,
    evidence: String,
}

/// What was said of the whole batch.
#[derive(Debug)]
pub struct Tally {
    files: Vec<Said>,
    batch: Said,
}

impl Tally {
    /// Starts with nothing said of any file.
    pub fn new(file_count: usize) -> Self {
        Self {
            files: (0..file_count).map(|_| Said::default()).collect(),
            batch: Said::default(),
        }
    }

    /// Takes one finding in.
    pub fn take(&mut self, finding: &Finding<'_>, target: Target, names: &Names) {
        match target {
            Target::File(index) | Target::Member(index) => {
                let is_member = matches!(target, Target::Member(_));
                self.files[index].take(finding, names, is_member);
            }
            Target::Batch => self.take_batch(finding),
            Target::Stranger => self.take_stranger(finding),
        }
    }

    fn take_batch(&mut self, finding: &Finding<'_>) {
        match finding.means {
            Means::Ignored | Means::Subject => {}
            Means::Failure => {
                let reason = finding.reason.as_deref().unwrap_or(&finding.line);
                self.fail(
                    format!("the engine says {:?}", quote(reason)),
                    &finding.line,
                );
            }
            Means::Malicious | Means::Suspicious | Means::Undetected | Means::TypeUnsupported => {
                let reason = "it is not said of which file the engine says";
                self.fail(
                    format!("{reason} {:?}", quote(&finding.line)),
                    &finding.line,
                );
            }
        }
    }

    /// What is said of a path that is not staged may be about a file that is.
    fn take_stranger(&mut self, finding: &Finding<'_>) {
        let harmless = [Means::Undetected, Means::Ignored, Means::Subject];
        if !harmless.contains(&finding.means) {
            let reason = "the engine names a path that is not in the batch";
            self.fail(
                format!("{reason}: {:?}", quote(&finding.line)),
                &finding.line,
            );
        }
    }

    /// Fails whatever is not detected; the first reason is kept.
    pub fn fail(&mut self, reason: String, line: &str) {
        self.batch.failure.get_or_insert(reason);
        self.batch.note(line);
    }

    /// Fails one file, unless it is detected.
    pub fn fail_file(&mut self, index: usize, reason: String, line: &str) {
        self.files[index].failure.get_or_insert(reason);
        self.files[index].note(line);
    }

    /// Returns how many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Tells whether a file is detected.
    pub fn is_detected(&self, index: usize) -> bool {
        self.files[index].is_detected()
    }

    /// Tells whether anything that decides was said of a file.
    pub fn is_mentioned(&self, index: usize) -> bool {
        let said = &self.files[index];
        let more = said.failure.is_some() || said.unsupported.is_some();
        said.is_detected() || more || said.clean_count > 0
    }

    /// Returns how many files are detected.
    pub fn detected_count(&self) -> usize {
        self.files.iter().filter(|said| said.is_detected()).count()
    }

    /// Gives the verdicts of the first `count` files.
    pub fn verdicts(self, count: usize, rule: Rule) -> Vec<Parsed> {
        let batch = &self.batch;
        let files = self.files.iter().take(count);
        files.map(|said| said.parsed(batch, rule)).collect()
    }
}

impl Said {
    fn take(&mut self, finding: &Finding<'_>, names: &Names, is_member: bool) {
        self.note(&finding.line);
        let name = names.clean(finding.name.as_deref().unwrap_or_default());
        let reason = finding.reason.as_deref();
        match finding.means {
            Means::Malicious | Means::Suspicious => {
                let means = names.weigh(finding.means, &name);
                let weak = finding.weak || name == UNNAMED;
                match weak && means != Means::TypeUnsupported {
                    true => drop(self.weak.get_or_insert_with(|| (means, name.into_owned()))),
                    false => self.detect(means, &name),
                }
            }
            Means::Failure => {
                let reason = quote(reason.unwrap_or(&finding.line));
                self.failure.get_or_insert(reason);
            }
            Means::TypeUnsupported => {
                let reason = reason.unwrap_or("the engine does not read such files");
                self.unsupported.get_or_insert_with(|| quote(reason));
            }
            // A clean member says nothing about its container.
            Means::Undetected => self.clean_count += usize::from(!is_member),
            Means::Ignored | Means::Subject => {}
        }
    }

    fn detect(&mut self, means: Means, name: &str) {
        let slot = match means {
            Means::Suspicious => &mut self.suspicious,
            Means::TypeUnsupported => &mut self.unsupported,
            Means::Malicious
            | Means::Undetected
            | Means::Failure
            | Means::Subject
            | Means::Ignored => &mut self.malicious,
        };
        slot.get_or_insert_with(|| name.to_owned());
    }

    fn is_detected(&self) -> bool {
        let weak = self.weak.is_some() && self.unsupported.is_none();
        self.malicious.is_some() || self.suspicious.is_some() || weak
    }

    fn note(&mut self, line: &str) {
        let room = EVIDENCE_BYTES.saturating_sub(self.evidence.len() + 1);
        let mut length = 0;
        let fits = |c: &char| {
            length += c.len_utf8();
            length <= room
        };
        let kept: String = line.chars().map(visible).take_while(fits).collect();
        if !kept.is_empty() {
            self.evidence.push_str(&kept);
            self.evidence.push('\n');
        }
    }

    fn parsed(&self, batch: &Self, rule: Rule) -> Parsed {
        let verdict = self.verdict(batch, rule);
        let own = &self.evidence;
        let evidence = if own.is_empty() { &batch.evidence } else { own };
        Parsed {
            verdict,
            evidence: evidence.clone(),
        }
    }

    fn verdict(&self, batch: &Self, rule: Rule) -> Verdict {
        if let Some(detection) = self.detection() {
            return detection;
        }
        if let Some(reason) = self.failure.as_ref().or(batch.failure.as_ref()) {
            return Verdict::failure(reason.clone());
        }
        if let Some(reason) = &self.unsupported {
            let reason = reason.clone();
            return Verdict::TypeUnsupported { reason };
        }
        self.prove(rule)
    }

    fn detection(&self) -> Option<Verdict> {
        let malicious = |name: &str| Verdict::Malicious {
            name: DetectionName::new(name),
        };
        let suspicious = |name: &str| Verdict::Suspicious {
            name: DetectionName::new(name),
        };
        let named = self.malicious.as_deref().map(malicious);
        let named = named.or_else(|| self.suspicious.as_deref().map(suspicious));
        named.or_else(|| {
            let (means, name) = self.weak.as_ref()?;
            Some(match (&self.unsupported, means) {
                (Some(reason), _) => Verdict::TypeUnsupported {
                    reason: reason.clone(),
                },
                (None, Means::Suspicious) => suspicious(name),
                (None, Means::Malicious) => malicious(name),
                (None, _) => return None,
            })
        })
    }

    /// Gives `undetected` on the manifest's proof, and only here.
    fn prove(&self, rule: Rule) -> Verdict {
        match (rule, self.clean_count) {
            (Rule::PerFile, 1) => Verdict::Undetected,
            (Rule::PerFile, 0) => Verdict::failure("the engine says nothing about this file"),
            (Rule::Summary | Rule::Silence, 0 | 1) => Verdict::Undetected,
            (Rule::PerFile | Rule::Summary | Rule::Silence, _) => {
                Verdict::failure("the engine answered more than once about this file")
            }
        }
    }
}
