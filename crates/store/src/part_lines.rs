//! A part of a batch input, read as it arrives: its lines are judged, but for the pieces at its ends, which belong to lines
//! that other parts begin or end. What is found goes into a blob beside the part, and joined parts need no second reading.

use crate::{BlobInfo, BlobWriter, Blobs, FileIndex, IngestLimits, findings::Findings};
use bytes::Bytes;
use domain::Result;
use serde::{Deserialize, Serialize};
use wire::jsonl::LineScanner;

/// A record of the blob beside a part: where a line is within the part, and the hash of its `custom_id`.
pub(crate) const PART_RECORD_BYTES: usize = 32;

/// What was found in a part; kept as JSON in its row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLines {
    /// Bytes up to the first line ending, itself included; all of them if there is none.
    pub(crate) head: u64,
    /// Line endings.
    pub(crate) newlines: u64,
    /// Bytes after the last line ending; 0 if there is none.
    pub(crate) tail: u64,
    /// Records in the blob beside the part: for the lines between the first line ending and the last.
    pub(crate) records: u64,
    /// What those lines say. The piece at the beginning is line 1.
    pub(crate) found: FileIndex,
}

/// A part being read.
#[derive(Debug)]
pub struct PartIngest {
    data: BlobWriter,
    records: BlobWriter,
    limits: IngestLimits,
    head: u64,
    /// Once the first line ending has been seen.
    scanner: Option<LineScanner>,
    findings: Findings,
    written: u64,
}

/// Where the records of a part are.
pub(crate) fn records_blob(part: &str) -> String {
    format!("{part}.lines")
}

impl PartIngest {
    /// Writes the part to `path` and what is found beside it.
    #[must_use]
    pub fn new(blobs: &Blobs, path: &str, limits: IngestLimits) -> Self {
        Self {
            data: blobs.writer(path),
            records: blobs.writer(&records_blob(path)),
            limits,
            head: 0,
            scanner: None,
            findings: Findings::of_part(limits),
            written: 0,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they can't be stored.
    pub async fn feed(&mut self, bytes: Bytes) -> Result<()> {
        let within = match self.scanner {
            Some(_) => &bytes[..],
            None => self.pass_head(&bytes),
        };
        if let Some(scanner) = &mut self.scanner {
            scanner.feed(within, |line| self.findings.take(line));
        }
        let records = self.findings.records.split().freeze();
        self.written += (records.len() / PART_RECORD_BYTES) as u64;
        self.records.write(records).await?;
        self.data.write(bytes).await
    }

    /// Reads up to the first line ending, and gives what is behind it.
    fn pass_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(at) = memchr::memchr(b'\n', bytes) else {
            self.head += bytes.len() as u64;
            return &[];
        };
        self.head += at as u64 + 1;
        self.scanner = Some(LineScanner::starting(self.limits.max_line_bytes, 2, self.head));
        &bytes[at + 1..]
    }

    /// Ends the part. Mistakes in lines are in the answer; an error means that storage failed.
    ///
    /// # Errors
    /// When it can't be stored.
    pub async fn finish(self) -> Result<(BlobInfo, PartLines)> {
        let Self { data, records, head, scanner, findings, written, .. } = self;
        let info = data.finish().await?;
        records.finish().await?;
        // Counted from 2 behind the first ending.
        let (newlines, tail) = scanner.map_or((0, 0), |scanner| {
            let (number, start) = scanner.line();
            (number - 1, info.bytes - start)
        });
        Ok((info, PartLines { head, newlines, tail, records: written, found: findings.found }))
    }

    /// Throws everything away.
    pub async fn abort(self) {
        self.data.abort().await;
        self.records.abort().await;
    }
}
