//! One pass over a batch input as it is uploaded: the data blob, an index of its lines and a verdict on each.
//! Memory does not grow with the file, but for 16 bytes a line to find a `custom_id` that repeats.

use crate::{BlobWriter, Blobs, findings::Findings};
use bytes::Bytes;
use domain::{Error, Result};
use serde::{Deserialize, Serialize};
use wire::jsonl::LineScanner;

/// Size of a [`LineRecord`] in the index blob.
pub const INDEX_RECORD_BYTES: u64 = 16;

/// What an input may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestLimits {
    /// Lines that are not blank.
    pub max_lines: u64,
    /// Bytes of one line.
    pub max_line_bytes: u32,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self { max_lines: 1_000_000, max_line_bytes: 8 * 1024 * 1024 }
    }
}

/// What one pass found out; kept as JSON in the file's row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIndex {
    /// Lines that are not blank.
    pub lines: u64,
    /// Bytes of the data blob.
    pub bytes: u64,
    /// CRC-32C of the data blob.
    pub crc32c: u32,
    /// Where the index blob is: a [`LineRecord`] for every line.
    pub blob: String,
    /// Estimated tokens of all lines.
    pub tokens: u64,
    /// The first mistakes.
    pub errors: Vec<LineIssue>,
    /// All mistakes.
    pub error_count: u64,
    /// Which urls the lines name; judging them needs the batch's endpoint.
    pub urls: Vec<Tally>,
    /// Which models the lines name.
    pub models: Vec<Tally>,
    /// What the lines of each model are expected to use. Empty in files from before this was kept.
    #[serde(default)]
    pub estimates: Vec<ModelEstimate>,
}

/// What the lines of one model are expected to use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelEstimate {
    /// The model.
    pub model: String,
    /// Its lines.
    pub lines: u64,
    /// Tokens of their prompts: a quarter of their bytes.
    pub prompt_tokens: u64,
    /// What they may generate, as far as they say it.
    pub output_tokens: u64,
    /// Lines that don't say how much they may generate.
    pub unbounded_lines: u64,
}

impl FileIndex {
    /// The estimated tokens of the lines, by model.
    #[must_use]
    pub fn tokens_by_model(&self) -> Vec<(String, i64)> {
        let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        match (self.estimates.as_slice(), self.models.first()) {
            ([], None) => Vec::new(),
            ([], Some(first)) => vec![(first.value.clone(), count(self.tokens))],
            (estimates, _) => {
                let tokens = |one: &ModelEstimate| count(one.prompt_tokens.saturating_add(one.output_tokens));
                estimates.iter().map(|one| (one.model.clone(), tokens(one))).collect()
            }
        }
    }
}

/// A mistake in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineIssue {
    /// As in the `errors` of a batch.
    pub code: String,
    /// For a person.
    pub message: String,
    /// Physical line, counted from 1; 0 when it is about the whole file.
    pub line: u64,
    /// Which key of the line.
    pub param: Option<String>,
}

/// How often a value occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The value.
    pub value: String,
    /// Lines that have it.
    pub count: u64,
    /// The first of them, physical, counted from 1.
    pub first_lines: Vec<u64>,
}

/// Where a line is: 16 bytes, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineRecord {
    /// Of its first byte.
    pub offset: u64,
    /// Bytes without the line ending.
    pub len: u32,
    /// Estimated tokens: a quarter of its bytes, and what it may generate.
    pub tokens: u32,
}

impl LineRecord {
    /// The stored form.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let packed = u128::from(self.offset) | u128::from(self.len) << 64 | u128::from(self.tokens) << 96;
        packed.to_le_bytes()
    }

    /// Reads a stored range of the index.
    pub fn parse_all(bytes: &[u8]) -> impl Iterator<Item = Self> + '_ {
        bytes.as_chunks::<16>().0.iter().map(|record| {
            let packed = u128::from_le_bytes(*record);
            #[expect(clippy::cast_possible_truncation, reason = "taking the fields apart is the point")]
            Self { offset: packed as u64, len: (packed >> 64) as u32, tokens: (packed >> 96) as u32 }
        })
    }
}

impl FileIndex {
    /// The lines at `numbers`, counted from 0, ascending and close to each other: what lies between them is read too.
    ///
    /// # Errors
    /// When the file has no such lines, or they can't be read now.
    pub async fn pick(&self, blobs: &Blobs, data: &str, numbers: &[u64]) -> Result<Vec<Bytes>> {
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Ok(Vec::new()) };
        let records = blobs.range(&self.blob, first * INDEX_RECORD_BYTES..(last + 1) * INDEX_RECORD_BYTES).await?;
        let records: Vec<_> = LineRecord::parse_all(&records).collect();
        let place = |number: &u64| usize::try_from(number - first).ok().and_then(|at| records.get(at).copied());
        let places = numbers.iter().map(place).collect::<Option<Vec<_>>>();
        let places = places.ok_or_else(|| Error::internal(format!("{} ends before line {last}", self.blob)))?;
        let start = places.first().map_or(0, |place| place.offset);
        let end = places.last().map_or(0, |place| place.offset + u64::from(place.len));
        let bytes = blobs.range(data, start..end).await?;
        let cut = |place: &LineRecord| {
            let from = usize::try_from(place.offset - start).map_err(Error::internal)?;
            Ok(bytes.slice(from..from + place.len as usize))
        };
        places.iter().map(cut).collect()
    }
}

/// An upload being read.
#[derive(Debug)]
pub struct Ingest {
    data: BlobWriter,
    index: BlobWriter,
    scanner: LineScanner,
    findings: Findings,
}

impl Ingest {
    /// Writes the data to `path` and the index beside it.
    #[must_use]
    pub fn new(blobs: &Blobs, path: &str, limits: IngestLimits) -> Self {
        let blob = format!("{path}.index");
        Self {
            data: blobs.writer(path),
            index: blobs.writer(&blob),
            scanner: LineScanner::new(limits.max_line_bytes),
            findings: Findings::new(blob, limits),
        }
    }

    /// Takes the next bytes.
    pub async fn feed(&mut self, bytes: Bytes) -> Result<()> {
        let findings = &mut self.findings;
        self.scanner.feed(&bytes, |line| findings.take(line));
        self.index.write(self.findings.records.split().freeze()).await?;
        self.data.write(bytes).await
    }

    /// Ends the file. Mistakes in lines are in the answer; an error means that storage failed.
    pub async fn finish(self) -> Result<FileIndex> {
        let Self { data, mut index, scanner, mut findings } = self;
        scanner.finish(|line| findings.take(line));
        index.write(findings.records.split().freeze()).await?;
        let info = data.finish().await?;
        index.finish().await?;
        Ok(FileIndex { bytes: info.bytes, crc32c: info.crc32c, ..findings.end() })
    }

    /// Throws everything away.
    pub async fn abort(self) {
        self.data.abort().await;
        self.index.abort().await;
    }
}
