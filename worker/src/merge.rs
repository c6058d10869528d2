//! Writes the records of a batch into its two files, in the order of the input. Holds the segments of one shard at a
//! time, however large the batch is.

use crate::{
    Core,
    input::{self, Input},
    record,
};
use bytes::BytesMut;
use domain::{Bitmap, Error, LineCounts, Result};
use std::ops::Range;
use store::{BatchPart, BlobInfo, BlobWriter, Compaction, FilePart, SegmentRow, Side, Source};

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
    parts: Vec<BatchPart>,
}

/// Both files, complete, and where in them everything is.
pub(crate) struct Merged {
    pub(crate) ok: Option<Written>,
    pub(crate) err: Option<Written>,
    pub(crate) parts: Vec<BatchPart>,
}

/// A file that is begun with its first line: an empty one does not exist.
pub(crate) struct Output {
    path: String,
    /// What of it belongs to the part that is being appended.
    part: FilePart,
    /// All of it, put together from its parts.
    whole: FilePart,
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
        let output = |side| Output::new(format!("{path}.{side}.jsonl"));
        let (ok, err) = (output("ok"), output("err"));
        Self { core, input, fill, ok, err, filled: 0, completed: 0, failed: 0, parts: Vec::new() }
    }

    /// Appends the lines of the next part.
    pub(crate) async fn append(&mut self, part: &Part<'_>) -> Result<()> {
        let records = self.core.blobs.shard_records(part.segments, part.lines).await?;
        let mut answered = Bitmap::new(part.lines);
        let texts = match records.iter().any(Option::is_none) {
            true => self.input.lines(&self.core.blobs, part.bytes.clone(), part.lines).await?,
            false => Vec::new(),
        };
        for (number, record) in records.into_iter().enumerate() {
            match record {
                Some((Side::Ok, json)) => {
                    self.completed += 1;
                    answered.set(number);
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
        self.end_part(answered);
        Ok(())
    }

    /// Appends the lines of a shard whose records are in order already.
    pub(crate) async fn append_compacted(&mut self, made: &Compaction) -> Result<()> {
        let answered = made.answered.count();
        self.completed += answered as i64;
        self.failed += (made.answered.len() - answered) as i64;
        for (file, source) in [(&mut self.ok, &made.output), (&mut self.err, &made.error)] {
            if let Some(source) = source {
                file.append(self.core, source).await?;
            }
        }
        self.end_part(made.answered.clone());
        Ok(())
    }

    fn end_part(&mut self, answered: Bitmap) {
        let first_line = self.parts.last().map_or(0, |last| last.first_line + last.answered.len() as i64);
        let (output, error) = (self.ok.end_part(), self.err.end_part());
        self.parts.push(BatchPart { first_line, answered, output, error });
    }

    /// Completes both files.
    ///
    /// # Errors
    /// Also when a file is not what its parts are together: nothing of it may be published then.
    pub(crate) async fn finish(self) -> Result<Merged> {
        let ok = self.ok.finish(self.core).await?;
        let err = self.err.finish(self.core).await?;
        Ok(Merged { ok, err, parts: self.parts })
    }

    /// Ok and error lines as they were counted, not as they were reported.
    pub(crate) fn executed(&self) -> LineCounts {
        LineCounts { completed: self.completed, failed: self.failed, ..LineCounts::default() }
    }
}

impl Output {
    fn new(path: String) -> Self {
        let (part, whole) = (FilePart::default(), FilePart::default());
        Self { path, part, whole, buffer: BytesMut::new(), writer: None }
    }

    async fn write(&mut self, core: &Core, json: &[u8]) -> Result<()> {
        for bytes in [json, b"\n"] {
            self.part.append(bytes);
            self.buffer.extend_from_slice(bytes);
        }
        if self.buffer.len() >= CHUNK { self.hand_over(core).await } else { Ok(()) }
    }

    async fn append(&mut self, core: &Core, source: &Source) -> Result<()> {
        self.part.append_blob(source.info);
        self.hand_over(core).await?;
        self.writer(core).append(source).await
    }

    fn end_part(&mut self) -> FilePart {
        self.whole.join(&self.part);
        let next = self.part.next();
        std::mem::replace(&mut self.part, next)
    }

    async fn hand_over(&mut self, core: &Core) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = self.buffer.split().freeze();
        self.writer(core).write(bytes).await
    }

    fn writer(&mut self, core: &Core) -> &mut BlobWriter {
        self.writer.get_or_insert_with(|| core.blobs.writer(&self.path))
    }

    async fn finish(mut self, core: &Core) -> Result<Option<Written>> {
        self.hand_over(core).await?;
        let Some(writer) = self.writer else { return Ok(None) };
        let info = writer.finish().await?;
        if (info.bytes, info.crc32c) != (self.whole.bytes, self.whole.crc32c) {
            return Err(Error::internal(format!("{} is not what its parts are together", self.path)));
        }
        Ok(Some(Written { path: self.path, info }))
    }
}
