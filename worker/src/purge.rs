//! Removes bytes that nobody can reach any more: those of deleted and expired files, and what ended batches were made of.

use crate::{Core, settings::jittered};
use domain::{Error, Result};
use std::sync::Arc;
use store::{DeadBlob, FileIndex, Leftovers};
use tracing::warn;

/// At most this many files, and as many batches, at a time.
const AT_ONCE: i64 = 100;

/// Purges, over and over. Any number of workers may: removing twice is fine.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        tokio::time::sleep(jittered(core.settings.purge_ms)).await;
        if let Err(error) = purge(&core).await {
            warn!(error = %error.chain(), "bytes that nobody reads could not be removed; they are tried again");
        }
    }
}

async fn purge(core: &Core) -> Result<()> {
    for dead in core.store.unreferenced_blobs(AT_ONCE).await? {
        purge_file(core, &dead).await?;
    }
    for ended in core.store.leftovers(core.settings.keep_segments_ms, AT_ONCE).await? {
        clear_batch(core, ended).await?;
    }
    Ok(())
}

async fn purge_file(core: &Core, dead: &DeadBlob) -> Result<()> {
    if let Some(index) = &dead.index {
        let index: FileIndex = serde_json::from_str(index).map_err(Error::internal)?;
        core.blobs.delete(&index.blob).await?;
    }
    core.blobs.delete(&dead.blob).await?;
    core.store.mark_purged(&dead.file).await.map(drop)
}

async fn clear_batch(core: &Core, ended: Leftovers) -> Result<()> {
    core.blobs.clear(&format!("b/{}", ended.batch), ended.keep).await?;
    core.store.mark_cleared(&ended.batch).await.map(drop)
}
