//! Removes bytes that nobody can reach any more: those of deleted and expired files, what ended batches
//! were made of, and the parts of uploads.

use crate::{Core, in_time::InTime, settings::jittered};
use domain::{Error, Result, UploadId};
use std::{sync::Arc, time::Duration};
use store::{DeadBlob, FileIndex, Leftovers, upload_folder};
use tracing::warn;

/// Nothing takes this long to be written.
const UNFINISHED: Duration = Duration::from_secs(86_400);

/// At most this many files, and as many batches, at a time.
const AT_ONCE: usize = 100;

/// Purges, over and over. Any number of workers may: removing twice is fine.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        tokio::time::sleep(jittered(core.settings.purge_ms)).await;
        // What fails does not count, so this ends.
        core.blobs.clear_scratch(UNFINISHED).await.unwrap_or_else(|error| _ = report(error));
        while look(&core).await.unwrap_or_else(report) >= AT_ONCE {}
    }
}

/// Removes a page of each kind, and says how many that were.
async fn look(core: &Core) -> Result<usize> {
    let limit = i64::try_from(AT_ONCE).map_err(Error::internal)?;
    let mut removed = 0;
    for dead in core.store.unreferenced_blobs(limit).in_time().await? {
        removed += purge_file(core, &dead).await.map_or_else(report, |()| 1);
    }
    for ended in core.store.leftovers(core.settings.keep_segments_ms, limit).in_time().await? {
        removed += clear_batch(core, ended).await.map_or_else(report, |()| 1);
    }
    core.store.expire_uploads().in_time().await?;
    for upload in core.store.uncleared_uploads(core.settings.keep_segments_ms, limit).in_time().await? {
        removed += clear_upload(core, &upload).await.map_or_else(report, |()| 1);
    }
    Ok(removed)
}

/// One that fails must not keep the others; it is tried again. Nothing was removed.
fn report(error: Error) -> usize {
    warn!(error = %error.chain(), "bytes that nobody reads could not be removed; they are tried again");
    0
}

async fn purge_file(core: &Core, dead: &DeadBlob) -> Result<()> {
    if let Some(index) = &dead.index {
        let index: FileIndex = serde_json::from_str(index).map_err(Error::internal)?;
        core.blobs.delete(&index.blob).await?;
    }
    core.blobs.delete(&dead.blob).await?;
    core.store.mark_purged(&dead.file).in_time().await.map(drop)
}

async fn clear_batch(core: &Core, ended: Leftovers) -> Result<()> {
    core.blobs.clear(&format!("b/{}", ended.batch), ended.keep).await?;
    core.store.mark_cleared(&ended.batch).in_time().await.map(drop)
}

async fn clear_upload(core: &Core, upload: &UploadId) -> Result<()> {
    core.blobs.clear(&upload_folder(upload), Vec::new()).await?;
    core.store.mark_upload_cleared(upload).in_time().await
}
