//! Finished shards whose records were put in the order of the input: a file of their batch is then its shards' blobs, one
//! after the other. Making one changes nothing that counts, so no lease is needed: the first of several wins.

use crate::{
    BlobInfo, Source, Store,
    row::{Columns, db},
};
use domain::{BatchId, Bitmap, Error, Result, ShardId};
use sqlx::any::AnyRow;
use std::collections::HashMap;

/// The records of a finished shard, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    /// Lines whose record is in the output; those of the others are in the errors.
    pub answered: Bitmap,
    /// A line of JSON for each answered line; none if there is none.
    pub output: Option<Source>,
    /// A line of JSON for each other line; none if there is none.
    pub error: Option<Source>,
}

impl Store {
    /// Records a compaction. `false`: somebody else was first, and these blobs are nobody's.
    pub async fn insert_compaction(&self, batch: &BatchId, shard: &ShardId, made: &Compaction) -> Result<bool> {
        let lines = i64::try_from(made.answered.len()).map_err(Error::internal)?;
        let mut statement = self
            .sql(
                "INSERT INTO compactions (shard_id, batch_id, line_count, answered, output_blob, output_bytes, \
                 output_crc32c, error_blob, error_bytes, error_crc32c) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (shard_id) DO NOTHING",
            )
            .bind(shard.as_str().to_owned())
            .bind(batch.as_str().to_owned())
            .bind(lines)
            .bind(made.answered.as_bytes().to_vec());
        for side in [&made.output, &made.error] {
            let info = side.as_ref().map(|source| source.info).unwrap_or_default();
            statement = statement
                .bind(side.as_ref().map(|source| source.path.clone()))
                .bind(info.bytes.cast_signed())
                .bind(i64::from(info.crc32c));
        }
        self.changed(statement).await
    }

    /// The compactions of a batch.
    pub async fn compactions(&self, batch: &BatchId) -> Result<HashMap<ShardId, Compaction>> {
        let rows = self.sql("SELECT * FROM compactions WHERE batch_id = $1").bind(batch.as_str().to_owned());
        let rows = rows.fetch_all(self.reader()).await.map_err(db)?;
        rows.iter().map(compaction).collect()
    }
}

fn compaction(row: &AnyRow) -> Result<(ShardId, Compaction)> {
    let columns = Columns(row);
    let lines = usize::try_from(columns.int("line_count")?).map_err(Error::internal)?;
    let side = |name: &str| {
        let Some(path) = columns.opt_text(&format!("{name}_blob"))? else { return Ok(None) };
        let bytes = columns.int(&format!("{name}_bytes"))?.cast_unsigned();
        let crc32c = columns.crc32c(&format!("{name}_crc32c"))?;
        Ok(Some(Source { path, info: BlobInfo { bytes, crc32c } }))
    };
    let answered = Bitmap::from_bytes(lines, &columns.blob("answered")?);
    let made = Compaction { answered, output: side("output")?, error: side("error")? };
    Ok((ShardId::from_string(columns.text("shard_id")?), made))
}
