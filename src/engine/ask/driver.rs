//! Asks a resident driver about a batch: one connection, one line, one answer.
//!
//! The driver forks for each connection, so a batch starts with everything
//! loaded and nothing left over from the batch before. What comes back is what
//! a command would have printed; the line `exit 0` at its end is the proof that
//! nothing is missing. Without it there are no clean files.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Asked, Engine, Health, Run, all_said};
use crate::engine::resident::Lease;
use crate::engine::staging::Batch;
use crate::model::Verdict;

/// The last line of a complete answer.
const END: &[u8] = b"exit 0\n";

/// How a driver's answer ended.
enum Heard {
    /// With its last line, which is not part of it any more.
    Whole(Vec<u8>),
    /// Without.
    Cut(Vec<u8>),
    /// Not before its deadline.
    Silent,
    /// Longer than may be kept.
    Flood,
}

impl Engine {
    pub(super) async fn ask_driver(&self, lease: &Lease, batch: &Batch) -> Asked {
        let (started, count) = (Instant::now(), batch.files.len());
        let Some(stream) = self.dial_driver(lease).await else {
            return self.lost(lease, count).await;
        };
        let limit = self.deadline(count as u64);
        let heard = timeout(limit, self.hear_driver(stream, batch)).await;
        let heard = heard.unwrap_or(Heard::Silent);
        let run = |raw| Run {
            versions: lease.live.versions.clone(),
            duration: started.elapsed(),
            raw,
        };
        match heard {
            Heard::Whole(answer) => Asked {
                answers: self.parse(batch, (Some(0), &answer, &[])),
                run: run(answer),
                health: Health::Fine,
            },
            Heard::Cut(raw) => {
                let died = self.resident.autopsy(&lease.live).await;
                let reason = format!("ended before its answer was complete; {died}");
                spoilt(batch, Verdict::failure(&reason), (run(raw), reason))
            }
            Heard::Silent => {
                let reason = "did not end in time".to_owned();
                spoilt(batch, Verdict::Timeout, (run(Vec::new()), reason))
            }
            Heard::Flood => {
                let reason = format!("printed more than {} KB", self.manifest.limits.output_kb);
                spoilt(batch, Verdict::failure(&reason), (run(Vec::new()), reason))
            }
        }
    }

    async fn dial_driver(&self, lease: &Lease) -> Option<UnixStream> {
        let session = self.resident.session(&lease.live).await?;
        let socket = self.manifest.run.socket.as_deref()?.to_str()?;
        session.dial(socket).await.ok()
    }

    async fn hear_driver(&self, mut stream: UnixStream, batch: &Batch) -> Heard {
        let question = format!("{}\n", batch.inside_list);
        let mut answer = Vec::new();
        if stream.write_all(question.as_bytes()).await.is_err() {
            return Heard::Cut(answer);
        }
        let most = self.manifest.limits.output_kb << 10;
        let read = stream.take(most + 1).read_to_end(&mut answer).await;
        if answer.len() as u64 > most {
            return Heard::Flood;
        }
        let whole = answer.ends_with(END);
        let starts_a_line = answer.len() == END.len() || answer.ends_with(b"\nexit 0\n");
        if read.is_err() || !whole || !starts_a_line {
            return Heard::Cut(answer);
        }
        answer.truncate(answer.len() - END.len());
        Heard::Whole(answer)
    }
}

/// Gives every file of a batch the same verdict, and the container up.
fn spoilt(batch: &Batch, verdict: Verdict, (run, reason): (Run, String)) -> Asked {
    Asked {
        answers: all_said(batch, &verdict),
        run,
        health: Health::Suspect(reason),
    }
}
