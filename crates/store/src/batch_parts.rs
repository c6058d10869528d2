//! Where in the files of an ended batch the records of which lines are, with checksums: what finds a line again without reading
//! the files from their beginning.

use crate::{
    BlobInfo, Store,
    row::{Columns, db},
};
use domain::{BatchId, Bitmap, Error, Result};
use sqlx::{Any, Transaction, any::AnyRow};
use std::ops::Range;

/// Rows in one statement, of [`COLUMNS`] parameters each.
const CHUNK: usize = 100;
const COLUMNS: usize = 10;

/// A run of input lines, and where their records are. Runs follow each other without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPart {
    /// Counted from 0 over the lines of the index.
    pub first_line: i64,
    /// Its lines; those that are set have their record in the output file, the others in the error file.
    pub answered: Bitmap,
    /// Where in the output file.
    pub output: FilePart,
    /// Where in the error file.
    pub error: FilePart,
}

/// A range of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilePart {
    /// Its first byte.
    pub start: u64,
    /// How long it is.
    pub bytes: u64,
    /// CRC-32C of it.
    pub crc32c: u32,
}

impl FilePart {
    /// An empty range behind this one.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { start: self.start + self.bytes, ..Self::default() }
    }

    /// Takes in the bytes that follow.
    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
    }

    /// Takes in a blob that follows.
    pub fn append_blob(&mut self, info: BlobInfo) {
        self.join(&Self { start: 0, bytes: info.bytes, crc32c: info.crc32c });
    }

    /// Takes in the range that follows.
    pub fn join(&mut self, next: &Self) {
        let length = usize::try_from(next.bytes).expect("a range in memory");
        self.crc32c = crc32c::crc32c_combine(self.crc32c, next.crc32c, length);
        self.bytes += next.bytes;
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start + self.bytes
    }
}

impl Store {
    /// The parts of a batch that hold lines from `first_line` on, at most `limit`; none before the batch has ended.
    pub async fn parts(&self, batch: &BatchId, first_line: i64, limit: i64) -> Result<Vec<BatchPart>> {
        let rows = self
            .sql(
                "SELECT * FROM batch_parts WHERE batch_id = $1 AND first_line + line_count > $2 \
                 ORDER BY first_line LIMIT $3",
            )
            .bind(batch.as_str())
            .bind(first_line)
            .bind(limit)
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        rows.iter().map(part).collect()
    }

    pub(crate) async fn insert_parts(
        &self,
        tx: &mut Transaction<'static, Any>,
        batch: &BatchId,
        parts: &[BatchPart],
    ) -> Result<()> {
        for chunk in parts.chunks(CHUNK) {
            let rows: Vec<_> = (0..chunk.len()).map(placeholders).collect();
            let sql = format!(
                "INSERT INTO batch_parts (batch_id, first_line, line_count, answered, output_start, output_bytes, \
                 output_crc32c, error_start, error_bytes, error_crc32c) VALUES {}",
                rows.join(", ")
            );
            let mut statement = self.sql(&sql);
            for part in chunk {
                statement = statement
                    .bind(batch.as_str().to_owned())
                    .bind(part.first_line)
                    .bind(i64::try_from(part.answered.len()).map_err(Error::internal)?)
                    .bind(part.answered.as_bytes().to_vec());
                for file in [&part.output, &part.error] {
                    statement = statement
                        .bind(file.start.cast_signed())
                        .bind(file.bytes.cast_signed())
                        .bind(i64::from(file.crc32c));
                }
            }
            statement.execute(&mut **tx).await.map_err(db)?;
        }
        Ok(())
    }
}

fn placeholders(row: usize) -> String {
    let places: Vec<_> = (1..=COLUMNS).map(|at| format!("${}", row * COLUMNS + at)).collect();
    format!("({})", places.join(", "))
}

fn part(row: &AnyRow) -> Result<BatchPart> {
    let columns = Columns(row);
    let lines = usize::try_from(columns.int("line_count")?).map_err(Error::internal)?;
    let file = |name: &str| {
        Ok(FilePart {
            start: columns.int(&format!("{name}_start"))?.cast_unsigned(),
            bytes: columns.int(&format!("{name}_bytes"))?.cast_unsigned(),
            crc32c: columns.crc32c(&format!("{name}_crc32c"))?,
        })
    };
    Ok(BatchPart {
        first_line: columns.int("first_line")?,
        answered: Bitmap::from_bytes(lines, &columns.blob("answered")?),
        output: file("output")?,
        error: file("error")?,
    })
}
