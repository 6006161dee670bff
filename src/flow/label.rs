//! Names families: what several engines call a file becomes one name.
//!
//! A detection that is recorded leaves a row behind, in the same change, that the
//! blob has no label yet; this stage takes those rows. A labeler is an engine like
//! any other, in the same sandbox, but what it is shown is a list of names and
//! never the file. A label is a summary: nothing is decided by it.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::board::Board;
use super::gate::{Gate, Pass};
use crate::engine::ask::{Engine, Health, Said};
use crate::engine::staging::Shown;
use crate::model::{
    AnalysisId, DetectionName, EngineId, EngineTable, Label, Sha256, Timestamp, Verdict,
};
use crate::store::{LABELS, Store, StoreError, UNLABELED};
use crate::system::now;

/// How often blobs without a label are looked for without being told.
const POLL: Duration = Duration::from_secs(30);
/// How long the labeler is left alone after it failed.
const PAUSE: Duration = Duration::from_secs(60);

/// One labeler and what it works with.
#[derive(Debug)]
pub struct Labeler {
    /// The labeler and its container.
    pub engine: Arc<Engine>,
    /// Where names and labels are.
    pub store: Store,
    /// Every engine, by whose names a family is found.
    pub board: Board,
    /// Whether it may run.
    pub gate: Gate,
    /// Directory of the lists it is shown.
    pub dir: PathBuf,
}

/// What the engines call one blob.
#[derive(Debug)]
struct Names {
    sha256: Sha256,
    names: BTreeMap<EngineId, DetectionName>,
}

impl Labeler {
    /// Labels what has no label, until told to stop; `completed` is only a hint.
    pub async fn run(
        &self,
        mut completed: broadcast::Receiver<AnalysisId>,
        shutdown: &CancellationToken,
    ) {
        while !shutdown.is_cancelled() {
            let pause = match self.label_some().await {
                Ok(0) => POLL,
                Ok(_) => continue,
                Err(error) => {
                    warn!(engine.name = %self.engine.manifest.id, "Cannot label: {error:#}");
                    PAUSE
                }
            };
            let told = async {
                // Behind by some is told as well as told.
                let told = completed.recv().await;
                if pause == PAUSE || matches!(told, Err(broadcast::error::RecvError::Closed)) {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = told => {}
                () = sleep(pause) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Labels one batch; returns how many blobs it was of.
    async fn label_some(&self) -> anyhow::Result<usize> {
        let most = usize::try_from(self.engine.most_files()).unwrap_or(1);
        let page = self.store.list(&UNLABELED, (&[], None), most)?;
        let blobs: Vec<Sha256> = page.rows.into_iter().map(|(sha256, ())| sha256).collect();
        let table = self.board.subscribe();
        let named = blobs.iter().map(|sha256| self.names(*sha256, &table));
        let named: Vec<Names> = named.collect::<Result<_, StoreError>>()?;
        let named: Vec<Names> = named
            .into_iter()
            .filter(|it| !it.names.is_empty())
            .collect();
        let said = match named.is_empty() {
            true => Vec::new(),
            false => self.ask(&named, &table).await?,
        };
        let labels = named.into_iter().zip(said);
        let labels: Vec<_> = labels
            .map(|(named, said)| self.label(named, &said))
            .collect();
        let count = blobs.len();
        self.store
            .write(move |change| {
                blobs
                    .iter()
                    .for_each(|sha256| change.remove(&UNLABELED, sha256));
                for (sha256, label) in labels {
                    match label {
                        Some(label) => change.put(&LABELS, &sha256, &label)?,
                        None => change.remove(&LABELS, &sha256),
                    }
                }
                Ok(())
            })
            .await?;
        Ok(count)
    }

    fn names(
        &self,
        sha256: Sha256,
        table: &watch::Receiver<EngineTable>,
    ) -> Result<Names, StoreError> {
        let engines: Vec<EngineId> = table.borrow().keys().cloned().collect();
        let results = self.store.last_results(&sha256, &engines)?;
        let names = results.into_iter().filter_map(|(engine, result)| {
            let name = result.verdict.name()?.clone();
            Some((engine, name))
        });
        Ok(Names {
            sha256,
            names: names.collect(),
        })
    }

    async fn ask(
        &self,
        named: &[Names],
        table: &watch::Receiver<EngineTable>,
    ) -> anyhow::Result<Vec<Said>> {
        if let Pass::Closed(reason) = self.gate.pass().await {
            anyhow::bail!("{reason}");
        }
        let shown = named
            .iter()
            .map(|named| self.show(named, &table.borrow()))
            .collect::<io::Result<Vec<Shown>>>()?;
        let resident = &self.engine.resident;
        let lease = resident.acquire().await?;
        let asked = self.engine.ask(&lease, shown.clone()).await;
        match &asked.health {
            Health::Fine => resident.release(lease, named.len() as u64).await,
            Health::Suspect(_) => resident.retire(lease).await,
        }
        for list in shown {
            // One that stays is overwritten by the next of its blob.
            let _ = std::fs::remove_file(list.blob);
        }
        Ok(asked.answers)
    }

    /// Writes the list of names of one blob.
    fn show(&self, named: &Names, table: &EngineTable) -> io::Result<Shown> {
        let display = |id: &EngineId| {
            table
                .get(id)
                .map_or(id.as_str(), |it| it.name.as_str())
                .to_owned()
        };
        let labels = named
            .names
            .iter()
            .map(|(id, name)| (display(id), name.as_str()));
        let labels: Vec<_> = labels.collect();
        let list = json!({ "sha256": named.sha256, "av_labels": labels });
        let blob = self.dir.join(named.sha256.to_string());
        std::fs::create_dir_all(&self.dir)?;
        std::fs::write(&blob, format!("{list}\n"))?;
        std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o444))?;
        Ok(Shown {
            blob,
            extension: None,
        })
    }

    fn label(&self, named: Names, said: &Said) -> (Sha256, Option<Label>) {
        let labeler = &self.engine.manifest.id;
        (named.sha256, label(named, &said.verdict, (labeler, now())))
    }
}

/// Only a name is a label: what the labeler could not say is none.
fn label(named: Names, verdict: &Verdict, (labeler, at): (&EngineId, Timestamp)) -> Option<Label> {
    Some(Label {
        family: verdict.name()?.clone(),
        names: named.names,
        labeler: labeler.clone(),
        at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(verdict: &Verdict) -> Option<String> {
        let named = Names {
            sha256: Sha256::new([7; 32]),
            names: BTreeMap::new(),
        };
        let labeler = "avclass".parse().unwrap();
        let label = label(named, verdict, (&labeler, Timestamp::from_millis(1)));
        label.map(|label| label.family.as_str().to_owned())
    }

    #[test]
    fn only_a_name_is_a_label() {
        let name = DetectionName::new("wannacry");
        assert_eq!(
            said(&Verdict::Malicious { name }),
            Some("wannacry".to_owned())
        );
        assert_eq!(said(&Verdict::Undetected), None);
        assert_eq!(said(&Verdict::Timeout), None);
        assert_eq!(said(&Verdict::failure("broken")), None);
    }
}
