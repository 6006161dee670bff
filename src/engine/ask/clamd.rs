//! Asks a resident clamd about a batch: one connection, one question per file.

use std::time::{Duration, Instant};

use tokio::net::UnixStream;

use super::{Asked, Engine, Health, Run, Said};
use crate::engine::clamd::{ClamdError, ClamdSession};
use crate::engine::resident::Lease;
use crate::engine::staging::Batch;
use crate::model::Verdict;

/// One file's answer: what was printed, what it means, and whether clamd may be asked on.
struct Heard {
    verdict: Verdict,
    raw: Vec<u8>,
    health: Health,
}

impl Engine {
    pub(super) async fn ask_clamd(&self, lease: &Lease, batch: &Batch) -> Asked {
        let started = Instant::now();
        let Some(mut session) = self.dial_clamd(lease).await else {
            return self.lost(lease, batch.files.len()).await;
        };
        let (mut answers, mut raw) = (Vec::with_capacity(batch.files.len()), Vec::new());
        let mut health = Health::Fine;
        for staged in &batch.files {
            let verdict = if health == Health::Fine {
                let heard = self.hear(&mut session, lease, staged).await;
                raw.extend_from_slice(&heard.raw);
                raw.push(b'\n');
                health = heard.health;
                heard.verdict
            } else {
                Verdict::failure("not asked: the engine had failed on a file before")
            };
            let staged = Some(staged.clone());
            answers.push(Said { verdict, staged });
        }
        let (versions, duration) = (lease.live.versions.clone(), started.elapsed());
        let run = Run {
            versions,
            duration,
            raw,
        };
        Asked {
            answers,
            run,
            health,
        }
    }

    async fn dial_clamd(&self, lease: &Lease) -> Option<ClamdSession<UnixStream>> {
        let session = self.resident.session(&lease.live).await?;
        let socket = self.manifest.run.socket.as_deref()?.to_str()?;
        let stream = session.dial(socket).await.ok()?;
        ClamdSession::open(stream).await.ok()
    }

    async fn hear(
        &self,
        session: &mut ClamdSession<UnixStream>,
        lease: &Lease,
        staged: &str,
    ) -> Heard {
        match session.scan(staged, self.deadline(1)).await {
            Ok(reply) => Heard {
                verdict: reply.verdict,
                raw: reply.raw,
                health: Health::Fine,
            },
            // Closing the connection does not stop clamd's scan: the container must go.
            Err(ClamdError::Silent { waited }) => {
                let reason = silence(waited);
                let health = Health::Suspect(reason.clone());
                Heard {
                    verdict: Verdict::Timeout,
                    raw: reason.into_bytes(),
                    health,
                }
            }
            Err(error @ (ClamdError::Closed(_) | ClamdError::Senseless { .. })) => {
                let died = self.resident.autopsy(&lease.live).await;
                let reason = format!("{error}; {died}");
                let health = Health::Suspect(reason.clone());
                Heard {
                    verdict: Verdict::failure(&reason),
                    raw: reason.into_bytes(),
                    health,
                }
            }
        }
    }
}

fn silence(waited: Duration) -> String {
    format!("did not answer within {} s", waited.as_secs())
}
