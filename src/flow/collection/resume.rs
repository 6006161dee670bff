//! Goes on with acts that nobody waits for any more, empties the trash in time, and removes the
//! files that nobody holds.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, warn};

use super::{Actor, CollectionError, Collections, folders};
use crate::flow::doom;
use crate::model::{PublisherId, Timestamp};
use crate::store::{PUBLISHERS, StoreError, TREE_ACTS};
use crate::system::now;

/// How often acts are looked for.
const LOOK: Duration = Duration::from_secs(5);
/// How often old trash is looked for.
const EMPTY: Duration = Duration::from_secs(3600);
/// Rows that are read at once.
const READ: usize = 100;
/// What a day has of seconds.
const DAY: u64 = 86_400;

impl Collections {
    /// Looks after collections for ever.
    pub async fn look_after(self) {
        if let Err(error) = self.index_folders().await {
            error!(%error, "Cannot make the index of folders; they are found without it, slowly");
        }
        let mut emptied_at = Timestamp::default();
        loop {
            if let Err(error) = self.resume().await {
                error!(%error, "Cannot go on with an act on a collection");
            }
            if let Err(error) = doom::sweep(&self.store, now()).await {
                error!(%error, "Cannot remove the files that nobody holds");
            }
            if now().since(emptied_at) >= EMPTY {
                emptied_at = now();
                if let Err(error) = self.empty_old_trash(now()).await {
                    error!(%error, "Cannot empty the trash");
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Makes the index of folders, unless it is made.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn index_folders(&self) -> Result<(), StoreError> {
        folders::index(&self.store).await
    }

    /// Goes on with every act that is not done, until it is.
    ///
    /// Somebody may be waiting for one and go on with it, too: each step is a change of its own,
    /// which does what is left.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn resume(&self) -> Result<(), CollectionError> {
        let mut after = None::<(PublisherId, u64)>;
        loop {
            let keys = self.store.keys_after(&TREE_ACTS, after.as_ref(), READ)?;
            let Some(last) = keys.last().cloned() else {
                return Ok(());
            };
            for key in keys {
                match self.drive(&key).await {
                    Err(CollectionError::Store(error)) => return Err(error.into()),
                    Err(error) => warn!(%error, "An act on {} was given up", key.0),
                    Ok(_) => {}
                }
            }
            after = Some(last);
        }
    }

    /// Removes from every trash what has been there for longer than the settings say; returns how
    /// many items went.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn empty_old_trash(&self, now: Timestamp) -> Result<u64, CollectionError> {
        let days = self.config.collections.trash_days;
        if days == 0 {
            return Ok(0);
        }
        let age = u64::from(days) * DAY * 1000;
        let before = Timestamp::from_millis(now.millis().saturating_sub(age));
        let mut count = 0;
        for publisher in self.publishers()? {
            let id = "acquit".to_owned();
            let actor = Actor { id, now };
            count += self.empty_trash(publisher, before, actor).await?;
        }
        Ok(count)
    }

    fn publishers(&self) -> Result<Vec<PublisherId>, StoreError> {
        let (mut publishers, mut after) = (Vec::new(), None);
        loop {
            let keys = self.store.keys_after(&PUBLISHERS, after.as_ref(), READ)?;
            let Some(last) = keys.last().cloned() else {
                return Ok(publishers);
            };
            publishers.extend(keys);
            after = Some(last);
        }
    }
}
