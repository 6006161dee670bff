//! Asks a server in the engine's container about a batch: one conversation for each file.

use std::path::PathBuf;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use super::{Asked, Engine, Health, Run, Said, parse_alone, record};
use crate::engine::resident::Lease;
use crate::engine::speech::Speech;
use crate::engine::staging::Batch;
use crate::engine::talk::{Broken, Heard, Question, within};
use crate::model::Verdict;

impl Engine {
    /// Asks about the staged files, whose bytes are at `blobs`.
    pub(super) async fn ask_speech(
        &self,
        lease: &Lease,
        (batch, blobs): (&Batch, &[PathBuf]),
    ) -> Asked {
        let started = Instant::now();
        let speech = match Speech::of(&self.manifest) {
            Ok(Some(speech)) => speech,
            Ok(None) | Err(_) => {
                let reason = "the manifest does not say how it is asked";
                return self.failed(lease, batch.files.len(), (reason, Health::Fine));
            }
        };
        let (mut answers, mut raw) = (Vec::with_capacity(blobs.len()), Vec::new());
        let mut health = Health::Fine;
        for (staged, blob) in batch.files.iter().zip(blobs) {
            let verdict = if health == Health::Fine {
                let talk = self.converse(lease, (&speech, staged), blob);
                let (verdict, said) = match within(self.deadline(1), talk).await {
                    Ok(heard) => (parse_alone(&self.parser, staged, &heard), record(&heard)),
                    Err(broken) => {
                        let (verdict, reason) = self.broken(lease, broken).await;
                        health = Health::Suspect(reason.clone());
                        (verdict, reason.into_bytes())
                    }
                };
                raw.extend_from_slice(&said);
                raw.push(b'\n');
                verdict
            } else {
                Verdict::failure("not asked: the engine had failed on a file before")
            };
            let staged = Some(staged.clone());
            answers.push(Said { verdict, staged });
        }
        let run = Run {
            versions: lease.live.versions.clone(),
            duration: started.elapsed(),
            raw,
        };
        Asked {
            answers,
            run,
            health,
        }
    }

    async fn converse(
        &self,
        lease: &Lease,
        (speech, staged): (&Speech, &str),
        blob: &PathBuf,
    ) -> Result<Heard, Broken> {
        let socket = self.manifest.run.socket.as_deref();
        let socket = socket.and_then(|socket| socket.to_str());
        let way = self.resident.way(&lease.live, socket.unwrap_or_default());
        let lost = |error: std::io::Error| Broken::Lost(format!("the file is not there: {error}"));
        let mut question = Question::open(blob, staged).await.map_err(lost)?;
        if self.wants_digest() {
            question.sha256 = digest(blob).await.map_err(lost)?;
        }
        let most = self.manifest.limits.output_kb << 10;
        let opened = speech.open(&way).await?;
        speech.ask((opened, &way, None), question, most).await
    }

    fn wants_digest(&self) -> bool {
        let run = &self.manifest.run;
        let dialog = run.dialog.as_ref().map(|dialog| dialog.request.as_str());
        let http = run.http.as_ref();
        let path = http.map(|http| http.path.as_str());
        let json = http.and_then(|http| http.json.as_deref());
        let mut templates = [dialog, path, json].into_iter().flatten();
        templates.any(|template| template.contains("{sha256}"))
    }

    /// Says what a conversation without a whole answer means, and what is known of the container.
    async fn broken(&self, lease: &Lease, broken: Broken) -> (Verdict, String) {
        let reason = broken.to_string();
        match broken {
            // Closing the connection does not stop the scan: the container must go.
            Broken::Silent { .. } => (Verdict::Timeout, reason),
            Broken::Lost(_) => {
                let died = self.resident.autopsy(&lease.live).await;
                let reason = format!("{reason}; {died}");
                (Verdict::failure(&reason), reason)
            }
            Broken::Senseless(_) | Broken::Flood { .. } => (Verdict::failure(&reason), reason),
        }
    }
}

/// Hashes a file a piece at a time.
async fn digest(blob: &PathBuf) -> std::io::Result<String> {
    let mut file = tokio::fs::File::open(blob).await?;
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        let length = file.read(&mut piece).await?;
        if length == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&piece[..length]);
    }
}
