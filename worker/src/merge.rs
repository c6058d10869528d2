//! Writes the records of a batch into its two files, in the order of the input. Holds the segments of one shard at a
//! time, however large the batch is.

use crate::{
    Core,
    input::{self, Input},
    record::{self, Side},
};
use bytes::{Bytes, BytesMut};
use domain::{Error, LineCounts, Result};
use std::ops::Range;
use store::{BlobInfo, BlobWriter, SegmentRow};

/// Bytes collected before they are handed to the object store.
const CHUNK: usize = 1 << 20;

/// What lines without a record get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

/// A run of input lines: those of a shard, or some that were never in one.
pub(crate) struct Part<'a> {
    pub(crate) lines: usize,
    pub(crate) bytes: Range<u64>,
    pub(crate) segments: &'a [SegmentRow],
}

/// The two files while they are written.
pub(crate) struct Merge<'a> {
    core: &'a Core,
    input: &'a Input,
    fill: Option<Fill>,
    ok: Output,
    err: Output,
    /// Lines that got the fill.
    pub(crate) filled: i64,
    pub(crate) completed: i64,
    pub(crate) failed: i64,
}

/// A file that is begun with its first line: an empty one does not exist.
pub(crate) struct Output {
    path: String,
    buffer: BytesMut,
    writer: Option<BlobWriter>,
}

/// A file that is complete.
pub(crate) struct Written {
    pub(crate) path: String,
    pub(crate) info: BlobInfo,
}

impl<'a> Merge<'a> {
    /// Files at `{path}.ok.jsonl` and `{path}.err.jsonl`.
    pub(crate) fn new(core: &'a Core, input: &'a Input, fill: Option<Fill>, path: &str) -> Self {
        let output = |side| Output { path: format!("{path}.{side}.jsonl"), buffer: BytesMut::new(), writer: None };
        Self { core, input, fill, ok: output("ok"), err: output("err"), filled: 0, completed: 0, failed: 0 }
    }

    /// Appends the lines of the next part.
    pub(crate) async fn append(&mut self, part: &Part<'_>) -> Result<()> {
        let records = collect(self.core, part).await?;
        let texts = match records.iter().any(Option::is_none) {
            true => self.input.lines(&self.core.blobs, part.bytes.clone(), part.lines).await?,
            false => Vec::new(),
        };
        for (number, record) in records.into_iter().enumerate() {
            match record {
                Some((Side::Ok, json)) => {
                    self.completed += 1;
                    self.ok.write(self.core, &json).await?;
                }
                Some((Side::Err, json)) => {
                    self.failed += 1;
                    self.err.write(self.core, &json).await?;
                }
                None => {
                    let fill =
                        self.fill.ok_or_else(|| Error::internal("a finished shard has a line without a record"))?;
                    self.filled += 1;
                    let name = input::custom_id(&texts[number]);
                    self.err.write(self.core, &record::unexecuted(&name, fill.code, fill.message)).await?;
                }
            }
        }
        Ok(())
    }

    /// Completes both files. `None` for one without lines.
    pub(crate) async fn finish(self) -> Result<(Option<Written>, Option<Written>)> {
        let ok = self.ok.finish(self.core).await?;
        let err = self.err.finish(self.core).await?;
        Ok((ok, err))
    }

    /// Ok and error lines as they were counted, not as they were reported.
    pub(crate) fn executed(&self) -> LineCounts {
        LineCounts { completed: self.completed, failed: self.failed, ..LineCounts::default() }
    }
}

/// The records of a part, each at the place of its line.
async fn collect(core: &Core, part: &Part<'_>) -> Result<Vec<Option<(Side, Bytes)>>> {
    let mut records: Vec<Option<(Side, Bytes)>> = vec![None; part.lines];
    for segment in part.segments {
        for (side, blob) in [(Side::Ok, &segment.ok_blob), (Side::Err, &segment.err_blob)] {
            let Some(blob) = blob else { continue };
            for (number, json) in record::read(&core.blobs.get(blob).await?)? {
                let slot = records.get_mut(number).ok_or_else(|| misplaced(blob, number))?;
                if slot.replace((side, json)).is_some() {
                    return Err(misplaced(blob, number));
                }
            }
        }
    }
    Ok(records)
}

fn misplaced(blob: &str, number: usize) -> Error {
    Error::internal(format!("segment {blob} has line {number} twice or out of bounds"))
}

impl Output {
    async fn write(&mut self, core: &Core, json: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(json);
        self.buffer.extend_from_slice(b"\n");
        if self.buffer.len() >= CHUNK { self.hand_over(core).await } else { Ok(()) }
    }

    async fn hand_over(&mut self, core: &Core) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => core.blobs.writer(&self.path),
        };
        writer.write(self.buffer.split().freeze()).await?;
        self.writer = Some(writer);
        Ok(())
    }

    async fn finish(mut self, core: &Core) -> Result<Option<Written>> {
        self.hand_over(core).await?;
        let Some(writer) = self.writer else { return Ok(None) };
        Ok(Some(Written { path: self.path, info: writer.finish().await? }))
    }
}
