//! Puts the records of a finished shard in the order of its input, where storage can then make the files of the batch
//! without moving them. Whoever finds a shard without it does the same from its segments.

use crate::{Core, in_time::InTime};
use bytes::{Bytes, BytesMut};
use domain::{Bitmap, Result, WorkerId};
use store::{Compaction, ShardLease, Side, Source};
use tracing::warn;

/// Does so for a shard that this worker has just finished. What fails is only left to the finaliser.
pub(crate) async fn run(core: &Core, lease: &ShardLease) {
    if !core.blobs.can_compose() {
        return;
    }
    if let Err(error) = compact(core, lease).await {
        warn!(error = %error.chain(), shard.id = %lease.shard.id, "shard {} is not compacted", lease.shard.id);
    }
}

async fn compact(core: &Core, lease: &ShardLease) -> Result<()> {
    let (batch, shard) = (&lease.batch.id, &lease.shard);
    let segments = core.store.segments_of(batch, shard.ordinal..=shard.ordinal).in_time().await?;
    let records = core.blobs.shard_records(&segments, shard.done.len()).await?;
    let mut answered = Bitmap::new(shard.done.len());
    let (mut output, mut error) = (BytesMut::new(), BytesMut::new());
    for (number, record) in records.into_iter().enumerate() {
        // An answer of the database's that was lost may have let this shard pass for finished.
        let Some((side, json)) = record else { return Ok(()) };
        let file = match side {
            Side::Ok => {
                answered.set(number);
                &mut output
            }
            Side::Err => &mut error,
        };
        file.extend_from_slice(&json);
        file.extend_from_slice(b"\n");
    }
    // Two workers may do this at once, so each has names of its own.
    let path = format!("b/{batch}/c/{}/{}", shard.id, WorkerId::generate());
    let output = write(core, &format!("{path}.ok"), output.freeze()).await?;
    let error = write(core, &format!("{path}.err"), error.freeze()).await?;
    let made = Compaction { answered, output, error };
    core.store.insert_compaction(batch, &shard.id, &made).in_time().await.map(drop)
}

async fn write(core: &Core, path: &str, bytes: Bytes) -> Result<Option<Source>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut writer = core.blobs.writer(path);
    if let Err(error) = writer.write(bytes).await {
        writer.abort().await;
        return Err(error);
    }
    Ok(Some(Source { path: path.to_owned(), info: writer.finish().await? }))
}
